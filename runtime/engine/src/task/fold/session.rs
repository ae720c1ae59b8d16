//! Session windows: from a row of a key to the last one before a silence of `gap`.
//!
//! A row at t spans [t, t + gap), and a session the union of the spans of its rows. A row that touches no open session
//! begins one; one that touches several makes one of them, the states joined by the plugin, the earlier first. A row that
//! the plugin refuses leaves no trace, neither in a state nor in the span of a session: so a session has two spans, of the
//! rows that were taken, and with those of the wave under way ([`super::waves`]). Where they differ for a row, its place
//! is not sure before that wave is made.
//!
//! A session is named by its *mark*, the earliest time of a row that would not have been late alone. Nearly always that
//! is its start. A row that is late alone and touches an open session counts in it, and widens it, and does not become
//! its mark: so no session ever gets the mark of one that is closed, whose row is final.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::pipeline::Window;
use crate::watermark::NEVER;

/// No session: the end of a chain.
pub(super) const NONE: u32 = u32::MAX;

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
    /// The same with those of the wave under way.
    lo: i64,
    hi: i64,
    /// Whether a row was taken.
    born: bool,
    /// Whether it is in no chain any more: its slot is about to be given back.
    left: bool,
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
    /// One entry a session that was born: an end that it had at some time, its id, its slot. What is out of date is put
    /// right when it is due.
    due: BinaryHeap<Reverse<(i64, u64, u32)>>,
    ids: u64,
    /// Of the slots that the table finds: which line of the batch under way has the rows of the key.
    lines: Vec<u32>,
}

/// What a row finds.
pub(super) enum Sight {
    /// Its place hangs on rows of the wave under way.
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
            due: BinaryHeap::new(),
            ids: 0,
            lines: Vec::new(),
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

    pub(super) fn start(&self, slot: u32) -> i64 {
        self.at(slot).start
    }

    /// End of a session: the last row's event time and the gap.
    pub(super) fn end(&self, slot: u32) -> i64 {
        self.at(slot).end
    }

    pub(super) fn mark(&self, slot: u32) -> i64 {
        self.at(slot).mark
    }

    /// Whether a row of it was taken.
    pub(super) fn is_born(&self, slot: u32) -> bool {
        self.at(slot).born
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

    /// Whether a row of this time would be late if it touched no session.
    pub(super) fn is_late_alone(&self, time: i64, watermark: i64) -> bool {
        self.closed(time.saturating_add(self.gap), watermark)
    }

    fn closed(&self, end: i64, watermark: i64) -> bool {
        watermark != NEVER && self.closes_at(end) <= watermark
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

    fn chain(&self, head: u32) -> impl Iterator<Item = (u32, &Session)> {
        let some = |slot: u32| Some(slot).filter(|slot| *slot != NONE);
        let next = move |slot: &u32| some(self.at(*slot).next);
        std::iter::successors(some(head), next).map(|slot| (slot, self.at(slot)))
    }

    /// The line of the batch under way that has the rows of the key that the table finds this slot under.
    pub(super) fn line_mut(&mut self, slot: u32) -> &mut u32 {
        let at = slot as usize;
        if at >= self.lines.len() {
            self.lines.resize(at + 1, NONE);
        }
        &mut self.lines[at]
    }

    /// What a row of the key whose first session is `head` finds, when all that are closed at the watermark have left.
    pub(super) fn look(&self, head: u32, time: i64, watermark: i64) -> Sight {
        let own_end = time.saturating_add(self.gap);
        let (mut end_least, mut end_most) = (own_end, own_end);
        let mut first = None;
        let mut more = Vec::new();
        for (slot, session) in self.chain(head) {
            let (sure, maybe) = self.touches(session, time, own_end);
            if sure != maybe {
                return Sight::Unsure;
            }
            if !sure {
                continue;
            }
            if session.born {
                end_least = end_least.max(session.end);
            }
            end_most = end_most.max(session.hi);
            match first {
                None => first = Some(slot),
                Some(_) => more.push(slot),
            }
        }
        match (
            self.closed(end_least, watermark),
            self.closed(end_most, watermark),
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

    /// Whether a row that spans [time, end) touches a session whichever rows of the wave are taken, and whether it does when
    /// all are. To touch each row of a session that is not born yet is enough: if none of them is taken, the row begins it.
    fn touches(&self, session: &Session, time: i64, end: i64) -> (bool, bool) {
        let maybe = session.lo < end && time < session.hi;
        let sure = match session.born {
            true => session.start < end && time < session.end,
            false => {
                let last = session.hi.saturating_sub(self.gap);
                last < end && time < session.lo.saturating_add(self.gap)
            }
        };
        (sure, maybe)
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
    pub(super) fn begin(&mut self, slot: u32, time: i64) {
        let session = Session {
            id: self.id(),
            mark: time,
            start: time,
            end: time,
            lo: time,
            hi: time.saturating_add(self.gap),
            born: false,
            left: false,
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
                left: false,
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

    /// Takes a slot out of the chain of its key, which begins with `head`. Returns the first of the chain now.
    pub(super) fn unlink(&mut self, head: u32, slot: u32) -> u32 {
        let next = self.at(slot).next;
        self.at_mut(slot).left = true;
        if head == slot {
            return next;
        }
        let before = self.chain(head).find(|(_, s)| s.next == slot);
        let before = before.map(|(slot, _)| slot);
        self.at_mut(before.expect("a session is in the chain of its key"))
            .next = next;
        head
    }

    /// The slot has no session any more.
    pub(super) fn forget(&mut self, slot: u32) {
        if let Some(session) = self.all.get_mut(slot as usize) {
            *session = None;
        }
    }

    /// Takes sessions that are closed at a watermark out of the chain that begins with `head`. False: of one it is not sure.
    pub(super) fn leave(&mut self, head: &mut u32, watermark: i64, left: &mut Vec<u32>) -> bool {
        let mut slot = *head;
        while slot != NONE {
            let session = self.at(slot);
            let next = session.next;
            let end_least = match session.born {
                true => session.end,
                false => session.lo.saturating_add(self.gap),
            };
            match (
                self.closed(end_least, watermark),
                self.closed(session.hi, watermark),
            ) {
                (false, false) => {}
                (true, true) => {
                    *head = self.unlink(*head, slot);
                    left.push(slot);
                }
                _ => return false,
            }
            slot = next;
        }
        true
    }

    /// A row joins the wave under way.
    pub(super) fn widen(&mut self, slot: u32, time: i64) {
        let hi = time.saturating_add(self.gap);
        let session = self.at_mut(slot);
        session.lo = session.lo.min(time);
        session.hi = session.hi.max(hi);
    }

    /// A row was taken.
    pub(super) fn take(&mut self, slot: u32, time: i64, late_alone: bool) {
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

    /// The wave is made. Whether the session is in a chain without having been born.
    pub(super) fn settle(&mut self, slot: u32) -> bool {
        let session = self.at_mut(slot);
        if session.born {
            (session.lo, session.hi) = (session.start, session.end);
        }
        !session.born && !session.left
    }

    /// A later session of a key is one with an earlier one now.
    pub(super) fn absorb(&mut self, into: u32, other: u32) {
        let later = *self.at(other);
        let first = self.at_mut(into);
        first.mark = first.mark.min(later.mark);
        first.end = first.end.max(later.end);
    }

    /// Sessions that close at this watermark and have not left their chains.
    pub(super) fn passed(&mut self, watermark: i64) -> Vec<u32> {
        let mut passed = Vec::new();
        while let Some(Reverse((end, id, slot))) = self.due.peek().copied() {
            if !self.closed(end, watermark) {
                break;
            }
            self.due.pop();
            match self.all.get(slot as usize).copied().flatten() {
                Some(session) if session.id != id || session.left => {}
                Some(session) if session.end > end => {
                    self.due.push(Reverse((session.end, id, slot)));
                }
                Some(_) => passed.push(slot),
                None => {}
            }
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: u32 = 0;

    /// A session that begins with rows at 0 and 8 that nobody has taken yet.
    fn unborn() -> Sessions {
        let mut sessions = Sessions::new(None);
        (sessions.gap, sessions.lateness) = (10, 5);
        sessions.begin(HEAD, 0);
        sessions.widen(HEAD, 8);
        sessions
    }

    fn sight(sessions: &Sessions, time: i64, watermark: i64) -> &'static str {
        match sessions.look(HEAD, time, watermark) {
            Sight::Unsure => "unsure",
            Sight::Late => "late",
            Sight::Alone => "alone",
            Sight::In(_) => "in",
            Sight::Between(_) => "between",
        }
    }

    #[test]
    fn a_place_is_sure_where_it_does_not_hang_on_which_rows_are_taken() {
        let mut sessions = unborn();
        for (time, seen) in [(9, "in"), (10, "unsure"), (17, "unsure"), (18, "alone")] {
            assert_eq!(sight(&sessions, time, NEVER), seen, "{time}");
        }
        assert_eq!(sight(&sessions, -1, 14), "unsure", "late if none is taken");
        sessions.take(HEAD, 0, false);
        assert!(!sessions.settle(HEAD), "it is born");
        for (time, seen) in [(-9, "in"), (9, "in"), (10, "alone")] {
            assert_eq!(sight(&sessions, time, NEVER), seen, "{time}");
        }
        assert_eq!(sight(&sessions, -10, 5), "late");
    }

    #[test]
    fn a_session_leaves_when_it_is_closed_whichever_rows_are_taken() {
        for (watermark, sure, leaves) in
            [(14, true, 0), (15, false, 0), (22, false, 0), (23, true, 1)]
        {
            let (mut sessions, mut head, mut left) = (unborn(), HEAD, Vec::new());
            assert_eq!(sessions.leave(&mut head, watermark, &mut left), sure);
            assert_eq!(left.len(), leaves, "{watermark}");
            assert_eq!(head == NONE, leaves == 1);
            assert_eq!(
                sessions.settle(HEAD),
                leaves == 0,
                "nothing of it was taken"
            );
        }
    }
}
