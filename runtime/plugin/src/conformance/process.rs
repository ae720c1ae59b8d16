//! One process plugin, driven over rows of all its inputs in ways that must come to the same: the watermark goes on with the
//! times, timers fire at its steps, and between calls the host may do to states what it likes.

use std::collections::BTreeSet;

use arrow_array::ArrayRef;

use super::checks::{Done, KEPT, SORTS};
use super::fold::{SLOTS, Way, put, saved};
use super::rows::{self, Dice, Sort};
use super::shown::{self, Row, difference};
use super::slots::{GAIN_BYTES_MAX, changed, if_met, initial};
use super::{Problem, Subject, ways};
use crate::instance::{Input, Instance, Part, Processed};

/// Step of the watermark, in microseconds.
const STEP_US: i64 = 1_000_000;
/// Before every time.
const NEVER: i64 = i64::MIN;

/// Rows of all inputs in one order.
pub(super) struct Batch {
    /// Columns of each input.
    columns: Vec<Vec<ArrayRef>>,
    /// Input of each row.
    order: Vec<u32>,
    /// Slots that rows go to.
    groups: u32,
    slots: Vec<u32>,
    times: Vec<i64>,
    timed: bool,
}

/// What came of it.
#[derive(Debug, PartialEq)]
pub(super) struct Outcome {
    /// Rows given, each with the row that caused it (or that moved the watermark), and whether it goes.
    rows: Vec<(usize, bool, Row)>,
    rejects: Vec<(u32, String)>,
    /// Timers left, by time and slot.
    timers: BTreeSet<(i64, u32)>,
    /// The saved bytes of each slot.
    states: Vec<Vec<u8>>,
    pub(super) memory_bytes: u64,
}

impl Batch {
    /// `count` rows, some late, with pauses between that pass several steps.
    pub(super) fn new(subject: &Subject<'_>, sort: Sort, count: usize, dice: &mut Dice) -> Batch {
        let mut now = 1_700_000_000 * STEP_US;
        let mut time = |dice: &mut Dice| {
            now += [0, 1, 70_000, 400_000, 3_000_000][dice.below(5)];
            now - [0, 0, 0, 2_500_000][dice.below(4)]
        };
        let times = (0..count).map(|_| time(dice)).collect();
        let slots = (0..count).map(|_| dice.below(SLOTS as usize) as u32);
        let slots = slots.collect();
        Batch::of(subject, sort, SLOTS, slots, times, dice)
    }

    /// Rows of one time, so that calls may be as large as can be, that go to so many slots, one after another. The last has a
    /// later time.
    pub(super) fn spread(
        subject: &Subject<'_>,
        count: usize,
        groups: u32,
        dice: &mut Dice,
    ) -> Batch {
        let slots = (0..count as u32).map(|row| row % groups).collect();
        let mut times = vec![1_700_000_000 * STEP_US; count];
        if let Some(last) = times.last_mut() {
            *last += 3600 * STEP_US;
        }
        Batch::of(subject, Sort::Ordinary, groups, slots, times, dice)
    }

    fn of(
        subject: &Subject<'_>,
        sort: Sort,
        groups: u32,
        slots: Vec<u32>,
        times: Vec<i64>,
        dice: &mut Dice,
    ) -> Batch {
        let about = subject.about();
        let count = slots.len();
        let inputs = about.declared_inputs();
        let order: Vec<u32> = (0..count)
            .map(|_| dice.below(inputs.len()) as u32)
            .collect();
        let of_input = |(input, declared): (u32, &crate::about::DeclaredInput)| {
            let rows = order.iter().filter(|of| **of == input).count();
            rows::columns(&declared.fields, sort, rows, dice)
        };
        let columns = (0..).zip(inputs).map(of_input).collect();
        Batch {
            columns,
            groups,
            slots,
            times,
            timed: about.timed(),
            order,
        }
    }

    /// The watermark before each row, and after the last one.
    fn watermarks(&self) -> Vec<i64> {
        let mut newest = NEVER;
        let mut all = vec![NEVER];
        for time in &self.times {
            newest = newest.max(time - time.rem_euclid(STEP_US));
            all.push(if self.timed { newest } else { NEVER });
        }
        all
    }
}

struct Drive<'a> {
    subject: &'a Subject<'a>,
    batch: &'a Batch,
    way: &'a Way,
    instance: Instance,
    outcome: Outcome,
}

/// Drives the batch through it in this way.
pub(super) fn drive(subject: &Subject<'_>, batch: &Batch, way: &Way) -> Result<Outcome, Problem> {
    taken(subject, batch, way).map(|(outcome, _)| outcome)
}

/// The same, with the instance that took the last rows.
fn taken(subject: &Subject<'_>, batch: &Batch, way: &Way) -> Result<(Outcome, Instance), Problem> {
    let mut drive = Drive::start(subject, batch, way)?;
    let watermarks = batch.watermarks();
    let count = batch.order.len();
    let mut calls = way.calls.iter().copied().cycle();
    let mut start = 0;
    while start < count {
        let size = calls.next().unwrap_or(1).clamp(1, count - start);
        let same = watermarks[start..start + size]
            .iter()
            .take_while(|w| **w == watermarks[start]);
        let end = start + same.count();
        drive.take(start..end, watermarks[start])?;
        drive.between()?;
        if watermarks[end] > watermarks[start] {
            drive.fire(end, watermarks[end])?;
        }
        start = end;
    }
    let all = drive.all();
    drive.outcome.states = saved(&mut drive.instance, &all)?;
    drive.outcome.memory_bytes = drive.instance.memory_bytes();
    Ok((drive.outcome, drive.instance))
}

impl<'a> Drive<'a> {
    fn start(
        subject: &'a Subject<'a>,
        batch: &'a Batch,
        way: &'a Way,
    ) -> Result<Drive<'a>, Problem> {
        Ok(Drive {
            subject,
            batch,
            way,
            instance: subject.start()?,
            outcome: Outcome {
                rows: Vec::new(),
                rejects: Vec::new(),
                timers: BTreeSet::new(),
                states: Vec::new(),
                memory_bytes: 0,
            },
        })
    }

    fn slot(&self, slot: u32) -> u32 {
        slot * self.way.slots.0 + self.way.slots.1
    }

    fn all(&self) -> Vec<u32> {
        (0..self.batch.groups).map(|slot| self.slot(slot)).collect()
    }

    fn take(&mut self, rows: std::ops::Range<usize>, watermark: i64) -> Result<(), Problem> {
        let batch = self.batch;
        let of_input = |input: u32, row: &usize| batch.order[*row] == input;
        let inputs = 0..batch.columns.len() as u32;
        let slots: Vec<Vec<u32>> = inputs
            .clone()
            .map(|input| {
                let rows = rows.clone().filter(|row| of_input(input, row));
                rows.map(|row| self.slot(batch.slots[row])).collect()
            })
            .collect();
        let times: Vec<Vec<i64>> = inputs
            .clone()
            .map(|input| {
                let rows = rows.clone().filter(|row| of_input(input, row));
                rows.filter(|_| batch.timed)
                    .map(|row| batch.times[row])
                    .collect()
            })
            .collect();
        let part = |input: u32| Part {
            input: Input {
                columns: &batch.columns[input as usize],
                start: (0..rows.start).filter(|row| of_input(input, row)).count(),
                count: slots[input as usize].len(),
            },
            slots: &slots[input as usize],
            times: &times[input as usize],
        };
        let parts: Vec<Part<'_>> = inputs.map(part).collect();
        let order = match parts.len() {
            1 => &[][..],
            _ => &batch.order[rows.clone()],
        };
        let mut said = self.instance.process(&parts, order, watermark)?;
        let rejects = std::mem::take(&mut said.rejects).into_iter();
        let rejects = rejects.map(|r| (r.row + rows.start as u32, r.reason));
        self.outcome.rejects.extend(rejects);
        self.keep(&said, |origin| rows.start + origin);
        Ok(())
    }

    fn fire(&mut self, row: usize, watermark: i64) -> Result<(), Problem> {
        let later = self.outcome.timers.split_off(&(watermark + 1, 0));
        let due: Vec<(i64, u32)> = std::mem::replace(&mut self.outcome.timers, later)
            .into_iter()
            .collect();
        let size = self.way.calls[0].max(1);
        for block in due.chunks(size) {
            let (times, slots): (Vec<i64>, Vec<u32>) = block
                .iter()
                .map(|(time, slot)| (*time, self.slot(*slot)))
                .unzip();
            let said = self.instance.fire(&slots, &times, watermark)?;
            self.keep(&said, |_| row);
            self.between()?;
        }
        Ok(())
    }

    fn keep(&mut self, said: &Processed, cause: impl Fn(usize) -> usize) {
        for row in 0..said.count {
            let gone = said.deleted.as_ref().is_some_and(|d| d.value(row));
            let origin = cause(said.origins[row] as usize);
            let shown = shown::row(&said.columns, row);
            self.outcome.rows.push((origin, gone, shown));
        }
        let timers = &said.timers;
        for (i, (slot, time)) in timers.slots.iter().zip(&timers.times).enumerate() {
            let timer = (*time, (slot - self.way.slots.1) / self.way.slots.0);
            match timers.cleared.as_ref().is_some_and(|c| c.value(i)) {
                true => self.outcome.timers.remove(&timer),
                false => self.outcome.timers.insert(timer),
            };
        }
    }

    /// What the host may do between two calls. A state without bytes is not restored.
    fn between(&mut self) -> Result<(), Problem> {
        if !(self.way.drops || self.way.moves) {
            return Ok(());
        }
        let all = self.all();
        let states = saved(&mut self.instance, &all)?;
        match self.way.drops {
            true => self.instance = self.subject.start()?,
            false => self.instance.release(&all)?,
        }
        restore(&mut self.instance, &all, &states)
    }
}

/// Puts states into slots. One without bytes is initial, and is not restored.
pub(super) fn restore(
    instance: &mut Instance,
    slots: &[u32],
    states: &[Vec<u8>],
) -> Result<(), Problem> {
    let some = slots.iter().zip(states).filter(|(_, s)| !s.is_empty());
    let (slots, states): (Vec<u32>, Vec<Vec<u8>>) =
        some.map(|(slot, state)| (*slot, state.clone())).unzip();
    put(instance, &slots, &states)
}

/// What differs between one row a call and another way.
pub(super) fn differs(subject: &Subject<'_>, one: &Outcome, other: &Outcome) -> Option<String> {
    if one.rejects != other.rejects {
        return Some(ways::rejects_differ(&one.rejects, &other.rejects));
    }
    if let Some((a, b)) = one.rows.iter().zip(&other.rows).find(|(a, b)| a != b) {
        return Some(match (a.0 == b.0, a.1 == b.1) {
            (true, true) => difference(&subject.about().outputs, &a.2, &b.2),
            (true, false) => "a row is put in one and taken back in the other".into(),
            _ => format!("a row is caused by row {} and by row {}", a.0, b.0),
        });
    }
    if one.rows.len() != other.rows.len() {
        let (one, other) = (one.rows.len(), other.rows.len());
        return Some(format!("it gives {one} rows and {other}"));
    }
    if one.timers != other.timers {
        return Some("other timers are left".into());
    }
    (one.states != other.states).then(|| {
        "the rows are the same, the saved bytes are not (the order of a hash map? padding?)".into()
    })
}

fn some_rows(subject: &Subject<'_>) -> Batch {
    let mut dice = Dice::of(subject.settings.seed);
    Batch::new(subject, Sort::Ordinary, subject.rows(), &mut dice)
}

/// The states of a refused row's slot, before it and after it.
pub(super) fn rejected(subject: &Subject<'_>) -> Done {
    let mut met = false;
    for (_, sort, _) in SORTS {
        let mut dice = Dice::of(subject.settings.seed ^ sort as u64);
        let count = ways::count(subject, sort);
        let batch = Batch::new(subject, sort, count, &mut dice);
        let way = Way::oracle();
        let watermarks = batch.watermarks();
        let mut drive = Drive::start(subject, &batch, &way)?;
        for row in 0..count {
            let slot = [batch.slots[row]];
            let before = saved(&mut drive.instance, &slot)?;
            let refused = drive.outcome.rejects.len();
            drive.take(row..row + 1, watermarks[row])?;
            if let Some((_, reason)) = drive.outcome.rejects.get(refused) {
                met = true;
                if saved(&mut drive.instance, &slot)? != before {
                    return Err(changed(reason));
                }
            }
            if watermarks[row + 1] > watermarks[row] {
                drive.fire(row + 1, watermarks[row + 1])?;
            }
        }
    }
    if_met(met)
}

pub(super) fn release(subject: &Subject<'_>) -> Done {
    let batch = some_rows(subject);
    let way = Way::oracle();
    let (_, mut instance) = taken(subject, &batch, &way)?;
    let all: Vec<u32> = (0..batch.groups).collect();
    instance.release(&all)?;
    let used = saved(&mut instance, &all)?;
    let never = saved(&mut subject.start()?, &all)?;
    initial(used == never)
}

/// The states of some rows, by slot; without bytes where one is as it began.
pub(super) fn states(subject: &Subject<'_>) -> Result<Vec<Vec<u8>>, Problem> {
    Ok(drive(subject, &some_rows(subject), &Way::oracle())?.states)
}

pub(super) fn round_trip(subject: &Subject<'_>) -> Done {
    let states = states(subject)?;
    let slots: Vec<u32> = (0..states.len() as u32).rev().collect();
    let mut instance = subject.start()?;
    restore(&mut instance, &slots, &states)?;
    for _ in 0..2 {
        if saved(&mut instance, &slots)? != states {
            return Err(Problem("a restored state saves as other bytes".into()));
        }
    }
    KEPT
}

/// Memory after the same rows in many small calls, states let go of between them, against few large ones.
pub(super) fn memory(subject: &Subject<'_>) -> Done {
    let batch = Batch::new(subject, Sort::Ordinary, subject.rows(), &mut Dice::of(1));
    let way = |calls: usize| Way {
        calls: vec![calls],
        moves: true,
        ..Way::oracle()
    };
    let few = drive(subject, &batch, &way(subject.rows()))?.memory_bytes;
    let many = drive(subject, &batch, &way(1))?.memory_bytes;
    match many.saturating_sub(few) <= GAIN_BYTES_MAX {
        true => KEPT,
        false => Err(Problem(format!(
            "memory grew from {} to {} MiB over many small calls with the same rows: something is never freed",
            few >> 20,
            many >> 20
        ))),
    }
}
