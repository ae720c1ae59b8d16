//! Findings in both directions: where readers get less than they need, and where work is done that no one reads. Each
//! with its path, its cost and its remedy. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_spanned::Spanned;

use super::graph::{From, Graph, Measures};
use super::planner::{self, ConsumerTier, Step, Tiers};
use super::words::{span, span_or_dash};
use crate::cost::Money;
use crate::cost::money::MONTH_US;
use crate::pipeline::diagnostic::placed;
use crate::pipeline::{Declaration, Diagnostic, Plan, Rhythm, Severity};

/// A consumer gets its view staler than it needs it. Error.
pub const STALE_VIEW: &str = "stale-view";
/// A source is delivered more seldom than a consumer needs. Error.
pub const SLOW_SOURCE: &str = "slow-source";
/// A node works more often than any of its readers needs. Warning.
pub const FRESHER_THAN_READ: &str = "fresher-than-read";
/// Readers of one view need it very differently fresh. Warning.
pub const NEEDS_DIFFER: &str = "needs-differ";
/// A view has no consumer, in a file that names consumers. Warning.
pub const UNREAD_VIEW: &str = "unread-view";
/// A consumer does not say how fresh it needs its view. Warning.
pub const UNLABELLED_CONSUMER: &str = "unlabelled-consumer";
/// A node joins inputs of different tiers, and the fresher one waits for the staler one. Warning.
pub const FAST_WITH_SLOW: &str = "fast-with-slow";
/// Nobody knows how often a node on the way to a consumer runs. Warning.
pub const UNKNOWN_FRESHNESS: &str = "unknown-freshness";
/// An allowance allows nothing. Warning.
pub const UNUSED_ALLOWANCE: &str = "unused-allowance";

/// All that can be allowed.
pub const CODES: [&str; 8] = [
    STALE_VIEW,
    SLOW_SOURCE,
    FRESHER_THAN_READ,
    NEEDS_DIFFER,
    UNREAD_VIEW,
    UNLABELLED_CONSUMER,
    FAST_WITH_SLOW,
    UNKNOWN_FRESHNESS,
];

/// CPU time taken for a pass of a node that was not measured, in nanoseconds.
pub const ASSUMED_PASS_NS: u64 = 5_000_000;

/// CPU time of a pass by node, in nanoseconds, where it was measured.
pub type PassCosts = BTreeMap<String, u64>;

/// What was found, and what of it the file allows, with its reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lints {
    /// Findings, in the order of the file.
    pub list: Vec<Diagnostic>,
    /// Allowed ones, each with the reason that the file gives.
    pub allowed: Vec<(Diagnostic, String)>,
}

/// Looks at a plan whose rhythms are settled.
pub fn lint(
    declaration: &Declaration,
    plan: &Plan,
    measures: &Measures,
    costs: &PassCosts,
) -> Lints {
    let graph = Graph::of(plan, measures);
    let tiers = planner::plan(&graph);
    let mut finder = Finder {
        declaration,
        plan,
        graph: &graph,
        tiers: &tiers,
        costs,
        found: Vec::new(),
    };
    finder.consumers();
    finder.pinned_nodes();
    finder.views();
    finder.joins();
    let found = finder.found;
    sorted(declaration, found)
}

/// Takes out what is allowed, and tells of allowances that allow nothing.
fn sorted(declaration: &Declaration, found: Vec<Diagnostic>) -> Lints {
    let mut lints = Lints::default();
    let mut used = vec![false; declaration.allowances.len()];
    for diagnostic in found {
        let allows = |a: &crate::pipeline::declaration::Allowance| {
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
        span: 0..0,
        line: 0,
        column: 0,
    }
}

struct Finder<'a> {
    declaration: &'a Declaration,
    plan: &'a Plan,
    graph: &'a Graph,
    tiers: &'a Tiers,
    costs: &'a PassCosts,
    found: Vec<Diagnostic>,
}

impl Finder<'_> {
    fn consumers(&mut self) {
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

    fn unlabelled(&mut self, consumer: &ConsumerTier, span: Range<usize>) {
        let message = format!(
            "consumer `{}` does not say how fresh it needs view `{}`",
            consumer.name, consumer.view
        );
        let got = span_or_dash(consumer.achieved_us);
        let help = format!("add `freshness = \"1h\"` or a tier; it gets at most {got} old now");
        self.push(
            UNLABELLED_CONSUMER,
            Severity::Warning,
            &consumer.name,
            span,
            (message, help),
            &consumer.path,
            None,
        );
    }

    fn unknown(&mut self, consumer: &ConsumerTier, need: i64, at: Range<usize>) {
        let unknown = |s: &&Step| s.wait_us.is_none();
        let node = consumer
            .path
            .iter()
            .find(unknown)
            .map_or("", |s| s.name.as_str());
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
        self.push(
            UNKNOWN_FRESHNESS,
            Severity::Warning,
            &consumer.name,
            at,
            (message, help),
            &consumer.path,
            None,
        );
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
            self.push(
                SLOW_SOURCE,
                Severity::Error,
                &consumer.name,
                at,
                (message, help.into()),
                &consumer.path,
                None,
            );
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
        self.push(
            STALE_VIEW,
            Severity::Error,
            &consumer.name,
            at,
            (message, help),
            &consumer.path,
            cost,
        );
    }

    /// The pinned node on the way that waits the longest is the one to change; what that costs.
    fn remedy_of_late(
        &self,
        consumer: &ConsumerTier,
        need: i64,
        achieved: i64,
    ) -> (String, Option<Money>) {
        let pinned = |s: &&Step| self.node(&s.name).is_some_and(|n| !n.auto);
        let waits = consumer.path.iter().filter(pinned);
        let worst = waits.max_by_key(|s| s.wait_us.unwrap_or(i64::MAX));
        let looser = format!("or accept `freshness = \"{}\"`", compact_up(achieved));
        let Some(step) = worst.filter(|s| s.wait_us.unwrap_or(0) > self.plan.commit_interval_us)
        else {
            let interval = span(self.plan.commit_interval_us);
            let help = format!(
                "every node on the way is as fast as it gets with `commit_interval` = {interval}: lower that in [run], {looser}"
            );
            return (help, None);
        };
        let others = achieved - step.wait_us.unwrap_or(0);
        let wait = (need - others).max(self.plan.commit_interval_us);
        let rhythm = format!("rhythm = \"{}\"", every(need - others));
        let more = self
            .passes(wait)
            .saturating_sub(self.passes(step.wait_us.unwrap_or(wait)));
        let cost = self.money(&step.name, more);
        let help = format!(
            "let [node.{}] have `{rhythm}` or `rhythm = \"auto\"`, {looser}",
            step.name
        );
        (help, Some(cost))
    }

    /// Nodes whose stated rhythm is tighter, by a tier, than what any reader needs.
    fn pinned_nodes(&mut self) {
        for (place, node) in self.tiers.nodes.iter().enumerate() {
            let (Some(required), Some(achieved)) = (node.required_us, node.achieved_us) else {
                continue;
            };
            let wait = node.wait_us.unwrap_or(i64::MAX);
            // What could be waited here with every reader still served.
            let loose = wait.saturating_add(required.saturating_sub(achieved));
            let tier = |us| self.graph.tiers.number(us).unwrap_or(5);
            if node.auto
                || node.rhythm == Rhythm::Once
                || required <= achieved
                || tier(loose) <= tier(wait)
            {
                continue;
            }
            let message = format!(
                "node `{}` is {} and its readers need it within {}: `{}` would do",
                node.name,
                node.rhythm,
                span(required),
                every(loose)
            );
            let wasted = self.passes(wait).saturating_sub(self.passes(loose));
            let cost = self.money(&node.name, wasted);
            let help = format!(
                "leave out its rhythm and the planner chooses, or write `rhythm = \"{}\"`",
                every(loose)
            );
            let at = self.rhythm_span(&node.name);
            let path = vec![self.step(place)];
            self.push(
                FRESHER_THAN_READ,
                Severity::Warning,
                &node.name,
                at,
                (message, help),
                &path,
                Some(cost),
            );
        }
    }

    /// Views that no one reads, and views whose readers differ.
    fn views(&mut self) {
        if self.tiers.consumers.is_empty() {
            return;
        }
        for (place, vertex) in self.graph.nodes.iter().enumerate() {
            let Some(view) = &vertex.view else { continue };
            let readers = self.tiers.consumers.iter().filter(|c| c.view == *view);
            let mut needs: Vec<&ConsumerTier> =
                readers.clone().filter(|c| c.need_us.is_some()).collect();
            needs.sort_by_key(|c| c.need_us);
            if readers.count() == 0 {
                self.unread(place, view);
            } else if let (Some(first), Some(last)) = (needs.first(), needs.last()) {
                self.differing(place, view, first, last);
            }
        }
    }

    fn unread(&mut self, place: usize, view: &str) {
        let node = &self.tiers.nodes[place];
        let message = format!(
            "view `{view}` has no consumer, and node `{}` keeps it {}",
            node.name, node.rhythm
        );
        let help = format!(
            "name its reader: [consumer.NAME] view = \"{view}\" freshness = \"...\"; or remove the node"
        );
        let cost = self.money(&node.name, self.passes(node.wait_us.unwrap_or(MONTH_US)));
        let at = self.name_span(&node.name);
        let path = vec![self.step(place)];
        self.push(
            UNREAD_VIEW,
            Severity::Warning,
            view,
            at,
            (message, help),
            &path,
            Some(cost),
        );
    }

    fn differing(&mut self, place: usize, view: &str, first: &ConsumerTier, last: &ConsumerTier) {
        let (Some(strict), Some(loose)) = (first.need_us, last.need_us) else {
            return;
        };
        let tier = |us| self.graph.tiers.number(us).unwrap_or(5);
        if tier(loose) < tier(strict) + 2 {
            return;
        }
        let name = &self.tiers.nodes[place].name;
        let message = format!(
            "view `{view}` is read by `{}` within {} and by `{}` within {}: node `{name}` works for the strictest of them",
            first.name,
            span(strict),
            last.name,
            span(loose)
        );
        let cost = self.money(name, self.passes(loose));
        let help = format!(
            "if `{}` needs only a part of it, give it a node and a view of its own at that rhythm, and `{}` a node of `{}`: \
             the second node is what the split costs; else allow this with a reason",
            first.name,
            last.name,
            every(loose)
        );
        let at = self.name_span(name);
        let path = vec![self.step(place)];
        self.push(
            NEEDS_DIFFER,
            Severity::Warning,
            view,
            at,
            (message, help),
            &path,
            Some(cost),
        );
    }

    /// A node is as stale as its stalest input.
    fn joins(&mut self) {
        for (place, vertex) in self.graph.nodes.iter().enumerate() {
            let edges = self
                .tiers
                .edges
                .iter()
                .filter(|e| !e.consumer && e.to == vertex.name);
            let edges: Vec<_> = edges.collect();
            let age = |e: &&&super::EdgeTier| e.achieved_us.unwrap_or(i64::MAX);
            let (Some(fast), Some(slow)) =
                (edges.iter().min_by_key(age), edges.iter().max_by_key(age))
            else {
                continue;
            };
            let tier = |e: &super::EdgeTier| {
                e.achieved_us
                    .and_then(|us| self.graph.tiers.number(us))
                    .unwrap_or(5)
            };
            // A source that is delivered seldom holds nobody back: only nodes have a frontier of their own.
            let holds = vertex
                .inputs
                .iter()
                .any(|i| matches!(i, From::Node(_)) && self.graph.name(*i) == slow.from);
            if !holds || tier(slow) <= tier(fast) {
                continue;
            }
            let message = format!(
                "node `{}` joins `{}` (at most {} old) with `{}` (up to {} old): its results are as old as `{}`, and rows of \
                 `{}` wait for it in the log",
                vertex.name,
                fast.from,
                span_or_dash(fast.achieved_us),
                slow.from,
                span_or_dash(slow.achieved_us),
                slow.from,
                fast.from
            );
            let more = self.passes(
                fast.achieved_us
                    .unwrap_or(1)
                    .max(self.plan.commit_interval_us),
            );
            let cost = self.money(&slow.from, more);
            let help = format!(
                "let `{}` run as often as `{}` is needed, join later, or loosen what comes before `{}`",
                slow.from, fast.from, fast.from
            );
            let at = self.name_span(&vertex.name);
            let path = vec![self.step_of(&slow.from), self.step(place)];
            self.push(
                FAST_WITH_SLOW,
                Severity::Warning,
                &vertex.name,
                at,
                (message, help),
                &path,
                Some(cost),
            );
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a finding has these parts")]
    fn push(
        &mut self,
        code: &str,
        severity: Severity,
        at: &str,
        place: Range<usize>,
        (message, help): (String, String),
        path: &[Step],
        cost: Option<Money>,
    ) {
        let mut found = bare(code, severity, at, message, help);
        found.span = place;
        found.path = path.iter().map(shown).collect();
        found.per_month = cost.map(|c| c.text(&self.plan.prices.currency));
        self.found.push(found);
    }

    fn passes(&self, wait_us: i64) -> u64 {
        (MONTH_US / wait_us.max(1)) as u64
    }

    fn money(&self, node: &str, passes: u64) -> Money {
        let each = self.costs.get(node).copied().unwrap_or(ASSUMED_PASS_NS);
        let cpu_ns = u128::from(passes) * u128::from(each);
        Money::of_cpu(cpu_ns, self.plan.prices.core_hour)
    }

    fn node(&self, name: &str) -> Option<&planner::NodeTier> {
        self.tiers.nodes.iter().find(|n| n.name == name)
    }

    fn step(&self, place: usize) -> Step {
        let node = &self.tiers.nodes[place];
        Step {
            name: node.name.clone(),
            wait_us: node.wait_us,
            took_us: node.took_us,
        }
    }

    fn step_of(&self, name: &str) -> Step {
        let place = self.tiers.nodes.iter().position(|n| n.name == name);
        let unknown = || Step {
            name: name.to_owned(),
            wait_us: None,
            took_us: 0,
        };
        place.map_or_else(unknown, |place| self.step(place))
    }

    fn consumer_span(&self, name: &str) -> Range<usize> {
        let consumers = self.declaration.consumers.iter();
        let found = consumers.clone().find(|c| c.name.get_ref() == name);
        let span = found.map(|c| c.freshness_us.as_ref().map_or(c.name.span(), Spanned::span));
        span.unwrap_or(0..0)
    }

    fn rhythm_span(&self, name: &str) -> Range<usize> {
        let found = self
            .declaration
            .nodes
            .iter()
            .find(|n| n.name.get_ref() == name);
        let span = found.and_then(|n| n.rhythm.as_ref().map(Spanned::span));
        span.unwrap_or(self.name_span(name))
    }

    fn name_span(&self, name: &str) -> Range<usize> {
        let found = self
            .declaration
            .nodes
            .iter()
            .find(|n| n.name.get_ref() == name);
        found.map_or(0..0, |n| n.name.span())
    }
}

/// `delays (waits 30s, takes 1s)`
fn shown(step: &Step) -> String {
    match step.wait_us {
        Some(0) if step.took_us == 0 => step.name.clone(),
        wait => format!(
            "{} (waits {}, takes {})",
            step.name,
            wait.map_or("for ever".into(), span),
            span(step.took_us)
        ),
    }
}

/// A duration as a pipeline file writes it, not longer than `us`.
fn compact(us: i64) -> String {
    let step = [
        86_400_000_000,
        3_600_000_000,
        60_000_000,
        1_000_000,
        1_000,
        1,
    ];
    let size = step
        .into_iter()
        .find(|s| us >= *s && us - us % s >= us / 10 * 9);
    let size = size.unwrap_or(1);
    crate::pipeline::units::duration_text(us - us % size)
}

/// A duration as a pipeline file writes it, not shorter than `us`.
fn compact_up(us: i64) -> String {
    let step = [3_600_000_000, 60_000_000, 1_000_000, 1_000, 1];
    let size = step.into_iter().find(|s| us >= s * 10).unwrap_or(1);
    crate::pipeline::units::duration_text((us + size - 1) / size * size)
}

/// A rhythm as the planner would choose it, not longer than `us`.
fn every(us: i64) -> String {
    match planner::period_below(us) {
        Some(period) => format!("every {}", compact(period)),
        None => "continuous".into(),
    }
}
