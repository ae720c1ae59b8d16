//! How a node goes: how fast, how long its commits take, how soon rows show in them, whether it goes on at all. Times come
//! from the caller, so that all of it is decided purely.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use refrain_log::ids::Sequence;

use crate::histogram::Histogram;

/// Seconds over which throughput is told.
pub const RATE_SECONDS: usize = 10;
/// Moments of arrival that are remembered; thinned out when there are more.
const ARRIVALS_MAX: usize = 4096;

/// When sequences became durable, coarsely where there are many.
#[derive(Debug, Default)]
pub struct Arrivals(VecDeque<(Sequence, Instant)>);

impl Arrivals {
    /// All up to this sequence is durable now.
    pub fn note(&mut self, sequence: Sequence, now: Instant) {
        if self.0.len() >= ARRIVALS_MAX {
            // Every second one, the older of each two: what arrived between counts as the earlier.
            let mut keep = false;
            self.0.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.0.push_back((sequence, now));
    }

    /// When the frames after `from`, up to `to`, arrived.
    fn between(&self, from: Sequence, to: Sequence) -> impl Iterator<Item = Instant> {
        let first = self.0.partition_point(|(sequence, _)| *sequence <= from);
        let rest = self.0.iter().skip(first);
        rest.take_while(move |(sequence, _)| *sequence <= to)
            .map(|(_, at)| *at)
    }
}

/// Rows of the last seconds.
#[derive(Debug, Default)]
struct Rate {
    seconds: VecDeque<(u64, u64)>,
}

impl Rate {
    fn add(&mut self, second: u64, rows: u64) {
        match self.seconds.back_mut() {
            Some((last, count)) if *last == second => *count += rows,
            _ => self.seconds.push_back((second, rows)),
        }
        while self.seconds.len() > RATE_SECONDS + 1 {
            self.seconds.pop_front();
        }
    }

    /// Rows a second over the whole seconds before this one.
    fn per_second(&self, second: u64) -> u64 {
        let from = second.saturating_sub(RATE_SECONDS as u64);
        let counted = |(at, _): &&(u64, u64)| (from..second).contains(at);
        let rows: u64 = self.seconds.iter().filter(counted).map(|(_, n)| n).sum();
        rows / second.saturating_sub(from).max(1)
    }
}

/// When the tasks of a node last got on: a round may take many batches, and only its end moves the frontier.
#[derive(Debug)]
pub struct Steps {
    began: Instant,
    /// Microseconds from the beginning to the last one.
    last_us: AtomicU64,
}

impl Steps {
    fn new(began: Instant) -> Steps {
        Steps {
            began,
            last_us: AtomicU64::new(0),
        }
    }

    /// A task has taken a batch.
    pub fn note(&self, now: Instant) {
        let us = now.saturating_duration_since(self.began).as_micros();
        let us = u64::try_from(us).unwrap_or(u64::MAX);
        self.last_us.fetch_max(us, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.began + Duration::from_micros(self.last_us.load(Ordering::Relaxed))
    }
}

/// One node of a run.
#[derive(Debug)]
pub struct Meter {
    began: Instant,
    /// How long it may get on with nothing while it has input.
    patience: Duration,
    steps: Arc<Steps>,
    /// How far it has got.
    pub frontier: Sequence,
    reachable: Sequence,
    /// Since when it has input that its frontier does not cover, without moving.
    behind_since: Option<Instant>,
    /// From the beginning of a commit to its end.
    pub commit: Histogram,
    /// From the moment when rows were durable to the end of the commit that shows them; rows that were there when the
    /// run began are not counted.
    pub visible: Histogram,
    /// Commits of this run.
    pub commits: u64,
    rate: Rate,
}

impl Meter {
    /// A node that starts at this frontier. With input it is stalled when it takes no batch and its frontier does not move
    /// for longer than `patience`.
    pub fn new(now: Instant, frontier: Sequence, patience: Duration) -> Self {
        Self {
            began: now,
            patience,
            steps: Arc::new(Steps::new(now)),
            frontier,
            reachable: frontier,
            behind_since: None,
            commit: Histogram::default(),
            visible: Histogram::default(),
            commits: 0,
            rate: Rate::default(),
        }
    }

    /// Where its tasks note that they get on.
    pub fn steps(&self) -> Arc<Steps> {
        Arc::clone(&self.steps)
    }

    /// It should work now, and its input reaches this far.
    pub fn reaches(&mut self, reachable: Sequence, now: Instant) {
        self.reachable = self.reachable.max(reachable);
        if self.reachable > self.frontier && self.behind_since.is_none() {
            self.behind_since = Some(now);
        }
    }

    /// It has got this far.
    pub fn advanced(&mut self, frontier: Sequence, now: Instant) {
        if frontier > self.frontier {
            self.frontier = frontier;
            self.behind_since = (self.reachable > frontier).then_some(now);
        }
    }

    /// It has committed this many rows up to a cut, in a commit that took so long.
    pub fn committed(
        &mut self,
        cut: Sequence,
        rows: u64,
        took: Duration,
        arrivals: &Arrivals,
        now: Instant,
    ) {
        self.commits += 1;
        self.commit.add(took);
        if rows > 0 {
            for at in arrivals.between(self.frontier, cut) {
                self.visible.add(now.saturating_duration_since(at));
            }
        }
        self.rate.add(self.second(now), rows);
        self.advanced(cut, now);
    }

    /// Since when it stands still although it should not.
    pub fn stalled_since(&self, now: Instant) -> Option<Instant> {
        let since = self.behind_since?.max(self.steps.last());
        (now.saturating_duration_since(since) > self.patience).then_some(since)
    }

    /// Rows a second, over the last seconds.
    pub fn rows_per_second(&self, now: Instant) -> u64 {
        self.rate.per_second(self.second(now))
    }

    /// Whole seconds since it started.
    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a beginning; any will do")]
        Instant::now()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_node_that_stands_still_with_input_is_stalled() {
        let t = start();
        let mut meter = Meter::new(t, Sequence(5), SECOND * 16);
        let late = t + SECOND * 150;
        assert_eq!(meter.stalled_since(late), None, "without input it rests");
        meter.reaches(Sequence(9), t + SECOND);
        meter.reaches(Sequence(12), t + SECOND * 5);
        assert_eq!(meter.stalled_since(t + SECOND * 15), None);
        assert_eq!(meter.stalled_since(late), Some(t + SECOND));
        meter.advanced(Sequence(10), t + SECOND * 30);
        assert_eq!(meter.stalled_since(t + SECOND * 40), None);
        assert_eq!(meter.stalled_since(late), Some(t + SECOND * 30));
        meter.advanced(Sequence(12), t + SECOND * 50);
        assert_eq!(meter.stalled_since(late), None);
    }

    /// A round of many batches once showed as a stall.
    #[test]
    fn a_node_that_takes_batches_is_not_stalled() {
        let t = start();
        let mut meter = Meter::new(t, Sequence(5), SECOND * 16);
        meter.reaches(Sequence(9), t + SECOND);
        let steps = meter.steps();
        for second in (10..=100).step_by(10) {
            steps.note(t + SECOND * second);
            assert_eq!(meter.stalled_since(t + SECOND * (second + 15)), None);
        }
        let late = t + SECOND * 117;
        assert_eq!(meter.stalled_since(late), Some(t + SECOND * 100));
        // Clocks of several threads: the latest one counts.
        steps.note(t + SECOND * 90);
        assert_eq!(meter.stalled_since(late), Some(t + SECOND * 100));
    }

    #[test]
    fn latency_counts_what_arrived_during_the_run() {
        let t = start();
        let mut arrivals = Arrivals::default();
        for i in 0..10_u64 {
            arrivals.note(Sequence(10 + i), t + SECOND * i as u32);
        }
        let mut meter = Meter::new(t, Sequence(9), SECOND);
        meter.committed(Sequence(14), 7, SECOND, &arrivals, t + SECOND * 5);
        let visible = meter.visible.summary();
        assert_eq!((visible.count, visible.max_us), (5, 5_000_000));
        meter.committed(Sequence(19), 0, SECOND, &arrivals, t + SECOND * 20);
        assert_eq!(meter.visible.summary().count, 5, "nothing to show");
        assert_eq!(meter.commit.summary().count, 2);
    }

    #[test]
    fn arrivals_are_bounded_and_in_order() {
        let t = start();
        let mut arrivals = Arrivals::default();
        for i in 0..100_000 {
            arrivals.note(Sequence(i), t);
        }
        assert!(arrivals.0.len() <= ARRIVALS_MAX);
        assert!(arrivals.0.iter().is_sorted_by(|a, b| a.0 < b.0));
        assert!(arrivals.between(Sequence(99_998), Sequence(99_999)).count() == 1);
    }

    #[test]
    fn throughput_is_that_of_the_last_whole_seconds() {
        let mut rate = Rate::default();
        for second in 0..100 {
            rate.add(second, 300);
            rate.add(second, 700);
        }
        assert_eq!(rate.per_second(100), 1000);
        assert_eq!(rate.per_second(105), 500);
        assert_eq!(rate.per_second(200), 0);
        assert!(rate.seconds.len() <= RATE_SECONDS + 1);
        let mut fresh = Rate::default();
        fresh.add(0, 500);
        assert_eq!(fresh.per_second(1), 500);
        assert_eq!(fresh.per_second(0), 0);
    }
}
