//! What is kept: how much of each topic, and the host at named moments.
//!
//! Retention takes whole sealed segments from the old end of a topic, as its rule says by the append times in the log, and
//! never what a version of a node or a savepoint has still to read. A savepoint is a folder with a second name for every
//! file that the host had at one commit. Before retention takes rows that results were made of, the base savepoint is
//! made, so that results can be had back without them. Small frames of segments that take no appends are merged into large
//! ones. None of it changes a result.

mod act;
mod alike;
mod decide;
mod earliest;
mod folder;
pub mod horizon;
mod needs;
pub(crate) mod opened;
mod optimize;
pub mod report;
pub mod request;
pub mod restore;
pub mod savepoint;

pub use act::KEEP_EVERY;
pub(crate) use act::log_trimmed;
pub use alike::alike;
pub(crate) use opened::{Opened, clear};
pub use optimize::OPTIMIZE_AFTER;
