//! The states of one task in the tree of a host.
//!
//! Keys in the tree: those of the node (`disk`), the task (4 bytes, big endian), then one byte 0 and the key; or, when that
//! would be too long for the tree, one byte 1, the first bytes of the key and its xxh3-128, with the key in front of the
//! value.

use std::ops::Bound;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::{Batch, Disk, KEY_BYTES_MAX};
use crate::Result;
use crate::commit::KeyedState;
use crate::store::{SHOWN_BYTES, Spans, StateChanges, Store, Walked, WalkedTo};

/// So much of a longer key is in the tree's key.
const KEY_BYTES_KEPT: usize = 1 << 10;

/// The states of one task in the tree.
#[derive(Debug)]
pub(crate) struct DiskStore {
    disk: Arc<Disk>,
    prefix: Vec<u8>,
    /// The key of the tree after which a walk goes on; none: no walk is under way.
    walk_from: Option<Vec<u8>>,
}

impl DiskStore {
    pub(super) fn new(disk: Arc<Disk>, prefix: Vec<u8>) -> DiskStore {
        DiskStore {
            disk,
            prefix,
            walk_from: None,
        }
    }

    /// Writes the tree's key; whether it stands for a longer one.
    fn write_key(&self, key: &[u8], full: &mut Vec<u8>) -> bool {
        let long = key.len() > KEY_BYTES_MAX;
        full.clear();
        full.extend_from_slice(&self.prefix);
        full.push(u8::from(long));
        if long {
            full.extend_from_slice(&key[..KEY_BYTES_KEPT]);
            full.extend_from_slice(&xxh3_128(key).to_be_bytes());
        } else {
            full.extend_from_slice(key);
        }
        long
    }

    /// Key and state out of an entry of the tree.
    fn entry<'a>(&self, key: &'a [u8], value: &'a [u8]) -> Result<(&'a [u8], &'a [u8])> {
        let cut = || self.disk.damaged(&"an entry is cut off");
        let (long, key) = key[self.prefix.len()..].split_first().ok_or_else(cut)?;
        if *long == 0 {
            return Ok((key, value));
        }
        let (length, rest) = value.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = u32::from_le_bytes(*length) as usize;
        rest.split_at_checked(length).ok_or_else(cut)
    }

    /// Entries after a key of the tree, in its order, until `show` says that it is enough; the key of the last one then.
    fn entries(
        &self,
        after: &[u8],
        show: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<Option<Vec<u8>>> {
        self.range(Bound::Excluded(after.to_vec()), self.section(2), show)
    }

    /// Entries of a range of the tree, in its order, until `show` says that it is enough; the key of the last one then.
    fn range(
        &self,
        from: Bound<Vec<u8>>,
        to: Vec<u8>,
        mut show: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<Option<Vec<u8>>> {
        for entry in self.disk.entries(from, to) {
            let entry = entry?;
            let (key, state) = self.entry(&entry.key, entry.value())?;
            if !show(key, state) {
                return Ok(Some(entry.key.to_vec()));
            }
        }
        Ok(None)
    }

    /// Where the keys of a mark begin.
    fn section(&self, mark: u8) -> Vec<u8> {
        [self.prefix.as_slice(), &[mark]].concat()
    }
}

impl Store for DiskStore {
    fn put(&mut self, key: &[u8], state: &[u8]) -> Result<()> {
        let mut changes = StateChanges::default();
        changes.put_keys.push(key);
        changes.put_states.push(state);
        self.apply(&changes)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        let mut changes = StateChanges::default();
        changes.deleted.push(key);
        self.apply(&changes)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Box<[u8]>>> {
        let mut found = [None];
        let mut keys = Spans::default();
        keys.push(key);
        self.get_each(&keys, &[0], &mut found)?;
        let [found] = found;
        Ok(found)
    }

    fn get_each(
        &self,
        keys: &Spans,
        places: &[usize],
        states: &mut [Option<Box<[u8]>>],
    ) -> Result<()> {
        let mut looker = self.disk.looker();
        let mut one = Vec::new();
        let mut all = Spans::default();
        for place in places {
            self.write_key(keys.get(*place), &mut one);
            all.push(&one);
        }
        looker.read_ahead(all.iter());
        for (place, full) in places.iter().zip(all.iter()) {
            let found = looker.look(full, |value| -> Result<_> {
                let (found, state) = self.entry(full, value)?;
                Ok((found == keys.get(*place)).then(|| state.into()))
            })?;
            states[*place] = found.unwrap_or(Ok(None))?;
        }
        Ok(())
    }

    fn each(&self, show: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let all = |key: &[u8], state: &[u8]| {
            show(key, state);
            true
        };
        self.entries(&self.prefix, all).map(|_| ())
    }

    fn after(&self, from: &[u8], count: usize) -> Result<Vec<KeyedState>> {
        let mut first = self.section(0);
        first.extend_from_slice(from);
        let end = self.section(1);
        let (mut shown, mut bytes) = (Vec::new(), 0);
        if count > 0 {
            self.range(Bound::Included(first), end, |key, state| {
                bytes += key.len() + state.len();
                shown.push((key.into(), state.into()));
                shown.len() < count && bytes < SHOWN_BYTES
            })?;
        }
        Ok(shown)
    }

    fn unordered(&self) -> Result<Vec<KeyedState>> {
        let (first, end) = (self.section(1), self.section(2));
        let mut shown = Vec::new();
        self.range(Bound::Included(first), end, |key, state| {
            shown.push((key.into(), state.into()));
            true
        })?;
        Ok(shown)
    }

    fn begin_walk(&mut self) {
        self.walk_from = Some(self.prefix.clone());
    }

    fn walk(&self, bytes: usize) -> Result<(StateChanges, Walked)> {
        let mut shown = StateChanges::default();
        let Some(from) = &self.walk_from else {
            return Ok((shown, Walked(WalkedTo::End)));
        };
        let last = self.entries(from, |key, state| {
            shown.put_keys.push(key);
            shown.put_states.push(state);
            shown.put_keys.bytes.len() + shown.put_states.bytes.len() < bytes
        })?;
        Ok((shown, Walked(last.map_or(WalkedTo::End, WalkedTo::Key))))
    }

    fn walked(&mut self, walked: Walked) {
        self.walk_from = match walked.0 {
            WalkedTo::Key(key) => Some(key),
            _ => None,
        };
    }

    fn bytes(&self) -> u64 {
        self.disk.bytes_below(&self.prefix)
    }

    fn apply(&mut self, changes: &StateChanges) -> Result<()> {
        let (keys, deleted) = (&changes.put_keys, &changes.deleted);
        let puts = (0..keys.len()).map(|place| (keys.get(place), Some(place)));
        let mut changed: Vec<Change<'_>> = deleted.iter().map(|key| (key, None)).collect();
        changed.extend(puts);
        changed.sort_unstable();
        // Of a key that is deleted and put, the put holds.
        changed.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                *earlier = *later;
            }
            same
        });
        let (long, short): (Vec<_>, Vec<_>) = changed.into_iter().partition(is_long);
        let mut batch = Batch::new(long.len() + short.len());
        let mut full = Vec::new();
        for (key, put) in short {
            self.write_key(key, &mut full);
            match put {
                Some(place) => batch.put(&full, &[changes.put_states.get(place)]),
                None => batch.remove(&full),
            }
        }
        self.add_long(&mut batch, long, changes);
        self.disk.add(batch);
        Ok(())
    }
}

/// A key, and the place of its new state; none: deleted.
type Change<'a> = (&'a [u8], Option<usize>);

fn is_long((key, _): &Change<'_>) -> bool {
    key.len() > KEY_BYTES_MAX
}

impl DiskStore {
    /// Adds changes of long keys, in order of the keys that they have in the tree.
    fn add_long(&self, batch: &mut Batch, long: Vec<Change<'_>>, changes: &StateChanges) {
        let full = |key: &[u8]| {
            let mut full = Vec::new();
            self.write_key(key, &mut full);
            full
        };
        let mut long: Vec<(Vec<u8>, Change<'_>)> = long
            .into_iter()
            .map(|change| (full(change.0), change))
            .collect();
        long.sort_unstable();
        for (full, (key, put)) in &long {
            let length = u32::try_from(key.len()).expect("a key stays below 4 GiB");
            match put {
                Some(place) => {
                    let state = changes.put_states.get(*place);
                    batch.put(full, &[&length.to_le_bytes(), key, state]);
                }
                None => batch.remove(full),
            }
        }
    }
}
