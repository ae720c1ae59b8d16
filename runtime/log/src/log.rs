//! All topics of a host, and the one writer thread that appends to them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::clock::Clock;
use crate::frame::Origins;
use crate::ids::{Offset, Sequence};
use crate::storage::Storage;
use crate::topic::{Topic, TopicSpec};

/// The topics of a host, open. One process at a time.
#[derive(Debug)]
pub struct Log {
    _private: (),
}

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
pub struct Pending {
    _private: (),
}

impl Pending {
    /// Waits until it is durable.
    pub fn wait(self) -> Result<Appended> {
        todo!()
    }
}

impl Log {
    /// Opens the log in `folder`, making it when absent, and recovers it. Does not take the folder's lock: the host
    /// holds one for the log and the state together.
    pub fn open(
        _storage: Arc<dyn Storage>,
        _clock: Arc<dyn Clock>,
        _folder: PathBuf,
    ) -> Result<(Log, Vec<Finding>)> {
        todo!()
    }

    /// Makes the topic, and for a source topic its `<topic>.rejected`. The same declaration again is no change; a
    /// changed one is refused with a sentence that says what to do, except for `ahead`, `idle` and `segment_bytes`,
    /// which may change.
    pub fn declare(&self, _spec: TopicSpec) -> Result<Arc<Topic>> {
        todo!()
    }

    /// The topic of that name.
    pub fn topic(&self, _name: &str) -> Option<Arc<Topic>> {
        todo!()
    }

    /// All topics, by name.
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        todo!()
    }

    /// Hands an append to the writer. Blocks while its queue (bounded in bytes) is full.
    pub fn submit(&self, _append: Append) -> Result<Pending> {
        todo!()
    }

    /// [`Log::submit`] and [`Pending::wait`].
    pub fn append(&self, append: Append) -> Result<Appended> {
        self.submit(append)?.wait()
    }

    /// Every source frame with a sequence up to this is durable and published.
    pub fn durable(&self) -> Sequence {
        todo!()
    }

    /// Waits until [`Log::durable`] is greater than `after`, or for at most `patience`; what it is then.
    pub fn wait_beyond(&self, _after: Sequence, _patience: Duration) -> Sequence {
        todo!()
    }

    /// Wakes all who wait in [`Log::wait_beyond`].
    pub fn wake(&self) {
        todo!()
    }

    /// The writer of one partition of a derived topic; one at a time.
    pub fn derived(&self, _topic: &str, _partition: u32) -> Result<DerivedWriter> {
        todo!()
    }

    /// After a restart: cuts a partition of a derived topic back to the end that the last commit names. Before anything
    /// reads it.
    pub fn cut_derived(&self, _topic: &str, _partition: u32, _end: Offset) -> Result<()> {
        todo!()
    }

    /// Opens a partition again after [`crate::Error::Failed`], as after a restart.
    pub fn reopen(&self, _topic: &str, _partition: u32) -> Result<Vec<Finding>> {
        todo!()
    }
}

/// Appends to one partition of a derived topic. What it appends is seen by readers when it is published.
#[derive(Debug)]
pub struct DerivedWriter {
    _private: (),
}

impl DerivedWriter {
    /// Appends one frame. `rows` in the topic's schema; `origins` has one entry of `rows` for each row.
    pub fn append(&mut self, _rows: &RecordBatch, _origins: &Origins) -> Result<()> {
        todo!()
    }

    /// Makes all that was appended durable; the end offset for the commit record.
    pub fn sync(&mut self) -> Result<Offset> {
        todo!()
    }

    /// Readers see everything up to this offset from now on: its commit is durable.
    pub fn publish(&mut self, _end: Offset) {
        todo!()
    }

    /// Forgets all that was appended since the last publish: the node's attempt failed.
    pub fn rollback(&mut self) -> Result<()> {
        todo!()
    }
}
