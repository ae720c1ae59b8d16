//! Files in memory that do what disks do to those who do not sync: lose, tear, reorder and corrupt, driven by a seed.
//! Any operation can be made to fail. For tests and simulation; what was synced is never harmed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use arrow_buffer::Buffer;

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
    /// A write does half its work and then fails with `EIO`. Anything else fails with `EIO`.
    Short,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct MemoryStorage(Arc<Mutex<Disk>>);

#[derive(Clone, Debug)]
struct Disk {
    random: u64,
    generation: u64,
    operations: u64,
    faults: Vec<(u64, Fault, bool)>,
    bytes_max: u64,
    next_file: u64,
    /// Handles of each file: what is open stays when its last name goes.
    open: BTreeMap<u64, u32>,
    files: BTreeMap<u64, Content>,
    names: BTreeMap<PathBuf, u64>,
    names_durable: BTreeMap<PathBuf, u64>,
    changes: Vec<NameChange>,
    /// Folders that were made, and whether durably.
    folders: BTreeMap<PathBuf, bool>,
    locks: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Set(PathBuf, u64),
    Unset(PathBuf),
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
            random: seed,
            generation: 0,
            operations: 0,
            faults: Vec::new(),
            bytes_max: u64::MAX,
            next_file: 0,
            open: BTreeMap::new(),
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            names_durable: BTreeMap::new(),
            changes: Vec::new(),
            folders: BTreeMap::new(),
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

    /// Power loss: every sector written since its file's last sync is kept, lost or garbled; names set since the last
    /// folder sync are kept up to some point. Handles from before answer `EIO` from now on; faults are forgotten.
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
        self.disk().names.keys().cloned().collect()
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
    /// splitmix64
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn bytes(&self) -> u64 {
        self.files.values().map(|f| f.now.len() as u64).sum()
    }

    fn content(&mut self, path: &Path) -> Option<&mut Content> {
        let id = *self.names.get(path)?;
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

    fn set_name(&mut self, path: &Path, id: u64) {
        self.names.insert(path.to_owned(), id);
        self.changes.push(NameChange::Set(path.to_owned(), id));
    }

    fn unset_name(&mut self, path: &Path) -> io::Result<u64> {
        let id = self.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        self.changes.push(NameChange::Unset(path.to_owned()));
        Ok(id)
    }

    fn sync_names(&mut self, changes: usize) {
        for change in self.changes.drain(..changes) {
            match change {
                NameChange::Set(path, id) => self.names_durable.insert(path, id),
                NameChange::Unset(path) => self.names_durable.remove(&path),
            };
        }
        self.forget_unnamed();
    }

    fn forget_unnamed(&mut self) {
        let named: BTreeSet<u64> = self
            .names
            .values()
            .chain(self.names_durable.values())
            .chain(self.open.keys())
            .copied()
            .collect();
        self.files.retain(|id, _| named.contains(id));
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
        if self.next_random().is_multiple_of(2) {
            content.durable.resize(len, 0);
        }
        let all = self.next_random().is_multiple_of(4);
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
        let chance = if all { 0 } else { self.next_random() % 100 };
        if chance >= 60 || position >= content.durable.len() {
            return;
        }
        put(&mut content.durable, position, bytes);
        if chance >= 55 {
            let bit = self.next_random() as usize % (bytes.len() * 8);
            content.durable[position + bit / 8] ^= 1 << (bit % 8);
        }
    }

    /// Folders whose names were not synced are lost with everything in them, or not.
    fn forget_folders(&mut self) {
        let unsure: Vec<PathBuf> = self
            .folders
            .iter()
            .filter(|(_, durable)| !**durable)
            .map(|(path, _)| path.clone())
            .collect();
        for path in unsure {
            if self.next_random().is_multiple_of(2) {
                self.folders.insert(path, true);
            } else {
                self.folders.retain(|inside, _| !inside.starts_with(&path));
                self.names_durable
                    .retain(|inside, _| !inside.starts_with(&path));
            }
        }
    }

    fn crash(&mut self) {
        self.generation += 1;
        self.open.clear();
        self.faults.clear();
        self.locks.clear();
        let kept = self.next_random() as usize % (self.changes.len() + 1);
        self.sync_names(kept);
        self.changes.clear();
        self.forget_folders();
        self.names = self.names_durable.clone();
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
        let parent = path.parent().filter(|p| p.parent().is_some());
        if disk.folders.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if parent.is_some_and(|parent| !disk.folders.contains_key(parent)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.folders.insert(path.to_owned(), false);
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        let id = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        if disk.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.set_name(to, id);
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut disk = self.disk();
        disk.step()?;
        let names: BTreeSet<String> = disk
            .names
            .keys()
            .filter_map(|name| name.strip_prefix(path).ok()?.components().next())
            .map(|first| first.as_os_str().to_string_lossy().into_owned())
            .collect();
        Ok(names.into_iter().collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut disk = self.disk();
        disk.step()?;
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = disk.new_file();
        disk.set_name(path, id);
        Ok(self.file(&mut disk, id))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut disk = self.disk();
        disk.step()?;
        let id = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
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
        disk.step()?;
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
        disk.set_name(path, id);
        let changes = disk.changes.len();
        disk.sync_names(changes);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        let id = disk.unset_name(from)?;
        disk.set_name(to, id);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.unset_name(path)?;
        disk.forget_unnamed();
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        let inside: Vec<PathBuf> = disk
            .names
            .keys()
            .filter(|name| name.starts_with(path))
            .cloned()
            .collect();
        for name in inside {
            disk.unset_name(&name)?;
        }
        disk.folders.retain(|folder, _| !folder.starts_with(path));
        disk.forget_unnamed();
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        let place = Path::new(".");
        let inside = |folder: &Path| match folder.parent() {
            Some(parent) => parent == path || parent.as_os_str().is_empty() && path == place,
            None => false,
        };
        for (folder, durable) in &mut disk.folders {
            *durable |= inside(folder);
        }
        let changes = disk.changes.len();
        disk.sync_names(changes);
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
