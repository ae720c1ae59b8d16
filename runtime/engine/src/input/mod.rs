//! What a task takes: the rows of its inputs up to a cut, in log order, as batches of columns.

mod batch;
mod exchange;
mod reader;
mod split;

pub use batch::{Apart, Batch, Lane, Lanes, Mover, Run};
pub use exchange::{Exchange, Feed, Next, QUEUE_BATCHES};
pub use reader::{Reader, Source, Wanted};
pub use split::Splitter;
