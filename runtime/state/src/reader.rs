//! Reading one task's states while others commit.

use std::sync::{Arc, RwLock};

use crate::Result;
use crate::held::Held;
use crate::store::Spans;

/// The states of one task as of its last commit, wherever they are. Cheap to keep, and good for another thread.
#[derive(Clone, Debug)]
pub struct TaskReader {
    pub(crate) held: Arc<RwLock<Held>>,
    pub(crate) node: String,
    pub(crate) task: u32,
}

impl TaskReader {
    /// States of some keys, in their order; none where there is none. [`crate::Error::Store`] when the store cannot be read.
    pub fn lookup(&self, keys: &Spans) -> Result<Vec<Option<Box<[u8]>>>> {
        let held = self.held.read();
        let held = held.expect("a commit was half applied by a thread that panicked");
        match held.store(&self.node, self.task) {
            Some(store) => keys.iter().map(|key| store.get(key)).collect(),
            None => Ok(vec![None; keys.len()]),
        }
    }
}
