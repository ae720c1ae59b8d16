//! What is remembered of frames so that they need not be read again: the sparse index of a segment, the past of a run,
//! and both together as the footer of a sealed segment. All of it can be rebuilt from the frames.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::frame::header::RawHeader;
use crate::frame::{FrameHeader, FrameKind};
use crate::ids::{Offset, Position, Sequence, Timestamp};
use crate::limits::INDEX_BLOCK_BYTES;

/// One entry of the sparse index: frames from `position` up to the next entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    pub(crate) position: Position,
    pub(crate) offset: Offset,
    /// Of its first appended frame.
    pub(crate) sequence: Sequence,
    /// Largest event time in the block.
    pub(crate) time_max: Option<Timestamp>,
}

/// The sparse index of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index {
    blocks: Vec<Block>,
}

impl Index {
    /// Takes note of the next frame of the segment.
    pub(crate) fn note(&mut self, raw: &RawHeader) {
        let position = raw.place.position;
        let open = |b: &Block| position.0 - b.position.0 < INDEX_BLOCK_BYTES;
        if !self.blocks.last().is_some_and(open) {
            self.blocks.push(Block {
                position,
                offset: raw.header.base_offset,
                sequence: raw.first_sequence(),
                time_max: None,
            });
        }
        if let (Some(block), Some((_, max))) = (self.blocks.last_mut(), raw.header.times) {
            block.time_max = block.time_max.max(Some(max));
        }
    }

    /// Start of the last block whose first frame `before` says is before what is looked for.
    pub(crate) fn floor(&self, before: impl Fn(&Block) -> bool) -> Option<Position> {
        let after = self.blocks.partition_point(before);
        Some(self.blocks.get(after.checked_sub(1)?)?.position)
    }

    /// The block that begins there.
    pub(crate) fn block_at(&self, position: Position) -> Option<Block> {
        let at = self
            .blocks
            .binary_search_by_key(&position, |b| b.position)
            .ok()?;
        Some(self.blocks[at].clone())
    }

    /// Sequence of the first frame.
    pub(crate) fn first_sequence(&self) -> Option<Sequence> {
        self.blocks.first().map(|b| b.sequence)
    }

    /// Largest event time.
    pub(crate) fn time_max(&self) -> Option<Timestamp> {
        self.blocks.iter().filter_map(|b| b.time_max).max()
    }

    /// Largest event time of the blocks that end at or before `end`.
    pub(crate) fn time_max_before(&self, end: Offset) -> Option<Timestamp> {
        let begun = self.blocks.partition_point(|b| b.offset < end);
        let whole = &self.blocks[..begun.saturating_sub(1)];
        whole.iter().filter_map(|b| b.time_max).max()
    }

    /// Start of the first block that may hold event times ≥ `time`.
    pub(crate) fn seek_time(&self, time: Timestamp) -> Option<Position> {
        let holds = |b: &&Block| b.time_max.is_some_and(|max| max >= time);
        Some(self.blocks.iter().find(holds)?.position)
    }
}

/// What a run's writer must know of all frames so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Past {
    /// Of the last frame.
    pub(crate) sequence: Sequence,
    /// Of the last frame.
    pub(crate) append_time: Option<Timestamp>,
    /// Append time of the last frame with rows.
    pub(crate) data_time: Option<Timestamp>,
    /// Whether a tick came after the last rows.
    pub(crate) ticked: bool,
    /// Largest event time.
    pub(crate) time_max: Option<Timestamp>,
    /// Highest input row number of each producer, by the hash of its name.
    pub(crate) producers: BTreeMap<u64, u64>,
}

impl Past {
    /// Takes note of the next frame.
    pub(crate) fn note(&mut self, raw: &RawHeader) {
        raw.each().for_each(|header| self.pass(&header));
    }

    fn pass(&mut self, header: &FrameHeader) {
        self.sequence = self.sequence.max(header.sequence);
        self.append_time = self.append_time.max(Some(header.append_time));
        match header.kind {
            FrameKind::Tick => self.ticked = true,
            FrameKind::Mark => {}
            FrameKind::Rows | FrameKind::Close => {
                self.ticked = false;
                self.data_time = Some(header.append_time);
            }
        }
        self.time_max = self.time_max.max(header.times.map(|(_, max)| max));
        if header.producer != 0 {
            let highest = self.producers.entry(header.producer).or_default();
            *highest = header.producer_row.max(*highest);
        }
    }
}

/// The footer of a sealed segment, kept in a file beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Footer {
    pub(crate) epoch: u64,
    pub(crate) end: Position,
    pub(crate) end_offset: Offset,
    pub(crate) past: Past,
    pub(crate) index: Index,
}
