//! The writing end of a run of segments: allocate, write, sync, publish; take back what was not published.
//!
//! Frames go through three states: written, durable, published. A failed write or sync is final: the tail takes nothing
//! more until it is reopened, and a note beside the segments says from where on their bytes are void, so that what was
//! refused does not come back after a crash.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::codec;
use crate::columns::Payload;
use crate::frame::header::{self, Format, Place, RawHeader, SegmentHeader, frame_bytes};
use crate::frame::{FrameHeader, FrameKind};
use crate::ids::{Offset, Position, Timestamp};
use crate::index::{Footer, Past};
use crate::limits::{
    ALLOCATE_BYTES_MAX, ALLOCATE_BYTES_MIN, FRAME_BYTES_MAX, FRAME_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
};
use crate::segment::{Run, Segment, base_of, footer_name, segment_name};
use crate::storage::File;
use crate::{Error, Result};

/// Name of the note that says which bytes are void.
pub(crate) const VOID: &str = "void";
/// Name of the segment that is kept allocated for a full disk.
pub(crate) const SPARE: &str = "spare";
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// From where on bytes are void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Void {
    /// The segment that begins with this offset ...
    pub(crate) base: Offset,
    /// ... from this position on, and all segments after it.
    pub(crate) position: Position,
}

/// A frame to append. Its base offset is given by the tail.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    pub(crate) header: FrameHeader,
    pub(crate) payload: Payload,
    pub(crate) origins: bool,
}

/// The segment that takes appends.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    pub(crate) segment: Arc<Segment>,
    pub(crate) file: Arc<dyn File>,
    pub(crate) allocated: u64,
    /// Where the next frame goes.
    pub(crate) end: Position,
    pub(crate) end_offset: Offset,
    /// Check of the last frame, or of the segment's header.
    pub(crate) check: u32,
    /// Everything before this is durable.
    pub(crate) durable: Position,
    /// The last frame is a mark that says so of all before it.
    pub(crate) marked: bool,
}

/// How a tail writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TailOptions {
    pub(crate) segment_bytes: u64,
    pub(crate) spare: bool,
}

/// How far a sync got: the active segment then, and how many of the lists belong to it.
#[derive(Debug)]
struct Synced {
    active: Active,
    begun: usize,
    unpublished: usize,
    sealed: usize,
}

/// The writing end of a run.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) run: Arc<Run>,
    pub(crate) options: TailOptions,
    /// Of the published frames.
    pub(crate) past: Past,
    active: Option<Active>,
    /// Offset of the next row when there is no active segment.
    next: Offset,
    /// The active segment as it was published last.
    anchor: Option<Active>,
    /// Where what was written into the anchor's segment ends.
    anchor_written: Position,
    /// Segments begun since the last publish.
    begun: Vec<Arc<Segment>>,
    unpublished: Vec<(Arc<Segment>, RawHeader)>,
    /// Segments left since the last publish, with their ends.
    sealed: Vec<(Arc<Segment>, Position, Offset)>,
    /// What the last sync made durable and the next publish will show.
    synced: Option<Synced>,
    failure: Option<(&'static str, i32)>,
    /// The note about void bytes could not be written either.
    pub(crate) void_unknown: bool,
}

impl Tail {
    /// A tail behind recovered segments; `active` is the last of them, all of it durable.
    pub(crate) fn new(
        run: Arc<Run>,
        options: TailOptions,
        past: Past,
        active: Option<Active>,
        next: Offset,
    ) -> Tail {
        Tail {
            run,
            options,
            past,
            anchor_written: active.as_ref().map_or(Position(0), |a| a.end),
            anchor: active.clone(),
            active,
            next,
            begun: Vec::new(),
            unpublished: Vec::new(),
            sealed: Vec::new(),
            synced: None,
            failure: None,
            void_unknown: false,
        }
    }

    /// Offset after the last written row.
    pub(crate) fn end(&self) -> Offset {
        self.active.as_ref().map_or(self.next, |a| a.end_offset)
    }

    /// Whether it takes appends.
    pub(crate) fn check_open(&self) -> Result<()> {
        match self.failure {
            None => Ok(()),
            Some((action, errno)) => Err(self.failed(action, io::Error::from_raw_os_error(errno))),
        }
    }

    /// What failed, when it takes no appends.
    pub(crate) fn why_shut(&self) -> Option<String> {
        let (action, errno) = self.failure?;
        let source = io::Error::from_raw_os_error(errno);
        Some(format!("{action} failed ({source})"))
    }

    /// Makes room for frames of so many bytes together. Nothing is kept of it when there is no space.
    pub(crate) fn reserve(&mut self, bytes: u64) -> Result<()> {
        self.check_open()?;
        if bytes > FRAME_BYTES_MAX {
            return Err(Error::Invalid(format!(
                "an append takes at most {FRAME_BYTES_MAX} bytes a partition; append in smaller batches"
            )));
        }
        let room = match &self.active {
            None => false,
            // A segment without rows is not left: its successor would have the same name.
            Some(a) => {
                a.end.0 + bytes <= self.options.segment_bytes || a.end_offset == a.segment.base
            }
        };
        if !room {
            return self.roll(bytes);
        }
        match self.grow(bytes) {
            Err(Error::NoSpace { .. }) if self.has_spare() && self.end() > self.active_base() => {
                self.roll(bytes)
            }
            result => result,
        }
    }

    fn active_base(&self) -> Offset {
        self.active.as_ref().map_or(self.next, |a| a.segment.base)
    }

    fn grow(&mut self, bytes: u64) -> Result<()> {
        let segment_bytes = self.options.segment_bytes;
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        let needed = active.end.0 + bytes;
        if needed <= active.allocated {
            return Ok(());
        }
        let step = active
            .allocated
            .clamp(ALLOCATE_BYTES_MIN, ALLOCATE_BYTES_MAX);
        let wanted = (active.allocated + step).min(segment_bytes).max(needed);
        let file = active.file.clone();
        let got = allocate(&*file, wanted, needed);
        match got {
            Ok(allocated) => active.allocated = allocated,
            Err(e) if e.kind() == io::ErrorKind::StorageFull => return Err(self.no_space()),
            Err(e) => return Err(self.fail("allocate", e)),
        }
        Ok(())
    }

    /// Seals the active segment and begins the next.
    fn roll(&mut self, bytes: u64) -> Result<()> {
        let base = self.end();
        let (file, allocated) = self.begin_file(base, SEGMENT_HEADER_BYTES + bytes)?;
        if let Err(e) = self.sync_active() {
            return Err(self.fail("sync", e));
        }
        let header = SegmentHeader {
            format: Format::Appended,
            epoch: self.next_epoch(base),
            base,
            topic: xxh3_64(self.run.name.topic.as_bytes()),
            partition: self.run.name.partition,
        };
        let (head, check) = header.write();
        let begun = self
            .run
            .storage
            .sync_dir(&self.run.folder)
            .and_then(|()| file.write_at(0, &[&head]));
        let segment = Arc::new(Segment::new(base, header.epoch, file.clone()));
        if let Some(left) = &self.active {
            self.sealed
                .push((left.segment.clone(), left.end, left.end_offset));
        }
        self.begun.push(segment.clone());
        self.active = Some(Active {
            segment,
            file,
            allocated,
            end: Position(SEGMENT_HEADER_BYTES),
            end_offset: base,
            check,
            durable: Position(0),
            marked: false,
        });
        begun.map_err(|e| self.fail("begin a segment", e))
    }

    /// A new file with room, or the spare one.
    fn begin_file(&mut self, base: Offset, needed: u64) -> Result<(Arc<dyn File>, u64)> {
        let path = self.run.path(&segment_name(base));
        let storage = self.run.storage.clone();
        if self.has_spare() {
            let spare = self.run.path(SPARE);
            let file = storage
                .rename(&spare, &path)
                .and_then(|()| storage.open(&path));
            let file = file.map_err(|e| self.fail("begin a segment", e))?;
            let allocated = file
                .len()
                .and_then(|len| allocate(&*file, len.max(needed), needed));
            return match allocated {
                Ok(allocated) => Ok((file, allocated)),
                Err(e) => Err(self.give_up(base, e)),
            };
        }
        let wanted = ALLOCATE_BYTES_MIN
            .min(self.options.segment_bytes)
            .max(needed);
        let file = match storage.create(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::StorageFull => return Err(self.no_space()),
            Err(e) => return Err(self.fail("create a segment", e)),
        };
        match allocate(&*file, wanted, needed) {
            Ok(allocated) => Ok((file, allocated)),
            Err(e) => Err(self.give_up(base, e)),
        }
    }

    /// Removes a segment file that got no room.
    fn give_up(&mut self, base: Offset, e: io::Error) -> Error {
        let removed = self.run.storage.remove(&self.run.path(&segment_name(base)));
        match removed {
            Ok(()) if e.kind() == io::ErrorKind::StorageFull => self.no_space(),
            Ok(()) => self.fail("allocate a segment", e),
            Err(e) => self.fail("remove a segment", e),
        }
    }

    fn has_spare(&self) -> bool {
        self.options.spare
            && self
                .run
                .storage
                .list(&self.run.folder)
                .is_ok_and(|names| names.iter().any(|name| name == SPARE))
    }

    /// Keeps a spare segment allocated, if there is room for one.
    fn provide_spare(&self) {
        if !self.options.spare || self.has_spare() {
            return;
        }
        let path = self.run.path(SPARE);
        let Ok(file) = self.run.storage.create(&path) else {
            return;
        };
        if file
            .allocate(self.options.segment_bytes.min(ALLOCATE_BYTES_MAX))
            .is_err()
        {
            let _ = self.run.storage.remove(&path);
        }
    }

    /// Tells this file from any other of its name: what was written before it is in it.
    fn next_epoch(&self, base: Offset) -> u64 {
        let past = self.active.as_ref().map_or(0, |a| a.segment.epoch);
        let time = self.past.append_time.map_or(0, |t| t.0);
        let seed = format!(
            "{} {base} {past} {} {time}",
            self.run.name, self.past.sequence
        );
        xxh3_64(seed.as_bytes()).max(1)
    }

    /// Writes frames one after another, into the room that was reserved for them.
    pub(crate) fn write(&mut self, frames: Vec<Built>) -> Result<()> {
        self.check_open()?;
        let Some(active) = &mut self.active else {
            return Err(Error::Invalid("no room was reserved".into()));
        };
        let start = active.end;
        let mut heads = Vec::with_capacity(frames.len());
        for built in &frames {
            let head = place(active, built);
            self.unpublished.push((active.segment.clone(), head.1));
            heads.push(head.0);
        }
        assert!(
            active.end.0 <= active.allocated,
            "frames stay inside the allocated length"
        );
        let parts: Vec<&[u8]> = heads
            .iter()
            .zip(&frames)
            .flat_map(|(head, built)| [head.as_slice(), built.payload.columns()])
            .collect();
        let file = active.file.clone();
        if self
            .anchor
            .as_ref()
            .is_some_and(|a| Arc::ptr_eq(&a.segment, &active.segment))
        {
            self.anchor_written = active.end;
        }
        file.write_at(start.0, &parts)
            .map_err(|e| self.fail("write", e))
    }

    /// [`Tail::reserve`] and [`Tail::write`].
    pub(crate) fn append(&mut self, frames: Vec<Built>) -> Result<()> {
        self.reserve(frames.iter().map(|built| frame_bytes(&built.payload)).sum())?;
        self.write(frames)
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.check_open()?;
        self.sync_active().map_err(|e| self.fail("sync", e))?;
        self.synced = self.active.clone().map(|active| Synced {
            active,
            begun: self.begun.len(),
            unpublished: self.unpublished.len(),
            sealed: self.sealed.len(),
        });
        Ok(())
    }

    fn sync_active(&mut self) -> io::Result<()> {
        if let Some(active) = &mut self.active
            && active.durable < active.end
        {
            active.file.sync()?;
            active.durable = active.end;
        }
        Ok(())
    }

    /// Readers see everything that the last sync made durable from now on. What was written since stays unseen.
    pub(crate) fn publish(&mut self) {
        let Some(synced) = self.synced.take() else {
            return;
        };
        for (segment, raw) in self.unpublished.drain(..synced.unpublished) {
            segment.note(&raw);
            self.past.note(&raw);
        }
        for (segment, end, end_offset) in self.sealed.drain(..synced.sealed).collect::<Vec<_>>() {
            segment.publish(end, end_offset);
            self.write_footer(&segment);
        }
        let shown = &synced.active;
        shown.segment.publish(shown.end, shown.end_offset);
        if synced.begun > 0 {
            let begun = self.begun.drain(..synced.begun);
            self.run.segments_mut().extend(begun);
            self.provide_spare();
        }
        self.anchor_written = match self.sealed.first() {
            Some((_, end, _)) => *end,
            None => self.active.as_ref().map_or(shown.end, |a| a.end),
        };
        self.anchor = Some(synced.active);
    }

    /// The footer can be rebuilt, so that a failure to write it is only worth a word.
    fn write_footer(&self, segment: &Segment) {
        let footer = Footer {
            epoch: segment.epoch,
            end: segment.end(),
            end_offset: segment.end_offset(),
            past: self.past.clone(),
            index: segment.index().clone(),
        };
        let path = self.run.path(&footer_name(segment.base));
        if let Err(e) = self.run.storage.replace(&path, &codec::encode(&footer)) {
            tracing::warn!(run = %self.run.name, error = %e, "a segment's footer was not written; it will be rebuilt");
        }
    }

    /// Writes a mark that makes known what is durable, unless the last frame is one.
    pub(crate) fn mark(&mut self) -> Result<()> {
        let idle = self
            .active
            .as_ref()
            .is_some_and(|a| !a.marked && a.end.0 > SEGMENT_HEADER_BYTES && a.durable == a.end);
        if !idle || !self.unpublished.is_empty() || self.failure.is_some() {
            return Ok(());
        }
        let mark = Built {
            header: FrameHeader {
                kind: FrameKind::Mark,
                schema_version: 1,
                rows: 0,
                base_offset: self.end(),
                sequence: self.past.sequence,
                append_time: self.past.append_time.unwrap_or(Timestamp(0)),
                times: None,
                producer: 0,
                producer_row: 0,
            },
            payload: Payload::empty(),
            origins: false,
        };
        self.append(vec![mark])?;
        self.sync()?;
        self.publish();
        Ok(())
    }

    /// Takes back everything that was not published: it was never there.
    pub(crate) fn rollback(&mut self) -> Result<()> {
        self.check_open()?;
        self.take_back().map_err(|e| self.fail("roll back", e))
    }

    fn take_back(&mut self) -> io::Result<()> {
        for segment in self.begun.iter().rev() {
            self.run.storage.remove(&self.run.path(&segment.name))?;
        }
        if !self.begun.is_empty() {
            self.run.storage.sync_dir(&self.run.folder)?;
        }
        if let Some(anchor) = &mut self.anchor
            && self.anchor_written > anchor.end
        {
            zero(&*anchor.file, anchor.end, self.anchor_written)?;
            anchor.file.sync()?;
            anchor.allocated = anchor.file.len()?;
        }
        self.begun.clear();
        self.unpublished.clear();
        self.sealed.clear();
        self.synced = None;
        self.anchor_written = self.anchor.as_ref().map_or(Position(0), |a| a.end);
        self.next = self.anchor.as_ref().map_or(self.next, |a| a.end_offset);
        self.active = self.anchor.clone();
        Ok(())
    }

    /// Opens it again after a failure, from fresh handles, at what was published.
    pub(crate) fn reopen(&mut self) -> Result<()> {
        if self.failure.is_none() {
            return Ok(());
        }
        self.reopen_files().map_err(|e| self.failed("reopen", e))?;
        self.failure = None;
        self.void_unknown = false;
        Ok(())
    }

    fn reopen_files(&mut self) -> io::Result<()> {
        let storage = self.run.storage.clone();
        if let Some(anchor) = &mut self.anchor {
            anchor.file = storage.open(&self.run.path(&anchor.segment.name))?;
        }
        // Segments that nobody ever saw, one that failed while it was made among them.
        let known: Vec<Offset> = self.run.segments().iter().map(|s| s.base).collect();
        for name in storage.list(&self.run.folder)? {
            if base_of(&name).is_some_and(|base| !known.contains(&base)) {
                storage.remove(&self.run.path(&name))?;
            }
        }
        self.begun.clear();
        storage.sync_dir(&self.run.folder)?;
        self.take_back()?;
        match storage.remove(&self.run.path(VOID)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => storage.sync_dir(&self.run.folder),
        }
    }

    /// Takes nothing more from here on, and leaves a note.
    fn fail(&mut self, action: &'static str, e: io::Error) -> Error {
        let errno = e
            .raw_os_error()
            .unwrap_or(rustix::io::Errno::IO.raw_os_error());
        self.failure = Some((action, errno));
        let void = match &self.anchor {
            Some(anchor) => Void {
                base: anchor.segment.base,
                position: anchor.end,
            },
            None => Void {
                base: self.next,
                position: Position(SEGMENT_HEADER_BYTES),
            },
        };
        let noted = self
            .run
            .storage
            .replace(&self.run.path(VOID), &codec::encode(&void));
        self.void_unknown = noted.is_err();
        self.failed(action, e)
    }

    fn failed(&self, action: &'static str, source: io::Error) -> Error {
        Error::Failed {
            topic: self.run.name.topic.clone(),
            partition: self.run.name.partition,
            action,
            durable: self.run.end(),
            source,
        }
    }

    fn no_space(&self) -> Error {
        Error::NoSpace {
            topic: self.run.name.topic.clone(),
            partition: self.run.name.partition,
        }
    }

    /// Whether everything written is published.
    pub(crate) fn is_calm(&self) -> bool {
        self.failure.is_none() && self.unpublished.is_empty() && self.begun.is_empty()
    }

    /// Seals the active segment; the next append begins a new one. The first offset of that one.
    pub(crate) fn seal(&mut self) -> Result<Offset> {
        self.sync()?;
        self.publish();
        if self
            .active
            .as_ref()
            .is_some_and(|a| a.end_offset > a.segment.base)
        {
            self.roll(FRAME_HEADER_BYTES)?;
            self.sync()?;
            self.publish();
        }
        Ok(self.end())
    }
}

/// Gives a frame its place behind the last one: its head, and its header as it will be read.
fn place(active: &mut Active, built: &Built) -> (Vec<u8>, RawHeader) {
    let place = Place {
        epoch: active.segment.epoch,
        position: active.end,
        durable: active.durable,
        previous: active.check,
    };
    let header = FrameHeader {
        base_offset: active.end_offset,
        rows: built.payload.rows(),
        ..built.header.clone()
    };
    let (head, check) = header::write(&header, &place, &built.payload, built.origins);
    let raw = RawHeader::plain(header, place, &built.payload, built.origins, check);
    active.marked = raw.header.kind == FrameKind::Mark && active.durable == active.end;
    active.end = raw.end();
    active.end_offset = raw.end_offset();
    active.check = check;
    (head, raw)
}

/// Allocates what is wanted, or at least what is needed.
fn allocate(file: &dyn File, wanted: u64, needed: u64) -> io::Result<u64> {
    match file.allocate(wanted) {
        Ok(()) => Ok(wanted),
        Err(e) if e.kind() == io::ErrorKind::StorageFull && needed < wanted => {
            file.allocate(needed).map(|()| needed)
        }
        Err(e) => Err(e),
    }
}

/// Overwrites with zeros.
pub(crate) fn zero(file: &dyn File, from: Position, to: Position) -> io::Result<()> {
    let mut position = from.0;
    while position < to.0 {
        let part = ZEROS.len().min((to.0 - position) as usize);
        file.write_at(position, &[&ZEROS[..part]])?;
        position += part as u64;
    }
    Ok(())
}
