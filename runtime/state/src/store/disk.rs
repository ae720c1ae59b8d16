//! State larger than memory: one LSM tree for all tasks and views of a host, in a folder of its own.
//!
//! The tree is no ground truth. The commit log is durable before anything goes into the tree; the tree writes its memory
//! to sorted tables now and then, in the background, and each time it does, a whole commit is the last one in it: the
//! *mark*, a key of its own, names it, and says what the views were then. After a crash the tree is at some earlier mark,
//! or gone. Opening takes the mark, reads the commit log, and applies only what was committed after it; where the mark does
//! not name a commit of this very log (another log, a log set back, one that begins after it), the tree is emptied and
//! loaded from the log, in sorted runs. So the folder may be deleted at any time, and no write of the tree is ever waited for.
//!
//! Content is checked twice: the tree has a checksum a block, and each value carries one over its key and itself. What
//! does not verify is an error, never an answer; the folder is then marked, and loaded anew at the next opening.
//!
//! Keys in the tree: the mark's; one byte 1 before those of states (`states`), one byte 2 before those of view rows
//! (`view/tree`), and the node's name, with its length in 2 bytes before it.

mod states;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use lsm_tree::config::{BlockSizePolicy, HashRatioPolicy, PinningPolicy};
use lsm_tree::{
    AbstractTree, AnyTree, Cache, Config, DescriptorTable, Guard, IterGuardImpl,
    SequenceNumberCounter, UserKey, UserValue,
};
use refrain_log::codec;
use refrain_log::ids::Timestamp;
use refrain_log::storage::{DiskStorage, Storage};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

pub(crate) use states::DiskStore;

use crate::record::Closing;
use crate::view::{Counts, ViewSpec};
use crate::{Error, Result};

/// The key of the mark.
const MARK: [u8; 2] = [0, 1];
/// First byte of the keys of states.
const OF_STATES: u8 = 1;
/// First byte of the keys of view rows.
const OF_ROWS: u8 = 2;
/// Keys up to this are keys of the tree.
pub(crate) const KEY_BYTES_MAX: usize = 32 << 10;
/// Bytes of the check in front of a value.
const CHECK_BYTES: usize = 4;
/// The tree's memory is written out when it has come to a quarter of the cache, within these.
const MEMORY_BYTES: std::ops::RangeInclusive<u64> = (1 << 10)..=(64 << 20);
/// A sorted run that is loaded has at most so many bytes.
const RUN_BYTES: usize = 64 << 20;
/// Tables of the youngest level before it is merged.
const YOUNG_TABLES: u8 = 4;
/// So many memories wait to be written out before a commit does it itself.
const WAITING_MAX: usize = 4;
/// Everything there is: sequence numbers are given out from 1.
const NEWEST: u64 = u64::MAX >> 1;
/// Name of the note that the content is damaged.
const DAMAGED: &str = "damaged";

/// A commit of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Its number.
    pub(crate) commit: u64,
    /// When it was made.
    pub(crate) time: Timestamp,
    /// xxh3-64 of its closing record: names the log, too.
    pub(crate) closing: u64,
}

impl Mark {
    /// Of a closing record and its bytes.
    pub(crate) fn of(closing: &Closing, bytes: &[u8]) -> Mark {
        Mark {
            commit: closing.commit,
            time: closing.time,
            closing: xxh3_64(bytes),
        }
    }
}

/// What a tree holds: all states and view rows as of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shelved {
    /// The commit.
    pub(crate) mark: Mark,
    /// The views that there were, and what their rows come to.
    pub(crate) views: Vec<(ViewSpec, Counts)>,
}

/// A value on its way into the tree. Made once and filled again and again.
#[derive(Debug)]
pub(crate) struct Draft(Vec<u8>);

impl Draft {
    pub(crate) fn new() -> Draft {
        Draft(vec![0; CHECK_BYTES])
    }

    /// Empty: what is appended is the value.
    pub(crate) fn begin(&mut self) -> &mut Vec<u8> {
        self.0.truncate(CHECK_BYTES);
        &mut self.0
    }

    /// Bytes that it takes in the tree.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The tree of a host.
#[derive(Debug)]
pub(crate) struct Disk {
    tree: Tree,
    folder: PathBuf,
    memory_bytes: u64,
    /// Something was changed since the last commit as a whole: it must not be written out.
    partial: AtomicBool,
    /// While the tree is loaded: changes that are not in it yet.
    loading: Mutex<Option<Load>>,
    /// None: closed. Another one may have the folder.
    keeper: Mutex<Option<Keeper>>,
}

/// The tree itself, for any thread.
#[derive(Clone)]
struct Tree {
    tree: AnyTree,
    sequence: SequenceNumberCounter,
    /// Held while a look at what is there now begins, and while it is decided what nobody will look at any more.
    looks: Arc<Mutex<()>>,
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree").finish_non_exhaustive()
    }
}

/// The thread that writes out and merges.
#[derive(Debug)]
struct Keeper {
    wake: Sender<()>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Load {
    /// None: deleted.
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

impl Disk {
    /// Opens the tree in `folder`, making it when absent. A tree that cannot be opened, or was found damaged, is emptied;
    /// the sentence says why.
    pub(crate) fn open(folder: PathBuf, cache_bytes: u64) -> Result<(Disk, Option<String>)> {
        let noted = DiskStorage.read(&folder.join(DAMAGED)).is_ok();
        let opened = match noted {
            true => Err("its content was found damaged".to_owned()),
            false => Disk::open_or_say(&folder, cache_bytes),
        };
        match opened {
            Ok(disk) => Ok((disk, None)),
            Err(what) => Ok((Disk::anew(folder, cache_bytes)?, Some(what))),
        }
    }

    /// The tree answers some damage of its manifest with a panic and not with an error.
    fn open_or_say(folder: &Path, cache_bytes: u64) -> Result<Disk, String> {
        let opened = std::panic::catch_unwind(|| Disk::open_tree(folder, cache_bytes));
        match opened {
            Ok(opened) => opened.map_err(|e| e.to_string()),
            Err(_) => Err("its content is damaged".to_owned()),
        }
    }

    /// An empty tree in the place of what is in `folder`.
    pub(crate) fn anew(folder: PathBuf, cache_bytes: u64) -> Result<Disk> {
        let removed = DiskStorage.remove_dir_all(&folder);
        removed.map_err(|e| store_error(&folder, &e))?;
        Disk::open_tree(&folder, cache_bytes).map_err(|e| store_error(&folder, &e))
    }

    fn open_tree(folder: &Path, cache_bytes: u64) -> lsm_tree::Result<Disk> {
        DiskStorage.create_dir_all(folder)?;
        let sequence = SequenceNumberCounter::new(1);
        // But for the youngest level, whose are small and stay in memory. A filter of a large table is one of hundreds of
        // KiB otherwise: where the cache has no room for all of them, each look reads one as a whole.
        let in_parts = PinningPolicy::new([false, true]);
        let config = Config::new(folder, sequence.clone(), SequenceNumberCounter::new(1))
            .use_cache(Arc::new(Cache::with_capacity_bytes(cache_bytes)))
            .use_descriptor_table(Some(Arc::new(DescriptorTable::new(128))))
            .data_block_size_policy(BlockSizePolicy::all(4 << 10))
            .data_block_hash_ratio_policy(HashRatioPolicy::all(0.75))
            .index_block_partitioning_policy(in_parts.clone())
            .filter_block_partitioning_policy(in_parts);
        let tree = config.open()?;
        sequence.fetch_max(tree.get_highest_persisted_seqno().unwrap_or(0) + 1);
        let tree = Tree {
            tree,
            sequence,
            looks: Arc::default(),
        };
        Ok(Disk {
            keeper: Mutex::new(Some(Keeper::of(tree.clone())?)),
            tree,
            folder: folder.to_owned(),
            memory_bytes: (cache_bytes / 4).clamp(*MEMORY_BYTES.start(), *MEMORY_BYTES.end()),
            partial: AtomicBool::new(false),
            loading: Mutex::new(None),
        })
    }

    /// What is in the tree; none: it is empty, or was not loaded to the end.
    pub(crate) fn shelved(&self) -> Result<Option<Shelved>> {
        let shelved = self.look(&MARK, codec::decode)?;
        shelved.transpose().map_err(|e| self.damaged(&e))
    }

    /// From here on changes are collected into sorted runs, until [`Disk::loaded`].
    pub(crate) fn load(&self) {
        *self.loading() = Some(Load::default());
    }

    /// All is in the tree; none: nothing was ever committed.
    pub(crate) fn loaded(&self, shelved: Option<Shelved>) -> Result<()> {
        if let Some(shelved) = shelved {
            self.note(&shelved)?;
        }
        let load = self.loading().take();
        if let Some(load) = load {
            self.ingest(load)?;
        }
        self.partial.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// A commit is in the tree as a whole, and these are its contents.
    pub(crate) fn committed(&self, shelved: impl FnOnce() -> Shelved) -> Result<()> {
        if self.loading().is_some() {
            return Ok(());
        }
        if self.tree.tree.active_memtable().size() >= self.memory_bytes {
            self.note(&shelved())?;
            self.tree.tree.rotate_memtable();
            self.write_out()?;
        }
        self.partial.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Has what waits written out: by the keeper, and by this thread when it does not keep up.
    fn write_out(&self) -> Result<()> {
        if self.tree.tree.sealed_memtable_count() > WAITING_MAX {
            return self.tree.tidy().map_err(|e| store_error(&self.folder, &e));
        }
        if let Some(keeper) = self.keeper().as_ref() {
            // The keeper ends after this.
            let _ = keeper.wake.send(());
        }
        Ok(())
    }

    /// Writes out everything, with what it comes to if that is known and no commit is half applied, and lets go of the
    /// folder. What is not written now is applied from the commit log at the next opening.
    pub(crate) fn close(&self, shelved: Option<Shelved>) {
        let Some(keeper) = self.keeper().take() else {
            return;
        };
        keeper.end();
        let whole = !self.partial.load(Ordering::Relaxed) && self.loading().is_none();
        if let Some(shelved) = shelved.filter(|_| whole)
            && self.note(&shelved).is_ok()
        {
            self.tree.tree.rotate_memtable();
        }
        let _ = self.tree.tidy();
    }

    fn note(&self, shelved: &Shelved) -> Result<()> {
        let mut draft = Draft::new();
        draft.begin().extend_from_slice(&codec::encode(shelved));
        self.put(&MARK, &mut draft)
    }

    /// Bytes of keys, states and view rows, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.tree.tree.disk_space() + self.tree.tree.active_memtable().size()
    }

    /// Bytes of the keys that begin so and of their states, about: tables that hold other keys as well count half, and what
    /// was put again since the last merge counts twice.
    pub(crate) fn bytes_below(&self, prefix: &[u8]) -> u64 {
        // Tables reach over many nodes: what has no key may lie in the middle of one.
        let mut entries = self.tree.tree.prefix(prefix, NEWEST, None);
        if entries.next().is_none() {
            return 0;
        }
        let tables = self.tree.tree.current_version();
        let on_disk = tables.iter_tables().map(|table| {
            let (range, bytes) = (&table.metadata.key_range, table.metadata.file_size);
            let (min, max): (&[u8], &[u8]) = (range.min(), range.max());
            match (min.starts_with(prefix), max.starts_with(prefix)) {
                (true, true) => bytes,
                (false, false) if max < prefix || min > prefix => 0,
                _ => bytes / 2,
            }
        });
        let memory = self.tree.tree.active_memtable();
        let of_prefix = memory.iter().filter(|e| e.key.user_key.starts_with(prefix));
        let in_memory = of_prefix.map(|e| (e.key.user_key.len() + e.value.len()) as u64);
        on_disk.sum::<u64>() + in_memory.sum::<u64>()
    }

    /// The states of a task.
    pub(crate) fn store(self: &Arc<Self>, node: &str, task: u32) -> DiskStore {
        let mut prefix = node_prefix(OF_STATES, node);
        prefix.extend_from_slice(&task.to_be_bytes());
        DiskStore::new(Arc::clone(self), prefix)
    }

    /// What the keys of the rows of a node's view begin with.
    pub(crate) fn rows_prefix(node: &str) -> Vec<u8> {
        node_prefix(OF_ROWS, node)
    }

    /// Removes all states and view rows of a node.
    pub(crate) fn forget(self: &Arc<Self>, node: &str) -> Result<()> {
        for of in [OF_STATES, OF_ROWS] {
            let prefix = node_prefix(of, node);
            let end = after_prefix(&prefix);
            // What is not loaded yet is not seen by a look into the tree.
            self.ingest_now()?;
            for entry in self.entries(Bound::Included(prefix), Bound::Excluded(end)) {
                self.remove(&entry?.key)?;
            }
        }
        Ok(())
    }

    fn ingest_now(&self) -> Result<()> {
        let load = self.loading().replace(Load::default());
        match load {
            Some(load) => self.ingest(load),
            None => {
                *self.loading() = None;
                Ok(())
            }
        }
    }

    fn loading(&self) -> MutexGuard<'_, Option<Load>> {
        self.loading.lock().expect("no holder of this lock panics")
    }

    fn keeper(&self) -> MutexGuard<'_, Option<Keeper>> {
        self.keeper.lock().expect("no holder of this lock panics")
    }

    /// Sets the value of a key.
    pub(crate) fn put(&self, key: &[u8], draft: &mut Draft) -> Result<()> {
        let check = check_of(key, &draft.0[CHECK_BYTES..]);
        draft.0[..CHECK_BYTES].copy_from_slice(&check);
        self.change(key, Some(&draft.0))
    }

    /// Removes a key; no change when it is not there.
    pub(crate) fn remove(&self, key: &[u8]) -> Result<()> {
        self.change(key, None)
    }

    fn change(&self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.partial.store(true, Ordering::Relaxed);
        let mut loading = self.loading();
        let Some(load) = loading.as_mut() else {
            let sequence = self.tree.sequence.next();
            match value {
                Some(value) => self.tree.tree.insert(key, value, sequence),
                None => self.tree.tree.remove(key, sequence),
            };
            return Ok(());
        };
        load.bytes += key.len() + value.map_or(0, <[u8]>::len) + 64;
        load.changes.insert(key.to_vec(), value.map(<[u8]>::to_vec));
        if load.bytes < RUN_BYTES {
            return Ok(());
        }
        let load = std::mem::take(load);
        drop(loading);
        self.ingest(load)
    }

    /// Adds a sorted run.
    fn ingest(&self, load: Load) -> Result<()> {
        let ingest = || {
            let mut run = self.tree.tree.ingestion()?;
            for (key, value) in load.changes {
                match value {
                    Some(value) => run.write(key, value)?,
                    None => run.write_tombstone(key)?,
                }
            }
            run.finish()
        };
        let ingested = ingest().and_then(|()| self.tree.tidy());
        ingested.map_err(|e| store_error(&self.folder, &e))
    }

    /// What is read out of the value of a key; none where there is none.
    pub(crate) fn look<T>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        if let Some(load) = self.loading().as_ref()
            && let Some(value) = load.changes.get(key)
        {
            let value = value.as_ref().map(|value| self.verified(key, value));
            return value.transpose().map(|value| value.map(read));
        }
        let value = self.tree.tree.get(key, NEWEST);
        match value.map_err(|e| self.damaged(&e))? {
            None => Ok(None),
            Some(value) => self.verified(key, &value).map(|value| Some(read(value))),
        }
    }

    /// What is there now between two keys, in order of the keys; nothing that comes later. What is being loaded is not
    /// among it.
    pub(crate) fn entries(self: &Arc<Self>, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> Entries {
        Entries {
            entries: self.tree.entries((from, to)),
            disk: Arc::clone(self),
        }
    }

    fn verified<'a>(&self, key: &[u8], value: &'a [u8]) -> Result<&'a [u8]> {
        let (check, rest) = value
            .split_first_chunk::<CHECK_BYTES>()
            .ok_or_else(|| self.damaged(&"a value is cut off"))?;
        if *check != check_of(key, rest) {
            return Err(self.damaged(&"a value does not verify"));
        }
        Ok(rest)
    }

    /// Leaves a note, so that the next opening loads the tree anew.
    pub(crate) fn damaged(&self, what: &dyn std::fmt::Display) -> Error {
        // When it is closed, others may have changed the folder.
        if self.keeper().is_some() {
            let note = self.folder.join(DAMAGED);
            if let Err(error) = DiskStorage.replace(&note, what.to_string().as_bytes()) {
                tracing::warn!(%error, "the damage of the disk store could not be noted");
            }
        }
        store_error(&self.folder, what)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.close(None);
    }
}

/// Entries of the tree as they were at one moment.
pub(crate) struct Entries {
    entries: Box<dyn DoubleEndedIterator<Item = IterGuardImpl> + Send>,
    disk: Arc<Disk>,
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entries").finish_non_exhaustive()
    }
}

/// A key of the tree and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: UserKey,
    value: UserValue,
}

impl Entry {
    /// Its value.
    pub(crate) fn value(&self) -> &[u8] {
        &self.value[CHECK_BYTES..]
    }
}

impl Iterator for Entries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        let entry = self.entries.next()?.into_inner();
        let entry = entry.map_err(|e| self.disk.damaged(&e));
        Some(entry.and_then(|(key, value)| {
            self.disk.verified(&key, &value)?;
            Ok(Entry { key, value })
        }))
    }
}

impl Tree {
    fn entries(
        &self,
        range: (Bound<Vec<u8>>, Bound<Vec<u8>>),
    ) -> Box<dyn DoubleEndedIterator<Item = IterGuardImpl> + Send> {
        let _look = self.look();
        self.tree.range(range, self.sequence.get(), None)
    }

    /// Writes out what waits for it, and merges tables.
    fn tidy(&self) -> lsm_tree::Result<()> {
        let look = self.look();
        let oldest = self.sequence.get();
        drop(look);
        let lock = self.tree.get_flush_lock();
        self.tree.flush(&lock, oldest)?;
        drop(lock);
        let strategy = lsm_tree::compaction::Leveled::default().with_l0_threshold(YOUNG_TABLES);
        let strategy = Arc::new(strategy);
        while self.tree.l0_run_count() >= usize::from(YOUNG_TABLES) {
            let before = self.tree.l0_run_count();
            self.tree.compact(strategy.clone(), oldest)?;
            if self.tree.l0_run_count() >= before {
                break;
            }
        }
        self.tree.compact(strategy, oldest)
    }

    fn look(&self) -> MutexGuard<'_, ()> {
        self.looks.lock().expect("no holder of this lock panics")
    }
}

impl Keeper {
    fn of(tree: Tree) -> std::io::Result<Keeper> {
        let (wake, woken) = channel();
        let thread = std::thread::Builder::new().name("store-keeper".into());
        let thread = thread.spawn(move || {
            while woken.recv().is_ok() {
                while woken.try_recv().is_ok() {}
                if let Err(error) = tree.tidy() {
                    tracing::warn!(%error, "the disk store could not be written; what it lacks is in the commit log, and it is tried again");
                }
            }
        })?;
        Ok(Keeper { wake, thread })
    }

    fn end(self) {
        drop(self.wake);
        // A keeper that panicked has nothing left to do.
        let _ = self.thread.join();
    }
}

fn node_prefix(of: u8, node: &str) -> Vec<u8> {
    let mut prefix = vec![of];
    let length = u16::try_from(node.len()).expect("names of nodes are short");
    prefix.extend_from_slice(&length.to_be_bytes());
    prefix.extend_from_slice(node.as_bytes());
    prefix
}

/// The first key after all that begin so.
pub(crate) fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let kept = prefix.iter().rposition(|byte| *byte < u8::MAX);
    let kept = kept.expect("keys of the tree begin with a small byte");
    let mut after = prefix[..=kept].to_vec();
    after[kept] += 1;
    after
}

fn check_of(key: &[u8], value: &[u8]) -> [u8; CHECK_BYTES] {
    let check = xxh3_64_with_seed(value, xxh3_64_with_seed(key, 0));
    (check as u32).to_le_bytes()
}

fn store_error(folder: &Path, what: &dyn std::fmt::Display) -> Error {
    Error::Store {
        folder: folder.display().to_string(),
        what: what.to_string(),
    }
}
