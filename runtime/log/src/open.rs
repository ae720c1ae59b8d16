//! Opening a run: find its segments, scan the last, let recovery decide, do what it decided.

use std::path::PathBuf;
use std::sync::Arc;

use crate::codec;
use crate::frame::header::{RawHeader, SegmentHeader};
use crate::ids::{Offset, Position, Sequence, Timestamp};
use crate::index::{Footer, Past};
use crate::limits::SEGMENT_HEADER_BYTES;
use crate::log::Finding;
use crate::optimize::UNFINISHED;
use crate::recovery::{self, Known, Verdict};
use crate::retention::{REMOVED, Removed};
use crate::scan::{Fact, Reader, Scan, scan};
use crate::schemas::History;
use crate::segment::{Gap, Run, RunName, Segment, base_of, footer_name, segment_name};
use crate::storage::{File, Storage};
use crate::tail::{Active, Tail, TailOptions, VOID, Void, zero};
use crate::{Error, Result};

/// What to open.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) name: RunName,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) folder: PathBuf,
    pub(crate) quarantine: PathBuf,
    pub(crate) history: Arc<History>,
    pub(crate) options: TailOptions,
    /// Rows below this are known to have been durable.
    pub(crate) durable: Option<Offset>,
    /// Frames after this are taken away (a derived topic, after its last commit).
    pub(crate) cut: Option<Sequence>,
    /// It begins where retention left it, and nowhere else.
    pub(crate) retained: bool,
}

/// A run, open.
pub(crate) type Opened = (Arc<Run>, Tail, Vec<Finding>);

/// Opens and recovers a run, making its folder when absent. Everything kept is durable and published.
pub(crate) fn open(opening: Opening) -> Result<Opened> {
    let run = Run::new(
        opening.name.clone(),
        opening.storage.clone(),
        opening.folder.clone(),
        opening.quarantine.clone(),
        opening.history.clone(),
    );
    recover(Arc::new(run), &opening)
}

/// The same for a run that readers know already.
pub(crate) fn recover(run: Arc<Run>, opening: &Opening) -> Result<Opened> {
    let mut recovery = Recovery {
        run,
        opening,
        findings: Vec::new(),
        past: Past::default(),
        segments: Vec::new(),
    };
    let storage = &opening.storage;
    storage
        .create_dir_all(&opening.folder)
        .map_err(|e| recovery.run.io("create", &opening.folder, e))?;
    let known = recovery.run.clone();
    let _files = known.files();
    let tail = recovery.open()?;
    Ok((recovery.run, tail, recovery.findings))
}

struct Recovery<'a> {
    run: Arc<Run>,
    opening: &'a Opening,
    findings: Vec<Finding>,
    past: Past,
    segments: Vec<Arc<Segment>>,
}

impl Recovery<'_> {
    fn open(&mut self) -> Result<Tail> {
        let mut bases = self.bases()?;
        self.retained(&mut bases)?;
        let void = self.void(&mut bases)?;
        let mut last = self.last(&mut bases, void)?;
        self.cut(&mut bases, &mut last)?;
        let sealed = bases.len().saturating_sub(usize::from(last.is_some()));
        for (i, &base) in bases[..sealed].iter().enumerate() {
            self.open_sealed(base, bases.get(i + 1).copied())?;
        }
        let active = match last {
            Some((file, scan)) => self.open_last(bases[sealed], file, scan, void)?,
            None => None,
        };
        let start = self.run.kept_from();
        let next = self.segments.last().map_or(start, |s| s.end_offset());
        let floor = self.opening.durable.unwrap_or_default();
        if void.is_some() {
            let removed = self.run.storage.remove(&self.run.path(VOID));
            self.done("remove", VOID, removed)?;
            // Before anything is appended behind what it voided.
            self.done("sync", "", self.run.storage.sync_dir(&self.run.folder))?;
        }
        *self.run.segments_mut() = std::mem::take(&mut self.segments);
        let next = if active.is_none() {
            next.max(floor)
        } else {
            next
        };
        Ok(Tail::new(
            self.run.clone(),
            self.opening.options,
            std::mem::take(&mut self.past),
            active,
            next,
        ))
    }

    fn done<T>(&self, action: &'static str, name: &str, result: std::io::Result<T>) -> Result<T> {
        result.map_err(|e| self.run.io(action, &self.run.path(name), e))
    }

    /// First offsets of the segments. A new file that did not become one goes.
    fn bases(&self) -> Result<Vec<Offset>> {
        let names = self.done("list", "", self.run.storage.list(&self.run.folder))?;
        for name in names.iter().filter(|name| name.ends_with(UNFINISHED)) {
            let removed = self.run.storage.remove(&self.run.path(name));
            self.done("remove", name, removed)?;
        }
        Ok(names.iter().filter_map(|name| base_of(name)).collect())
    }

    /// Finishes a removal that was interrupted, and says so when more is missing than was removed.
    fn retained(&mut self, bases: &mut Vec<Offset>) -> Result<()> {
        if !self.opening.retained {
            return Ok(());
        }
        let removed = Removed::read(&self.run)?.unwrap_or_else(|e| {
            let what = format!(
                "{REMOVED}, the note of what retention took away, is damaged ({e}): what is gone counts as lost, and rows of \
                 it that a producer repeats are taken again; restore the note from a copy"
            );
            self.findings.push(self.finding(true, None, what));
            None
        });
        let start = removed.as_ref().map_or(Offset(0), |removed| removed.start);
        while bases.first().is_some_and(|base| *base < start) {
            self.run.unlink(bases.remove(0))?;
        }
        self.run.unlink_footers(start)?;
        if let Some(base) = bases.first().filter(|base| **base > start) {
            let rows = (start, Offset(base.0 - 1));
            let what = format!(
                "the segments of rows {} to {} are gone, and retention did not remove them; restore them from a copy",
                rows.0, rows.1
            );
            self.findings.push(self.finding(true, Some(rows), what));
        }
        self.past = removed.as_ref().map(|r| r.past.clone()).unwrap_or_default();
        *self.run.removed_mut() = removed;
        Ok(())
    }

    /// What a failed write left to be voided. Segments after it go.
    fn void(&mut self, bases: &mut Vec<Offset>) -> Result<Option<Void>> {
        let bytes = match self.run.storage.read(&self.run.path(VOID)) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            bytes => self.done("read", VOID, bytes)?,
        };
        let void: Void = match codec::decode(&bytes) {
            Ok(void) => void,
            Err(e) => {
                self.lost_void(&bytes, &e)?;
                return Ok(None);
            }
        };
        while let Some(base) = bases.pop_if(|base| *base > void.base) {
            self.remove_segment(base, "a write that was reported as failed")?;
        }
        Ok(Some(void))
    }

    /// Nobody knows any more what was refused: it counts as appended.
    fn lost_void(&mut self, bytes: &[u8], e: &Error) -> Result<()> {
        let kept = format!("{}-{VOID}", self.run.name.partition);
        self.put_aside(&kept, bytes)?;
        let removed = self.run.storage.remove(&self.run.path(VOID));
        self.done("remove", VOID, removed)?;
        self.done("sync", "", self.run.storage.sync_dir(&self.run.folder))?;
        let what = format!(
            "{VOID}, the note of what was refused after a failed write, is damaged ({e}) and was moved to quarantine: rows \
             of appends that were refused then may be among the last rows"
        );
        self.findings.push(self.finding(true, None, what));
        Ok(())
    }

    /// The last segment with anything in it, scanned. Empty ones behind it were never begun.
    fn last(
        &mut self,
        bases: &mut Vec<Offset>,
        void: Option<Void>,
    ) -> Result<Option<(Arc<dyn File>, Scan)>> {
        while let Some(&base) = bases.last() {
            let name = segment_name(base);
            let file = self.done("open", &name, self.run.storage.open(&self.run.path(&name)))?;
            let scan = self.scan(&*file, base)?;
            let voided =
                void.is_some_and(|v| v.base == base && v.position.0 <= SEGMENT_HEADER_BYTES);
            // A damaged header before frames that nobody knows to be durable is part of a torn write.
            let known = scan.durable() > Position(0) || self.opening.durable > Some(base);
            let begun = scan.header.is_some() || known && scan.frames().next().is_some();
            if begun && !voided {
                let footer = self.run.path(&footer_name(base));
                match self.run.storage.remove(&footer) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        return Err(self.run.io("remove", &footer, e));
                    }
                    _ => return Ok(Some((file, scan))),
                }
            }
            bases.pop();
            self.remove_segment(base, "a segment that was never begun")?;
        }
        Ok(None)
    }

    /// Removes whole segments after the cut of a derived topic.
    fn cut(
        &mut self,
        bases: &mut Vec<Offset>,
        last: &mut Option<(Arc<dyn File>, Scan)>,
    ) -> Result<()> {
        let Some(cut) = self.opening.cut else {
            return Ok(());
        };
        let beyond = |scan: &Scan| {
            scan.frames()
                .next()
                .is_none_or(|raw| raw.first_sequence() > cut)
        };
        while last.as_ref().is_some_and(|(_, scan)| beyond(scan)) {
            if let Some(base) = bases.pop() {
                let name = segment_name(base);
                let removed = self.run.storage.remove(&self.run.path(&name));
                self.done("remove", &name, removed)?;
            }
            *last = self.last(bases, None)?;
        }
        if let (Some((file, scan)), Some(base)) = (&*last, bases.last())
            && self.split(*base, file, scan, cut)?
        {
            *last = self.last(bases, None)?;
        }
        if let Some((file, scan)) = last {
            let from = scan.frames().find(|raw| raw.header.sequence > cut);
            let (from, to) = match (from, scan.facts.last()) {
                (Some(raw), Some(fact)) => (raw.place.position, end_of(fact)),
                _ => return Ok(()),
            };
            let name = segment_name(*bases.last().expect("the last segment has a base"));
            let cleared = zero(&**file, from, to).and_then(|()| file.sync());
            self.done("cut", &name, cleared)?;
            scan.facts.retain(|fact| end_of(fact) <= from);
        }
        Ok(())
    }

    /// Where a merged frame has rows on both sides of the cut, the segment is encoded anew up to the cut; whether it was.
    fn split(
        &self,
        base: Offset,
        file: &Arc<dyn File>,
        scan: &Scan,
        cut: Sequence,
    ) -> Result<bool> {
        let mut frames = scan.frames();
        let across = frames.find(|raw| raw.header.sequence > cut && raw.first_sequence() <= cut);
        let (Some(across), Some(last)) = (across, scan.facts.last()) else {
            return Ok(false);
        };
        let segment = Arc::new(Segment::new(base, scan.epoch, file.clone()));
        let end = across.end_up_to(cut);
        segment.publish(end_of(last), end);
        self.run.cut_merged(&segment, cut, end)?;
        Ok(true)
    }

    fn scan(&self, file: &dyn File, base: Offset) -> Result<Scan> {
        let name = segment_name(base);
        let scan = self.done("read", &name, scan(file, base))?;
        self.refuse_later(base, scan.later)?;
        Ok(scan)
    }

    /// What this release cannot read, it does not take for damage.
    fn refuse_later(&self, base: Offset, version: Option<u8>) -> Result<()> {
        let Some(version) = version else {
            return Ok(());
        };
        Err(Error::LaterFormat {
            topic: self.run.name.topic.clone(),
            partition: self.run.name.partition,
            segment: segment_name(base),
            version,
        })
    }

    fn remove_segment(&mut self, base: Offset, what: &str) -> Result<()> {
        let name = segment_name(base);
        let path = self.run.path(&name);
        let file = self.done("open", &name, self.run.storage.open(&path))?;
        let len = self.done("read", &name, file.len())?;
        let mut reader = Reader::new(&*file, len);
        let end = self.done("read", &name, reader.find_end(Position(0)))?;
        if end.0 > SEGMENT_HEADER_BYTES {
            self.quarantine(&*file, base, Position(0), end)?;
            self.findings.push(self.finding(
                false,
                None,
                format!("{name}: {what}, moved to quarantine"),
            ));
        }
        let removed = self.run.storage.remove(&path);
        self.done("remove", &name, removed)
    }

    fn finding(
        &self,
        acknowledged: bool,
        offsets: Option<(Offset, Offset)>,
        what: String,
    ) -> Finding {
        Finding {
            topic: self.run.name.topic.clone(),
            partition: self.run.name.partition,
            acknowledged,
            offsets,
            what,
        }
    }

    /// A segment that has a successor: by its footer, or by a scan when that is missing or damaged.
    fn open_sealed(&mut self, base: Offset, next: Option<Offset>) -> Result<()> {
        let name = segment_name(base);
        let file = self.done("open", &name, self.run.storage.open(&self.run.path(&name)))?;
        let footer = self.run.storage.read(&self.run.path(&footer_name(base)));
        let footer = footer
            .ok()
            .and_then(|bytes| codec::decode::<Footer>(&bytes).ok());
        let mut first = [0; SEGMENT_HEADER_BYTES as usize];
        self.done("read", &name, file.read_at(0, &mut first))?;
        self.refuse_later(base, SegmentHeader::later(&first))?;
        let header = SegmentHeader::read(&first);
        let whole = |f: &Footer| {
            let is_of_it = header.is_none_or(|(header, _)| header.epoch == f.epoch);
            is_of_it && (Some(f.end_offset) == next || next.is_none())
        };
        if let Some(footer) = footer.filter(whole) {
            let segment = Segment::new(base, footer.epoch, file);
            segment.publish(footer.end, footer.end_offset);
            segment.remember(footer.index, &footer.past);
            self.past = footer.past;
            self.segments.push(Arc::new(segment));
            return Ok(());
        }
        let scan = self.scan(&*file, base)?;
        let known = Known {
            durable_offset: next,
            sealed: true,
            void: None,
        };
        let verdict = recovery::decide(&scan.facts, Position(SEGMENT_HEADER_BYTES), base, known);
        let segment = self.segment(base, file, &scan, &verdict)?;
        let footer = Footer {
            epoch: segment.epoch,
            end: segment.end(),
            end_offset: segment.end_offset(),
            past: self.past.clone(),
            index: segment.index().clone(),
        };
        if verdict.gaps.is_empty() {
            let path = self.run.path(&footer_name(base));
            let _ = self.run.storage.replace(&path, &codec::encode(&footer));
        }
        self.segments.push(Arc::new(segment));
        Ok(())
    }

    /// A segment as a scan found it, with its damage reported.
    fn segment(
        &mut self,
        base: Offset,
        file: Arc<dyn File>,
        scan: &Scan,
        verdict: &Verdict,
    ) -> Result<Segment> {
        let segment = Segment::new(base, scan.epoch, file.clone());
        for fact in &scan.facts[..verdict.keep] {
            if let Fact::Frame(raw) = fact {
                segment.note(raw);
                self.past.note(raw);
            }
        }
        if scan.header.is_none() && verdict.keep > 0 {
            let what = format!(
                "{}: the header of the segment is damaged; its frames are served",
                segment.name
            );
            self.findings.push(self.finding(true, None, what));
        }
        for gap in &verdict.gaps {
            self.report(&segment, gap)?;
            self.quarantine(&*file, base, gap.from, gap.to)?;
            segment.add_gap(gap.clone());
        }
        segment.publish(verdict.end, verdict.end_offset);
        Ok(segment)
    }

    fn report(&mut self, segment: &Segment, gap: &Gap) -> Result<()> {
        let offsets = (gap.next > gap.first).then(|| (gap.first, Offset(gap.next.0 - 1)));
        let what = match offsets {
            Some(_) => self.run.damaged(segment, gap).to_string(),
            None => format!(
                "{}: bytes {} to {} are damaged ({}); no row was in them",
                segment.name, gap.from, gap.to, gap.what
            ),
        };
        self.findings.push(self.finding(true, offsets, what));
        Ok(())
    }

    /// The segment that takes appends.
    fn open_last(
        &mut self,
        base: Offset,
        file: Arc<dyn File>,
        scan: Scan,
        void: Option<Void>,
    ) -> Result<Option<Active>> {
        let name = segment_name(base);
        let known = Known {
            durable_offset: self.opening.durable,
            sealed: false,
            void: void.filter(|v| v.base == base).map(|v| v.position),
        };
        let start = Position(SEGMENT_HEADER_BYTES);
        let verdict = recovery::decide(&scan.facts, start, base, known);
        if let Some((from, to, what)) = verdict.torn {
            self.quarantine(&*file, base, from, to)?;
            let cleared = zero(&*file, from, to);
            self.done("cut", &name, cleared)?;
            let what = format!(
                "{name}: {} bytes after row {} were never acknowledged ({what}); they were moved to quarantine",
                to.0 - from.0,
                verdict.end_offset
            );
            self.findings.push(self.finding(false, None, what));
        }
        self.done("sync", &name, file.sync())?;
        let allocated = self.done("read", &name, file.len())?;
        let segment = Arc::new(self.segment(base, file.clone(), &scan, &verdict)?);
        self.segments.push(segment.clone());
        if verdict.tail_lost || scan.header.is_none() && verdict.keep == 0 {
            return Ok(None);
        }
        let last = scan.facts[..verdict.keep].last();
        let (check, marked) = match last {
            Some(Fact::Frame(raw)) => (
                raw.check,
                raw.header.kind == crate::frame::FrameKind::Mark
                    && raw.place.durable == raw.place.position,
            ),
            _ => (scan.check.unwrap_or_default(), false),
        };
        Ok(Some(Active {
            segment,
            file,
            allocated,
            end: verdict.end,
            end_offset: verdict.end_offset,
            check,
            durable: verdict.end,
            marked,
        }))
    }

    /// Copies bytes to where an operator finds them.
    fn quarantine(
        &self,
        file: &dyn File,
        base: Offset,
        from: Position,
        to: Position,
    ) -> Result<()> {
        if to <= from {
            return Ok(());
        }
        let mut bytes = vec![0; (to.0 - from.0) as usize];
        let name = segment_name(base);
        let read = self.done("read", &name, file.read_at(from.0, &mut bytes))?;
        let partition = self.run.name.partition;
        let kept = format!("{partition}-{:020}-{from}", base.0);
        self.put_aside(&kept, &bytes[..read])
    }

    /// Writes bytes into the folder for what is taken out.
    fn put_aside(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (storage, folder) = (&self.run.storage, &self.run.quarantine);
        let path = folder.join(name);
        let kept = storage
            .create_dir_all(folder)
            .and_then(|()| storage.replace(&path, bytes));
        kept.map_err(|e| self.run.io("write", &path, e))
    }
}

/// How far a run got that is not open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// Greatest sequence.
    pub(crate) sequence: Sequence,
    /// Greatest append time.
    pub(crate) append_time: Timestamp,
    /// Greatest version of a schema that a frame was written under.
    pub(crate) schema_version: u32,
}

impl Reach {
    fn of(raw: &RawHeader) -> Reach {
        Reach {
            sequence: raw.header.sequence,
            append_time: raw.header.append_time,
            schema_version: raw.header.schema_version,
        }
    }

    fn and(self, other: Reach) -> Reach {
        Reach {
            sequence: self.sequence.max(other.sequence),
            append_time: self.append_time.max(other.append_time),
            schema_version: self.schema_version.max(other.schema_version),
        }
    }
}

/// How far a run got that is not open, by its last segment that has a frame; none: there is no frame.
pub(crate) fn reach(run: &Run) -> Result<Option<Reach>> {
    let names = run.storage.list(&run.folder);
    let names = names.map_err(|e| run.io("list", &run.folder, e))?;
    for base in names.iter().rev().filter_map(|name| base_of(name)) {
        let path = run.path(&segment_name(base));
        let scanned = run.storage.open(&path).and_then(|file| scan(&*file, base));
        let scanned = scanned.map_err(|e| run.io("read", &path, e))?;
        if let Some(last) = scanned.frames().map(Reach::of).reduce(Reach::and) {
            return Ok(Some(last));
        }
    }
    Ok(None)
}

fn end_of(fact: &Fact) -> Position {
    match fact {
        Fact::Frame(raw) => raw.end(),
        Fact::Bad { to, .. } => *to,
    }
}
