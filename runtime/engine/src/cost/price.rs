//! What a node takes in a month, as it is and in another rhythm, for findings about it: from what was metered where it has
//! run, at the rates of a bill; from an assumption, which is then told, where it has not. Pure.

use super::bill::{self, Item, Metered};
use super::model::Model;
use super::money::{MONTH_US, Money};
use super::rounds::{Layout, simulate};
use crate::accounts::Work;
use crate::pipeline::{Prices, Rhythm};
use crate::tiers::Graph;

/// Processor time taken for a pass of a node that was not metered, in nanoseconds.
const ASSUMED_PASS_NS: u64 = 5_000_000;
/// Durable writes taken for it.
const ASSUMED_PASS_SYNCS: u128 = 1;

/// An amount a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priced {
    /// How much.
    pub amount: Money,
    /// Whether it stands on assumptions instead of what was metered.
    pub assumed: bool,
}

impl Priced {
    /// What is saved, where this is what is spent.
    #[must_use]
    pub fn negated(self) -> Priced {
        Priced {
            amount: Money(0) - self.amount,
            ..self
        }
    }

    /// `0.43 USD a month`, with a word where it is assumed.
    pub fn text(self, currency: &str) -> String {
        let assumed = if self.assumed { " (assumed)" } else { "" };
        format!("{} a month{assumed}", self.amount.text(currency))
    }
}

/// Nodes of a graph with their prices.
#[derive(Debug)]
pub struct Pricing<'a> {
    graph: &'a Graph,
    metered: &'a Metered,
    prices: &'a Prices,
    /// When nodes run.
    rhythms: Vec<Rhythm>,
    /// The rounds that they made so.
    rounds: Vec<Layout>,
    /// What each takes in a month, of those that were metered.
    items: Vec<Option<Item>>,
}

impl<'a> Pricing<'a> {
    /// Prices nodes that run in these rhythms. `metered` has their work by the names of the graph.
    pub fn new(
        graph: &'a Graph,
        metered: &'a Metered,
        prices: &'a Prices,
        rhythms: Vec<Rhythm>,
    ) -> Pricing<'a> {
        let items = bill::bill(graph, metered, prices, true).items;
        let item = |name: &String| {
            let mut nodes = items.iter().filter(|i| i.kind == "node");
            let item = nodes.find(|i| i.name == *name)?;
            let has_run = item.work.as_ref().is_some_and(|w| w.commits > 0);
            has_run.then(|| item.clone())
        };
        let mut pricing = Pricing {
            graph,
            metered,
            prices,
            rounds: Vec::new(),
            items: graph.nodes.iter().map(|n| item(&n.name)).collect(),
            rhythms,
        };
        pricing.rounds = pricing.simulated(&pricing.rhythms);
        pricing
    }

    fn simulated(&self, rhythms: &[Rhythm]) -> Vec<Layout> {
        let known = self.metered.known(self.graph);
        simulate(self.graph, rhythms, &known, self.metered.arriving())
    }

    /// All that a node takes.
    pub fn as_it_is(&self, node: usize) -> Priced {
        match &self.items[node] {
            Some(item) => measured(item.total),
            None => self.assumed(node, &self.rhythms[node]),
        }
    }

    /// All that it would take in another rhythm, the others as they are: every row read, every state and row of the view
    /// kept, every commit made durable.
    pub fn in_rhythm(&self, node: usize, rhythm: &Rhythm) -> Priced {
        let mut rhythms = self.rhythms.clone();
        rhythms[node] = rhythm.clone();
        let Some(item) = &self.items[node] else {
            return self.assumed(node, rhythm);
        };
        let (before, work) = (&self.rounds[node], item.work.as_ref());
        match work.filter(|_| !before.rounds.is_empty()) {
            Some(work) => measured(in_rounds(
                item,
                work,
                before,
                &self.simulated(&rhythms)[node],
            )),
            None => self.assumed(node, rhythm),
        }
    }

    /// What another rhythm adds to it; below zero: what it saves.
    pub fn change(&self, node: usize, rhythm: &Rhythm) -> Priced {
        let then = self.in_rhythm(node, rhythm);
        let now = match then.assumed {
            true => self.assumed(node, &self.rhythms[node]),
            false => self.as_it_is(node),
        };
        Priced {
            amount: then.amount - now.amount,
            ..then
        }
    }

    /// A pass each time that there may be one.
    fn assumed(&self, node: usize, rhythm: &Rhythm) -> Priced {
        let wait_us = self.graph.wait_us(node, rhythm).max(1);
        let passes = u128::from((MONTH_US / wait_us).unsigned_abs());
        let cpu_ns = passes * u128::from(ASSUMED_PASS_NS);
        let cpu = Money::of_cpu(cpu_ns, self.prices.core_hour);
        let requests = Money::of(passes * ASSUMED_PASS_SYNCS, 1, self.prices.request);
        Priced {
            amount: cpu + requests,
            assumed: true,
        }
    }
}

/// What an item would cost with other rounds in the place of those that it made; what it reads and holds stays.
fn in_rounds(item: &Item, work: &Work, before: &Layout, after: &Layout) -> Money {
    let model = Model::of(work);
    let cpu = ratio(model.cpu_ns(&after.rounds), model.cpu_ns(&before.rounds));
    let requests = ratio(after.rounds.len() as f64, before.rounds.len() as f64);
    times(item.cpu, cpu) + item.read + times(item.requests, requests) + item.storage
}

fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 1.0 }
}

fn times(money: Money, factor: f64) -> Money {
    Money((money.0 as f64 * factor).round() as i64)
}

fn measured(amount: Money) -> Priced {
    Priced {
        amount,
        assumed: false,
    }
}
