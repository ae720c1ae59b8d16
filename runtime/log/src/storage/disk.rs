//! Files on the real disk.

#![expect(clippy::disallowed_methods, reason = "the room of files")]

use std::fs::{self, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_buffer::Buffer;
use rustix::fs::{Advice, FallocateFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::{File, Storage};
use crate::map::{Map, Maps};

/// A map covers at least this much, so that a growing segment is mapped once.
const MAP_BYTES_MIN: usize = 64 << 20;
/// Parts handed to one `pwritev`; the system's limit is 1024.
const PARTS_MAX: usize = 512;
/// Bytes given back at once of a file that was removed.
const FREE_BYTES: u64 = 2 << 20;
/// Between two such parts.
const FREE_PAUSE: Duration = Duration::from_millis(5);
/// Zeros written at a time where the file system cannot allocate.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskStorage;

#[derive(Debug)]
struct DiskFile {
    file: fs::File,
    map: Mutex<Option<Map>>,
    maps: Maps,
    scattered: AtomicBool,
}

impl DiskFile {
    fn open(path: &Path, create: bool) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create_new(create)
            .mode(0o644);
        Ok(Arc::new(DiskFile {
            file: options.open(path)?,
            map: Mutex::new(None),
            maps: Maps::default(),
            scattered: AtomicBool::new(false),
        }))
    }

    /// The map, made or made larger so that it reaches `end`.
    fn map(&self, end: usize) -> io::Result<Map> {
        let mut map = self.map.lock().expect("no holder of this lock panics");
        if let Some(map) = map.as_ref().filter(|m| m.len() >= end) {
            return Ok(map.clone());
        }
        let made = Map::new(
            &self.file,
            end.max(MAP_BYTES_MIN).next_power_of_two(),
            &self.maps,
        )?;
        if self.scattered.load(Ordering::Relaxed) {
            made.scattered()?;
        }
        *map = Some(made.clone());
        Ok(made)
    }

    fn write_zeros(&self, from: u64, to: u64) -> io::Result<()> {
        let mut position = from;
        while position < to {
            let part = ZEROS.len().min((to - position) as usize);
            self.file.write_all_at(&ZEROS[..part], position)?;
            position += part as u64;
        }
        Ok(())
    }
}

impl Storage for DiskStorage {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        DiskFile::open(path, true)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        DiskFile::open(path, false)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".new");
        let new = folder.join(name);
        let mut file = fs::File::create(&new)?;
        let written = file.write_all(content).and_then(|()| file.sync_all());
        if let Err(e) = written {
            let _ = fs::remove_file(&new);
            return Err(e);
        }
        fs::rename(&new, path)?;
        self.sync_dir(folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let linked = rustix::fs::link(from, to);
        linked.map_err(|errno| match errno {
            Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP | Errno::NOSYS => {
                io::ErrorKind::Unsupported.into()
            }
            errno => errno.into(),
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        match fs::remove_dir_all(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim().to_owned();
                return Err(io::Error::new(io::ErrorKind::WouldBlock, holder));
            }
            Err(fs::TryLockError::Error(e)) => return Err(e),
        }
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())?;
        Ok(Box::new(file))
    }
}

impl File for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let before = self.len()?;
        if before >= len {
            return Ok(());
        }
        let wanted =
            || rustix::fs::fallocate(&self.file, FallocateFlags::empty(), before, len - before);
        // A signal may arrive meanwhile; what was allocated until then stays allocated.
        let grown = match rustix::io::retry_on_intr(wanted) {
            Err(Errno::OPNOTSUPP) => self.write_zeros(before, len),
            answer => answer.map_err(io::Error::from),
        };
        if grown.is_err() {
            // Gives back what was taken. Nothing past `before` was ever published.
            let _ = self.file.set_len(before);
        }
        grown
    }

    fn write_at(&self, mut position: u64, parts: &[&[u8]]) -> io::Result<()> {
        for parts in parts.chunks(PARTS_MAX) {
            let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|p| IoSlice::new(p)).collect();
            let mut rest = &mut slices[..];
            IoSlice::advance_slices(&mut rest, 0);
            while !rest.is_empty() {
                let written = match rustix::io::pwritev(&self.file, rest, position) {
                    Err(Errno::INTR) => continue,
                    answer => answer?,
                };
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                position += written as u64;
                crate::meter::written(written as u64);
                IoSlice::advance_slices(&mut rest, written);
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        crate::meter::synced();
        self.file.sync_data()
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self
                .file
                .read_at(&mut buffer[done..], position + done as u64)
            {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn view(&self, position: u64, len: usize) -> io::Result<Buffer> {
        let position = position as usize;
        Ok(self.map(position + len)?.view(position, len))
    }

    fn scattered(&self) -> io::Result<()> {
        self.scattered.store(true, Ordering::Relaxed);
        let map = self.map.lock().expect("no holder of this lock panics");
        map.as_ref().map_or(Ok(()), Map::scattered)
    }

    fn read_ahead(&self, position: u64, len: u64) {
        if let Some(len) = NonZeroU64::new(len) {
            let _ = rustix::fs::fadvise(&self.file, position, Some(len), Advice::WillNeed);
        }
    }

    fn is_cached(&self, position: u64) -> bool {
        let mut byte = [0];
        let parts = &mut [IoSliceMut::new(&mut byte)];
        let read = rustix::io::preadv2(&self.file, parts, position, ReadWriteFlags::NOWAIT);
        !matches!(read, Err(Errno::AGAIN))
    }

    fn free(&self, folder: &Path) {
        let map = self
            .map
            .lock()
            .expect("no holder of this lock panics")
            .take();
        drop(map);
        // Before it is shortened, the file must not come back after a loss of power.
        if !self.maps.is_none() || DiskStorage.sync_dir(folder).is_err() {
            return;
        }
        // A savepoint may have it under another name: then its bytes are still somebody's.
        if !self.file.metadata().is_ok_and(|file| file.nlink() == 0) {
            return;
        }
        let mut len = self.len().unwrap_or(0);
        while len > 0 {
            len = len.saturating_sub(FREE_BYTES);
            if self.file.set_len(len).is_err() {
                return;
            }
            std::thread::park_timeout(FREE_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a file, gives it another name or not, removes it, and gives it back: how long it is then.
    fn given_back(folder: &Path, other: Option<&Path>) -> u64 {
        let path = folder.join("segment");
        let file = DiskStorage.create(&path).expect("a new file");
        file.write_at(0, &[&[7; 5000]]).expect("room");
        file.sync().expect("a sync");
        if let Some(other) = other {
            DiskStorage.link(&path, other).expect("a link");
        }
        DiskStorage.remove(&path).expect("it is there");
        file.free(folder);
        file.len().expect("it is open")
    }

    #[test]
    fn scattered_looks_read_what_they_need() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run");
        let file = DiskStorage.create(&path).expect("a new file");
        let bytes = vec![7; 1 << 20];
        file.write_at(0, &[&bytes]).expect("room");
        file.sync().expect("a sync");
        // Of a map that is there already, and of one that comes.
        let before = file.view(0, bytes.len()).expect("a map");
        file.scattered().expect("a map takes advice");
        let after = file.view(0, MAP_BYTES_MIN + 1).expect("a larger map");
        let maps = fs::read_to_string("/proc/self/smaps").expect("the maps of this process");
        let name = path.to_string_lossy();
        // Of each map the line with its file comes first, and its flags last.
        let (mut flags, mut is_ours) = (Vec::new(), false);
        for line in maps.lines() {
            is_ours |= line.ends_with(&*name);
            if let Some(these) = line.strip_prefix("VmFlags:") {
                flags.extend(is_ours.then_some(these));
                is_ours = false;
            }
        }
        assert_eq!(flags.len(), 2, "{flags:?}");
        let is_scattered = |flags: &&str| flags.split(' ').any(|flag| flag == "rr");
        assert!(flags.iter().all(is_scattered), "{flags:?}");
        drop((before, after));

        let file = DiskStorage.open(&path).expect("it is there");
        assert!(file.is_cached(0));
        let same = fs::File::open(&path).expect("it is there");
        rustix::fs::fadvise(&same, 0, None, Advice::DontNeed).expect("advice");
        // A file system in memory has nowhere else to read from.
        if !file.is_cached(512 << 10) {
            file.read_ahead(512 << 10, 4 << 10);
            while !file.is_cached(512 << 10) {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn a_removed_file_that_a_savepoint_has_keeps_its_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let other = folder.path().join("savepoint");
        assert_eq!(given_back(folder.path(), Some(&other)), 5000);
        assert_eq!(DiskStorage.read(&other).expect("the link"), [7; 5000]);
        assert_eq!(given_back(folder.path(), None), 0);
    }
}
