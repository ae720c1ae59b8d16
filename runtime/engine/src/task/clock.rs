//! Where in a batch the watermark passes a step. Pure: what is found is the same however rows are packed into batches.

use crate::input::Batch;
use crate::watermark::{NEVER, Running, Watermark};

/// The watermark passes a step, or several at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crossing {
    /// First row of the batch behind it.
    pub(super) row: usize,
    /// The run in which it is.
    pub(super) run: usize,
    /// Row of the source frame that moved the watermark; 0 where the frame begins, `u32::MAX` where it ends.
    pub(super) origin_row: u32,
    /// The watermark before.
    pub(super) before: i64,
    /// The last step passed.
    pub(super) step: i64,
}

/// How the watermark goes through a batch.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// In order.
    pub(super) crossings: Vec<Crossing>,
    /// Before each row; none unless asked for.
    pub(super) before: Vec<i64>,
    /// After each run.
    pub(super) after: Vec<i64>,
}

/// What the node wants to know of the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Step of its timers; none: times do not matter to the plugin.
    pub(super) step_us: Option<i64>,
    /// Whether each row written carries the watermark before it.
    pub(super) carried_on: bool,
}

/// A watermark rounded down to a step.
pub(super) fn step_of(watermark: i64, step_us: i64) -> i64 {
    match watermark {
        NEVER => NEVER,
        watermark => watermark.saturating_sub(watermark.rem_euclid(step_us)),
    }
}

impl Clock {
    /// The watermark as the plugin is told it.
    pub(super) fn told(&self, watermark: i64) -> i64 {
        self.step_us.map_or(NEVER, |step| step_of(watermark, step))
    }

    /// Takes the watermark through a batch.
    pub(super) fn walk(&self, batch: &Batch, mark: &mut Watermark) -> Walk {
        let mut walk = Walk::default();
        let moves = self.step_us.is_some() || self.carried_on;
        let mut next = self.next(mark.current().0);
        for (index, run) in batch.runs.iter().enumerate() {
            let mut at = Place {
                row: run.start,
                run: index,
                origin_row: 0,
            };
            let before = mark.current().0;
            let mut running = batch.begin(index, mark);
            if moves {
                self.pass(batch, &running, at, before, &mut next, &mut walk);
                self.rows(batch, at, &mut running, &mut next, &mut walk);
                if let Some(carried) = batch.carried_after(run) {
                    let before = running.current;
                    running.advance(carried);
                    (at.row, at.origin_row) = (run.end, u32::MAX);
                    self.pass(batch, &running, at, before, &mut next, &mut walk);
                }
            }
            batch.finish(run, running, mark);
            walk.after.push(mark.current().0);
        }
        walk
    }

    /// Through the rows of a run.
    fn rows(
        &self,
        batch: &Batch,
        at: Place,
        running: &mut Running,
        next: &mut i64,
        walk: &mut Walk,
    ) {
        let run = &batch.runs[at.run];
        let carries = batch.carries(run);
        let disorder_us = batch.lane(run).disorder_us;
        for row in run.start..run.end {
            let before = running.current;
            if carries {
                running.advance(batch.watermarks[row]);
            }
            if carries && running.current >= *next {
                let origin_row = batch.origin_row(run, row);
                let at = Place {
                    row,
                    origin_row,
                    ..at
                };
                self.pass(batch, running, at, before, next, walk);
            }
            if self.carried_on {
                walk.before.push(running.current);
            }
            if !carries {
                running.advance(batch.time(run, row).saturating_sub(disorder_us));
            }
            if !carries && running.current >= *next {
                let origin_row = batch.origin_row(run, row);
                let at = Place {
                    row: row + 1,
                    origin_row,
                    ..at
                };
                self.pass(batch, running, at, before, next, walk);
            }
        }
    }

    /// The watermark at which a step is passed that this one has not passed.
    fn next(&self, watermark: i64) -> i64 {
        match (self.step_us, watermark) {
            (None, _) => i64::MAX,
            (_, NEVER) => NEVER + 1,
            (Some(step), watermark) => step_of(watermark, step).saturating_add(step),
        }
    }

    /// Notes the steps passed. Rows of other tasks have moved the watermark too: one movement after the other.
    fn pass(
        &self,
        batch: &Batch,
        running: &Running,
        at: Place,
        before: i64,
        next: &mut i64,
        walk: &mut Walk,
    ) {
        if running.current < *next || self.step_us.is_none() {
            return;
        }
        while let Some(mover) = batch.mover(*next).copied() {
            if mover.after > running.current || mover.after < *next {
                break;
            }
            let at = Place {
                origin_row: mover.origin_row,
                ..at
            };
            self.note(at, (mover.before, mover.after), next, walk);
        }
        if running.current >= *next {
            self.note(at, (before, running.current), next, walk);
        }
    }

    fn note(&self, at: Place, (before, after): (i64, i64), next: &mut i64, walk: &mut Walk) {
        walk.crossings.push(Crossing {
            row: at.row,
            run: at.run,
            origin_row: at.origin_row,
            before,
            step: self.told(after),
        });
        *next = self.next(after);
    }
}

/// Where in a batch the watermark moves.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    run: usize,
    origin_row: u32,
}
