//! The digest of a view: sum modulo 2^128 of the xxh3-128 hashes of its rows.
//!
//! A row's hash is taken over (field name, type, canonical value) of its fields that are not null, in order of name, so
//! that a new nullable field changes nothing. The sum can be kept incrementally. It guards against error, not fraud.
//!
//! The bytes hashed, for each field that is not null, in bytewise order of name:
//!
//! ```text
//! u16 LE  length of the name      u8  kind: 1 bool, 2 i64, 3 f64, 4 text, 5 bytes, 6 timestamp
//! name, UTF-8                     value: bool 1 byte; i64, timestamp, f64 8 bytes LE (every NaN 0x7ff8000000000000);
//!                                        text and bytes u32 LE length, then the bytes
//! ```

use arrow_array::RecordBatch;
use refrain_log::schema::{Field, Kind, Schema};
use xxhash_rust::xxh3::xxh3_128;

use crate::cells::{Cells, Column, canonical_bits};

/// The hash of each row of a batch in `schema`.
///
/// # Panics
/// When the columns of `rows` are not of the types of `schema`.
pub fn row_hashes(rows: &RecordBatch, schema: &Schema) -> Vec<u128> {
    let mut hashes = Vec::with_capacity(rows.num_rows());
    each_row(rows, schema, |bytes| hashes.push(xxh3_128(bytes)));
    hashes
}

/// Hands over the canonical bytes of each row of a batch in `schema`, in order: what the digest hashes.
///
/// # Panics
/// As [`row_hashes`].
pub fn each_row(rows: &RecordBatch, schema: &Schema, mut take: impl FnMut(&[u8])) {
    let columns = Column::of_batch(rows, schema, schema.fields().len())
        .expect("the rows to hash are in the schema given with them");
    let pieces = pieces(schema, &columns);
    let mut bytes = Vec::with_capacity(256);
    for row in 0..rows.num_rows() {
        bytes.clear();
        pieces
            .iter()
            .for_each(|piece| piece.write(&columns, row, &mut bytes));
        take(&bytes);
    }
}

/// The digest of all rows of a batch in `schema`: what a view of exactly these rows has.
///
/// # Panics
/// As [`row_hashes`].
pub fn digest(rows: &RecordBatch, schema: &Schema) -> u128 {
    row_hashes(rows, schema)
        .into_iter()
        .fold(0, u128::wrapping_add)
}

/// A stretch of a row's bytes: fixed bytes with holes for values of known width, then at most one value that is not.
#[derive(Debug, Default)]
struct Piece {
    template: Vec<u8>,
    slots: Vec<Slot>,
    tail: Option<Tail>,
}

/// A hole in a template.
#[derive(Debug)]
struct Slot {
    at: usize,
    column: usize,
}

/// A value of varying width, or one that may be missing together with its name.
#[derive(Debug)]
enum Tail {
    Span(usize),
    Nullable { column: usize, prefix: Vec<u8> },
}

/// How rows of these columns are laid out for hashing.
fn pieces(schema: &Schema, columns: &[Column]) -> Vec<Piece> {
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by(|a, b| schema.fields()[*a].name.cmp(&schema.fields()[*b].name));
    let mut pieces = vec![Piece::default()];
    for column in order {
        let piece = pieces
            .last_mut()
            .expect("there is always a piece to add to");
        if piece.add(&schema.fields()[column], column, &columns[column]) {
            pieces.push(Piece::default());
        }
    }
    pieces
}

/// What stands before a value.
fn prefix(field: &Field) -> Vec<u8> {
    let kind = match field.kind {
        Kind::Bool => 1,
        Kind::I64 => 2,
        Kind::F64 => 3,
        Kind::Text => 4,
        Kind::Bytes => 5,
        Kind::Timestamp => 6,
    };
    let length = u16::try_from(field.name.len()).expect("names of fields are short");
    [&length.to_le_bytes()[..], &[kind], field.name.as_bytes()].concat()
}

impl Piece {
    /// Adds a column; true when nothing can follow it in this piece.
    fn add(&mut self, field: &Field, column: usize, values: &Column) -> bool {
        if values.nulls.is_some() {
            self.tail = Some(Tail::Nullable {
                column,
                prefix: prefix(field),
            });
            return true;
        }
        self.template.extend(prefix(field));
        let width = match field.kind {
            Kind::Text | Kind::Bytes => {
                self.tail = Some(Tail::Span(column));
                return true;
            }
            Kind::Bool => 1,
            Kind::I64 | Kind::F64 | Kind::Timestamp => 8,
        };
        self.slots.push(Slot {
            at: self.template.len(),
            column,
        });
        self.template.resize(self.template.len() + width, 0);
        false
    }

    fn write(&self, columns: &[Column], row: usize, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        bytes.extend_from_slice(&self.template);
        for slot in &self.slots {
            let hole = &mut bytes[start + slot.at..];
            match &columns[slot.column].cells {
                Cells::Ints(values) => hole[..8].copy_from_slice(&values[row].to_le_bytes()),
                Cells::Floats(values) => {
                    hole[..8].copy_from_slice(&canonical_bits(values[row]).to_le_bytes());
                }
                Cells::Bools(values) => hole[0] = u8::from(values.value(row)),
                Cells::Spans(..) => unreachable!("spans are tails"),
            }
        }
        match &self.tail {
            None => {}
            Some(Tail::Span(column)) => write_value(&columns[*column], row, bytes),
            Some(Tail::Nullable { column, .. }) if columns[*column].is_null(row) => {}
            Some(Tail::Nullable { column, prefix }) => {
                bytes.extend_from_slice(prefix);
                write_value(&columns[*column], row, bytes);
            }
        }
    }
}

fn write_value(column: &Column, row: usize, bytes: &mut Vec<u8>) {
    match &column.cells {
        Cells::Bools(values) => bytes.push(u8::from(values.value(row))),
        Cells::Ints(values) => bytes.extend_from_slice(&values[row].to_le_bytes()),
        Cells::Floats(values) => {
            bytes.extend_from_slice(&canonical_bits(values[row]).to_le_bytes())
        }
        Cells::Spans(..) => {
            let span = column.span(row);
            let length = u32::try_from(span.len()).expect("a value stays below 4 GiB");
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(span);
        }
    }
}

#[cfg(test)]
mod tests;
