//! Input formats: JSON lines, CSV and Parquet, decoded once, row by row, into typed columns. A row that does not decode
//! is one reject with line, bytes and reason; it never takes its neighbours with it.

pub mod base64;
pub mod time;
pub mod value;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use refrain_log::log::Undecoded;
use refrain_log::schema::Schema;

/// A format of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// CSV with a header line; columns found by name.
    Csv,
    /// Parquet; columns found by name.
    Parquet,
}

/// Unit of integer input for a timestamp field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum TimeUnit {
    /// Seconds
    S,
    /// Milliseconds
    Ms,
    /// Microseconds
    Us,
    /// Nanoseconds
    Ns,
}

/// Rows decoded from an input.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// Rows, in the schema.
    pub rows: RecordBatch,
    /// Input row number of each.
    pub row_numbers: Vec<u64>,
    /// Rows that did not decode.
    pub undecoded: Vec<Undecoded>,
    /// Bytes of input consumed so far, for a progress bar.
    pub bytes_read: u64,
}

/// A source of decoded rows.
pub trait Decoder: Send {
    /// The next rows, at most `rows_max`; `None` at the end of the input. An error is about the input as a whole
    /// (no header, not Parquet, cannot be read), not about a row.
    fn next(&mut self, rows_max: usize) -> Result<Option<Decoded>, IngestError>;
}

/// The input as a whole cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{input}: {what}")]
pub struct IngestError {
    /// File name or `-`.
    pub input: String,
    /// What is wrong, and what to do.
    pub what: String,
}

/// How rows are decoded.
#[derive(Clone, Debug)]
pub struct DecodeOptions {
    /// The topic's schema.
    pub schema: Arc<Schema>,
    /// Units of integer input, by field; ISO 8601 text is always taken.
    pub units: BTreeMap<String, TimeUnit>,
    /// Name of the input in messages and rejects.
    pub input: String,
    /// Input row number of the first row.
    pub first_row: u64,
}

/// Opens a decoder over a stream (JSON lines, CSV).
pub fn decode_stream(
    _format: Format,
    _reader: Box<dyn Read + Send>,
    _options: DecodeOptions,
) -> Result<Box<dyn Decoder>, IngestError> {
    todo!()
}

/// Opens a decoder over a file of any format.
pub fn decode_file(
    _format: Format,
    _path: &Path,
    _options: DecodeOptions,
) -> Result<Box<dyn Decoder>, IngestError> {
    todo!()
}
