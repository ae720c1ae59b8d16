//! What is appended, and what is answered: rows with who produced them, and what of them is durable.

use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::ids::{Offset, Sequence};
use crate::queue::Reply;

/// What opening found and did, one entry for each thing an operator should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Whether acknowledged rows are concerned (they are not served), or only a torn, never acknowledged tail.
    pub acknowledged: bool,
    /// First and last offset concerned, when known.
    pub offsets: Option<(Offset, Offset)>,
    /// A sentence.
    pub what: String,
}

/// Who produced rows, so that an append can be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Its name.
    pub name: String,
    /// Input row number of the first row of the batch, from 1. Numbers rise by one for each input row,
    /// rejected ones included.
    pub first_row: u64,
}

/// An input row that did not decode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undecoded {
    /// Name of the input: a file name, `-`.
    pub input: String,
    /// Line (or row) in that input, from 1.
    pub line: u64,
    /// Input row number, as the producer counts.
    pub row: u64,
    /// The bytes as they came.
    pub bytes: Vec<u8>,
    /// Why.
    pub reason: String,
}

/// One append to a source topic.
#[derive(Clone, Debug)]
pub struct Append {
    /// The topic.
    pub topic: String,
    /// Rows that decoded, in input order, in the topic's schema.
    pub rows: RecordBatch,
    /// Input row number of each row of `rows` (rising); empty: consecutive.
    pub row_numbers: Vec<u64>,
    /// Name of the input, for rows that the log itself rejects.
    pub input: String,
    /// Rows that did not decode: they go to `<topic>.rejected` in the same act.
    pub undecoded: Vec<Undecoded>,
    /// Makes the append safe to repeat.
    pub producer: Option<Producer>,
}

/// The answer to an append: everything it names is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// Rows appended now.
    pub rows: u64,
    /// Rows left out because an earlier append of the same producer had them.
    pub duplicates: u64,
    /// Rows that went to `<topic>.rejected` now, undecoded ones included.
    pub rejected: u64,
    /// Sequence of its last frame.
    pub sequence: Sequence,
}

/// An append under way.
#[derive(Debug)]
pub struct Pending(pub(super) Arc<Reply>);

impl Pending {
    /// Waits until it is durable.
    pub fn wait(self) -> Result<Appended> {
        self.0.wait()
    }
}
