//! How long a process rests between rounds that are tried out, since a processor that slept takes longer for the same work: a small
//! round 240 µs right after another, 420 after 4 ms, 600 after 20. Pure.

use std::time::Duration;

use refrain_log::clock::Clock;

use super::model::Tried;
use super::rounds::Round;
use crate::run::time::REST_MAX;

/// Rests of one layout in all, about. Where there would be more, some of its rounds come after a rest, and tell what the others
/// would have taken.
const RESTS_MAX: Duration = Duration::from_secs(1);

/// How long the process rests before rounds.
pub(super) struct Rests {
    each: Vec<Duration>,
    /// One round in so many comes after a rest.
    one_in: usize,
}

impl Rests {
    pub(super) fn of(rounds: &[Round], clock: &dyn Clock) -> Rests {
        let gaps = rounds.windows(2).map(|pair| {
            let gap = pair[1].time_us.saturating_sub(pair[0].time_us);
            clock.lasts(gap.max(0).unsigned_abs()).min(REST_MAX)
        });
        let mut each: Vec<Duration> = gaps.collect();
        // Nobody knows what is before the first one.
        each.insert(0, each.first().copied().unwrap_or_default());
        let all = each.iter().sum::<Duration>().as_micros();
        let one_in = all.div_ceil(RESTS_MAX.as_micros()).max(1);
        Rests {
            each,
            one_in: usize::try_from(one_in).unwrap_or(usize::MAX),
        }
    }

    /// Before a round; none: it comes right after the one before.
    pub(super) fn before(&self, round: usize) -> Option<Duration> {
        let is_one = round.is_multiple_of(self.one_in);
        self.each.get(round).copied().filter(|_| is_one)
    }
}

/// What a round takes more after a rest: the difference of the medians.
pub(super) fn cold_ns(tried: &[Tried], rested: &[bool]) -> f64 {
    let median = |after_rest: bool| {
        let of_these = tried.iter().zip(rested).filter(|(_, r)| **r == after_rest);
        let mut ns: Vec<f64> = of_these.map(|(tried, _)| tried.cpu_ns).collect();
        ns.sort_unstable_by(f64::total_cmp);
        ns.get(ns.len() / 2).copied()
    };
    match (median(true), median(false)) {
        (Some(rested), Some(other)) => (rested - other).max(0.0),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use refrain_log::clock::{ManualClock, SystemClock};
    use refrain_log::ids::Timestamp;

    use super::*;

    fn rests(rounds: i64, gap_us: i64, clock: &dyn Clock) -> Rests {
        let round = |i: i64| Round {
            time_us: i * gap_us,
            ..Round::default()
        };
        let rounds: Vec<Round> = (0..rounds).map(round).collect();
        Rests::of(&rounds, clock)
    }

    #[test]
    fn the_process_rests_as_it_would_between_rounds() {
        let ms = Duration::from_millis;
        // A round a minute: after rests that are as long as matters.
        let found = rests(40, 60_000_000, &SystemClock);
        assert!((0..40).all(|round| found.before(round) == Some(REST_MAX)));
        // Many rounds: some of them, so that all rests together stay short.
        let found = rests(1_000, 5_000, &SystemClock);
        let some: Vec<usize> = (0..1_000)
            .filter(|round| found.before(*round) == Some(ms(5)))
            .collect();
        assert_eq!(some.len(), 200);
        assert!(ms(5) * 200 <= RESTS_MAX);
        // Where time jumps there are no rests, and where it passes quickly shorter ones.
        let now = Timestamp(0);
        let jumps = ManualClock::new(now);
        assert_eq!(rests(9, 1_000_000, &jumps).before(3), Some(ms(0)));
        let times = NonZeroU32::new(250).expect("not zero");
        let passes = ManualClock::passing(now, times);
        assert_eq!(rests(9, 1_000_000, &passes).before(3), Some(ms(4)));
        assert_eq!(rests(1, 1_000_000, &passes).before(0), Some(ms(0)));
    }

    #[test]
    fn rounds_right_after_others_take_what_those_after_rests_did() {
        let tried = |cpu_ns: f64| Tried {
            round: Round::default(),
            changed: 0.0,
            cpu_ns,
            commit_bytes: 0.0,
            topic_bytes: 0.0,
            syncs: 0.0,
        };
        // One of them ended windows.
        let all = [600.0, 240.0, 240.0, 610.0, 9_000.0, 250.0, 590.0].map(tried);
        let rested = [true, false, false, true, false, false, true];
        assert_eq!(cold_ns(&all, &rested), 350.0);
        assert_eq!(cold_ns(&all, &[true; 7]), 0.0);
        assert_eq!(cold_ns(&all, &[false; 7]), 0.0);
        assert_eq!(cold_ns(&[], &[]), 0.0);
    }
}
