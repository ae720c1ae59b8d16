//! One running copy of a plugin, and the calls it takes. Columns in, columns out.

use arrow_array::ArrayRef;
use arrow_buffer::Buffer;

use crate::fault::Fault;

/// What one instance may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Linear memory in bytes. Default 256 MiB.
    pub memory_bytes_max: u64,
    /// Time of one call in milliseconds. Default 10,000.
    pub call_ms_max: u64,
    /// Bytes that one answer may have. Default 64 MiB.
    pub answer_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 256 << 20,
            call_ms_max: 10_000,
            answer_bytes_max: 64 << 20,
        }
    }
}

/// Rows for one call: `count` rows of each column, from row `start` on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// In the order of [`crate::About::inputs`], with the Arrow types of their kinds. Empty when none is declared.
    pub columns: &'a [ArrayRef],
    /// First row.
    pub start: usize,
    /// How many rows.
    pub count: usize,
}

/// Row `rows[i]` (counted from the input's start) goes to slot `slots[i]`; `rows` empty: row i.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a> {
    /// Rows.
    pub rows: &'a [u32],
    /// Slots.
    pub slots: &'a [u32],
}

/// A row that the plugin refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Row, counted from the input's start.
    pub row: u32,
    /// Why, in the plugin's words.
    pub reason: String,
}

/// The answer of a transform, checked: columns of the declared outputs with equal lengths, valid UTF-8, nulls only where
/// declared, one NaN, origins in order and in range, no output of a rejected row.
#[derive(Clone, Debug)]
pub struct Transformed {
    /// In the order of [`crate::About::outputs`].
    pub columns: Vec<ArrayRef>,
    /// How many rows.
    pub count: usize,
    /// Input row of each; empty: row i comes from row i.
    pub origins: Vec<u32>,
    /// Rows refused, rising.
    pub rejects: Vec<Reject>,
}

/// The answer of `evaluate`, checked like [`Transformed`].
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// One row for each slot asked for.
    pub columns: Vec<ArrayRef>,
    /// Bitmap; none: all are present.
    pub present: Option<arrow_buffer::BooleanBuffer>,
}

/// States as the plugin's bytes: state i is `bytes[ends[i-1]..ends[i]]`.
#[derive(Clone, Debug, Default)]
pub struct States {
    /// Where each ends.
    pub ends: Vec<u32>,
    /// All of them.
    pub bytes: Vec<u8>,
}

impl States {
    /// State i.
    pub fn get(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.bytes[start..self.ends[i] as usize]
    }

    /// Adds one.
    pub fn push(&mut self, state: &[u8]) {
        self.bytes.extend_from_slice(state);
        self.ends
            .push(u32::try_from(self.bytes.len()).expect("states of one call stay below 4 GiB"));
    }
}

/// One running copy of a plugin. After any [`Fault`] it is of no use and is to be dropped.
pub struct Instance {
    _private: Buffer,
}

impl Instance {
    /// `transform.process`.
    pub fn transform(&mut self, _input: Input<'_>) -> Result<Transformed, Fault> {
        todo!()
    }

    /// `fold.update`. Rejects are rising, one a row at most.
    pub fn update(
        &mut self,
        _input: Input<'_>,
        _entries: Entries<'_>,
    ) -> Result<Vec<Reject>, Fault> {
        todo!()
    }

    /// `fold.evaluate`. `keys` only matter when the plugin wants them.
    pub fn evaluate(&mut self, _slots: &[u32], _keys: Input<'_>) -> Result<Evaluated, Fault> {
        todo!()
    }

    /// `fold.save`.
    pub fn save(&mut self, _slots: &[u32]) -> Result<States, Fault> {
        todo!()
    }

    /// `fold.restore`.
    pub fn restore(&mut self, _slots: &[u32], _states: &States) -> Result<(), Fault> {
        todo!()
    }

    /// `fold.release`.
    pub fn release(&mut self, _slots: &[u32]) -> Result<(), Fault> {
        todo!()
    }
}
