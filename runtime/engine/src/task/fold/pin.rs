//! Rows that trap: found without harm to the task's instance, tried again in a fresh one, then dead-lettered.
//!
//! A trap takes the instance with it, and all states since the last commit. So the first one has the task opened again,
//! and careful: each call is tried out in another instance, its *scratch*, on copies of the states it meets. What
//! traps there is halved until the culprits are alone; the task's own instance then takes the call without them. Rows
//! since the commit are read again once, and each culprit costs about twice its call. The task stays careful while
//! traps keep coming, until a commit without one.
//!
//! Law 7: only what depends on row and state alone may reject a row. A trap that does not come again with the same rows
//! and states stops the node.

use std::collections::BTreeMap;

use refrain_plugin::{Entries, Fault, FaultKind, Input, Instance, States};

use super::FoldTask;
use crate::error::{Extent, Place};
use crate::input::{Batch, Lanes};
use crate::task::care::{self, Refused};
use crate::task::{Failure, NodeSetup, Suspicion, Taken, trap_reason};

impl FoldTask {
    /// Before a commit: the trap that brought the care must have come again by now.
    pub(super) fn settle_suspicion(&mut self) -> Result<(), Failure> {
        care::settle(&mut self.careful, &self.setup)
    }

    /// After a commit: care ends when there was no trap since the last one.
    pub(super) fn relax(&mut self) {
        care::relax(&mut self.careful);
    }

    /// What a failed call of the task's own instance means.
    pub(super) fn failed(&self, batch: &Batch, fault: Fault) -> Failure {
        let rows = self.core.call.entries().map(|(row, _)| row);
        let place = Taken::of_rows(batch, rows).place(&self.lanes, Extent::Call);
        if !self.setup.may_be_a_rows(&fault) {
            return Failure::Stop(self.setup.fault(fault, place));
        }
        if self.careful.is_some() {
            // It went well in the scratch a moment ago.
            return Failure::Stop(self.setup.not_again(fault, place));
        }
        Failure::Suspect(Box::new(Suspicion { fault, place }))
    }

    /// Tries the collected call out, and takes the rows that trap out of it. `joined`: slots whose states join that of the
    /// call's one entry before.
    pub(super) fn sift(&mut self, batch: &Batch, joined: &[u32]) -> Result<Refused, Failure> {
        let entries: Vec<(usize, u32)> = self.core.call.entries().collect();
        let mut slots: Vec<u32> = entries.iter().map(|e| e.1).chain(joined.to_vec()).collect();
        slots.sort_unstable();
        slots.dedup();
        let mut fresh = self.core.slots.fresh.clone();
        fresh.sort_unstable();
        let mut known = slots;
        known.retain(|s| fresh.binary_search(s).is_err());
        let saved = self
            .instance
            .save(&known)
            .map_err(|f| self.since_commit(f))?;
        let states = known.iter().enumerate();
        let states = states
            .map(|(i, slot)| (*slot, saved.get(i).to_vec()))
            .collect();
        let careful = self.careful.as_mut().expect("only careful tasks sift");
        let mut sieve = Sieve {
            setup: &self.setup,
            lanes: &self.lanes,
            batch,
            scratch: careful.scratch.take(),
            states,
            joined,
            culprits: Refused::new(),
            handed: 0,
        };
        sieve.sift(&entries, false)?;
        careful.scratch = sieve.scratch;
        careful.culprits += sieve.culprits.len() as u64;
        self.handed += sieve.handed;
        let culprits = sieve.culprits;
        if !culprits.is_empty() {
            careful.suspicion = None;
            let trapping = |row: usize| culprits.binary_search_by_key(&row, |c| c.0).is_ok();
            let call = &mut self.core.call;
            call.keep(entries.into_iter().filter(|(row, _)| !trapping(*row)));
        }
        Ok(culprits)
    }
}

/// Finds the culprits among the entries of one call.
struct Sieve<'a> {
    setup: &'a NodeSetup,
    lanes: &'a Lanes,
    batch: &'a Batch,
    scratch: Option<Instance>,
    /// States of the call's slots, as good rows before have left them. A slot without one is at its beginning.
    states: BTreeMap<u32, Vec<u8>>,
    joined: &'a [u32],
    culprits: Refused,
    handed: u64,
}

impl Sieve<'_> {
    /// Leaves the states of these entries' slots behind when `more` entries of the call follow.
    fn sift(&mut self, entries: &[(usize, u32)], more: bool) -> Result<(), Failure> {
        let fault = match self.attempt(entries, more) {
            Ok(()) => return Ok(()),
            Err(fault) => self.pinnable(entries, fault)?,
        };
        self.scratch = None;
        let before = self.culprits.len();
        match split(entries) {
            Some((first, second)) => {
                self.sift(first, true)?;
                self.sift(second, more)?;
            }
            None => self.verify(entries)?,
        }
        match self.culprits.len() == before {
            true => Err(Failure::Stop(
                self.setup.not_again(fault, self.place(entries)),
            )),
            false => Ok(()),
        }
    }

    /// One row alone: does it trap again in a fresh instance with the states it meets?
    fn verify(&mut self, entries: &[(usize, u32)]) -> Result<(), Failure> {
        if let Err(again) = self.attempt(entries, true) {
            let again = self.pinnable(entries, again)?;
            self.scratch = None;
            self.culprits.push((entries[0].0, trap_reason(&again)));
        }
        Ok(())
    }

    fn attempt(&mut self, entries: &[(usize, u32)], more: bool) -> Result<(), Fault> {
        let of_entries: Vec<u32> = entries.iter().map(|e| e.1).collect();
        let mut slots = [&of_entries, self.joined].concat();
        slots.sort_unstable();
        slots.dedup();
        let mut known = Vec::new();
        let mut states = States::default();
        for slot in &slots {
            if let Some(state) = self.states.get(slot) {
                known.push(*slot);
                states.push(state);
            }
        }
        let scratch = match &mut self.scratch {
            Some(scratch) => scratch,
            none => none.insert(self.setup.instance()?),
        };
        scratch.release(&slots)?;
        scratch.restore(&known, &states)?;
        let (start, last) = (entries[0].0, entries[entries.len() - 1].0);
        let rows: Vec<u32> = entries.iter().map(|e| (e.0 - start) as u32).collect();
        if !self.joined.is_empty() {
            let into = vec![of_entries[0]; self.joined.len()];
            // A fault in `merge` is no row's: it stops the node, here as in the task's own instance.
            scratch.merge(&into, self.joined).map_err(|fault| Fault {
                kind: FaultKind::Fatal,
                ..fault
            })?;
        }
        let input = Input {
            columns: &self.batch.columns,
            start,
            count: last - start + 1,
        };
        self.handed += entries.len() as u64;
        scratch.update(
            input,
            Entries {
                rows: &rows,
                slots: &of_entries,
            },
        )?;
        if more {
            let after = scratch.save(&slots)?;
            for (i, slot) in slots.iter().enumerate() {
                self.states.insert(*slot, after.get(i).to_vec());
            }
        }
        Ok(())
    }

    /// The fault again when it may be pinned on a row.
    fn pinnable(&self, entries: &[(usize, u32)], fault: Fault) -> Result<Fault, Failure> {
        match self.setup.may_be_a_rows(&fault) {
            true => Ok(fault),
            false => Err(Failure::Stop(self.setup.fault(fault, self.place(entries)))),
        }
    }

    fn place(&self, entries: &[(usize, u32)]) -> Option<Place> {
        let rows = entries.iter().map(|e| e.0);
        Taken::of_rows(self.batch, rows).place(self.lanes, Extent::Call)
    }
}

/// Rows of a call, each with its slot.
type RowSlots = [(usize, u32)];

/// Entries with two rows or more, in halves that divide no row.
fn split(entries: &RowSlots) -> Option<(&RowSlots, &RowSlots)> {
    let (first, last) = (entries.first()?.0, entries.last()?.0);
    if first == last {
        return None;
    }
    let row = entries[entries.len() / 2].0.max(first + 1);
    Some(entries.split_at(entries.partition_point(|e| e.0 < row)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_divide_no_row_and_are_never_empty() {
        let one: Vec<(usize, u32)> = vec![(5, 0), (5, 1), (5, 2)];
        assert!(split(&one).is_none());
        for rows in [
            vec![1, 1, 1, 2],
            vec![1, 2, 2, 2],
            vec![3, 9],
            vec![1, 2, 3],
        ] {
            let entries: Vec<(usize, u32)> = rows.iter().map(|row| (*row, 0)).collect();
            let (first, second) = split(&entries).expect("two rows or more");
            assert!(!first.is_empty() && !second.is_empty(), "{rows:?}");
            assert!(first[first.len() - 1].0 < second[0].0, "{rows:?}");
        }
    }
}
