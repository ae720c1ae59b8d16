//! The new file of a segment: frames go in as they are or merged, each with its place in it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_select::concat::concat;
use xxhash_rust::xxh3::xxh3_64;

use super::{Group, Shape, Walk};
use crate::columns::{self, Payload};
use crate::frame::header::{self, Format, Place, RawHeader, SegmentHeader, frame_bytes};
use crate::frame::{Frame, FrameHeader, FrameKind, FrameRun, origins, runs};
use crate::ids::{Offset, Position, Sequence};
use crate::limits::{OPTIMIZE_STEP_BYTES, SEGMENT_HEADER_BYTES};
use crate::scan;
use crate::segment::{Run, Segment};
use crate::{Error, Result};

/// What was written, or would have been.
pub(super) struct Written {
    /// As readers will see it; none: nothing was to be written.
    pub(super) segment: Option<Segment>,
    /// Frames.
    pub(super) frames: u64,
    /// Bytes of them.
    pub(super) bytes: u64,
}

/// Writes the frames of a segment anew.
pub(super) struct Rewriter<'a> {
    run: &'a Run,
    from: &'a Arc<Segment>,
    path: PathBuf,
    epoch: u64,
    /// Of the last frame, or of the segment's header.
    check: u32,
    end: Position,
    end_offset: Offset,
    synced: Position,
    /// As readers will see it; none: nothing is written.
    segment: Option<Segment>,
    frames: u64,
    bytes: u64,
}

impl<'a> Rewriter<'a> {
    /// Writes nothing, and says what would be written.
    pub(super) fn dry(run: &'a Run, from: &'a Arc<Segment>) -> Rewriter<'a> {
        Rewriter {
            path: run.path(&Run::unfinished_name(from.base)),
            run,
            from,
            epoch: next_epoch(run, from),
            check: 0,
            end: Position(SEGMENT_HEADER_BYTES),
            end_offset: from.base,
            synced: Position(0),
            segment: None,
            frames: 0,
            bytes: 0,
        }
    }

    /// Begins the file, which has another name than the segment as yet.
    pub(super) fn begin(run: &'a Run, from: &'a Arc<Segment>) -> Result<Rewriter<'a>> {
        let mut rewriter = Rewriter::dry(run, from);
        run.remove_unfinished(from.base);
        let header = SegmentHeader {
            format: Format::Merged,
            epoch: rewriter.epoch,
            base: from.base,
            topic: xxh3_64(run.name.topic.as_bytes()),
            partition: run.name.partition,
        };
        let (head, check) = header.write();
        let begun = run.storage.create(&rewriter.path).and_then(|file| {
            file.allocate(SEGMENT_HEADER_BYTES)?;
            file.write_at(0, &[&head])?;
            Ok(file)
        });
        let file = begun.map_err(|e| rewriter.failed("write", e))?;
        rewriter.segment = Some(Segment::new(from.base, rewriter.epoch, file));
        rewriter.check = check;
        Ok(rewriter)
    }

    /// Writes the frames of the old file, up to a sequence, and makes them durable; they end with the row before `end`.
    /// None: it was not to go on.
    pub(super) fn write(
        mut self,
        limit: Option<Sequence>,
        end: Offset,
        step: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Written>> {
        if !self.write_frames(limit, step)? {
            return Ok(None);
        }
        let (frames, bytes) = (self.frames, self.bytes);
        Ok(Some(Written {
            segment: self.finish(end)?,
            frames,
            bytes,
        }))
    }

    /// Whether it came to their end.
    fn write_frames(
        &mut self,
        limit: Option<Sequence>,
        step: &mut dyn FnMut() -> bool,
    ) -> Result<bool> {
        let limit = limit.unwrap_or(Sequence(u64::MAX));
        let mut walk = Walk::new(self.run, self.from);
        let (mut shape, mut group) = (Group::default(), Vec::new());
        while let Some(frame) = walk.next()? {
            let Some(frame) = frame.up_to(limit) else {
                break;
            };
            let next = Shape::of(&frame);
            if !shape.takes(&next) {
                self.put(&group)?;
                (shape, group) = (Group::default(), Vec::new());
                if !self.rest(step)? {
                    return Ok(false);
                }
            }
            shape.add(&next);
            group.push(frame);
        }
        self.put(&group)?;
        Ok(true)
    }

    /// Makes what was written durable, and lets others have the disk, when enough was written.
    fn rest(&mut self, step: &mut dyn FnMut() -> bool) -> Result<bool> {
        if self.end.0 - self.synced.0 < OPTIMIZE_STEP_BYTES {
            return Ok(true);
        }
        if let Some(new) = &self.segment {
            new.file.sync().map_err(|e| self.failed("sync", e))?;
        }
        self.synced = self.end;
        Ok(step())
    }

    /// Writes frames as one.
    fn put(&mut self, group: &[Frame]) -> Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        let origins = group.iter().any(|frame| frame.raw().origins);
        let payload = match group {
            [one] if one.is_whole() => one.payload()?,
            _ => merged(group)?,
        };
        let runs = runs_of(group);
        let version = group.iter().map(|frame| frame.header().schema_version);
        let header = header_of(&runs, version.max().unwrap_or(1), self.end_offset);
        // The file has no name before all of it is durable: whoever reads a frame may know that it was.
        let place = |bytes: u64| Place {
            epoch: self.epoch,
            position: self.end,
            durable: Position(self.end.0 + bytes),
            previous: self.check,
        };
        let bytes = frame_bytes(&payload);
        let (head, raw) = match runs.len() {
            1 => {
                let place = place(bytes);
                let (head, check) = header::write(&header, &place, &payload, origins);
                (
                    head,
                    RawHeader::plain(header, place, &payload, origins, check),
                )
            }
            _ => {
                let runs = runs::encode(runs);
                let place = place(bytes + runs.padded());
                header::write_merged(header, place, &payload, origins, &runs)
            }
        };
        self.frames += 1;
        self.bytes += raw.end().0 - raw.place.position.0;
        self.append(&[&head, payload.columns()], raw)
    }

    fn append(&mut self, parts: &[&[u8]], raw: RawHeader) -> Result<()> {
        if let Some(new) = &self.segment {
            let written = new.file.allocate(raw.end().0);
            let written = written.and_then(|()| new.file.write_at(self.end.0, parts));
            written.map_err(|e| self.failed("write", e))?;
            new.note(&raw);
        }
        self.check = raw.check;
        self.end = raw.end();
        self.end_offset = raw.end_offset();
        Ok(())
    }

    /// Makes the file durable and reads it back. It ends with the row before `end`. None: nothing was to be written.
    fn finish(mut self, end: Offset) -> Result<Option<Segment>> {
        let Some(new) = self.segment.take() else {
            return Ok(None);
        };
        new.file.sync().map_err(|e| self.failed("sync", e))?;
        let checked = scan::check(&*new.file, new.base, self.end);
        let checked = checked.map_err(|e| self.failed("read", e))?;
        if checked.end != end || self.end_offset != end || !checked.flaws.is_empty() {
            let what = format!(
                "it ends at row {} and not {end}: {:?}",
                checked.end, checked.flaws
            );
            let e = io::Error::new(io::ErrorKind::InvalidData, what);
            return Err(self.failed("read back", e));
        }
        new.publish(self.end, self.end_offset);
        Ok(Some(new))
    }

    fn failed(&self, action: &'static str, e: io::Error) -> Error {
        self.run.io(action, &self.path, e)
    }
}

/// Tells the new file from the old one.
fn next_epoch(run: &Run, from: &Segment) -> u64 {
    let seed = format!("{} {} {} merged", run.name, from.base, from.epoch);
    xxh3_64(seed.as_bytes()).max(1)
}

/// The appended frames of a group, one after another.
fn runs_of(group: &[Frame]) -> Vec<FrameRun> {
    let mut all = Vec::new();
    let mut start = 0;
    for frame in group {
        all.extend(frame.runs().map(|run| FrameRun {
            rows_end: start + run.rows_end,
            ..run
        }));
        start += frame.header().rows;
    }
    all
}

/// The header of them all.
fn header_of(runs: &[FrameRun], schema_version: u32, base_offset: Offset) -> FrameHeader {
    let last = runs.last().expect("a frame has a run");
    let times = runs.iter().filter_map(|run| run.times);
    FrameHeader {
        kind: match runs {
            [one] => one.kind,
            _ => FrameKind::Rows,
        },
        schema_version,
        rows: last.rows_end,
        base_offset,
        sequence: last.sequence,
        append_time: last.append_time,
        times: times.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))),
        producer: last.producer,
        producer_row: last.producer_row,
    }
}

/// The columns of a group, each as one.
fn merged(group: &[Frame]) -> Result<Payload> {
    let with_columns = |frame: &&Frame| frame.header().rows > 0 || frame.raw().origins;
    let frames: Vec<&Frame> = group.iter().filter(with_columns).collect();
    let Some(first) = frames.first() else {
        return Ok(Payload::empty());
    };
    let schema = first.schema_as_written();
    let columns = frames.iter().map(|frame| frame.columns_as_written());
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let joined = |field: usize| -> Result<ArrayRef> {
        let parts: Vec<&dyn Array> = columns.iter().map(|c| c[field].as_ref()).collect();
        concat(&parts).map_err(|e| Error::Invalid(e.to_string()))
    };
    let arrays = (0..schema.fields().len()).map(joined);
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    let rows = frames
        .iter()
        .map(|frame| frame.header().rows as usize)
        .sum();
    let batch = columns::batch_of(schema, arrays, rows)?;
    let mut builder = columns::build(&batch, schema)?;
    if let Some(mut all) = first.origins()? {
        for frame in &frames[1..] {
            let next = frame.origins()?;
            all.append(next.expect("frames of one topic have origins, or none has"));
        }
        origins::check(&all, rows)?;
        origins::write(&all, &mut builder)?;
    }
    Ok(builder.finish(rows))
}
