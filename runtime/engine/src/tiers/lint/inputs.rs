//! Nodes that join inputs of different tiers: a result is as old as the stalest input.

use super::{FAST_WITH_SLOW, Finder, Found};
use crate::cost::price::Priced;
use crate::pipeline::{Rhythm, Severity};
use crate::tiers::EdgeTier;
use crate::tiers::planner::{Step, period_below};
use crate::tiers::words::span_or_dash;

/// The freshest and the stalest input of a node.
struct Pair<'a> {
    fast: &'a EdgeTier,
    slow: &'a EdgeTier,
}

impl<'a> Finder<'a> {
    pub(super) fn inputs(&mut self) {
        for place in 0..self.graph.nodes.len() {
            if let Some(pair) = self.unlike_inputs(place) {
                self.fast_with_slow(place, &pair);
            }
        }
    }

    fn unlike_inputs(&self, place: usize) -> Option<Pair<'a>> {
        let name = &self.graph.nodes[place].name;
        let edges = self.tiers.edges.iter();
        let edges: Vec<&EdgeTier> = edges.filter(|e| !e.consumer && e.to == *name).collect();
        let age = |e: &&&EdgeTier| e.achieved_us.unwrap_or(i64::MAX);
        let fast = edges.iter().min_by_key(age)?;
        let slow = edges.iter().max_by_key(age)?;
        let tier = |e: &EdgeTier| e.achieved_us.map_or(5, |us| self.tier(us));
        (tier(slow) > tier(fast)).then_some(Pair { fast, slow })
    }

    fn fast_with_slow(&mut self, place: usize, pair: &Pair) {
        let (fast, slow) = (&pair.fast.from, &pair.slow.from);
        let name = &self.tiers.nodes[place].name;
        let of_node = self.place(slow);
        // A node holds its readers back by its frontier. A topic has none: it only makes results old.
        let then = match of_node {
            Some(_) => format!("rows of `{fast}` wait for it in the log"),
            None => format!("rows of `{fast}` meet what was delivered last"),
        };
        let message = format!(
            "node `{name}` joins `{fast}` (at most {} old) with `{slow}` ({}): its results are as old as `{slow}`, and {then}",
            span_or_dash(pair.fast.achieved_us),
            match of_node {
                Some(_) => format!("up to {} old", span_or_dash(pair.slow.achieved_us)),
                None => format!("delivered every {}", span_or_dash(pair.slow.achieved_us)),
            },
        );
        let (help, cost) = match of_node {
            Some(of_node) => self.hurry(of_node, pair),
            None => self.relax(place, pair),
        };
        let step = of_node.map_or_else(|| delivery(pair.slow), |of_node| self.step(of_node));
        self.push(Found {
            code: FAST_WITH_SLOW,
            severity: Severity::Warning,
            at: name,
            span: self.name_span(name),
            message,
            help,
            path: &[step, self.step(place)],
            cost,
        });
    }

    /// The slow node could run as often as the fast one.
    fn hurry(&self, slow: usize, pair: &Pair) -> (String, Option<Priced>) {
        let wait = pair.fast.achieved_us.unwrap_or(0);
        let rhythm = period_below(wait).map_or(Rhythm::Continuous, Rhythm::Every);
        let more = self.pricing.change(slow, &rhythm);
        let (fast, slow) = (&pair.fast.from, &pair.slow.from);
        let help = format!(
            "let `{slow}` have `rhythm = \"{rhythm}\"`, which costs {} more; join later; or loosen what comes before `{fast}`",
            self.told(more)
        );
        (help, Some(more))
    }

    /// No rhythm makes a topic come more often; the node that joins it could run as seldom.
    fn relax(&self, place: usize, pair: &Pair) -> (String, Option<Priced>) {
        let delivered = pair.slow.achieved_us.unwrap_or(i64::MAX);
        let rhythm = period_below(delivered).map_or(Rhythm::Continuous, Rhythm::Every);
        let saved = self.pricing.change(place, &rhythm).negated();
        let help = format!(
            "have topic `{}` delivered more often; or let `{}` have `rhythm = \"{rhythm}\"`, which saves {}; or, when old \
             rows of it are right, allow this with that reason",
            pair.slow.from,
            self.tiers.nodes[place].name,
            self.told(saved)
        );
        (help, Some(saved))
    }
}

fn delivery(edge: &EdgeTier) -> Step {
    Step {
        name: edge.from.clone(),
        wait_us: edge.achieved_us,
        took_us: 0,
    }
}
