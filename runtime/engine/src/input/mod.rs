//! What a task takes: the rows of its inputs up to a cut, in log order, as batches of columns.

mod batch;
mod reader;

pub use batch::{Batch, Lane, Lanes, Run};
pub use reader::{Reader, Source, Wanted};
