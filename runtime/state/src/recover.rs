//! Reading the commit log: which records make commits, what stands after damage. Rows that no closing record names are
//! passed over; after damage nothing is applied until a base is met that lies wholly after it.

use std::collections::BTreeMap;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use refrain_log::codec;
use refrain_log::frame::{Frame, FrameKind};
use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::segments::Segments;

use crate::Result;
use crate::held::{Changes, Held, apply_views, record_error};
use crate::record::{Closing, Part, Tail};
use crate::view::{Prepared, View};

/// What reading came to.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) held: Held,
    /// Number of the last commit read, whether applied or not.
    pub(crate) commit: u64,
    /// Its time.
    pub(crate) time: Timestamp,
    /// Where the last whole base begins.
    pub(crate) base: Option<Offset>,
    /// The damage after which nothing could be applied.
    pub(crate) damage: Option<String>,
    /// The damage leaves no state that a node could go on from, or be looked at.
    pub(crate) unusable: bool,
}

/// Reads all of the commit log.
pub(crate) fn recover(log: &Segments) -> Result<Recovered> {
    let mut reading = Reading::new();
    let mut at = log.start();
    let mut cursor = log.cursor(at)?;
    // Damage without a record in it is passed by a cursor opened behind it: so each place is tried twice.
    let mut again = true;
    loop {
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
                    reading.broken(format!("records {first} to {last}: {what}"));
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
    Ok(reading.finish(log.end()))
}

struct Reading {
    recovered: Recovered,
    /// Frames since the last closing record.
    frames: Vec<Frame>,
    /// Offset after the last frame.
    next: Option<Offset>,
}

impl Reading {
    fn new() -> Reading {
        let recovered = Recovered {
            held: Held::default(),
            commit: 0,
            time: Timestamp(0),
            base: None,
            damage: None,
            unusable: false,
        };
        Reading {
            recovered,
            frames: Vec::new(),
            next: None,
        }
    }

    fn broken(&mut self, what: String) {
        self.recovered.unusable |= self.next.is_none();
        self.recovered.damage.get_or_insert(what);
        self.frames.clear();
        // What follows damage is no gap of its own.
        self.next = Some(Offset(u64::MAX));
    }

    fn take(&mut self, frame: Frame) -> Result<()> {
        let (base, rows) = (frame.header().base_offset, frame.header().rows);
        let expected = self.next.unwrap_or(Offset(0));
        if expected != base && expected != Offset(u64::MAX) {
            self.broken(format!("records {expected} to {base} are missing"));
        }
        self.next = Some(Offset(base.0 + u64::from(rows)));
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
            self.broken(format!("records of commit {} are missing", closing.commit));
            self.next = Some(Offset(offset.0 + 1));
            return Ok(());
        }
        if self.recovered.damage.is_some() && !closing.base {
            return Ok(());
        }
        self.apply(&closing, &frames)
    }

    fn damaged(&mut self, error: refrain_log::Error) -> Result<()> {
        match error {
            refrain_log::Error::Damaged {
                first, last, what, ..
            } => {
                let next = self.next;
                self.broken(format!("records {first} to {last}: {what}"));
                self.next = next;
                Ok(())
            }
            e => Err(e.into()),
        }
    }

    /// Applies a whole commit. A base replaces everything.
    fn apply(&mut self, closing: &Closing, frames: &[Frame]) -> Result<()> {
        let mut held = Held::default();
        if !closing.base {
            std::mem::swap(&mut held, &mut self.recovered.held);
        }
        let outcome = apply(&mut held, closing, frames);
        match outcome {
            Ok(()) => {
                self.recovered.held = held;
                if closing.base {
                    self.recovered.base = Some(closing.first);
                    self.recovered.damage = None;
                    self.recovered.unusable = false;
                }
                Ok(())
            }
            Err(crate::Error::Log(e)) => {
                if !closing.base {
                    self.recovered.held = held;
                }
                self.damaged(e)
            }
            Err(e) => Err(e),
        }
    }

    fn finish(mut self, end: Offset) -> Recovered {
        let seen = self.next.unwrap_or(Offset(0));
        if seen < end && self.recovered.damage.is_none() {
            self.broken(format!("records {seen} to {end} are missing"));
        }
        self.recovered
    }
}

/// Reads the changes of a commit, all of them, and only then applies them.
fn apply(held: &mut Held, closing: &Closing, frames: &[Frame]) -> Result<()> {
    // Columns are checked before anything is changed: damage must leave the commit before it whole.
    let columns = frames
        .iter()
        .map(|f| f.column(0))
        .collect::<refrain_log::Result<Vec<_>>>()?;
    closing.forgotten.iter().for_each(|node| held.forget(node));
    held.declare(closing)?;
    if !closing.base {
        held.check(closing)
            .map_err(|what| record_error(closing.first, what))?;
    }
    let mut changes: BTreeMap<String, Changes> = BTreeMap::new();
    for (frame, column) in frames.iter().zip(&columns) {
        let records = column.as_binary::<i32>();
        for i in 0..records.len() {
            let offset = Offset(frame.header().base_offset.0 + i as u64);
            read_part(held, closing.commit, records.value(i), &mut changes)
                .map_err(|what| record_error(offset, what))?;
        }
    }
    apply_views(held.close(closing, changes));
    if closing.base {
        held.check(closing)
            .map_err(|what| record_error(closing.first, what))?;
    }
    Ok(())
}

fn read_part(
    held: &Held,
    commit: u64,
    record: &[u8],
    changes: &mut BTreeMap<String, Changes>,
) -> Result<(), String> {
    let part = Part::read(record)?;
    if part.head.commit != commit {
        return Err(format!(
            "a record of commit {} inside commit {commit}",
            part.head.commit
        ));
    }
    let view = || {
        held.view_of(&part.head.node)
            .ok_or("rows of a view that was never declared")
    };
    let prepared = match part.head.tail {
        Tail::States { puts, deletes } => {
            let states = part.states(puts, deletes)?;
            changes
                .entry(part.head.node.clone())
                .or_default()
                .states
                .push((part.head.task, states));
            return Ok(());
        }
        Tail::Rows { rows, bytes } => prepare_rows(view()?, &part, rows, bytes)?,
        Tail::Keys => view()?
            .prepare_keys(part.keys(view()?.key_schema())?)
            .map_err(|e| e.to_string())?,
    };
    changes
        .entry(part.head.node.clone())
        .or_default()
        .rows
        .push(prepared);
    Ok(())
}

fn prepare_rows(view: &View, part: &Part<'_>, rows: u32, bytes: u64) -> Result<Prepared, String> {
    let (rows, finals) = part.rows(rows, bytes, view.schema())?;
    view.prepare_canonical(rows, finals, None)
        .map_err(|e| e.to_string())
}
