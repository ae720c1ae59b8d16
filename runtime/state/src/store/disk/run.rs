//! A sorted run: entries in order of their keys that never change, in memory or in a file that is mapped. The bytes are the
//! same in both.
//!
//! ```text
//! blocks of some 4 KiB:
//!   u32 LE   check: CRC32C of the rest, xor the halves of where the block begins (in memory 0)
//!   u16 LE   entries          u16 LE   bytes that all its keys begin with
//!   u32 LE   where each entry begins, from the beginning of the block
//!   those bytes; then of each entry
//!   u16 LE   bytes of the rest of its key      u32 LE   bytes of its value, 2^32 - 1: the key is deleted
//!   the rest of its key, its value
//! tail:
//!   u64 LE   where each block begins, and where the last one ends
//!   u32 LE   where the fence of each block ends among the fences
//!   fences   what is at most the first key of the block, and more than all keys before it; of the first block its first key
//!   filter   lines of 64 bytes
//!   the last key
//!   u64 LE   where the tail begins, number of blocks, of entries, bytes of fences, of the filter, of the last key
//!   u64 LE   check: xxh3-64 of the tail (in memory 0)
//! ```
//!
//! The tail, three hundredths of it all, is verified when a file is opened; a block each time that it is looked at.

use std::cmp::Ordering;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_buffer::Buffer;
use refrain_log::storage::File;
use xxhash_rust::xxh3::xxh3_64;

use super::build::block_check;
use super::filter;

/// Bytes of the check of a block.
pub(super) const CHECK_BYTES: usize = 4;
/// Bytes before the table of a block.
pub(super) const BLOCK_HEAD_BYTES: usize = CHECK_BYTES + 4;
/// Bytes before the key of an entry.
const ENTRY_HEAD_BYTES: usize = 6;
/// In the place of the length of a value: the key is deleted.
pub(super) const GONE: u32 = u32::MAX;
/// Bytes of the numbers that end a run, the check among them.
const NUMBERS_BYTES: usize = 56;

/// A sorted run.
#[derive(Debug)]
pub(super) struct Run {
    bytes: Buffer,
    /// Where tables of the tail begin.
    starts: usize,
    fence_ends: usize,
    fences: usize,
    filter: std::ops::Range<usize>,
    last: std::ops::Range<usize>,
    blocks: usize,
    entries: u64,
    file: Option<RunFile>,
}

/// Where a run is written.
#[derive(Debug)]
pub(super) struct RunFile {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn File>,
    /// It was written by the tree that has it open: nobody looks at it but through that.
    pub(super) is_new: bool,
}

/// A block that was verified.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    bytes: &'a [u8],
    /// Where it begins in its run.
    begin: usize,
    count: usize,
    prefix: &'a [u8],
}

/// An entry of a block: the rest of its key, and where its value is in the run; none: deleted.
pub(super) type BlockEntry<'a> = (&'a [u8], Option<(usize, usize)>);

impl Run {
    /// Bytes that were just made.
    pub(super) fn in_memory(bytes: Buffer) -> Run {
        Run::read(bytes, None).expect("a run that was made is whole")
    }

    /// So many bytes of a file; fails where they do not verify.
    pub(super) fn open(file: RunFile, length: u64) -> io::Result<Run> {
        if file.file.len()? < length {
            return Err(damage("a file is cut off"));
        }
        let bytes = usize::try_from(length).map_err(|_| damage("a file is too long"))?;
        let bytes = file.file.view(0, bytes)?;
        Run::read(bytes, Some(file))
    }

    fn read(bytes: Buffer, file: Option<RunFile>) -> io::Result<Run> {
        let cut = || damage("a file is cut off");
        let at = bytes.len().checked_sub(NUMBERS_BYTES).ok_or_else(cut)?;
        let number = |i: usize| number_at(&bytes, at + 8 * i);
        let sizes: Option<Vec<usize>> = (0..6).map(|i| usize::try_from(number(i)).ok()).collect();
        let sizes = sizes.ok_or_else(cut)?;
        let [starts, blocks, _, fences_bytes, filter_bytes, last_bytes] = sizes[..] else {
            return Err(cut());
        };
        let add = |a: usize, b: usize| a.checked_add(b);
        let tables = || {
            let fence_ends = add(starts, blocks.checked_add(1)?.checked_mul(8)?)?;
            let fences = add(fence_ends, blocks.checked_mul(4)?)?;
            let filter = add(fences, fences_bytes)?;
            let last = add(filter, filter_bytes)?;
            (add(last, last_bytes)? == at).then_some((fence_ends, fences, filter, last))
        };
        let (fence_ends, fences, filter, last) = tables().ok_or_else(cut)?;
        let tail = &bytes[starts..bytes.len() - 8];
        if file.is_some() && xxh3_64(tail) != number(6) {
            return Err(damage("the end of a file does not verify"));
        }
        Ok(Run {
            starts,
            fence_ends,
            fences,
            filter: filter..last,
            last: last..at,
            blocks,
            entries: number(2),
            file,
            bytes,
        })
    }

    /// Its bytes.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Entries in it, deletions among them.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Blocks in it.
    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Its file; none: it is in memory.
    pub(super) fn file(&self) -> Option<&RunFile> {
        self.file.as_ref()
    }

    /// Lets go of its bytes.
    pub(super) fn into_file(self) -> Option<RunFile> {
        self.file
    }

    fn first_key(&self) -> &[u8] {
        self.fence(0)
    }

    fn last_key(&self) -> &[u8] {
        &self.bytes[self.last.clone()]
    }

    /// Whether it may have a key, whose hash is known.
    pub(super) fn may_have(&self, key: &[u8], hash: u64) -> bool {
        self.first_key() <= key
            && key <= self.last_key()
            && filter::may_have(&self.bytes[self.filter.clone()], hash)
    }

    /// Whether it can have keys in a range.
    pub(super) fn reaches(&self, from: &[u8], to: &[u8]) -> bool {
        self.first_key() < to && from <= self.last_key()
    }

    /// The block that would have a key; the first one for keys before all.
    pub(super) fn block_of(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.blocks);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.fence(middle) <= key {
                true => low = middle,
                false => high = middle,
            }
        }
        low
    }

    /// Whether a block would have a key.
    pub(super) fn has_in(&self, block: usize, key: &[u8]) -> bool {
        self.fence(block) <= key && (block + 1 == self.blocks || key < self.fence(block + 1))
    }

    /// Bytes of blocks that may have keys of a range.
    pub(super) fn bytes_between(&self, from: &[u8], to: &[u8]) -> u64 {
        if !self.reaches(from, to) {
            return 0;
        }
        let (first, last) = (self.block_of(from), self.block_of(to));
        (self.start(last + 1) - self.start(first)) as u64
    }

    fn start(&self, block: usize) -> usize {
        number_at(&self.bytes, self.starts + 8 * block) as usize
    }

    fn fence(&self, block: usize) -> &[u8] {
        let end = |block: usize| small_at(&self.bytes, self.fence_ends + 4 * block) as usize;
        let begin = if block == 0 { 0 } else { end(block - 1) };
        &self.bytes[self.fences + begin..self.fences + end(block)]
    }

    /// A block, verified unless it was before.
    pub(super) fn block(&self, block: usize, verified: bool) -> io::Result<Block<'_>> {
        let (begin, end) = (self.start(block), self.start(block + 1));
        let bytes = &self.bytes[begin..end];
        if self.file.is_some()
            && !verified
            && block_check(&bytes[CHECK_BYTES..], begin as u64) != small_at(bytes, 0)
        {
            return Err(damage("a block does not verify"));
        }
        let (count, prefix) = (
            short_at(bytes, CHECK_BYTES),
            short_at(bytes, CHECK_BYTES + 2),
        );
        let keys = BLOCK_HEAD_BYTES + 4 * count;
        Ok(Block {
            bytes,
            begin,
            count,
            prefix: &bytes[keys..keys + prefix],
        })
    }

    /// Bytes of a value.
    pub(super) fn value(&self, (begin, end): (usize, usize)) -> &[u8] {
        &self.bytes[begin..end]
    }

    /// Bytes of a value, with a share of the run.
    pub(super) fn share(&self, (begin, end): (usize, usize)) -> Buffer {
        self.bytes.slice_with_length(begin, end - begin)
    }
}

impl<'a> Block<'a> {
    /// Entries in it.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// What all its keys begin with.
    pub(super) fn prefix(&self) -> &'a [u8] {
        self.prefix
    }

    /// An entry.
    pub(super) fn entry(&self, i: usize) -> BlockEntry<'a> {
        let at = small_at(self.bytes, BLOCK_HEAD_BYTES + 4 * i) as usize;
        let (rest, value) = (short_at(self.bytes, at), small_at(self.bytes, at + 2));
        let key = at + ENTRY_HEAD_BYTES;
        let begin = self.begin + key + rest;
        let value = (value != GONE).then(|| (begin, begin + value as usize));
        (&self.bytes[key..key + rest], value)
    }

    /// The first entry whose key is not before this one, and whether it is this one.
    pub(super) fn find(&self, key: &[u8]) -> (usize, bool) {
        let head = key.len().min(self.prefix.len());
        match key[..head].cmp(&self.prefix[..head]) {
            Ordering::Less => return (0, false),
            Ordering::Greater => return (self.count, false),
            Ordering::Equal if head < self.prefix.len() => return (0, false),
            Ordering::Equal => {}
        }
        let rest = &key[head..];
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.entry(middle).0.cmp(rest) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return (middle, true),
                Ordering::Greater => high = middle,
            }
        }
        (low, false)
    }
}

/// What is on the disk is not what was written.
pub(super) fn damage(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

fn small_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn short_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(
        bytes[at..at + 2].try_into().expect("2 bytes"),
    ))
}
