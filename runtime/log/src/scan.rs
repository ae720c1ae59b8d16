//! Reading a segment file with `pread`, believing nothing: the facts on which recovery decides.

use std::io;

use crate::checksum::crc32c;
use crate::columns::read_directory;
use crate::frame::header::{self, FRAME_MAGIC, RawHeader, SegmentHeader};
use crate::ids::{Offset, Position};
use crate::limits::{ALIGN_BYTES, FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES, aligned};
use crate::storage::File;

/// Bytes read at a time.
const WINDOW_BYTES: u64 = 1 << 20;

/// What stands at one place of a segment.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    /// A frame whose header and directory are whole, and whose columns are too where they were checked.
    Frame(RawHeader),
    /// Something else, up to the next frame or the last byte that is not zero.
    Bad {
        from: Position,
        to: Position,
        what: &'static str,
        /// The header, where it alone is whole.
        raw: Option<RawHeader>,
    },
}

/// A segment file as it was found.
#[derive(Debug)]
pub(crate) struct Scan {
    /// `None`: zero, or damaged.
    pub(crate) header: Option<SegmentHeader>,
    /// From the header, else from the first frame.
    pub(crate) epoch: u64,
    /// Check that the first frame must name, when known.
    pub(crate) check: Option<u32>,
    pub(crate) facts: Vec<Fact>,
    /// Version of its format, where a later release wrote it.
    pub(crate) later: Option<u8>,
}

impl Scan {
    pub(crate) fn frames(&self) -> impl Iterator<Item = &RawHeader> {
        self.facts.iter().filter_map(|fact| match fact {
            Fact::Frame(raw) => Some(raw),
            Fact::Bad { .. } => None,
        })
    }

    /// The highest position that any frame knew to be durable.
    pub(crate) fn durable(&self) -> Position {
        self.frames()
            .map(|raw| raw.place.durable)
            .max()
            .unwrap_or_default()
    }
}

/// Scans a whole segment: all headers, and the columns of the frames past the durable position.
pub(crate) fn scan(file: &dyn File, base: Offset) -> io::Result<Scan> {
    let mut reader = Reader::new(file, file.len()?);
    let first = reader.bytes(Position(0), SEGMENT_HEADER_BYTES)?;
    let header = SegmentHeader::read(first).filter(|(header, _)| header.base == base);
    let later = SegmentHeader::later(first);
    let start = Position(SEGMENT_HEADER_BYTES);
    let epoch = match header {
        Some((header, _)) => header.epoch,
        None => reader.find_any_epoch(start)?.unwrap_or_default(),
    };
    let mut scan = Scan {
        later,
        header: header.map(|(header, _)| header),
        epoch,
        check: header.map(|(_, check)| check),
        facts: reader.facts(start, epoch, header.map(|(_, check)| check), base)?,
    };
    let durable = scan.durable();
    for fact in &mut scan.facts {
        if let Fact::Frame(raw) = fact
            && raw.end() > durable
            && let Some(what) = reader.check_columns(raw)?
        {
            *fact = Fact::Bad {
                from: raw.place.position,
                to: raw.end(),
                what,
                raw: Some(raw.clone()),
            };
        }
    }
    Ok(scan)
}

/// What a whole look at the first bytes of a segment found.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Offset after the last row that was found.
    pub(crate) end: Offset,
    /// What is wrong, each a sentence, with the first row that is concerned and the one after the last, where known.
    pub(crate) flaws: Vec<(String, Option<(Offset, Offset)>)>,
    /// Frames that are whole.
    pub(crate) frames: u64,
}

/// Reads the first bytes of a segment, up to `end`: every frame, every checksum.
pub(crate) fn check(file: &dyn File, base: Offset, end: Position) -> io::Result<Checked> {
    let mut reader = Reader::new(file, file.len()?.min(end.0));
    let mut checked = Checked {
        end: base,
        flaws: Vec::new(),
        frames: 0,
    };
    if reader.len < end.0 {
        let what = format!("has {} of {end} bytes", reader.len);
        checked.flaws.push((what, None));
    }
    let first = reader.bytes(Position(0), SEGMENT_HEADER_BYTES)?;
    let header = SegmentHeader::read(first).filter(|(header, _)| header.base == base);
    let start = Position(SEGMENT_HEADER_BYTES);
    if header.is_none() {
        checked.flaws.push(("its header is damaged".into(), None));
    }
    let epoch = match header {
        Some((header, _)) => header.epoch,
        None => reader.find_any_epoch(start)?.unwrap_or_default(),
    };
    let mut reached = start;
    for fact in reader.facts(start, epoch, header.map(|(_, check)| check), base)? {
        let (from, to, what, rows) = match fact {
            Fact::Bad { from, to, what, .. } => (from, to, what, None),
            Fact::Frame(raw) => {
                let rows = (raw.header.base_offset, raw.end_offset());
                // What stood before this frame had the rows up to it.
                if let Some((_, lost)) = checked.flaws.last_mut()
                    && checked.end < rows.0
                {
                    *lost = Some((checked.end, rows.0));
                }
                checked.end = rows.1;
                reached = raw.end();
                let Some(what) = reader.check_columns(&raw)? else {
                    checked.frames += 1;
                    continue;
                };
                (raw.place.position, raw.end(), what, Some(rows))
            }
        };
        reached = reached.max(to);
        let what = format!("bytes {from} to {to}: {what}");
        checked.flaws.push((what, rows));
    }
    if reached < end && reader.len >= end.0 {
        let what = format!("bytes {reached} to {end}: nothing where frames were");
        checked.flaws.push((what, None));
    }
    Ok(checked)
}

/// A window over a file.
pub(crate) struct Reader<'a> {
    file: &'a dyn File,
    len: u64,
    start: u64,
    window: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// Reads nothing at or past `len`.
    pub(crate) fn new(file: &'a dyn File, len: u64) -> Self {
        Self {
            file,
            len,
            start: 0,
            window: Vec::new(),
        }
    }

    /// Up to `count` bytes from `position`; fewer only at the end.
    pub(crate) fn bytes(&mut self, position: Position, count: u64) -> io::Result<&[u8]> {
        let from = position.0.min(self.len);
        let to = (position.0 + count).min(self.len);
        if from < self.start || to > self.start + self.window.len() as u64 {
            let wanted = (to - from).max(WINDOW_BYTES).min(self.len - from);
            self.window.resize(wanted as usize, 0);
            let read = self.file.read_at(from, &mut self.window)?;
            self.window.truncate(read);
            self.start = from;
        }
        let have = |at: u64| ((at - self.start) as usize).min(self.window.len());
        Ok(&self.window[have(from)..have(to)])
    }

    /// The frame at `position`, its header and directory verified.
    fn frame(
        &mut self,
        position: Position,
        epoch: u64,
    ) -> io::Result<Result<RawHeader, &'static str>> {
        let head = self.bytes(position, FRAME_HEADER_BYTES)?;
        let raw = match head
            .first_chunk()
            .map_or(Err("a frame is cut off"), header::read)
        {
            Ok(raw) => raw,
            Err(what) => return Ok(Err(what)),
        };
        if position.0 + FRAME_HEADER_BYTES + raw.payload_bytes > self.len {
            return Ok(Err("a frame is longer than its segment"));
        }
        let head = self.bytes(position, raw.head_bytes())?;
        Ok(header::verify(raw, head, epoch, position))
    }

    /// The first whole frame at or after `from`.
    pub(crate) fn find_frame(
        &mut self,
        from: Position,
        epoch: u64,
    ) -> io::Result<Option<RawHeader>> {
        let mut position = from;
        while let Some(at) = self.find_magic(position)? {
            if let Ok(raw) = self.frame(at, epoch)? {
                return Ok(Some(raw));
            }
            position = Position(at.0 + ALIGN_BYTES);
        }
        Ok(None)
    }

    /// The epoch that the first frame with a whole header claims: for a segment whose own header is damaged.
    fn find_any_epoch(&mut self, from: Position) -> io::Result<Option<u64>> {
        let mut position = from;
        while let Some(at) = self.find_magic(position)? {
            let head = self.bytes(at, FRAME_HEADER_BYTES)?;
            let claimed = head.first_chunk().and_then(|head| header::read(head).ok());
            if let Some(raw) = claimed
                && self.frame(at, raw.place.epoch)?.is_ok()
            {
                return Ok(Some(raw.place.epoch));
            }
            position = Position(at.0 + ALIGN_BYTES);
        }
        Ok(None)
    }

    /// The first aligned place at or after `from` that begins as a frame does.
    fn find_magic(&mut self, from: Position) -> io::Result<Option<Position>> {
        let mut position = from.0;
        while position + FRAME_HEADER_BYTES <= self.len {
            let bytes = self.bytes(Position(position), WINDOW_BYTES)?;
            let blocks = bytes.chunks(ALIGN_BYTES as usize);
            if let Some(found) = blocks.clone().position(|b| b.starts_with(&FRAME_MAGIC)) {
                return Ok(Some(Position(position + found as u64 * ALIGN_BYTES)));
            }
            if bytes.is_empty() {
                break;
            }
            position += (bytes.len() as u64).next_multiple_of(ALIGN_BYTES);
        }
        Ok(None)
    }

    /// The end of the last block at or after `from` that is not zero.
    pub(crate) fn find_end(&mut self, from: Position) -> io::Result<Position> {
        let mut end = from.0;
        let mut position = from.0;
        while position < self.len {
            let bytes = self.bytes(Position(position), WINDOW_BYTES)?;
            if let Some(last) = bytes.iter().rposition(|&b| b != 0) {
                end = aligned(position + last as u64 + 1);
            }
            if bytes.is_empty() {
                break;
            }
            position += bytes.len() as u64;
        }
        Ok(Position(end.min(self.len)))
    }

    /// Everything from `position` on, in order.
    fn facts(
        &mut self,
        mut position: Position,
        epoch: u64,
        mut check: Option<u32>,
        base: Offset,
    ) -> io::Result<Vec<Fact>> {
        let mut facts = Vec::new();
        let mut offset = Some(base).filter(|_| check.is_some());
        loop {
            let what = match self.frame(position, epoch)? {
                Ok(raw) if check.is_some_and(|check| check != raw.place.previous) => {
                    "a frame that does not follow the one before it"
                }
                Ok(raw) if offset.is_some_and(|offset| offset != raw.header.base_offset) => {
                    "a frame whose offset does not follow"
                }
                Ok(raw) => {
                    (check, offset) = (Some(raw.check), Some(raw.end_offset()));
                    position = raw.end();
                    facts.push(Fact::Frame(raw));
                    continue;
                }
                Err(what) => what,
            };
            let next = self.find_frame(Position(position.0 + ALIGN_BYTES), epoch)?;
            let to = match &next {
                Some(raw) => raw.place.position,
                None => self.find_end(position)?,
            };
            if to > position {
                facts.push(Fact::Bad {
                    from: position,
                    to,
                    what,
                    raw: None,
                });
            }
            if next.is_none() {
                return Ok(facts);
            }
            (position, check, offset) = (to, None, None);
        }
    }

    /// What is wrong with the columns of a frame.
    fn check_columns(&mut self, raw: &RawHeader) -> io::Result<Option<&'static str>> {
        let start = raw.place.position.0;
        let bytes = self.bytes(raw.place.position, raw.end().0 - start)?;
        let head = raw.head_bytes() as usize;
        if (bytes.len() as u64) < raw.end().0 - start {
            return Ok(Some("a frame is cut off"));
        }
        let columns = &bytes[head..];
        for entry in read_directory(&bytes[FRAME_HEADER_BYTES as usize..head], raw.regions) {
            if !entry.fits(raw.column_bytes()) {
                return Ok(Some("a column lies outside its frame"));
            }
            let from = entry.offset as usize;
            if crc32c(&columns[from..from + entry.length as usize]) != entry.check {
                return Ok(Some("the checksum of a column does not match"));
            }
        }
        Ok(None)
    }
}
