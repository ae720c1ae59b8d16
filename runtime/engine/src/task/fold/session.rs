//! Session windows: from a row of a key to the last one before a silence of `gap`.
//!
//! A row at t spans [t, t + gap), and a session the union of the spans of its rows. A row that touches no open session
//! begins one; one that touches several makes one of them, the states joined by the plugin, the earlier first. A row that
//! the plugin refuses leaves no trace, neither in a state nor in the span of a session: so a row joins a call only when
//! its place does not hang on whether rows before it in the same call are taken. Where it does, the call is made first.
//! That is seldom: a row has to come later than a gap after all that its key had before the call.
//!
//! A session is named by its *mark*, the earliest time of a row that would not have been late alone. Nearly always that
//! is its start. A row that is late alone and touches an open session counts in it, and widens it, and does not become
//! its mark: so no session ever gets the mark of one that is closed, whose row is final.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use refrain_plugin::States;

use super::FoldTask;
use super::timed::{Assign, At};
use crate::input::Batch;
use crate::pipeline::Window;
use crate::task::Failure;
use crate::task::care::Refused;
use crate::task::slots::{Found, Slots, Table};
use crate::watermark::NEVER;

/// No next session of the key.
const NONE: u32 = u32::MAX;

/// An open session. The sessions of a key are a chain, earliest first, whose first slot the table knows.
#[derive(Clone, Copy, Debug)]
struct Session {
    /// Never used twice, other than slots.
    id: u64,
    /// See above. Meaningless until a row was taken, as `start` and `end`.
    mark: i64,
    /// Span of the rows that were taken.
    start: i64,
    end: i64,
    /// The same with those of the call being filled.
    lo: i64,
    hi: i64,
    /// Whether a row was taken.
    born: bool,
    next: u32,
    /// Mark under which the store and the view know it.
    known: Option<i64>,
    /// End under which the store's index knows it.
    noted: Option<i64>,
}

/// Open sessions by slot.
pub(super) struct Sessions {
    gap: i64,
    lateness: i64,
    all: Vec<Option<Session>>,
    /// Rows of the call being filled.
    pending: Vec<Pending>,
    /// One entry a session that was born: an end that it had at some time, its id, its slot. What is out of date is put
    /// right when it is due.
    due: BinaryHeap<Reverse<(i64, u64, u32)>>,
    /// Earliest end that a session begun in the call being filled may have.
    unborn_end: i64,
    ids: u64,
}

/// A row of the call being filled.
#[derive(Clone, Copy)]
struct Pending {
    row: usize,
    slot: u32,
    time: i64,
    /// Whether it would be late alone.
    late_alone: bool,
}

/// What a row finds.
enum Sight {
    /// Its place hangs on rows of the call being filled.
    Unsure,
    Late,
    Alone,
    In(u32),
    /// It makes one of these, earliest first.
    Between(Vec<u32>),
}

impl Sessions {
    pub(super) fn new(window: Option<&Window>) -> Sessions {
        let (gap, lateness) = match window {
            Some(Window::Session {
                gap_us,
                lateness_us,
                ..
            }) => (*gap_us, *lateness_us),
            _ => (0, 0),
        };
        Sessions {
            gap,
            lateness,
            all: Vec::new(),
            pending: Vec::new(),
            due: BinaryHeap::new(),
            unborn_end: i64::MAX,
            ids: 0,
        }
    }

    fn at(&self, slot: u32) -> &Session {
        self.all[slot as usize]
            .as_ref()
            .expect("a slot in use has its session")
    }

    fn at_mut(&mut self, slot: u32) -> &mut Session {
        self.all[slot as usize]
            .as_mut()
            .expect("a slot in use has its session")
    }

    /// End of a session: the last row's event time and the gap.
    pub(super) fn end(&self, slot: u32) -> i64 {
        self.at(slot).end
    }

    pub(super) fn known(&self, slot: u32) -> Option<i64> {
        self.at(slot).known
    }

    pub(super) fn set_known(&mut self, slot: u32, mark: i64) {
        self.at_mut(slot).known = Some(mark);
    }

    pub(super) fn noted(&self, slot: u32) -> Option<i64> {
        self.at(slot).noted
    }

    pub(super) fn set_noted(&mut self, slot: u32, end: Option<i64>) {
        self.at_mut(slot).noted = end;
    }

    /// The sessions of a key whose first one is `head`, earliest first.
    pub(super) fn of_key(&self, head: u32) -> Vec<u32> {
        self.chain(head).map(|(slot, _)| slot).collect()
    }

    /// The end up to which sessions close at a watermark.
    pub(super) fn bound(&self, watermark: i64) -> i64 {
        watermark.saturating_sub(self.lateness)
    }

    /// The watermark at which a session of this end closes.
    pub(super) fn closes_at(&self, end: i64) -> i64 {
        end.saturating_add(self.lateness)
    }

    /// Forgets what was due of sessions that are no more here, when that is most of it.
    pub(super) fn trim(&mut self, in_use: usize) {
        if self.due.len() > 2 * in_use + 1024 {
            let all = &self.all;
            self.due.retain(|Reverse((_, id, slot))| {
                let session = all.get(*slot as usize).and_then(Option::as_ref);
                session.is_some_and(|session| session.id == *id)
            });
        }
    }

    pub(super) fn start(&self, slot: u32) -> i64 {
        self.at(slot).start
    }

    fn closed(&self, end: i64, watermark: i64) -> bool {
        watermark != NEVER && end.saturating_add(self.lateness) <= watermark
    }

    fn chain(&self, head: u32) -> impl Iterator<Item = (u32, &Session)> {
        let next = |slot: &u32| Some(self.at(*slot).next).filter(|next| *next != NONE);
        std::iter::successors(Some(head), next).map(|slot| (slot, self.at(slot)))
    }

    /// What a row of the key whose first session is `head` finds.
    fn look(&self, head: u32, time: i64, watermark: i64) -> Sight {
        let own_end = time.saturating_add(self.gap);
        let (mut end, mut end_maybe) = (own_end, own_end);
        let mut first = None;
        let mut more = Vec::new();
        for (slot, session) in self.chain(head) {
            let sure = session.born && session.start < own_end && time < session.end;
            let maybe = session.lo < own_end && time < session.hi;
            if sure != maybe {
                return Sight::Unsure;
            }
            if !sure {
                continue;
            }
            end = end.max(session.end);
            end_maybe = end_maybe.max(session.hi);
            match first {
                None => first = Some(slot),
                Some(_) => more.push(slot),
            }
        }
        match (
            self.closed(end, watermark),
            self.closed(end_maybe, watermark),
        ) {
            (true, true) => return Sight::Late,
            (false, false) => {}
            _ => return Sight::Unsure,
        }
        match first {
            None => Sight::Alone,
            Some(slot) if more.is_empty() => Sight::In(slot),
            Some(slot) => {
                more.insert(0, slot);
                Sight::Between(more)
            }
        }
    }

    fn put(&mut self, slot: u32, session: Session) {
        let at = slot as usize;
        if at >= self.all.len() {
            self.all.resize(at + 1, None);
        }
        self.all[at] = Some(session);
    }

    fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Begins a session that nobody has taken a row of yet.
    fn begin(&mut self, slot: u32, time: i64) {
        let hi = time.saturating_add(self.gap);
        self.unborn_end = self.unborn_end.min(hi);
        let session = Session {
            id: self.id(),
            mark: time,
            start: time,
            end: time,
            lo: time,
            hi,
            born: false,
            next: NONE,
            known: None,
            noted: None,
        };
        self.put(slot, session);
    }

    /// A session that comes from the store.
    pub(super) fn restore(&mut self, slot: u32, mark: i64, start: i64, end: i64) {
        let id = self.id();
        self.put(
            slot,
            Session {
                id,
                mark,
                start,
                end,
                lo: start,
                hi: end,
                born: true,
                next: NONE,
                known: Some(mark),
                noted: None,
            },
        );
        self.due.push(Reverse((end, id, slot)));
    }

    /// Puts a slot into the chain of its key, which begins with `head`. Returns the first of the chain now.
    pub(super) fn link(&mut self, head: u32, slot: u32) -> u32 {
        let lo = self.at(slot).lo;
        let before = self
            .chain(head)
            .take_while(|(_, s)| s.lo < lo)
            .last()
            .map(|(slot, _)| slot);
        match before {
            None => {
                self.at_mut(slot).next = head;
                slot
            }
            Some(before) => {
                self.at_mut(slot).next = self.at(before).next;
                self.at_mut(before).next = slot;
                head
            }
        }
    }

    /// Takes a slot out of the chain of its key. The table finds the next one then, or still this one when it is the
    /// last.
    pub(super) fn unlink(&mut self, slots: &mut Slots, table: &mut Table, slot: u32) {
        let head = slots.head(table, slot);
        let next = self.at(slot).next;
        if head == slot {
            if next != NONE {
                slots.repoint(table, slot, next);
            }
        } else {
            let before = self
                .chain(head)
                .find(|(_, s)| s.next == slot)
                .map(|(slot, _)| slot);
            self.at_mut(before.expect("a session is in the chain of its key"))
                .next = next;
        }
        self.all[slot as usize] = None;
    }

    fn join_call(&mut self, slot: u32, at: &At<'_>) {
        let hi = at.time.saturating_add(self.gap);
        let late_alone = self.closed(hi, at.watermark);
        let session = self.at_mut(slot);
        session.lo = session.lo.min(at.time);
        session.hi = session.hi.max(hi);
        self.pending.push(Pending {
            row: at.row,
            slot,
            time: at.time,
            late_alone,
        });
    }

    /// The call was taken but for the refused rows. Sessions that are still not born have none.
    pub(super) fn settle(&mut self, refused: &Refused, slots: &mut Slots) {
        self.unborn_end = i64::MAX;
        let pending = std::mem::take(&mut self.pending);
        for pending in &pending {
            if refused.binary_search_by_key(&pending.row, |r| r.0).is_err() {
                self.take(pending.slot, pending.time, pending.late_alone);
                slots.get_mut(pending.slot).window = self.at(pending.slot).mark;
            }
        }
        for pending in &pending {
            let session = self.at_mut(pending.slot);
            if session.born {
                (session.lo, session.hi) = (session.start, session.end);
            }
        }
    }

    fn take(&mut self, slot: u32, time: i64, late_alone: bool) {
        let end = time.saturating_add(self.gap);
        let session = self.at_mut(slot);
        if session.born {
            if !late_alone {
                session.mark = session.mark.min(time);
            }
            session.start = session.start.min(time);
            session.end = session.end.max(end);
        } else {
            (session.born, session.mark) = (true, time);
            (session.start, session.end) = (time, end);
            let id = session.id;
            self.due.push(Reverse((end, id, slot)));
        }
    }

    /// Sessions that close at this watermark as far as is known, and the watermark before which none other does.
    fn passed(&mut self, watermark: i64) -> (Vec<u32>, i64) {
        let mut passed = Vec::new();
        while let Some(Reverse((end, id, slot))) = self.due.peek().copied() {
            if !self.closed(end, watermark) {
                return (passed, end.saturating_add(self.lateness));
            }
            self.due.pop();
            match self.all.get(slot as usize).copied().flatten() {
                Some(session) if session.id == id && session.end > end => {
                    self.due.push(Reverse((session.end, id, slot)));
                }
                Some(session) if session.id == id => passed.push(slot),
                _ => {}
            }
        }
        (passed, i64::MAX)
    }

    /// A session that has passed is looked at again.
    fn look_again(&mut self, slot: u32) {
        let session = self.at(slot);
        self.due.push(Reverse((session.end, session.id, slot)));
    }

    /// The watermark before which no session closes that the call being filled begins.
    fn unborn_close(&self) -> i64 {
        self.unborn_end.saturating_add(self.lateness)
    }
}

/// Each row in the session of its key that it touches.
pub(super) struct Silence;

impl Assign for Silence {
    fn row(&mut self, task: &mut FoldTask, at: &At<'_>) -> Result<(), Failure> {
        loop {
            let core = &mut task.core;
            let found = core.slots.find(&mut core.tables[0], at.keys, at.row);
            let sight = match found {
                Found::Known(head) => core.sessions.look(head, at.time, at.watermark),
                Found::New(slot) => {
                    let end = at.time.saturating_add(core.sessions.gap);
                    if core.sessions.closed(end, at.watermark) {
                        core.slots.fresh.pop();
                        core.slots.forget(&mut core.tables[0], slot);
                        Sight::Late
                    } else {
                        core.sessions.begin(slot, at.time);
                        Sight::In(slot)
                    }
                }
            };
            match sight {
                Sight::Unsure => {
                    task.flush(at.batch)?;
                    continue;
                }
                Sight::Late => task.late(at),
                Sight::In(slot) => task.join_session(slot, at),
                Sight::Alone => {
                    let slot = task.begin_session(found.slot(), at.time);
                    task.join_session(slot, at);
                }
                Sight::Between(slots) => task.bridge(&slots, at)?,
            }
            return Ok(());
        }
    }
}

impl FoldTask {
    fn join_session(&mut self, slot: u32, at: &At<'_>) {
        self.core.sessions.join_call(slot, at);
        self.core.slots.mark(slot);
        self.core.call.take(slot);
        self.core.next_close = self.core.next_close.min(self.core.sessions.unborn_close());
    }

    /// One more session of a key whose first is `head`.
    fn begin_session(&mut self, head: u32, time: i64) -> u32 {
        let core = &mut self.core;
        let slot = core.slots.sibling(head);
        core.sessions.begin(slot, time);
        if core.sessions.link(head, slot) == slot {
            core.slots.repoint(&mut core.tables[0], head, slot);
        }
        slot
    }

    /// A row that makes one session of several: alone in its call, so that all can be as before when it is refused.
    fn bridge(&mut self, sessions: &[u32], at: &At<'_>) -> Result<(), Failure> {
        self.flush(at.batch)?;
        let (into, others) = sessions.split_first().expect("several are two at least");
        let saved = self
            .instance
            .save(sessions)
            .map_err(|f| self.since_commit(f))?;
        self.core.call.take(*into);
        let mut refused = match self.careful {
            None => Refused::new(),
            Some(_) => self.sift(at.batch, others)?,
        };
        if refused.is_empty() {
            self.merge(*into, others)?;
            self.update(at.batch, &mut refused)?;
            match refused.is_empty() {
                true => self.joined(*into, others, at)?,
                false => self.take_back(sessions, &saved)?,
            }
        }
        if !refused.is_empty() {
            self.reject(at.batch, refused)?;
        }
        self.core.call.next();
        Ok(())
    }

    fn merge(&mut self, into: u32, others: &[u32]) -> Result<(), Failure> {
        let into = vec![into; others.len()];
        self.instance
            .merge(&into, others)
            .map_err(|f| Failure::Stop(self.since_commit(f)))
    }

    fn take_back(&mut self, sessions: &[u32], saved: &States) -> Result<(), Failure> {
        self.instance
            .restore(sessions, saved)
            .map_err(|f| Failure::Stop(self.since_commit(f)))
    }

    /// The states are one: so are the sessions. What the store and the view know of the others goes.
    fn joined(&mut self, into: u32, others: &[u32], at: &At<'_>) -> Result<(), Failure> {
        self.instance
            .release(others)
            .map_err(|f| self.since_commit(f))?;
        for other in others {
            let later = *self.core.sessions.at(*other);
            let first = self.core.sessions.at_mut(into);
            first.mark = first.mark.min(later.mark);
            first.end = first.end.max(later.end);
        }
        self.unknow(others);
        self.unnote(others);
        others.iter().for_each(|other| self.core.forget(*other));
        let core = &mut self.core;
        let own_end = at.time.saturating_add(core.sessions.gap);
        let late_alone = core.sessions.closed(own_end, at.watermark);
        core.sessions.take(into, at.time, late_alone);
        let session = core.sessions.at_mut(into);
        (session.lo, session.hi) = (session.start, session.end);
        core.slots.get_mut(into).window = session.mark;
        core.slots.mark(into);
        Ok(())
    }

    /// Deletes what the store and the view know of these sessions under the mark that they had at the last commit.
    pub(super) fn unknow(&mut self, sessions: &[u32]) {
        let known = |slot: &u32| Some((*slot, self.core.sessions.known(*slot)?));
        let known: Vec<(u32, i64)> = sessions.iter().filter_map(known).collect();
        let mut key = Vec::new();
        for (slot, mark) in &known {
            self.core.state_key_at(*slot, *mark, &mut key);
            self.deleted.push(&key);
            self.core.slots.get_mut(*slot).stored = false;
        }
        self.hide(&known);
    }

    /// Closes the sessions that the watermark has passed, by end and key.
    pub(super) fn close_sessions(
        &mut self,
        batch: &Batch,
        watermark: i64,
        origin_row: u32,
        before: i64,
    ) -> Result<(), Failure> {
        if self.core.sessions.unborn_close() <= watermark {
            self.flush(batch)?;
        }
        let next_cold = self.fetch_due(watermark)?;
        let (mut passed, mut next) = self.core.sessions.passed(watermark);
        if !passed.is_empty() && !self.core.call.slots.is_empty() {
            // Rows of the call may move their ends.
            self.flush(batch)?;
            passed
                .drain(..)
                .for_each(|slot| self.core.sessions.look_again(slot));
            (passed, next) = self.core.sessions.passed(watermark);
        }
        let next = next.min(next_cold);
        self.core.next_close = next.min(self.core.sessions.unborn_close());
        self.core.slots.sort(&mut passed);
        passed.sort_by_key(|slot| self.core.sessions.end(*slot));
        self.close(&passed, origin_row, before)?;
        passed.iter().for_each(|slot| self.core.forget(*slot));
        Ok(())
    }
}
