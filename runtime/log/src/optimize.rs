//! Sealed segments encoded anew: small frames are merged into large ones, and nothing else changes. Rows, offsets,
//! sequences, append times, producers and origins are what they were, frame by frame ([`crate::frame::runs`]).
//!
//! The new file is written beside the old one, made durable and read back; then it takes the old one's name. Whoever has
//! the old file open reads on in it. So whatever is interrupted, the segment is the old one or the new one, and what is
//! left of a new one that has no name yet goes when the log is opened next.

mod replace;
mod rewrite;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::rewrite::Rewriter;
use crate::cursor::START;
use crate::frame::{Frame, FrameKind};
use crate::ids::{Offset, Position, Sequence};
use crate::limits::{MERGED_BYTES_MAX, MERGED_ROWS_MAX, SEGMENT_HEADER_BYTES};
use crate::log::Log;
use crate::schemas::Readings;
use crate::segment::{Run, Segment};
use crate::topic::Topic;
use crate::{Error, Result};

/// How names of segments end that are being written.
pub(crate) const UNFINISHED: &str = ".merging";

/// What was made of a segment, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Optimized {
    /// Name of its file.
    pub file: String,
    /// First offset in it.
    pub base: Offset,
    /// Rows in it.
    pub rows: u64,
    /// Frames that were in it.
    pub frames: u64,
    /// Frames that are in it now, or would be.
    pub frames_after: u64,
    /// Bytes of frames that were in it.
    pub bytes: u64,
    /// Bytes of frames that are in it now, or would be.
    pub bytes_after: u64,
    /// Whether it was encoded anew.
    pub done: bool,
    /// Where the next segment begins that can be encoded anew; none: there is no other.
    pub next: Option<Offset>,
}

/// What it takes to know of a frame where to put it.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Version of the schema that its columns follow; none: it has no columns.
    version: Option<u32>,
    rows: usize,
    bytes: u64,
    /// Frames that were merged into it, or 1.
    runs: usize,
}

/// Frames that will be one, as far as they have been found.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    version: Option<u32>,
    rows: usize,
    bytes: u64,
    runs: usize,
}

impl Shape {
    fn of(frame: &Frame) -> Shape {
        let header = frame.header();
        let has_columns = frame.raw().regions > 0;
        Shape {
            version: has_columns.then_some(header.schema_version),
            rows: header.rows as usize,
            bytes: frame.bytes(),
            runs: frame.runs().count(),
        }
    }
}

impl Group {
    /// Whether one more frame belongs to it. One that is large enough by itself is left as it is.
    fn takes(&self, next: &Shape) -> bool {
        let same = self.version.is_none() || next.version.is_none() || self.version == next.version;
        self.runs == 0
            || same
                && self.rows + next.rows <= MERGED_ROWS_MAX
                && self.runs + next.runs <= MERGED_ROWS_MAX
                && self.bytes + next.bytes <= MERGED_BYTES_MAX
    }

    fn add(&mut self, next: &Shape) {
        self.version = self.version.or(next.version);
        self.rows += next.rows;
        self.bytes += next.bytes;
        self.runs += next.runs;
    }
}

/// Goes through the frames of a segment as they stand in it. Marks are left out.
struct Walk<'a> {
    run: &'a Run,
    segment: &'a Arc<Segment>,
    readings: Readings,
    position: Position,
    offset: Offset,
}

impl<'a> Walk<'a> {
    fn new(run: &'a Run, segment: &'a Arc<Segment>) -> Walk<'a> {
        Walk {
            run,
            segment,
            readings: run.readings(),
            position: START,
            offset: segment.base,
        }
    }

    fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            let (position, offset) = (self.position, self.offset);
            let found = self
                .run
                .frame_at(self.segment, position, offset, &mut self.readings)?;
            let Some(frame) = found else {
                return Ok(None);
            };
            self.position = frame.raw().end();
            self.offset = frame.raw().end_offset();
            if frame.header().kind != FrameKind::Mark {
                return Ok(Some(frame));
            }
        }
    }
}

/// Frames of a segment, and how many it would have.
fn counted(run: &Run, segment: &Arc<Segment>) -> Result<(u64, u64)> {
    let (mut frames, mut groups) = (0, 0);
    let mut group = Group::default();
    let mut walk = Walk::new(run, segment);
    while let Some(frame) = walk.next()? {
        let shape = Shape::of(&frame);
        if frames == 0 || !group.takes(&shape) {
            (group, groups) = (Group::default(), groups + 1);
        }
        group.add(&shape);
        frames += 1;
    }
    Ok((frames, groups))
}

/// Whether it is worth to write a segment anew: half of its frames go.
fn is_worth(frames: u64, groups: u64) -> bool {
    frames >= 2 * groups && groups > 0
}

impl Run {
    /// Encodes a sealed segment anew, where that is worth it; `step` is called now and then, and says whether to go on.
    /// None: it was not to go on, or the segment is gone meanwhile.
    fn optimize(
        &self,
        segment: &Arc<Segment>,
        dry_run: bool,
        step: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Optimized>> {
        let (frames, groups) = counted(self, segment)?;
        let bytes = segment.end().0 - SEGMENT_HEADER_BYTES;
        let mut told = Optimized {
            file: segment.name.to_string(),
            base: segment.base,
            rows: segment.end_offset().0 - segment.base.0,
            frames,
            frames_after: frames,
            bytes,
            bytes_after: bytes,
            done: false,
            next: None,
        };
        if !is_worth(frames, groups) {
            segment.settle();
            return Ok(Some(told));
        }
        let rewriter = match dry_run {
            true => Rewriter::dry(self, segment),
            false => Rewriter::begin(self, segment)?,
        };
        let written = rewriter.write(None, segment.end_offset(), step);
        let written = written.inspect_err(|_| self.remove_unfinished(segment.base))?;
        let Some(written) = written else {
            self.remove_unfinished(segment.base);
            return Ok(None);
        };
        told.frames_after = written.frames;
        told.bytes_after = written.bytes;
        let Some(new) = written.segment else {
            return Ok(Some(told));
        };
        if !step() {
            self.remove_unfinished(segment.base);
            return Ok(None);
        }
        new.settle();
        told.done = self.replace(segment, new)?;
        Ok(Some(told).filter(|told| told.done))
    }

    /// Encodes the frames of a segment up to a sequence anew, under its name: what comes after it was never committed.
    /// Nobody reads or writes the run.
    pub(crate) fn cut_merged(
        &self,
        segment: &Arc<Segment>,
        cut: Sequence,
        end: Offset,
    ) -> Result<()> {
        let rewriter = Rewriter::begin(self, segment)?;
        rewriter.write(Some(cut), end, &mut || true)?;
        self.take_name(segment.base)?;
        self.sync_names()
    }
}

impl Topic {
    /// First offsets of the segments of a partition that take no appends and may have small frames.
    pub fn unsettled(&self, partition: u32) -> Result<Vec<Offset>> {
        let run = &self.partition(partition)?.run;
        let segments = run.segments();
        let sealed = &segments[..segments.len().saturating_sub(1)];
        let unsettled = sealed.iter().filter(|s| !s.is_settled());
        Ok(unsettled.map(|s| s.base).collect())
    }
}

impl Log {
    /// Merges the small frames of the first segment of a partition that begins at or after `from` and takes no appends;
    /// none: there is no such segment any more, or `step`, which is called now and then and may rest, said not to go on.
    /// Readers do not notice, and appends do not wait. A segment whose frames are large is left as it is; with `dry_run`
    /// every one is. One at a time.
    ///
    /// After an error the segment is as it was. [`Error::Damaged`]: it has damage, and stays as it is for that.
    pub fn optimize(
        &self,
        topic: &str,
        partition: u32,
        from: Offset,
        dry_run: bool,
        step: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Optimized>> {
        let topic = self.core.topic(topic)?;
        let run = topic.partition(partition)?.run.clone();
        let _one = self.core.optimizing();
        let (segment, next) = {
            let segments = run.segments();
            let sealed = &segments[..segments.len().saturating_sub(1)];
            let mut rest = sealed.iter().filter(|s| s.base >= from);
            let Some(segment) = rest.next().cloned() else {
                return Ok(None);
            };
            (segment, rest.next().map(|s| s.base))
        };
        let told = run.optimize(&segment, dry_run, step);
        if matches!(told, Err(Error::Damaged { .. })) {
            segment.settle();
        }
        // Part by part, so that no sync waits for the blocks of a whole file.
        if let Some(old) = Arc::into_inner(segment) {
            old.file.free(&run.folder);
        }
        Ok(told?.map(|told| Optimized { next, ..told }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grouped(shapes: &[Shape]) -> Vec<usize> {
        let mut counts = Vec::new();
        let mut group = Group::default();
        for shape in shapes {
            if counts.is_empty() || !group.takes(shape) {
                counts.push(0);
                group = Group::default();
            }
            group.add(shape);
            *counts.last_mut().unwrap() += 1;
        }
        counts
    }

    #[test]
    fn frames_are_merged_up_to_a_size_and_within_a_version() {
        let of = |version, rows| Shape {
            version,
            rows,
            bytes: rows as u64 * 100,
            runs: 1,
        };
        let one = |rows| of(Some(1), rows);
        let tick = of(None, 0);
        assert!(grouped(&[]).is_empty());
        assert_eq!(grouped(&[one(10), one(10), tick, one(1)]), [4]);
        assert_eq!(grouped(&[tick, tick]), [2]);
        // A tick has no columns: it goes with any version.
        let versions = [one(10), tick, of(Some(2), 10), tick, of(Some(2), 1)];
        assert_eq!(grouped(&versions), [2, 3]);
        // A large frame stays by itself.
        let large = MERGED_ROWS_MAX;
        assert_eq!(grouped(&[one(large - 1), one(1), one(1)]), [2, 1]);
        assert_eq!(grouped(&[one(large + 5), one(1), one(large)]), [1, 1, 1]);
        // So does one of large rows.
        let wide = Shape {
            bytes: MERGED_BYTES_MAX - 2000,
            ..one(10)
        };
        assert_eq!(grouped(&[wide, one(10), one(11)]), [2, 1]);
        // Runs are bounded where there are no rows.
        let ticks = Shape {
            runs: MERGED_ROWS_MAX - 1,
            ..tick
        };
        assert_eq!(grouped(&[ticks, tick, tick]), [2, 1]);
        assert!(is_worth(10, 5) && !is_worth(9, 5) && !is_worth(1, 1) && !is_worth(0, 0));
    }
}
