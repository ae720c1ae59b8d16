//! The event log: topics, partitions, segments, frames, and what keeps them true on a disk.
//!
//! Ground state of the whole host. This crate knows nothing of plugins, nodes or views; it knows
//! bytes, rows, offsets, sequences, and what a disk may do to them.

pub mod alter;
pub mod checksum;
pub mod clock;
pub mod codec;
pub mod columns;
pub mod cursor;
mod declared;
mod derived;
pub mod difference;
pub mod error;
pub mod frame;
pub mod heap;
pub mod ids;
mod index;
mod limits;
pub mod log;
mod map;
pub mod meter;
mod open;
pub mod optimize;
pub mod parts;
mod prepare;
mod queue;
mod recovery;
pub mod regroup;
pub mod retention;
mod scan;
pub mod schema;
pub mod schemas;
pub mod scrub;
mod segment;
pub mod segments;
pub mod storage;
mod tail;
pub mod topic;
mod widen;
mod writer;

pub use limits::KEYLESS_BLOCK_ROWS;

pub use error::{Error, Result};
pub use prepare::key_hash;
pub use widen::widens;
