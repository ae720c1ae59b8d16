//! What a search for the first row at which two versions part is asked, and what it finds.

use refrain_log::ids::{Offset, Sequence, Timestamp};
use serde::{Deserialize, Serialize};

use super::report::ValidateOrder;

/// A search.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DivergeOrder {
    /// What is compared.
    pub validate: ValidateOrder,
    /// Rows that each version may take again, those of steps given up included; none: as many as it needs.
    pub limit: Option<u64>,
}

/// What a search found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Divergence {
    /// The node.
    pub node: String,
    /// What stands on the left: a version.
    pub left: String,
    /// What stands on the right: a version or a file.
    pub right: String,
    /// The cut up to which was searched.
    pub cut: Sequence,
    /// Rows taken again, of both versions together.
    pub rows: u64,
    /// How often both were compared.
    pub looks: u64,
    /// The outcome.
    pub outcome: Outcome,
}

/// The outcome of a search.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing differs.
    Equal,
    /// They differ as they stand, and do not when they are computed again.
    NotAgain,
    /// The limit was reached; they are equal up to here.
    GaveUp(Sequence),
    /// No row that came late is behind any of the rows that differ. So many rows of the log are.
    NoLateRow(u64),
    /// The first row.
    Found(Box<Point>),
}

/// Where in the log two versions part, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    /// Up to this cut nothing differs.
    pub equal_up_to: Sequence,
    /// The source frame.
    pub sequence: Sequence,
    /// The source topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// When the frame was appended.
    pub append_time: Timestamp,
    /// The row; none: the frame itself, by the time at which it was appended, before any row of it.
    pub row: Option<LogRow>,
    /// What the left version did with the row.
    pub left: Treatment,
    /// What the right version did with it; none: the right one is a file.
    pub right: Option<Treatment>,
    /// Rows of the view that differ after it, before and after, at most ten.
    pub views: Vec<ViewRow>,
    /// What an outside table makes of it.
    pub outside: Option<Outside>,
}

/// A row of the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogRow {
    /// Its offset.
    pub offset: Offset,
    /// Its fields.
    pub fields: Vec<(String, String)>,
}

/// What a version does with a row of the log.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Treatment {
    /// `taken`, `late` or `rejected`.
    pub what: String,
    /// Why it was set aside, if it was.
    pub reason: Option<String>,
    /// States that it changed, at most ten.
    pub states: Vec<StateChange>,
}

/// The state of a key, before and after a row. States are the plugin's own bytes, here in hex, at most 64 of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// Before; none: there was none.
    pub before: Option<String>,
    /// After; none: there is none any more.
    pub after: Option<String>,
}

/// A row of a view, before and after a row of the log, on both sides. None: there is no such row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ViewRow {
    /// Its key.
    pub key: Vec<String>,
    /// Fields that differ, or that only one side has.
    pub fields: Vec<String>,
    /// Left, before.
    pub left_before: Option<Vec<(String, String)>>,
    /// Left, after.
    pub left_after: Option<Vec<(String, String)>>,
    /// Right, before.
    pub right_before: Option<Vec<(String, String)>>,
    /// Right, after.
    pub right_after: Option<Vec<(String, String)>>,
}

/// What an outside table makes of a row of the log that came late.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outside {
    /// How far the newest event time was past the end of the row's window (without windows: past the row itself) when it
    /// came, in microseconds.
    pub behind_us: i64,
    /// The table says what the view said just before this row: it does not have it, nor what came later.
    pub says_what_was_before: bool,
    /// Rows that differ.
    pub differing: u64,
    /// Rows that differ and have a row that came late.
    pub with_late_rows: u64,
    /// Rows of the log that came late for one of them.
    pub late_rows: u64,
}
