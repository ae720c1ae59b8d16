//! Joins, as processes already written: say what the rows are and what comes of them, and export the join around it.
//!
//! | question | join |
//! | --- | --- |
//! | which rows of two inputs happened near each other? | [`IntervalJoin`] |
//! | what did the table say at the time of the row? | [`AsOfJoin`] |
//! | what does the table say now, in the order of the log? | [`LatestJoin`] |
//!
//! Rows are joined by the node's key. What is late is rejected, with its reason, and touches nothing.

mod as_of;
mod interval;
mod latest;

pub use crate::late::{Kept, KeptRow};
pub use as_of::{AsOf, AsOfInput, AsOfJoin, Versions};
pub use interval::{Interval, IntervalInput, IntervalJoin, Waiting};
pub use latest::{Latest, LatestInput, LatestJoin, Now};

#[cfg(test)]
mod tests;
