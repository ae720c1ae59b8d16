//! Nodes that work more often than any of their readers needs.

use super::words::every;
use super::{FRESHER_THAN_READ, Finder, Found};
use crate::pipeline::{Rhythm, Severity};
use crate::tiers::planner::{NodeTier, period_below};
use crate::tiers::words::span;

impl Finder<'_> {
    /// Nodes whose stated rhythm is tighter, by a tier, than what any reader needs.
    pub(super) fn pinned_nodes(&mut self) {
        for (place, node) in self.tiers.nodes.iter().enumerate() {
            if let Some(loose) = self.loosest(node) {
                self.fresher(place, node, loose);
            }
        }
    }

    /// What could be waited here with every reader still served, when that is of another tier than what is waited.
    fn loosest(&self, node: &NodeTier) -> Option<i64> {
        let (required, achieved) = (node.required_us?, node.achieved_us?);
        let wait = node.wait_us.unwrap_or(i64::MAX);
        let loose = wait.saturating_add(required.saturating_sub(achieved));
        let stated = !node.auto && node.rhythm != Rhythm::Once;
        let is_found = stated && required > achieved && self.tier(loose) > self.tier(wait);
        is_found.then_some(loose)
    }

    fn fresher(&mut self, place: usize, node: &NodeTier, loose: i64) {
        let rhythm = period_below(loose).map_or(Rhythm::Continuous, Rhythm::Every);
        let wasted = self.pricing.change(place, &rhythm).negated();
        let message = format!(
            "node `{}` is {} and its readers need it within {}: `{}` would do",
            node.name,
            node.rhythm,
            span(node.required_us.unwrap_or(loose)),
            every(loose)
        );
        let help = format!(
            "leave out its rhythm and the planner chooses, or write `rhythm = \"{}\"`: that saves {}",
            every(loose),
            self.told(wasted)
        );
        self.push(Found {
            code: FRESHER_THAN_READ,
            severity: Severity::Warning,
            at: &node.name,
            span: self.rhythm_span(&node.name),
            message,
            help,
            path: &[self.step(place)],
            cost: Some(wasted),
        });
    }
}
