//! Slots as a cache of the store, for states and timers that need not fit into memory.
//!
//! A key without a slot is looked up in what is committed, with the others of its call, and what is found is restored before
//! the plugin gets the rows. Where the watermark passes a step, the keys that the store has as due up to it are taken up
//! before any timer fires. Slots beyond the limit are given back: such as did not change since the last commit. A slot given
//! back loses nothing, since the store has its state and its timers; so none of this can influence results.

use refrain_state::TaskReader;
use refrain_state::store::Spans;

use super::ProcessTask;
use super::stored::{due_key, first_due_key, of_due, of_state, state_key};
use crate::error::{Error, Result};
use crate::task::fold::KeyedState;
use crate::task::room::{Page, Room};
use crate::task::{CacheCounts, Failure};

/// Where keys without a slot are looked up, and how many keys have one.
#[derive(Debug)]
pub struct Cache {
    reader: TaskReader,
    pub(super) room: Room,
    /// There may be keys without a slot.
    cold: bool,
    /// Keys that the store has as due up to this step are here.
    seen: i64,
    /// The first step beyond it at which the store may have a key as due.
    next: i64,
}

impl Cache {
    /// A cache of about so many bytes.
    pub fn new(reader: TaskReader, bytes_max: u64) -> Self {
        Cache {
            reader,
            room: Room::new(bytes_max),
            cold: false,
            seen: i64::MIN,
            next: i64::MIN,
        }
    }

    /// Where the keys that are due beyond those seen begin.
    fn due_from(&self) -> Vec<u8> {
        match self.seen {
            i64::MIN => first_due_key(),
            seen => due_key(seen.saturating_add(1), &[]),
        }
    }
}

impl ProcessTask {
    /// Begins without states, but for those that the store does not have in order.
    pub(super) fn open_cold(&mut self) -> Result<()> {
        let Some(cache) = &mut self.cache else {
            return Ok(());
        };
        let unordered = cache.reader.unordered()?;
        cache.cold = !unordered.is_empty() || !cache.reader.after(&[], 1)?.is_empty();
        self.restore(&unordered)?;
        let due = unordered.iter().filter_map(|(key, _)| of_due(key));
        let due: Vec<Vec<u8>> = due.map(|(_, key)| state_key(key)).collect();
        self.take_up(due)
    }

    /// Before a call: states and timers of its new keys, where they have any.
    pub(super) fn load(&mut self) -> Result<()> {
        let Some(cache) = &self.cache else {
            return Ok(());
        };
        if !cache.cold || self.slots.fresh.is_empty() {
            return Ok(());
        }
        let fresh = std::mem::take(&mut self.slots.fresh);
        let (mut names, mut key) = (Spans::default(), Vec::new());
        for slot in &fresh {
            key.clear();
            self.slots.encode_key(*slot, &mut key);
            names.push(&state_key(&key));
        }
        let found = cache.reader.lookup(&names)?;
        let found = names.iter().map(Box::<[u8]>::from).zip(found);
        let states: Vec<KeyedState> = found
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        self.restore(&states)?;
        // What is not in the store begins with this call.
        let begins = |slot: &u32| !self.slots.get(*slot).stored;
        self.slots.fresh = fresh.into_iter().filter(begins).collect();
        self.fetched(states.len());
        Ok(())
    }

    /// Before timers fire: the keys that are due at this watermark, and are in the store alone.
    pub(super) fn load_due(&mut self, watermark: i64) -> Result<()> {
        let last = self.timers.last_step(watermark);
        let Some(cache) = &mut self.cache else {
            return Ok(());
        };
        if !cache.cold || last < cache.next {
            return Ok(());
        }
        let (reader, mut pages) = (cache.reader.clone(), Page::begin(cache.due_from()));
        (cache.seen, cache.next) = (last, i64::MAX);
        while let Some(page) = pages.next(&reader)? {
            let mut missing = Vec::new();
            for (name, _) in &page {
                match of_due(name) {
                    Some((step, key)) if step <= last => {
                        if self.slots.find_key(&self.table, key).is_none() {
                            missing.push(state_key(key));
                        }
                    }
                    later => {
                        if let (Some((step, _)), Some(cache)) = (later, &mut self.cache) {
                            cache.next = step;
                        }
                        pages.end();
                        break;
                    }
                }
            }
            self.take_up(missing)?;
        }
        Ok(())
    }

    /// Takes up keys that are in the store.
    fn take_up(&mut self, mut names: Vec<Vec<u8>>) -> Result<()> {
        let lacks = |name: &Vec<u8>| {
            let key = of_state(name).expect("the name of a state");
            self.slots.find_key(&self.table, key).is_none()
        };
        names.retain(lacks);
        let Some(cache) = self.cache.as_ref().filter(|_| !names.is_empty()) else {
            return Ok(());
        };
        let mut asked = Spans::default();
        names.iter().for_each(|name| asked.push(name));
        let mut states: Vec<KeyedState> = Vec::with_capacity(names.len());
        for (name, value) in names.iter().zip(cache.reader.lookup(&asked)?) {
            states.push((name.as_slice().into(), value.ok_or_else(missing)?));
        }
        self.restore(&states)?;
        self.fetched(states.len());
        Ok(())
    }

    fn fetched(&mut self, count: usize) {
        if let Some(cache) = &mut self.cache {
            cache.room.fetched(count);
        }
    }

    /// Gives slots back that are too many.
    pub(super) fn evict(&mut self) -> Result<(), Failure> {
        let Some(cache) = &mut self.cache else {
            return Ok(());
        };
        let Some(surplus) = cache.room.surplus(self.slots.in_use()) else {
            return Ok(());
        };
        // A key that the store has as due up to the last step is not looked for there again.
        let (timers, seen) = (&self.timers, cache.seen);
        let may = |slot: u32| timers.noted(slot).is_none_or(|step| step > seen);
        let hand = &mut cache.room.hand;
        let leaving = match surplus {
            0 => Vec::new(),
            _ => self.slots.sweep(hand, surplus, |_, slot| may(slot)),
        };
        for slot in &leaving {
            cache.cold = true;
            cache.next = cache.next.min(self.timers.noted(*slot).unwrap_or(i64::MAX));
        }
        for block in leaving.chunks(self.setup.plan.call_rows) {
            self.forget(block)?;
        }
        let used = self.slots.in_use();
        if let Some(cache) = &mut self.cache {
            cache.room.evicted(leaving.len(), used);
        }
        Ok(())
    }

    /// What the cache did since the last commit, in which so many states changed.
    pub(super) fn cache_counts(&mut self, changed: usize) -> Option<CacheCounts> {
        let used = self.slots.in_use();
        let cache = self.cache.as_mut()?;
        Some(cache.room.take_counts(used, self.handed, changed))
    }
}

fn missing() -> Error {
    Error::Refused(
        "the store lacks a key that it has as due; stop the host, remove the folder data/store, start again, and report it"
            .into(),
    )
}
