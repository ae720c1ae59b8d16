//! Indexes that the store has beside states, where these are looked up when they are needed: what is open of a key, and
//! what ends next. Made by commits, as states are.
//!
//! | first byte | key behind it | value | for |
//! | --- | --- | --- | --- |
//! | 0 | | | all of the following is complete |
//! | 1 | key | mark and noted end of each open session, 8 bytes each | sessions |
//! | 2 | noted end, key | | sessions |
//! | 3 | end, store key | | closed windows whose row is kept |
//!
//! Numbers in keys are as in [`crate::keys`], those in values little-endian. No state of a windowed node begins with one
//! of these bytes, since event times end with the year 9999.
//!
//! The *noted* end of a session is one that it had at some commit: a session that grows is not noted anew each time. When
//! the watermark passes a noted end, the session is fetched; if it is still open it is noted again.

use std::collections::BTreeSet;

use refrain_state::store::{KEY_BYTES_ORDERED, Spans};

use super::core::Shape;
use super::keep::Due;
use super::{FoldTask, KeyedState};
use crate::error::{Error, Result};
use crate::keys;
use crate::pipeline::Window;
use crate::task::Failure;
use crate::task::room::Page;
use crate::watermark::NEVER;

/// The key that says that the indexes are complete.
pub(super) const COMPLETE: [u8; 1] = [0];
const OF_KEY: u8 = 1;
const NOTED: u8 = 2;
const KEPT: u8 = 3;

/// An entry for the store.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// What a task knows of its indexes.
#[derive(Debug)]
pub(super) struct Indexed {
    /// The store says that they are complete.
    pub(super) complete: bool,
    /// Keys of sessions of which the index says too little since the last commit. What the store has of them is old.
    pub(super) touched: BTreeSet<Box<[u8]>>,
    /// Sessions noted up to this end are here.
    pub(super) seen: i64,
    /// The first noted end beyond it.
    pub(super) next: i64,
    /// Kept rows up to this end are gone.
    pub(super) kept: i64,
}

impl Indexed {
    pub(super) fn new() -> Indexed {
        Indexed {
            complete: false,
            touched: BTreeSet::new(),
            seen: i64::MIN,
            next: i64::MIN,
            kept: i64::MIN,
        }
    }
}

fn of_key(key: &[u8]) -> Vec<u8> {
    [&[OF_KEY], key].concat()
}

fn noted(end: i64, key: &[u8]) -> Vec<u8> {
    [&[NOTED], &keys::sortable(end)[..], key].concat()
}

fn kept(end: i64, store_key: &[u8]) -> Vec<u8> {
    [&[KEPT], &keys::sortable(end)[..], store_key].concat()
}

/// End and key out of an entry of the index that begins with this byte.
fn ended(first: u8, entry: &[u8]) -> Option<(i64, &[u8])> {
    let rest = entry.strip_prefix(&[first])?;
    let (end, key) = rest.split_first_chunk()?;
    Some((keys::from_sortable(*end), key))
}

/// Whether the entry of a kept row of this store key is in the order of the store.
pub(super) fn is_ordered(store_key: &[u8]) -> bool {
    store_key.len() + 9 <= KEY_BYTES_ORDERED
}

/// Marks and noted ends out of a value.
fn sessions_of(value: &[u8]) -> impl Iterator<Item = (i64, i64)> {
    value.chunks_exact(16).map(|pair| {
        let (mark, end) = pair.split_at(8);
        let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        (number(mark), number(end))
    })
}

/// Whether a key of the store is one of an index, of a node with such windows.
pub(super) fn holds(window: Option<&Window>, store_key: &[u8]) -> bool {
    let in_store_keys = !matches!(window, None | Some(Window::Count { .. }));
    in_store_keys && store_key.first().is_none_or(|first| *first <= KEPT)
}

impl FoldTask {
    /// Whether a key of the store is one of an index.
    pub(super) fn is_index(&self, store_key: &[u8]) -> bool {
        holds(self.setup.plan.window.as_ref(), store_key)
    }

    /// Whether the node's states need indexes.
    pub(super) fn needs_indexes(&self) -> bool {
        matches!(self.core.shape, Shape::Session) || self.kept.is_some()
    }

    /// Indexes that are not kept up any more leave the store.
    pub(super) fn drop_indexes(&mut self, states: &[KeyedState]) {
        for (key, _) in states {
            if self.is_index(key) {
                self.deleted.push(key);
            }
        }
    }

    /// Sessions leave the index.
    pub(super) fn unnote(&mut self, slots: &[u32]) {
        let Some(cache) = &mut self.cache else {
            return;
        };
        for slot in slots {
            if let Some(end) = self.core.sessions.noted(*slot) {
                let mut key = Vec::new();
                self.core.slots.encode_key(*slot, &mut key);
                self.deleted.push(&noted(end, &key));
                self.core.sessions.set_noted(*slot, None);
                cache.indexed.touched.insert(key.into());
            }
        }
    }

    /// What a commit that changes these slots puts into the indexes, but for kept rows. Before marks are known anew.
    pub(super) fn index(&mut self, dirty: &[u32]) -> Vec<Entry> {
        let needed = self.needs_indexes();
        let Some(cache) = self.cache.as_mut().filter(|_| needed) else {
            return Vec::new();
        };
        let mut puts = Vec::new();
        let indexed = &mut cache.indexed;
        if !indexed.complete {
            indexed.complete = true;
            puts.push((COMPLETE.to_vec(), Vec::new()));
        }
        if !matches!(self.core.shape, Shape::Session) {
            return puts;
        }
        let sessions = &mut self.core.sessions;
        let mut key = Vec::new();
        for slot in dirty {
            key.clear();
            self.core.slots.encode_key(*slot, &mut key);
            let old = sessions.noted(*slot);
            let moved = sessions.known(*slot) != Some(self.core.slots.get(*slot).window);
            if old.is_none_or(|end| end <= indexed.seen) {
                if let Some(end) = old {
                    self.deleted.push(&noted(end, &key));
                }
                let end = sessions.end(*slot);
                sessions.set_noted(*slot, Some(end));
                puts.push((noted(end, &key), Vec::new()));
                indexed.touched.insert(key.as_slice().into());
            } else if moved {
                indexed.touched.insert(key.as_slice().into());
            }
        }
        for key in std::mem::take(&mut indexed.touched) {
            let Some(head) = self.core.slots.find_key(&self.core.tables[0], &key) else {
                self.deleted.push(&of_key(&key));
                continue;
            };
            let mut value = Vec::new();
            for slot in sessions.of_key(head) {
                let mark = self.core.slots.get(slot).window;
                let end = sessions.noted(slot);
                let end = end.expect("a session is noted with the commit that it is first in");
                value.extend_from_slice(&mark.to_le_bytes());
                value.extend_from_slice(&end.to_le_bytes());
            }
            puts.push((of_key(&key), value));
        }
        puts
    }

    /// What a commit puts into the index of kept rows; what is no more leaves it.
    pub(super) fn index_kept(&mut self, due: &Due) -> Vec<Entry> {
        if self.cache.is_none() {
            return Vec::new();
        }
        let put = due.put.iter();
        put.map(|(key, end)| (kept(*end, key), Vec::new()))
            .collect()
    }

    /// Adds kept rows that are due and known to the store alone.
    pub(super) fn due_in_store(&mut self, watermark: i64, due: &mut Due) -> Result<(), Failure> {
        let (Some(cache), Some(rows)) = (&mut self.cache, &self.kept) else {
            return Ok(());
        };
        due.ended
            .iter()
            .for_each(|(end, key)| self.deleted.push(&kept(*end, key)));
        let bound = rows.bound(watermark);
        if watermark == NEVER || bound <= cache.indexed.kept || cache.is_new() {
            return Ok(());
        }
        let from = kept(cache.indexed.kept, &[]);
        let mut pages = Page::begin(from);
        while let Some(page) = pages.next(&cache.reader)? {
            for (entry, _) in &page {
                let found = ended(KEPT, entry).filter(|(end, _)| *end <= bound);
                let Some((_, key)) = found else {
                    pages.end();
                    break;
                };
                self.deleted.push(entry);
                due.deleted.push(key.into());
                due.gone.push(key.into());
            }
        }
        cache.indexed.kept = bound;
        Ok(())
    }

    /// Takes up what the store has of sessions of these keys.
    pub(super) fn fetch_sessions(&mut self, keys: &[Box<[u8]>]) -> Result<(), Failure> {
        let Some(cache) = &self.cache else {
            return Ok(());
        };
        let mut asked = Spans::default();
        let wanted = keys
            .iter()
            .filter(|key| !cache.indexed.touched.contains(*key));
        let wanted: Vec<&Box<[u8]>> = wanted.collect();
        wanted.iter().for_each(|key| asked.push(&of_key(key)));
        let found = cache.reader.lookup(&asked)?;
        let (mut names, mut ends) = (Spans::default(), Vec::new());
        for (key, value) in wanted.iter().zip(&found) {
            for (mark, end) in value.iter().flat_map(|value| sessions_of(value)) {
                names.push(&[&keys::sortable(mark)[..], key].concat());
                ends.push(end);
            }
        }
        let found = cache.reader.lookup(&names)?;
        let mut states: Vec<KeyedState> = Vec::with_capacity(found.len());
        for (name, state) in names.iter().zip(found) {
            states.push((name.into(), state.ok_or_else(missing)?));
        }
        let slots = self.restore(&states)?;
        if slots.len() != ends.len() {
            return Err(missing().into());
        }
        for (slot, end) in slots.iter().zip(ends) {
            self.core.sessions.set_noted(*slot, Some(end));
        }
        self.fetched(slots.len());
        Ok(())
    }

    /// Fetches the sessions that may close at this watermark.
    pub(super) fn fetch_due(&mut self, watermark: i64) -> Result<(), Failure> {
        let Some(cache) = &mut self.cache else {
            return Ok(());
        };
        let bound = self.core.sessions.bound(watermark);
        if cache.is_cold() && watermark != NEVER && bound >= cache.indexed.next {
            let from = noted(cache.indexed.seen.saturating_add(1), &[]);
            cache.indexed.next = i64::MAX;
            cache.indexed.seen = bound;
            let mut pages = Page::begin(from);
            let reader = cache.reader.clone();
            while let Some(page) = pages.next(&reader)? {
                let due = page.iter().map_while(|(entry, _)| ended(NOTED, entry));
                let later = due.clone().find(|(end, _)| *end > bound);
                let due: Vec<(i64, &[u8])> = due.take_while(|(end, _)| *end <= bound).collect();
                if due.len() < page.len() {
                    pages.end();
                }
                self.meet(&due)?;
                if let (Some((end, _)), Some(cache)) = (later, &mut self.cache) {
                    cache.indexed.next = end;
                }
            }
        }
        Ok(())
    }

    /// Sessions under these noted ends come here; entries of sessions that are no more leave the store.
    fn meet(&mut self, due: &[(i64, &[u8])]) -> Result<(), Failure> {
        let table = &self.core.tables[0];
        let lacks = |key: &&[u8]| self.core.slots.find_key(table, key).is_none();
        let keys: BTreeSet<&[u8]> = due.iter().map(|(_, key)| *key).filter(lacks).collect();
        let keys: Vec<Box<[u8]>> = keys.into_iter().map(Box::from).collect();
        self.fetch_sessions(&keys)?;
        for (end, key) in due {
            let head = self.core.slots.find_key(&self.core.tables[0], key);
            let sessions = &self.core.sessions;
            let mut of_key = head.into_iter().flat_map(|head| sessions.of_key(head));
            if !of_key.any(|slot| sessions.noted(slot) == Some(*end)) {
                self.deleted.push(&noted(*end, key));
            }
        }
        Ok(())
    }

    /// Entries of indexes that the store does not have in order.
    pub(super) fn meet_unordered(&mut self, states: &[KeyedState]) -> Result<(), Failure> {
        for (key, _) in states {
            if let (Some((end, store_key)), Some(rows)) = (ended(KEPT, key), &mut self.kept) {
                rows.known(end, store_key);
            } else if let Some(due) = ended(NOTED, key) {
                self.meet(&[due])?;
            }
        }
        Ok(())
    }
}

fn missing() -> Error {
    Error::Refused(
        "the store lacks a session that its index names; stop the host, remove the folder data/store, start again, and \
         report it"
            .into(),
    )
}
