//! The event log: topics, partitions, segments, frames, and what keeps them true on a disk.
//!
//! Ground state of the whole host. This crate knows nothing of plugins, nodes or views; it knows
//! bytes, rows, offsets, sequences, and what a disk may do to them.

pub mod clock;
pub mod columns;
pub mod cursor;
pub mod error;
pub mod frame;
pub mod ids;
pub mod log;
pub mod schema;
pub mod segments;
pub mod storage;
pub mod topic;

pub use error::{Error, Result};
