//! The list of the runs that a tree is made of: a small file that is replaced when they change.
//!
//! ```text
//! u64 LE   xxh3-64 of the rest
//! u64 LE   version: 1
//! u64 LE   number of the next file
//! of each run, the oldest first: u64 LE its number, u64 LE its bytes
//! ```

use std::io;
use std::path::{Path, PathBuf};

use refrain_log::storage::{DiskStorage, Storage};
use xxhash_rust::xxh3::xxh3_64;

use super::run::damage;

/// Name of the list.
const NAME: &str = "runs";
/// Version of the folder.
const VERSION: u64 = 1;
/// How names of runs end.
const RUN: &str = ".run";

/// The runs of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    /// Number of the next file.
    pub(super) next: u64,
    /// Number and bytes of each run, the oldest first.
    pub(super) runs: Vec<(u64, u64)>,
}

impl List {
    /// The list in a folder; none: the folder is empty. What no list names is removed.
    pub(super) fn read(folder: &Path) -> io::Result<Option<List>> {
        let names = DiskStorage.list(folder)?;
        if names.is_empty() {
            return Ok(None);
        }
        let bytes = match DiskStorage.read(&folder.join(NAME)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(damage("it has no list of its runs"));
            }
            bytes => bytes?,
        };
        let list = List::decode(&bytes).ok_or_else(|| damage("the list of its runs is damaged"))?;
        let is_run = |name: &String| {
            let number = name.strip_suffix(RUN).and_then(|n| n.parse::<u64>().ok());
            name == NAME || list.runs.iter().any(|(run, _)| Some(*run) == number)
        };
        for name in names.iter().filter(|name| !is_run(name)) {
            DiskStorage.remove(&folder.join(name))?;
        }
        Ok(Some(list))
    }

    /// Replaces the list in a folder, durably.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        // Names of new files are durable with it.
        DiskStorage.replace(&folder.join(NAME), &self.encode())
    }

    fn encode(&self) -> Vec<u8> {
        let runs = self.runs.iter().flat_map(|(number, bytes)| [number, bytes]);
        let numbers = [&VERSION, &self.next].into_iter().chain(runs);
        let rest: Vec<u8> = numbers.flat_map(|number| number.to_le_bytes()).collect();
        [&xxh3_64(&rest).to_le_bytes()[..], &rest].concat()
    }

    fn decode(bytes: &[u8]) -> Option<List> {
        let (check, rest) = bytes.split_first_chunk::<8>()?;
        let (numbers, []) = rest.as_chunks::<8>() else {
            return None;
        };
        let mut numbers = numbers.iter().map(|number| u64::from_le_bytes(*number));
        let whole = u64::from_le_bytes(*check) == xxh3_64(rest);
        if !whole || numbers.next()? != VERSION {
            return None;
        }
        let next = numbers.next()?;
        let mut runs = Vec::new();
        while let Some(number) = numbers.next() {
            runs.push((number, numbers.next()?));
        }
        Some(List { next, runs })
    }
}

/// The file of a run.
pub(super) fn run_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number}{RUN}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_was_written_or_not_at_all() {
        let list = List {
            next: 9,
            runs: vec![(3, 1 << 40), (8, 5)],
        };
        let bytes = list.encode();
        assert_eq!(List::decode(&bytes), Some(list));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(List::decode(&bytes), None);
        }
        assert_eq!(List::decode(&bytes[..bytes.len() - 8]), None);
    }
}
