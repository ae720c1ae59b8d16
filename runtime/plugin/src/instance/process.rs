//! The calls that a process plugin takes: rows of several inputs, and timers that are due.

use arrow_array::ArrayRef;
use arrow_buffer::BooleanBuffer;

use super::{Calls, Input, Instance, Reject, SlotCalls, call, willing};
use crate::about::PluginKind;
use crate::answer;
use crate::contract::{Callable, Fire, Take};
use crate::fault::Fault;
use crate::given::{self, Stage};
use crate::wire::{ColumnIn, PartIn};

/// The functions of its kind, looked up.
#[derive(Clone, Copy)]
pub(super) struct ProcessCalls {
    pub(super) process: Callable<Take<'static>>,
    pub(super) fire: Callable<Fire<'static>>,
    pub(super) slots: SlotCalls,
}

/// Rows of one input for one call.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The fields that the plugin declares for the input, with the Arrow types of their kinds.
    pub input: Input<'a>,
    /// The slot of each row.
    pub slots: &'a [u32],
    /// The event time of each row in microseconds; empty when the plugin is not timed.
    pub times: &'a [i64],
}

/// Timers set or cleared, one after another.
#[derive(Clone, Debug, Default)]
pub struct Timers {
    /// Slots, each of which the call was about.
    pub slots: Vec<u32>,
    /// When, in microseconds of event time.
    pub times: Vec<i64>,
    /// Which are cleared; none: all are set.
    pub cleared: Option<BooleanBuffer>,
}

/// The answer of `process` and `fire`, checked: columns as of [`super::Transformed`], an origin for each row, none of a
/// rejected row, timers of slots that the call was about and only where the plugin is timed.
#[derive(Clone, Debug)]
pub struct Processed {
    /// In the order of [`crate::About::outputs`].
    pub columns: Vec<ArrayRef>,
    /// How many rows.
    pub count: usize,
    /// What caused each: place in the call's order, or in its timers. Never decreasing.
    pub origins: Vec<u32>,
    /// Rows of a view that go; none: no row does.
    pub deleted: Option<BooleanBuffer>,
    /// Rows refused, rising, by place in the call's order.
    pub rejects: Vec<Reject>,
    /// In this order.
    pub timers: Timers,
}

impl Part<'_> {
    fn assert_fits(&self, timed: bool) {
        let times = if timed { self.input.count } else { 0 };
        assert!(
            self.slots.len() == self.input.count && self.times.len() == times,
            "the host gives each row a slot, and a time where times matter"
        );
    }
}

impl Instance {
    /// `process.process`. `parts` has rows of every input that the plugin declares, in its order; `order` says of which
    /// part the next row is, and is empty when there is one part.
    ///
    /// # Errors
    /// A fault of the guest; [`crate::FaultKind::Malformed`] too when the plugin is of another kind.
    pub fn process(
        &mut self,
        parts: &[Part<'_>],
        order: &[u32],
        watermark: i64,
    ) -> Result<Processed, Fault> {
        const F: &str = "process.process";
        let process = self.process_calls(F)?.process;
        self.assert_parts(parts, order);
        self.stages.resize_with(parts.len(), Stage::default);
        for (stage, part) in self.stages.iter_mut().zip(parts) {
            stage.fill(&part.input);
        }
        let stages = self.stages.iter().zip(parts);
        let columns: Vec<Vec<ColumnIn<'_>>> = stages
            .map(|(stage, part)| stage.columns(&part.input))
            .collect();
        let given: Vec<PartIn<'_>> = parts
            .iter()
            .zip(&columns)
            .map(|(part, columns)| PartIn {
                rows: given::rows(part.input.count, columns),
                slots: part.slots,
                times: part.times,
            })
            .collect();
        let params = (given.as_slice(), order, watermark);
        let said = call(&mut self.store, &self.limits, process, params);
        drop(given);
        drop(columns);
        self.stages.iter_mut().for_each(Stage::clear);
        let about = self.plugin.about();
        let checked = said.and_then(willing).and_then(|said| {
            let asked = answer::process::Asked::Rows { parts, order };
            answer::process::processed(said, about, &asked)
        });
        self.settle(F, checked)
    }

    /// `process.fire`: these timers are due, in order of time, then of key.
    ///
    /// # Errors
    /// A fault of the guest; [`crate::FaultKind::Malformed`] too when the plugin is of another kind.
    pub fn fire(
        &mut self,
        slots: &[u32],
        times: &[i64],
        watermark: i64,
    ) -> Result<Processed, Fault> {
        const F: &str = "process.fire";
        let fire = self.process_calls(F)?.fire;
        let params = (slots, times, watermark);
        let said = call(&mut self.store, &self.limits, fire, params);
        let about = self.plugin.about();
        let checked = said.and_then(willing).and_then(|said| {
            let asked = answer::process::Asked::Timers(slots);
            answer::process::processed(said, about, &asked)
        });
        self.settle(F, checked)
    }

    fn process_calls(&self, function: &'static str) -> Result<ProcessCalls, Fault> {
        match self.calls {
            Calls::Process(calls) => Ok(calls),
            _ => Err(self.not_a(function, PluginKind::Process)),
        }
    }

    fn assert_parts(&self, parts: &[Part<'_>], order: &[u32]) {
        let about = self.plugin.about();
        let declared = about.declared_inputs();
        let rows: usize = parts.iter().map(|part| part.input.count).sum();
        let ordered = if parts.len() == 1 { 0 } else { rows };
        assert!(
            parts.len() == declared.len() && order.len() == ordered,
            "the host gives a part for each input, and says of each row whose it is"
        );
        for (part, declared) in parts.iter().zip(declared) {
            part.input.assert_fits(&declared.fields);
            part.assert_fits(about.timed());
        }
    }
}
