//! Runs that were due: when the next one is, how many did not happen. Pure.

use refrain_log::ids::Timestamp;

use crate::pipeline::Rhythm;

/// A run of the calendar may begin so much later than its time without being told of, in microseconds.
const LEAVE_US: i64 = 60_000_000;
/// Missed times that are counted.
const MISSED_MAX: usize = 10_000;

/// How much later than due a run may begin: of a node of `once`, that something outside starts, a tenth of its time.
fn leave_us(due_us: Option<i64>) -> i64 {
    due_us.map_or(LEAVE_US, |us| us / 10)
}

/// When the next run is due after one that began at `last`; none: this rhythm has no time for it.
pub fn due(rhythm: &Rhythm, due_us: Option<i64>, last: Timestamp) -> Option<Timestamp> {
    match rhythm {
        Rhythm::Cron(cron) => cron.next_after(last),
        Rhythm::Once => due_us.map(|us| Timestamp(last.0.saturating_add(us))),
        Rhythm::Continuous | Rhythm::Every(_) => None,
    }
}

/// Whether a run that was due then should have begun by now.
pub fn is_overdue(rhythm: &Rhythm, due_us: Option<i64>, due: Timestamp, now: Timestamp) -> bool {
    let due_us = due_us.filter(|_| *rhythm == Rhythm::Once);
    due.0.saturating_add(leave_us(due_us)) < now.0
}

/// How many runs should have begun since `last` and by now, one that begins now and is not too late not counted.
pub fn missed(rhythm: &Rhythm, due_us: Option<i64>, last: Timestamp, now: Timestamp) -> u64 {
    match (rhythm, due_us.filter(|us| *us > 0)) {
        (Rhythm::Cron(cron), _) => {
            let until = Timestamp(now.0.saturating_sub(LEAVE_US));
            cron.ticks_between(last, until.max(last), MISSED_MAX) as u64
        }
        (Rhythm::Once, Some(us)) => {
            let late = now.0.saturating_sub(last.0) - leave_us(Some(us)).max(1);
            u64::try_from(late / us).unwrap_or(0)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    fn at(hours: f64) -> Timestamp {
        Timestamp(1_000 * 24 * HOUR_US + (hours * HOUR_US as f64) as i64)
    }

    #[test]
    fn a_run_is_missed_when_its_time_has_passed() {
        let daily = Rhythm::parse("0 2 * * *").expect("a rhythm");
        let half_day = Some(12 * HOUR_US);
        let cases = [
            (&daily, None, 2.0, 25.9, false, 0),
            (&daily, None, 2.0, 26.01, false, 0),
            (&daily, None, 2.0, 27.0, true, 1),
            (&daily, None, 2.0, 75.0, true, 3),
            (&Rhythm::Once, half_day, 0.0, 13.0, false, 0),
            (&Rhythm::Once, half_day, 0.0, 14.0, true, 1),
            (&Rhythm::Once, half_day, 0.0, 26.0, true, 2),
            (&Rhythm::Once, None, 0.0, 9_000.0, false, 0),
            (&Rhythm::Continuous, None, 0.0, 9_000.0, false, 0),
        ];
        for (rhythm, due_us, last, now, overdue, count) in cases {
            let (last, now) = (at(last), at(now));
            let due = due(rhythm, due_us, last);
            let found = due.is_some_and(|due| is_overdue(rhythm, due_us, due, now));
            assert_eq!(found, overdue, "{rhythm} at {now:?}");
            assert_eq!(
                missed(rhythm, due_us, last, now),
                count,
                "{rhythm} at {now:?}"
            );
        }
    }
}
