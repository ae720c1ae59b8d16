//! Keyed state, views and the one commit: the commit log, the stores read from it, and digests.
//! Knows the log; knows no plugin, window or pipeline file. Keys and states are bytes to it, view rows are typed.

mod base;
mod cells;
pub mod commit;
mod committer;
pub mod digest;
pub mod error;
pub mod height;
mod held;
mod host;
mod reader;
mod record;
mod recover;
pub mod registry;
pub mod store;
pub mod view;

pub use error::{Error, Result};
pub use reader::TaskReader;
