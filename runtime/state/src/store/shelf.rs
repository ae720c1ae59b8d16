//! Where the states and view rows of a host are: in memory, or in one tree on the disk.

use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{Disk, Shelved};
use super::{MemoryStore, Store};
use crate::Result;

/// How states and view rows are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreOptions {
    /// All of them in memory.
    #[default]
    Memory,
    /// In a tree on the disk, whose files are mapped: they may be larger than memory. The folder may be deleted whenever no
    /// host is running: it is loaded from the commit log again.
    Disk {
        /// The tree's folder; nothing else may be in it.
        folder: PathBuf,
        /// Bytes of what is not in its files yet.
        cache_bytes: u64,
    },
}

/// Where stores are made.
#[derive(Clone, Debug, Default)]
pub(crate) enum Shelf {
    #[default]
    Memory,
    Disk(Arc<Disk>),
}

impl Shelf {
    /// The store of a task.
    pub(crate) fn store(&self, node: &str, task: u32) -> Box<dyn Store> {
        match self {
            Shelf::Memory => Box::new(MemoryStore::default()),
            Shelf::Disk(disk) => Box::new(disk.store(node, task)),
        }
    }

    /// The tree, if there is one.
    pub(crate) fn disk(&self) -> Option<&Arc<Disk>> {
        match self {
            Shelf::Memory => None,
            Shelf::Disk(disk) => Some(disk),
        }
    }

    /// States and view rows of a node are gone; its stores are not used any more.
    pub(crate) fn forget(&self, node: &str) -> Result<()> {
        self.disk().map_or(Ok(()), |disk| disk.forget(node))
    }

    /// A commit was applied as a whole; what is there now.
    pub(crate) fn committed(&self, shelved: impl FnOnce() -> Shelved) -> Result<()> {
        self.disk().map_or(Ok(()), |disk| disk.committed(shelved))
    }

    /// Bytes of all states and view rows, where the shelf knows them better than its stores do.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.disk().map(|disk| disk.bytes())
    }
}
