//! State larger than memory: one LSM tree for all tasks of a host, in a folder of its own.
//!
//! The tree is no ground truth. The commit log is durable before anything goes into the tree; the tree writes its memory
//! to sorted tables now and then, in the background, and each time it does, a whole commit is the last one in it: the
//! *mark*, a key of its own, names it. After a crash the tree is at some earlier mark, or gone. Opening takes the mark,
//! reads the commit log, and applies only what was committed after it; where the mark does not name a commit of this very
//! log (another log, a log set back, one that begins after it), the tree is emptied and loaded from the log, in sorted
//! runs. So the folder may be deleted at any time, and no write of the tree is ever waited for.
//!
//! Content is checked twice: the tree has a checksum a block, and each value carries one over its key and itself. What
//! does not verify is an error, never an answer; the folder is then marked, and loaded anew at the next opening.
//!
//! Keys in the tree: one byte 1, the node's name (its length in 2 bytes before it), the task (4 bytes, big endian), then
//! one byte 0 and the key; or, when that would be too long for the tree, one byte 1, the first bytes of the key and its
//! xxh3-128, with the key in front of the value. The mark is the key 0.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use lsm_tree::config::{BlockSizePolicy, HashRatioPolicy};
use lsm_tree::{
    AbstractTree, AnyTree, Cache, Config, DescriptorTable, Guard, SequenceNumberCounter,
};
use refrain_log::codec;
use refrain_log::ids::Timestamp;
use refrain_log::scratch::Scratch;
use refrain_log::storage::{DiskStorage, Storage};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128};

use super::{SHOWN_BYTES, StateChanges, Store, Walked, WalkedTo};
use crate::commit::KeyedState;
use crate::record::Closing;
use crate::{Error, Result};

/// The key of the mark.
const MARK: [u8; 1] = [0];
/// Keys up to this are keys of the tree.
pub(crate) const KEY_BYTES_MAX: usize = 32 << 10;
/// So much of a longer key is in the tree's key.
const KEY_BYTES_KEPT: usize = 1 << 10;
/// Bytes of the check in front of a value.
const CHECK_BYTES: usize = 4;
/// The tree's memory is written out when it has come to an eighth of the cache, within these.
const MEMORY_BYTES: std::ops::RangeInclusive<u64> = (1 << 10)..=(32 << 20);
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

/// Up to which commit a tree has everything.
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

/// The tree of a host.
#[derive(Debug)]
pub(crate) struct Disk {
    tree: Tree,
    folder: PathBuf,
    memory_bytes: u64,
    scratch: Arc<Scratch>,
    sequence: SequenceNumberCounter,
    /// While the tree is loaded: changes that are not in it yet.
    loading: Mutex<Option<Load>>,
    wake: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

/// The tree, which cannot be shown.
#[derive(Clone)]
struct Tree(AnyTree);

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree").finish_non_exhaustive()
    }
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
        let config = Config::new(folder, sequence.clone(), SequenceNumberCounter::new(1))
            .use_cache(Arc::new(Cache::with_capacity_bytes(cache_bytes)))
            .use_descriptor_table(Some(Arc::new(DescriptorTable::new(128))))
            .data_block_size_policy(BlockSizePolicy::all(4 << 10))
            .data_block_hash_ratio_policy(HashRatioPolicy::all(0.75));
        let tree = config.open()?;
        sequence.fetch_max(tree.get_highest_persisted_seqno().unwrap_or(0) + 1);
        let (wake, woken) = channel();
        let kept = (Tree(tree.clone()), sequence.clone());
        let keeper = std::thread::Builder::new().name("store-keeper".into());
        let keeper = keeper.spawn(move || {
            while woken.recv().is_ok() {
                while woken.try_recv().is_ok() {}
                if let Err(error) = tidy(&kept.0, &kept.1) {
                    tracing::warn!(%error, "the disk store could not be written; what it lacks is in the commit log, and it is tried again");
                }
            }
        })?;
        Ok(Disk {
            tree: Tree(tree),
            scratch: Arc::new(Scratch::open(folder.with_extension("views"))?),
            folder: folder.to_owned(),
            memory_bytes: (cache_bytes / 8).clamp(*MEMORY_BYTES.start(), *MEMORY_BYTES.end()),
            sequence,
            loading: Mutex::new(None),
            wake: Some(wake),
            keeper: Some(keeper),
        })
    }

    /// Up to which commit everything is in the tree; none: it is empty, or was not loaded to the end.
    pub(crate) fn mark(&self) -> Result<Option<Mark>> {
        let Some(bytes) = self.get(&MARK)? else {
            return Ok(None);
        };
        codec::decode(&bytes)
            .map(Some)
            .map_err(|e| self.damaged(&e))
    }

    /// From here on changes are collected into sorted runs, until [`Disk::loaded`]. Nothing is read meanwhile.
    pub(crate) fn load(&self) {
        *self.loading() = Some(Load::default());
    }

    /// All is in the tree, up to this commit.
    pub(crate) fn loaded(&self, mark: Option<Mark>) -> Result<()> {
        if let Some(mark) = mark {
            self.change(&MARK, Some(&codec::encode(&mark)))?;
        }
        let load = self.loading().take();
        load.map_or(Ok(()), |load| self.ingest(load))
    }

    /// A commit is in the tree as a whole.
    pub(crate) fn committed(&self, mark: Mark) -> Result<()> {
        if self.loading().is_some() {
            return Ok(());
        }
        self.change(&MARK, Some(&codec::encode(&mark)))?;
        if self.tree.0.active_memtable().size() < self.memory_bytes {
            return Ok(());
        }
        self.tree.0.rotate_memtable();
        if self.tree.0.sealed_memtable_count() > WAITING_MAX {
            return tidy(&self.tree, &self.sequence).map_err(|e| store_error(&self.folder, &e));
        }
        if let Some(wake) = &self.wake {
            // The keeper ends after this.
            let _ = wake.send(());
        }
        Ok(())
    }

    /// Where rows of views are kept.
    pub(crate) fn scratch(&self) -> Arc<Scratch> {
        Arc::clone(&self.scratch)
    }

    /// Bytes of keys and states, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.tree.0.disk_space() + self.tree.0.active_memtable().size()
    }

    /// Bytes of the keys that begin so and of their states, about: tables that hold other keys as well count half, and what
    /// was put again since the last merge counts twice.
    pub(crate) fn bytes_below(&self, prefix: &[u8]) -> u64 {
        let tables = self.tree.0.current_version();
        let on_disk = tables.iter_tables().map(|table| {
            let (range, bytes) = (&table.metadata.key_range, table.metadata.file_size);
            let (min, max): (&[u8], &[u8]) = (range.min(), range.max());
            match (min.starts_with(prefix), max.starts_with(prefix)) {
                (true, true) => bytes,
                (false, false) if max < prefix || min > prefix => 0,
                _ => bytes / 2,
            }
        });
        let memory = self.tree.0.active_memtable();
        let of_prefix = memory.iter().filter(|e| e.key.user_key.starts_with(prefix));
        let in_memory = of_prefix.map(|e| (e.key.user_key.len() + e.value.len()) as u64);
        on_disk.sum::<u64>() + in_memory.sum::<u64>()
    }

    /// The states of a task.
    pub(crate) fn store(self: &Arc<Self>, node: &str, task: u32) -> DiskStore {
        let mut prefix = node_prefix(node);
        prefix.extend_from_slice(&task.to_be_bytes());
        DiskStore {
            disk: Arc::clone(self),
            prefix,
            walk_from: None,
        }
    }

    /// Removes all states of a node.
    pub(crate) fn forget(&self, node: &str) -> Result<()> {
        self.remove_all(&node_prefix(node))
    }

    fn remove_all(&self, prefix: &[u8]) -> Result<()> {
        // What is not loaded yet is not seen by a look into the tree.
        let load = self.loading().take();
        if let Some(load) = load {
            self.ingest(load)?;
            self.load();
        }
        for entry in self.tree.0.prefix(prefix, NEWEST, None) {
            let key = entry.key().map_err(|e| self.damaged(&e))?;
            self.change(&key, None)?;
        }
        Ok(())
    }

    fn loading(&self) -> std::sync::MutexGuard<'_, Option<Load>> {
        self.loading.lock().expect("no holder of this lock panics")
    }

    fn change(&self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let value = value.map(|value| checked(key, value));
        let mut loading = self.loading();
        let Some(load) = loading.as_mut() else {
            let sequence = self.sequence.next();
            match value {
                Some(value) => self.tree.0.insert(key, value, sequence),
                None => self.tree.0.remove(key, sequence),
            };
            return Ok(());
        };
        load.bytes += key.len() + value.as_ref().map_or(0, Vec::len) + 64;
        load.changes.insert(key.to_vec(), value);
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
            let mut run = self.tree.0.ingestion()?;
            for (key, value) in load.changes {
                match value {
                    Some(value) => run.write(key, value)?,
                    None => run.write_tombstone(key)?,
                }
            }
            run.finish()
        };
        let ingested = ingest().and_then(|()| tidy(&self.tree, &self.sequence));
        ingested.map_err(|e| store_error(&self.folder, &e))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Box<[u8]>>> {
        match self.tree.0.get(key, NEWEST).map_err(|e| self.damaged(&e))? {
            None => Ok(None),
            Some(value) => self.verified(key, &value).map(|value| Some(value.into())),
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
    fn damaged(&self, what: &dyn std::fmt::Display) -> Error {
        let note = self.folder.join(DAMAGED);
        if let Err(error) = DiskStorage.replace(&note, what.to_string().as_bytes()) {
            tracing::warn!(%error, "the damage of the disk store could not be noted");
        }
        store_error(&self.folder, what)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(keeper) = self.keeper.take() {
            // A keeper that panicked has nothing left to do.
            let _ = keeper.join();
        }
        self.tree.0.rotate_memtable();
        // What is not written now is applied from the commit log at the next opening.
        let _ = tidy(&self.tree, &self.sequence);
    }
}

/// Writes out what waits for it, and merges tables.
fn tidy(tree: &Tree, sequence: &SequenceNumberCounter) -> lsm_tree::Result<()> {
    let oldest = sequence.get();
    let lock = tree.0.get_flush_lock();
    tree.0.flush(&lock, oldest)?;
    drop(lock);
    let strategy = lsm_tree::compaction::Leveled::default().with_l0_threshold(YOUNG_TABLES);
    let strategy = Arc::new(strategy);
    while tree.0.l0_run_count() >= usize::from(YOUNG_TABLES) {
        let before = tree.0.l0_run_count();
        tree.0.compact(strategy.clone(), oldest)?;
        if tree.0.l0_run_count() >= before {
            break;
        }
    }
    tree.0.compact(strategy, oldest)
}

fn node_prefix(node: &str) -> Vec<u8> {
    let mut prefix = vec![1];
    let length = u16::try_from(node.len()).expect("names of nodes are short");
    prefix.extend_from_slice(&length.to_be_bytes());
    prefix.extend_from_slice(node.as_bytes());
    prefix
}

fn check_of(key: &[u8], value: &[u8]) -> [u8; CHECK_BYTES] {
    let check = xxh3_64_with_seed(value, xxh3_64_with_seed(key, 0));
    (check as u32).to_le_bytes()
}

fn checked(key: &[u8], value: &[u8]) -> Vec<u8> {
    [check_of(key, value).as_slice(), value].concat()
}

fn store_error(folder: &Path, what: &dyn std::fmt::Display) -> Error {
    Error::Store {
        folder: folder.display().to_string(),
        what: what.to_string(),
    }
}

/// The states of one task in the tree.
#[derive(Debug)]
pub(crate) struct DiskStore {
    disk: Arc<Disk>,
    prefix: Vec<u8>,
    /// The key of the tree after which a walk goes on; none: no walk is under way.
    walk_from: Option<Vec<u8>>,
}

impl DiskStore {
    /// The tree's key, and whether it stands for a longer one.
    fn key(&self, key: &[u8]) -> (Vec<u8>, bool) {
        let long = key.len() > KEY_BYTES_MAX;
        let mut full = self.prefix.clone();
        full.push(u8::from(long));
        if long {
            full.extend_from_slice(&key[..KEY_BYTES_KEPT]);
            full.extend_from_slice(&xxh3_128(key).to_be_bytes());
        } else {
            full.extend_from_slice(key);
        }
        (full, long)
    }

    /// Key and state out of an entry of the tree.
    fn entry<'a>(&self, key: &'a [u8], value: &'a [u8]) -> Result<(&'a [u8], &'a [u8])> {
        let value = self.disk.verified(key, value)?;
        let cut = || self.disk.damaged(&"an entry is cut off");
        let (long, key) = key[self.prefix.len()..].split_first().ok_or_else(cut)?;
        if *long == 0 {
            return Ok((key, value));
        }
        let (length, rest) = value.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = u32::from_le_bytes(*length) as usize;
        rest.split_at_checked(length).ok_or_else(cut)
    }

    /// Entries after a key of the tree, in its order, until `show` says that it is enough.
    fn entries(
        &self,
        after: &[u8],
        show: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<Option<Vec<u8>>> {
        let mut end = self.prefix.clone();
        end.push(2);
        self.range(
            (Bound::Excluded(after.to_vec()), Bound::Excluded(end)),
            show,
        )
    }

    /// Entries of a range of the tree, in its order, until `show` says that it is enough; the key of the last one then.
    fn range(
        &self,
        range: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        mut show: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<Option<Vec<u8>>> {
        for entry in self.disk.tree.0.range(range, NEWEST, None) {
            let entry = entry.into_inner();
            let (key, value) = entry.map_err(|e| self.disk.damaged(&e))?;
            let (state_key, state) = self.entry(&key, &value)?;
            if !show(state_key, state) {
                return Ok(Some(key.to_vec()));
            }
        }
        Ok(None)
    }
}

impl Store for DiskStore {
    fn put(&mut self, key: &[u8], state: &[u8]) -> Result<()> {
        let (full, long) = self.key(key);
        if !long {
            return self.disk.change(&full, Some(state));
        }
        let length = u32::try_from(key.len()).expect("a key stays below 4 GiB");
        let value = [&length.to_le_bytes(), key, state].concat();
        self.disk.change(&full, Some(&value))
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        let (full, _) = self.key(key);
        self.disk.change(&full, None)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Box<[u8]>>> {
        let (full, long) = self.key(key);
        if !long {
            return self.disk.get(&full);
        }
        let Some(value) = self.disk.get(&full)? else {
            return Ok(None);
        };
        let value = checked(&full, &value);
        let (found, state) = self.entry(&full, &value)?;
        Ok((found == key).then(|| state.into()))
    }

    fn each(&self, show: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let all = |key: &[u8], state: &[u8]| {
            show(key, state);
            true
        };
        self.entries(&self.prefix, all).map(|_| ())
    }

    fn after(&self, from: &[u8], count: usize) -> Result<Vec<KeyedState>> {
        let (mut first, mut end) = (self.prefix.clone(), self.prefix.clone());
        first.push(0);
        first.extend_from_slice(from);
        end.push(1);
        let (mut shown, mut bytes) = (Vec::new(), 0);
        if count > 0 {
            self.range(
                (Bound::Included(first), Bound::Excluded(end)),
                |key, state| {
                    bytes += key.len() + state.len();
                    shown.push((key.into(), state.into()));
                    shown.len() < count && bytes < SHOWN_BYTES
                },
            )?;
        }
        Ok(shown)
    }

    fn unordered(&self) -> Result<Vec<KeyedState>> {
        let (mut first, mut end) = (self.prefix.clone(), self.prefix.clone());
        first.push(1);
        end.push(2);
        let mut shown = Vec::new();
        self.range(
            (Bound::Included(first), Bound::Excluded(end)),
            |key, state| {
                shown.push((key.into(), state.into()));
                true
            },
        )?;
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
}
