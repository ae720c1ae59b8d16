//! One fold, driven over one batch of rows in one of many ways that must come to the same.

use arrow_array::ArrayRef;

use super::rows::{self, Dice, Sort};
use super::shown::{self, Row};
use super::{Problem, Subject};
use crate::instance::{Entries, Input, Instance, States};

/// Rows, or slots, that a host hands over at once, at most.
pub(super) const CALL_ROWS: usize = 4_096;

/// Rows and the slots that each goes to: none, one or several.
pub(super) struct Batch {
    pub(super) columns: Vec<ArrayRef>,
    pub(super) count: usize,
    /// Slots that rows go to; one more is looked at.
    groups: u32,
    /// Key of each slot.
    keys: Vec<ArrayRef>,
    /// Whether `evaluate` is not asked, since it would want keys that nobody has said.
    blind: bool,
    rows: Vec<u32>,
    slots: Vec<u32>,
}

/// Slots that rows of an ordinary batch go to.
pub(super) const SLOTS: u32 = 12;

impl Batch {
    /// Rows that go to few slots, some to several and some to none.
    pub(super) fn new(subject: &Subject<'_>, sort: Sort, count: usize, dice: &mut Dice) -> Self {
        let columns = rows::columns(&subject.about().inputs, sort, count, dice);
        let (mut rows, mut slots) = (Vec::new(), Vec::new());
        for row in 0..count as u32 {
            let first = dice.below(SLOTS as usize) as u32;
            for next in 0..[1, 1, 1, 2, 3, 0][dice.below(6)] {
                rows.push(row);
                slots.push((first + next) % SLOTS);
            }
        }
        Self {
            columns,
            count,
            groups: SLOTS,
            keys: subject.keys(sort, SLOTS as usize + 1, dice),
            blind: subject.lacks_keys(),
            rows,
            slots,
        }
    }

    /// Rows that go to so many slots, one after another.
    pub(super) fn spread(
        subject: &Subject<'_>,
        count: usize,
        groups: u32,
        dice: &mut Dice,
    ) -> Self {
        Self {
            columns: rows::columns(&subject.about().inputs, Sort::Ordinary, count, dice),
            count,
            groups,
            keys: subject.keys(Sort::Ordinary, groups as usize + 1, dice),
            blind: subject.lacks_keys(),
            rows: (0..count as u32).collect(),
            slots: (0..count as u32).map(|row| row % groups).collect(),
        }
    }

    /// Slots of one row.
    pub(super) fn slots_of(&self, row: usize) -> &[u32] {
        let start = self.rows.partition_point(|at| (*at as usize) < row);
        let end = self.rows.partition_point(|at| *at as usize <= row);
        &self.slots[start..end]
    }
}

/// A way to drive it.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// In words, after "the result with".
    pub(super) name: &'static str,
    /// Rows of each call; the last repeats.
    pub(super) calls: Vec<usize>,
    /// Whether the instance is dropped after each call, and its states put into a new one.
    pub(super) drops: bool,
    /// Whether states are saved, released and restored in the same instance after each call.
    pub(super) moves: bool,
    /// Whether the view is asked for after each call.
    pub(super) looks: bool,
    /// What slot numbers are multiplied with, and what is added.
    pub(super) slots: (u32, u32),
}

impl Way {
    /// One row a call, nothing else: what all others are compared with.
    pub(super) fn oracle() -> Self {
        Self {
            name: "one row a call",
            calls: vec![1],
            drops: false,
            moves: false,
            looks: false,
            slots: (1, 0),
        }
    }

    /// The number of a slot.
    fn slot(&self, slot: u32) -> u32 {
        slot * self.slots.0 + self.slots.1
    }

    /// All slots of a batch, and one that no row goes to.
    pub(super) fn all(&self, batch: &Batch) -> Vec<u32> {
        (0..=batch.groups).map(|slot| self.slot(slot)).collect()
    }
}

/// What came of it.
#[derive(Debug, PartialEq)]
pub(super) struct Outcome {
    /// The view's row of each slot; none: no row.
    pub(super) view: Vec<Option<Row>>,
    /// The saved bytes of each.
    pub(super) states: Vec<Vec<u8>>,
    /// Rows refused, and why.
    pub(super) rejects: Vec<(u32, String)>,
    /// Memory of the last instance.
    pub(super) memory_bytes: u64,
}

/// Drives the batch through it in this way.
pub(super) fn drive(subject: &Subject<'_>, batch: &Batch, way: &Way) -> Result<Outcome, Problem> {
    let (mut instance, rejects) = taken(subject, batch, way)?;
    let all = way.all(batch);
    let states = saved(&mut instance, &all)?;
    Ok(Outcome {
        view: view(&mut instance, batch, &all)?,
        states,
        rejects,
        memory_bytes: instance.memory_bytes(),
    })
}

/// All rows taken in this way: the instance that took the last of them, and what was refused.
pub(super) fn taken(
    subject: &Subject<'_>,
    batch: &Batch,
    way: &Way,
) -> Result<(Instance, Vec<(u32, String)>), Problem> {
    let mut instance = subject.start()?;
    let mut rejects = Vec::new();
    let mut start = 0;
    let mut calls = way.calls.iter().copied().cycle();
    while start < batch.count {
        let count = calls.next().unwrap_or(1).clamp(1, batch.count - start);
        rejects.extend(take(&mut instance, batch, way, start, count)?);
        between(subject, batch, way, &mut instance)?;
        start += count;
    }
    Ok((instance, rejects))
}

/// One call with these rows; what was refused of them, by row of the batch. None is made when they go nowhere.
pub(super) fn take(
    instance: &mut Instance,
    batch: &Batch,
    way: &Way,
    start: usize,
    count: usize,
) -> Result<Vec<(u32, String)>, Problem> {
    let entry = |row: usize| batch.rows.partition_point(|at| (*at as usize) < row);
    let entries = entry(start)..entry(start + count);
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let rows = batch.rows[entries.clone()].iter();
    let rows: Vec<u32> = rows.map(|row| row - start as u32).collect();
    let slots = batch.slots[entries].iter();
    let slots: Vec<u32> = slots.map(|slot| way.slot(*slot)).collect();
    let input = Input {
        columns: &batch.columns,
        start,
        count,
    };
    // The short form, where it says the same.
    let each = rows.len() == count && rows.iter().enumerate().all(|(i, row)| *row == i as u32);
    let entries = Entries {
        rows: if each { &[] } else { &rows },
        slots: &slots,
    };
    let rejects = instance.update(input, entries)?.into_iter();
    Ok(rejects
        .map(|reject| (reject.row + start as u32, reject.reason))
        .collect())
}

/// What the host may do between two calls.
fn between(
    subject: &Subject<'_>,
    batch: &Batch,
    way: &Way,
    instance: &mut Instance,
) -> Result<(), Problem> {
    let all = way.all(batch);
    if way.looks {
        view(instance, batch, &all)?;
    }
    if !(way.drops || way.moves) {
        return Ok(());
    }
    let states = saved(instance, &all)?;
    if way.drops {
        *instance = subject.start()?;
    } else {
        instance.release(&all)?;
    }
    put(instance, &all, &states)
}

/// The view's rows of these slots, which are those of the batch in its order.
pub(super) fn view(
    instance: &mut Instance,
    batch: &Batch,
    slots: &[u32],
) -> Result<Vec<Option<Row>>, Problem> {
    let mut rows = Vec::new();
    if batch.blind {
        return Ok(rows);
    }
    for (block, start) in slots.chunks(CALL_ROWS).zip((0..).step_by(CALL_ROWS)) {
        let keys = Input {
            columns: &batch.keys,
            start,
            count: block.len(),
        };
        let said = instance.evaluate(block, keys)?;
        let present = |i| said.present.as_ref().is_none_or(|bits| bits.value(i));
        let shown = |i| present(i).then(|| shown::row(&said.columns, i));
        rows.extend((0..block.len()).map(shown));
    }
    Ok(rows)
}

/// The saved bytes of these slots.
pub(super) fn saved(instance: &mut Instance, slots: &[u32]) -> Result<Vec<Vec<u8>>, Problem> {
    let mut all = Vec::new();
    for block in slots.chunks(CALL_ROWS) {
        let states = instance.save(block)?;
        all.extend((0..block.len()).map(|i| states.get(i).to_vec()));
    }
    if slots.is_empty() {
        instance.save(slots)?;
    }
    Ok(all)
}

/// Puts saved bytes into these slots.
pub(super) fn put(
    instance: &mut Instance,
    slots: &[u32],
    states: &[Vec<u8>],
) -> Result<(), Problem> {
    for (slots, states) in slots.chunks(CALL_ROWS).zip(states.chunks(CALL_ROWS)) {
        instance.restore(slots, &States::of(states))?;
    }
    Ok(())
}
