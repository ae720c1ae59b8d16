//! State larger than memory: one tree of sorted runs for all tasks and views of a host, in a folder of its own.
//!
//! The tree is no ground truth. The commit log is durable before anything goes into the tree; the tree writes its memory
//! to files now and then, in the background, and each time it does, a whole commit is the last one in it: the
//! *mark*, a key of its own, names it, and says what the views were then. After a crash the tree is at some earlier mark,
//! or gone. Opening takes the mark, reads the commit log, and applies only what was committed after it; where the mark does
//! not name a commit of this very log (another log, a log set back, one that begins after it), the tree is emptied and
//! loaded from the log. So the folder may be deleted at any time, and no write of the tree is ever waited for.
//!
//! Each block of a file has a check. What does not verify is an error, never an answer; the folder is then marked, and
//! loaded anew at the next opening.
//!
//! Keys in the tree: the mark's; one byte 1 before those of states (`states`), one byte 2 before those of view rows
//! (`view/tree`), and the node's name, with its length in 2 bytes before it.

mod build;
mod filter;
mod list;
mod merge;
mod plan;
mod run;
mod states;
mod tree;

use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use arrow_buffer::Buffer;
use refrain_log::codec;
use refrain_log::heap;
use refrain_log::ids::Timestamp;
use refrain_log::storage::{DiskStorage, Storage};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use build::Builder;
use merge::Merged;
pub(crate) use states::DiskStore;
use tree::Tree;

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
/// The tree's memory is written out when it has come to a quarter of what it may have, within these.
const MEMORY_BYTES: std::ops::RangeInclusive<u64> = (1 << 10)..=(64 << 20);
/// So many memories wait to be written out before a commit does it itself.
const WAITING_MAX: usize = 4;
/// Keys that are forgotten in one batch.
const FORGOTTEN_KEYS: usize = 1 << 16;
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

/// Changes on their way into the tree, in order of their keys.
#[derive(Debug)]
pub(crate) struct Batch(Builder<Vec<u8>>);

impl Batch {
    /// Of at most so many changes.
    pub(crate) fn new(changes_max: usize) -> Batch {
        Batch(Builder::in_memory(changes_max as u64))
    }

    /// Sets the value of a key, which comes after all before it, to these parts end to end.
    pub(crate) fn put(&mut self, key: &[u8], value: &[&[u8]]) {
        let pushed = self.0.push(key, Some(value));
        pushed.expect("memory takes all");
    }

    /// Removes a key, which comes after all before it; no change when it is not there.
    pub(crate) fn remove(&mut self, key: &[u8]) {
        self.0.push(key, None).expect("memory takes all");
    }
}

/// The tree of a host.
#[derive(Debug)]
pub(crate) struct Disk {
    tree: Arc<Tree>,
    folder: PathBuf,
    memory_bytes: u64,
    /// Something was changed since the last commit as a whole: it must not be written out with a mark.
    partial: AtomicBool,
    /// The tree is being loaded: nothing in it has a mark.
    loading: AtomicBool,
    /// None: closed. Another one may have the folder.
    keeper: Mutex<Option<Keeper>>,
}

/// The thread that writes out and merges.
#[derive(Debug)]
struct Keeper {
    wake: Sender<()>,
    thread: JoinHandle<()>,
}

impl Disk {
    /// Opens the tree in `folder`, making it when absent. A tree that cannot be opened, or was found damaged, is emptied;
    /// the sentence says why.
    pub(crate) fn open(folder: PathBuf, memory_bytes: u64) -> Result<(Disk, Option<String>)> {
        let noted = DiskStorage.read(&folder.join(DAMAGED)).is_ok();
        let opened = match noted {
            true => Err("its content was found damaged".to_owned()),
            false => Disk::open_tree(&folder, memory_bytes).map_err(|e| e.to_string()),
        };
        match opened {
            Ok(disk) => Ok((disk, None)),
            Err(what) => Ok((Disk::anew(folder, memory_bytes)?, Some(what))),
        }
    }

    /// An empty tree in the place of what is in `folder`.
    pub(crate) fn anew(folder: PathBuf, memory_bytes: u64) -> Result<Disk> {
        let removed = DiskStorage.remove_dir_all(&folder);
        removed.map_err(|e| store_error(&folder, &e))?;
        Disk::open_tree(&folder, memory_bytes).map_err(|e| store_error(&folder, &e))
    }

    fn open_tree(folder: &Path, memory_bytes: u64) -> io::Result<Disk> {
        heap::keep_free(heap::FREE_BYTES_ON_DISK);
        let tree = Arc::new(Tree::open(folder)?);
        Ok(Disk {
            keeper: Mutex::new(Some(Keeper::of(tree.clone(), folder.to_owned())?)),
            tree,
            folder: folder.to_owned(),
            memory_bytes: (memory_bytes / 4).clamp(*MEMORY_BYTES.start(), *MEMORY_BYTES.end()),
            partial: AtomicBool::new(false),
            loading: AtomicBool::new(false),
        })
    }

    /// What is in the tree; none: it is empty, or was not loaded to the end.
    pub(crate) fn shelved(&self) -> Result<Option<Shelved>> {
        let shelved = self.look(&MARK, codec::decode)?;
        shelved.transpose().map_err(|e| self.damaged(&e))
    }

    /// From here on the tree has no mark, until [`Disk::loaded`].
    pub(crate) fn load(&self) {
        self.loading.store(true, Ordering::Relaxed);
    }

    /// All is in the tree; none: nothing was ever committed.
    pub(crate) fn loaded(&self, shelved: Option<Shelved>) -> Result<()> {
        if let Some(shelved) = shelved {
            self.note(&shelved);
        }
        self.loading.store(false, Ordering::Relaxed);
        self.partial.store(false, Ordering::Relaxed);
        self.tree.seal();
        self.write_out_all()
    }

    /// A commit is in the tree as a whole, and these are its contents.
    pub(crate) fn committed(&self, shelved: impl FnOnce() -> Shelved) -> Result<()> {
        if self.tree.young_bytes() >= self.memory_bytes {
            if !self.loading.load(Ordering::Relaxed) {
                self.note(&shelved());
            }
            self.seal()?;
        }
        self.partial.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Has what is in memory written out: by the keeper, and by this thread when it does not keep up.
    fn seal(&self) -> Result<()> {
        if self.tree.seal() > WAITING_MAX {
            let written = self.tree.write_out();
            written.map_err(|e| store_error(&self.folder, &e))?;
        }
        if let Some(keeper) = self.keeper().as_ref() {
            // The keeper ends after this.
            let _ = keeper.wake.send(());
        }
        Ok(())
    }

    fn write_out_all(&self) -> Result<()> {
        let written = write_out_all(&self.tree);
        written.map_err(|e| store_error(&self.folder, &e))
    }

    /// Writes out everything, with what it comes to if that is known and no commit is half applied, and lets go of the
    /// folder. What is not written now is applied from the commit log at the next opening.
    pub(crate) fn close(&self, shelved: Option<Shelved>) {
        let Some(keeper) = self.keeper().take() else {
            return;
        };
        self.tree.stop_merging();
        keeper.end();
        let whole = !self.partial.load(Ordering::Relaxed) && !self.loading.load(Ordering::Relaxed);
        if let Some(shelved) = shelved.filter(|_| whole) {
            self.note(&shelved);
            self.tree.seal();
        }
        let _ = self.write_out_all();
    }

    fn note(&self, shelved: &Shelved) {
        let mut batch = Batch::new(1);
        batch.put(&MARK, &[&codec::encode(shelved)]);
        self.add(batch);
    }

    /// Bytes of keys, states and view rows, about: what was put again since the last merge counts twice.
    pub(crate) fn bytes(&self) -> u64 {
        self.tree.runs().bytes()
    }

    /// Bytes of the keys that begin so and of their states, about: what was put again since the last merge counts twice.
    pub(crate) fn bytes_below(self: &Arc<Self>, prefix: &[u8]) -> u64 {
        let after = after_prefix(prefix);
        let from = Bound::Included(prefix.to_vec());
        if self.entries(from, after.clone()).next().is_none() {
            return 0;
        }
        let runs = self.tree.runs();
        runs.all()
            .map(|run| run.bytes_between(prefix, &after))
            .sum()
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
            let mut entries = self.entries(Bound::Included(prefix), end).peekable();
            while entries.peek().is_some() {
                let mut batch = Batch::new(FORGOTTEN_KEYS);
                for entry in entries.by_ref().take(FORGOTTEN_KEYS) {
                    batch.remove(&entry?.key);
                }
                self.add(batch);
            }
        }
        Ok(())
    }

    fn keeper(&self) -> MutexGuard<'_, Option<Keeper>> {
        self.keeper.lock().expect("no holder of this lock panics")
    }

    /// Makes changes, all at once. One at a time does it.
    pub(crate) fn add(&self, batch: Batch) {
        if let Some(run) = batch.0.finish_in_memory() {
            self.partial.store(true, Ordering::Relaxed);
            self.tree.add(run);
        }
    }

    /// What is read out of the value of a key; none where there is none.
    pub(crate) fn look<T>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        self.looker().look(key, read)
    }

    /// Looks up several keys in what is there now. It is best to ask in their order.
    pub(crate) fn looker(&self) -> Looker<'_> {
        Looker {
            disk: self,
            looker: tree::Looker::new(&self.tree.runs()),
        }
    }

    /// What is there now from one key on and before another, in order of the keys; nothing that comes later.
    pub(crate) fn entries(self: &Arc<Self>, from: Bound<Vec<u8>>, to: Vec<u8>) -> Entries {
        let from = match from {
            Bound::Unbounded => Vec::new(),
            Bound::Included(key) => key,
            Bound::Excluded(mut key) => {
                key.push(0);
                key
            }
        };
        let runs = self.tree.runs();
        let runs = runs.all().filter(|run| run.reaches(&from, &to));
        Entries {
            merged: Some(Merged::new(runs, &from)),
            to,
            disk: Arc::clone(self),
        }
    }

    /// Leaves a note, so that the next opening loads the tree anew.
    pub(crate) fn damaged(&self, what: &dyn std::fmt::Display) -> Error {
        // When it is closed, others may have changed the folder.
        if self.keeper().is_some() {
            note_damage(&self.folder, what);
        }
        store_error(&self.folder, what)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.close(None);
    }
}

/// Looks up keys in the tree as it was when it was made.
#[derive(Debug)]
pub(crate) struct Looker<'a> {
    disk: &'a Disk,
    looker: tree::Looker,
}

impl Looker<'_> {
    /// Of keys that are looked up next, in their order: has the disk read what is not in the system's cache, all at once.
    pub(crate) fn read_ahead<'k>(&self, keys: impl Iterator<Item = &'k [u8]> + Clone) {
        self.looker.read_ahead(keys);
    }

    /// What is read out of the value of a key; none where there is none.
    pub(crate) fn look<T>(
        &mut self,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>> {
        let found = self.looker.look(key);
        Ok(found.map_err(|e| self.disk.damaged(&e))?.map(read))
    }
}

/// Entries of the tree as they were at one moment.
#[derive(Debug)]
pub(crate) struct Entries {
    /// None: it failed.
    merged: Option<io::Result<Merged>>,
    to: Vec<u8>,
    disk: Arc<Disk>,
}

/// A key of the tree and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Box<[u8]>,
    value: Buffer,
}

impl Entry {
    /// Its value.
    pub(crate) fn value(&self) -> &[u8] {
        &self.value
    }
}

impl Entries {
    fn read(merged: &mut Merged, to: &[u8]) -> io::Result<Option<Entry>> {
        loop {
            let Some((key, run, value)) = merged.here().filter(|(key, ..)| *key < to) else {
                return Ok(None);
            };
            let entry = value.map(|value| Entry {
                key: key.into(),
                value: run.share(value),
            });
            merged.advance()?;
            if entry.is_some() {
                return Ok(entry);
            }
        }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        let entry = match self.merged.as_mut()? {
            Ok(merged) => Entries::read(merged, &self.to),
            Err(_) => self.merged.take()?.map(|_| None),
        };
        if entry.is_err() {
            self.merged = None;
        }
        entry.map_err(|e| self.disk.damaged(&e)).transpose()
    }
}

impl Keeper {
    fn of(tree: Arc<Tree>, folder: PathBuf) -> io::Result<Keeper> {
        let (wake, woken) = channel();
        let thread = std::thread::Builder::new().name("store-keeper".into());
        let thread = thread.spawn(move || {
            while woken.recv().is_ok() {
                while woken.try_recv().is_ok() {}
                if let Err(error) = tidy(&tree) {
                    if error.kind() == io::ErrorKind::InvalidData {
                        note_damage(&folder, &error);
                    }
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

/// Writes out what waits for it, and merges runs.
fn tidy(tree: &Tree) -> io::Result<()> {
    loop {
        write_out_all(tree)?;
        if !tree.merge()? {
            return Ok(());
        }
    }
}

fn write_out_all(tree: &Tree) -> io::Result<()> {
    while tree.write_out()? {}
    Ok(())
}

fn note_damage(folder: &Path, what: &dyn std::fmt::Display) {
    let note = folder.join(DAMAGED);
    if let Err(error) = DiskStorage.replace(&note, what.to_string().as_bytes()) {
        tracing::warn!(%error, "the damage of the disk store could not be noted");
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

fn store_error(folder: &Path, what: &dyn std::fmt::Display) -> Error {
    Error::Store {
        folder: folder.display().to_string(),
        what: what.to_string(),
    }
}
