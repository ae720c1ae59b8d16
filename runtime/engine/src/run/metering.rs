//! What a round took: counted by the threads that worked on it, put in the books when its commit is durable.

use std::time::Instant;

use refrain_log::meter::{Used, so_far};
use refrain_state::commit::Written;

use super::Run;
use super::actor::Actor;
use super::time::stopwatch;
use crate::accounts::Work;
use crate::error::Result;
use crate::pipeline::Rhythm;
use crate::task::Prepared;

/// What a task's threads used for one round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Taking rows up to the cut.
    pub taking: Used,
    /// Saying what changed.
    pub preparing: Used,
}

/// What a node's rounds have taken since it was last put in the books.
#[derive(Debug, Default)]
pub(super) struct Meter {
    taking: Used,
    preparing: Used,
    /// Processor time of the deciding thread for its rounds, beside commits, in nanoseconds.
    deciding_ns: u64,
    /// What is in no round with a commit.
    aside: Work,
    /// Time of the pass so far, in microseconds.
    pass_us: u64,
}

/// A turn of the deciding thread: from one thing that happened to the next.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// What the thread had used when it began.
    before: Used,
    /// Of what it used since then, processor time that is in an account already, in nanoseconds.
    metered_ns: u64,
}

/// How many rows and states a round took and changed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    rows: u64,
    frames: u64,
    out_rows: u64,
    letter_rows: u64,
    view_rows: u64,
    changed: u64,
}

impl Meter {
    pub(super) fn add(&mut self, spent: Spent) {
        self.taking.add(spent.taking);
        self.preparing.add(spent.preparing);
    }

    /// The round ended without a commit: with nothing to take, or in a failure.
    pub(super) fn idle(&mut self) {
        let (taking, preparing) = self.take();
        self.aside.idle_rounds += 1;
        self.aside.idle_ns += taking.cpu_ns + preparing.cpu_ns;
        self.aside.used(taking);
        self.aside.used(preparing);
    }

    fn opened(&mut self, used: Used) {
        self.aside.openings += 1;
        self.aside.opening_ns += used.cpu_ns;
        self.aside.used(used);
    }

    fn take(&mut self) -> (Used, Used) {
        (
            std::mem::take(&mut self.taking),
            std::mem::take(&mut self.preparing),
        )
    }

    /// The work of a round that has ended with a commit, and what came before it.
    fn committed(&mut self, sizes: Sizes, committing: Used) -> Work {
        let (taking, preparing) = self.take();
        let mut work = std::mem::take(&mut self.aside);
        work.rows += sizes.rows;
        work.out_rows += sizes.out_rows;
        work.letter_rows += sizes.letter_rows;
        work.view_rows += sizes.view_rows;
        work.frames += sizes.frames;
        work.commits += 1;
        for used in [taking, preparing, committing] {
            work.used(used);
        }
        let (rows, frames, changed) =
            (sizes.rows as f64, sizes.frames as f64, sizes.changed as f64);
        work.taking.push(&[1.0, frames, rows], taking.cpu_ns as f64);
        let deciding_ns = std::mem::take(&mut self.deciding_ns);
        work.host_ns += deciding_ns;
        let commit_ns = preparing.cpu_ns + committing.cpu_ns + deciding_ns;
        work.committing.push(&[1.0, changed], commit_ns as f64);
        work.changing.push(rows, changed);
        work
    }
}

impl Sizes {
    pub(super) fn of(prepared: &[Prepared]) -> Sizes {
        let mut sizes = Sizes::default();
        for done in prepared {
            sizes.rows += done.counts.rows;
            sizes.frames += done.counts.frames;
            sizes.out_rows += done.counts.out;
            sizes.letter_rows += done.counts.rejected + done.counts.late;
            let view = done.changes.view.as_ref().map_or(0, |v| v.rows.num_rows());
            sizes.view_rows += view as u64;
            sizes.changed += done.changed();
        }
        sizes
    }
}

impl Run<'_> {
    /// Opens the tasks of a node, and counts what that takes.
    pub(super) fn open_tasks(&mut self, place: usize) -> Result<()> {
        let actor = &mut self.actors[place];
        let before = so_far();
        let opened = actor.node.open_tasks(self.log, self.state);
        let used = so_far().since(before);
        self.turn.metered_ns += used.cpu_ns;
        self.actors[place].meter.opened(used);
        opened
    }

    /// Something happened that is no node's.
    pub(super) fn meter_begin_turn(&mut self) {
        self.turn = Turn {
            before: so_far(),
            metered_ns: 0,
        };
    }

    /// What the deciding thread did since the last turn was for a round of this node: handing out its tasks, waking up for
    /// them, and all that follows, but for what is in an account already.
    pub(super) fn meter_turn(&mut self, place: usize) {
        let used = so_far().since(self.turn.before);
        self.actors[place].meter.deciding_ns += used.cpu_ns.saturating_sub(self.turn.metered_ns);
        self.meter_begin_turn();
    }

    /// Puts a round whose commit used `before` to now of this thread in the books.
    pub(super) fn meter_commit(
        &mut self,
        place: usize,
        sizes: Sizes,
        before: Used,
        written: Written,
        began: Instant,
    ) {
        let caught_up = self.has_caught_up(place);
        let actor = &mut self.actors[place];
        // Work takes real time, whatever rhythms go by.
        let took = stopwatch().saturating_duration_since(began);
        let meter = &mut actor.meter;
        meter.pass_us += u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let used = so_far().since(before);
        self.turn.metered_ns += used.cpu_ns;
        let mut work = meter.committed(sizes, used);
        let wrote = self.state.written();
        work.commit_bytes += wrote.commit_bytes.saturating_sub(written.commit_bytes);
        // What is written for a base is not for the node whose turn it was, but for all that commit meanwhile.
        let base_bytes = wrote.base_bytes.saturating_sub(written.base_bytes);
        let owed_bytes = wrote.owed_bytes.saturating_sub(written.owed_bytes);
        work.written_bytes = work.written_bytes.saturating_sub(base_bytes) + owed_bytes;
        work.base_bytes += owed_bytes;
        if caught_up {
            work.pass(std::mem::take(&mut meter.pass_us));
        }
        if let Some(gauge) = self.board.gauge() {
            let cut = actor.node.committed;
            let now = self.log.now();
            gauge.committed(actor.name(), now, cut, &work);
            gauge.log_stands(self.state.log_bytes(), now);
        }
    }

    /// The run ends: what is in no commit goes to the books as well.
    pub(super) fn meter_end(&mut self) {
        let Some(gauge) = self.board.gauge() else {
            return;
        };
        for actor in &mut self.actors {
            let mut work = std::mem::take(&mut actor.meter.aside);
            work.host_ns += std::mem::take(&mut actor.meter.deciding_ns);
            if work != Work::default() {
                gauge.worked(&actor.node.setup.plan.name, self.log.now(), &work);
            }
        }
    }

    fn has_caught_up(&self, place: usize) -> bool {
        let actor = &self.actors[place];
        let frontier = actor.node.frontier;
        match &actor.cadence.rhythm {
            Rhythm::Continuous => true,
            _ => actor.cadence.goal.is_none_or(|goal| frontier >= goal),
        }
    }

    /// The node's cut is about to move: its consumers are looked at as they stand.
    pub(super) fn meter_move(&self, actor: &Actor) {
        if let Some(gauge) = self.board.gauge() {
            gauge.moves(self.log, actor.name(), actor.node.committed);
        }
    }

    /// A pass of a rhythm of its own begins, unless the node has been stopped; `missed` runs before it did not happen.
    pub(super) fn meter_run(&self, place: usize, missed: u64) {
        let actor = &self.actors[place];
        if let (false, Some(gauge)) = (actor.at.is_stopped(), self.board.gauge()) {
            gauge.ran(actor.name(), self.log.now(), missed);
        }
    }
}
