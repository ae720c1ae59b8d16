//! Rows that trap: taken one by one until the culprit is alone, tried again in a fresh instance, then dead-lettered.
//!
//! Law 7: only what depends on row and state alone may reject a row. A trap that does not come again with the same row
//! and the same states stops the node.

use refrain_plugin::{Entries, Fault, FaultKind, Input, States};

use super::{FoldTask, spot};
use crate::error::Place;
use crate::input::Batch;
use crate::pipeline::OnTrap;
use crate::task::{CallRows, Failure, Spot};

/// How a row is taken while others, or itself, are under suspicion.
pub(super) enum Care {
    /// Like any other.
    None,
    /// Alone in its call.
    Alone,
    /// Not at all: it is known to trap.
    Skip,
}

impl FoldTask {
    /// While rows that trap are pinned down: dead-letters a row known to trap, and sees to it that a suspect begins a
    /// call.
    pub(super) fn careful(
        &mut self,
        batch: &Batch,
        index: usize,
        row: usize,
    ) -> Result<Care, Failure> {
        let spot = spot(&batch.runs[index], row);
        if let Some(reason) = self.suspicion.poison.get(&spot) {
            let partition = self.lanes[spot.lane];
            self.outs
                .rejected
                .push(batch, index, row, partition, reason.clone());
            self.core.call.skip();
            return Ok(Care::Skip);
        }
        if !self.suspicion.suspects(spot) {
            return Ok(Care::None);
        }
        self.flush(batch)?;
        Ok(Care::Alone)
    }

    pub(super) fn is_suspect_alone(&self, batch: &Batch) -> bool {
        let mut entries = self.core.call.entries();
        match (entries.next(), entries.next()) {
            (Some((row, _)), None) => {
                let run = &batch.runs[batch.runs.partition_point(|run| run.end <= row)];
                self.suspicion.suspects(spot(run, row))
            }
            _ => false,
        }
    }

    /// The states of the call's slots as they are before it, without those that the call begins.
    pub(super) fn states_before(&mut self) -> Result<(Vec<u32>, States), Failure> {
        let known: Vec<u32> = self
            .core
            .call
            .slots
            .iter()
            .copied()
            .filter(|s| !self.core.slots.fresh.contains(s))
            .collect();
        let states = self
            .instance
            .save(&known)
            .map_err(|f| self.setup.fault(f, None))?;
        Ok((known, states))
    }

    /// What a failed `update` means.
    pub(super) fn failed(
        &self,
        batch: &Batch,
        fault: Fault,
        before: Option<(Vec<u32>, States)>,
    ) -> Failure {
        let mut rows = CallRows::default();
        for (row, _) in self.core.call.entries() {
            let run = &batch.runs[batch.runs.partition_point(|run| run.end <= row)];
            let at = spot(run, row);
            rows.push(at.lane, at.offset..at.offset + 1);
        }
        let place = rows.place(&self.setup, &self.lanes);
        let pin_down =
            fault.kind == FaultKind::Trap && self.setup.plan.on_trap == OnTrap::DeadLetter;
        if !pin_down {
            return Failure::Stop(self.setup.fault(fault, place));
        }
        match before {
            None => Failure::Suspect(rows.spots(), Box::new(self.setup.fault(fault, place))),
            Some((slots, states)) => self.verify(batch, fault, slots, states, rows, place),
        }
    }

    /// A row trapped alone: does it again, in a fresh instance with the states it met?
    pub(super) fn verify(
        &self,
        batch: &Batch,
        fault: Fault,
        slots: Vec<u32>,
        states: States,
        rows: CallRows,
        place: Option<Place>,
    ) -> Failure {
        let plan = &self.setup.plan;
        let call = &self.core.call;
        let again = self
            .setup
            .plugin
            .instantiate(&plan.options, plan.limits)
            .and_then(|mut fresh| {
                fresh.restore(&slots, &states)?;
                let input = Input {
                    columns: &batch.columns,
                    start: call.from,
                    count: call.count,
                };
                let entries = Entries {
                    rows: if call.sparse { &call.rows } else { &[] },
                    slots: &call.slots,
                };
                fresh.update(input, entries).map(|_| ())
            });
        match again {
            Err(second) if second.kind == FaultKind::Trap => {
                let first = &rows.spots()[0];
                let spot = Spot {
                    lane: first.lane,
                    offset: first.offsets.start,
                };
                Failure::Poison(spot, format!("trap: {}", second.what))
            }
            Err(second) => Failure::Stop(self.setup.fault(second, place)),
            Ok(()) => {
                let what = format!(
                    "{}, but not again in a fresh instance with the same state: the plugin remembers something                      outside its slots",
                    fault.what
                );
                Failure::Stop(self.setup.fault(Fault { what, ..fault }, place))
            }
        }
    }
}
