//! Files in memory that do what disks do to those who do not sync: lose, tear, reorder and corrupt, driven by a seed.
//! Any operation can be made to fail. For tests and simulation; what was synced is never harmed.

mod names;
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use arrow_buffer::Buffer;

use self::names::Names;
use self::random::Random;
use super::{File, Storage};

/// The unit in which unsynced writes are lost or kept.
const SECTOR_BYTES: usize = 512;

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `EIO`: nothing was done; a failed sync also forgets what it should have kept, as real kernels do.
    Io,
    /// `ENOSPC`: nothing was done.
    NoSpace,
    /// A write does half its work and then fails with `EIO`; a small file is replaced, and its folder not synced. Anything
    /// else fails with `EIO`.
    Short,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct MemoryStorage(Arc<Mutex<Disk>>);

#[derive(Clone, Debug)]
struct Disk {
    random: Random,
    generation: u64,
    operations: u64,
    faults: Vec<(u64, Fault, bool)>,
    bytes_max: u64,
    next_file: u64,
    /// Handles of each file: what is open stays when its last name goes.
    open: BTreeMap<u64, u32>,
    files: BTreeMap<u64, Content>,
    names: Names,
    locks: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryStorage,
    id: u64,
    generation: u64,
}

#[derive(Debug)]
struct MemoryLock {
    disk: MemoryStorage,
    path: PathBuf,
    generation: u64,
}

impl MemoryStorage {
    /// An empty disk whose crashes are decided by `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            random: Random::new(seed),
            generation: 0,
            operations: 0,
            faults: Vec::new(),
            bytes_max: u64::MAX,
            next_file: 0,
            open: BTreeMap::new(),
            files: BTreeMap::new(),
            names: Names::default(),
            locks: BTreeSet::new(),
        })))
    }

    /// A copy that goes its own way from here.
    pub fn fork(&self) -> MemoryStorage {
        let mut disk = self.disk().clone();
        disk.locks.clear();
        // Handles belong to the disk they were opened on.
        disk.open.clear();
        Self(Arc::new(Mutex::new(disk)))
    }

    /// Power loss: every sector written since its file's last sync is kept, lost or garbled; of the names that changed in
    /// a folder since its last sync some are kept, in no order. Handles from before answer `EIO` from now on; faults are forgotten.
    pub fn crash(&self) {
        self.disk().crash();
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// Makes operation number `operation` (counted as [`MemoryStorage::operations`] does, from 1) fail once.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.disk().faults.push((operation, fault, false));
    }

    /// Makes every operation from that number on fail, until [`MemoryStorage::heal`].
    pub fn fail_from(&self, operation: u64, fault: Fault) {
        self.disk().faults.push((operation, fault, true));
    }

    /// Forgets all faults.
    pub fn heal(&self) {
        self.disk().faults.clear();
    }

    /// Limits the bytes of all files together; `u64::MAX` for no limit.
    pub fn limit_bytes(&self, bytes_max: u64) {
        self.disk().bytes_max = bytes_max;
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.disk().bytes()
    }

    /// Paths of all files, sorted.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.disk().names.paths()
    }

    /// Flips one bit of a file, durably.
    pub fn flip(&self, path: &Path, bit: usize) {
        let mut disk = self.disk();
        let Some(content) = disk.content(path) else {
            return;
        };
        for bytes in [&mut content.now, &mut content.durable] {
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// Overwrites bytes of a file, durably, behind the back of who has it open.
    pub fn overwrite(&self, path: &Path, position: usize, bytes: &[u8]) {
        let mut disk = self.disk();
        let Some(content) = disk.content(path) else {
            return;
        };
        for old in [&mut content.now, &mut content.durable] {
            put(old, position, bytes);
        }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().expect("no holder of this lock panics")
    }

    fn file(&self, disk: &mut Disk, id: u64) -> Arc<dyn File> {
        let generation = disk.generation;
        *disk.open.entry(id).or_default() += 1;
        Arc::new(MemoryFile {
            disk: self.clone(),
            id,
            generation,
        })
    }
}

impl Disk {
    fn bytes(&self) -> u64 {
        self.files.values().map(|f| f.now.len() as u64).sum()
    }

    fn content(&mut self, path: &Path) -> Option<&mut Content> {
        let id = self.names.file(path).ok()?;
        self.files.get_mut(&id)
    }

    /// Counts an operation; the fault it is to suffer.
    fn operate(&mut self) -> Option<Fault> {
        self.operations += 1;
        let now = self.operations;
        self.faults
            .iter()
            .find(|&&(at, _, on)| at == now || (on && at <= now))
            .map(|&(_, fault, _)| fault)
    }

    /// Counts an operation that fails whole or not at all.
    fn step(&mut self) -> io::Result<()> {
        self.operate().map_or(Ok(()), |fault| Err(errno(fault)))
    }

    fn step_of(&mut self, generation: u64) -> io::Result<()> {
        self.alive(generation)?;
        self.step()
    }

    fn alive(&self, generation: u64) -> io::Result<()> {
        if generation == self.generation {
            Ok(())
        } else {
            Err(errno(Fault::Io))
        }
    }

    fn forget_unnamed(&mut self) {
        let named = self.names.named();
        let open = &self.open;
        self.files
            .retain(|id, _| named.contains(id) || open.contains_key(id));
    }

    fn new_file(&mut self) -> u64 {
        self.next_file += 1;
        self.files.insert(self.next_file, Content::default());
        self.next_file
    }

    fn sync_file(&mut self, id: u64, kept: bool) {
        let Some(mut content) = self.files.remove(&id) else {
            return;
        };
        if kept {
            let len = content.now.len();
            content.durable.resize(len, 0);
            for (position, bytes) in std::mem::take(&mut content.unsynced) {
                put(&mut content.durable, position, &bytes);
            }
        } else {
            self.tear(&mut content);
        }
        self.files.insert(id, content);
    }

    /// Applies some sectors of the unsynced writes to what is durable, and forgets the rest.
    fn tear(&mut self, content: &mut Content) {
        let len = content.now.len().max(content.durable.len());
        if self.random.below(2) == 0 {
            content.durable.resize(len, 0);
        }
        let all = self.random.below(4) == 0;
        for (position, bytes) in std::mem::take(&mut content.unsynced) {
            let mut at = 0;
            while at < bytes.len() {
                let sector_end = (position + at) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES;
                let end = bytes.len().min(sector_end - position);
                self.tear_sector(content, position + at, &bytes[at..end], all);
                at = end;
            }
        }
    }

    fn tear_sector(&mut self, content: &mut Content, position: usize, bytes: &[u8], all: bool) {
        let chance = if all { 0 } else { self.random.below(100) };
        if chance >= 60 || position >= content.durable.len() {
            return;
        }
        put(&mut content.durable, position, bytes);
        if chance >= 55 {
            let bit = self.random.below(bytes.len() * 8);
            content.durable[position + bit / 8] ^= 1 << (bit % 8);
        }
    }

    fn crash(&mut self) {
        self.generation += 1;
        self.open.clear();
        self.faults.clear();
        self.locks.clear();
        self.names.crash(&mut self.random);
        self.forget_unnamed();
        for id in self.files.keys().copied().collect::<Vec<_>>() {
            let mut content = self.files.remove(&id).unwrap_or_default();
            self.tear(&mut content);
            content.now = content.durable.clone();
            self.files.insert(id, content);
        }
    }
}

fn put(bytes: &mut [u8], position: usize, new: &[u8]) {
    let end = bytes.len().min(position + new.len());
    if position < end {
        bytes[position..end].copy_from_slice(&new[..end - position]);
    }
}

fn errno(fault: Fault) -> io::Error {
    io::Error::from(match fault {
        Fault::Io | Fault::Short => rustix::io::Errno::IO,
        Fault::NoSpace => rustix::io::Errno::NOSPC,
    })
}

impl Storage for MemoryStorage {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.names.make_folder(path)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        let id = disk.names.file(from)?;
        disk.names.check_free(to)?;
        disk.names.change(vec![(to.to_owned(), Some(id))]);
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut disk = self.disk();
        disk.step()?;
        Ok(disk.names.list(path))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut disk = self.disk();
        disk.step()?;
        disk.names.check_free(path)?;
        let id = disk.new_file();
        disk.names.change(vec![(path.to_owned(), Some(id))]);
        Ok(self.file(&mut disk, id))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut disk = self.disk();
        disk.step()?;
        let id = disk.names.file(path)?;
        Ok(self.file(&mut disk, id))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut disk = self.disk();
        disk.step()?;
        let content = disk.content(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(content.now.clone())
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        let fault = disk.operate();
        if let Some(fault) = fault.filter(|fault| *fault != Fault::Short) {
            return Err(errno(fault));
        }
        disk.names.check_parent(path)?;
        let old = disk.content(path).map_or(0, |c| c.now.len());
        if disk.bytes() - old as u64 + content.len() as u64 > disk.bytes_max {
            return Err(errno(Fault::NoSpace));
        }
        let id = disk.new_file();
        disk.files.insert(
            id,
            Content {
                now: content.to_vec(),
                durable: content.to_vec(),
                unsynced: Vec::new(),
            },
        );
        disk.names.change(vec![(path.to_owned(), Some(id))]);
        if let Some(fault) = fault {
            return Err(errno(fault));
        }
        disk.names.sync(path.parent().unwrap_or(Path::new(".")))?;
        disk.forget_unnamed();
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.names.check_parent(to)?;
        let id = disk.names.file(from)?;
        disk.names
            .change(vec![(from.to_owned(), None), (to.to_owned(), Some(id))]);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.names.file(path)?;
        disk.names.change(vec![(path.to_owned(), None)]);
        disk.forget_unnamed();
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.names.remove_folder(path);
        disk.forget_unnamed();
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.names.sync(path)?;
        disk.forget_unnamed();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut disk = self.disk();
        disk.step()?;
        if !disk.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(MemoryLock {
            disk: self.clone(),
            path: path.to_owned(),
            generation: disk.generation,
        }))
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut disk = self.disk.disk();
        if disk.generation == self.generation {
            disk.locks.remove(&self.path);
        }
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        let mut disk = self.disk.disk();
        if disk.generation != self.generation {
            return;
        }
        let left = disk.open.get_mut(&self.id).map(|count| {
            *count -= 1;
            *count
        });
        if left == Some(0) {
            disk.open.remove(&self.id);
            disk.forget_unnamed();
        }
    }
}

impl MemoryFile {
    fn gone() -> io::Error {
        io::ErrorKind::NotFound.into()
    }
}

impl File for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        let mut disk = self.disk.disk();
        disk.step_of(self.generation)?;
        let content = disk.files.get(&self.id).ok_or_else(Self::gone)?;
        Ok(content.now.len() as u64)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut disk = self.disk.disk();
        disk.step_of(self.generation)?;
        let (bytes, bytes_max) = (disk.bytes(), disk.bytes_max);
        let content = disk.files.get_mut(&self.id).ok_or_else(Self::gone)?;
        let more = len.saturating_sub(content.now.len() as u64);
        if more > 0 && bytes + more > bytes_max {
            return Err(errno(Fault::NoSpace));
        }
        content.now.resize(content.now.len() + more as usize, 0);
        Ok(())
    }

    fn write_at(&self, position: u64, parts: &[&[u8]]) -> io::Result<()> {
        let mut disk = self.disk.disk();
        disk.alive(self.generation)?;
        let fault = disk.operate();
        let mut bytes = parts.concat();
        match fault {
            Some(Fault::Short) => bytes.truncate(bytes.len() / 2),
            Some(fault) => return Err(errno(fault)),
            None => {}
        }
        let content = disk.files.get_mut(&self.id).ok_or_else(Self::gone)?;
        assert!(
            position as usize + bytes.len() <= content.now.len(),
            "writes stay inside the allocated length"
        );
        put(&mut content.now, position as usize, &bytes);
        content.unsynced.push((position as usize, bytes));
        fault.map_or(Ok(()), |fault| Err(errno(fault)))
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk.disk();
        disk.alive(self.generation)?;
        let fault = disk.operate();
        disk.sync_file(self.id, fault.is_none());
        fault.map_or(Ok(()), |fault| Err(errno(fault)))
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut disk = self.disk.disk();
        disk.step_of(self.generation)?;
        let content = disk.files.get(&self.id).ok_or_else(Self::gone)?;
        let start = content.now.len().min(position as usize);
        let end = content.now.len().min(start + buffer.len());
        buffer[..end - start].copy_from_slice(&content.now[start..end]);
        Ok(end - start)
    }

    fn view(&self, position: u64, len: usize) -> io::Result<Buffer> {
        let disk = self.disk.disk();
        disk.alive(self.generation)?;
        let content = disk.files.get(&self.id).ok_or_else(Self::gone)?;
        let start = position as usize;
        let bytes = content
            .now
            .get(start..start + len)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Buffer::from(bytes))
    }
}
