//! Timers: for each slot the times at which it is to be called again, and which of all come next.

use std::collections::{BTreeMap, BTreeSet};

/// The timers of a task, by slot and by the step at which they fire.
#[derive(Debug)]
pub(super) struct Timers {
    step_us: i64,
    /// Of each slot, rising.
    of_slot: Vec<Vec<i64>>,
    /// Slots with a timer that fires at the step of that number.
    at_step: BTreeMap<i64, BTreeSet<u32>>,
    /// Of each slot, the step under which the store has it as due.
    noted: Vec<Option<i64>>,
}

impl Timers {
    /// None yet.
    pub(super) fn new(step_us: i64) -> Timers {
        Timers {
            step_us,
            of_slot: Vec::new(),
            at_step: BTreeMap::new(),
            noted: Vec::new(),
        }
    }

    /// Number of the last step that the watermark has passed.
    pub(super) fn last_step(&self, watermark: i64) -> i64 {
        watermark.div_euclid(self.step_us)
    }

    /// The step at which a slot's next timer fires.
    pub(super) fn next_step(&self, slot: u32) -> Option<i64> {
        self.of(slot).first().map(|time| self.step(*time))
    }

    /// The step under which the store has a slot as due.
    pub(super) fn noted(&self, slot: u32) -> Option<i64> {
        self.noted.get(slot as usize).copied().flatten()
    }

    /// The store has a slot as due under this step from the next commit on.
    pub(super) fn note(&mut self, slot: u32, step: Option<i64>) {
        let place = slot as usize;
        if place >= self.noted.len() {
            if step.is_none() {
                return;
            }
            self.noted.resize(place + 1, None);
        }
        self.noted[place] = step;
    }

    /// A slot has no key any more.
    pub(super) fn forget(&mut self, slot: u32) {
        self.note(slot, None);
        let times = self.of_slot.get_mut(slot as usize).map(std::mem::take);
        for time in times.unwrap_or_default() {
            let step = self.step(time);
            if let Some(slots) = self.at_step.get_mut(&step) {
                slots.remove(&slot);
                if slots.is_empty() {
                    self.at_step.remove(&step);
                }
            }
        }
    }

    /// The times of a slot, rising.
    pub(super) fn of(&self, slot: u32) -> &[i64] {
        self.of_slot.get(slot as usize).map_or(&[], Vec::as_slice)
    }

    /// Sets one; one that is there already stays.
    pub(super) fn set(&mut self, slot: u32, time: i64) {
        let place = slot as usize;
        if place >= self.of_slot.len() {
            self.of_slot.resize_with(place + 1, Vec::new);
        }
        let times = &mut self.of_slot[place];
        if let Err(at) = times.binary_search(&time) {
            times.insert(at, time);
            let step = self.step(time);
            self.at_step.entry(step).or_default().insert(slot);
        }
    }

    /// Clears one, if it is there.
    pub(super) fn clear(&mut self, slot: u32, time: i64) {
        let Some(times) = self.of_slot.get_mut(slot as usize) else {
            return;
        };
        let Ok(at) = times.binary_search(&time) else {
            return;
        };
        times.remove(at);
        let step = self.step(time);
        let same = |other: &&i64| self.step(**other) == step;
        let others = self.of(slot);
        let near = others.get(at).into_iter().chain(others[..at].last());
        if near.into_iter().any(|other| same(&other)) {
            return;
        }
        if let Some(slots) = self.at_step.get_mut(&step) {
            slots.remove(&slot);
            if slots.is_empty() {
                self.at_step.remove(&step);
            }
        }
    }

    /// Takes those that are due when the watermark has come to this step: by time, slots of one time as they stand.
    pub(super) fn take_due(&mut self, watermark: i64) -> Vec<(i64, u32)> {
        let last = self.last_step(watermark);
        let mut due = Vec::new();
        while let Some(step) = self.at_step.first_entry() {
            if *step.key() > last {
                break;
            }
            for slot in step.remove() {
                let times = &mut self.of_slot[slot as usize];
                let count = times.partition_point(|time| *time <= watermark);
                due.extend(times.drain(..count).map(|time| (time, slot)));
            }
        }
        due.sort_unstable();
        due
    }

    /// Number of the step at which a timer fires: the first that is not before it.
    fn step(&self, time: i64) -> i64 {
        time.div_euclid(self.step_us) + i64::from(time.rem_euclid(self.step_us) > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is done to timers.
    #[derive(Clone, Debug)]
    enum Act {
        Set(u32, i64),
        Clear(u32, i64),
        Forget(u32),
        Due(i64),
    }

    fn act() -> impl Strategy<Value = Act> {
        let (slot, time) = (0..4u32, -30..60i64);
        prop_oneof![
            4 => (slot.clone(), time.clone()).prop_map(|(s, t)| Act::Set(s, t)),
            2 => (slot.clone(), time.clone()).prop_map(|(s, t)| Act::Clear(s, t)),
            1 => slot.prop_map(Act::Forget),
            1 => time.prop_map(Act::Due),
        ]
    }

    proptest! {
        #[test]
        fn timers_are_a_set_of_times_and_slots(acts in proptest::collection::vec(act(), 0..60), step in 1..12i64) {
            let mut timers = Timers::new(step);
            let mut model = BTreeSet::new();
            for act in acts {
                match act {
                    Act::Set(slot, time) => {
                        timers.set(slot, time);
                        model.insert((time, slot));
                    }
                    Act::Clear(slot, time) => {
                        timers.clear(slot, time);
                        model.remove(&(time, slot));
                    }
                    Act::Forget(slot) => {
                        timers.forget(slot);
                        model.retain(|t| t.1 != slot);
                    }
                    Act::Due(time) => {
                        let step = time - time.rem_euclid(step);
                        let due: Vec<(i64, u32)> = model.iter().copied().filter(|t| t.0 <= step).collect();
                        model.retain(|t| t.0 > step);
                        prop_assert_eq!(timers.take_due(step), due);
                    }
                }
                let count: usize = timers.of_slot.iter().map(Vec::len).sum();
                prop_assert_eq!(count, model.len());
                let steps: usize = timers.at_step.values().map(BTreeSet::len).sum();
                let wanted: BTreeSet<(i64, u32)> = model.iter().map(|(t, s)| (timers.step(*t), *s)).collect();
                prop_assert_eq!(steps, wanted.len());
                for slot in 0..4 {
                    let first = model.iter().filter(|t| t.1 == slot).map(|t| t.0).min();
                    prop_assert_eq!(timers.next_step(slot), first.map(|t| timers.step(t)));
                }
            }
        }
    }

    #[test]
    fn the_ends_of_time_are_times() {
        let mut timers = Timers::new(1_000_000);
        timers.set(0, i64::MIN);
        timers.set(0, i64::MAX);
        assert_eq!(timers.take_due(0), [(i64::MIN, 0)]);
        assert_eq!(timers.of(0), [i64::MAX]);
    }
}
