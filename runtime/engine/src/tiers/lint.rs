//! Findings in both directions: where readers get less than they need, and where work is done that no one reads. Each
//! with its path, its cost and its remedy. Pure.

mod consumers;
mod inputs;
mod nodes;
mod readers;
mod retention;
mod words;

use std::ops::Range;

use serde_spanned::Spanned;

use super::graph::{Graph, Measures};
use super::planner::{self, NodeTier, Step, Tiers};
use crate::cost::bill::Metered;
use crate::cost::price::{Priced, Pricing};
use crate::pipeline::declaration::{Allowance, NodeDeclaration};
use crate::pipeline::diagnostic::placed;
use crate::pipeline::{Declaration, Diagnostic, Plan, Rhythm, Severity};

/// A consumer gets its view staler than it needs it. Error.
pub const STALE_VIEW: &str = "stale-view";
/// A source is delivered more seldom than a consumer needs. Error.
pub const SLOW_SOURCE: &str = "slow-source";
/// A node works more often than any of its readers needs. Warning.
pub const FRESHER_THAN_READ: &str = "fresher-than-read";
/// Readers of what one node makes need it very differently fresh. Warning.
pub const NEEDS_DIFFER: &str = "needs-differ";
/// A view has no consumer, in a file that names consumers. Warning.
pub const UNREAD_VIEW: &str = "unread-view";
/// A consumer does not say how fresh it needs its view. Warning.
pub const UNLABELLED_CONSUMER: &str = "unlabelled-consumer";
/// A node joins inputs of different tiers, and its results are as old as the staler one. Warning.
pub const FAST_WITH_SLOW: &str = "fast-with-slow";
/// Nobody knows how often a node on the way to a consumer runs. Warning.
pub const UNKNOWN_FRESHNESS: &str = "unknown-freshness";
/// An allowance allows nothing. Warning.
pub const UNUSED_ALLOWANCE: &str = "unused-allowance";
/// A topic's retention keeps less than it takes to compute anew what is made of it. Warning.
pub const SHORT_RETENTION: &str = "short-retention";

/// All that can be allowed.
pub const CODES: [&str; 9] = [
    STALE_VIEW,
    SLOW_SOURCE,
    FRESHER_THAN_READ,
    NEEDS_DIFFER,
    UNREAD_VIEW,
    UNLABELLED_CONSUMER,
    FAST_WITH_SLOW,
    UNKNOWN_FRESHNESS,
    SHORT_RETENTION,
];

/// What was found, and what of it the file allows, with its reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lints {
    /// Findings, in the order of the file.
    pub list: Vec<Diagnostic>,
    /// Allowed ones, each with the reason that the file gives.
    pub allowed: Vec<(Diagnostic, String)>,
}

/// Looks at a plan whose rhythms are settled; `metered` is what its nodes have taken, if they have run.
pub fn lint(
    declaration: &Declaration,
    plan: &Plan,
    measures: &Measures,
    metered: &Metered,
) -> Lints {
    let graph = Graph::of(plan, measures);
    let tiers = planner::plan(&graph);
    let rhythms: Vec<Rhythm> = tiers.nodes.iter().map(|n| n.rhythm.clone()).collect();
    let mut finder = Finder {
        declaration,
        plan,
        graph: &graph,
        tiers: &tiers,
        pricing: Pricing::new(&graph, metered, &plan.prices, rhythms),
        found: Vec::new(),
    };
    finder.consumers();
    finder.pinned_nodes();
    finder.readers();
    finder.inputs();
    finder.retention();
    let found = finder.found;
    sorted(declaration, found)
}

/// Takes out what is allowed, and tells of allowances that allow nothing.
fn sorted(declaration: &Declaration, found: Vec<Diagnostic>) -> Lints {
    let mut lints = Lints::default();
    let mut used = vec![false; declaration.allowances.len()];
    for diagnostic in placed(found, &declaration.text) {
        let allows = |a: &Allowance| {
            a.lint == diagnostic.code && Some(a.at.get_ref()) == diagnostic.at.as_ref()
        };
        match declaration.allowances.iter().position(allows) {
            Some(place) => {
                used[place] = true;
                let reason = declaration.allowances[place].reason.clone();
                lints.allowed.push((diagnostic, reason));
            }
            None => lints.list.push(diagnostic),
        }
    }
    for (allowance, used) in declaration.allowances.iter().zip(used) {
        if !used {
            let message = format!(
                "`{}` is not found at `{}`",
                allowance.lint,
                allowance.at.get_ref()
            );
            let help = "remove the allowance, so that a later finding is told".into();
            let at = allowance.at.get_ref().clone();
            let mut unused = bare(UNUSED_ALLOWANCE, Severity::Warning, &at, message, help);
            unused.span = allowance.at.span();
            lints.list.push(unused);
        }
    }
    lints.list = placed(std::mem::take(&mut lints.list), &declaration.text);
    lints
}

fn bare(code: &str, severity: Severity, at: &str, message: String, help: String) -> Diagnostic {
    Diagnostic {
        code: code.into(),
        severity,
        message,
        help: Some(help),
        at: Some(at.into()),
        path: Vec::new(),
        per_month: None,
        assumed: false,
        span: 0..0,
        line: 0,
        column: 0,
    }
}

/// One finding, before it is written down.
struct Found<'a> {
    code: &'a str,
    severity: Severity,
    /// The name that an allowance wants.
    at: &'a str,
    span: Range<usize>,
    message: String,
    help: String,
    path: &'a [Step],
    cost: Option<Priced>,
}

struct Finder<'a> {
    declaration: &'a Declaration,
    plan: &'a Plan,
    graph: &'a Graph,
    tiers: &'a Tiers,
    pricing: Pricing<'a>,
    found: Vec<Diagnostic>,
}

impl Finder<'_> {
    fn push(&mut self, found: Found) {
        let (message, help) = (found.message, found.help);
        let mut written = bare(found.code, found.severity, found.at, message, help);
        written.span = found.span;
        written.path = found.path.iter().map(words::shown).collect();
        let currency = &self.plan.prices.currency;
        written.per_month = found.cost.map(|cost| cost.amount.text(currency));
        written.assumed = found.cost.is_some_and(|cost| cost.assumed);
        self.found.push(written);
    }

    /// An amount as findings tell it.
    fn told(&self, cost: Priced) -> String {
        cost.text(&self.plan.prices.currency)
    }

    /// The number of the tier of an age; 5: older than the last one.
    fn tier(&self, us: i64) -> usize {
        self.graph.tiers.number(us).unwrap_or(5)
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.tiers.nodes.iter().position(|n| n.name == name)
    }

    fn node(&self, name: &str) -> Option<&NodeTier> {
        self.place(name).map(|place| &self.tiers.nodes[place])
    }

    fn step(&self, place: usize) -> Step {
        let node = &self.tiers.nodes[place];
        Step {
            name: node.name.clone(),
            wait_us: node.wait_us,
            took_us: node.took_us,
        }
    }

    fn declared(&self, name: &str) -> Option<&NodeDeclaration> {
        let mut nodes = self.declaration.nodes.iter();
        nodes.find(|n| n.name.get_ref() == name)
    }

    fn consumer_span(&self, name: &str) -> Range<usize> {
        let mut consumers = self.declaration.consumers.iter();
        let found = consumers.find(|c| c.name.get_ref() == name);
        let span = found.map(|c| c.freshness_us.as_ref().map_or(c.name.span(), Spanned::span));
        span.unwrap_or(0..0)
    }

    fn rhythm_span(&self, name: &str) -> Range<usize> {
        let rhythm = self.declared(name).and_then(|n| n.rhythm.as_ref());
        rhythm.map_or_else(|| self.name_span(name), Spanned::span)
    }

    fn name_span(&self, name: &str) -> Range<usize> {
        self.declared(name).map_or(0..0, |n| n.name.span())
    }
}
