//! Rows that trap, found as in a fold: each call of a careful task is tried out in another instance, on copies of the states
//! that it meets. What traps is halved until the culprits are alone; the task's own instance takes the rows between them.
//!
//! A trap in `fire` is no row's: it stops the node.

use std::collections::BTreeMap;
use std::ops::Range;

use refrain_plugin::{Fault, Instance, States};

use super::ProcessTask;
use super::call::{Call, Shape};
use crate::error::{Extent, Place};
use crate::input::Lanes;
use crate::task::care::Refused;
use crate::task::{Failure, NodeSetup, Suspicion, Taken, trap_reason};

impl ProcessTask {
    /// What a failed call with rows of the task's own instance means.
    pub(super) fn failed(&self, call: &Call<'_>, fault: Fault) -> Failure {
        let place = place(call, &call.rows, &self.lanes);
        if !self.setup.may_be_a_rows(&fault) {
            return Failure::Stop(self.setup.fault(fault, place));
        }
        if self.careful.is_some() {
            // It went well in the scratch a moment ago.
            return Failure::Stop(self.setup.not_again(fault, place));
        }
        Failure::Suspect(Box::new(Suspicion { fault, place }))
    }

    /// Tries a call out: its rows that trap.
    pub(super) fn sift(&mut self, call: &Call<'_>) -> Result<Refused, Failure> {
        let mut known = call.slots.to_vec();
        known.sort_unstable();
        known.dedup();
        let mut fresh = self.slots.fresh.clone();
        fresh.sort_unstable();
        known.retain(|slot| fresh.binary_search(slot).is_err());
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
            shape: &self.shape,
            call,
            scratch: careful.scratch.take(),
            states,
            culprits: Refused::new(),
            handed: 0,
        };
        sieve.sift(call.rows.clone(), false)?;
        careful.scratch = sieve.scratch;
        careful.culprits += sieve.culprits.len() as u64;
        self.handed += sieve.handed;
        if !sieve.culprits.is_empty() {
            careful.suspicion = None;
        }
        Ok(sieve.culprits)
    }
}

fn place(call: &Call<'_>, rows: &Range<usize>, lanes: &Lanes) -> Option<Place> {
    Taken::of_rows(call.batch, rows.clone()).place(lanes, Extent::Call)
}

/// Finds the culprits among the rows of one call.
struct Sieve<'a> {
    setup: &'a NodeSetup,
    lanes: &'a Lanes,
    shape: &'a Shape,
    call: &'a Call<'a>,
    scratch: Option<Instance>,
    /// States of the call's slots, as good rows before have left them. A slot without one is at its beginning.
    states: BTreeMap<u32, Vec<u8>>,
    culprits: Refused,
    handed: u64,
}

impl Sieve<'_> {
    /// Leaves the states of these rows' slots behind when `more` rows of the call follow.
    fn sift(&mut self, rows: Range<usize>, more: bool) -> Result<(), Failure> {
        let fault = match self.attempt(&rows, more) {
            Ok(()) => return Ok(()),
            Err(fault) => self.pinnable(&rows, fault)?,
        };
        self.scratch = None;
        let before = self.culprits.len();
        if rows.len() > 1 {
            let half = rows.start + rows.len() / 2;
            self.sift(rows.start..half, true)?;
            self.sift(half..rows.end, more)?;
        } else {
            self.verify(&rows)?;
        }
        if self.culprits.len() == before {
            let place = place(self.call, &rows, self.lanes);
            return Err(Failure::Stop(self.setup.not_again(fault, place)));
        }
        Ok(())
    }

    /// One row alone: does it trap again in a fresh instance with the state it meets?
    fn verify(&mut self, rows: &Range<usize>) -> Result<(), Failure> {
        if let Err(again) = self.attempt(rows, true) {
            let again = self.pinnable(rows, again)?;
            self.scratch = None;
            self.culprits.push((rows.start, trap_reason(&again)));
        }
        Ok(())
    }

    fn attempt(&mut self, rows: &Range<usize>, more: bool) -> Result<(), Fault> {
        let base = self.call.rows.start;
        let of_rows = &self.call.slots[rows.start - base..rows.end - base];
        let mut slots = of_rows.to_vec();
        slots.sort_unstable();
        slots.dedup();
        let mut known = Vec::new();
        let mut states = States::default();
        for slot in &slots {
            if let Some(state) = self.states.get(slot).filter(|state| !state.is_empty()) {
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
        self.handed += rows.len() as u64;
        let call = Call {
            rows: rows.clone(),
            slots: of_rows,
            ..*self.call
        };
        self.shape.make(scratch, &call)?;
        if more {
            let after = scratch.save(&slots)?;
            for (i, slot) in slots.iter().enumerate() {
                self.states.insert(*slot, after.get(i).to_vec());
            }
        }
        Ok(())
    }

    /// The fault again when it may be pinned on a row.
    fn pinnable(&self, rows: &Range<usize>, fault: Fault) -> Result<Fault, Failure> {
        match self.setup.may_be_a_rows(&fault) {
            true => Ok(fault),
            false => {
                let place = place(self.call, rows, self.lanes);
                Err(Failure::Stop(self.setup.fault(fault, place)))
            }
        }
    }
}
