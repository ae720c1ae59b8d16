//! Which segments of a topic go: a pure decision over what is there, the rule, the log's time and what is still needed.

use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::retention::SegmentStatus;

use crate::pipeline::Rule;

/// What goes from one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) partition: u32,
    /// Segments that end at or before this go.
    pub(super) to: Offset,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// What goes, and what would if nobody needed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) chosen: Vec<Chosen>,
    /// Bytes that the rule lets go and that somebody has still to read.
    pub(super) held_bytes: u64,
}

/// How many of the first segments of each partition the rule lets go, when it is `now`. Only sealed ones go.
pub(super) fn expired(
    partitions: &[Vec<SegmentStatus>],
    rule: &Rule,
    now: Timestamp,
) -> Vec<usize> {
    let mut counts: Vec<usize> = match rule.age {
        None => vec![0; partitions.len()],
        Some(age) => partitions
            .iter()
            .map(|p| older(p, age.before(now)))
            .collect(),
    };
    let Some(bytes_max) = rule.bytes else {
        return counts;
    };
    let left = partitions.iter().zip(&counts);
    let mut bytes: u64 = left.map(|(p, count)| bytes_of(&p[*count..])).sum();
    while bytes > bytes_max {
        let next = |(i, p): (usize, &Vec<SegmentStatus>)| {
            let first = p.get(counts[i]).filter(|segment| segment.sealed)?;
            Some((first.last_time, i, first.bytes))
        };
        // The oldest of the first segments of all partitions; among equals the one of the first partition.
        let Some((_, i, gone)) = partitions.iter().enumerate().filter_map(next).min() else {
            break;
        };
        counts[i] += 1;
        bytes -= gone;
    }
    counts
}

/// How many of the first segments end before a time.
pub(super) fn older(segments: &[SegmentStatus], before: Timestamp) -> usize {
    let goes = |s: &&SegmentStatus| s.sealed && s.last_time.is_none_or(|last| last < before);
    segments.iter().take_while(goes).count()
}

/// How many of the first segments end at or before an offset.
pub(super) fn below(segments: &[SegmentStatus], offset: Offset) -> usize {
    let goes = |s: &&SegmentStatus| s.sealed && s.end <= offset;
    segments.iter().take_while(goes).count()
}

/// Of so many first segments of each partition, those that nobody needs: their frames are all up to `floor`.
pub(super) fn choose(
    partitions: &[Vec<SegmentStatus>],
    counts: &[usize],
    floor: Option<Sequence>,
) -> Choice {
    let mut choice = Choice::default();
    for (i, (segments, count)) in partitions.iter().zip(counts).enumerate() {
        let wanted = &segments[..*count];
        let free = |s: &&SegmentStatus| floor.is_none_or(|floor| s.last_sequence <= floor);
        let free = wanted.iter().take_while(free).count();
        choice.held_bytes += bytes_of(&wanted[free..]);
        let Some(last) = wanted[..free].last() else {
            continue;
        };
        choice.chosen.push(Chosen {
            partition: i as u32,
            to: last.end,
            rows: last.end.0 - wanted[0].base.0,
            bytes: bytes_of(&wanted[..free]),
        });
    }
    choice
}

fn bytes_of(segments: &[SegmentStatus]) -> u64 {
    segments.iter().map(|s| s.bytes).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::units::Age;

    /// Segments of 10 rows and 100 bytes that end at these times; the last one takes appends.
    fn partition(times: &[i64]) -> Vec<SegmentStatus> {
        let segment = |(i, time): (usize, &i64)| SegmentStatus {
            base: Offset(i as u64 * 10),
            end: Offset(i as u64 * 10 + 10),
            bytes: 100,
            last_time: Some(Timestamp(*time)),
            last_sequence: Sequence(*time as u64),
            sealed: i + 1 < times.len(),
        };
        times.iter().enumerate().map(segment).collect()
    }

    fn rule(age: Option<i64>, bytes: Option<u64>) -> Rule {
        Rule {
            age: age.map(Age::Us),
            bytes,
        }
    }

    #[test]
    fn age_and_bytes_take_the_oldest_first() {
        let parts = [partition(&[10, 20, 30, 40]), partition(&[5, 25, 26])];
        let at = |rule| expired(&parts, &rule, Timestamp(45));
        assert_eq!(at(rule(None, None)), [0, 0]);
        assert_eq!(at(rule(Some(20), None)), [2, 1]);
        assert_eq!(at(rule(Some(0), None)), [3, 2]);
        assert_eq!(at(rule(None, Some(700))), [0, 0]);
        assert_eq!(at(rule(None, Some(699))), [0, 1]);
        assert_eq!(at(rule(None, Some(500))), [1, 1]);
        // The last segments stay whatever the rule says.
        assert_eq!(at(rule(None, Some(0))), [3, 2]);
        assert_eq!(at(rule(Some(20), Some(300))), [2, 2]);
    }

    #[test]
    fn what_is_needed_stays() {
        let parts = [partition(&[10, 20, 30, 40]), partition(&[5, 25, 26])];
        let choice = choose(&parts, &[3, 2], Some(Sequence(20)));
        let chosen = |partition, to, segments: u64| Chosen {
            partition,
            to: Offset(to),
            rows: segments * 10,
            bytes: segments * 100,
        };
        assert_eq!(choice.chosen, [chosen(0, 20, 2), chosen(1, 10, 1)]);
        assert_eq!(choice.held_bytes, 200);
        assert_eq!(choose(&parts, &[3, 2], None).held_bytes, 0);
        assert_eq!(choose(&parts, &[3, 2], Some(Sequence(0))).chosen, []);
    }

    proptest! {
        /// Nothing that is needed goes, nothing that the rule keeps, and what goes is a beginning.
        #[test]
        fn a_choice_keeps_what_it_must(
            times in prop::collection::vec(prop::collection::vec(0i64..100, 1..8), 1..4),
            age in prop::option::of(0i64..120),
            bytes in prop::option::of(0u64..2000),
            floor in prop::option::of(0u64..120),
        ) {
            let parts: Vec<_> = times.iter().map(|times| {
                let mut times = times.clone();
                times.sort_unstable();
                partition(&times)
            }).collect();
            let rule = rule(age, bytes);
            let now = Timestamp(100);
            let counts = expired(&parts, &rule, now);
            let choice = choose(&parts, &counts, floor.map(Sequence));
            let all: u64 = parts.iter().map(|p| bytes_of(p)).sum();
            let gone: u64 = choice.chosen.iter().map(|c| c.bytes).sum();
            for c in &choice.chosen {
                let segments = &parts[c.partition as usize];
                let kept = segments.iter().filter(|s| s.end > c.to).count();
                prop_assert!(kept > 0);
                for s in segments.iter().filter(|s| s.end <= c.to) {
                    prop_assert!(floor.is_none_or(|f| s.last_sequence.0 <= f));
                    let old = age.is_some_and(|a| s.last_time.unwrap().0 < 100 - a);
                    prop_assert!(old || bytes.is_some());
                }
            }
            if let (None, Some(bytes), None) = (age, bytes, floor) {
                // Not more than one segment below what is asked for.
                prop_assert!(gone == 0 || all - gone + 100 > bytes);
            }
        }
    }
}
