//! Where the stores of a host are: in memory, or in one tree on the disk.

use std::path::PathBuf;
use std::sync::Arc;

use refrain_log::scratch::Scratch;

use super::disk::{Disk, Mark};
use super::{MemoryStore, Store};
use crate::Result;

/// How states are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreOptions {
    /// All of them in memory.
    #[default]
    Memory,
    /// In a tree on the disk, read through a cache: states may be larger than memory. The folder may be deleted whenever
    /// no host is running: it is loaded from the commit log again.
    Disk {
        /// The tree's folder; nothing else may be in it.
        folder: PathBuf,
        /// Bytes of its cache.
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

    /// Where rows of views are kept that need not be in memory.
    pub(crate) fn scratch(&self) -> Option<Arc<Scratch>> {
        match self {
            Shelf::Memory => None,
            Shelf::Disk(disk) => Some(disk.scratch()),
        }
    }

    /// The states of a node are gone; its stores are not used any more.
    pub(crate) fn forget(&self, node: &str) -> Result<()> {
        match self {
            Shelf::Memory => Ok(()),
            Shelf::Disk(disk) => disk.forget(node),
        }
    }

    /// A commit was applied as a whole.
    pub(crate) fn committed(&self, mark: Mark) -> Result<()> {
        match self {
            Shelf::Memory => Ok(()),
            Shelf::Disk(disk) => disk.committed(mark),
        }
    }

    /// Bytes of all states, where the shelf knows them better than its stores do.
    pub(crate) fn bytes(&self) -> Option<u64> {
        match self {
            Shelf::Memory => None,
            Shelf::Disk(disk) => Some(disk.bytes()),
        }
    }
}
