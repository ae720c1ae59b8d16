//! Runs read as one: in order of the keys, of each key what the newest run says.

use std::io;
use std::sync::Arc;

use super::build::{Builder, Sink};
use super::run::Run;

/// Entries between two questions whether to go on.
const ASKED_ENTRIES: u64 = 4096;
/// Who reads a run in order reads so far ahead at first, and twice as far each time, up to the latter.
const AHEAD_BYTES: std::ops::RangeInclusive<usize> = (32 << 10)..=(1 << 20);

/// A place in a run.
#[derive(Debug)]
pub(super) struct Cursor {
    run: Arc<Run>,
    /// Higher: newer.
    age: usize,
    block: usize,
    entry: usize,
    entries: usize,
    /// The key here.
    key: Vec<u8>,
    prefix_bytes: usize,
    /// Where its value is; none: deleted.
    value: Option<(usize, usize)>,
    ahead: Ahead,
}

/// What of a run was asked for before it is read.
#[derive(Debug)]
struct Ahead {
    /// Blocks before this one.
    to: usize,
    /// More is asked for when this one is reached.
    at: usize,
    /// So many bytes then.
    bytes: usize,
}

impl Cursor {
    /// At the first key that is not before `from`; none: there is no such key.
    fn at(run: Arc<Run>, age: usize, from: &[u8]) -> io::Result<Option<Cursor>> {
        let mut cursor = Cursor {
            block: run.block_of(from),
            run,
            age,
            entry: 0,
            entries: 0,
            key: Vec::new(),
            prefix_bytes: 0,
            value: None,
            ahead: Ahead {
                to: 0,
                at: 0,
                bytes: *AHEAD_BYTES.start(),
            },
        };
        cursor.read_ahead();
        let block = cursor.run.block(cursor.block, false)?;
        cursor.entry = block.find(from).0;
        cursor.entries = block.count();
        cursor.key.extend_from_slice(block.prefix());
        cursor.prefix_bytes = block.prefix().len();
        let there = cursor.settle()?;
        Ok(there.then_some(cursor))
    }

    /// Goes to the next key; whether there is one.
    fn advance(&mut self) -> io::Result<bool> {
        self.entry += 1;
        self.settle()
    }

    /// Has the disk read what comes next while what is here is read.
    fn read_ahead(&mut self) {
        if self.block < self.ahead.at {
            return;
        }
        let from = self.ahead.to.max(self.block);
        if from == self.run.blocks() {
            self.ahead.at = from;
            return;
        }
        let to = self.run.block_after(from, self.ahead.bytes);
        self.run.read_ahead(self.run.range(from, to));
        self.ahead = Ahead {
            to,
            at: from + (to - from).div_ceil(2),
            bytes: (2 * self.ahead.bytes).min(*AHEAD_BYTES.end()),
        };
    }

    /// Reads the entry here, or the first one of the next block.
    fn settle(&mut self) -> io::Result<bool> {
        let mut verified = true;
        if self.entry >= self.entries {
            self.block += 1;
            if self.block >= self.run.blocks() {
                return Ok(false);
            }
            self.entry = 0;
            verified = false;
            self.read_ahead();
        }
        let block = self.run.block(self.block, verified)?;
        if !verified {
            self.entries = block.count();
            self.key.clear();
            self.key.extend_from_slice(block.prefix());
            self.prefix_bytes = block.prefix().len();
        }
        let (rest, value) = block.entry(self.entry);
        self.key.truncate(self.prefix_bytes);
        self.key.extend_from_slice(rest);
        self.value = value;
        Ok(true)
    }

    /// Whether it is to be read before another one.
    fn is_before(&self, other: &Cursor) -> bool {
        match self.key.cmp(&other.key) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Equal => self.age > other.age,
            std::cmp::Ordering::Greater => false,
        }
    }
}

/// Several runs read as one.
#[derive(Debug)]
pub(super) struct Merged {
    /// In the order of their keys; of equal ones the newest run first.
    #[expect(clippy::vec_box, reason = "cursors change places all the time")]
    cursors: Vec<Box<Cursor>>,
}

/// An entry: key, run, and where its value is in it; none: deleted.
pub(super) type Merge<'a> = (&'a [u8], &'a Run, Option<(usize, usize)>);

impl Merged {
    /// Of runs, the oldest first, from a key on.
    pub(super) fn new<'a>(
        runs: impl IntoIterator<Item = &'a Arc<Run>>,
        from: &[u8],
    ) -> io::Result<Merged> {
        let mut merged = Merged {
            cursors: Vec::new(),
        };
        for (age, run) in runs.into_iter().enumerate() {
            if let Some(cursor) = Cursor::at(run.clone(), age, from)? {
                merged.insert(Box::new(cursor));
            }
        }
        Ok(merged)
    }

    fn insert(&mut self, cursor: Box<Cursor>) {
        let place = self.cursors.iter().position(|c| cursor.is_before(c));
        let place = place.unwrap_or(self.cursors.len());
        self.cursors.insert(place, cursor);
    }

    /// The entry here; none: there are no more.
    pub(super) fn here(&self) -> Option<Merge<'_>> {
        let first = self.cursors.first()?;
        Some((&first.key, &first.run, first.value))
    }

    /// Goes to the next key.
    pub(super) fn advance(&mut self) -> io::Result<()> {
        let Some((first, rest)) = self.cursors.split_first() else {
            return Ok(());
        };
        let same = rest.iter().take_while(|c| c.key == first.key).count();
        for _ in 0..=same {
            self.advance_first()?;
        }
        Ok(())
    }

    fn advance_first(&mut self) -> io::Result<()> {
        if !self.cursors[0].advance()? {
            self.cursors.remove(0);
            return Ok(());
        }
        let first = &self.cursors[0];
        let before = self.cursors[1..]
            .iter()
            .take_while(|c| c.is_before(first))
            .count();
        self.cursors[..=before].rotate_left(1);
        Ok(())
    }

    /// All that is left, into a run; without what is deleted when nothing is older. Ends as [`io::ErrorKind::Interrupted`]
    /// when it is not to go on.
    pub(super) fn into_run<S: Sink>(
        mut self,
        into: &mut Builder<S>,
        oldest: bool,
        go_on: &dyn Fn() -> bool,
    ) -> io::Result<()> {
        let mut entries = 0;
        while let Some((key, run, value)) = self.here() {
            entries += 1;
            if entries % ASKED_ENTRIES == 0 && !go_on() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            match value {
                Some(value) => into.push(key, Some(&[run.value(value)]))?,
                None if oldest => {}
                None => into.push(key, None)?,
            }
            self.advance()?;
        }
        Ok(())
    }
}
