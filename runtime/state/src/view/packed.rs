//! Rows of a view as values of the tree, and batches of them.
//!
//! ```text
//! u8            1: the row is final, else 0
//! 16 bytes LE   hash of the row, of which the digest is made
//! bitmap        of the fields that are no key: which are there, least significant bit first
//! each of them that is there: bool 1 byte · i64, timestamp, f64 8 bytes LE · text, bytes u32 LE length, then the bytes
//! ```

use arrow_array::RecordBatch;
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use arrow_schema::SchemaRef;
use refrain_log::schema::{Kind, Schema};

use super::builder::Builder;
use super::ordered;
use super::run::Rows;
use crate::cells::{Cells, Column};

/// Bytes before the fields.
const HEAD_BYTES: usize = 17;
/// A batch of rows has at most so many bytes of values, so that offsets fit.
pub(super) const BATCH_BYTES_MAX: usize = i32::MAX as usize;

/// What a row stands for in its view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stands {
    pub(super) hash: u128,
    pub(super) is_final: bool,
}

impl Stands {
    pub(super) fn of(rows: &Rows, row: usize) -> Stands {
        Stands {
            hash: rows.hash(row),
            is_final: rows.finals.value(row),
        }
    }

    /// Out of the value of a row. None: it is none.
    pub(super) fn read(value: &[u8]) -> Option<Stands> {
        let (is_final, rest) = value.split_first()?;
        let (hash, _) = rest.split_first_chunk::<16>()?;
        Some(Stands {
            hash: u128::from_le_bytes(*hash),
            is_final: *is_final == 1,
        })
    }
}

/// Appends the value of a row; `fields` are those that are no key.
pub(super) fn encode(stands: Stands, fields: &[Column], row: usize, bytes: &mut Vec<u8>) {
    bytes.push(u8::from(stands.is_final));
    bytes.extend_from_slice(&stands.hash.to_le_bytes());
    let bitmap = bytes.len();
    bytes.resize(bitmap + fields.len().div_ceil(8), 0);
    for (i, field) in fields.iter().enumerate() {
        if field.is_null(row) {
            continue;
        }
        bytes[bitmap + i / 8] |= 1 << (i % 8);
        match &field.cells {
            Cells::Bools(values) => bytes.push(u8::from(values.value(row))),
            Cells::Ints(values) => bytes.extend_from_slice(&values[row].to_le_bytes()),
            Cells::Floats(values) => {
                bytes.extend_from_slice(&values[row].to_bits().to_le_bytes());
            }
            Cells::Spans(..) => {
                let span = field.span(row);
                let length = u32::try_from(span.len()).expect("a value stays below 4 GiB");
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(span);
            }
        }
    }
}

/// A batch under construction.
#[derive(Debug)]
pub(super) struct Batch {
    arrow: SchemaRef,
    key_fields: usize,
    builders: Vec<Builder>,
    finals: BooleanBufferBuilder,
    bytes: usize,
}

impl Batch {
    pub(super) fn new(schema: &Schema, key_fields: usize) -> Batch {
        let kinds = schema.fields().iter().map(|field| field.kind);
        Batch {
            arrow: schema.arrow(),
            key_fields,
            builders: kinds.map(Builder::new).collect(),
            finals: BooleanBufferBuilder::new(0),
            bytes: 0,
        }
    }

    /// Rows in it.
    pub(super) fn rows(&self) -> usize {
        self.finals.len()
    }

    /// Bytes of their keys and values.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a row. None: this is none; the batch cannot be used any more.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let (keys, fields) = self.builders.split_at_mut(self.key_fields);
        ordered::decode(key, keys)?;
        let stands = Stands::read(value)?;
        let bitmap_bytes = fields.len().div_ceil(8);
        let (bitmap, mut rest) = value[HEAD_BYTES..].split_at_checked(bitmap_bytes)?;
        for (i, field) in fields.iter_mut().enumerate() {
            match bitmap[i / 8] >> (i % 8) & 1 == 1 {
                true => rest = push_value(field, rest)?,
                false => field.push_null(),
            }
        }
        self.finals.append(stands.is_final);
        self.bytes += key.len() + value.len();
        rest.is_empty().then_some(())
    }

    /// The rows, and which of them are final.
    pub(super) fn finish(mut self) -> (RecordBatch, BooleanBuffer) {
        let columns = self.builders.iter_mut().map(Builder::finish).collect();
        let rows = RecordBatch::try_new(self.arrow, columns);
        let rows = rows.expect("columns of the schema's kinds; what is never null was there");
        (rows, self.finals.finish())
    }
}

/// What follows a value.
fn push_value<'a>(field: &mut Builder, bytes: &'a [u8]) -> Option<&'a [u8]> {
    match field.kind() {
        Kind::Bool => {
            let (value, rest) = bytes.split_first()?;
            field.push_bool(*value == 1);
            Some(rest)
        }
        Kind::I64 | Kind::Timestamp => {
            let (value, rest) = bytes.split_first_chunk::<8>()?;
            field.push_int(i64::from_le_bytes(*value));
            Some(rest)
        }
        Kind::F64 => {
            let (value, rest) = bytes.split_first_chunk::<8>()?;
            field.push_float(f64::from_bits(u64::from_le_bytes(*value)));
            Some(rest)
        }
        Kind::Text | Kind::Bytes => {
            let (length, rest) = bytes.split_first_chunk::<4>()?;
            let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            field.push_span(value)?;
            Some(rest)
        }
    }
}
