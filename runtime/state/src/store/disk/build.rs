//! Makes runs: entries in order of their keys, in blocks, and behind them what finds a key ([`super::run`] draws the bytes).

use std::io;
use std::sync::Arc;

use arrow_buffer::Buffer;
use refrain_log::checksum::crc32c;
use refrain_log::storage::File;
use xxhash_rust::xxh3::xxh3_64;

use super::filter;
use super::run::{BLOCK_HEAD_BYTES, CHECK_BYTES, GONE, Run};

/// A block is full when its keys and values have come to this.
const BLOCK_BYTES: usize = 4 << 10;
/// Bytes that are written to a file at once.
const WRITE_BYTES: usize = 1 << 20;
/// Bytes after which they are made durable: a sync of much more would keep those of commits waiting.
const SYNC_BYTES: u64 = 16 << 20;

/// Where the bytes of a run go.
pub(super) trait Sink {
    /// Appends bytes.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
}

impl Sink for Vec<u8> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// A new file.
#[derive(Debug)]
pub(super) struct FileSink {
    file: Arc<dyn File>,
    written: u64,
    buffer: Vec<u8>,
}

impl FileSink {
    pub(super) fn new(file: Arc<dyn File>) -> FileSink {
        FileSink {
            file,
            written: 0,
            buffer: Vec::with_capacity(2 * WRITE_BYTES),
        }
    }

    /// Writes what was appended last, and makes all of it durable.
    pub(super) fn end(mut self) -> io::Result<Arc<dyn File>> {
        self.write()?;
        self.file.sync()?;
        Ok(self.file)
    }

    fn write(&mut self) -> io::Result<()> {
        let end = self.written + self.buffer.len() as u64;
        self.file.allocate(end)?;
        self.file.write_at(self.written, &[&self.buffer])?;
        if end / SYNC_BYTES > self.written / SYNC_BYTES {
            self.file.sync()?;
        }
        self.written = end;
        self.buffer.clear();
        Ok(())
    }
}

impl Sink for FileSink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        match self.buffer.len() < WRITE_BYTES {
            true => Ok(()),
            false => self.write(),
        }
    }
}

/// A run on its way.
#[derive(Debug)]
pub(super) struct Builder<S> {
    sink: S,
    /// Bytes appended.
    at: u64,
    /// Blocks get their check. What stays in memory needs none.
    checked: bool,
    entries: u64,
    block: Block,
    /// Where blocks begin.
    starts: Vec<u64>,
    /// What keys of each block begin at, end to end.
    fences: Vec<u8>,
    fence_ends: Vec<u32>,
    filter: Vec<u8>,
    /// Last key of the block before.
    last: Vec<u8>,
}

/// The block that is filled.
#[derive(Debug, Default)]
struct Block {
    keys: Vec<u8>,
    key_ends: Vec<usize>,
    values: Vec<u8>,
    /// Where values end; whether the key is deleted.
    value_ends: Vec<(usize, bool)>,
    bytes: Vec<u8>,
}

impl Builder<Vec<u8>> {
    /// A run in memory, of at most so many entries.
    pub(super) fn in_memory(entries_max: u64) -> Self {
        Builder::new(Vec::new(), false, entries_max)
    }

    /// The run; none: it has no entries.
    pub(super) fn finish_in_memory(self) -> Option<Run> {
        if self.is_empty() {
            return None;
        }
        let (bytes, _) = self.finish().expect("memory takes all");
        Some(Run::in_memory(Buffer::from_vec(bytes)))
    }
}

impl<S: Sink> Builder<S> {
    /// A run of at most so many entries.
    pub(super) fn new(sink: S, checked: bool, entries_max: u64) -> Self {
        Builder {
            sink,
            at: 0,
            checked,
            entries: 0,
            block: Block::default(),
            starts: Vec::new(),
            fences: Vec::new(),
            fence_ends: Vec::new(),
            filter: filter::empty(entries_max),
            last: Vec::new(),
        }
    }

    /// Adds an entry, whose key comes after all before it; the parts are its value end to end, none: the key is deleted.
    pub(super) fn push(&mut self, key: &[u8], value: Option<&[&[u8]]>) -> io::Result<()> {
        debug_assert!(
            self.block.key_ends.is_empty() || self.block.last_key() < key,
            "keys are in order"
        );
        filter::add(&mut self.filter, filter::hash_of(key));
        self.block.push(key, value);
        match self.block.len() < BLOCK_BYTES {
            true => Ok(()),
            false => self.end_block(),
        }
    }

    /// Whether nothing was added.
    pub(super) fn is_empty(&self) -> bool {
        self.starts.is_empty() && self.block.key_ends.is_empty()
    }

    fn end_block(&mut self) -> io::Result<()> {
        let Some(first) = self.block.first_key() else {
            return Ok(());
        };
        let fence = match self.starts.is_empty() {
            true => first.len(),
            // The shortest beginning of the key that all keys before it come before.
            false => common(&self.last, first) + 1,
        };
        self.fences.extend_from_slice(&first[..fence]);
        self.fence_ends.push(length(self.fences.len()));
        self.last.clear();
        self.last.extend_from_slice(self.block.last_key());
        self.starts.push(self.at);
        self.entries += self.block.key_ends.len() as u64;
        let bytes = self.block.encode(self.checked.then_some(self.at));
        self.at += bytes.len() as u64;
        let appended = self.sink.append(bytes);
        self.block.clear();
        appended
    }

    /// Ends the run: where its bytes went, and how many they are.
    pub(super) fn finish(mut self) -> io::Result<(S, u64)> {
        self.end_block()?;
        let mut tail = Vec::new();
        let starts = self.starts.iter().chain([&self.at]);
        starts.for_each(|start| tail.extend_from_slice(&start.to_le_bytes()));
        let ends = self.fence_ends.iter();
        ends.for_each(|end| tail.extend_from_slice(&end.to_le_bytes()));
        tail.extend_from_slice(&self.fences);
        tail.extend_from_slice(&self.filter);
        tail.extend_from_slice(&self.last);
        let blocks = self.starts.len();
        let numbers = [
            self.at,
            blocks as u64,
            self.entries,
            self.fences.len() as u64,
            self.filter.len() as u64,
            self.last.len() as u64,
        ];
        for number in numbers {
            tail.extend_from_slice(&number.to_le_bytes());
        }
        let check = if self.checked { xxh3_64(&tail) } else { 0 };
        tail.extend_from_slice(&check.to_le_bytes());
        self.sink.append(&tail)?;
        Ok((self.sink, self.at + tail.len() as u64))
    }
}

impl Block {
    fn push(&mut self, key: &[u8], value: Option<&[&[u8]]>) {
        self.keys.extend_from_slice(key);
        self.key_ends.push(self.keys.len());
        for part in value.unwrap_or_default() {
            self.values.extend_from_slice(part);
        }
        self.value_ends.push((self.values.len(), value.is_none()));
    }

    fn len(&self) -> usize {
        self.keys.len() + self.values.len()
    }

    fn first_key(&self) -> Option<&[u8]> {
        self.key_ends.first().map(|end| &self.keys[..*end])
    }

    fn last_key(&self) -> &[u8] {
        let begin = self.key_ends.iter().nth_back(1).map_or(0, |end| *end);
        &self.keys[begin..]
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.key_ends.clear();
        self.values.clear();
        self.value_ends.clear();
    }

    /// Its bytes, with a check when it is known where it begins.
    fn encode(&mut self, checked_at: Option<u64>) -> &[u8] {
        let count = self.key_ends.len();
        let prefix = match count {
            1 => self.keys.len(),
            _ => common(self.first_key().unwrap_or_default(), self.last_key()),
        };
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        bytes.extend_from_slice(&[0; CHECK_BYTES]);
        let short =
            |n: usize| u16::try_from(n).expect("keys of the tree and their number are short");
        bytes.extend_from_slice(&short(count).to_le_bytes());
        bytes.extend_from_slice(&short(prefix).to_le_bytes());
        let table = bytes.len();
        debug_assert_eq!(table, BLOCK_HEAD_BYTES);
        bytes.resize(table + 4 * count, 0);
        bytes.extend_from_slice(&self.keys[..prefix]);
        let (mut key_from, mut value_from) = (0, 0);
        for i in 0..count {
            let begin = length(bytes.len()).to_le_bytes();
            bytes[table + 4 * i..table + 4 * i + 4].copy_from_slice(&begin);
            let rest = &self.keys[key_from + prefix..self.key_ends[i]];
            let (value_end, gone) = self.value_ends[i];
            let value = &self.values[value_from..value_end];
            bytes.extend_from_slice(&short(rest.len()).to_le_bytes());
            let stated = if gone { GONE } else { length(value.len()) };
            bytes.extend_from_slice(&stated.to_le_bytes());
            bytes.extend_from_slice(rest);
            bytes.extend_from_slice(value);
            (key_from, value_from) = (self.key_ends[i], value_end);
        }
        if let Some(at) = checked_at {
            let check = block_check(&bytes[CHECK_BYTES..], at);
            bytes[..CHECK_BYTES].copy_from_slice(&check.to_le_bytes());
        }
        self.bytes = bytes;
        &self.bytes
    }
}

/// The check of a block that begins here: one that stands in the place of another does not verify.
pub(super) fn block_check(rest: &[u8], at: u64) -> u32 {
    crc32c(rest) ^ (at ^ (at >> 32)) as u32
}

/// How many bytes two keys have in common in front.
fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn length(n: usize) -> u32 {
    u32::try_from(n).expect("a value, and the keys that begin blocks, stay below 4 GiB")
}
