//! Freshness, planned: from what readers need back to what each node must do, and from what each node does forward to
//! what readers get. Pure: a plan and what was measured go in, a table, findings and drawings come out.

pub mod draw;
pub mod graph;
pub mod lint;
pub mod planner;
mod svg;
#[cfg(test)]
mod tests;
pub mod words;

pub use graph::{Graph, Measure, Measures};
pub use planner::{ConsumerTier, EdgeTier, NodeTier, Tiers, plan};
pub use svg::svg;

use crate::pipeline::Plan;

/// Gives each `auto` node of a plan the rhythm that the planner chooses for it.
pub fn settle(plan: &mut Plan, measures: &Measures) {
    let chosen = planner::plan(&Graph::of(plan, measures));
    for (node, tier) in plan.nodes.iter_mut().zip(chosen.nodes) {
        if node.rhythm_auto {
            node.rhythm = tier.rhythm;
        }
    }
}

/// A plan's tiers, with its rhythms as they stand.
pub fn of(plan: &Plan, measures: &Measures) -> Tiers {
    planner::plan(&Graph::of(plan, measures))
}
