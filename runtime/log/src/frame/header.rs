//! The 128 bytes in front of every frame, and the 64 in front of every segment. Drawn in docs/formats.md.

use crate::checksum::crc32c;
use crate::columns::{Payload, directory_bytes};
use crate::frame::{FrameHeader, FrameKind};
use crate::ids::{Offset, Position, Sequence, Timestamp};
use crate::limits::{
    FRAME_BYTES_MAX, FRAME_HEADER_BYTES, REGIONS_MAX, SEGMENT_HEADER_BYTES, aligned,
};

/// First bytes of a frame; zero is the end of the log.
pub(crate) const FRAME_MAGIC: [u8; 4] = *b"RFRM";
const SEGMENT_MAGIC: [u8; 8] = *b"REFRAIN\x01";
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
    /// Bytes of directory and columns.
    pub(crate) payload_bytes: u64,
    /// Its own check.
    pub(crate) check: u32,
}

impl RawHeader {
    /// Bytes of header and directory: what its check covers.
    pub(crate) fn head_bytes(&self) -> u64 {
        FRAME_HEADER_BYTES + directory_bytes(self.regions)
    }

    /// Bytes of columns.
    pub(crate) fn column_bytes(&self) -> u64 {
        self.payload_bytes - directory_bytes(self.regions)
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

/// Header and directory of a frame, and their check.
pub(crate) fn write(
    header: &FrameHeader,
    place: &Place,
    payload: &Payload,
    origins: bool,
) -> (Vec<u8>, u32) {
    let times = header.times.map_or(0, |_| FLAG_TIMES);
    let (time_min, time_max) = header.times.unwrap_or_default();
    let mut out = Vec::with_capacity(HEADER + directory_bytes(payload.regions()) as usize);
    out.extend_from_slice(&FRAME_MAGIC);
    out.push(header.kind as u8);
    out.push(times | if origins { FLAG_ORIGINS } else { 0 });
    out.extend_from_slice(&(payload.regions() as u16).to_le_bytes());
    out.extend_from_slice(&header.schema_version.to_le_bytes());
    out.extend_from_slice(&header.rows.to_le_bytes());
    for word in [
        payload.bytes(),
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
    out.resize(HEADER, 0);
    payload.write_directory(&mut out);
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
    RawHeader {
        header,
        place,
        regions: 0,
        origins: false,
        payload_bytes: 0,
        check,
    }
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
        _ => return Err("a frame of unknown kind"),
    };
    let regions = usize::from(u16::from_le_bytes([bytes[6], bytes[7]]));
    let payload_bytes = u64_at(bytes, 16);
    if regions > REGIONS_MAX
        || payload_bytes > FRAME_BYTES_MAX
        || payload_bytes < directory_bytes(regions)
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
    })
}

/// Whether header and directory (`head`, exactly [`RawHeader::head_bytes`]) are what was written, here.
pub(crate) fn verify(
    raw: &RawHeader,
    head: &[u8],
    epoch: u64,
    position: Position,
) -> Result<(), &'static str> {
    let mut checked = head.to_vec();
    checked[HEADER - 4..HEADER].fill(0);
    if crc32c(&checked) != raw.check {
        return Err("the checksum of a frame's header does not match");
    }
    if raw.place.epoch != epoch || raw.place.position != position {
        return Err("a frame of another place or segment");
    }
    Ok(())
}

/// The header of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
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
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
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
            epoch: u64_at(bytes, 8),
            base: Offset(u64_at(bytes, 16)),
            topic: u64_at(bytes, 24),
            partition: u32_at(bytes, 32),
        };
        let (again, check) = header.write();
        (again == *bytes).then_some((header, check))
    }
}
