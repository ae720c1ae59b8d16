//! What commands ask about what is kept, and what they are told.

use refrain_log::ids::{Offset, Timestamp};
use refrain_log::optimize::Optimized;
use refrain_log::scrub::Scrubbed;
use serde::{Deserialize, Serialize};

use super::report::TopicKept;
use super::savepoint::SavepointStatus;

/// A request about what is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Remove rows of a topic by hand.
    Trim(TrimOrder),
    /// Read a segment, every byte of it.
    Scrub(Scrub),
    /// Merge the small frames of a segment.
    Optimize(OptimizeOrder),
    /// What is kept of each topic, and what it takes.
    Report,
    /// Make a savepoint of this name.
    Save(String),
    /// All savepoints.
    Savepoints,
    /// Remove a savepoint.
    Unsave {
        /// Its name.
        name: String,
        /// Do it; else only say what would go.
        confirm: bool,
    },
}

/// An answer about what is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Request::Trim`].
    Trimmed(Trimmed),
    /// To [`Request::Scrub`]; none: there is no such segment any more.
    Scrubbed(Option<Scrubbed>),
    /// To [`Request::Optimize`]; none: there is no such segment any more.
    Optimized(Option<Optimized>),
    /// To [`Request::Report`].
    Report(Vec<TopicKept>),
    /// To [`Request::Save`].
    Saved(SavepointStatus),
    /// To [`Request::Savepoints`].
    Savepoints(Vec<SavepointStatus>),
    /// To [`Request::Unsave`]: what it was; whether it is gone.
    Unsaved(SavepointStatus, bool),
}

/// The first segment that begins at or after an offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrub {
    /// Topic and partition; none: the commit log.
    pub place: Option<(String, u32)>,
    /// The offset.
    pub from: Offset,
}

/// The first segment of a partition that begins at or after an offset and takes no appends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptimizeOrder {
    /// The topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// The offset.
    pub from: Offset,
    /// Only say what would become of it.
    pub dry_run: bool,
}

/// Up to where rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Before {
    /// Rows before this offset of a partition.
    Offset(Offset),
    /// Rows appended before this time.
    Time(Timestamp),
}

/// Rows to be removed by hand: whole segments that end before a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrimOrder {
    /// The topic.
    pub topic: String,
    /// Only this partition; none: all.
    pub partition: Option<u32>,
    /// Up to where.
    pub before: Before,
    /// Do it; else only say what would go.
    pub confirm: bool,
}

/// What went from a topic, or would go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trimmed {
    /// The topic.
    pub topic: String,
    /// Whether it is done.
    pub done: bool,
    /// Rows.
    pub rows: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// The first offset that is kept then, of partitions that lose rows.
    pub firsts: Vec<(u32, Offset)>,
    /// Bytes that would go, too, if nobody needed them.
    pub held_bytes: u64,
    /// Who needs them most.
    pub held_by: Option<String>,
}
