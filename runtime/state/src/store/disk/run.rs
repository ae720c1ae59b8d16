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
//! The tail, three hundredths of it all, is verified when a file is opened, and stays in memory; a block is each time that it is
//! looked at.

use std::cmp::Ordering;
use std::io;
use std::ops::Range;
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
    /// The blocks, and in memory the tail, too.
    bytes: Buffer,
    tail: Tail,
    file: Option<RunFile>,
}

/// What finds a key. Of a file it is in memory: each look needs it.
#[derive(Debug)]
struct Tail {
    bytes: Buffer,
    /// Where its tables begin; the first one with it.
    fence_ends: usize,
    fences: usize,
    filter: Range<usize>,
    last: Range<usize>,
    blocks: usize,
    entries: u64,
}

/// The numbers that end a run.
#[derive(Debug)]
struct Numbers {
    starts: usize,
    blocks: usize,
    entries: u64,
    fences_bytes: usize,
    filter_bytes: usize,
    last_bytes: usize,
    check: u64,
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
        let tail = Numbers::read(&bytes).and_then(|numbers| {
            let tail = bytes.slice(numbers.starts);
            Tail::new(tail, &numbers)
        });
        Run {
            tail: tail.expect("a run that was made is whole"),
            bytes,
            file: None,
        }
    }

    /// So many bytes of a file; fails where they do not verify.
    pub(super) fn open(file: RunFile, length: u64) -> io::Result<Run> {
        if file.file.len()? < length {
            return Err(cut());
        }
        let mut numbers = [0; NUMBERS_BYTES];
        let numbers_at = length.checked_sub(NUMBERS_BYTES as u64).ok_or_else(cut)?;
        read_exactly(&file, numbers_at, &mut numbers)?;
        let numbers = Numbers::read(&numbers).ok_or_else(cut)?;
        let starts = numbers.starts as u64;
        let tail_bytes = length.checked_sub(starts).ok_or_else(cut)?;
        let mut tail = vec![0; usize::try_from(tail_bytes).map_err(|_| cut())?];
        read_exactly(&file, starts, &mut tail)?;
        if tail.len() < 8 || xxh3_64(&tail[..tail.len() - 8]) != numbers.check {
            return Err(damage("the end of a file does not verify"));
        }
        file.file.scattered()?;
        Ok(Run {
            tail: Tail::new(Buffer::from_vec(tail), &numbers).ok_or_else(cut)?,
            bytes: file.file.view(0, numbers.starts)?,
            file: Some(file),
        })
    }

    /// Its bytes.
    pub(super) fn len(&self) -> u64 {
        (self.blocks_bytes() + self.tail.bytes.len()) as u64
    }

    fn blocks_bytes(&self) -> usize {
        self.start(self.tail.blocks)
    }

    /// Entries in it, deletions among them.
    pub(super) fn entries(&self) -> u64 {
        self.tail.entries
    }

    /// Blocks in it.
    pub(super) fn blocks(&self) -> usize {
        self.tail.blocks
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
        &self.tail.bytes[self.tail.last.clone()]
    }

    /// Whether it may have a key, whose hash is known.
    pub(super) fn may_have(&self, key: &[u8], hash: u64) -> bool {
        self.first_key() <= key
            && key <= self.last_key()
            && filter::may_have(&self.tail.bytes[self.tail.filter.clone()], hash)
    }

    /// Whether it can have keys in a range.
    pub(super) fn reaches(&self, from: &[u8], to: &[u8]) -> bool {
        self.first_key() < to && from <= self.last_key()
    }

    /// The block that would have a key; the first one for keys before all.
    pub(super) fn block_of(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.tail.blocks);
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
        self.fence(block) <= key && (block + 1 == self.tail.blocks || key < self.fence(block + 1))
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
        number_at(&self.tail.bytes, 8 * block) as usize
    }

    fn fence(&self, block: usize) -> &[u8] {
        let tail = &self.tail;
        let end = |block: usize| small_at(&tail.bytes, tail.fence_ends + 4 * block) as usize;
        let begin = if block == 0 { 0 } else { end(block - 1) };
        &tail.bytes[tail.fences + begin..tail.fences + end(block)]
    }

    /// Where blocks are, from this one on up to that one.
    pub(super) fn range(&self, from: usize, to: usize) -> Range<usize> {
        self.start(from)..self.start(to)
    }

    /// The last block, from this one on, that ends at most so many bytes after the beginning of this one, plus one; at
    /// least the next.
    pub(super) fn block_after(&self, block: usize, bytes: usize) -> usize {
        let end = self.start(block) + bytes;
        let (mut low, mut high) = (block + 1, self.tail.blocks);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.start(middle + 1) <= end {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    /// Begins to read bytes from the disk.
    pub(super) fn read_ahead(&self, bytes: Range<usize>) {
        if let Some(file) = &self.file {
            file.file.read_ahead(bytes.start as u64, bytes.len() as u64);
        }
    }

    /// Whether a look into a block would not wait for the disk, as far as is known.
    pub(super) fn is_cached(&self, block: usize) -> bool {
        let file = self.file.as_ref();
        file.is_none_or(|file| file.file.is_cached(self.start(block) as u64))
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

impl Tail {
    /// None: the tables do not come to its bytes.
    fn new(bytes: Buffer, numbers: &Numbers) -> Option<Tail> {
        let fence_ends = numbers.blocks.checked_add(1)?.checked_mul(8)?;
        let fences = fence_ends.checked_add(numbers.blocks.checked_mul(4)?)?;
        let filter = fences.checked_add(numbers.fences_bytes)?;
        let last = filter.checked_add(numbers.filter_bytes)?;
        let end = last.checked_add(numbers.last_bytes)?;
        (end.checked_add(NUMBERS_BYTES)? == bytes.len()).then_some(Tail {
            bytes,
            fence_ends,
            fences,
            filter: filter..last,
            last: last..end,
            blocks: numbers.blocks,
            entries: numbers.entries,
        })
    }
}

impl Numbers {
    /// Of bytes that end with them.
    fn read(bytes: &[u8]) -> Option<Numbers> {
        let at = bytes.len().checked_sub(NUMBERS_BYTES)?;
        let number = |i: usize| number_at(bytes, at + 8 * i);
        let size = |i: usize| usize::try_from(number(i)).ok();
        Some(Numbers {
            starts: size(0)?,
            blocks: size(1)?,
            entries: number(2),
            fences_bytes: size(3)?,
            filter_bytes: size(4)?,
            last_bytes: size(5)?,
            check: number(6),
        })
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

fn read_exactly(file: &RunFile, at: u64, bytes: &mut [u8]) -> io::Result<()> {
    match file.file.read_at(at, bytes)? == bytes.len() {
        true => Ok(()),
        false => Err(cut()),
    }
}

fn cut() -> io::Error {
    damage("a file is cut off")
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
