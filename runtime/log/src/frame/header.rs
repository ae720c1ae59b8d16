//! The 128 bytes in front of every frame, and the 64 in front of every segment. Drawn in docs/formats.md.

use std::iter;
use std::ops::Range;
use std::sync::Arc;

use crate::checksum::crc32c;
use crate::columns::{Payload, directory_bytes};
use crate::frame::runs::{self, Encoded, FrameRun};
use crate::frame::{FrameHeader, FrameKind};
use crate::ids::{Offset, Position, Sequence, Timestamp};
use crate::limits::{
    ALIGN_BYTES, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, REGIONS_MAX, SEGMENT_HEADER_BYTES, aligned,
};

/// First bytes of a frame; zero is the end of the log.
pub(crate) const FRAME_MAGIC: [u8; 4] = *b"RFRM";
const SEGMENT_MAGIC: [u8; 7] = *b"REFRAIN";
/// Kind of a frame that holds several appended ones, on the disk.
const MERGED: u8 = 4;
const HEADER: usize = FRAME_HEADER_BYTES as usize;
const FLAG_TIMES: u8 = 1;
const FLAG_ORIGINS: u8 = 2;

/// Where a frame stands: what its header says about the file rather than about the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Number of its segment file.
    pub(crate) epoch: u64,
    /// Where it begins.
    pub(crate) position: Position,
    /// What was known to be durable of the segment when it was built.
    pub(crate) durable: Position,
    /// The check of the frame before it in the segment, of the segment's header for the first.
    pub(crate) previous: u32,
}

/// A header as it was read.
#[derive(Clone, Debug)]
pub(crate) struct RawHeader {
    pub(crate) header: FrameHeader,
    pub(crate) place: Place,
    pub(crate) regions: usize,
    pub(crate) origins: bool,
    /// Bytes of directory, runs and columns.
    pub(crate) payload_bytes: u64,
    /// Its own check.
    pub(crate) check: u32,
    /// How many runs it says it has, and in how many bytes.
    merged: Option<(u32, u32)>,
    /// The frames that were merged into it, once it is verified; none in a frame as it was appended.
    runs: Option<Arc<[FrameRun]>>,
}

impl RawHeader {
    /// A frame as it is appended.
    pub(crate) fn plain(
        header: FrameHeader,
        place: Place,
        payload: &Payload,
        origins: bool,
        check: u32,
    ) -> RawHeader {
        RawHeader {
            header,
            place,
            regions: payload.regions(),
            origins,
            payload_bytes: payload.bytes(),
            check,
            merged: None,
            runs: None,
        }
    }

    /// Bytes of header, directory and runs: what its check covers.
    pub(crate) fn head_bytes(&self) -> u64 {
        FRAME_HEADER_BYTES + directory_bytes(self.regions) + self.runs_bytes()
    }

    /// Bytes of columns.
    pub(crate) fn column_bytes(&self) -> u64 {
        self.payload_bytes - directory_bytes(self.regions) - self.runs_bytes()
    }

    fn runs_bytes(&self) -> u64 {
        self.merged
            .map_or(0, |(_, bytes)| aligned(u64::from(bytes)))
    }

    /// How many appended frames it holds: itself, or those that were merged.
    pub(crate) fn count(&self) -> usize {
        self.runs.as_ref().map_or(1, |runs| runs.len())
    }

    /// The runs of a merged frame.
    pub(crate) fn runs(&self) -> Option<&[FrameRun]> {
        self.runs.as_deref()
    }

    /// Offset after its last row of a sequence up to this.
    pub(crate) fn end_up_to(&self, limit: Sequence) -> Offset {
        let runs = self.runs().unwrap_or_default();
        let count = runs.partition_point(|run| run.sequence <= limit);
        Offset(self.header.base_offset.0 + u64::from(self.row_of_run(count)))
    }

    /// Sequence of the first appended frame in it.
    pub(crate) fn first_sequence(&self) -> Sequence {
        let first = self.runs().and_then(|runs| runs.first());
        first.map_or(self.header.sequence, |run| run.sequence)
    }

    /// The headers of the appended frames in it, as they were.
    pub(crate) fn each(&self) -> impl Iterator<Item = FrameHeader> {
        let merged = self.runs.iter().flat_map(|runs| 0..runs.len());
        let merged = merged.map(|run| self.of_runs(run..run + 1));
        let plain = iter::once_with(|| self.header.clone());
        plain.filter(|_| self.runs.is_none()).chain(merged)
    }

    /// First row of a run of a merged frame.
    pub(crate) fn row_of_run(&self, run: usize) -> u32 {
        let before = run.checked_sub(1).zip(self.runs());
        before.map_or(0, |(before, runs)| runs[before].rows_end)
    }

    /// What the header of these runs of a merged frame would be.
    pub(crate) fn of_runs(&self, range: Range<usize>) -> FrameHeader {
        let start = self.row_of_run(range.start);
        let runs = &self.runs().expect("it is merged")[range];
        let last = runs.last().expect("there is a run in the range");
        let times = runs.iter().filter_map(|run| run.times);
        let kind = match runs {
            [one] => one.kind,
            _ => FrameKind::Rows,
        };
        FrameHeader {
            kind,
            schema_version: match kind {
                FrameKind::Rows => self.header.schema_version,
                _ => 1,
            },
            rows: last.rows_end - start,
            base_offset: Offset(self.header.base_offset.0 + u64::from(start)),
            sequence: last.sequence,
            append_time: last.append_time,
            times: times.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))),
            producer: last.producer,
            producer_row: last.producer_row,
        }
    }

    /// Where the next frame begins.
    pub(crate) fn end(&self) -> Position {
        Position(self.place.position.0 + FRAME_HEADER_BYTES + self.payload_bytes)
    }

    /// Offset of the next row.
    pub(crate) fn end_offset(&self) -> Offset {
        Offset(self.header.base_offset.0 + u64::from(self.header.rows))
    }
}

/// Bytes that a frame with this payload takes.
pub(crate) fn frame_bytes(payload: &Payload) -> u64 {
    FRAME_HEADER_BYTES + payload.bytes()
}

/// Header and directory of a frame as it is appended, and their check.
pub(crate) fn write(
    header: &FrameHeader,
    place: &Place,
    payload: &Payload,
    origins: bool,
) -> (Vec<u8>, u32) {
    write_head(header, place, payload, origins, None)
}

/// Header, directory and runs of a merged frame, and the header as it will be read. `header` is that of all its runs.
pub(crate) fn write_merged(
    header: FrameHeader,
    place: Place,
    payload: &Payload,
    origins: bool,
    runs: &Encoded,
) -> (Vec<u8>, RawHeader) {
    let (head, check) = write_head(&header, &place, payload, origins, Some(runs));
    let raw = RawHeader {
        merged: Some((runs.runs.len() as u32, runs.bytes.len() as u32)),
        runs: Some(Arc::clone(&runs.runs)),
        payload_bytes: payload.bytes() + runs.padded(),
        ..RawHeader::plain(header, place, payload, origins, check)
    };
    (head, raw)
}

fn write_head(
    header: &FrameHeader,
    place: &Place,
    payload: &Payload,
    origins: bool,
    runs: Option<&Encoded>,
) -> (Vec<u8>, u32) {
    let runs_bytes = runs.map_or(0, Encoded::padded);
    let times = header.times.map_or(0, |_| FLAG_TIMES);
    let (time_min, time_max) = header.times.unwrap_or_default();
    let mut out = Vec::with_capacity(HEADER + directory_bytes(payload.regions()) as usize);
    out.extend_from_slice(&FRAME_MAGIC);
    out.push(runs.map_or(header.kind as u8, |_| MERGED));
    out.push(times | if origins { FLAG_ORIGINS } else { 0 });
    out.extend_from_slice(&(payload.regions() as u16).to_le_bytes());
    out.extend_from_slice(&header.schema_version.to_le_bytes());
    out.extend_from_slice(&header.rows.to_le_bytes());
    for word in [
        payload.bytes() + runs_bytes,
        header.base_offset.0,
        header.sequence.0,
        header.append_time.0.cast_unsigned(),
        time_min.0.cast_unsigned(),
        time_max.0.cast_unsigned(),
        header.producer,
        header.producer_row,
        place.epoch,
        place.position.0,
        place.durable.0,
    ] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&place.previous.to_le_bytes());
    if let Some(runs) = runs {
        out.extend_from_slice(&(runs.runs.len() as u32).to_le_bytes());
        out.extend_from_slice(&(runs.bytes.len() as u32).to_le_bytes());
    }
    out.resize(HEADER, 0);
    payload.write_directory(&mut out);
    if let Some(runs) = runs {
        out.extend_from_slice(&runs.bytes);
        out.resize(out.len().next_multiple_of(ALIGN_BYTES as usize), 0);
    }
    let check = crc32c(&out);
    out[HEADER - 4..HEADER].copy_from_slice(&check.to_le_bytes());
    (out, check)
}

/// The mark that the writer would put after a frame.
pub(crate) fn mark_after(last: &RawHeader) -> RawHeader {
    let header = FrameHeader {
        kind: FrameKind::Mark,
        schema_version: 1,
        rows: 0,
        base_offset: last.end_offset(),
        sequence: last.header.sequence,
        append_time: last.header.append_time,
        times: None,
        producer: 0,
        producer_row: 0,
    };
    let place = Place {
        epoch: last.place.epoch,
        position: last.end(),
        durable: last.end(),
        previous: last.check,
    };
    let payload = Payload::empty();
    let (_, check) = write(&header, &place, &payload, false);
    RawHeader::plain(header, place, &payload, false, check)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// Reads a header's fields; what they say is not believed before [`verify`]. `Err` says which field is impossible.
pub(crate) fn read(bytes: &[u8; HEADER]) -> Result<RawHeader, &'static str> {
    if bytes[..4] != FRAME_MAGIC {
        return Err("no frame begins here");
    }
    let kind = match bytes[4] {
        0 => FrameKind::Rows,
        1 => FrameKind::Tick,
        2 => FrameKind::Mark,
        3 => FrameKind::Close,
        MERGED => FrameKind::Rows,
        _ => return Err("a frame of a kind that this release does not know"),
    };
    let merged = (bytes[4] == MERGED).then(|| (u32_at(bytes, 108), u32_at(bytes, 112)));
    let runs_bytes = merged.map_or(0, |(_, bytes)| aligned(u64::from(bytes)));
    let regions = usize::from(u16::from_le_bytes([bytes[6], bytes[7]]));
    let payload_bytes = u64_at(bytes, 16);
    if regions > REGIONS_MAX
        || payload_bytes > FRAME_BYTES_MAX
        || payload_bytes < directory_bytes(regions) + runs_bytes
        || payload_bytes != aligned(payload_bytes)
    {
        return Err("a frame of impossible length");
    }
    let time = |at| Timestamp(u64_at(bytes, at).cast_signed());
    Ok(RawHeader {
        header: FrameHeader {
            kind,
            schema_version: u32_at(bytes, 8),
            rows: u32_at(bytes, 12),
            base_offset: Offset(u64_at(bytes, 24)),
            sequence: Sequence(u64_at(bytes, 32)),
            append_time: time(40),
            times: (bytes[5] & FLAG_TIMES != 0).then(|| (time(48), time(56))),
            producer: u64_at(bytes, 64),
            producer_row: u64_at(bytes, 72),
        },
        place: Place {
            epoch: u64_at(bytes, 80),
            position: Position(u64_at(bytes, 88)),
            durable: Position(u64_at(bytes, 96)),
            previous: u32_at(bytes, 104),
        },
        regions,
        origins: bytes[5] & FLAG_ORIGINS != 0,
        payload_bytes,
        check: u32_at(bytes, HEADER - 4),
        merged,
        runs: None,
    })
}

/// The header with its runs, if it, directory and runs (`head`, exactly [`RawHeader::head_bytes`]) are what was written,
/// here.
pub(crate) fn verify(
    raw: RawHeader,
    head: &[u8],
    epoch: u64,
    position: Position,
) -> Result<RawHeader, &'static str> {
    let mut checked = head.to_vec();
    checked[HEADER - 4..HEADER].fill(0);
    if crc32c(&checked) != raw.check {
        return Err("the checksum of a frame's header does not match");
    }
    if raw.place.epoch != epoch || raw.place.position != position {
        return Err("a frame of another place or segment");
    }
    let Some((count, bytes)) = raw.merged else {
        return Ok(raw);
    };
    let start = HEADER + directory_bytes(raw.regions) as usize;
    let runs = runs::decode(&head[start..start + bytes as usize], count, raw.header.rows)?;
    if runs.last().map(|last| last.sequence) != Some(raw.header.sequence) {
        return Err("the last run of a merged frame is another one than its header says");
    }
    Ok(RawHeader {
        runs: Some(runs.into()),
        ..raw
    })
}

/// Version of a segment's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Frames as they were appended.
    Appended = 1,
    /// Merged frames, too.
    Merged = 2,
}

/// The header of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Version of its format.
    pub(crate) format: Format,
    /// Distinguishes this file from any other with the same name.
    pub(crate) epoch: u64,
    /// Offset of its first row.
    pub(crate) base: Offset,
    /// xxh3-64 of the run's name.
    pub(crate) topic: u64,
    /// Partition.
    pub(crate) partition: u32,
}

impl SegmentHeader {
    /// Its bytes and their check.
    pub(crate) fn write(&self) -> ([u8; SEGMENT_HEADER_BYTES as usize], u32) {
        let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
        bytes[..7].copy_from_slice(&SEGMENT_MAGIC);
        bytes[7] = self.format as u8;
        bytes[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.base.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.topic.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.partition.to_le_bytes());
        let check = crc32c(&bytes);
        bytes[60..].copy_from_slice(&check.to_le_bytes());
        (bytes, check)
    }

    /// The header, when its bytes are whole, with their check.
    pub(crate) fn read(bytes: &[u8]) -> Option<(SegmentHeader, u32)> {
        let bytes: &[u8; SEGMENT_HEADER_BYTES as usize] = bytes.first_chunk()?;
        let header = SegmentHeader {
            format: match bytes[7] {
                1 => Format::Appended,
                2 => Format::Merged,
                _ => return None,
            },
            epoch: u64_at(bytes, 8),
            base: Offset(u64_at(bytes, 16)),
            topic: u64_at(bytes, 24),
            partition: u32_at(bytes, 32),
        };
        let (again, check) = header.write();
        (again == *bytes).then_some((header, check))
    }

    /// The version of a format that a later release has written, in a header that is whole.
    pub(crate) fn later(bytes: &[u8]) -> Option<u8> {
        let bytes: &[u8; SEGMENT_HEADER_BYTES as usize] = bytes.first_chunk()?;
        let mut checked = *bytes;
        checked[60..].fill(0);
        let is_whole = bytes[..7] == SEGMENT_MAGIC && crc32c(&checked) == u32_at(bytes, 60);
        Some(bytes[7]).filter(|version| is_whole && *version > Format::Merged as u8)
    }
}
