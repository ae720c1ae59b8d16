//! What is kept of each topic: since when, how much, for how long at the rate at which it grows, and what it costs.

use std::sync::Arc;

use refrain_log::ids::Timestamp;
use refrain_log::topic::{Origin, Topic};
use serde::{Deserialize, Serialize};

use super::act::time_at;
use super::needs::slowest;
use crate::error::Result;
use crate::host::Host;
use crate::pipeline::Rule;
use crate::pipeline::units::MONTH_US;

/// One topic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TopicKept {
    /// Its name.
    pub topic: String,
    /// Source or derived.
    pub origin: Origin,
    /// What the pipeline file says.
    pub rule: Rule,
    /// Append time of the oldest row that is there.
    pub oldest: Option<Timestamp>,
    /// Newest append time.
    pub newest: Option<Timestamp>,
    /// Rows that are there.
    pub rows: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// Rows that retention has removed.
    pub removed_rows: u64,
    /// Bytes of them.
    pub removed_bytes: u64,
    /// Months of 30 days between the oldest and the newest row: how far back a replay can begin.
    pub months: f64,
    /// Bytes a month at the mean rate since the oldest row; none where it is not an hour old.
    pub bytes_per_month: Option<f64>,
    /// Months that the rule will keep at that rate; none: for ever.
    pub months_kept: Option<f64>,
    /// Bytes that the rule will keep at that rate; none: they grow for ever, or the rate is not known.
    pub bytes_kept: Option<f64>,
    /// What the bytes that are there cost a month, in the currency of the price sheet.
    pub cost_per_month: f64,
    /// What the bytes that the rule will keep cost a month.
    pub cost_kept_per_month: Option<f64>,
    /// Who has got least far in reading it, and so holds its rows longest.
    pub slowest: Option<String>,
}

/// Below this, a rate says nothing.
const RATE_SPAN_US_MIN: i64 = 3_600_000_000;

impl Host {
    /// What is kept of each topic.
    pub fn kept(&self) -> Result<Vec<TopicKept>> {
        let needs = self.needs()?;
        let topics = self.log().topics();
        let each = topics.iter().map(|topic| {
            let mut kept = self.kept_of(topic)?;
            kept.slowest = slowest(&needs, &kept.topic).map(|need| need.who.clone());
            Ok(kept)
        });
        each.collect()
    }

    pub(crate) fn kept_of(&self, topic: &Arc<Topic>) -> Result<TopicKept> {
        let name = topic.spec().name.clone();
        let partitions = 0..topic.spec().partitions;
        let oldest = partitions
            .clone()
            .filter(|p| topic.end(*p) > topic.start(*p))
            .filter_map(|p| time_at(topic, p, topic.start(p)))
            .min();
        let mut removed = (0, 0);
        for partition in partitions.clone() {
            let kept = topic.kept(partition)?;
            removed.0 += kept.start.0;
            removed.1 += kept.removed_bytes;
        }
        let rows = partitions.map(|p| topic.end(p).0 - topic.start(p).0).sum();
        let price = self.declaration().prices.gb_month_hot as f64 / 1e9 / 1e9;
        let (rule, bytes) = (self.rule_of(&name), topic.bytes());
        let newest = topic.last_time().filter(|_| oldest.is_some());
        let span_us = oldest.zip(newest).map_or(0, |(o, n)| (n.0 - o.0).max(0));
        let months = span_us as f64 / MONTH_US as f64;
        let known = span_us >= RATE_SPAN_US_MIN;
        let outlook = Outlook::of(&rule, known.then(|| bytes as f64 / months));
        Ok(TopicKept {
            topic: name,
            origin: topic.spec().origin,
            rule,
            oldest,
            newest,
            rows,
            bytes,
            removed_rows: removed.0,
            removed_bytes: removed.1,
            months,
            bytes_per_month: outlook.rate,
            months_kept: outlook.months,
            bytes_kept: outlook.bytes,
            cost_per_month: bytes as f64 * price,
            cost_kept_per_month: outlook.bytes.map(|bytes| bytes * price),
            slowest: None,
        })
    }
}

/// What a rule comes to at a rate.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Outlook {
    rate: Option<f64>,
    months: Option<f64>,
    bytes: Option<f64>,
}

impl Outlook {
    fn of(rule: &Rule, rate: Option<f64>) -> Outlook {
        let by_age = rule.age.map(|age| age.months());
        let limit = rule.bytes.map(|bytes| bytes as f64);
        let by_bytes = limit.zip(rate).map(|(limit, rate)| limit / rate);
        let months = match (by_age, by_bytes) {
            (Some(age), Some(bytes)) => Some(age.min(bytes)),
            (age, bytes) => age.or(bytes),
        };
        let aged = by_age.zip(rate).map(|(months, rate)| months * rate);
        let bytes = match (aged, limit) {
            (Some(aged), Some(limit)) => Some(aged.min(limit)),
            (aged, limit) => aged.or(limit),
        };
        Outlook {
            rate,
            months,
            bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::units::Age;

    #[test]
    fn the_stricter_half_of_a_rule_counts() {
        let rule = |age: Option<u32>, bytes| Rule {
            age: age.map(Age::Months),
            bytes,
        };
        let of = |age, bytes, rate| {
            let outlook = Outlook::of(&rule(age, bytes), rate);
            (outlook.months, outlook.bytes)
        };
        assert_eq!(of(None, None, Some(10.0)), (None, None));
        assert_eq!(of(Some(24), None, Some(10.0)), (Some(24.0), Some(240.0)));
        assert_eq!(of(None, Some(100), Some(10.0)), (Some(10.0), Some(100.0)));
        assert_eq!(
            of(Some(24), Some(100), Some(10.0)),
            (Some(10.0), Some(100.0))
        );
        assert_eq!(
            of(Some(24), Some(1000), Some(10.0)),
            (Some(24.0), Some(240.0))
        );
        assert_eq!(of(Some(24), None, None), (Some(24.0), None));
    }
}
