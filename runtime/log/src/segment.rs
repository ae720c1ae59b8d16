//! What readers see of a run of segments: its files in order, each up to its published end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arrow_buffer::Buffer;

use crate::frame::Frame;
use crate::frame::header::{self, RawHeader};
use crate::ids::{Offset, Position, Sequence, Timestamp};
use crate::index::{Index, Past};
use crate::limits::{FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::retention::Removed;
use crate::scan::Reader;
use crate::schemas::{History, Reading, Readings};
use crate::storage::{File, Storage};
use crate::{Error, Result};

/// Which run it is, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunName {
    pub(crate) topic: String,
    pub(crate) partition: u32,
}

impl std::fmt::Display for RunName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A run of segments, shared by its writer and its readers.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) name: Arc<RunName>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) folder: PathBuf,
    /// Where bytes go that recovery takes out.
    pub(crate) quarantine: PathBuf,
    /// Versions of the schema that its frames are written under.
    history: RwLock<Arc<History>>,
    segments: RwLock<Vec<Arc<Segment>>>,
    /// Blocks of a segment that was removed are being given back.
    freeing: Arc<AtomicBool>,
    /// What retention took away.
    pub(crate) removed: RwLock<Option<Removed>>,
    /// Held by who changes which file a segment is, or needs that nobody does.
    files: Mutex<Files>,
}

/// Whose files the segments are.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// The topic was removed, and another one of its name may be there.
    pub(crate) is_gone: bool,
}

/// Bytes that were acknowledged and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) from: Position,
    pub(crate) to: Position,
    /// First row concerned.
    pub(crate) first: Offset,
    /// First row after it.
    pub(crate) next: Offset,
    pub(crate) what: String,
}

/// One segment file.
#[derive(Debug)]
pub(crate) struct Segment {
    /// File name.
    pub(crate) name: Arc<str>,
    pub(crate) base: Offset,
    pub(crate) epoch: u64,
    pub(crate) file: Arc<dyn File>,
    end: AtomicU64,
    end_offset: AtomicU64,
    /// Of the last published frame.
    last_sequence: AtomicU64,
    /// Of the last published frame.
    last_time: AtomicI64,
    index: RwLock<Index>,
    gaps: RwLock<Vec<Gap>>,
    /// Nothing is to be had from encoding it anew.
    settled: AtomicBool,
}

/// File name of the segment that begins with this offset.
pub(crate) fn segment_name(base: Offset) -> String {
    format!("{:020}.segment", base.0)
}

/// File name of its footer.
pub(crate) fn footer_name(base: Offset) -> String {
    format!("{:020}.footer", base.0)
}

/// The inverse of [`segment_name`].
pub(crate) fn base_of(name: &str) -> Option<Offset> {
    let digits = name.strip_suffix(".segment")?;
    let base = Offset(digits.parse().ok()?);
    (segment_name(base) == name).then_some(base)
}

impl Run {
    pub(crate) fn new(
        name: RunName,
        storage: Arc<dyn Storage>,
        folder: PathBuf,
        quarantine: PathBuf,
        history: Arc<History>,
    ) -> Run {
        Run {
            name: Arc::new(name),
            storage,
            folder,
            quarantine,
            history: RwLock::new(history),
            segments: RwLock::default(),
            freeing: Arc::default(),
            removed: RwLock::default(),
            files: Mutex::default(),
        }
    }

    /// While it is held, no segment gets another file or is removed by somebody else.
    pub(crate) fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().expect("no holder of this lock panics")
    }

    /// The segments, in order.
    pub(crate) fn segments(&self) -> RwLockReadGuard<'_, Vec<Arc<Segment>>> {
        self.segments.read().expect("no holder of this lock panics")
    }

    pub(crate) fn segments_mut(&self) -> RwLockWriteGuard<'_, Vec<Arc<Segment>>> {
        self.segments
            .write()
            .expect("no holder of this lock panics")
    }

    /// The versions of its schema.
    pub(crate) fn history(&self) -> Arc<History> {
        let history = self.history.read();
        Arc::clone(&history.expect("no holder of this lock panics"))
    }

    /// Frames of a version that was added are read from now on.
    pub(crate) fn set_history(&self, history: Arc<History>) {
        *self.history.write().expect("no holder of this lock panics") = history;
    }

    /// How its frames are read as the newest version.
    pub(crate) fn readings(&self) -> Readings {
        let history = self.history();
        Readings::new(&history, history.newest().version)
    }

    /// First offset that is there.
    pub(crate) fn start(&self) -> Offset {
        let first = self.segments().first().map(|s| s.base);
        first.unwrap_or_else(|| self.kept_from())
    }

    /// Offset after the last published row.
    pub(crate) fn end(&self) -> Offset {
        let last = self.segments().last().map(|s| s.end_offset());
        last.unwrap_or_else(|| self.kept_from())
    }

    /// Bytes of published frames.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = |s: &Arc<Segment>| s.end().0.saturating_sub(SEGMENT_HEADER_BYTES);
        self.segments().iter().map(bytes).sum()
    }

    /// Removes the first segment, its file first, if it may go; whether it did. The last one stays. Frames that readers
    /// hold stay mapped.
    pub(crate) fn drop_first(&self, may_go: impl Fn(&Segment) -> bool) -> Result<bool> {
        let first = match self.segments().as_slice() {
            [first, _, ..] if may_go(first) => first.clone(),
            _ => return Ok(false),
        };
        let path = self.path(&first.name);
        let removed = self.storage.remove(&path);
        removed.map_err(|e| self.io("remove", &path, e))?;
        self.segments_mut().retain(|s| s.base != first.base);
        // A footer without its segment is nothing.
        let _ = self.storage.remove(&self.path(&footer_name(first.base)));
        let (freeing, folder) = (Arc::clone(&self.freeing), self.folder.clone());
        freeing.store(true, Ordering::Release);
        // Without a thread, the system frees it all at once when the last one has let go of it.
        let spawned = std::thread::Builder::new().spawn(move || {
            if let Some(segment) = Arc::into_inner(first) {
                segment.file.free(&folder);
            }
            freeing.store(false, Ordering::Release);
        });
        if spawned.is_err() {
            self.freeing.store(false, Ordering::Release);
        }
        Ok(true)
    }

    /// Whether the blocks of a segment that was removed are still being given back.
    pub(crate) fn is_freeing(&self) -> bool {
        self.freeing.load(Ordering::Acquire)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// An error of the storage, on a file of this run.
    pub(crate) fn io(&self, action: &'static str, path: &Path, source: std::io::Error) -> Error {
        Error::Io {
            action,
            path: path.display().to_string(),
            source,
        }
    }

    pub(crate) fn damaged(&self, segment: &Segment, gap: &Gap) -> Error {
        Error::Damaged {
            topic: self.name.topic.clone(),
            partition: self.name.partition,
            first: gap.first,
            last: Offset(gap.next.0.saturating_sub(1).max(gap.first.0)),
            segment: segment.name.to_string(),
            what: gap.what.clone(),
        }
    }

    /// The published frame at `position`; `None` at the published end. Damage is an error, found anew or known.
    /// `readings` learn of versions that have come.
    pub(crate) fn frame_at(
        &self,
        segment: &Arc<Segment>,
        position: Position,
        expected: Offset,
        readings: &mut Readings,
    ) -> Result<Option<Frame>> {
        if let Some(gap) = segment.gap_at(position) {
            return Err(self.damaged(segment, &gap));
        }
        let end = segment.end();
        if position >= end {
            return Ok(None);
        }
        match segment.read(position, end, expected) {
            Ok(Ok((raw, bytes))) => {
                let reading = self.reading(&raw, readings)?;
                let (run, segment) = (self.name.clone(), segment.name.clone());
                Ok(Some(Frame::new(raw, bytes, reading, run, segment)))
            }
            Ok(Err(what)) => {
                let gap = segment.find_gap(position, end, expected, what);
                Err(self.damaged(segment, &gap))
            }
            Err(e) => Err(self.io("read", &self.path(&segment.name), e)),
        }
    }

    /// How a frame is read. One without rows has no fields, whatever its version.
    fn reading(&self, raw: &RawHeader, readings: &mut Readings) -> Result<Arc<Reading>> {
        let version = match raw.header.rows {
            0 => readings.version(),
            _ => raw.header.schema_version,
        };
        if readings.of(version).is_none() {
            *readings = readings.renewed(&self.history());
        }
        let found = readings.of(version).cloned();
        found.ok_or_else(|| Error::UnknownSchema {
            topic: self.name.topic.clone(),
            partition: self.name.partition,
            first: raw.header.base_offset,
            version,
        })
    }
}

impl Segment {
    pub(crate) fn new(base: Offset, epoch: u64, file: Arc<dyn File>) -> Segment {
        Segment {
            name: segment_name(base).into(),
            base,
            epoch,
            file,
            end: SEGMENT_HEADER_BYTES.into(),
            end_offset: base.0.into(),
            last_sequence: 0.into(),
            last_time: i64::MIN.into(),
            index: RwLock::default(),
            gaps: RwLock::default(),
            settled: AtomicBool::new(false),
        }
    }

    /// Whether it is known that nothing is to be had from encoding it anew.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }

    /// Nothing is to be had from encoding it anew.
    pub(crate) fn settle(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    /// Where the published frames end.
    pub(crate) fn end(&self) -> Position {
        Position(self.end.load(Ordering::Acquire))
    }

    /// Offset after the last published row.
    pub(crate) fn end_offset(&self) -> Offset {
        Offset(self.end_offset.load(Ordering::Acquire))
    }

    /// Takes note of the next frame of the segment.
    pub(crate) fn note(&self, raw: &RawHeader) {
        self.index_mut().note(raw);
        self.reach(raw.header.sequence, raw.header.append_time);
    }

    /// The index as a footer has it, and what was past at its end.
    pub(crate) fn remember(&self, index: Index, past: &Past) {
        *self.index_mut() = index;
        self.reach(past.sequence, past.append_time.unwrap_or(Timestamp::MIN));
    }

    fn reach(&self, sequence: Sequence, append_time: Timestamp) {
        self.last_sequence.fetch_max(sequence.0, Ordering::AcqRel);
        self.last_time.fetch_max(append_time.0, Ordering::AcqRel);
    }

    /// No frame of it has a greater sequence.
    pub(crate) fn last_sequence(&self) -> Sequence {
        Sequence(self.last_sequence.load(Ordering::Acquire))
    }

    /// No frame of it was appended later.
    pub(crate) fn last_time(&self) -> Timestamp {
        Timestamp(self.last_time.load(Ordering::Acquire))
    }

    /// Readers see everything up to here from now on.
    pub(crate) fn publish(&self, end: Position, end_offset: Offset) {
        self.end_offset.store(end_offset.0, Ordering::Release);
        self.end.store(end.0, Ordering::Release);
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().expect("no holder of this lock panics")
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().expect("no holder of this lock panics")
    }

    pub(crate) fn add_gap(&self, gap: Gap) {
        let mut gaps = self.gaps.write().expect("no holder of this lock panics");
        if !gaps.contains(&gap) {
            gaps.push(gap);
        }
    }

    pub(crate) fn gap_at(&self, position: Position) -> Option<Gap> {
        let gaps = self.gaps.read().expect("no holder of this lock panics");
        gaps.iter().find(|g| g.from == position).cloned()
    }

    /// Header and bytes of the frame at `position`, which lies below the published end.
    fn read(
        &self,
        position: Position,
        end: Position,
        expected: Offset,
    ) -> std::io::Result<Result<(RawHeader, Buffer), &'static str>> {
        if position.0 + FRAME_HEADER_BYTES > end.0 {
            return Ok(Err("a frame is cut off"));
        }
        let head = self.file.view(position.0, FRAME_HEADER_BYTES as usize)?;
        let raw = match head
            .first_chunk()
            .map_or(Err("a frame is cut off"), header::read)
        {
            Ok(raw) => raw,
            Err(what) => return Ok(Err(what)),
        };
        let frame_end = position.0 + FRAME_HEADER_BYTES + raw.payload_bytes;
        if frame_end > end.0 {
            return Ok(Err("a frame is longer than its segment"));
        }
        let bytes = self
            .file
            .view(position.0, (frame_end - position.0) as usize)?;
        let head = &bytes[..raw.head_bytes() as usize];
        Ok(match header::verify(raw, head, self.epoch, position) {
            Ok(raw) if raw.header.base_offset != expected => {
                Err("frames are missing before this one")
            }
            Ok(raw) => Ok((raw, bytes)),
            Err(what) => Err(what),
        })
    }

    /// How far the damage that begins at `position` goes.
    fn find_gap(&self, position: Position, end: Position, first: Offset, what: &str) -> Gap {
        let mut reader = Reader::new(&*self.file, end.0);
        let after = Position(position.0 + crate::limits::ALIGN_BYTES);
        let found = reader.find_frame(after, self.epoch).ok().flatten();
        let gap = Gap {
            from: position,
            to: found.as_ref().map_or(end, |raw| raw.place.position),
            first,
            next: found.map_or(self.end_offset(), |raw| raw.header.base_offset),
            what: what.to_owned(),
        };
        self.add_gap(gap.clone());
        gap
    }
}
