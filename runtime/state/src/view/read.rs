//! Reading a view: a snapshot is taken under the lock, sorting and copying happen after it.

use std::cmp::Ordering;

use arrow_array::RecordBatch;
use arrow_buffer::BooleanBuffer;
use arrow_select::interleave::interleave_record_batch;
use refrain_log::columns;
use refrain_log::schema::Schema;

use super::{Run, View, ViewRows, ViewState};
use crate::cells::{Column, compare_keys, same_key};
use crate::{Error, Result};

/// A row on its way into an answer.
#[derive(Clone, Copy, Debug)]
struct Found {
    rank: u64,
    run: u32,
    row: u32,
}

impl View {
    /// The rows with this key: `key` has one row and the key fields, or the first of them for all rows that begin so.
    pub fn get(&self, key: &RecordBatch) -> Result<ViewRows> {
        let key = self.key_columns(key)?;
        if key.len() == self.key_schema.fields().len() {
            return self.get_one(&key);
        }
        let (state, runs) = self.snapshot();
        self.answer(state, &runs, None, |run, row| {
            same_key(&key, 0, &run.rows.keys, row)
        })
    }

    /// All rows in key order, at most `limit`.
    pub fn scan(&self, limit: Option<usize>) -> Result<ViewRows> {
        let (state, runs) = self.snapshot();
        self.answer(state, &runs, limit, |_, _| true)
    }

    fn key_columns(&self, key: &RecordBatch) -> Result<Vec<Column>> {
        let fields = self.key_schema.fields();
        if key.num_rows() != 1 || key.num_columns() == 0 || key.num_columns() > fields.len() {
            let names: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
            return Err(Error::Invalid(format!(
                "view `{}` is asked by one row of its key ({}), or by the first fields of it",
                self.spec.name,
                names.join(", ")
            )));
        }
        let schema = Schema::new(fields[..key.num_columns()].to_vec());
        Column::of_batch(
            &columns::canonical(key, &schema)?,
            &schema,
            key.num_columns(),
        )
    }

    fn get_one(&self, key: &[Column]) -> Result<ViewRows> {
        let contents = self.read();
        let state = contents.state;
        let found = contents
            .table
            .find(key)
            .map(|(run, row)| (run.rows.clone(), row));
        drop(contents);
        let Some((rows, row)) = found else {
            return Ok(ViewRows {
                state,
                rows: RecordBatch::new_empty(self.arrow.clone()),
                finals: BooleanBuffer::new_unset(0),
            });
        };
        let finals = BooleanBuffer::collect_bool(1, |_| rows.finals.value(row));
        Ok(ViewRows {
            state,
            rows: rows.batch.slice(row, 1),
            finals,
        })
    }

    fn answer(
        &self,
        state: ViewState,
        runs: &[Run],
        limit: Option<usize>,
        wanted: impl Fn(&Run, usize) -> bool,
    ) -> Result<ViewRows> {
        let mut found = Vec::new();
        for (n, run) in (0..).zip(runs) {
            let rows = run.living().filter(|row| wanted(run, *row));
            found.extend(rows.map(|row| Found {
                rank: run.rows.keys[0].rank(row),
                run: n,
                row: row as u32,
            }));
        }
        sort(&mut found, runs, limit);
        let batches: Vec<&RecordBatch> = runs.iter().map(|run| &run.rows.batch).collect();
        let places: Vec<(usize, usize)> = found
            .iter()
            .map(|f| (f.run as usize, f.row as usize))
            .collect();
        let finals = |i: usize| runs[places[i].0].rows.finals.value(places[i].1);
        let finals = BooleanBuffer::collect_bool(places.len(), finals);
        let rows = match batches.as_slice() {
            [] => RecordBatch::new_empty(self.arrow.clone()),
            batches => interleave_record_batch(batches, &places).map_err(too_large)?,
        };
        Ok(ViewRows {
            state,
            rows,
            finals,
        })
    }
}

fn too_large(error: impl std::fmt::Display) -> Error {
    Error::Invalid(format!(
        "the answer does not fit into one batch ({error}); ask for fewer rows"
    ))
}

/// Brings rows into key order, the first `limit` of them.
fn sort(found: &mut Vec<Found>, runs: &[Run], limit: Option<usize>) {
    let order = |a: &Found, b: &Found| -> Ordering {
        a.rank.cmp(&b.rank).then_with(|| {
            let (x, y) = (
                &runs[a.run as usize].rows.keys,
                &runs[b.run as usize].rows.keys,
            );
            compare_keys(x, a.row as usize, y, b.row as usize)
        })
    };
    if let Some(limit) = limit.filter(|limit| *limit < found.len()) {
        if limit > 0 {
            found.select_nth_unstable_by(limit - 1, order);
        }
        found.truncate(limit);
    }
    found.sort_unstable_by(order);
}
