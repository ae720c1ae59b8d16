//! A storage over another that is only read: what is written stays in memory and goes with it. A log opened through it is
//! recovered without a change on the disk, also beside the process that owns it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use arrow_buffer::{Buffer, MutableBuffer};

use super::{File, Storage};

/// What was written, by path; what was removed is there as `None`.
type Above = BTreeMap<PathBuf, Option<Arc<OverlayFile>>>;

/// Files of another storage to read, with all writes kept in memory.
#[derive(Debug)]
pub struct Overlay {
    below: Arc<dyn Storage>,
    above: Mutex<Above>,
    /// Folders that were removed, whose files below are not there any more.
    removed: Mutex<Vec<PathBuf>>,
}

/// A file below, if there is one, and what was written over it.
#[derive(Debug)]
struct OverlayFile {
    below: Option<Arc<dyn File>>,
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    /// Length that was allocated; the file below may be longer.
    length: u64,
    /// In the order of writing.
    parts: Vec<(u64, Vec<u8>)>,
}

impl Overlay {
    /// Over this storage.
    pub fn new(below: Arc<dyn Storage>) -> Overlay {
        Overlay {
            below,
            above: Mutex::default(),
            removed: Mutex::default(),
        }
    }

    fn above(&self) -> MutexGuard<'_, Above> {
        self.above.lock().expect("no holder of this lock panics")
    }

    fn is_hidden(&self, path: &Path) -> bool {
        let removed = self.removed.lock().expect("no holder of this lock panics");
        removed.iter().any(|folder| path.starts_with(folder))
    }

    fn file(&self, path: &Path) -> io::Result<Arc<OverlayFile>> {
        let mut above = self.above();
        match above.get(path) {
            Some(Some(file)) => return Ok(Arc::clone(file)),
            Some(None) => return Err(io::ErrorKind::NotFound.into()),
            None if self.is_hidden(path) => return Err(io::ErrorKind::NotFound.into()),
            None => {}
        }
        let file = Arc::new(OverlayFile {
            below: Some(self.below.open(path)?),
            written: Mutex::default(),
        });
        above.insert(path.to_owned(), Some(Arc::clone(&file)));
        Ok(file)
    }
}

impl Storage for Overlay {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn link(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = match self.is_hidden(path) {
            true => Vec::new(),
            false => self.below.list(path)?,
        };
        for (file, content) in self.above().iter() {
            let Ok(rest) = file.strip_prefix(path) else {
                continue;
            };
            let Some(name) = rest.components().next() else {
                continue;
            };
            let name = name.as_os_str().to_string_lossy().into_owned();
            let is_direct = rest.components().count() == 1;
            match content {
                None if is_direct => names.retain(|n| *n != name),
                None => {}
                Some(_) => names.push(name),
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        if self.file(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Arc::new(OverlayFile {
            below: None,
            written: Mutex::default(),
        });
        self.above()
            .insert(path.to_owned(), Some(Arc::clone(&file)));
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.file(path)?)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let above = self.above().get(path).cloned();
        let file = match above {
            Some(file) => file.ok_or(io::ErrorKind::NotFound)?,
            None if self.is_hidden(path) => return Err(io::ErrorKind::NotFound.into()),
            None => return self.below.read(path),
        };
        let mut content = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
        file.read_at(0, &mut content)?;
        Ok(content)
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let written = Written {
            length: content.len() as u64,
            parts: vec![(0, content.to_vec())],
        };
        let file = OverlayFile {
            below: None,
            written: Mutex::new(written),
        };
        self.above().insert(path.to_owned(), Some(Arc::new(file)));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.file(from)?;
        let mut above = self.above();
        above.insert(from.to_owned(), None);
        above.insert(to.to_owned(), Some(file));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.above().insert(path.to_owned(), None);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut removed = self.removed.lock().expect("no holder of this lock panics");
        removed.push(path.to_owned());
        drop(removed);
        self.above().retain(|file, _| !file.starts_with(path));
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Send + Sync>> {
        Ok(Box::new(()))
    }
}

impl OverlayFile {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().expect("no holder of this lock panics")
    }

    fn below_bytes(&self) -> io::Result<u64> {
        self.below.as_ref().map_or(Ok(0), |file| file.len())
    }
}

impl File for OverlayFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.below_bytes()?.max(self.written().length))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut written = self.written();
        written.length = written.length.max(len);
        Ok(())
    }

    fn write_at(&self, mut position: u64, parts: &[&[u8]]) -> io::Result<()> {
        let mut written = self.written();
        for part in parts {
            written.parts.push((position, part.to_vec()));
            position += part.len() as u64;
        }
        written.length = written.length.max(position);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let below = match &self.below {
            Some(file) => file.read_at(position, buffer)?,
            None => 0,
        };
        let length = self.len()?;
        let end = length.min(position + buffer.len() as u64);
        let count = usize::try_from(end.saturating_sub(position)).map_err(io::Error::other)?;
        if below < count {
            buffer[below..count].fill(0);
        }
        for (at, part) in &self.written().parts {
            let from = position.max(*at);
            let to = end.min(at + part.len() as u64);
            if from < to {
                let target = (from - position) as usize..(to - position) as usize;
                let source = (from - at) as usize..(to - at) as usize;
                buffer[target].copy_from_slice(&part[source]);
            }
        }
        Ok(count)
    }

    fn view(&self, position: u64, len: usize) -> io::Result<Buffer> {
        let end = position + len as u64;
        let meets = |(at, part): &(u64, Vec<u8>)| *at < end && position < at + part.len() as u64;
        let is_plain = end <= self.below_bytes()? && !self.written().parts.iter().any(meets);
        if let Some(below) = self.below.as_ref().filter(|_| is_plain) {
            return below.view(position, len);
        }
        let mut bytes = MutableBuffer::from_len_zeroed(len);
        self.read_at(position, bytes.as_slice_mut())?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryStorage;
    use super::*;

    #[test]
    fn writes_stay_above_and_reads_see_both() {
        let below: Arc<dyn Storage> = Arc::new(MemoryStorage::new(1));
        below.create_dir_all(Path::new("/a")).unwrap();
        below.replace(Path::new("/a/x"), b"0123456789").unwrap();
        below.replace(Path::new("/a/y"), b"y").unwrap();
        let over = Overlay::new(Arc::clone(&below));
        let file = over.open(Path::new("/a/x")).unwrap();
        file.allocate(16).unwrap();
        file.write_at(8, &[b"ab", b"cd"]).unwrap();
        let mut seen = [0xff; 16];
        assert_eq!(file.read_at(0, &mut seen).unwrap(), 16);
        assert_eq!(&seen, b"01234567abcd\0\0\0\0");
        assert_eq!(file.view(6, 4).unwrap().as_slice(), b"67ab");
        over.remove(Path::new("/a/y")).unwrap();
        over.replace(Path::new("/a/z"), b"z").unwrap();
        assert_eq!(over.list(Path::new("/a")).unwrap(), ["x", "z"]);
        assert!(over.open(Path::new("/a/y")).is_err());
        over.rename(Path::new("/a/z"), Path::new("/a/w")).unwrap();
        assert_eq!(over.read(Path::new("/a/w")).unwrap(), b"z");
        over.remove_dir_all(Path::new("/a")).unwrap();
        assert_eq!(over.list(Path::new("/a")).unwrap(), [""; 0]);
        assert_eq!(below.read(Path::new("/a/x")).unwrap(), b"0123456789");
        assert_eq!(below.list(Path::new("/a")).unwrap(), ["x", "y"]);
    }
}
