//! The events of the baselines: one hour of event time, 10,000 contents by Zipf's law, 30 % up to 5 s late, 0.1 % 6 to
//! 60 s late, seed 42.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

const CONTENTS: usize = 10_000;
const KINDS: [&str; 4] = ["view", "like", "complete", "heartbeat"];

/// The generator of the baselines.
pub(crate) struct Events {
    state: u64,
    cdf: Vec<f64>,
    contents: Vec<i64>,
    next: u64,
    rows: u64,
    base_ms: i64,
}

impl Events {
    /// `rows` events over an hour of event time, the first at `base_ms`.
    pub(crate) fn new(rows: u64, base_ms: i64) -> Self {
        Events::over(rows, base_ms, CONTENTS, 1.0)
    }

    /// The same over so many contents by Zipf's law with this exponent; 0: all as often.
    pub(crate) fn over(rows: u64, base_ms: i64, count: usize, exponent: f64) -> Self {
        Events::seeded(42, rows, base_ms, count, exponent)
    }

    /// The same with another draw.
    pub(crate) fn seeded(seed: u64, rows: u64, base_ms: i64, count: usize, exponent: f64) -> Self {
        let mut state = seed;
        let mut total = 0.0;
        let cdf = (1..=count)
            .map(|i| {
                total += (i as f64).powf(exponent).recip();
                total
            })
            .collect();
        let mut contents: Vec<i64> = (0..count as i64).collect();
        for i in (1..count).rev() {
            contents.swap(i, (split_mix(&mut state) % (i as u64 + 1)) as usize);
        }
        Events {
            state,
            cdf,
            contents,
            next: 0,
            rows,
            base_ms,
        }
    }

    fn unit(&mut self) -> f64 {
        (split_mix(&mut self.state) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, limit: u64) -> i64 {
        (split_mix(&mut self.state) % limit) as i64
    }

    fn row(&mut self) -> (i64, i64, i64, &'static str, i64) {
        let arrival =
            self.base_ms + (u128::from(self.next) * 3_600_000 / u128::from(self.rows)) as i64;
        let r = self.unit();
        let behind = match r {
            r if r < 0.001 => 6_000 + self.below(54_000),
            r if r < 0.301 => self.below(5_000),
            _ => 0,
        };
        let total = *self.cdf.last().expect("there are contents");
        let x = self.unit() * total;
        let last = self.contents.len() - 1;
        let content = self.contents[self.cdf.partition_point(|v| *v <= x).min(last)];
        let user = self.below(1_000_000);
        let (kind, watch) = match self.unit() {
            k if k < 0.25 => (0, 0),
            k if k < 0.30 => (1, 0),
            k if k < 0.40 => (2, 5_000 + self.below(55_000)),
            _ => (3, 1_000 + self.below(9_000)),
        };
        self.next += 1;
        (
            (arrival - behind).max(self.base_ms) * 1000,
            content,
            user,
            KINDS[kind],
            watch,
        )
    }

    /// The next rows, `batch_rows` at most; none at the end.
    pub(crate) fn next_batch(&mut self, batch_rows: u64) -> Option<RecordBatch> {
        let count = batch_rows.min(self.rows - self.next);
        if count == 0 {
            return None;
        }
        let rows: Vec<_> = (0..count).map(|_| self.row()).collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "event_time",
                Arc::new(
                    TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.0))
                        .with_timezone("UTC"),
                ),
            ),
            (
                "content_id",
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.1))),
            ),
            (
                "user_id",
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.2))),
            ),
            (
                "kind",
                Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.3))),
            ),
            (
                "watch_ms",
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.4))),
            ),
        ];
        Some(
            RecordBatch::try_from_iter_with_nullable(
                columns.into_iter().map(|(n, c)| (n, c, false)),
            )
            .expect("equal lengths"),
        )
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
