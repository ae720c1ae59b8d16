//! Reading a view: a snapshot is taken under the lock, sorting and copying happen after it.

use std::cmp::Ordering;

use arrow_array::RecordBatch;
use arrow_buffer::BooleanBuffer;
use arrow_schema::SchemaRef;
use arrow_select::interleave::interleave_record_batch;
use refrain_log::columns;
use refrain_log::schema::Schema;

use super::tree::TreePages;
use super::{Keeping, Run, View, ViewRows, ViewState, closed, rows_bytes};
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
        self.pages_of(Some(&key), None)?.all()
    }

    /// All rows in key order, at most `limit`.
    pub fn scan(&self, limit: Option<usize>) -> Result<ViewRows> {
        self.pages_of(None, limit)?.all()
    }

    /// The rows as of the last commit, page by page, in key order, at most `limit`: all, or those that begin with this
    /// key. What is committed meanwhile does not show in it.
    pub fn pages(&self, key: Option<&RecordBatch>, limit: Option<usize>) -> Result<Pages> {
        let key = key.map(|key| self.key_columns(key)).transpose()?;
        self.pages_of(key.as_deref(), limit)
    }

    fn pages_of(&self, key: Option<&[Column]>, limit: Option<usize>) -> Result<Pages> {
        let contents = self.read();
        let state = contents.state;
        let left = match &contents.rows {
            Keeping::Memory(table) => {
                let runs: Vec<Run> = table.runs().cloned().collect();
                drop(contents);
                Left::Runs(self.sorted(runs, key, limit))
            }
            Keeping::Tree(table) => Left::Tree(Box::new(table.rows().pages(key, limit)?)),
            Keeping::Closed(_) => return Err(closed(&self.spec)),
        };
        Ok(Pages { state, left })
    }

    fn sorted(&self, runs: Vec<Run>, key: Option<&[Column]>, limit: Option<usize>) -> Sorted {
        let wanted =
            |run: &Run, row: usize| key.is_none_or(|key| same_key(key, 0, &run.rows.keys, row));
        let mut found = Vec::new();
        for (n, run) in (0..).zip(&runs) {
            let rows = run.living().filter(|row| wanted(run, *row));
            found.extend(rows.map(|row| Found {
                rank: run.rows.keys[0].rank(row),
                run: n,
                row: row as u32,
            }));
        }
        sort(&mut found, &runs, limit);
        Sorted {
            arrow: self.arrow.clone(),
            runs,
            found,
            at: 0,
        }
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
        let (rows, finals) = match &contents.rows {
            Keeping::Memory(table) => match table.find(key) {
                None => self.none(),
                Some((run, row)) => {
                    let rows = &run.rows;
                    let finals = BooleanBuffer::collect_bool(1, |_| rows.finals.value(row));
                    (rows.batch.slice(row, 1), finals)
                }
            },
            Keeping::Tree(table) => table.rows().get(key)?,
            Keeping::Closed(_) => return Err(closed(&self.spec)),
        };
        Ok(ViewRows {
            state,
            rows,
            finals,
        })
    }

    fn none(&self) -> (RecordBatch, BooleanBuffer) {
        let none = RecordBatch::new_empty(self.arrow.clone());
        (none, BooleanBuffer::new_unset(0))
    }
}

/// The rows of a view as of one commit, page by page.
#[derive(Debug)]
pub struct Pages {
    state: ViewState,
    left: Left,
}

/// What has not been shown.
#[derive(Debug)]
enum Left {
    Runs(Sorted),
    Tree(Box<TreePages>),
}

/// Rows of runs, brought into order.
#[derive(Debug)]
struct Sorted {
    arrow: SchemaRef,
    runs: Vec<Run>,
    found: Vec<Found>,
    at: usize,
}

impl Pages {
    /// The commit that it shows.
    pub fn state(&self) -> ViewState {
        self.state
    }

    /// Whether all rows have been shown.
    pub fn is_done(&self) -> bool {
        match &self.left {
            Left::Runs(sorted) => sorted.at >= sorted.found.len(),
            Left::Tree(pages) => pages.is_done(),
        }
    }

    /// The next rows: at most `rows_max`, and of about `bytes_max` at most unless one row alone has more.
    pub fn next(&mut self, rows_max: usize, bytes_max: u64) -> Result<ViewRows> {
        let (rows, finals) = match &mut self.left {
            Left::Runs(sorted) => sorted.next(rows_max, bytes_max)?,
            Left::Tree(pages) => pages.next(rows_max, bytes_max)?,
        };
        Ok(ViewRows {
            state: self.state,
            rows,
            finals,
        })
    }

    /// All rows that are left.
    fn all(self) -> Result<ViewRows> {
        let (rows, finals) = match self.left {
            Left::Runs(sorted) => sorted.gather(&sorted.found[sorted.at..])?,
            Left::Tree(pages) => pages.all()?,
        };
        Ok(ViewRows {
            state: self.state,
            rows,
            finals,
        })
    }
}

impl Sorted {
    fn next(&mut self, rows_max: usize, bytes_max: u64) -> Result<(RecordBatch, BooleanBuffer)> {
        let left = self.found.len() - self.at;
        let mut count = left.min(rows_max.max(1));
        loop {
            let page = self.gather(&self.found[self.at..self.at + count]);
            match page {
                Ok(page) if count <= 1 || rows_bytes(&page.0) <= bytes_max => {
                    self.at += count;
                    return Ok(page);
                }
                Err(error) if count <= 1 => return Err(error),
                // Rows differ in length: fewer of them.
                Ok(_) | Err(_) => count = count.div_ceil(2).min(count - 1),
            }
        }
    }

    fn gather(&self, found: &[Found]) -> Result<(RecordBatch, BooleanBuffer)> {
        let batches: Vec<&RecordBatch> = self.runs.iter().map(|run| &run.rows.batch).collect();
        let places: Vec<(usize, usize)> = found
            .iter()
            .map(|f| (f.run as usize, f.row as usize))
            .collect();
        let finals = |i: usize| self.runs[places[i].0].rows.finals.value(places[i].1);
        let finals = BooleanBuffer::collect_bool(places.len(), finals);
        let rows = match batches.as_slice() {
            [] => RecordBatch::new_empty(self.arrow.clone()),
            batches => interleave_record_batch(batches, &places).map_err(too_large)?,
        };
        Ok((rows, finals))
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
