//! A day of engagement events, the same for the same seed: quiet at night, most in the evening; few contents make most of
//! it; a third of the rows arrive some seconds late, one in a thousand up to a minute, one in two thousand makes no sense.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

/// Rows arrive in batches of so much time.
pub(crate) const BATCH_US: i64 = 5_000_000;

const SEED: u64 = 42;
const CONTENTS: usize = 10_000;
const USERS: usize = 50_000;
const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// How much comes, by hour of the day, in hundredths of the mean; straight between two of these.
const CURVE: [(f64, f64); 12] = [
    (0.0, 90.0),
    (2.0, 30.0),
    (3.0, 20.0),
    (5.0, 20.0),
    (7.0, 70.0),
    (9.0, 100.0),
    (12.0, 120.0),
    (14.0, 100.0),
    (17.0, 130.0),
    (20.5, 200.0),
    (22.0, 170.0),
    (24.0, 90.0),
];

/// What the rows of a day that make sense come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Sums {
    /// Rows, those that make no sense included.
    pub(crate) rows: i64,
    /// Rows that make no sense.
    pub(crate) senseless: i64,
    pub(crate) views: i64,
    pub(crate) likes: i64,
    pub(crate) completes: i64,
    pub(crate) watch_ms: i64,
}

/// The generator.
pub(crate) struct Day {
    luck: u64,
    contents: Zipf,
    users: Zipf,
    rows: u64,
    /// Start of the day, and of the next batch.
    began_us: i64,
    next_us: i64,
    until_us: i64,
    /// Weight of the whole day and of the batches before the next.
    weight: f64,
    past: f64,
    sums: Sums,
}

impl Day {
    /// So many rows over so much time, from then on.
    pub(crate) fn new(rows: u64, began_us: i64, span_us: i64) -> Day {
        let mut luck = SEED;
        let batches = span_us / BATCH_US;
        let weight = (0..batches)
            .map(|batch| curve(began_us + batch * BATCH_US))
            .sum();
        Day {
            contents: Zipf::new(CONTENTS, 1.0, &mut luck),
            users: Zipf::new(USERS, 0.9, &mut luck),
            luck,
            rows,
            began_us,
            next_us: began_us,
            until_us: began_us + batches * BATCH_US,
            weight,
            past: 0.0,
            sums: Sums::default(),
        }
    }

    /// When the next batch arrives; none: that was all.
    pub(crate) fn next_at(&self) -> Option<i64> {
        (self.next_us < self.until_us).then_some(self.next_us + BATCH_US)
    }

    /// What has come so far.
    pub(crate) fn sums(&self) -> Sums {
        self.sums
    }

    /// The next batch; some are empty where little comes.
    pub(crate) fn next_batch(&mut self) -> RecordBatch {
        self.past += curve(self.next_us);
        self.next_us += BATCH_US;
        let due = match self.next_us < self.until_us {
            true => (self.rows as f64 * self.past / self.weight) as i64,
            false => self.rows as i64,
        };
        let count = due - self.sums.rows;
        let rows: Vec<Event> = (0..count).map(|row| self.row(row, count)).collect();
        let column =
            |value: fn(&Event) -> i64| Int64Array::from_iter_values(rows.iter().map(value));
        let times = rows.iter().map(|row| row.time_us);
        let columns: [(&str, ArrayRef); 5] = [
            (
                "event_time",
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
            ),
            ("content_id", Arc::new(column(|row| row.content))),
            ("user_id", Arc::new(column(|row| row.user))),
            (
                "kind",
                Arc::new(StringArray::from_iter_values(
                    rows.iter().map(|row| row.kind),
                )),
            ),
            ("watch_ms", Arc::new(column(|row| row.watch_ms))),
        ];
        let columns = columns
            .into_iter()
            .map(|(name, column)| (name, column, false));
        RecordBatch::try_from_iter_with_nullable(columns).expect("columns are of one length")
    }

    fn row(&mut self, row: i64, count: i64) -> Event {
        let arrived_us = self.next_us - BATCH_US + row * BATCH_US / count;
        let late_us = match self.unit() {
            u if u < 0.001 => self.below(60_000_000),
            u if u < 0.301 => self.below(5_000_000),
            _ => 0,
        };
        let (kind, watch_ms) = match self.unit() {
            u if u < 0.0005 => ("wiev", 0),
            u if u < 0.25 => ("view", 0),
            u if u < 0.30 => ("like", 0),
            u if u < 0.40 => ("complete", 5_000 + self.below(55_000)),
            _ => ("heartbeat", 1_000 + self.below(9_000)),
        };
        let (content, user) = (self.unit(), self.unit());
        self.sums.rows += 1;
        self.sums.watch_ms += watch_ms;
        match kind {
            "view" => self.sums.views += 1,
            "like" => self.sums.likes += 1,
            "complete" => self.sums.completes += 1,
            "wiev" => self.sums.senseless += 1,
            _ => {}
        }
        Event {
            // To the millisecond, as players tell it.
            time_us: (arrived_us - late_us).max(self.began_us) / 1000 * 1000,
            content: self.contents.at(content),
            user: self.users.at(user),
            kind,
            watch_ms,
        }
    }

    fn unit(&mut self) -> f64 {
        (split_mix(&mut self.luck) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, limit: i64) -> i64 {
        (split_mix(&mut self.luck) % limit.unsigned_abs()) as i64
    }
}

struct Event {
    time_us: i64,
    content: i64,
    user: i64,
    kind: &'static str,
    watch_ms: i64,
}

/// Numbers of which some come much more often than others.
struct Zipf {
    numbers: Vec<i64>,
    cumulated: Vec<f64>,
}

impl Zipf {
    fn new(count: usize, exponent: f64, luck: &mut u64) -> Zipf {
        let mut total = 0.0;
        let cumulated = (1..=count).map(|rank| {
            total += (rank as f64).powf(exponent).recip();
            total
        });
        let cumulated = cumulated.collect();
        let mut numbers: Vec<i64> = (0..count as i64).collect();
        for place in (1..count).rev() {
            numbers.swap(place, (split_mix(luck) % (place as u64 + 1)) as usize);
        }
        Zipf { numbers, cumulated }
    }

    fn at(&self, unit: f64) -> i64 {
        let total = self.cumulated.last().copied().unwrap_or_default();
        let place = self.cumulated.partition_point(|sum| *sum <= unit * total);
        self.numbers[place.min(self.numbers.len() - 1)]
    }
}

/// How much comes at a time of the day.
fn curve(time_us: i64) -> f64 {
    let hour = time_us.rem_euclid(DAY_US) as f64 / HOUR_US as f64;
    let after = CURVE
        .partition_point(|(at, _)| *at <= hour)
        .min(CURVE.len() - 1);
    let ((from, low), (to, high)) = (CURVE[after - 1], CURVE[after]);
    low + (high - low) * (hour - from) / (to - from)
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::TimestampMicrosecondType;

    use super::*;

    const START_US: i64 = 1_700_006_400_000_000 + 3 * HOUR_US;

    fn batches(rows: u64, hours: i64) -> (Vec<(i64, RecordBatch)>, Sums) {
        let mut day = Day::new(rows, START_US, hours * HOUR_US);
        let mut all = Vec::new();
        while let Some(at) = day.next_at() {
            all.push((at, day.next_batch()));
        }
        (all, day.sums())
    }

    #[test]
    fn a_day_has_a_night_and_an_evening() {
        let (all, sums) = batches(200_000, 24);
        assert_eq!((all.len(), sums.rows), (24 * 720, 200_000));
        let hour = |of: i64| {
            let begin = START_US + (of - 3) * HOUR_US;
            let its = all
                .iter()
                .filter(|(at, _)| (begin..begin + HOUR_US).contains(&(at - 1)));
            its.map(|(_, batch)| batch.num_rows()).sum::<usize>() as f64
        };
        let evening = hour(20) / hour(3);
        assert!((9.0..=10.5).contains(&evening), "{evening}");
        assert_eq!(all, batches(200_000, 24).0, "the same for the same seed");
    }

    /// No row is ahead of its arrival, a third are some seconds behind it, a few up to a minute.
    #[test]
    fn rows_arrive_late_and_never_early() {
        let (all, sums) = batches(100_000, 2);
        let (mut late, mut very) = (0, 0);
        for (at, batch) in &all {
            let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
            for time in times.values() {
                let behind = at - time;
                assert!((0..=66_000_000).contains(&behind), "{behind}");
                late += i32::from(behind > BATCH_US);
                very += i32::from(behind > 2 * BATCH_US);
            }
        }
        // Half of those that are up to 5 s late come with the batch that they are of.
        assert!((13_000..=17_000).contains(&late), "{late}");
        assert!((60..=120).contains(&very), "{very}");
        assert!((20..=90).contains(&sums.senseless), "{sums:?}");
    }
}
