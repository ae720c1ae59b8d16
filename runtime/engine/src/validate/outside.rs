//! Why an outside table differs from a view: rows of the log that came when their window was over already, which tables
//! made in batches often do not have. The first of them in log order after which the table says no more what the view
//! says.

use std::collections::{BTreeMap, BTreeSet};

use refrain_log::ids::Sequence;

use super::compare;
use super::diverge::{log_row, row_of};
use super::divergence::{DivergeOrder, Divergence, Outcome, Outside, Point, ViewRow};
use super::report::ValidateOrder;
use super::rerun::{Keys, Rerun};
use super::shared_key;
use super::value::Value;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::input::{Batch, Lanes, Reader};
use crate::pipeline::{PlannedNode, Window};
use crate::request::Table;
use crate::task::NodeSetup;
use crate::versions::VersionName;
use crate::window::{Sliding, Tumbling};

/// Rows read at a time.
const BATCH_ROWS: usize = 16_384;
/// Rows that came late that are looked at one by one.
const LOOKS_MAX: usize = 256;

type Key = Vec<Value>;

/// A row that came late for a row of the view that differs.
#[derive(Debug)]
struct Late {
    sequence: Sequence,
    origin_row: u32,
    key: Key,
    behind_us: i64,
    /// Rows of its own partition had gone past its window, not only those of others.
    in_its_partition: bool,
}

/// What a walk through the log found.
#[derive(Default)]
struct Walk {
    late: Vec<Late>,
    with_late_rows: BTreeSet<Key>,
    contributing: u64,
    rows: u64,
}

/// The rows of a view and of a table that differ.
struct Differing<'a> {
    /// Key, and the place of its row in the table.
    keys: BTreeMap<Key, Option<usize>>,
    /// Starts of their windows, to pass over other rows fast.
    starts: BTreeSet<i64>,
    key_names: &'a [String],
    file: &'a Table,
    order: &'a ValidateOrder,
}

impl Host {
    /// The first row of the log that explains how an outside table differs from a version.
    pub(super) fn explain(
        &self,
        order: &DivergeOrder,
        version: &VersionName,
        file: &str,
        table: &Table,
    ) -> Result<Divergence> {
        let held = self.meet_or_run(&[version.to_string()], None)?;
        let (cut, seen) = (held.cut, self.see(version)?);
        drop(held);
        let member = self.member(version)?;
        let (_, known) = self.node_versions(&version.name)?;
        let planned = known.versions[&version.number].planned()?;
        let key_names = shared_key(&planned, &seen.schema, &table.schema)?;
        let whole = self.comparable_outside(version)?;
        let counts = |table: &Table, row: usize| whole.has(table, row);
        let tolerances = &order.validate.tolerances;
        let keys = compare::differing(&seen, table, &key_names, tolerances, &counts);
        let mut divergence = Divergence {
            node: version.name.clone(),
            left: format!("version {}", version.number),
            right: file.to_owned(),
            cut,
            rows: 0,
            looks: 0,
            outcome: Outcome::Equal,
        };
        if keys.is_empty() {
            return Ok(divergence);
        }
        let differing = Differing {
            starts: starts(&member.planned, &keys),
            keys,
            key_names: &key_names,
            file: table,
            order: &order.validate,
        };
        let setup = self.setup(&member.planned, member.plugin.clone())?;
        let walk = walk(&setup, member.start.after, cut, &differing)?;
        divergence.rows = walk.rows;
        if walk.late.is_empty() {
            divergence.outcome = Outcome::NoLateRow(walk.contributing);
            return Ok(divergence);
        }
        let mut rerun = self.rerun_version(&member)?;
        let limit = order.limit.unwrap_or(u64::MAX);
        let mut exact = None;
        let mut set_aside = None;
        for (place, late) in walk.late.iter().enumerate().take(LOOKS_MAX) {
            if rerun.rows >= limit {
                break;
            }
            divergence.looks += 1;
            match look_at(&mut rerun, late, &differing)? {
                Look::SaysWhatWasBefore => {
                    exact = Some(place);
                    break;
                }
                Look::SetAside => set_aside = set_aside.or(Some(place)),
                Look::Nothing => {}
            }
        }
        let late = &walk.late[exact.or(set_aside).unwrap_or(0)];
        let outside = Outside {
            behind_us: late.behind_us,
            says_what_was_before: exact.is_some(),
            differing: differing.keys.len() as u64,
            with_late_rows: walk.with_late_rows.len() as u64,
            late_rows: walk.late.len() as u64,
        };
        if rerun.at() >= late.sequence {
            divergence.rows += rerun.rows;
            rerun = self.rerun_version(&member)?;
        }
        let point = self.show_late(&mut rerun, late, &differing, outside)?;
        divergence.rows += rerun.rows;
        divergence.outcome = Outcome::Found(Box::new(point));
        Ok(divergence)
    }

    fn show_late(
        &self,
        rerun: &mut Rerun,
        late: &Late,
        differing: &Differing<'_>,
        outside: Outside,
    ) -> Result<Point> {
        let Some((topic, partition, frame)) = self.source_frame(late.sequence)? else {
            return Err(Error::Refused(format!(
                "no frame of a source topic has sequence {}: it is kept no more",
                late.sequence
            )));
        };
        stand_before(rerun, late)?;
        let keys = keys_of(rerun, differing, late)?;
        let before = rerun.step(late.sequence, Some(late.origin_row))?;
        let was = rerun.rows_with(&before, &keys)?;
        rerun.give_up()?;
        let after = rerun.step(late.sequence, Some(late.origin_row + 1))?;
        let then = rerun.rows_with(&after, &keys)?;
        rerun.give_up()?;
        let row = log_row(&topic, &frame, late.origin_row)?;
        let steps = (&before, &after);
        let left = self.treatment(rerun, steps, late.sequence, Some(late.origin_row))?;
        let key: Vec<String> = late.key.iter().map(Value::text).collect();
        let find = |table: &Table| row_of(table, differing.key_names, &key);
        let file = find(differing.file);
        let fields = differing.file.schema.fields().iter();
        let fields = fields.map(|f| f.name.clone());
        let fields = fields.filter(|name| !differing.key_names.contains(name));
        Ok(Point {
            equal_up_to: Sequence(late.sequence.0 - 1),
            sequence: late.sequence,
            topic: topic.spec().name.clone(),
            partition,
            append_time: frame.header().append_time,
            row: Some(row),
            left,
            right: None,
            views: vec![ViewRow {
                fields: fields.collect(),
                left_before: find(&was),
                left_after: find(&then),
                right_before: file.clone(),
                right_after: file,
                key,
            }],
            outside: Some(outside),
        })
    }
}

/// What there is to a row that came late.
enum Look {
    /// The table says of its key what the view said just before it.
    SaysWhatWasBefore,
    /// The version did not take it either.
    SetAside,
    /// Neither.
    Nothing,
}

fn look_at(rerun: &mut Rerun, late: &Late, differing: &Differing<'_>) -> Result<Look> {
    stand_before(rerun, late)?;
    let keys = keys_of(rerun, differing, late)?;
    let before = rerun.step(late.sequence, Some(late.origin_row))?;
    let was = rerun.rows_with(&before, &keys)?;
    rerun.give_up()?;
    if same(&only(&was, differing, &late.key), differing, &late.key) {
        return Ok(Look::SaysWhatWasBefore);
    }
    let after = rerun.step(late.sequence, Some(late.origin_row + 1))?;
    rerun.give_up()?;
    Ok(match after.set_aside() == before.set_aside() {
        true => Look::Nothing,
        false => Look::SetAside,
    })
}

/// Lets a version stand right before the frame of a row.
fn stand_before(rerun: &mut Rerun, late: &Late) -> Result<()> {
    rerun.advance(Sequence(late.sequence.0 - 1))
}

/// The key of the view's row that a row belongs to.
fn keys_of(rerun: &Rerun, differing: &Differing<'_>, late: &Late) -> Result<Keys> {
    let mut keys = Keys::default();
    keys.add(&rerun.key_batch(&late.key)?, differing.key_names.len());
    Ok(keys)
}

/// The one row of a table that has this key.
fn only(table: &Table, differing: &Differing<'_>, key: &Key) -> Table {
    let columns: Vec<_> = differing
        .key_names
        .iter()
        .filter_map(|name| table.rows.column_by_name(name))
        .collect();
    let is = |row: &usize| {
        let values = columns.iter().map(|c| Value::of(c, *row));
        values.eq(key.iter().cloned())
    };
    let found = (0..table.rows.num_rows()).find(is);
    Table {
        schema: table.schema.clone(),
        rows: match found {
            Some(row) => table.rows.slice(row, 1),
            None => table.rows.slice(0, 0),
        },
    }
}

/// Whether the table has the same row as the view, or neither has one.
fn same(view: &Table, differing: &Differing<'_>, key: &Key) -> bool {
    let file = only(differing.file, differing, key);
    let tolerances = &differing.order.tolerances;
    compare::differing(view, &file, differing.key_names, tolerances, &|_, _| true).is_empty()
}

fn starts(planned: &PlannedNode, keys: &BTreeMap<Key, Option<usize>>) -> BTreeSet<i64> {
    let timed = planned.window.as_ref().is_some_and(Window::timed);
    let last = keys.keys().filter_map(|key| match key.last() {
        Some(Value::Time(start)) if timed => Some(*start),
        _ => None,
    });
    last.collect()
}

/// All partitions of all inputs.
fn lanes(setup: &NodeSetup) -> Lanes {
    let all = (0..setup.plan.tasks).flat_map(|task| setup.lanes(task).to_vec());
    let mut lanes: Vec<_> = all.collect();
    lanes.sort_by_key(|lane| (lane.input, lane.partition));
    lanes.dedup_by_key(|lane| (lane.input, lane.partition));
    lanes.into()
}

/// Walks through the log as one thread would, and finds what came late for rows that differ.
fn walk(
    setup: &NodeSetup,
    after: Sequence,
    cut: Sequence,
    differing: &Differing<'_>,
) -> Result<Walk> {
    let plan = &setup.plan;
    let inputs = 0..plan.inputs.len();
    let sources = inputs.map(|input| setup.source(input, &[], true));
    let mut reader = Reader::open(lanes(setup), sources.collect::<Result<_>>()?, after)?;
    let mut walk = Walk::default();
    // Over all, and in each partition.
    let mut newest = i64::MIN;
    let mut newest_of = vec![i64::MIN; reader.lanes().len()];
    while let Some(batch) = reader.next(cut, BATCH_ROWS)? {
        walk.rows += batch.rows as u64;
        for run in &batch.runs {
            for row in run.start..run.end {
                let time = batch.time(run, row);
                for (start, end) in windows(plan.window.as_ref(), time) {
                    let wanted = start.is_none_or(|s| differing.starts.contains(&s));
                    if wanted && let Some(key) = key_of(plan, &batch, row, start, time, differing) {
                        walk.contributing += 1;
                        let own = newest_of[run.lane];
                        if newest >= end {
                            walk.late.push(Late {
                                sequence: run.sequence,
                                origin_row: batch.origin_row(run, row),
                                key,
                                behind_us: if own >= end { own } else { newest }
                                    .saturating_sub(end),
                                in_its_partition: own >= end,
                            });
                        }
                    }
                }
                newest = newest.max(time);
                newest_of[run.lane] = newest_of[run.lane].max(time);
            }
        }
    }
    // Partitions of one input are behind one another: that explains only what nothing else does.
    if walk.late.iter().any(|late| late.in_its_partition) {
        walk.late.retain(|late| late.in_its_partition);
    }
    walk.with_late_rows = walk.late.iter().map(|late| late.key.clone()).collect();
    Ok(walk)
}

/// The windows of an event time: the start, where it is known by the time alone, and the time from which on a row of it
/// comes late.
fn windows(window: Option<&Window>, time: i64) -> Vec<(Option<i64>, i64)> {
    match window {
        Some(Window::Tumbling { size_us, .. }) => {
            let windows = Tumbling::new(*size_us, 0);
            let index = windows.of(time);
            vec![(Some(windows.start(index)), windows.end(index))]
        }
        Some(Window::Sliding {
            size_us, every_us, ..
        }) => {
            let windows = Sliding::new(*size_us, *every_us, 0);
            let (first, last) = windows.of(time);
            let span = |index| (Some(windows.start(index)), windows.end(index));
            (first..=last).map(span).collect()
        }
        Some(Window::Session { gap_us, .. }) => vec![(None, time.saturating_add(*gap_us))],
        Some(Window::Count { .. }) | None => vec![(None, time.saturating_add(1))],
    }
}

/// The key of the differing row of the view that a row of the log belongs to.
fn key_of(
    plan: &PlannedNode,
    batch: &Batch,
    row: usize,
    start: Option<i64>,
    time: i64,
    differing: &Differing<'_>,
) -> Option<Key> {
    let mut key: Key = batch.keys.iter().map(|c| Value::of(c, row)).collect();
    match (&plan.window, start) {
        (_, Some(start)) => key.push(Value::Time(start)),
        (None, None) => {}
        // Of a session, or of rows counted: the last one that had begun.
        (Some(window), None) => {
            let mut end = key.clone();
            end.push(match window.timed() {
                true => Value::Time(time),
                false => Value::Int(i64::MAX),
            });
            let begun = differing.keys.range(key.clone()..=end).next_back()?;
            key = begun.0.clone();
        }
    }
    differing.keys.contains_key(&key).then_some(key)
}
