//! When a node works: decided from its rhythm, from the time, and from how far it and what it reads have got. Pure: a run
//! decides so, and what foretells a run lays out rounds by the same rules (`cost/rounds`).
//!
//! A pass of `every` and of a calendar has a goal: as far as all that the node reads has got when it begins, or is on its way
//! to; of a source that is the end of the log. It goes on, round by round, until the node has got there. A round takes as many
//! sequences at most as fit the time between two commits, and one that would take less and stop short of the goal waits for
//! what is on its way, so that a pass over little is one commit.

use std::time::{Duration, Instant};

use refrain_log::ids::{Sequence, Timestamp};

use crate::pipeline::Rhythm;

/// Sequences in the first round of a node; later ones fit the time that rounds take.
const SPAN_FIRST: u64 = 64;
/// The same of a node whose states need not fit into memory: what a round changes has to.
const SPAN_FIRST_ON_DISK: u64 = 4;
/// Work between two commits when a node has a backlog and a rhythm other than continuous.
const CHECKPOINT: Duration = Duration::from_secs(4);
/// A round is so many times as long as the one before, or as short, at most.
const SPAN_FACTOR_MAX: f64 = 4.0;

/// When a node works.
#[derive(Clone, Debug)]
pub struct Cadence {
    /// Its rhythm.
    pub rhythm: Rhythm,
    /// Where this pass ends; none: no pass under way.
    pub goal: Option<Sequence>,
    /// When the next pass or round may begin.
    pub due: Instant,
    /// The next time of the calendar, of a node of cron.
    pub tick: Option<Timestamp>,
    /// Sequences for one round.
    span: u64,
    /// Where a round ended in which a call trapped, until a commit: see [`take_again`](Self::take_again).
    again: Sequence,
}

/// How far something that nodes read has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// There it is.
    pub at: Sequence,
    /// There it gets without another pass.
    pub leads_to: Sequence,
    /// Whether it is on its way there: at work, or next when one that it reads is done.
    pub moves: bool,
}

impl Way {
    /// Of something that gets no further for now.
    pub fn rests(at: Sequence) -> Way {
        Way {
            at,
            leads_to: at,
            moves: false,
        }
    }
}

/// A round that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// When it began.
    pub began: Instant,
    /// When it ended.
    pub now: Instant,
    /// How long its work took.
    pub took: Duration,
    /// Whether there is more to take.
    pub behind: bool,
    /// States that it changed, in thousandths of those that may stay in memory.
    pub crowded: u64,
}

impl Cadence {
    /// Of a node at rest; `goal` for a run that ends there.
    pub fn new(rhythm: Rhythm, goal: Option<Sequence>, now: Instant) -> Cadence {
        Cadence {
            rhythm,
            goal,
            due: now,
            tick: None,
            span: SPAN_FIRST,
            again: Sequence(0),
        }
    }

    /// Begins with short rounds, since what each changes has to fit into memory.
    pub fn on_disk(&mut self) {
        self.span = self.span.min(SPAN_FIRST_ON_DISK);
    }

    /// Begins with a round of one sequence, since rows are limited to a rate.
    pub fn at_a_rate(&mut self) {
        self.span = 1;
    }

    /// Begins the pass that time has brought, which goes to where its inputs lead; whether there is one.
    pub fn wake(&mut self, now: Instant, wall: Timestamp, inputs: &[Way]) -> bool {
        if self.goal.is_some() {
            return false;
        }
        let begins = match &self.rhythm {
            Rhythm::Every(micros) if now >= self.due => {
                self.due = next_tick(self.due, *micros, now);
                true
            }
            Rhythm::Cron(cron) if self.tick.is_some_and(|tick| tick <= wall) => {
                self.tick = cron.next_after(wall);
                true
            }
            _ => false,
        };
        if begins {
            self.goal = inputs.iter().map(|input| input.leads_to).min();
        }
        begins
    }

    /// How far it may go when its input has got so far.
    pub fn reach(&self, input: Sequence) -> Sequence {
        self.goal.map_or(input, |goal| input.min(goal))
    }

    /// Whether a round over what is ready waits for more: it would stop short of the goal, what is missing is on its way, and
    /// there is less than a round takes. One that takes rows again waits for all of them: a node above may take its own again.
    pub fn waits(&self, frontier: Sequence, reachable: Sequence, inputs: &[Way]) -> bool {
        let comes = |to: Sequence| inputs.iter().any(|input| input.at < to && input.moves);
        if reachable < self.again && comes(self.again) {
            return true;
        }
        let Some(goal) = self.goal.filter(|goal| reachable < *goal) else {
            return false;
        };
        let ready = reachable.0.saturating_sub(frontier.0);
        ready < self.span && comes(goal)
    }

    /// How far the node has got for those below it, which has tasks at work or not.
    pub fn way(&self, frontier: Sequence, is_at_work: bool, inputs: &[Way]) -> Way {
        let input = inputs.iter().map(|input| input.leads_to).min();
        let input = input.unwrap_or(frontier);
        let leads_to = match (&self.rhythm, self.goal) {
            (Rhythm::Continuous, None) => input,
            (_, goal) => goal.map_or(frontier, |goal| goal.min(input)),
        };
        let is_next = match self.rhythm {
            Rhythm::Continuous => leads_to > frontier,
            _ => self.goal.is_some() && inputs.iter().any(|input| input.moves),
        };
        Way {
            at: frontier,
            leads_to: leads_to.max(frontier),
            moves: is_at_work || is_next,
        }
    }

    /// Whether a round may begin now, if there is something to take.
    pub fn may_begin(&self, now: Instant) -> bool {
        match self.rhythm {
            Rhythm::Continuous => now >= self.due,
            Rhythm::Once | Rhythm::Every(_) | Rhythm::Cron(_) => self.goal.is_some(),
        }
    }

    /// Where a round ends that begins at the frontier and may go so far.
    pub fn cut(&self, frontier: Sequence, reachable: Sequence) -> Sequence {
        let span = Sequence(frontier.0.saturating_add(self.span));
        reachable.min(span.max(self.again))
    }

    /// A call trapped in a round that went so far. What came since the last commit is taken again, as far: only then must
    /// the trap come again. The rounds before it need not have been committed, if they had no rows.
    pub fn take_again(&mut self, cut: Sequence) {
        self.again = self.again.max(cut);
    }

    /// There was a commit.
    pub fn committed(&mut self) {
        self.again = Sequence(0);
    }

    /// Whether this is where the pass ends: there is a commit then, though there was nothing to take.
    pub fn is_reached(&self, cut: Sequence) -> bool {
        self.goal.is_some_and(|goal| cut >= goal)
    }

    /// How long a round is to take.
    pub fn wanted(&self, commit_interval: Duration) -> Duration {
        match self.rhythm {
            Rhythm::Continuous => commit_interval,
            _ => CHECKPOINT,
        }
    }

    /// Chooses the length of the next round, so that it takes as long as is wanted, and when it may begin.
    pub fn pace(&mut self, commit_interval: Duration, wanted: Duration, round: Ended) {
        if round.behind {
            let ratio = wanted.as_secs_f64() / round.took.as_secs_f64().max(1e-6);
            let ratio = ratio.min(1000.0 / round.crowded.max(1) as f64);
            let ratio = ratio.clamp(1.0 / SPAN_FACTOR_MAX, SPAN_FACTOR_MAX);
            self.span = ((self.span as f64 * ratio) as u64).max(1);
        }
        if self.rhythm == Rhythm::Continuous {
            self.due = match round.behind {
                true => round.now,
                false => round.began + commit_interval,
            };
        }
    }

    /// Lets times of its rhythm pass at which there was nothing to do, up to this one.
    pub fn skip(&mut self, now: Instant, wall: Timestamp) {
        match &self.rhythm {
            Rhythm::Every(micros) if self.due < now => {
                self.due = next_tick(self.due, *micros, now - Duration::from_micros(1));
            }
            Rhythm::Cron(cron) if self.tick.is_some_and(|tick| tick < wall) => {
                self.tick = cron.next_after(Timestamp(wall.0 - 1));
            }
            _ => {}
        }
    }
}

/// The next multiple of a period after now, so that a late pass does not shift the later ones.
fn next_tick(due: Instant, micros: i64, now: Instant) -> Instant {
    let period = Duration::from_micros(micros.max(1).unsigned_abs());
    let missed = now.saturating_duration_since(due).as_micros() / period.as_micros();
    let micros = (missed + 1).saturating_mul(period.as_micros());
    due + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node was stopped for a trap that "did not come again" in a round that had become too short to reach it.
    #[test]
    fn what_is_taken_again_goes_as_far_as_it_went() {
        #[expect(clippy::disallowed_methods, reason = "a beginning; any will do")]
        let now = Instant::now();
        let mut cadence = Cadence::new(Rhythm::Continuous, None, now);
        cadence.at_a_rate();
        let end = Sequence(900);
        // Rounds without rows up to 700, none of them committed; then a call traps.
        assert_eq!(cadence.cut(Sequence(700), end), Sequence(701));
        cadence.take_again(Sequence(701));
        assert_eq!(cadence.cut(Sequence(3), end), Sequence(701));
        // What it reads stands at 500 again, and goes on.
        let above = |moves| Way {
            at: Sequence(500),
            leads_to: end,
            moves,
        };
        assert!(cadence.waits(Sequence(3), Sequence(500), &[above(true)]));
        assert!(!cadence.waits(Sequence(3), Sequence(500), &[above(false)]));
        assert!(!cadence.waits(Sequence(3), Sequence(701), &[above(true)]));
        assert_eq!(cadence.cut(Sequence(3), Sequence(500)), Sequence(500));
        assert_eq!(cadence.cut(Sequence(701), end), Sequence(702));
        cadence.committed();
        assert!(!cadence.waits(Sequence(3), Sequence(500), &[above(true)]));
        assert_eq!(cadence.cut(Sequence(3), end), Sequence(4));
    }
}
