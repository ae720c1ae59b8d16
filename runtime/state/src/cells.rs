//! Typed access to the columns of a batch: equality, order, hashes of key values. Cheap to clone, no copy of the rows.
//!
//! The order of keys: null first, `false` before `true`, numbers and timestamps by value, text and bytes bytewise.

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use refrain_log::schema::{Kind, Schema};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Error, Result};

/// The bit pattern of every NaN.
pub(crate) const NAN_BITS: u64 = 0x7ff8_0000_0000_0000;

/// The values of one column.
#[derive(Clone, Debug)]
pub(crate) enum Cells {
    Bools(BooleanBuffer),
    Ints(ScalarBuffer<i64>),
    Floats(ScalarBuffer<f64>),
    Spans(OffsetBuffer<i32>, Buffer),
}

/// One column: its values, and which of them are missing.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) cells: Cells,
    pub(crate) nulls: Option<NullBuffer>,
}

impl Column {
    /// The column behind an array of this kind.
    pub(crate) fn of(array: &ArrayRef, kind: Kind) -> Result<Column> {
        if *array.data_type() != kind.arrow() {
            return Err(Error::Invalid(format!(
                "a column of type {} was given where `{}` is declared",
                array.data_type(),
                kind.name()
            )));
        }
        let cells = match kind {
            Kind::Bool => Cells::Bools(array.as_boolean().values().clone()),
            Kind::I64 => Cells::Ints(array.as_primitive::<Int64Type>().values().clone()),
            Kind::Timestamp => Cells::Ints(
                array
                    .as_primitive::<TimestampMicrosecondType>()
                    .values()
                    .clone(),
            ),
            Kind::F64 => Cells::Floats(array.as_primitive::<Float64Type>().values().clone()),
            Kind::Text => {
                let texts = array.as_string::<i32>();
                Cells::Spans(texts.offsets().clone(), texts.values().clone())
            }
            Kind::Bytes => {
                let bytes = array.as_binary::<i32>();
                Cells::Spans(bytes.offsets().clone(), bytes.values().clone())
            }
        };
        let nulls = array.nulls().filter(|n| n.null_count() > 0).cloned();
        Ok(Column { cells, nulls })
    }

    /// The first `count` columns of a batch whose fields are those of `schema`.
    pub(crate) fn of_batch(
        rows: &RecordBatch,
        schema: &Schema,
        count: usize,
    ) -> Result<Vec<Column>> {
        if rows.num_columns() < count || schema.fields().len() < count {
            return Err(Error::Invalid(format!(
                "{} columns were given where {count} are declared",
                rows.num_columns()
            )));
        }
        let fields = schema.fields().iter().zip(rows.columns());
        fields
            .take(count)
            .map(|(field, array)| Column::of(array, field.kind))
            .collect()
    }

    /// Whether value `i` is missing.
    pub(crate) fn is_null(&self, i: usize) -> bool {
        self.nulls.as_ref().is_some_and(|n| n.is_null(i))
    }

    /// Whether value `i` equals value `j` of a column of the same kind.
    pub(crate) fn same(&self, i: usize, other: &Column, j: usize) -> bool {
        self.compare(i, other, j) == Ordering::Equal
    }

    /// How value `i` and value `j` of a column of the same kind are ordered.
    pub(crate) fn compare(&self, i: usize, other: &Column, j: usize) -> Ordering {
        if self.nulls.is_some() || other.nulls.is_some() {
            match (self.is_null(i), other.is_null(j)) {
                (true, true) => return Ordering::Equal,
                (true, false) => return Ordering::Less,
                (false, true) => return Ordering::Greater,
                (false, false) => {}
            }
        }
        match (&self.cells, &other.cells) {
            (Cells::Ints(a), Cells::Ints(b)) => a[i].cmp(&b[j]),
            (Cells::Spans(..), Cells::Spans(..)) => self.span(i).cmp(other.span(j)),
            (Cells::Bools(a), Cells::Bools(b)) => a.value(i).cmp(&b.value(j)),
            (Cells::Floats(a), Cells::Floats(b)) => a[i].total_cmp(&b[j]),
            _ => unreachable!("columns of one field have one kind"),
        }
    }

    /// Bytes of value `i` of a text or bytes column; empty for others.
    pub(crate) fn span(&self, i: usize) -> &[u8] {
        match &self.cells {
            Cells::Spans(offsets, bytes) => &bytes[offsets[i] as usize..offsets[i + 1] as usize],
            _ => &[],
        }
    }

    /// A number that never contradicts [`Column::compare`]: smaller means earlier, equal means look closer.
    pub(crate) fn rank(&self, i: usize) -> u64 {
        if self.is_null(i) {
            return 0;
        }
        match &self.cells {
            Cells::Bools(values) => u64::from(values.value(i)) + 1,
            Cells::Ints(values) => (values[i] as u64) ^ (1 << 63),
            Cells::Floats(_) => 0,
            Cells::Spans(..) => {
                let span = self.span(i);
                let mut head = [0; 8];
                let n = span.len().min(8);
                head[..n].copy_from_slice(&span[..n]);
                u64::from_be_bytes(head)
            }
        }
    }

    /// Folds each value into the hash of its row.
    fn mix(&self, hashes: &mut [u64]) {
        for (i, hash) in hashes.iter_mut().enumerate() {
            let value = match &self.cells {
                _ if self.is_null(i) => 0x6e75_6c6c,
                Cells::Ints(values) => values[i] as u64,
                Cells::Bools(values) => u64::from(values.value(i)),
                Cells::Floats(values) => canonical_bits(values[i]),
                Cells::Spans(..) => xxh3_64(self.span(i)),
            };
            *hash = fold(*hash ^ value);
        }
    }
}

/// Bits of a number, one pattern for every NaN.
pub(crate) fn canonical_bits(value: f64) -> u64 {
    if value.is_nan() {
        NAN_BITS
    } else {
        value.to_bits()
    }
}

/// Spreads every bit of `value` over the whole word.
fn fold(value: u64) -> u64 {
    let wide = u128::from(value ^ 0x2d35_8dcc_aa6c_78a5) * u128::from(0x8bb8_4b93_962e_acc9_u64);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// A hash of each row of key columns. In memory only: never stored.
pub(crate) fn key_hashes(keys: &[Column], rows: usize) -> Vec<u32> {
    let mut hashes = vec![0x9e37_79b9_7f4a_7c15; rows];
    keys.iter().for_each(|column| column.mix(&mut hashes));
    hashes.into_iter().map(|h| (h >> 32) as u32).collect()
}

/// Whether row `i` of `a` and row `j` of `b` have the same key.
pub(crate) fn same_key(a: &[Column], i: usize, b: &[Column], j: usize) -> bool {
    a.iter().zip(b).all(|(x, y)| x.same(i, y, j))
}

/// The order of row `i` of `a` and row `j` of `b`, over as many columns as both have.
pub(crate) fn compare_keys(a: &[Column], i: usize, b: &[Column], j: usize) -> Ordering {
    let each = a.iter().zip(b).map(|(x, y)| x.compare(i, y, j));
    each.into_iter()
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}
