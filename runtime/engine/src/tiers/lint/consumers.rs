//! Consumers that get less than they need, that do not say what they need, or of whom nobody knows what they get.

use std::ops::Range;

use super::words::{compact, compact_up, every};
use super::{Finder, Found, SLOW_SOURCE, STALE_VIEW, UNKNOWN_FRESHNESS, UNLABELLED_CONSUMER};
use crate::cost::price::Priced;
use crate::pipeline::{Rhythm, Severity};
use crate::tiers::planner::{ConsumerTier, Step, period_below};
use crate::tiers::words::{span, span_or_dash};

impl Finder<'_> {
    pub(super) fn consumers(&mut self) {
        for consumer in &self.tiers.consumers {
            let span = self.consumer_span(&consumer.name);
            let Some(need) = consumer.need_us else {
                self.unlabelled(consumer, span);
                continue;
            };
            match consumer.achieved_us {
                None => self.unknown(consumer, need, span),
                Some(achieved) if achieved > need => self.too_late(consumer, need, achieved, span),
                Some(_) => {}
            }
        }
    }

    fn of_consumer(
        &mut self,
        (code, severity): (&str, Severity),
        consumer: &ConsumerTier,
        span: Range<usize>,
        (message, help): (String, String),
        cost: Option<Priced>,
    ) {
        self.push(Found {
            code,
            severity,
            at: &consumer.name,
            span,
            message,
            help,
            path: &consumer.path,
            cost,
        });
    }

    fn unlabelled(&mut self, consumer: &ConsumerTier, span: Range<usize>) {
        let message = format!(
            "consumer `{}` does not say how fresh it needs view `{}`",
            consumer.name, consumer.view
        );
        let got = span_or_dash(consumer.achieved_us);
        let help = format!("add `freshness = \"1h\"` or a tier; it gets at most {got} old now");
        let kind = (UNLABELLED_CONSUMER, Severity::Warning);
        self.of_consumer(kind, consumer, span, (message, help), None);
    }

    fn unknown(&mut self, consumer: &ConsumerTier, need: i64, at: Range<usize>) {
        let mut steps = consumer.path.iter();
        let step = steps.find(|s| s.wait_us.is_none());
        let node = step.map_or("", |s| s.name.as_str());
        let message = format!(
            "consumer `{}` needs view `{}` within {}, and node `{node}` runs only when it is started",
            consumer.name,
            consumer.view,
            span(need)
        );
        let help = format!(
            "say how often it is started: `due = \"{}\"` in [node.{node}]; or leave out its rhythm and keep a host running",
            compact(need)
        );
        let kind = (UNKNOWN_FRESHNESS, Severity::Warning);
        self.of_consumer(kind, consumer, at, (message, help), None);
    }

    fn too_late(&mut self, consumer: &ConsumerTier, need: i64, achieved: i64, at: Range<usize>) {
        let source = consumer.path.first();
        let delivery = source.and_then(|s| s.wait_us).unwrap_or(0);
        if delivery > need {
            let topic = source.map_or("", |s| s.name.as_str());
            let message = format!(
                "topic `{topic}` is delivered every {}, and consumer `{}` needs view `{}` within {}",
                span(delivery),
                consumer.name,
                consumer.view,
                span(need)
            );
            let help = "no rhythm mends that: have the topic delivered more often, or lower the consumer's need";
            let kind = (SLOW_SOURCE, Severity::Error);
            self.of_consumer(kind, consumer, at, (message, help.into()), None);
            return;
        }
        let message = format!(
            "consumer `{}` needs view `{}` within {} and gets it up to {} old: {} too late",
            consumer.name,
            consumer.view,
            span(need),
            span(achieved),
            span(achieved - need)
        );
        let (help, cost) = self.remedy_of_late(consumer, need, achieved);
        let kind = (STALE_VIEW, Severity::Error);
        self.of_consumer(kind, consumer, at, (message, help), cost);
    }

    /// The pinned node on the way that waits the longest is the one to change; what that costs.
    fn remedy_of_late(
        &self,
        consumer: &ConsumerTier,
        need: i64,
        achieved: i64,
    ) -> (String, Option<Priced>) {
        let pinned = |s: &&Step| self.node(&s.name).is_some_and(|n| !n.auto);
        let waits = consumer.path.iter().filter(pinned);
        let worst = waits.max_by_key(|s| s.wait_us.unwrap_or(i64::MAX));
        let looser = format!("or accept `freshness = \"{}\"`", compact_up(achieved));
        let worst = worst.filter(|s| s.wait_us.unwrap_or(0) > self.plan.commit_interval_us);
        let Some((step, place)) = worst.and_then(|s| Some((s, self.place(&s.name)?))) else {
            let interval = span(self.plan.commit_interval_us);
            let help = format!(
                "every node on the way is as fast as it gets with `commit_interval` = {interval}: lower that in [run], {looser}"
            );
            return (help, None);
        };
        let left = need - (achieved - step.wait_us.unwrap_or(0));
        let rhythm = period_below(left).map_or(Rhythm::Continuous, Rhythm::Every);
        let more = self.pricing.change(place, &rhythm);
        let help = format!(
            "let [node.{}] have `rhythm = \"{}\"` or `rhythm = \"auto\"`, which costs {} more; {looser}",
            step.name,
            every(left),
            self.told(more)
        );
        (help, Some(more))
    }
}
