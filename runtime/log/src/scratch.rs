//! Bytes that need not outlive the process, on the disk and looked at through a map: each lot in a file of its own, which
//! has no name any more once it is written. So nothing is left behind, whatever happens.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_buffer::Buffer;

use crate::storage::{DiskStorage, Storage};

/// Parts begin at multiples of this.
const ALIGN_BYTES: usize = 64;
static PADDING: [u8; ALIGN_BYTES] = [0; ALIGN_BYTES];

/// A folder for such files.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    next: AtomicU64,
}

impl Scratch {
    /// Takes `folder`, and removes what is in it.
    pub fn open(folder: PathBuf) -> io::Result<Scratch> {
        DiskStorage.remove_dir_all(&folder)?;
        DiskStorage.create_dir_all(&folder)?;
        Ok(Scratch {
            folder,
            next: AtomicU64::new(0),
        })
    }

    /// Writes these parts; they live as long as the buffers. Nothing is kept after an error (`StorageFull`: no room).
    pub fn keep(&self, parts: &[&[u8]]) -> io::Result<Vec<Buffer>> {
        let mut pieces: Vec<&[u8]> = Vec::with_capacity(2 * parts.len());
        let mut places = Vec::with_capacity(parts.len());
        let mut end = 0;
        for part in parts {
            places.push(end);
            let padding = part.len().next_multiple_of(ALIGN_BYTES) - part.len();
            pieces.extend([*part, &PADDING[..padding]]);
            end += part.len() + padding;
        }
        if end == 0 {
            return Ok(parts
                .iter()
                .map(|_| Buffer::from_vec(Vec::<u8>::new()))
                .collect());
        }
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let path = self.folder.join(name);
        let file = DiskStorage.create(&path)?;
        let written = file
            .allocate(end as u64)
            .and_then(|()| file.write_at(0, &pieces));
        DiskStorage.remove(&path)?;
        written?;
        let view = |(part, place): (&&[u8], usize)| match part.len() {
            0 => Ok(Buffer::from_vec(Vec::<u8>::new())),
            len => file.view(place as u64, len),
        };
        parts.iter().zip(places).map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_there_and_the_folder_stays_empty() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("scratch");
        let scratch = Scratch::open(path.clone()).expect("a folder");
        let large = vec![7; 100_000];
        let kept = scratch.keep(&[b"abc", b"", &large]).expect("there is room");
        let more = scratch.keep(&[b""]).expect("there is room");
        assert!(DiskStorage.list(&path).expect("a folder").is_empty());
        drop(scratch);
        assert_eq!(kept[0].as_slice(), b"abc");
        assert_eq!(kept[2].as_slice(), large);
        assert!(kept[1].is_empty() && more[0].is_empty());
        assert_eq!(kept[2].as_ptr() as usize % ALIGN_BYTES, 0);
        drop(folder);
    }
}
