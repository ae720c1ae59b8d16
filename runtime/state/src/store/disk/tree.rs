//! A tree of sorted runs: the youngest in memory, the others in files. What changes comes in batches, each of which becomes a run;
//! runs are written out and merged by a thread of their own.
//!
//! Who looks has a share of the runs as they were when the look began: a run never changes, and its file goes when the
//! last share of it is given back.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use refrain_log::storage::{DiskStorage, Storage};

use super::build::{Builder, FileSink};
use super::filter;
use super::list::{List, run_path};
use super::merge::Merged;
use super::plan;
use super::run::{Run, RunFile};

/// One key in so many tells whether what is looked up is in the system's cache.
const KEYS_SAMPLED: usize = 16;
/// What lies at most so far apart is read from the disk at once, with what is between.
const GAP_BYTES: usize = 16 << 10;
/// And at most so much.
const READ_BYTES: usize = 1 << 20;

/// The runs of a tree.
#[derive(Debug)]
pub(super) struct Tree {
    folder: PathBuf,
    runs: RwLock<Arc<Runs>>,
    /// Held while a run is written out: number of the next file.
    writing: Mutex<u64>,
    /// Held while runs are merged.
    merging: Mutex<()>,
    /// No merge is to go on.
    stopped: AtomicBool,
}

/// All runs there are, the oldest first, at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    /// In files.
    settled: Vec<Arc<Run>>,
    /// In memory, waiting to be written out, a file each.
    waiting: Vec<Vec<Arc<Run>>>,
    /// In memory.
    young: Vec<Arc<Run>>,
}

/// Looks up keys in the runs as they were when it was made. Neighbours are found in what was just read.
#[derive(Debug)]
pub(super) struct Looker {
    runs: Vec<Arc<Run>>,
    /// The block of each run that was read last.
    read: Vec<Option<usize>>,
}

impl Tree {
    /// Opens the tree in a folder, making it when absent.
    pub(super) fn open(folder: &Path) -> io::Result<Tree> {
        DiskStorage.create_dir_all(folder)?;
        let list = match List::read(folder)? {
            Some(list) => list,
            None => {
                let list = List::default();
                list.write(folder)?;
                list
            }
        };
        let open = |(number, bytes): &(u64, u64)| {
            let path = run_path(folder, *number);
            let file = DiskStorage.open(&path)?;
            let file = RunFile {
                number: *number,
                path,
                file,
                is_new: false,
            };
            Run::open(file, *bytes).map(Arc::new)
        };
        let settled = list.runs.iter().map(open).collect::<io::Result<_>>()?;
        let runs = Runs {
            settled,
            ..Runs::default()
        };
        Ok(Tree {
            folder: folder.to_owned(),
            runs: RwLock::new(Arc::new(runs)),
            writing: Mutex::new(list.next),
            merging: Mutex::default(),
            stopped: AtomicBool::new(false),
        })
    }

    /// All runs as they are now.
    pub(super) fn runs(&self) -> Arc<Runs> {
        let runs = self.runs.read();
        runs.expect("no holder of this lock panics").clone()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Runs) -> T) -> T {
        let mut runs = self.runs.write().expect("no holder of this lock panics");
        let mut new = Runs::clone(&runs);
        let changed = change(&mut new);
        *runs = Arc::new(new);
        changed
    }

    /// Adds a batch of changes. One at a time does it.
    pub(super) fn add(&self, run: Run) {
        let mut young = self.runs().young.clone();
        young.push(Arc::new(run));
        let sizes: Vec<u64> = young.iter().map(|run| run.len()).collect();
        let merged = young.split_off(young.len() - plan::merge_in_memory(&sizes));
        young.extend(merge_in_memory(merged));
        self.change(|runs| runs.young = young);
    }

    /// Bytes in memory that do not wait to be written out.
    pub(super) fn young_bytes(&self) -> u64 {
        self.runs().young.iter().map(|run| run.len()).sum()
    }

    /// Has all that is in memory wait to be written out; how many files wait now.
    pub(super) fn seal(&self) -> usize {
        self.change(|runs| {
            let young = std::mem::take(&mut runs.young);
            if !young.is_empty() {
                runs.waiting.push(young);
            }
            runs.waiting.len()
        })
    }

    /// Writes out what waits longest; whether anything did.
    pub(super) fn write_out(&self) -> io::Result<bool> {
        let mut next = self.writing();
        let runs = self.runs();
        let Some(oldest) = runs.waiting.first() else {
            return Ok(false);
        };
        let number = self.number(&mut next);
        let written = self.write(number, oldest, runs.settled.is_empty(), &|| true)?;
        let mut settled = runs.settled.clone();
        settled.extend(written);
        self.list(*next, &settled)?;
        self.change(|runs| {
            runs.settled = settled;
            runs.waiting.remove(0);
        });
        Ok(true)
    }

    /// Ends a merge under way, and those that would come. What they were to merge stays as it is.
    pub(super) fn stop_merging(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Merges runs where that is due; whether it was.
    pub(super) fn merge(&self) -> io::Result<bool> {
        let _merging = self.merging.lock().expect("no holder of this lock panics");
        let settled = self.runs().settled.clone();
        let sizes: Vec<u64> = settled.iter().map(|run| run.len()).collect();
        let Some(range) = plan::merge(&sizes) else {
            return Ok(false);
        };
        let number = self.number(&mut self.writing());
        let go_on = || !self.stopped.load(Ordering::Relaxed);
        let chosen = &settled[range.clone()];
        match self.write(number, chosen, range.start == 0, &go_on) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(false),
            merged => {
                let merged = merged?;
                drop(settled);
                self.replace(range, merged)?;
            }
        }
        Ok(true)
    }

    /// Puts one run in the place of several. Others were added behind them meanwhile, at most.
    fn replace(&self, range: Range<usize>, merged: Option<Arc<Run>>) -> io::Result<()> {
        let next = self.writing();
        let mut settled = self.runs().settled.clone();
        let old: Vec<Arc<Run>> = settled.splice(range, merged).collect();
        self.list(*next, &settled)?;
        self.change(|runs| runs.settled = settled);
        drop(next);
        old.into_iter().for_each(|run| self.remove(run));
        Ok(())
    }

    /// Removes the file of a run. Who looks at it goes on.
    fn remove(&self, run: Arc<Run>) {
        let Some(path) = run.file().map(|file| file.path.clone()) else {
            return;
        };
        // What cannot be removed now is no more in the list, and goes when the tree is opened again.
        let removed = DiskStorage.remove(&path);
        let unshared = Arc::into_inner(run).and_then(Run::into_file);
        if let (Ok(()), Some(file)) = (removed, unshared.filter(|file| file.is_new)) {
            file.file.free(&self.folder);
        }
    }

    fn list(&self, next: u64, settled: &[Arc<Run>]) -> io::Result<()> {
        let files = settled
            .iter()
            .filter_map(|run| Some((run.file()?, run.len())));
        let list = List {
            next,
            runs: files.map(|(file, bytes)| (file.number, bytes)).collect(),
        };
        list.write(&self.folder)
    }

    fn number(&self, next: &mut u64) -> u64 {
        *next += 1;
        *next - 1
    }

    /// Writes runs into one file; none: nothing is left of them.
    fn write(
        &self,
        number: u64,
        runs: &[Arc<Run>],
        oldest: bool,
        go_on: &dyn Fn() -> bool,
    ) -> io::Result<Option<Arc<Run>>> {
        let path = run_path(&self.folder, number);
        let written = DiskStorage.create(&path).and_then(|file| {
            let mut builder = Builder::new(FileSink::new(file), true, entries(runs));
            Merged::new(runs, &[])?.into_run(&mut builder, oldest, go_on)?;
            if builder.is_empty() {
                return Ok(None);
            }
            let (sink, bytes) = builder.finish()?;
            let file = sink.end()?;
            let file = RunFile {
                number,
                path: path.clone(),
                file,
                is_new: true,
            };
            Run::open(file, bytes).map(Some)
        });
        if !matches!(written, Ok(Some(_))) {
            // If it stays, it goes when the tree is opened again.
            let _ = DiskStorage.remove(&path);
        }
        written.map(|run| run.map(Arc::new))
    }

    fn writing(&self) -> MutexGuard<'_, u64> {
        self.writing.lock().expect("no holder of this lock panics")
    }
}

impl Runs {
    /// The oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Run>> {
        let waiting = self.waiting.iter().flatten();
        self.settled.iter().chain(waiting).chain(&self.young)
    }

    /// Bytes of all.
    pub(super) fn bytes(&self) -> u64 {
        self.all().map(|run| run.len()).sum()
    }

    /// How many files there are, and how many are waiting to be written.
    #[cfg(test)]
    pub(super) fn files(&self) -> (usize, usize) {
        (self.settled.len(), self.waiting.len())
    }
}

impl Looker {
    /// Looks into the runs of now.
    pub(super) fn new(runs: &Runs) -> Looker {
        let mut runs: Vec<Arc<Run>> = runs.all().cloned().collect();
        runs.reverse();
        Looker {
            read: vec![None; runs.len()],
            runs,
        }
    }

    /// Of keys that are looked up next, in their order: has the disk read all that is not in the system's cache, so that they
    /// wait for it once and not one after another.
    pub(super) fn read_ahead<'k>(&self, keys: impl Iterator<Item = &'k [u8]> + Clone) {
        let is_cached = |key| {
            let place = self.place(key);
            place.is_none_or(|(run, block)| self.runs[run].is_cached(block))
        };
        if keys.clone().step_by(KEYS_SAMPLED).all(is_cached) {
            return;
        }
        let mut asked: Vec<Option<Range<usize>>> = vec![None; self.runs.len()];
        for key in keys {
            let Some((run, block)) = self.place(key) else {
                continue;
            };
            let (asked, run) = (&mut asked[run], &self.runs[run]);
            let bytes = run.range(block, block + 1);
            match asked {
                Some(asked) if is_near(asked, &bytes) => asked.end = bytes.end,
                _ => {
                    let before = asked.replace(bytes);
                    before.into_iter().for_each(|bytes| run.read_ahead(bytes));
                }
            }
        }
        for (run, asked) in self.runs.iter().zip(asked) {
            asked.into_iter().for_each(|bytes| run.read_ahead(bytes));
        }
    }

    /// The run that has a key, most likely, and the block in it.
    fn place(&self, key: &[u8]) -> Option<(usize, usize)> {
        let hash = filter::hash_of(key);
        let run = self.runs.iter().position(|run| run.may_have(key, hash))?;
        Some((run, self.runs[run].block_of(key)))
    }

    /// The value of a key; none where there is none.
    pub(super) fn look(&mut self, key: &[u8]) -> io::Result<Option<&[u8]>> {
        let hash = filter::hash_of(key);
        for (run, read) in self.runs.iter().zip(&mut self.read) {
            if !run.may_have(key, hash) {
                continue;
            }
            let before = *read;
            let place = match before {
                Some(block) if run.has_in(block, key) => block,
                _ => run.block_of(key),
            };
            let block = run.block(place, before == Some(place))?;
            *read = Some(place);
            if let (at, true) = block.find(key) {
                let (_, value) = block.entry(at);
                return Ok(value.map(|value| run.value(value)));
            }
        }
        Ok(None)
    }
}

/// Whether bytes are read from the disk together with those before them.
fn is_near(before: &Range<usize>, bytes: &Range<usize>) -> bool {
    bytes.start <= before.end + GAP_BYTES && bytes.end <= before.start + READ_BYTES
}

/// One run of several in memory.
fn merge_in_memory(runs: Vec<Arc<Run>>) -> Option<Arc<Run>> {
    if runs.len() < 2 {
        return runs.into_iter().next();
    }
    let mut builder = Builder::in_memory(entries(&runs));
    let merged = Merged::new(&runs, &[]).and_then(|m| m.into_run(&mut builder, false, &|| true));
    merged.expect("what is in memory verifies");
    builder.finish_in_memory().map(Arc::new)
}

fn entries(runs: &[Arc<Run>]) -> u64 {
    runs.iter().map(|run| run.entries()).sum()
}

#[cfg(test)]
mod tests;
