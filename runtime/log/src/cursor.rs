//! Reading one partition, frame by frame, in order. Frames that were merged are given one by one, as they were appended, or,
//! to who asks for that, together.

use std::sync::Arc;

use crate::frame::header::{self, RawHeader};
use crate::frame::{Frame, FrameKind};
use crate::ids::{Offset, Position, Sequence, Timestamp};
use crate::limits::SEGMENT_HEADER_BYTES;
use crate::schemas::Readings;
use crate::segment::{Gap, Run, Segment};
use crate::{Error, Result};

pub(crate) const START: Position = Position(SEGMENT_HEADER_BYTES);

/// A place in a partition. Holds its segment's map open; cheap to keep.
#[derive(Debug)]
pub struct Cursor {
    run: Arc<Run>,
    /// As which version of the schema frames are read.
    readings: Readings,
    segment: Option<Arc<Segment>>,
    position: Position,
    offset: Offset,
    /// The frame at `position`, read already; of a merged one, what was not passed of it.
    ahead: Option<Frame>,
    /// The frame before `position`, when it was read.
    passed: Option<RawHeader>,
}

impl Cursor {
    /// The next published frame whose sequence is at most `limit` and move past it; `None` when there is none now.
    /// Marks are passed over; ticks are returned. A frame is returned whole even if the cursor was opened in its
    /// middle: the caller skips rows before its offset. Damage is an error, and stays one: a cursor opened behind the
    /// damaged rows reads on.
    pub fn next(&mut self, limit: Sequence) -> Result<Option<Frame>> {
        self.look_ahead()?;
        let ahead = self.ahead.as_ref();
        let first = ahead.map(Frame::first);
        Ok(self.take(first.filter(|f| f.header().sequence <= limit)))
    }

    /// The same, and with it the frames behind it up to `limit` that stand in one merged frame with it.
    pub fn next_merged(&mut self, limit: Sequence) -> Result<Option<Frame>> {
        self.look_ahead()?;
        let ahead = self.ahead.as_ref();
        let part = ahead.and_then(|ahead| ahead.up_to(limit));
        Ok(self.take(part))
    }

    /// Sequence of the frame that [`Cursor::next`] would return with no limit, without moving.
    pub fn peek(&mut self) -> Result<Option<Sequence>> {
        self.look_ahead()?;
        Ok(self.ahead.as_ref().map(Frame::first_sequence))
    }

    /// Offset of the next row.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// Stands on the first frame that ends after `from`, or is without rows at or after it.
    pub(crate) fn at_offset(run: Arc<Run>, readings: Readings, from: Offset) -> Result<Cursor> {
        let mut cursor = Cursor::new(run, readings);
        cursor.enter(|s| s.base <= from, |s| s.index().floor(|b| b.offset < from));
        // After it stands on a segment: what is removed from now on, it has open.
        cursor.run.check_kept(from)?;
        let before = |frame: &Frame| {
            let end = frame.end_offset();
            end < from || end == from && frame.header().rows > 0
        };
        cursor.skip(before, |gap, _| gap.next <= from)?;
        Ok(cursor)
    }

    /// Stands on the first frame with a sequence greater than `after`.
    pub(crate) fn after_sequence(
        run: Arc<Run>,
        readings: Readings,
        after: Sequence,
    ) -> Result<Cursor> {
        let mut cursor = Cursor::new(run.clone(), readings);
        let begins = |s: &Arc<Segment>| first_sequence(s).is_some_and(|first| first <= after);
        cursor.enter(begins, |s| s.index().floor(|b| b.sequence <= after));
        run.check_kept_after(after)?;
        let before = |frame: &Frame| frame.header().sequence <= after;
        cursor.skip(before, |_, next| next.is_some_and(before))?;
        Ok(cursor)
    }

    /// Stands on the first frame that may hold event times from `time` on.
    pub(crate) fn at_time(run: Arc<Run>, readings: Readings, time: Timestamp) -> Result<Cursor> {
        let mut cursor = Cursor::new(run.clone(), readings);
        let segments = run.segments().clone();
        for segment in &segments {
            cursor.segment = Some(segment.clone());
            cursor.offset = segment.end_offset();
            cursor.position = segment.end();
            if let Some(position) = segment.index().seek_time(time) {
                cursor.stand(segment, position);
                break;
            }
        }
        let before = |frame: &Frame| frame.header().times.is_none_or(|(_, max)| max < time);
        cursor.skip(before, |_, _| false)?;
        Ok(cursor)
    }

    /// Largest event time of the kept rows before `end`, where a frame ends. By the sparse index, and the headers of its last
    /// block.
    pub(crate) fn time_max_before(run: Arc<Run>, end: Offset) -> Result<Option<Timestamp>> {
        let segments = run.segments().clone();
        let before = segments.iter().filter(|s| s.base < end);
        let blocks = before.filter_map(|s| s.index().time_max_before(end)).max();
        let readings = run.readings();
        let mut cursor = Cursor::new(run, readings);
        cursor.enter(|s| s.base < end, |s| s.index().floor(|b| b.offset < end));
        let mut max = blocks;
        while cursor.offset < end {
            cursor.look_ahead()?;
            let first = cursor.ahead.as_ref().map(Frame::first);
            let Some(frame) = cursor.take(first) else {
                break;
            };
            max = max.max(frame.header().times.map(|(_, max)| max));
        }
        Ok(max)
    }

    /// Stands on the first frame that was appended at `time` or later.
    pub(crate) fn at_append_time(
        run: Arc<Run>,
        readings: Readings,
        time: Timestamp,
    ) -> Result<Cursor> {
        let mut cursor = Cursor::new(run.clone(), readings);
        let segments = run.segments().clone();
        let sealed_before = |s: &&Arc<Segment>| s.last_time() < time;
        let passed = segments.iter().take_while(sealed_before).count();
        if let Some(segment) = segments.get(passed).or(segments.last()) {
            cursor.stand(segment, START);
        }
        let before = |frame: &Frame| frame.header().append_time < time;
        cursor.skip(before, |_, next| next.is_some_and(before))?;
        Ok(cursor)
    }

    fn new(run: Arc<Run>, readings: Readings) -> Cursor {
        Cursor {
            offset: run.start(),
            run,
            readings,
            segment: None,
            position: START,
            ahead: None,
            passed: None,
        }
    }

    /// Goes to the last segment that `begins` says is early enough, and into it by its index.
    fn enter(
        &mut self,
        begins: impl Fn(&Arc<Segment>) -> bool,
        floor: impl Fn(&Segment) -> Option<Position>,
    ) {
        let segments = self.run.segments().clone();
        // A segment that has no frame yet is early enough for nobody.
        let last = segments.iter().rposition(begins).unwrap_or(0);
        let Some(segment) = segments.get(last) else {
            return;
        };
        let position = floor(segment).unwrap_or(START);
        self.stand(segment, position);
    }

    /// Stands at `position`, where a block of the index begins.
    fn stand(&mut self, segment: &Arc<Segment>, position: Position) {
        self.segment = Some(segment.clone());
        self.position = position;
        self.offset = match segment.index().block_at(position) {
            Some(block) if position > START => block.offset,
            _ => segment.base,
        };
        if position == START || segment.index().block_at(position).is_none() {
            self.position = START;
        }
    }

    /// Passes frames while `skips` says so, and damage where `passes` does. Other damage is told when it is read into,
    /// not when something behind it is looked for.
    fn skip(
        &mut self,
        skips: impl Fn(&Frame) -> bool,
        passes: impl Fn(&Gap, Option<&Frame>) -> bool,
    ) -> Result<()> {
        loop {
            match self.look_ahead() {
                Ok(()) => {}
                Err(Error::Damaged { .. }) if self.pass_gap(&passes) => continue,
                Err(Error::Damaged { .. }) => return Ok(()),
                Err(e) => return Err(e),
            }
            let first = self.ahead.as_ref().map(Frame::first);
            if self.take(first.filter(|f| skips(f))).is_none() {
                return Ok(());
            }
        }
    }

    /// Passes over damage that lies wholly before what is looked for.
    fn pass_gap(&mut self, passes: &impl Fn(&Gap, Option<&Frame>) -> bool) -> bool {
        let gap = self
            .segment
            .as_ref()
            .and_then(|s| Some((s.clone(), s.gap_at(self.position)?)));
        let Some((segment, gap)) = gap.filter(|(_, gap)| gap.to > gap.from) else {
            return false;
        };
        let after = self.frame_at(&segment, gap.to, gap.next).ok().flatten();
        let passed = passes(&gap, after.map(|frame| frame.first()).as_ref());
        if passed {
            self.position = gap.to;
            self.offset = gap.next;
        }
        passed
    }

    /// Whether the damage at `position` is proved to be a mark: then nothing is lost. A mark follows from the frame
    /// before it, and the frame after it names its check.
    fn pass_mark(&mut self, segment: &Arc<Segment>) -> bool {
        let (Some(passed), Some(gap)) = (&self.passed, segment.gap_at(self.position)) else {
            return false;
        };
        let mark = header::mark_after(passed);
        if gap.from != passed.end() || gap.to != mark.end() || gap.next != gap.first {
            return false;
        }
        let after = self.frame_at(segment, gap.to, gap.next).ok().flatten();
        let proved = after.is_some_and(|frame| frame.raw().place.previous == mark.check);
        if proved {
            self.position = gap.to;
            self.passed = Some(mark);
        }
        proved
    }

    fn frame_at(
        &mut self,
        segment: &Arc<Segment>,
        position: Position,
        expected: Offset,
    ) -> Result<Option<Frame>> {
        self.run
            .frame_at(segment, position, expected, &mut self.readings)
    }

    /// Moves past a part that the frame ahead begins with.
    fn take(&mut self, part: Option<Frame>) -> Option<Frame> {
        let part = part?;
        let ahead = self.ahead.take()?;
        match ahead.behind(&part) {
            None => self.pass(&ahead),
            Some(rest) => {
                self.offset = rest.header().base_offset;
                self.ahead = Some(rest);
            }
        }
        Some(part)
    }

    fn pass(&mut self, frame: &Frame) {
        self.passed = Some(frame.raw().clone());
        self.position = frame.raw().end();
        self.offset = frame.raw().end_offset();
    }

    /// Reads the next frame that is no mark into `ahead`.
    fn look_ahead(&mut self) -> Result<()> {
        while self.ahead.is_none() {
            let Some(frame) = self.read()? else {
                return Ok(());
            };
            if frame.header().kind == FrameKind::Mark {
                self.pass(&frame);
            } else {
                self.ahead = Some(frame);
            }
        }
        Ok(())
    }

    /// The frame at `position`, in this segment or the next.
    fn read(&mut self) -> Result<Option<Frame>> {
        loop {
            let Some(segment) = self.segment.clone() else {
                let first = self.run.segments().first().cloned();
                let Some(first) = first else {
                    return Ok(None);
                };
                self.stand(&first, START);
                continue;
            };
            let next = self
                .run
                .segments()
                .iter()
                .find(|s| s.base > segment.base)
                .cloned();
            match self.frame_at(&segment, self.position, self.offset) {
                Ok(None) => {}
                Err(Error::Damaged { .. }) if self.pass_mark(&segment) => continue,
                result => return result,
            }
            // The next segment was seen before this one was found to end: this one grows no more.
            let Some(next) = next else {
                return Ok(None);
            };
            if next.base > segment.end_offset() {
                return Err(self.run.removed_before(next.base));
            }
            self.stand(&next, START);
        }
    }
}

fn first_sequence(segment: &Segment) -> Option<Sequence> {
    segment.index().first_sequence()
}
