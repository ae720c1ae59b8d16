//! Durations counted in buckets of a logarithmic scale: bounded memory, quantiles within a quarter.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Buckets of one doubling are 2 to this power.
const STEPS_BITS: u32 = 2;
const STEPS: u64 = 1 << STEPS_BITS;
/// Durations of 2 to this power of microseconds (12 days) and more share the last bucket.
const OCTAVES: u32 = 40;
const BUCKETS: usize = (OCTAVES as usize) << STEPS_BITS;
/// Doublings that a summary tells apart: from 64 µs to 67 s.
const TOLD: std::ops::RangeInclusive<u32> = 6..=26;

/// Counts of durations.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    sum_us: u64,
    max_us: u64,
}

/// What a histogram says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// How many durations.
    pub count: u64,
    /// Half of them took at most about this, in microseconds.
    pub p50_us: u64,
    /// 95 of 100.
    pub p95_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
    /// All together.
    pub sum_us: u64,
    /// How many took less than 64 µs, how many of the others less than 128 µs, and so on to 67 s. For metrics; not sent.
    #[serde(skip)]
    pub octaves: Vec<(u64, u64)>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: Box::new([0; BUCKETS]),
            count: 0,
            sum_us: 0,
            max_us: 0,
        }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn add(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(us)] += 1;
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
        self.max_us = self.max_us.max(us);
    }

    /// The duration that this share of all stays within, in microseconds: the end of its bucket. 0 when there is none.
    fn quantile_us(&self, share: f64) -> u64 {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return last_of(index).min(self.max_us);
            }
        }
        self.max_us
    }

    /// What it says.
    pub fn summary(&self) -> Latency {
        Latency {
            count: self.count,
            p50_us: self.quantile_us(0.50),
            p95_us: self.quantile_us(0.95),
            p99_us: self.quantile_us(0.99),
            max_us: self.max_us,
            sum_us: self.sum_us,
            octaves: self.octaves(),
        }
    }

    /// Counts by doubling: end of each (exclusive) and how many lie in it; the first holds all before, too.
    fn octaves(&self) -> Vec<(u64, u64)> {
        let mut from = 0;
        let told = TOLD.map(|octave| {
            let end = bucket(1 << octave);
            let count = self.buckets[from..end].iter().sum();
            from = end;
            (1 << octave, count)
        });
        told.collect()
    }
}

fn bucket(us: u64) -> usize {
    let us = us.min((1 << OCTAVES) - 1);
    if us < STEPS {
        return us as usize;
    }
    let octave = us.ilog2() - STEPS_BITS;
    (u64::from(octave + 1) * STEPS + (us >> octave) - STEPS) as usize
}

/// The longest duration of a bucket.
fn last_of(index: usize) -> u64 {
    let (index, steps) = (index as u64, STEPS);
    if index < steps {
        return index;
    }
    let octave = index / steps - 1;
    ((steps + index % steps + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_in_its_bucket() {
        assert_eq!(bucket(u64::MAX), bucket((1 << OCTAVES) - 1));
        assert!(bucket(u64::MAX) < BUCKETS);
        proptest::proptest!(|(us in 0..1_u64 << OCTAVES)| {
            let index = bucket(us);
            proptest::prop_assert!(us <= last_of(index));
            proptest::prop_assert!(index == 0 || us > last_of(index - 1));
        });
    }

    #[test]
    fn quantiles_are_right_within_a_quarter() {
        proptest::proptest!(|(mut all in proptest::collection::vec(0..1_u64 << 30, 1..200))| {
            let mut histogram = Histogram::default();
            all.iter().for_each(|us| histogram.add(Duration::from_micros(*us)));
            all.sort_unstable();
            let summary = histogram.summary();
            for (share, told) in [(0.5, summary.p50_us), (0.95, summary.p95_us), (0.99, summary.p99_us)] {
                let rank = ((all.len() as f64 * share).ceil() as usize).max(1);
                let right = all[rank - 1];
                proptest::prop_assert!(told >= right && told <= right + right / 4 + 1, "{share}: {told} {right}");
            }
            proptest::prop_assert_eq!(summary.max_us, all[all.len() - 1]);
            let mut below = 0;
            for (end, count) in &summary.octaves {
                below += count;
                proptest::prop_assert_eq!(below, all.iter().filter(|us| *us < end).count() as u64);
            }
        });
        assert_eq!(Histogram::default().summary().p99_us, 0);
    }
}
