//! What is kept of each topic: since when, how much, for how long at the rate at which it grows, and what it costs.

use std::sync::Arc;

use refrain_log::ids::{Offset, Timestamp};
use refrain_log::topic::{Origin, Topic};
use serde::{Deserialize, Serialize};

use super::act::{frame_at, time_at};
use super::alike;
use super::horizon::{Needed, is_short, needed};
use super::needs::slowest;
use crate::error::Result;
use crate::host::Host;
use crate::pipeline::units::MONTH_US;
use crate::pipeline::{PlannedNode, Rule};
use crate::versions::Version;

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
    /// Months of 30 days between the oldest and the newest row, by append times, or by event times where those are further
    /// apart: how far back a replay can begin.
    pub months: f64,
    /// Bytes a month at the mean rate over that span; none where it is not an hour.
    pub bytes_per_month: Option<f64>,
    /// Months that the rule will keep at that rate; none: for ever.
    pub months_kept: Option<f64>,
    /// Bytes that the rule will keep at that rate; none: they grow for ever, or the rate is not known.
    pub bytes_kept: Option<f64>,
    /// What the bytes that are there cost a month, in the currency of the price sheet.
    pub cost_per_month: f64,
    /// What the bytes that the rule will keep cost a month.
    pub cost_kept_per_month: Option<f64>,
    /// Months of the topic that the longest backfill of what is live takes; none: everything there is ([`needed_by`] says
    /// whose), or nobody reads it.
    ///
    /// [`needed_by`]: TopicKept::needed_by
    pub months_needed: Option<f64>,
    /// Whose backfill that is: `node delays`, or `topic clean`, which is kept for so long itself; none: nobody reads it.
    pub needed_by: Option<String>,
    /// Bytes of it at that rate; of everything, those that are there; none: the rate is not known.
    pub bytes_needed: Option<f64>,
    /// What they cost a month.
    pub cost_needed_per_month: Option<f64>,
    /// The rule keeps less than is needed.
    pub short: bool,
    /// Who has got least far in reading it, and so holds its rows longest.
    pub slowest: Option<String>,
}

/// Below this, a rate says nothing.
const RATE_SPAN_US_MIN: i64 = 3_600_000_000;

impl Host {
    /// What is kept of each topic.
    pub fn kept(&self) -> Result<Vec<TopicKept>> {
        let needs = self.needs()?;
        let live = self.live_plans()?;
        let needed = needed(
            &live.iter().collect::<Vec<_>>(),
            &self.declaration().retention,
        );
        let price = self.price();
        let topics = self.log().topics();
        let each = topics.iter().map(|topic| {
            let mut kept = self.kept_of(topic)?;
            kept.slowest = slowest(&needs, &kept.topic).map(|need| need.who.clone());
            if let Some(needed) = needed.get(&alike(&kept.topic)) {
                kept.need(needed, price);
            }
            Ok(kept)
        });
        each.collect()
    }

    /// What is live, under the names of the pipeline file.
    fn live_plans(&self) -> Result<Vec<PlannedNode>> {
        let versions = self.versions()?;
        let declared = self.declaration().node_names().into_iter();
        let known = declared.filter_map(|node| {
            let known = versions.node(&node)?;
            known
                .versions
                .get(&known.reading.live)
                .map(Version::planned)
        });
        known.collect()
    }

    /// Of a byte for a month.
    fn price(&self) -> f64 {
        self.declaration().prices.gb_month_hot as f64 / 1e9 / 1e9
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
        let price = self.price();
        let (rule, bytes) = (self.rule_of(&name), topic.bytes());
        let newest = topic.last_time().filter(|_| oldest.is_some());
        let appended_us = oldest.zip(newest).map_or(0, |(o, n)| (n.0 - o.0).max(0));
        // Rows of long ago may have been appended at once.
        let span_us = appended_us.max(event_span_us(topic));
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
            months_needed: None,
            needed_by: None,
            bytes_needed: None,
            cost_needed_per_month: None,
            short: false,
            slowest: None,
        })
    }
}

impl TopicKept {
    /// Notes what is needed of it.
    fn need(&mut self, needed: &Needed, price: f64) {
        self.needed_by = Some(needed.by.clone());
        self.months_needed = needed.horizon.months();
        self.bytes_needed = match self.months_needed {
            Some(months) => self.bytes_per_month.map(|rate| rate * months),
            None => Some(self.bytes as f64),
        };
        self.cost_needed_per_month = self.bytes_needed.map(|bytes| bytes * price);
        self.short = is_short(&self.rule, needed.horizon, self.bytes_per_month);
    }
}

/// From the event times of the oldest frames to those of the newest, in microseconds; 0 where rows have none.
fn event_span_us(topic: &Arc<Topic>) -> i64 {
    let times = |partition, at| {
        let frame = frame_at(topic, partition, at)?;
        frame.header().times
    };
    let partitions = (0..topic.spec().partitions).filter(|p| topic.end(*p) > topic.start(*p));
    let spans = partitions.filter_map(|partition| {
        let last = Offset(topic.end(partition).0 - 1);
        Some((
            times(partition, topic.start(partition))?.0,
            times(partition, last)?.1,
        ))
    });
    let span = spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    span.map_or(0, |(first, last)| last.0.saturating_sub(first.0).max(0))
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
