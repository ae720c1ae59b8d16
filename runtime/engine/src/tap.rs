//! Taps: what a view's node changes with each commit, for whoever looks. A tap has room for a few rows; what finds none is
//! counted and passed over, so that nobody who looks slows a node.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use refrain_log::schema::Schema;
use refrain_state::commit::NodeCommit;
use refrain_state::view::ViewChanges;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::request::Table;

/// Rows that a tap has room for.
const ROOM_ROWS: usize = 1_024;
/// Taps at once; the one that was asked longest ago gives way.
const TAPS_MAX: usize = 16;
/// A tap that nobody asks for so long is closed.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer without rows comes after so long.
const ANSWER_AFTER: Duration = Duration::from_millis(500);

/// What became of a row of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// It is new, or other than before.
    Put,
    /// The same, and its window is closed.
    Final,
    /// It is gone; only its key is told.
    Delete,
}

/// Rows on their way into a view.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tapped {
    /// Number of the tap, to go on with.
    pub tap: u64,
    /// The rows, in the order of the commits; every field may be null.
    pub table: Table,
    /// What became of each.
    pub changes: Vec<Change>,
    /// Rows that found no room since the last answer.
    pub passed: u64,
}

/// The taps of a host.
#[derive(Debug, Default)]
pub struct Taps {
    open: Mutex<Open>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    taps: BTreeMap<u64, Tap>,
}

#[derive(Debug)]
struct Tap {
    node: String,
    asked: Instant,
    held: Vec<(RecordBatch, Change)>,
    passed: u64,
}

impl Taps {
    /// What a commit changes in the view of its node, if somebody looks.
    pub(crate) fn changes(&self, commit: &NodeCommit) -> Vec<ViewChanges> {
        let open = self.lock();
        if !open.taps.values().any(|tap| tap.node == commit.node) {
            return Vec::new();
        }
        let changes = commit.tasks.iter().filter_map(|task| task.view.clone());
        changes.collect()
    }

    /// Puts what a commit has changed where somebody looks.
    pub(crate) fn put(&self, node: &str, changes: &[ViewChanges]) {
        if changes.is_empty() {
            return;
        }
        let now = now();
        let mut open = self.lock();
        open.taps
            .retain(|_, tap| now.saturating_duration_since(tap.asked) < PATIENCE);
        for tap in open.taps.values_mut().filter(|tap| tap.node == node) {
            changes.iter().for_each(|change| tap.put(change));
        }
        self.more.notify_all();
    }

    /// What came since the tap was asked last; waits a moment for something. A number that is not known opens a tap.
    fn next(&self, node: &str, number: u64) -> (u64, Vec<(RecordBatch, Change)>, u64) {
        let mut open = self.lock();
        let number = open.ask(node, number);
        let until = now() + ANSWER_AFTER;
        loop {
            let left = until.saturating_duration_since(now());
            let waits = open
                .taps
                .get(&number)
                .is_some_and(|tap| tap.held.is_empty());
            if !waits || left.is_zero() {
                break;
            }
            let waited = self.more.wait_timeout(open, left);
            open = waited.expect("nobody panics with the taps").0;
        }
        let Some(tap) = open.taps.get_mut(&number) else {
            return (number, Vec::new(), 0);
        };
        let held = std::mem::take(&mut tap.held);
        (number, held, std::mem::take(&mut tap.passed))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().expect("nobody panics with the taps")
    }
}

impl Open {
    fn ask(&mut self, node: &str, number: u64) -> u64 {
        let now = now();
        if let Some(tap) = self.taps.get_mut(&number).filter(|tap| tap.node == node) {
            tap.asked = now;
            return number;
        }
        while self.taps.len() >= TAPS_MAX {
            let oldest = self.taps.iter().min_by_key(|(_, tap)| tap.asked);
            let oldest = oldest.map(|(number, _)| *number).unwrap_or_default();
            self.taps.remove(&oldest);
        }
        self.last += 1;
        let tap = Tap {
            node: node.to_owned(),
            asked: now,
            held: Vec::new(),
            passed: 0,
        };
        self.taps.insert(self.last, tap);
        self.last
    }
}

impl Tap {
    fn put(&mut self, changes: &ViewChanges) {
        let rows = 0..changes.rows.num_rows();
        let (finals, puts): (Vec<u32>, Vec<u32>) = rows
            .map(|row| row as u32)
            .partition(|row| changes.finals.value(*row as usize));
        self.keep(&changes.rows, finals, Change::Final);
        self.keep(&changes.rows, puts, Change::Put);
        if let Some(keys) = &changes.deletes {
            self.keep(keys, (0..keys.num_rows() as u32).collect(), Change::Delete);
        }
    }

    /// Keeps as many of these rows as there is room for, evenly spaced.
    fn keep(&mut self, rows: &RecordBatch, chosen: Vec<u32>, change: Change) {
        let held: usize = self.held.iter().map(|(rows, _)| rows.num_rows()).sum();
        let kept = spaced(&chosen, ROOM_ROWS.saturating_sub(held));
        self.passed += (chosen.len() - kept.len()) as u64;
        if kept.is_empty() {
            return;
        }
        match take_record_batch(rows, &UInt32Array::from(kept)) {
            Ok(rows) => self.held.push((rows, change)),
            Err(error) => tracing::warn!("rows cannot be shown: {error}"),
        }
    }
}

/// So many of the rows, evenly spaced.
fn spaced(rows: &[u32], room: usize) -> Vec<u32> {
    let count = rows.len().min(room);
    (0..count).map(|i| rows[i * rows.len() / count]).collect()
}

impl Host {
    /// Rows on their way into the view of a node; `tap` is 0, or what the last answer says.
    pub(crate) fn tap(&self, node: &str, tap: u64) -> Result<Tapped> {
        let views = self.state().views();
        let view = views.iter().find(|view| view.spec().node == node);
        let view = view.ok_or_else(|| {
            Error::Refused(format!(
                "node {node} keeps no view here yet: look again when it has committed"
            ))
        })?;
        let mut fields = view.schema().fields().to_vec();
        for field in &mut fields {
            field.nullable = true;
        }
        let schema = Schema::new(fields);
        let (tap, held, passed) = self.board.taps().next(node, tap);
        let parts: Vec<RecordBatch> = held
            .iter()
            .map(|(rows, _)| widened(rows, &schema))
            .collect();
        let changes = held
            .iter()
            .flat_map(|(rows, change)| std::iter::repeat_n(*change, rows.num_rows()));
        let rows = concat_batches(&schema.arrow(), &parts);
        Ok(Tapped {
            tap,
            changes: changes.collect(),
            passed,
            table: Table {
                rows: rows.map_err(|e| Error::Refused(e.to_string()))?,
                schema,
            },
        })
    }
}

/// The rows in a wider schema; fields that they lack are null.
fn widened(rows: &RecordBatch, schema: &Schema) -> RecordBatch {
    let column = |field: &refrain_log::schema::Field| -> ArrayRef {
        let found = rows.column_by_name(&field.name).cloned();
        found
            .filter(|column| *column.data_type() == field.kind.arrow())
            .unwrap_or_else(|| new_null_array(&field.kind.arrow(), rows.num_rows()))
    };
    let columns = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(schema.arrow(), columns)
        .expect("each column has the type of its field, and every field may be null")
}

#[expect(
    clippy::disallowed_methods,
    reason = "decides how long is looked, never what comes out"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::Int64Array;
    use arrow_buffer::BooleanBuffer;
    use refrain_log::schema::{Field, Kind};

    use super::*;

    fn changes(puts: std::ops::Range<i64>, deletes: std::ops::Range<i64>) -> ViewChanges {
        let schema = Schema::new(vec![Field::new("k", Kind::I64), Field::new("n", Kind::I64)]);
        let keys = Schema::new(vec![Field::new("k", Kind::I64)]);
        let column = |r: &std::ops::Range<i64>| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(r.clone()))
        };
        let rows = vec![column(&puts), column(&puts)];
        ViewChanges {
            finals: BooleanBuffer::collect_bool(rows[0].len(), |row| row == 0),
            rows: RecordBatch::try_new(schema.arrow(), rows).unwrap(),
            deletes: Some(RecordBatch::try_new(keys.arrow(), vec![column(&deletes)]).unwrap()),
        }
    }

    #[test]
    fn a_tap_has_bounded_room_and_counts_what_passes() {
        let taps = Taps::default();
        let (tap, held, _) = taps.next("n", 0);
        assert!(held.is_empty());
        taps.put("other", &[changes(0..5, 0..0)]);
        taps.put("n", &[changes(0..3, 7..9)]);
        taps.put("n", &[changes(0..5_000, 0..1_000)]);
        let (again, held, passed) = taps.next("n", tap);
        assert_eq!(again, tap);
        let count: usize = held.iter().map(|(rows, _)| rows.num_rows()).sum();
        assert_eq!(
            (count, passed),
            (ROOM_ROWS, 5_000 + 1_000 + 5 - ROOM_ROWS as u64)
        );
        let first: Vec<(usize, Change)> = held
            .iter()
            .take(3)
            .map(|(rows, change)| (rows.num_rows(), *change))
            .collect();
        assert_eq!(
            first,
            [(1, Change::Final), (2, Change::Put), (2, Change::Delete)]
        );
        assert_eq!(taps.next("n", tap).1.len(), 0);
    }

    #[test]
    fn rows_are_spaced_evenly() {
        let rows: Vec<u32> = (0..10).collect();
        assert_eq!(spaced(&rows, 5), [0, 2, 4, 6, 8]);
        assert_eq!(spaced(&rows, 20), rows);
        assert!(spaced(&rows, 0).is_empty() && spaced(&[], 5).is_empty());
    }
}
