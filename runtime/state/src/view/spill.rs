//! Rows of a view on the disk: those of a large run, and their hashes, are written into a file without a name and looked at
//! through a map, so that they need not be in memory. Nothing of it outlives the process: the commit log has all rows.

use std::io;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use refrain_log::schema::{Kind, Schema};
use refrain_log::scratch::Scratch;

use super::run::Rows;
use crate::cells::{Cells, Column};

/// Runs of at least so many bytes go to the disk.
pub(crate) const SPILL_BYTES_MIN: u64 = 1 << 20;

impl Rows {
    /// The same rows, on the disk. After an error these are as good as before.
    pub(crate) fn on_disk(
        &self,
        scratch: &Scratch,
        schema: &Schema,
        key_fields: usize,
    ) -> io::Result<Rows> {
        let fields = schema.fields();
        let columns = Column::of_batch(&self.batch, schema, fields.len());
        let columns = columns.expect("rows of a view are in its schema");
        let rows = self.batch.num_rows();
        let mut parts: Vec<Buffer> = Vec::new();
        for column in &columns {
            column.parts(rows, &mut parts);
        }
        parts.push(self.hashes.clone());
        let bytes: Vec<&[u8]> = parts.iter().map(Buffer::as_slice).collect();
        let mut kept = scratch.keep(&bytes)?.into_iter();
        let arrays = columns.iter().zip(fields);
        let arrays = arrays.map(|(column, field)| array(column, field.kind, rows, &mut kept));
        let arrays: Vec<ArrayRef> = arrays.collect();
        let batch = RecordBatch::try_new(self.batch.schema(), arrays);
        let batch = batch.expect("the same columns of the same types");
        let keys = Column::of_batch(&batch, schema, key_fields);
        Ok(Rows {
            keys: keys.expect("rows of a view are in its schema"),
            batch,
            hashes: next(&mut kept),
            finals: self.finals.clone(),
            on_disk: true,
        })
    }
}

impl Column {
    /// Its buffers, without anything that lies before or behind its values.
    fn parts(&self, rows: usize, parts: &mut Vec<Buffer>) {
        match &self.cells {
            Cells::Bools(values) => parts.push(values.sliced()),
            Cells::Ints(values) => parts.push(values.inner().clone()),
            Cells::Floats(values) => parts.push(values.inner().clone()),
            Cells::Spans(offsets, bytes) => {
                let (first, last) = (offsets[0], offsets[rows]);
                let rebased = offsets.iter().map(|offset| offset - first);
                parts.push(rebased.collect::<Vec<i32>>().into());
                parts.push(bytes.slice_with_length(first as usize, (last - first) as usize));
            }
        }
        if let Some(nulls) = &self.nulls {
            parts.push(nulls.inner().sliced());
        }
    }
}

fn next(kept: &mut impl Iterator<Item = Buffer>) -> Buffer {
    kept.next().expect("as many parts as were given")
}

/// The array of a column whose parts come next.
fn array(
    column: &Column,
    kind: Kind,
    rows: usize,
    kept: &mut impl Iterator<Item = Buffer>,
) -> ArrayRef {
    let values = next(kept);
    let bytes = matches!(column.cells, Cells::Spans(..)).then(|| next(kept));
    let nulls = column
        .nulls
        .as_ref()
        .map(|_| NullBuffer::new(BooleanBuffer::new(next(kept), 0, rows)));
    let spans = |values: Buffer| OffsetBuffer::new(ScalarBuffer::new(values, 0, rows + 1));
    match (kind, bytes) {
        (Kind::Bool, _) => Arc::new(BooleanArray::new(
            BooleanBuffer::new(values, 0, rows),
            nulls,
        )),
        (Kind::I64, _) => Arc::new(Int64Array::new(ScalarBuffer::new(values, 0, rows), nulls)),
        (Kind::F64, _) => Arc::new(Float64Array::new(ScalarBuffer::new(values, 0, rows), nulls)),
        (Kind::Timestamp, _) => {
            let values = ScalarBuffer::new(values, 0, rows);
            Arc::new(TimestampMicrosecondArray::new(values, nulls).with_timezone("UTC"))
        }
        (Kind::Text, Some(bytes)) => Arc::new(StringArray::new(spans(values), bytes, nulls)),
        (_, bytes) => {
            let bytes = bytes.expect("texts and bytes have two parts");
            Arc::new(BinaryArray::new(spans(values), bytes, nulls))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{View, ViewChanges, ViewSpec, ViewState};
    use super::*;
    use refrain_log::schema::Field;

    const ROWS: i64 = 30_000;

    fn spec() -> ViewSpec {
        let kinds = [
            ("key", Kind::I64, false),
            ("flag", Kind::Bool, true),
            ("real", Kind::F64, true),
            ("text", Kind::Text, true),
            ("bytes", Kind::Bytes, false),
            ("at", Kind::Timestamp, false),
        ];
        let fields = kinds.map(|(name, kind, nullable)| Field {
            name: name.into(),
            kind,
            nullable,
        });
        ViewSpec {
            name: "v".into(),
            node: "n".into(),
            schema: Schema::new(fields.to_vec()),
            key_fields: 1,
        }
    }

    /// Rows of a slice, so that no buffer begins where its array does.
    fn changes(view: &View, from: i64) -> ViewChanges {
        let range = from - 5..from + ROWS;
        let some = |i: i64| i % 3 != 0;
        let texts = range.clone().map(|i| some(i).then(|| format!("text {i}")));
        let bytes: Vec<Vec<u8>> = range
            .clone()
            .map(|i| vec![i as u8; (i % 7).unsigned_abs() as usize])
            .collect();
        let times = TimestampMicrosecondArray::from_iter_values(range.clone()).with_timezone("UTC");
        let flags: BooleanArray = range
            .clone()
            .map(|i| some(i).then_some(i % 2 == 0))
            .collect();
        let reals: Float64Array = range
            .clone()
            .map(|i| some(i).then_some(i as f64 / 3.0))
            .collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(range.clone())),
            Arc::new(flags),
            Arc::new(reals),
            Arc::new(texts.collect::<StringArray>()),
            Arc::new(BinaryArray::from_iter_values(bytes)),
            Arc::new(times),
        ];
        let rows =
            RecordBatch::try_new(view.schema().arrow(), columns).expect("the schema's columns");
        let rows = rows.slice(5, ROWS as usize);
        let finals = BooleanBuffer::collect_bool(rows.num_rows(), |i| i % 4 == 0);
        ViewChanges {
            rows,
            finals,
            deletes: None,
        }
    }

    #[test]
    fn rows_on_the_disk_are_those_in_memory() {
        let folder = tempfile::tempdir().expect("a folder");
        let scratch = Arc::new(Scratch::open(folder.path().join("views")).expect("a folder"));
        let memory = View::new(spec()).expect("a view");
        let disk = View::new(spec()).expect("a view").kept_in(Some(scratch));
        for from in [0, 20_000, 10_000, 100_000] {
            for view in [&memory, &disk] {
                let prepared = view
                    .prepare(&changes(view, from))
                    .expect("changes that fit");
                view.apply(vec![prepared], ViewState::EMPTY);
            }
            let (wanted, found) = (memory.scan(None), disk.scan(None));
            let (wanted, found) = (wanted.expect("rows"), found.expect("rows"));
            assert_eq!(wanted.rows, found.rows);
            assert_eq!(wanted.finals, found.finals);
            assert_eq!(wanted.state, found.state);
        }
        let (_, runs) = disk.snapshot();
        assert!(!runs.is_empty() && runs.iter().all(|run| run.rows.on_disk));
        assert!(memory.snapshot().1.iter().all(|run| !run.rows.on_disk));
    }
}
