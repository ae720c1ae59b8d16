//! Random lives for the laws of the processes already written: rows of a few keys, out of order, with a watermark.

use crate::cell::{Span, Timestamp};
use crate::process::Process;
use crate::test_process::TestProcess;

/// Keys of a life.
pub(crate) const KEYS: [&str; 3] = ["a", "b", "c"];

/// Numbers that a seed stands for.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// Below `limit`, which is not zero.
    pub(crate) fn below(&mut self, limit: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as i64 % limit
    }
}

/// One row of a life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) key: &'static str,
    pub(crate) at: i64,
    /// Which input it is of.
    pub(crate) input: usize,
    /// Number of the row, and a small number of its own.
    pub(crate) id: i64,
    pub(crate) value: i64,
}

/// Rows, and what the watermark is made of.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) events: Vec<Event>,
    pub(crate) disorder: i64,
    pub(crate) step: i64,
}

impl Life {
    pub(crate) fn new(seed: u64, inputs: usize) -> Self {
        let mut random = Random::new(seed);
        let count = 1 + random.below(60);
        let (disorder, step) = (random.below(12), 1 + random.below(9));
        let jitter = 1 + random.below(25);
        let mut now = -20;
        let events = (0..count).map(|id| {
            now += random.below(4) * random.below(4);
            Event {
                key: KEYS[random.below(3) as usize],
                at: now - random.below(jitter),
                input: random.below(inputs as i64) as usize,
                id,
                value: random.below(6),
            }
        });
        Self {
            events: events.collect(),
            disorder,
            step,
        }
    }

    /// The watermark after the first `count` rows, rounded down to a step.
    pub(crate) fn watermark(&self, count: usize) -> i64 {
        let newest = self.events[..count].iter().map(|event| event.at).max();
        newest.map_or(i64::MIN, |newest| {
            (newest - self.disorder).div_euclid(self.step) * self.step
        })
    }

    /// The watermark after all rows, less the lateness.
    pub(crate) fn horizon(&self, count: usize, lateness: Span) -> i64 {
        self.watermark(count).saturating_sub(lateness.0)
    }

    /// The rows that come in time, each with its place.
    pub(crate) fn in_time(&self, lateness: Span) -> Vec<(usize, Event)> {
        let events = self.events.iter().copied().enumerate();
        events
            .filter(|(place, event)| event.at >= self.horizon(*place, lateness))
            .collect()
    }

    /// Gives all rows to a process, each call as large as the watermark allows, or one row a call. Looks after each call.
    pub(crate) fn live<'r, P: Process>(
        &self,
        process: P,
        one_by_one: bool,
        input: impl Fn(&Event) -> P::Input<'r>,
        mut look: impl FnMut(usize, &TestProcess<P>),
    ) -> TestProcess<P> {
        let mut test = TestProcess::new(process).timer_step_us(self.step);
        let mut start = 0;
        for end in 1..=self.events.len() {
            let crosses = self.watermark(end) > self.watermark(start);
            if !one_by_one && !crosses && end < self.events.len() {
                continue;
            }
            let rows = self.events[start..end].iter();
            test = test
                .rows_in_one_call(rows.map(|event| (event.key, Timestamp(event.at), input(event))))
                .watermark(Timestamp(self.watermark(end)));
            look(end, &test);
            start = end;
        }
        test
    }
}

/// Checks a law on many lives, and says which seed broke it.
pub(crate) fn check(law: impl Fn(u64) + std::panic::RefUnwindSafe) {
    for seed in 0..200 {
        if let Err(why) = std::panic::catch_unwind(|| law(seed)) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(why);
        }
    }
}
