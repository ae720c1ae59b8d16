//! The store of keyed state: the changelog made readable. In memory, or in a tree on the disk.

pub(crate) mod disk;
mod memory;
mod shelf;

pub use memory::MemoryStore;
pub(crate) use shelf::Shelf;
pub use shelf::StoreOptions;

use crate::Result;
use crate::commit::KeyedState;

/// Keys of up to so many bytes are in order in every store.
pub const KEY_BYTES_ORDERED: usize = disk::KEY_BYTES_MAX;

/// Keys and states that are shown at once.
pub const SHOWN_BYTES: usize = 4 << 20;

/// Keys that are looked up at once: what they need of a disk is asked of it together, and commits of others get their turn
/// after them.
pub(crate) const KEYS_AT_ONCE: usize = 256;

/// Key to state, for one task. Can always be rebuilt from the commit log. Errors are [`crate::Error::Store`]: what is kept on
/// a disk cannot be read or written.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Sets the state of a key.
    fn put(&mut self, key: &[u8], state: &[u8]) -> Result<()>;
    /// Removes a key; no change when it is not there.
    fn delete(&mut self, key: &[u8]) -> Result<()>;
    /// The state of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Box<[u8]>>>;
    /// States of the keys at some places, in order of the keys, each to the same place.
    fn get_each(
        &self,
        keys: &Spans,
        places: &[usize],
        states: &mut [Option<Box<[u8]>>],
    ) -> Result<()> {
        places.iter().try_for_each(|place| {
            states[*place] = self.get(keys.get(*place))?;
            Ok(())
        })
    }
    /// Shows every key with its state, in bytewise order of the keys (on a disk, very long keys come last).
    fn each(&self, show: &mut dyn FnMut(&[u8], &[u8])) -> Result<()>;
    /// The first keys from `from` on, with their states, in bytewise order of the keys: at most `count`, and no more once
    /// they have come to [`SHOWN_BYTES`]. Keys of more than [`KEY_BYTES_ORDERED`] bytes may be missing.
    fn after(&self, from: &[u8], count: usize) -> Result<Vec<KeyedState>>;
    /// Keys that [`Store::after`] does not show, with their states.
    fn unordered(&self) -> Result<Vec<KeyedState>>;
    /// Bytes of keys and states, where the store counts them.
    fn bytes(&self) -> u64;

    /// Begins a walk through all that is there now, in place of one under way.
    fn begin_walk(&mut self);
    /// The next keys of the walk with their states, of about so many bytes together, and where it stands then. Of what was
    /// there when the walk began, all that has not been put or deleted since is shown; more may be. Nothing: it has ended.
    fn walk(&self, bytes: usize) -> Result<(StateChanges, Walked)>;
    /// Takes the walk to where [`Store::walk`] ended. Before anything is changed.
    fn walked(&mut self, walked: Walked);

    /// Applies what changed in a commit.
    fn apply(&mut self, changes: &StateChanges) -> Result<()> {
        changes
            .deleted
            .iter()
            .try_for_each(|key| self.delete(key))?;
        let mut puts = changes.put_keys.iter().zip(changes.put_states.iter());
        puts.try_for_each(|(key, state)| self.put(key, state))
    }
}

/// Where a walk stands, as the store that was walked through understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked(WalkedTo);

impl Walked {
    /// Whether all was shown.
    pub fn is_end(&self) -> bool {
        self.0 == WalkedTo::End
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum WalkedTo {
    /// All was shown.
    End,
    /// A block, and a place in it.
    Block(u32, usize),
    /// A key of the tree.
    Key(Vec<u8>),
}

/// What changed in a task's state. Keys are the engine's canonical bytes; a key occurs once.
#[derive(Clone, Debug, Default)]
pub struct StateChanges {
    /// Keys put, end to end.
    pub put_keys: Spans,
    /// Their states, end to end.
    pub put_states: Spans,
    /// Keys deleted, end to end.
    pub deleted: Spans,
}

impl StateChanges {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.put_keys.is_empty() && self.deleted.is_empty()
    }
}

/// Byte strings end to end: value i is `bytes[ends[i-1]..ends[i]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// Where each ends.
    pub ends: Vec<u32>,
    /// All of them.
    pub bytes: Vec<u8>,
}

impl Spans {
    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Value i.
    pub fn get(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.bytes[start..self.ends[i] as usize]
    }

    /// Adds one.
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends
            .push(u32::try_from(self.bytes.len()).expect("one set of changes stays below 4 GiB"));
    }

    /// The places of all of them, in bytewise order of the values.
    pub(crate) fn places_in_order(&self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.len()).collect();
        places.sort_unstable_by_key(|place| self.get(*place));
        places
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        (0..self.len()).map(|i| self.get(i))
    }
}
