//! What a run of segments keeps: whole sealed segments go, oldest first, and a note says from where on it is whole.
//!
//! The note is durable before the first file goes. So whatever is interrupted, opening finds a run that begins where the
//! note says: files before that are removed then, and a file that is missing after it is damage, not retention. Which
//! segments go is decided above; what must not go (the last segment, and with it everything that appends need) stays
//! here. The highest row of each producer is in the note, and so outlives the segments it came from.

use std::sync::{RwLockReadGuard, RwLockWriteGuard};

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::ids::{Offset, Sequence, Timestamp};
use crate::index::Past;
use crate::limits::SEGMENT_HEADER_BYTES;
use crate::segment::{Run, Segment, footer_name, segment_name};
use crate::{Error, Result};

/// Name of the note that says what retention took away.
pub(crate) const REMOVED: &str = "removed";

/// What retention took away of a run, all of it together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Removed {
    /// First offset that is kept.
    pub(crate) start: Offset,
    /// Greatest sequence that is gone.
    pub(crate) sequence: Sequence,
    /// Append time of the last frame that is gone.
    pub(crate) append_time: Timestamp,
    /// Largest event time among the rows that are gone.
    pub(crate) time_max: Option<Timestamp>,
    /// Bytes of frames that are gone.
    pub(crate) bytes: u64,
    /// What the writer must know of what is gone. It may know of frames that are still there.
    pub(crate) past: Past,
}

/// One segment, as far as retention must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentStatus {
    /// First offset in it.
    pub base: Offset,
    /// Offset after its last published row.
    pub end: Offset,
    /// Bytes of its published frames.
    pub bytes: u64,
    /// Append time of its last published frame, or a little later; none when it has none.
    pub last_time: Option<Timestamp>,
    /// Sequence of its last published frame, or a little greater.
    pub last_sequence: Sequence,
    /// It takes no more appends: it may go.
    pub sealed: bool,
}

/// What is kept of a partition, and what is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// First offset that is kept.
    pub start: Offset,
    /// Frames up to this sequence are not all there any more; 0: all are.
    pub removed_up_to: Sequence,
    /// Append time of the last frame that is gone.
    pub removed_time: Option<Timestamp>,
    /// No row that is gone has a later event time.
    pub removed_time_max: Option<Timestamp>,
    /// Bytes that retention has removed so far.
    pub removed_bytes: u64,
}

/// What one act of retention removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trimmed {
    /// Segments.
    pub segments: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

impl Removed {
    /// As noted beside the segments; what is wrong with the note when it does not decode.
    pub(crate) fn read(run: &Run) -> Result<Result<Option<Removed>, String>> {
        let path = run.path(REMOVED);
        match run.storage.read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Ok(None)),
            Err(e) => Err(run.io("read", &path, e)),
            Ok(bytes) => Ok(codec::decode(&bytes).map(Some).map_err(|e| e.to_string())),
        }
    }
}

impl SegmentStatus {
    fn of(segment: &Segment, sealed: bool) -> SegmentStatus {
        SegmentStatus {
            base: segment.base,
            end: segment.end_offset(),
            bytes: frames_bytes(segment),
            last_time: Some(segment.last_time()).filter(|time| *time > Timestamp::MIN),
            last_sequence: segment.last_sequence(),
            sealed,
        }
    }
}

fn frames_bytes(segment: &Segment) -> u64 {
    segment.end().0.saturating_sub(SEGMENT_HEADER_BYTES)
}

impl Run {
    pub(crate) fn removed(&self) -> RwLockReadGuard<'_, Option<Removed>> {
        self.removed.read().expect("no holder of this lock panics")
    }

    /// First offset that retention has left.
    pub(crate) fn kept_from(&self) -> Offset {
        self.removed().as_ref().map_or(Offset(0), |r| r.start)
    }

    pub(crate) fn removed_mut(&self) -> RwLockWriteGuard<'_, Option<Removed>> {
        self.removed.write().expect("no holder of this lock panics")
    }

    /// Its segments with published frames, in order.
    pub(crate) fn status(&self) -> Vec<SegmentStatus> {
        let segments = self.segments();
        let last = segments.len().saturating_sub(1);
        let each = segments.iter().enumerate();
        each.map(|(i, segment)| SegmentStatus::of(segment, i < last))
            .collect()
    }

    pub(crate) fn kept(&self) -> Kept {
        let start = self.start();
        let removed = self.removed();
        let Some(removed) = removed.as_ref() else {
            return Kept {
                start,
                ..Kept::default()
            };
        };
        Kept {
            start,
            removed_up_to: removed.sequence,
            removed_time: Some(removed.append_time),
            removed_time_max: removed.time_max,
            removed_bytes: removed.bytes,
        }
    }

    /// Removes the leading sealed segments that end at or before `to`. `past` is what the writer knows of all published
    /// frames. After an error the note may stand and files be left: the next opening removes them.
    pub(crate) fn trim(&self, to: Offset, past: &Past) -> Result<Trimmed> {
        let _files = self.files();
        let gone = {
            let segments = self.segments();
            let sealed = &segments[..segments.len().saturating_sub(1)];
            let leading = sealed.iter().take_while(|s| s.end_offset() <= to);
            leading.cloned().collect::<Vec<_>>()
        };
        let Some(last) = gone.last() else {
            return Ok(Trimmed::default());
        };
        let trimmed = Trimmed {
            segments: gone.len() as u64,
            rows: last.end_offset().0 - gone[0].base.0,
            bytes: gone.iter().map(|s| frames_bytes(s)).sum(),
        };
        let before = self.removed().as_ref().map(|r| (r.bytes, r.time_max));
        let (bytes, time_max) = before.unwrap_or_default();
        let times = gone.iter().map(|s| s.index().time_max());
        let removed = Removed {
            start: last.end_offset(),
            sequence: last.last_sequence(),
            append_time: last.last_time(),
            time_max: times.fold(time_max, Option::max),
            bytes: bytes + trimmed.bytes,
            past: past.clone(),
        };
        let path = self.path(REMOVED);
        let noted = self.storage.replace(&path, &codec::encode(&removed));
        noted.map_err(|e| self.io("write", &path, e))?;
        // Nobody begins to read there from now on; who does read goes on with what it has open.
        *self.removed_mut() = Some(removed);
        self.segments_mut()
            .retain(|segment| segment.base >= last.end_offset());
        for segment in &gone {
            self.unlink(segment.base)?;
        }
        let synced = self.storage.sync_dir(&self.folder);
        synced.map_err(|e| self.io("sync", &self.folder, e))?;
        // The system frees its pages when the last map of it goes, which takes milliseconds: not on this thread.
        let _ = std::thread::Builder::new().spawn(move || drop(gone));
        Ok(trimmed)
    }

    /// Notes for a run without rows that it begins there.
    pub(crate) fn note_removed(&self, kept: &Kept) -> Result<()> {
        let removed = Removed {
            start: kept.start,
            sequence: kept.removed_up_to,
            append_time: kept.removed_time.unwrap_or(Timestamp::MIN),
            time_max: kept.removed_time_max,
            bytes: kept.removed_bytes,
            past: Past {
                sequence: kept.removed_up_to,
                append_time: kept.removed_time,
                time_max: kept.removed_time_max,
                ..Past::default()
            },
        };
        let path = self.path(REMOVED);
        let made = self.storage.create_dir_all(&self.folder);
        let noted = made.and_then(|()| self.storage.replace(&path, &codec::encode(&removed)));
        noted.map_err(|e| self.io("write", &path, e))
    }

    /// Removes the files of a segment.
    pub(crate) fn unlink(&self, base: Offset) -> Result<()> {
        let path = self.path(&segment_name(base));
        match self.storage.remove(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(self.io("remove", &path, e));
            }
            _ => {}
        }
        // A footer without its segment is nothing.
        let _ = self.storage.remove(&self.path(&footer_name(base)));
        Ok(())
    }

    /// Removes footers of segments before `start`, which are gone.
    pub(crate) fn unlink_footers(&self, start: Offset) -> Result<()> {
        if start == Offset(0) {
            return Ok(());
        }
        let names = self.storage.list(&self.folder);
        let names = names.map_err(|e| self.io("list", &self.folder, e))?;
        let kept = footer_name(start);
        for name in names
            .iter()
            .filter(|n| n.ends_with(".footer") && **n < kept)
        {
            let path = self.path(name);
            let removed = self.storage.remove(&path);
            removed.map_err(|e| self.io("remove", &path, e))?;
        }
        Ok(())
    }

    /// Refuses to read from before what is kept.
    pub(crate) fn check_kept(&self, from: Offset) -> Result<()> {
        let start = self.kept_from();
        match from < start {
            true => Err(self.removed_before(start)),
            false => Ok(()),
        }
    }

    /// Refuses to read behind a sequence where frames are gone that came after it.
    pub(crate) fn check_kept_after(&self, after: Sequence) -> Result<()> {
        match self.removed().as_ref() {
            Some(removed) if after < removed.sequence => Err(self.removed_before(removed.start)),
            _ => Ok(()),
        }
    }

    pub(crate) fn removed_before(&self, first: Offset) -> Error {
        Error::Removed {
            topic: self.name.topic.clone(),
            partition: self.name.partition,
            first,
        }
    }
}
