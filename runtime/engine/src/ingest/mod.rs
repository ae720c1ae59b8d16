//! Input formats: JSON lines, CSV and Parquet, decoded once, row by row, into typed columns. A row that does not decode
//! is one reject with line, bytes and reason; it never takes its neighbours with it.

pub mod base64;
mod column;
mod csv;
mod jsonl;
mod lines;
mod parquet;
#[cfg(test)]
mod tests;
pub mod time;
pub mod value;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use refrain_log::log::Undecoded;
use refrain_log::schema::Schema;
use refrain_log::schemas::Defaults;

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
    /// What the user should know about the input as a whole, each told once: columns that are left out.
    pub notes: Vec<String>,
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
    /// What fields are that a row does not name; none: null.
    pub defaults: Defaults,
    /// Units of integer input, by field; ISO 8601 text is always taken.
    pub units: BTreeMap<String, TimeUnit>,
    /// Name of the input in messages and rejects.
    pub input: String,
    /// Input row number of the first row.
    pub first_row: u64,
}

/// Opens a decoder over a stream (JSON lines, CSV).
///
/// # Errors
/// Parquet, which needs a file; a stream that cannot be read; a header without a field of the schema that must be given.
pub fn decode_stream(
    format: Format,
    reader: Box<dyn Read + Send>,
    options: DecodeOptions,
) -> Result<Box<dyn Decoder>, IngestError> {
    let input = options.input.clone();
    let lines = || {
        lines::Lines::new(reader).map_err(|e| IngestError {
            input: input.clone(),
            what: format!("cannot be read: {e}"),
        })
    };
    match format {
        Format::Csv => Ok(Box::new(csv::Csv::new(lines()?, &options)?)),
        Format::Jsonl => Ok(Box::new(jsonl::Jsonl::new(lines()?, &options))),
        Format::Parquet => Err(IngestError {
            input,
            what: "Parquet is read from its end, so it cannot come through a pipe; give a file"
                .into(),
        }),
    }
}

/// Opens a decoder over a file of any format.
///
/// # Errors
/// A file that cannot be opened or is not of the format; columns that do not fit the schema.
#[expect(clippy::disallowed_methods, reason = "a user's own file is read")]
pub fn decode_file(
    format: Format,
    path: &Path,
    options: DecodeOptions,
) -> Result<Box<dyn Decoder>, IngestError> {
    if format == Format::Parquet {
        return Ok(Box::new(parquet::Parquet::open(path, options)?));
    }
    let file = std::fs::File::open(path).map_err(|e| IngestError {
        input: options.input.clone(),
        what: format!("cannot be opened: {e}"),
    })?;
    decode_stream(format, Box::new(file), options)
}

/// A time written by hand: ISO 8601, in microseconds since the Unix epoch.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    time::parse(text.as_bytes(), None).ok()
}

impl Format {
    /// The format that a file's name says.
    pub fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" | "json" => Some(Format::Jsonl),
            "csv" => Some(Format::Csv),
            "parquet" => Some(Format::Parquet),
            _ => None,
        }
    }
}
