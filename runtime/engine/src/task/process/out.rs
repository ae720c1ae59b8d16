//! What a process task shows in a view: of each key the last row counts.

use arrow_array::{BooleanArray, RecordBatch};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use foldhash::fast::FixedState;
use hashbrown::HashSet;
use refrain_log::schema::Schema;
use refrain_state::view::ViewChanges;

use crate::keys;

/// Rows held before earlier ones of the same key are dropped for the first time.
const HELD_ROWS: usize = 65_536;

/// Rows of a view since the last commit.
pub(super) struct Shown {
    schema: Schema,
    key_fields: usize,
    parts: Vec<RecordBatch>,
    /// Whether each row goes from the view.
    gone: Vec<bool>,
    /// Number of rows at which earlier ones are dropped.
    full_rows: usize,
}

impl Shown {
    pub(super) fn new(schema: Schema, key_fields: usize) -> Shown {
        Shown {
            schema,
            key_fields,
            parts: Vec::new(),
            gone: Vec::new(),
            full_rows: HELD_ROWS,
        }
    }

    pub(super) fn push(&mut self, rows: RecordBatch, deleted: Option<&BooleanBuffer>) {
        match deleted {
            Some(deleted) => self.gone.extend(deleted.iter()),
            None => self.gone.resize(self.gone.len() + rows.num_rows(), false),
        }
        self.parts.push(rows);
        if self.gone.len() >= self.full_rows {
            self.settle();
            self.full_rows = HELD_ROWS.max(2 * self.gone.len());
        }
    }

    /// All rows as one batch, of each key the last.
    fn settle(&mut self) -> RecordBatch {
        let all = arrow_select::concat::concat_batches(&self.schema.arrow(), &self.parts)
            .expect("rows of one node have one schema");
        let key_fields = &self.schema.fields()[..self.key_fields];
        let key_columns = &all.columns()[..self.key_fields];
        let mut seen: HashSet<Box<[u8]>, FixedState> = HashSet::default();
        let mut last = vec![false; all.num_rows()];
        let mut key = Vec::new();
        for row in (0..all.num_rows()).rev() {
            key.clear();
            keys::encode(key_columns, key_fields, row, &mut key);
            last[row] = seen.insert(key.as_slice().into());
        }
        let mut kept = last.iter();
        self.gone
            .retain(|_| *kept.next().expect("each row says whether it goes"));
        let all = filter(&all, last.into_iter().collect());
        self.parts = vec![all.clone()];
        all
    }

    /// What changed in the view.
    pub(super) fn take(&mut self) -> ViewChanges {
        let all = self.settle();
        let gone: BooleanBuffer = std::mem::take(&mut self.gone).into_iter().collect();
        self.parts.clear();
        self.full_rows = HELD_ROWS;
        let places: Vec<usize> = (0..self.key_fields).collect();
        let keys = all.project(&places).expect("key fields come first");
        let rows = filter(&all, !&gone);
        let mut finals = BooleanBufferBuilder::new(rows.num_rows());
        finals.append_n(rows.num_rows(), false);
        ViewChanges {
            finals: finals.finish(),
            rows,
            deletes: (gone.count_set_bits() > 0).then(|| filter(&keys, gone)),
        }
    }
}

fn filter(rows: &RecordBatch, mask: BooleanBuffer) -> RecordBatch {
    arrow_select::filter::filter_record_batch(rows, &BooleanArray::new(mask, None))
        .expect("a mask of equal length")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::Int64Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use refrain_log::schema::{Field, Kind};

    use super::*;

    fn rows(pairs: &[(i64, i64)]) -> RecordBatch {
        let schema = schema().arrow();
        let column = |get: fn(&(i64, i64)) -> i64| {
            Arc::new(Int64Array::from_iter_values(pairs.iter().map(get)))
        };
        RecordBatch::try_new(schema, vec![column(|p| p.0), column(|p| p.1)]).unwrap()
    }

    fn schema() -> Schema {
        Schema::new(vec![Field::new("k", Kind::I64), Field::new("n", Kind::I64)])
    }

    fn ints(rows: &RecordBatch, column: usize) -> Vec<i64> {
        rows.column(column)
            .as_primitive::<Int64Type>()
            .values()
            .to_vec()
    }

    #[test]
    fn the_last_of_each_key_counts_however_often_rows_are_settled() {
        for often in [false, true] {
            let mut shown = Shown::new(schema(), 1);
            shown.push(rows(&[(1, 10), (2, 20), (1, 11)]), None);
            if often {
                shown.settle();
            }
            let gone: BooleanBuffer = [true, false, true].into_iter().collect();
            shown.push(rows(&[(2, 0), (3, 30), (4, 0)]), Some(&gone));
            if often {
                shown.settle();
            }
            shown.push(rows(&[(4, 40)]), None);
            let changes = shown.take();
            assert_eq!(ints(&changes.rows, 0), [1, 3, 4]);
            assert_eq!(ints(&changes.rows, 1), [11, 30, 40]);
            assert_eq!(ints(changes.deletes.as_ref().unwrap(), 0), [2]);
            let changes = shown.take();
            assert_eq!(changes.rows.num_rows(), 0);
            assert!(changes.deletes.is_none());
        }
    }
}
