//! Files, behind a trait: the real disk, and one in memory that forgets, tears and corrupts.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow_buffer::Buffer;

mod copy;
mod disk;
mod memory;
mod overlay;

pub use copy::copy;
pub use disk::DiskStorage;
pub use memory::{Fault, MemoryStorage};
pub use overlay::Overlay;

/// A place for files. Every path is used as given.
pub trait Storage: Send + Sync + std::fmt::Debug {
    /// Makes one folder in a folder that is there; `AlreadyExists` when it is. Durable after [`Storage::sync_dir`] of the
    /// folder it is in.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the folder and its parents, durably. That it is there does not prove that it is durable: who made it may have
    /// ended before it was, so the folder it is in is synced in any case.
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        let made = match (self.create_dir(path), parent) {
            (Err(e), Some(parent)) if e.kind() == io::ErrorKind::NotFound => {
                self.create_dir_all(parent)?;
                self.create_dir(path)
            }
            (made, _) => made,
        };
        match made {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
            _ => self.sync_dir(parent.unwrap_or(Path::new("."))),
        }
    }
    /// Names in the folder, sorted. An absent folder is empty.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Makes a new file; it is an error if it exists. Durable in its folder after [`Storage::sync_dir`].
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Whole content of a small file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Replaces a small file, atomically and durably.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()>;
    /// Renames within the storage, durable after [`Storage::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, durable after [`Storage::sync_dir`]: both are the same bytes until one of them goes.
    /// `Unsupported` where the storage has one name a file, or the names are on two disks.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder and all in it. An absent folder is no error.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes the folder's names durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Takes the file as an exclusive lock for this process, held until the guard is dropped.
    /// `WouldBlock` when another holds it; the file's content then says who.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// One open file.
#[expect(
    clippy::len_without_is_empty,
    reason = "nobody asks whether a file is empty, and both would be system calls"
)]
pub trait File: Send + Sync + std::fmt::Debug {
    /// Its length in bytes, preallocated part included.
    fn len(&self) -> io::Result<u64>;
    /// Makes the file at least `len` bytes long, with blocks behind every byte, zeros where nothing was written.
    /// `StorageFull` when there is no room; the file is then as before.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Writes all parts one after another at `position`, inside the allocated length. After an error anything
    /// may be there.
    fn write_at(&self, position: u64, parts: &[&[u8]]) -> io::Result<()>;
    /// Makes everything written durable. After an error nothing is known about what was written since the last
    /// good sync.
    fn sync(&self) -> io::Result<()>;
    /// Reads up to `buffer.len()` bytes; fewer only at the end of the file. Never through a map.
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Bytes that will never be written again, without a copy where the storage has a map. The caller answers
    /// for that: only published frames of a segment, and whole runs of a store, are looked at this way.
    fn view(&self, position: u64, len: usize) -> io::Result<Buffer>;
    /// Looks into [`File::view`]s lie scattered from here on: each is to read from the disk what it needs, and nothing around it.
    fn scattered(&self) -> io::Result<()> {
        Ok(())
    }
    /// Has the system begin to read from the disk what will be looked at soon. A failure to read shows then.
    fn read_ahead(&self, _position: u64, _len: u64) {}
    /// Whether a look at this byte would find it in the system's cache. True where that is not known.
    fn is_cached(&self, _position: u64) -> bool {
        true
    }
    /// For a file that was removed from this folder and that nobody writes any more: gives its blocks back, part by part
    /// and without haste, so that no sync waits for all of it. Does nothing while someone looks at it.
    fn free(&self, _folder: &Path) {}
}
