//! The table behind a view: runs of rows, and an index from key to the one living row that has it.
//!
//! Nothing is allocated for a single row. A row that replaces another is added in a new run, the old one dies where it
//! is, and runs are rewritten into one when most of their rows are dead or when there are too many of them.
//!
//! A walk goes through the runs that were there when it began. Runs rewritten meanwhile keep apart what was shown of them
//! and what was not.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::BooleanBuffer;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use refrain_log::schema::Schema;

use super::run::{Rows, Run, RunPart, hashes_of, merge, rows_bytes};
use super::{Counts, Walked};
use crate::cells::{Column, key_hashes, same_key};
use crate::digest::row_hashes;
use crate::{Error, Result};

/// So many runs are kept before the small ones are rewritten into one.
pub(crate) const RUNS_MAX: usize = 64;
/// How many of them are rewritten then, the smallest ones.
const RUNS_MERGED: usize = 48;
/// Dead rows that are never a reason to rewrite.
const DEAD_ROWS_FREE: usize = 4096;
/// Runs rewritten into one have at most so many bytes together, so that offsets fit.
const MERGE_BYTES_MAX: u64 = 1 << 30;

/// Where the living row of a key is.
#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u32,
    run: u32,
    row: u32,
}

/// Changes made ready to be applied: everything that needs no look at the table.
#[derive(Debug)]
pub(crate) struct Prepared {
    rows: Rows,
    key_hashes: Vec<u32>,
    deletes: Vec<Column>,
    delete_hashes: Vec<u32>,
}

/// A rewriting of runs, made beside the table.
#[derive(Debug)]
pub(crate) struct Rewrite {
    chosen: Vec<u32>,
    run: Run,
    /// Where each row of the new run was.
    places: Vec<Place>,
    /// From where on a walk has not shown its rows.
    unwalked: usize,
}

/// Keyed rows with their number and digest.
#[derive(Debug)]
pub(crate) struct Table {
    schema: Arc<Schema>,
    key_fields: usize,
    runs: Vec<Option<Run>>,
    index: HashTable<Place>,
    /// From where on a walk has not shown the rows of a run.
    unwalked: BTreeMap<u32, usize>,
    pub(crate) finals: u64,
    pub(crate) digest: u128,
}

impl Prepared {
    /// `schema` is the view's; `deletes` has its first `key_fields` columns.
    pub(crate) fn new(
        schema: &Schema,
        key_fields: usize,
        batch: RecordBatch,
        finals: BooleanBuffer,
        deletes: Option<&RecordBatch>,
    ) -> Result<Prepared> {
        if finals.len() != batch.num_rows() {
            return Err(Error::Invalid(format!(
                "{} rows came with {} marks of being final",
                batch.num_rows(),
                finals.len()
            )));
        }
        Column::of_batch(&batch, schema, schema.fields().len())?;
        let keys = Column::of_batch(&batch, schema, key_fields)?;
        let (deletes, delete_rows) = match deletes {
            None => (Vec::new(), 0),
            Some(deletes) => (
                Column::of_batch(deletes, schema, key_fields)?,
                deletes.num_rows(),
            ),
        };
        Ok(Prepared {
            key_hashes: key_hashes(&keys, batch.num_rows()),
            delete_hashes: key_hashes(&deletes, delete_rows),
            rows: Rows {
                hashes: hashes_of(&row_hashes(&batch, schema)),
                batch,
                keys,
                finals,
            },
            deletes,
        })
    }
}

impl Prepared {
    /// Rows put.
    pub(crate) fn rows(&self) -> &RecordBatch {
        &self.rows.batch
    }

    /// Which of them are final.
    pub(crate) fn finals(&self) -> &BooleanBuffer {
        &self.rows.finals
    }

    /// Rows put, with what they stand for.
    pub(super) fn rows_with_hashes(&self) -> &Rows {
        &self.rows
    }

    /// Keys of deleted rows.
    pub(super) fn deletes(&self) -> &[Column] {
        &self.deletes
    }

    /// How many they are.
    pub(super) fn deleted(&self) -> usize {
        self.delete_hashes.len()
    }
}

impl Table {
    pub(crate) fn new(schema: Arc<Schema>, key_fields: usize) -> Table {
        Table {
            schema,
            key_fields,
            runs: Vec::new(),
            index: HashTable::new(),
            unwalked: BTreeMap::new(),
            finals: 0,
            digest: 0,
        }
    }

    /// What its rows come to.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            rows: self.index.len() as u64,
            finals: self.finals,
            bytes: self.bytes(),
            digest: self.digest,
        }
    }

    /// Bytes held, dead rows and the index included.
    pub(crate) fn bytes(&self) -> u64 {
        self.runs().map(|run| run.bytes).sum::<u64>() + self.index.allocation_size() as u64
    }

    /// Bytes of the living rows alone, about.
    pub(crate) fn live_bytes(&self) -> u64 {
        let live =
            |run: &Run| run.bytes * (run.len() - run.dead_count) as u64 / run.len().max(1) as u64;
        self.runs().map(live).sum()
    }

    /// All runs, in no order that means anything.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().flatten()
    }

    /// The run and row with this key, which is the one row of `key`.
    pub(crate) fn find(&self, key: &[Column]) -> Option<(&Run, usize)> {
        let hash = key_hashes(key, 1)[0];
        let same = |place: &Place| {
            place.hash == hash && same_key(key, 0, keys_of(&self.runs, *place), place.row as usize)
        };
        let place = self.index.find(spread(hash), same)?;
        let run = self.runs[place.run as usize]
            .as_ref()
            .expect("places are in runs that are there");
        Some((run, place.row as usize))
    }

    /// Applies changes: deletes, then puts.
    pub(crate) fn apply(&mut self, changes: Prepared) {
        for (i, hash) in changes.delete_hashes.iter().enumerate() {
            self.delete(&changes.deletes, i, *hash);
        }
        if changes.rows.batch.num_rows() > 0 {
            self.put(changes.rows, &changes.key_hashes);
        }
    }

    fn delete(&mut self, keys: &[Column], i: usize, hash: u32) {
        let Table { runs, index, .. } = self;
        let same = |place: &Place| {
            place.hash == hash && same_key(keys, i, keys_of(runs, *place), place.row as usize)
        };
        if let Ok(entry) = index.find_entry(spread(hash), same) {
            let (place, _) = entry.remove();
            self.kill(place);
        }
    }

    fn put(&mut self, rows: Rows, hashes: &[u32]) {
        let run = self.add_run(Run::new(rows));
        let rows = self.runs[run as usize]
            .as_ref()
            .expect("just added")
            .rows
            .clone();
        self.index.reserve(hashes.len(), |place| spread(place.hash));
        for (i, hash) in hashes.iter().enumerate() {
            let new = Place {
                hash: *hash,
                run,
                row: i as u32,
            };
            let runs = &self.runs;
            let same = |place: &Place| {
                place.hash == *hash
                    && same_key(&rows.keys, i, keys_of(runs, *place), place.row as usize)
            };
            match self
                .index
                .entry(spread(*hash), same, |place| spread(place.hash))
            {
                Entry::Vacant(entry) => {
                    entry.insert(new);
                }
                Entry::Occupied(mut entry) => {
                    let old = std::mem::replace(entry.get_mut(), new);
                    self.kill(old);
                }
            }
            self.digest = self.digest.wrapping_add(rows.hash(i));
        }
        self.finals += rows.finals.count_set_bits() as u64;
    }

    fn add_run(&mut self, run: Run) -> u32 {
        let free = self.runs.iter().position(Option::is_none);
        let at = free.unwrap_or_else(|| {
            self.runs.push(None);
            self.runs.len() - 1
        });
        self.runs[at] = Some(run);
        at as u32
    }

    fn kill(&mut self, place: Place) {
        let slot = &mut self.runs[place.run as usize];
        let run = slot.as_mut().expect("places are in runs that are there");
        let row = place.row as usize;
        run.kill(row);
        self.digest = self.digest.wrapping_sub(run.rows.hash(row));
        self.finals -= u64::from(run.rows.finals.value(row));
    }

    /// Drops runs without a living row. After each [`Table::apply`].
    pub(crate) fn drop_dead(&mut self) {
        for (i, slot) in (0..).zip(&mut self.runs) {
            if slot.as_ref().is_some_and(|run| run.dead_count == run.len()) {
                *slot = None;
                self.unwalked.remove(&i);
            }
        }
    }

    /// Begins a walk through all rows there are.
    pub(crate) fn begin_walk(&mut self) {
        let runs = (0..).zip(&self.runs).filter(|(_, run)| run.is_some());
        self.unwalked = runs.map(|(i, _)| (i, 0)).collect();
    }

    /// The next rows of the walk, of about so many bytes together, and where it stands then. Of the rows that were there
    /// when it began, all that live are shown; more may be.
    pub(crate) fn walk(&self, bytes: u64) -> (Vec<(RecordBatch, BooleanBuffer)>, Walked) {
        let mut shown = Vec::new();
        let mut left = bytes;
        for (i, from) in &self.unwalked {
            let run = self.runs[*i as usize]
                .as_ref()
                .expect("runs to be walked are there");
            let row_bytes = run.bytes / run.len().max(1) as u64 + 1;
            let rows = (left / row_bytes).max(1) as usize;
            if left == 0 {
                return (shown, Walked::Run(*i, *from));
            }
            let to = run.len().min(from + rows);
            let part = run.live_part(*from..to);
            left = left.saturating_sub(rows_bytes(&part.0).max(1));
            shown.push(part);
            if to < run.len() {
                return (shown, Walked::Run(*i, to));
            }
        }
        (shown, Walked::End)
    }

    /// Takes the walk to where [`Table::walk`] ended.
    pub(crate) fn walked(&mut self, walked: Walked) {
        self.unwalked = match walked {
            Walked::End | Walked::Key(_) => BTreeMap::new(),
            Walked::Run(run, row) => {
                let mut rest = self.unwalked.split_off(&run);
                rest.insert(run, row);
                rest
            }
        };
    }

    /// A rewriting that is due, made without a change to the table.
    pub(crate) fn rewrite(&self) -> Option<Rewrite> {
        let numbers: Vec<(u32, &Run)> = (0..)
            .zip(&self.runs)
            .filter_map(|(i, run)| run.as_ref().map(|run| (i, run)))
            .collect();
        let sizes: Vec<Size> = numbers.iter().map(|(_, run)| Size::of(run)).collect();
        let chosen: Vec<u32> = choose(&sizes).into_iter().map(|i| numbers[i].0).collect();
        let parts = self.parts(&chosen);
        let runs: Vec<RunPart> = parts.iter().map(|(_, part)| part.clone()).collect();
        let keys = |batch: &RecordBatch| {
            Column::of_batch(batch, &self.schema, self.key_fields)
                .expect("rows of a view are in its schema")
        };
        let rows = merge(&runs, &keys)?;
        let hashes = key_hashes(&rows.keys, rows.batch.num_rows());
        let olds = parts.iter().flat_map(|(i, (run, rows))| {
            let living = rows.clone().filter(|row| !run.is_dead(*row));
            living.map(|row| (*i, row as u32))
        });
        let places: Vec<Place> = olds
            .zip(hashes)
            .map(|((run, row), hash)| Place { hash, run, row })
            .collect();
        let walked = |place: &&Place| self.is_walked(place.run, place.row as usize);
        Some(Rewrite {
            chosen,
            run: Run::new(rows),
            unwalked: places.iter().take_while(walked).count(),
            places,
        })
    }

    fn is_walked(&self, run: u32, row: usize) -> bool {
        self.unwalked.get(&run).is_none_or(|from| row < *from)
    }

    /// The chosen runs in parts: first what a walk has shown of them, then what it has not.
    fn parts(&self, chosen: &[u32]) -> Vec<(u32, RunPart)> {
        let part = |i: u32, walked: bool| {
            let run = self.runs[i as usize].clone()?;
            let border = self.unwalked.get(&i).copied().unwrap_or(run.len());
            let rows = if walked { 0..border } else { border..run.len() };
            Some((i, (run, rows)))
        };
        let walked = chosen.iter().filter_map(|i| part(*i, true));
        walked
            .chain(chosen.iter().filter_map(|i| part(*i, false)))
            .collect()
    }

    /// Puts a rewriting made of this very table in the place of the runs that it was made of.
    pub(crate) fn accept(&mut self, rewrite: Rewrite) {
        let Rewrite {
            chosen,
            run,
            places,
            unwalked,
        } = rewrite;
        let rows = run.len();
        let new = self.add_run(run);
        chosen.iter().for_each(|run| {
            self.unwalked.remove(run);
        });
        if unwalked < rows {
            self.unwalked.insert(new, unwalked);
        }
        if places.len() * 4 < self.index.len() {
            self.move_each(&places, new);
        } else {
            self.move_all(&chosen, &places, new);
        }
        chosen
            .iter()
            .for_each(|run| self.runs[*run as usize] = None);
    }

    /// Looks each moved row up.
    fn move_each(&mut self, places: &[Place], new: u32) {
        for (row, old) in (0..).zip(places) {
            let same = |place: &Place| place.run == old.run && place.row == old.row;
            let place = self
                .index
                .find_mut(spread(old.hash), same)
                .expect("a living row is indexed");
            *place = Place {
                hash: old.hash,
                run: new,
                row,
            };
        }
    }

    /// Walks through the whole index.
    fn move_all(&mut self, chosen: &[u32], places: &[Place], new: u32) {
        let mut moved: Vec<Vec<u32>> = vec![Vec::new(); self.runs.len()];
        for run in chosen {
            let rows = self.runs[*run as usize].as_ref().map_or(0, Run::len);
            moved[*run as usize] = vec![0; rows];
        }
        for (row, old) in (0..).zip(places) {
            moved[old.run as usize][old.row as usize] = row;
        }
        for place in self.index.iter_mut() {
            let rows = &moved[place.run as usize];
            if !rows.is_empty() {
                *place = Place {
                    hash: place.hash,
                    run: new,
                    row: rows[place.row as usize],
                };
            }
        }
    }
}

fn keys_of(runs: &[Option<Run>], place: Place) -> &[Column] {
    &runs[place.run as usize]
        .as_ref()
        .expect("places are in runs that are there")
        .rows
        .keys
}

/// The index takes its bucket from the low bits and its tag from the high ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What the choice of runs looks at.
#[derive(Clone, Copy, Debug)]
struct Size {
    rows: usize,
    dead: usize,
    bytes: u64,
}

impl Size {
    fn of(run: &Run) -> Size {
        Size {
            rows: run.len(),
            dead: run.dead_count,
            bytes: run.bytes,
        }
    }
}

/// Which runs are rewritten into one now: those full of dead rows when there are more dead than living ones; else the
/// small ones when there are too many.
fn choose(runs: &[Size]) -> Vec<usize> {
    let dead: usize = runs.iter().map(|run| run.dead).sum();
    let live: usize = runs.iter().map(|run| run.rows - run.dead).sum();
    let mut chosen: Vec<usize> = (0..runs.len()).collect();
    if dead > live + DEAD_ROWS_FREE {
        chosen.retain(|i| runs[*i].dead * 3 >= runs[*i].rows);
    } else if runs.len() > RUNS_MAX {
        chosen.sort_by_key(|i| runs[*i].rows - runs[*i].dead);
        chosen.truncate(RUNS_MERGED);
    } else {
        return Vec::new();
    }
    chosen.sort_by_key(|i| runs[*i].bytes);
    let mut bytes = 0;
    chosen.retain(|i| {
        bytes += runs[*i].bytes;
        bytes <= MERGE_BYTES_MAX
    });
    chosen
}

#[cfg(test)]
mod tests;
