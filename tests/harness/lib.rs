//! The harness of the tests at the boundary: a user's day with the real `refrain` program. A [`Home`] is a project in a
//! folder of its own; it appends, runs, reads and is killed as a user's would be. Nothing here knows the engine.

#![allow(clippy::disallowed_methods, reason = "tests handle files of their own")]

mod built;
mod events;
mod home;
mod luck;
mod skip;
pub mod strace;

pub use built::{component, program, repository};
pub use events::{EVENTS, events_csv, events_csv_parts, events_jsonl, pipeline};
pub use home::{Done, Home, Running};
pub use luck::{Luck, count, patience, poll};
pub use skip::skipped;
