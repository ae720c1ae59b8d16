//! What is kept of a topic, against what a backfill of all that is made of it takes.

use std::ops::Range;

use super::words::compact_up;
use super::{Finder, Found, SHORT_RETENTION};
use crate::keep::horizon::{Horizon, Needed, is_short, needed};
use crate::pipeline::{PlannedNode, Rule, Severity};
use crate::tiers::words::span;

impl Finder<'_> {
    pub(super) fn retention(&mut self) {
        let nodes: Vec<&PlannedNode> = self.plan.nodes.iter().collect();
        for (topic, needed) in needed(&nodes, &self.declaration.retention) {
            let rule = self.declaration.retention.get(&topic);
            if let Some(rule) = rule.filter(|rule| is_short(rule, needed.horizon, None)) {
                self.short(&topic, rule, &needed);
            }
        }
    }

    fn short(&mut self, topic: &str, rule: &Rule, needed: &Needed) {
        let (much, longer) = match needed.horizon {
            Horizon::Us(us) => (
                span(us),
                format!("keep it for longer, `retention = \"{}\"`", compact_up(us)),
            ),
            Horizon::Ever => ("all of it".to_owned(), "keep it for ever".to_owned()),
        };
        self.push(Found {
            code: SHORT_RETENTION,
            severity: Severity::Warning,
            at: topic,
            span: self.topic_span(topic),
            message: format!(
                "topic `{topic}` is kept for {rule}, and {} needs {much} to be computed anew",
                needed.by
            ),
            help: format!(
                "{longer}, or let views of windows say how long they `keep` their rows; else allow this with a reason: \
                 results stay, and a replay begins with what is left, or at a savepoint"
            ),
            path: &[],
            cost: None,
        });
    }

    /// Where a topic is declared, or the node that writes it.
    fn topic_span(&self, name: &str) -> Range<usize> {
        let mut topics = self.declaration.topics.iter();
        let mut nodes = self.declaration.nodes.iter();
        let declared = topics.find(|t| t.name.get_ref() == name);
        let declared = declared.map(|t| t.name.span());
        let written = nodes.find(|n| n.output.name().get_ref() == name);
        declared.or(written.map(|n| n.name.span())).unwrap_or(0..0)
    }
}
