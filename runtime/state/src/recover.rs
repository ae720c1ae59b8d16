//! Reading the commit log: which records make commits, what stands after damage. Rows that no closing record names are
//! passed over.
//!
//! What a log says from its first record on, or from the first one behind damage, is collected beside what stands, and
//! takes its place when a base is met that lies wholly in it.

use std::collections::BTreeMap;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use refrain_log::codec;
use refrain_log::frame::{Frame, FrameKind};
use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::segments::Segments;

use crate::Result;
use crate::held::{Changes, Held, apply_views, record_error};
use crate::record::{Base, Closing, Head, NOTE_ROWS, NOTE_STATES, Part, Tail};
use crate::registry::Entry;
use crate::store::Shelf;
use crate::store::disk::{Mark, Shelved};
use crate::view::{Prepared, View};

/// What reading came to.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) held: Held,
    /// Number of the last commit read, whether applied or not.
    pub(crate) commit: u64,
    /// Its time.
    pub(crate) time: Timestamp,
    /// The damage after which nothing could be applied.
    pub(crate) damage: Option<String>,
    /// The damage leaves no state that a node could go on from, or be looked at.
    pub(crate) unusable: bool,
    /// The last commit read, as a shelf remembers it.
    pub(crate) last: Option<Mark>,
    /// The mark of the shelf names a commit of this log.
    pub(crate) mark_met: bool,
    /// There was damage, healed by a base or not.
    pub(crate) broken: bool,
}

/// Reads all of the commit log. The shelf has states and view rows of all commits up to its mark; these are not touched. A
/// shelf on the disk cannot hold what stands before damage and what follows it: reading ends there then.
pub(crate) fn recover(log: &Segments, shelf: Shelf, shelved: Option<Shelved>) -> Result<Recovered> {
    let on_disk = shelf.disk().is_some();
    let mut reading = Reading::new(shelf, shelved)?;
    let mut at = log.start();
    let mut cursor = log.cursor(at)?;
    // Damage without a record in it is passed by a cursor opened behind it: so each place is tried twice.
    let mut again = true;
    while !(on_disk && reading.recovered.broken) {
        match cursor.next(Sequence(u64::MAX)) {
            Ok(Some(frame)) => {
                reading.take(frame)?;
                at = cursor.offset();
                again = true;
            }
            Ok(None) => break,
            Err(refrain_log::Error::Damaged {
                first, last, what, ..
            }) => {
                if !again {
                    reading.broken(format!("records {first} to {last}: {what}"))?;
                    at = Offset(at.0.max(last.0) + 1);
                }
                if at >= log.end() {
                    break;
                }
                again = !again;
                cursor = log.cursor(at)?;
            }
            Err(e) => return Err(e.into()),
        }
    }
    reading.finish(log.end())
}

struct Reading {
    recovered: Recovered,
    shelf: Shelf,
    shelved: Option<Shelved>,
    /// What is held is all there was at some commit.
    whole: bool,
    /// What the log says behind its beginning or behind damage, while no base was met.
    fresh: Option<Fresh>,
    /// Frames since the last closing record.
    frames: Vec<Frame>,
    /// Offset after the last frame.
    next: Option<Offset>,
}

/// What is collected until a base is met.
#[derive(Debug)]
struct Fresh {
    held: Held,
    /// Offset of the first frame in it.
    from: Option<Offset>,
}

impl Reading {
    fn new(shelf: Shelf, shelved: Option<Shelved>) -> Result<Reading> {
        let recovered = Recovered {
            held: Held::new(shelf.clone(), shelved.as_ref())?,
            commit: 0,
            time: Timestamp(0),
            damage: None,
            unusable: false,
            last: None,
            mark_met: false,
            broken: false,
        };
        Ok(Reading {
            recovered,
            shelf,
            shelved,
            whole: false,
            fresh: None,
            frames: Vec::new(),
            next: None,
        })
    }

    fn broken(&mut self, what: String) -> Result<()> {
        self.recovered.damage.get_or_insert(what);
        self.frames.clear();
        self.recovered.broken = true;
        self.fresh = Some(self.begin_anew(None)?);
        // What follows damage is no gap of its own.
        self.next = Some(Offset(u64::MAX));
        Ok(())
    }

    fn begin_anew(&self, from: Option<Offset>) -> Result<Fresh> {
        let held = Held::new(self.shelf.clone(), self.shelved.as_ref())?;
        Ok(Fresh { held, from })
    }

    fn take(&mut self, frame: Frame) -> Result<()> {
        let (base, rows) = (frame.header().base_offset, frame.header().rows);
        match (self.next, base) {
            (None, Offset(0)) => self.whole = true,
            (None, _) => self.fresh = Some(self.begin_anew(None)?),
            _ => {}
        }
        let expected = self.next.unwrap_or(base);
        if expected != base && expected != Offset(u64::MAX) {
            self.broken(format!("records {expected} to {base} are missing"))?;
        }
        self.next = Some(Offset(base.0 + u64::from(rows)));
        if let Some(fresh) = &mut self.fresh {
            fresh.from.get_or_insert(base);
        }
        match frame.header().kind {
            FrameKind::Rows => self.frames.push(frame),
            FrameKind::Close => self.close(&frame)?,
            FrameKind::Tick | FrameKind::Mark => {}
        }
        Ok(())
    }

    fn close(&mut self, frame: &Frame) -> Result<()> {
        let offset = frame.header().base_offset;
        let frames = std::mem::take(&mut self.frames);
        let column = match frame.column(0) {
            Ok(column) => column,
            Err(e) => return self.damaged(e),
        };
        let records = column.as_binary::<i32>();
        if records.len() != 1 {
            return Err(record_error(offset, "a closing frame holds one record"));
        }
        let closing: Closing =
            codec::decode(records.value(0)).map_err(|e| record_error(offset, e.to_string()))?;
        self.recovered.time = self.recovered.time.max(closing.time);
        let mark = Mark::of(&closing, records.value(0));
        self.recovered.mark_met |= Some(mark) == self.shelved.as_ref().map(|s| s.mark);
        self.recovered.last = Some(mark);
        if closing.commit <= self.recovered.commit {
            return Err(record_error(offset, "commits are out of order"));
        }
        self.recovered.commit = closing.commit;
        let frames: Vec<Frame> = frames
            .into_iter()
            .filter(|f| f.header().base_offset >= closing.first)
            .collect();
        let count: u64 = frames.iter().map(|f| u64::from(f.header().rows)).sum();
        if closing.first.0 + count != offset.0 {
            self.broken(format!("records of commit {} are missing", closing.commit))?;
            self.next = Some(Offset(offset.0 + 1));
            return Ok(());
        }
        self.apply(&closing, mark, &frames)
    }

    fn damaged(&mut self, error: refrain_log::Error) -> Result<()> {
        match error {
            refrain_log::Error::Damaged {
                first, last, what, ..
            } => {
                let next = self.next;
                self.broken(format!("records {first} to {last}: {what}"))?;
                self.next = next;
                Ok(())
            }
            e => Err(e.into()),
        }
    }

    /// Applies a whole commit, to what stands or to what is collected.
    fn apply(&mut self, closing: &Closing, mark: Mark, frames: &[Frame]) -> Result<()> {
        if closing.base == Base::Whole {
            if self.shelf.disk().is_some() {
                // Its rows would stand beside those of the same keys that were there before.
                return self.broken(format!(
                    "commit {} holds a base of an older form",
                    closing.commit
                ));
            }
            self.fresh = Some(self.begin_anew(Some(closing.first))?);
        }
        let partial = self.fresh.is_some();
        let held = match &mut self.fresh {
            Some(fresh) => &mut fresh.held,
            None => &mut self.recovered.held,
        };
        match apply(held, closing, frames, partial) {
            Ok(()) => {
                held.closed(closing, mark)?;
                self.complete(closing)
            }
            Err(crate::Error::Log(e)) => self.damaged(e),
            Err(e) => Err(e),
        }
    }

    /// What was collected takes its place when a base lies wholly in it.
    fn complete(&mut self, closing: &Closing) -> Result<()> {
        let from = match closing.base {
            Base::None => return Ok(()),
            Base::Whole => closing.first,
            Base::Rolled { from } => from,
        };
        let covers = |fresh: &mut Fresh| fresh.from.is_some_and(|begin| begin <= from);
        if let Some(fresh) = self.fresh.take_if(covers) {
            self.recovered.held = fresh.held;
            self.recovered.damage = None;
            self.whole = true;
        }
        if self.fresh.is_some() {
            return Ok(());
        }
        let checked = self.recovered.held.check(closing);
        checked.map_err(|what| record_error(closing.first, what))
    }

    fn finish(mut self, end: Offset) -> Result<Recovered> {
        let seen = self.next.unwrap_or(Offset(0));
        if seen < end && self.recovered.damage.is_none() {
            self.broken(format!("records {seen} to {end} are missing"))?;
        }
        if self.fresh.is_some() && self.recovered.damage.is_none() {
            self.broken("its first records are missing".into())?;
        }
        self.recovered.held.fill_shelf();
        self.recovered.unusable = self.recovered.damage.is_some() && !self.whole;
        Ok(self.recovered)
    }
}

/// Reads the changes of a commit, all of them, and only then applies them. `partial`: what is held lacks what was there
/// before it was begun.
fn apply(held: &mut Held, closing: &Closing, frames: &[Frame], partial: bool) -> Result<()> {
    // Columns are checked before anything is changed: damage must leave the commit before it whole.
    let shelved = closing.commit <= held.shelved;
    let touched =
        |f: &&Frame| !shelved || !matches!(f.header().producer_row, NOTE_STATES | NOTE_ROWS);
    let columns = frames
        .iter()
        .filter(touched)
        .map(|f| Ok((f, f.column(0)?)))
        .collect::<refrain_log::Result<Vec<_>>>()?;
    held.forget(closing)?;
    held.declare(closing)?;
    if !partial && closing.base == Base::None {
        held.check(closing)
            .map_err(|what| record_error(closing.first, what))?;
    }
    let mut parts = Parts {
        held,
        commit: closing.commit,
        partial,
        shelved,
        changes: BTreeMap::new(),
        entries: Vec::new(),
    };
    for (frame, column) in &columns {
        let records = column.as_binary::<i32>();
        for i in 0..records.len() {
            let offset = Offset(frame.header().base_offset.0 + i as u64);
            parts
                .read(records.value(i))
                .map_err(|what| record_error(offset, what))?;
        }
    }
    let Parts {
        mut changes,
        entries,
        ..
    } = parts;
    held.registry.apply(closing.commit, entries);
    apply_views(held.take_views(closing, &mut changes))?;
    held.close(closing, changes)
}

/// The changelog records of one commit.
struct Parts<'a> {
    held: &'a Held,
    commit: u64,
    partial: bool,
    /// Its states and view rows are on the shelf already.
    shelved: bool,
    changes: BTreeMap<String, Changes>,
    entries: Vec<Entry>,
}

impl Parts<'_> {
    fn read(&mut self, record: &[u8]) -> Result<(), String> {
        let part = Part::read(record)?;
        let Head {
            commit,
            node,
            task,
            tail,
        } = &part.head;
        if *commit != self.commit {
            return Err(format!(
                "a record of commit {commit} inside commit {}",
                self.commit
            ));
        }
        match *tail {
            Tail::StatesAgain { .. } | Tail::RowsAgain { .. } if !self.partial => {}
            Tail::States { .. } | Tail::Rows { .. } | Tail::Keys if self.shelved => {}
            // A shelf that has a mark lacks nothing that was there before.
            Tail::StatesAgain { .. } | Tail::RowsAgain { .. } if self.held.shelved > 0 => {}
            Tail::States { puts, deletes } => {
                let states = part.states(puts, deletes)?;
                self.changes_of(node).states.push((*task, states));
            }
            Tail::StatesAgain { puts } => {
                let states = part.states(puts, 0)?;
                self.changes_of(node).states.push((*task, states));
            }
            Tail::Rows { rows, bytes } | Tail::RowsAgain { rows, bytes } => {
                self.rows(node, |view| prepare_rows(view, &part, rows, bytes))?;
            }
            Tail::Entry { present } => {
                let text = part.entry(present)?;
                let name = node.clone();
                self.entries.push(Entry { name, text });
            }
            Tail::Keys => self.rows(node, |view| {
                let keys = part.keys(view.key_schema())?;
                view.prepare_keys(keys).map_err(|e| e.to_string())
            })?,
        }
        Ok(())
    }

    fn changes_of(&mut self, node: &str) -> &mut Changes {
        self.changes.entry(node.to_owned()).or_default()
    }

    fn rows(
        &mut self,
        node: &str,
        prepare: impl FnOnce(&View) -> Result<Prepared, String>,
    ) -> Result<(), String> {
        match self.held.view_of(node) {
            Some(view) => {
                let prepared = prepare(view)?;
                self.changes_of(node).rows.push(prepared);
                Ok(())
            }
            // Its declaration lies before what is read; a base that counts repeats it.
            None if self.partial => Ok(()),
            None => Err("rows of a view that was never declared".into()),
        }
    }
}

fn prepare_rows(view: &View, part: &Part<'_>, rows: u32, bytes: u64) -> Result<Prepared, String> {
    let (rows, finals) = part.rows(rows, bytes, view.schema())?;
    view.prepare_canonical(rows, finals, None)
        .map_err(|e| e.to_string())
}
