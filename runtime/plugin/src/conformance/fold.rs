//! One fold, driven over one batch of rows in one of many ways that must come to the same.

use arrow_array::ArrayRef;

use super::rows::Dice;
use super::shown::{self, Row};
use super::{Problem, Subject};
use crate::instance::{Entries, Input, Instance};

/// Rows and the slots that each goes to: none, one or several.
pub(super) struct Batch {
    pub(super) columns: Vec<ArrayRef>,
    pub(super) count: usize,
    rows: Vec<u32>,
    slots: Vec<u32>,
}

/// Slots that rows go to.
pub(super) const SLOTS: u32 = 12;
/// A slot that no row goes to.
const UNUSED: u32 = SLOTS;

impl Batch {
    pub(super) fn new(columns: Vec<ArrayRef>, count: usize, dice: &mut Dice) -> Self {
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
            rows,
            slots,
        }
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

    fn all(&self) -> Vec<u32> {
        (0..=UNUSED).map(|slot| self.slot(slot)).collect()
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
    let mut instance = subject.start()?;
    let mut rejects = Vec::new();
    let (mut start, mut entry) = (0, 0);
    let mut calls = way.calls.iter().copied().cycle();
    while start < batch.count {
        let count = calls.next().unwrap_or(1).clamp(1, batch.count - start);
        let end =
            entry + batch.rows[entry..].partition_point(|row| (*row as usize) < start + count);
        let rows: Vec<u32> = batch.rows[entry..end]
            .iter()
            .map(|row| row - start as u32)
            .collect();
        let slots: Vec<u32> = batch.slots[entry..end]
            .iter()
            .map(|s| way.slot(*s))
            .collect();
        if !rows.is_empty() {
            for reject in update(&mut instance, batch, (start, count), &rows, &slots)? {
                rejects.push((reject.row + start as u32, reject.reason));
            }
        }
        between(subject, way, &mut instance)?;
        (start, entry) = (start + count, end);
    }
    let states = saved(&mut instance, &way.all())?;
    Ok(Outcome {
        view: view(&mut instance, &way.all())?,
        states,
        rejects,
        memory_bytes: instance.memory_bytes(),
    })
}

fn update(
    instance: &mut Instance,
    batch: &Batch,
    (start, count): (usize, usize),
    rows: &[u32],
    slots: &[u32],
) -> Result<Vec<crate::Reject>, Problem> {
    let input = Input {
        columns: &batch.columns,
        start,
        count,
    };
    // The short form, where it says the same.
    let each = rows.len() == count && rows.iter().enumerate().all(|(i, row)| *row == i as u32);
    let entries = Entries {
        rows: if each { &[] } else { rows },
        slots,
    };
    Ok(instance.update(input, entries)?)
}

/// What the host may do between two calls.
fn between(subject: &Subject<'_>, way: &Way, instance: &mut Instance) -> Result<(), Problem> {
    let all = way.all();
    if way.looks {
        view(instance, &all)?;
    }
    if !(way.drops || way.moves) {
        return Ok(());
    }
    let states = instance.save(&all)?;
    if way.drops {
        *instance = subject.start()?;
    } else {
        instance.release(&all)?;
    }
    Ok(instance.restore(&all, &states)?)
}

/// The view's rows of these slots.
pub(super) fn view(instance: &mut Instance, slots: &[u32]) -> Result<Vec<Option<Row>>, Problem> {
    let keys = Input {
        columns: &[],
        start: 0,
        count: slots.len(),
    };
    let said = instance.evaluate(slots, keys)?;
    let present = |i| said.present.as_ref().is_none_or(|bits| bits.value(i));
    Ok((0..slots.len())
        .map(|i| present(i).then(|| shown::row(&said.columns, i)))
        .collect())
}

/// The saved bytes of these slots.
pub(super) fn saved(instance: &mut Instance, slots: &[u32]) -> Result<Vec<Vec<u8>>, Problem> {
    let states = instance.save(slots)?;
    Ok((0..slots.len()).map(|i| states.get(i).to_vec()).collect())
}
