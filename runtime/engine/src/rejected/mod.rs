//! Rows that were set aside: which topics hold them, how many and why, and their way back into a source topic.
//!
//! A row of `<topic>.rejected` carries the bytes that did not decode. A row of `<node>.rejected` or `<node>.late` names
//! the row of the node's input, which stays where it is: it is read from the log when someone asks.

mod note;
mod resubmit;
mod rows;
mod shape;
mod summary;

use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::log::rejected_schema;
use refrain_log::topic::{Origin, TopicSpec};
use serde::{Deserialize, Serialize};

use crate::pipeline::dead_letter_schema;
use crate::request::Table;

pub use note::Notes;
pub(crate) use resubmit::resubmit;
pub(crate) use rows::rows_at;
pub(crate) use summary::{all, one};

/// Why rows are in a topic of rows set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aside {
    /// They did not decode, or their source topic refused them: `<topic>.rejected`.
    Input,
    /// A plugin refused them, or trapped on them: `<node>.rejected`.
    Node,
    /// They came after their window had closed: `<node>.late`.
    Late,
}

impl Aside {
    /// What a topic holds, if it holds rows set aside.
    pub fn of(spec: &TopicSpec) -> Option<Aside> {
        match spec.origin {
            Origin::Source => (spec.name.ends_with(".rejected")
                && spec.schema == rejected_schema())
            .then_some(Aside::Input),
            Origin::Derived if spec.schema != dead_letter_schema() => None,
            Origin::Derived if spec.name.ends_with(".late") => Some(Aside::Late),
            Origin::Derived => spec.name.ends_with(".rejected").then_some(Aside::Node),
        }
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Aside::Input => "input",
            Aside::Node => "node",
            Aside::Late => "late",
        }
    }
}

/// How often a reason was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonCount {
    /// The reason without the values that differ from row to row.
    pub reason: String,
    /// Rows.
    pub rows: u64,
}

/// Rows of one partition, by offset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// First row.
    pub first: u64,
    /// Last row.
    pub last: u64,
}

/// One topic of rows set aside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RejectedStatus {
    /// Its name.
    pub name: String,
    /// Why rows are in it.
    pub kind: Aside,
    /// Its rows.
    pub rows: u64,
    /// When the first of them was appended (of a node's: when the row it concerns was).
    pub first: Option<Timestamp>,
    /// The same of the last.
    pub last: Option<Timestamp>,
    /// The most frequent reasons, most frequent first.
    pub reasons: Vec<ReasonCount>,
    /// Rows with other reasons.
    pub other_rows: u64,
    /// Rows that were appended again.
    pub resubmitted_rows: u64,
    /// Whether an attempt to append them again was interrupted; the next one finishes it first.
    pub unfinished: bool,
    /// Rows that were appended again: of the input for a node's, of this topic for the others. Empty in a list.
    pub resubmitted: Vec<Span>,
    /// Damage that keeps the rest from being counted.
    pub damage: Option<String>,
}

impl RejectedStatus {
    /// Whether what the row stands for was appended again; of a status that was asked for by name.
    pub fn is_resubmitted(&self, spot: &Spot) -> bool {
        note::holds(&self.resubmitted, spot)
    }
}

/// A row that cannot be had any more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Missing {
    /// Its offset.
    pub offset: u64,
    /// Why.
    pub why: String,
}

/// Rows at chosen offsets of one partition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RowsAt {
    /// The rows.
    pub table: Table,
    /// Offset of each.
    pub offsets: Vec<u64>,
    /// Offsets without a row.
    pub missing: Vec<Missing>,
}

/// Where a row stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Spot {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: Offset,
}

/// Rows on their way back into a source topic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Resubmission {
    /// The topic of rows set aside.
    pub name: String,
    /// The source topic.
    pub to: String,
    /// The rows, in its schema.
    pub rows: Table,
    /// For each row, what it stands for: the input's row for a node's, the row of `name` for the others. All different.
    pub spots: Vec<Spot>,
}

/// What became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resubmitted {
    /// Rows appended now, those of an act that was interrupted before included.
    pub rows: u64,
    /// Rows left out because they were appended again before.
    pub already: u64,
    /// Rows that the source topic refused again; they are in its `<topic>.rejected`.
    pub rejected: u64,
    /// Sequence of the last frame.
    pub sequence: Sequence,
}
