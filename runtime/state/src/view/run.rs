//! A run: the rows that one commit put into a view, or several runs rewritten into one. Rows never change; they die.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder, Buffer};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;

use crate::cells::Column;

const HASH_BYTES: usize = size_of::<u128>();

/// The part of a run that never changes.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) batch: RecordBatch,
    pub(crate) keys: Vec<Column>,
    /// Of each row, 16 bytes.
    pub(crate) hashes: Buffer,
    pub(crate) finals: BooleanBuffer,
}

impl Rows {
    /// The hash of a row.
    pub(crate) fn hash(&self, row: usize) -> u128 {
        let bytes = &self.hashes[row * HASH_BYTES..][..HASH_BYTES];
        u128::from_ne_bytes(bytes.try_into().expect("sixteen bytes"))
    }
}

/// Hashes of rows, end to end.
pub(crate) fn hashes_of(hashes: &[u128]) -> Buffer {
    let mut bytes = Vec::with_capacity(hashes.len() * HASH_BYTES);
    for hash in hashes {
        bytes.extend_from_slice(&hash.to_ne_bytes());
    }
    Buffer::from_vec(bytes)
}

/// Rows, and which of them are dead (replaced or deleted). A clone is a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) rows: Arc<Rows>,
    dead: Arc<Vec<u64>>,
    pub(crate) dead_count: usize,
    pub(crate) bytes: u64,
}

impl Run {
    pub(crate) fn new(rows: Rows) -> Run {
        let count = rows.batch.num_rows();
        Run {
            bytes: rows_bytes(&rows.batch) + (count * size_of::<u128>()) as u64,
            dead: Arc::new(vec![0; count.div_ceil(64)]),
            dead_count: 0,
            rows: Arc::new(rows),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.batch.num_rows()
    }

    pub(crate) fn is_dead(&self, row: usize) -> bool {
        self.dead[row / 64] >> (row % 64) & 1 == 1
    }

    /// Marks a living row dead. Copies the marks if a reader holds a snapshot of them.
    pub(crate) fn kill(&mut self, row: usize) {
        debug_assert!(!self.is_dead(row), "a row dies once");
        Arc::make_mut(&mut self.dead)[row / 64] |= 1 << (row % 64);
        self.dead_count += 1;
    }

    /// The living rows, rising.
    pub(crate) fn living(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).filter(|row| !self.is_dead(*row))
    }

    /// The living rows of a range, and which of them are final.
    pub(crate) fn live_part(&self, rows: Range<usize>) -> (RecordBatch, BooleanBuffer) {
        let batch = self.rows.batch.slice(rows.start, rows.len());
        if self.dead_count == 0 {
            return (batch, self.rows.finals.slice(rows.start, rows.len()));
        }
        let mask = BooleanBuffer::collect_bool(rows.len(), |i| !self.is_dead(rows.start + i));
        let batch =
            filter_record_batch(&batch, &mask.into()).expect("the mask is as long as the part");
        let mut finals = BooleanBufferBuilder::new(batch.num_rows());
        rows.filter(|row| !self.is_dead(*row))
            .for_each(|row| finals.append(self.rows.finals.value(row)));
        (batch, finals.finish())
    }
}

/// A part of a run.
pub(crate) type RunPart = (Run, Range<usize>);

/// The living rows of parts of runs as one; none if they do not fit into one batch (more than 2 GiB in one column).
pub(crate) fn merge(
    parts: &[RunPart],
    key_kinds: &dyn Fn(&RecordBatch) -> Vec<Column>,
) -> Option<Rows> {
    let live = parts
        .iter()
        .map(|(run, rows)| run.live_part(rows.clone()).0);
    let live: Vec<RecordBatch> = live.collect();
    let batch = concat_batches(&live.first()?.schema(), &live).ok()?;
    let mut hashes = Vec::with_capacity(batch.num_rows() * HASH_BYTES);
    let mut finals = BooleanBufferBuilder::new(batch.num_rows());
    for (run, rows) in parts {
        for row in rows.clone().filter(|row| !run.is_dead(*row)) {
            hashes.extend_from_slice(&run.rows.hash(row).to_ne_bytes());
            finals.append(run.rows.finals.value(row));
        }
    }
    let keys = key_kinds(&batch);
    Some(Rows {
        batch,
        keys,
        hashes: Buffer::from_vec(hashes),
        finals: finals.finish(),
    })
}

/// Bytes of the values of a batch, as they would be written: nothing of what its buffers hold beside them.
pub(crate) fn rows_bytes(batch: &RecordBatch) -> u64 {
    use arrow_schema::DataType;
    let count = batch.num_rows();
    let bytes = |array: &dyn Array| match array.data_type() {
        DataType::Boolean => count.div_ceil(8),
        DataType::Utf8 => span_bytes(array.as_string::<i32>().offsets()) + 4 * count,
        DataType::Binary => span_bytes(array.as_binary::<i32>().offsets()) + 4 * count,
        _ => 8 * count,
    };
    batch.columns().iter().map(|c| bytes(c) as u64).sum()
}

fn span_bytes(offsets: &[i32]) -> usize {
    (offsets[offsets.len() - 1] - offsets[0]) as usize
}
