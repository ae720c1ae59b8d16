//! Reading one task's states while others commit.

use std::sync::{Arc, RwLock, RwLockReadGuard};

use crate::Result;
use crate::commit::KeyedState;
use crate::held::Held;
use crate::store::{KEYS_AT_ONCE, Spans};

/// The states of one task as of its last commit, wherever they are. Cheap to keep, and good for another thread. Errors are
/// [`crate::Error::Store`]: the store cannot be read.
#[derive(Clone, Debug)]
pub struct TaskReader {
    pub(crate) held: Arc<RwLock<Held>>,
    pub(crate) node: String,
    pub(crate) task: u32,
}

impl TaskReader {
    /// States of some keys, in their order; none where there is none. They are looked up in the order of the keys, so that
    /// neighbours are found in what was just read.
    pub fn lookup(&self, keys: &Spans) -> Result<Vec<Option<Box<[u8]>>>> {
        let mut states = vec![None; keys.len()];
        for places in keys.places_in_order().chunks(KEYS_AT_ONCE) {
            let held = self.held();
            let Some(store) = held.store(&self.node, self.task) else {
                break;
            };
            store.get_each(keys, places, &mut states)?;
        }
        Ok(states)
    }

    /// The first keys from `from` on, at most `count`, with their states: see [`crate::store::Store::after`].
    pub fn after(&self, from: &[u8], count: usize) -> Result<Vec<KeyedState>> {
        let held = self.held();
        let store = held.store(&self.node, self.task);
        store.map_or(Ok(Vec::new()), |store| store.after(from, count))
    }

    /// Keys that [`TaskReader::after`] does not show, with their states.
    pub fn unordered(&self) -> Result<Vec<KeyedState>> {
        let held = self.held();
        let store = held.store(&self.node, self.task);
        store.map_or(Ok(Vec::new()), |store| store.unordered())
    }

    fn held(&self) -> RwLockReadGuard<'_, Held> {
        let held = self.held.read();
        held.expect("a commit was half applied by a thread that panicked")
    }
}
