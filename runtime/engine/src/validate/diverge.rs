//! The first row of the log after which two versions of a view differ: both are computed again side by side, in steps;
//! a step after which they differ is given up and halved, down to one frame, and then to one row of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use refrain_log::frame::Frame;
use refrain_log::ids::{Offset, Sequence};
use refrain_log::topic::{Origin, Topic};

use super::compare;
use super::divergence::{
    DivergeOrder, Divergence, LogRow, Outcome, Point, StateChange, Treatment, ViewRow,
};
use super::report::{Drift, ValidateOrder};
use super::rerun::{Keys, Rerun, Step};
use super::shared_key;
use super::value::Value;
use super::whole::Whole;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::pipeline::PlannedNode;
use crate::request::Table;
use crate::task::Prepared;
use crate::versions::{VersionName, newest_candidate};

/// Steps in which the log is walked through: a difference that comes and goes within one is not seen.
const STEPS: u64 = 256;
/// View rows, and states, that are shown.
const SHOWN_MAX: usize = 10;
/// Bytes of a state that are shown.
const STATE_BYTES_SHOWN: usize = 64;

/// What counts as a difference.
pub(super) struct Judge<'a> {
    pub(super) order: &'a ValidateOrder,
    pub(super) planned: &'a PlannedNode,
    pub(super) counts: &'a dyn Fn(&Table, usize) -> bool,
}

impl Judge<'_> {
    fn drift(&self, left: &Table, right: &Table) -> Result<Drift> {
        let key = shared_key(self.planned, &left.schema, &right.schema)?;
        let tolerances = &self.order.tolerances;
        Ok(compare::compare(left, right, &key, tolerances, self.counts))
    }
}

/// Two versions side by side.
struct Pair<'a> {
    left: Rerun,
    right: Rerun,
    judge: Judge<'a>,
    limit: u64,
    looks: u64,
}

impl Host {
    /// Searches. Nothing that anybody reads is touched: both versions are computed again in memory.
    pub fn diverge(&self, order: &DivergeOrder) -> Result<Divergence> {
        let (node, known) = self.node_versions(&order.validate.name)?;
        if let Some((file, table)) = &order.validate.against {
            let of = order.validate.candidate.unwrap_or(known.reading.live);
            return self.explain(order, &VersionName::new(&node, of), file, table);
        }
        let candidate = match order.validate.candidate {
            Some(version) => version,
            None => newest_candidate(&node, &known)?,
        };
        let left = VersionName::new(&node, known.reading.live);
        let right = VersionName::new(&node, candidate);
        let version = known.versions.get(&candidate);
        let version = version.ok_or_else(|| super::no_version(&node, candidate))?;
        let planned = version.planned()?;
        let names = [left.to_string(), right.to_string()];
        let held = self.meet_or_run(&names, None)?;
        let cut = held.cut;
        let tolerances = &order.validate.tolerances;
        let views = self.two_views(&left, &right)?;
        drop(held);
        let equal = self
            .compare_views(views, (&left, &right), &known, tolerances)?
            .is_equal();
        let whole = match equal {
            true => Whole::All,
            false => self.comparable(&left, &right)?,
        };
        let judge = Judge {
            order: &order.validate,
            planned: &planned,
            counts: &|table, row| whole.has(table, row),
        };
        let (left_member, right_member) = (self.member(&left)?, self.member(&right)?);
        let begin = left_member.start.after.max(right_member.start.after);
        let mut pair = Pair {
            left: self.rerun_version(&left_member)?,
            right: self.rerun_version(&right_member)?,
            judge,
            limit: order.limit.unwrap_or(u64::MAX),
            looks: 0,
        };
        let outcome = match equal {
            true => Outcome::Equal,
            false => pair.search(self, begin, cut)?,
        };
        Ok(Divergence {
            node,
            left: format!("version {}", known.reading.live),
            right: format!("version {candidate}"),
            cut,
            rows: pair.left.rows + pair.right.rows,
            looks: pair.looks,
            outcome,
        })
    }

    /// The frame of a source topic with this sequence.
    pub(super) fn source_frame(
        &self,
        sequence: Sequence,
    ) -> Result<Option<(Arc<Topic>, u32, Frame)>> {
        let before = Sequence(sequence.0.saturating_sub(1));
        let sources = self.log.topics().into_iter();
        for topic in sources.filter(|t| t.spec().origin == Origin::Source) {
            for partition in 0..topic.spec().partitions {
                let mut cursor = topic.cursor_after(partition, before)?;
                if let Some(frame) = cursor.next(sequence)?
                    && frame.header().sequence == sequence
                {
                    return Ok(Some((topic, partition, frame)));
                }
            }
        }
        Ok(None)
    }

    /// Why a version set a row of a source frame aside, by its topic of such rows.
    fn reason(
        &self,
        node: &str,
        what: &str,
        sequence: Sequence,
        row: u32,
    ) -> Result<Option<String>> {
        let Some(topic) = self.log.topic(&format!("{node}.{what}")) else {
            return Ok(None);
        };
        let place = topic.schema().index_of("reason");
        let place = place.expect("topics of rows set aside have reasons");
        let before = Sequence(sequence.0.saturating_sub(1));
        for task in 0..topic.spec().partitions {
            let mut cursor = topic.cursor_after(task, before)?;
            let Some(frame) = cursor.next(Sequence(u64::MAX))? else {
                continue;
            };
            let origins = frame.origins()?.unwrap_or_default();
            let mut start = 0;
            for run in &origins.runs {
                let rows = start..run.rows_end as usize;
                start = rows.end;
                let of_row = |i: &usize| run.sequence == sequence && origins.rows[*i] == row;
                if let Some(found) = rows.into_iter().find(of_row) {
                    return Ok(Some(Value::of(&frame.column(place)?, found).text()));
                }
            }
        }
        Ok(None)
    }

    /// What a version does with a row of a source frame, by the steps that end before and after it.
    pub(super) fn treatment(
        &self,
        rerun: &Rerun,
        (before, after): (&Step, &Step),
        sequence: Sequence,
        row: Option<u32>,
    ) -> Result<Treatment> {
        let ((late, rejected), (late_then, rejected_then)) =
            (before.set_aside(), after.set_aside());
        let what = match (late_then > late, rejected_then > rejected) {
            (true, _) => "late",
            (_, true) => "rejected",
            _ => "taken",
        };
        let reason = match row.filter(|_| what != "taken") {
            Some(row) => self.reason(&rerun.plan().name, what, sequence, row)?,
            None => None,
        };
        Ok(Treatment {
            what: what.to_owned(),
            reason,
            states: states(rerun, before, after)?,
        })
    }
}

impl Pair<'_> {
    fn search(&mut self, host: &Host, begin: Sequence, cut: Sequence) -> Result<Outcome> {
        for rerun in [&mut self.left, &mut self.right] {
            // The version that begins earlier takes what the other one does not have.
            rerun.advance(begin)?;
        }
        let stride = ((cut.0 - begin.0.min(cut.0)) / STEPS).max(1);
        let mut differs: Option<Sequence> = None;
        loop {
            let at = self.left.at();
            if self.is_over_limit() {
                return Ok(Outcome::GaveUp(at));
            }
            let to = match differs {
                Some(beyond) if beyond.0 - at.0 <= 1 => return self.narrow(host, at, beyond),
                Some(beyond) => Sequence(at.0 + (beyond.0 - at.0) / 2),
                None if at >= cut => return Ok(Outcome::NotAgain),
                None => self.no_takeover_before(cut.min(Sequence(at.0 + stride))),
            };
            let steps = self.step(to, None)?;
            match self.differs(&steps)?.is_none() {
                true => {
                    self.left.keep(steps.0)?;
                    self.right.keep(steps.1)?;
                }
                false => {
                    self.give_up()?;
                    differs = Some(to);
                }
            }
        }
    }

    /// This cut, or an earlier one at which a build of either takes over.
    fn no_takeover_before(&self, cut: Sequence) -> Sequence {
        let takeovers = [self.left.next_takeover(), self.right.next_takeover()];
        takeovers.into_iter().flatten().fold(cut, Sequence::min)
    }

    fn step(&mut self, cut: Sequence, rows: Option<u32>) -> Result<(Step, Step)> {
        Ok((self.left.step(cut, rows)?, self.right.step(cut, rows)?))
    }

    fn is_over_limit(&self) -> bool {
        self.left.rows.max(self.right.rows) >= self.limit
    }

    fn give_up(&mut self) -> Result<()> {
        self.left.give_up()?;
        self.right.give_up()
    }

    /// How the views differ with these steps, where they do.
    fn differs(&mut self, (left, right): &(Step, Step)) -> Result<Option<Drift>> {
        self.looks += 1;
        if left.is_same(right) {
            return Ok(None);
        }
        let (left, right) = self.tables((left, right), &Keys::default())?;
        let drift = self.judge.drift(&left, &right)?;
        Ok((!drift.is_equal()).then_some(drift))
    }

    /// The rows that the steps change on either side, and those with these keys, on both sides.
    fn tables(&self, (left, right): (&Step, &Step), keys: &Keys) -> Result<(Table, Table)> {
        let (mut of_left, mut of_right) = (self.right.keys(right), self.left.keys(left));
        of_left.extend(keys);
        of_right.extend(keys);
        Ok((
            self.left.rows_with(left, &of_left)?,
            self.right.rows_with(right, &of_right)?,
        ))
    }

    /// The row of a frame with which they part.
    fn narrow(&mut self, host: &Host, equal: Sequence, sequence: Sequence) -> Result<Outcome> {
        let Some((topic, partition, frame)) = host.source_frame(sequence)? else {
            return Err(Error::Refused(format!(
                "the versions part at sequence {sequence}, and no frame of a source topic has it: it is kept no more"
            )));
        };
        // Before row `same` they are equal; with row `parts` - 1 they are not.
        let (mut same, mut parts) = (0, frame.header().rows);
        let mut by_row = parts > 0;
        if by_row {
            let steps = self.step(sequence, Some(0))?;
            by_row = self.differs(&steps)?.is_none();
            self.give_up()?;
        }
        while by_row && parts - same > 1 {
            if self.is_over_limit() {
                return Ok(Outcome::GaveUp(equal));
            }
            let middle = same + (parts - same) / 2;
            let steps = self.step(sequence, Some(middle))?;
            match self.differs(&steps)? {
                None => same = middle,
                Some(_) => parts = middle,
            }
            self.give_up()?;
        }
        let row = by_row.then_some(same);
        let log_row = row.map(|row| log_row(&topic, &frame, row)).transpose()?;
        let header = frame.header();
        let mut point = Point {
            equal_up_to: equal,
            sequence,
            topic: topic.spec().name.clone(),
            partition,
            append_time: header.append_time,
            row: log_row,
            left: Treatment::default(),
            right: None,
            views: Vec::new(),
            outside: None,
        };
        self.show(host, &mut point, row, header.rows)?;
        Ok(Outcome::Found(Box::new(point)))
    }

    /// Both sides before and after the row, or the frame.
    fn show(&mut self, host: &Host, point: &mut Point, row: Option<u32>, rows: u32) -> Result<()> {
        let sequence = point.sequence;
        let (before, after) = match row {
            // What the end of the frame did counts for its last row.
            Some(row) if row + 1 == rows => (self.step(sequence, Some(row))?, None),
            Some(row) => (self.step(sequence, Some(row))?, Some(row + 1)),
            None => (self.step(point.equal_up_to, None)?, None),
        };
        self.give_up()?;
        let after = self.step(sequence, after)?;
        let drift = self.differs(&after)?.unwrap_or_default();
        let mut keys = self.left.keys(&after.0);
        keys.extend(&self.right.keys(&after.1));
        let then = self.tables((&after.0, &after.1), &keys)?;
        // The views have not been moved: what is not in a step is as it was before it.
        self.give_up()?;
        let was = self.tables((&before.0, &before.1), &keys)?;
        let key = shared_key(self.judge.planned, &then.0.schema, &then.1.schema)?;
        for shown in drift.shown.iter().take(SHOWN_MAX) {
            let find = |table: &Table| row_of(table, &key, &shown.key);
            point.views.push(ViewRow {
                key: shown.key.clone(),
                fields: shown.fields.iter().map(|f| f.0.clone()).collect(),
                left_before: find(&was.0),
                left_after: find(&then.0),
                right_before: find(&was.1),
                right_after: find(&then.1),
            });
        }
        let left = host.treatment(&self.left, (&before.0, &after.0), sequence, row)?;
        let right = host.treatment(&self.right, (&before.1, &after.1), sequence, row)?;
        (point.left, point.right) = (left, Some(right));
        Ok(())
    }
}

/// A row of a frame, field by field.
pub(super) fn log_row(topic: &Topic, frame: &Frame, row: u32) -> Result<LogRow> {
    let fields: Vec<usize> = (0..topic.schema().fields().len()).collect();
    let rows = frame.batch(&fields)?;
    let names = topic.schema().fields().iter().map(|f| f.name.clone());
    let values = rows.columns().iter();
    let values = values.map(|c| Value::of(c, row as usize).text());
    Ok(LogRow {
        offset: Offset(frame.header().base_offset.0 + u64::from(row)),
        fields: names.zip(values).collect(),
    })
}

/// The row with this key, field by field.
pub(super) fn row_of(
    table: &Table,
    key: &[String],
    wanted: &[String],
) -> Option<Vec<(String, String)>> {
    let columns: Vec<_> = key
        .iter()
        .filter_map(|name| table.rows.column_by_name(name))
        .collect();
    let is = |row: &usize| {
        let values = columns.iter().map(|c| Value::of(c, *row).text());
        values.eq(wanted.iter().cloned())
    };
    let row = (0..table.rows.num_rows()).find(is)?;
    let fields = table.schema.fields().iter().zip(table.rows.columns());
    let others = fields.filter(|(f, _)| !key.contains(&f.name));
    Some(
        others
            .map(|(f, c)| (f.name.clone(), Value::of(c, row).text()))
            .collect(),
    )
}

/// States that are other after one step than after the one before it.
fn states(rerun: &Rerun, before: &Step, after: &Step) -> Result<Vec<StateChange>> {
    let mut changes = Vec::new();
    for task in after.tasks() {
        let number = task.changes.task;
        let earlier = before.tasks().iter().find(|p| p.changes.task == number);
        let earlier: BTreeMap<&[u8], Option<&[u8]>> = earlier.map(after_of).unwrap_or_default();
        for (key, then) in after_of(task) {
            let was = match earlier.get(key) {
                Some(state) => state.map(<[u8]>::to_vec),
                None => rerun.state_of(number, key)?.map(|s| s.to_vec()),
            };
            if was.as_deref() != then && changes.len() < SHOWN_MAX {
                changes.push(StateChange {
                    before: was.as_deref().map(hex),
                    after: then.map(hex),
                });
            }
        }
    }
    Ok(changes)
}

/// The states that a task has put, and those that it has deleted.
fn after_of(task: &Prepared) -> BTreeMap<&[u8], Option<&[u8]>> {
    let state = &task.changes.state;
    let puts = state.put_keys.iter().zip(state.put_states.iter());
    let puts = puts.map(|(key, state)| (key, Some(state)));
    puts.chain(state.deleted.iter().map(|key| (key, None)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    let shown = bytes.iter().take(STATE_BYTES_SHOWN);
    let text: String = shown.map(|b| format!("{b:02x}")).collect();
    match bytes.len() > STATE_BYTES_SHOWN {
        true => format!("{text}… ({} bytes)", bytes.len()),
        false => text,
    }
}
