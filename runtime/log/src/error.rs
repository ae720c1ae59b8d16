//! What can go wrong in the log, by what the caller must do about it.

use crate::ids::Offset;

/// The result of most calls of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the log. Every message says what holds now and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Retry later: there is no room for a new segment. Nothing was written, nothing is lost; appends work again
    /// as soon as there is room.
    #[error(
        "no space left for topic {topic}, partition {partition}: nothing of this append was kept; free some space and append again"
    )]
    NoSpace {
        /// Topic that needed room.
        topic: String,
        /// Partition that needed room.
        partition: u32,
    },
    /// Reopen: a write or a sync failed, so what the file holds past its last durable row is unknown until it is
    /// opened again. Never retried by itself.
    #[error(
        "{topic}/{partition}: {action} failed ({source}); the partition takes no appends until it is reopened with `refrain reopen`; rows before offset {durable} are safe"
    )]
    Failed {
        /// Topic of the file.
        topic: String,
        /// Partition of the file.
        partition: u32,
        /// What was tried.
        action: &'static str,
        /// First offset that is not known to be durable.
        durable: Offset,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Reopen: a write failed, and the note about it could not be written either, so that nothing at all is appended.
    #[error(
        "a write failed, and so did the note of what it left behind: no topic takes appends until `refrain reopen`; what was acknowledged is safe"
    )]
    Stopped,
    /// Damage to acknowledged data. Reported, never cut away.
    #[error(
        "{topic}/{partition}: rows {first} to {last} are damaged ({what}); they were acknowledged, so they are kept in quarantine and not served; restore segment {segment} from a copy"
    )]
    Damaged {
        /// Topic of the segment.
        topic: String,
        /// Partition of the segment.
        partition: u32,
        /// First damaged offset.
        first: Offset,
        /// Last damaged offset, or the last one known to have been there.
        last: Offset,
        /// File name of the segment.
        segment: String,
        /// Which check failed.
        what: String,
    },
    /// Read from `first` on: what was asked for is older than what retention keeps.
    #[error(
        "{topic}/{partition}: retention has removed the rows before offset {first}; begin at {first} or later, or with a savepoint that has what came before"
    )]
    Removed {
        /// Topic that was read.
        topic: String,
        /// Partition that was read.
        partition: u32,
        /// First offset that is kept.
        first: Offset,
    },
    /// Put the newer `topic.spec` back: a frame is of a version of the schema that the topic's own does not have.
    #[error(
        "{topic}/{partition}: the rows from offset {first} on are written under version {version} of the topic's schema, which its topic.spec does not have; put the newest topic.spec of this log in its place, or use the release that wrote it"
    )]
    UnknownSchema {
        /// Topic that was read.
        topic: String,
        /// Partition that was read.
        partition: u32,
        /// First row of the frame.
        first: Offset,
        /// The version that it names.
        version: u32,
    },
    /// Use the release that wrote it, or a later one: a segment is of a format that this one does not know.
    #[error(
        "{topic}/{partition}: segment {segment} is of format {version}, which a later release wrote; use that release; nothing was changed"
    )]
    LaterFormat {
        /// Topic of the segment.
        topic: String,
        /// Partition of the segment.
        partition: u32,
        /// File name of the segment.
        segment: String,
        /// Version of its format.
        version: u8,
    },
    /// Alter the topic, or declare another one: what is declared is not what is there. The topic stays as it is.
    #[error("{}", crate::alter::sentence(topic, differences, refused))]
    Redeclared {
        /// The topic.
        topic: String,
        /// What differs.
        differences: Vec<crate::difference::Difference>,
        /// Why it cannot be altered; empty: it can.
        refused: Vec<String>,
    },
    /// Another process owns the data folder.
    #[error(
        "{path} is in use by another process{holder}; send commands through it, or stop it first"
    )]
    Locked {
        /// The folder.
        path: String,
        /// ` (pid 123)` when known, else empty.
        holder: String,
    },
    /// Fix the input: the request does not fit the topic.
    #[error("{0}")]
    Invalid(String),
    /// Any other answer of the operating system.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
}
