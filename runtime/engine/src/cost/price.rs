//! What a node takes in a month, as it is and in another rhythm, for findings about it: from what was metered where it has
//! run, at the rates of a bill; from an assumption, which is then told, where it has not. Pure.

use super::arrivals::{Arrival, simulate};
use super::bill::{self, Item, Metered};
use super::money::{MONTH_US, Money};
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
    rounds: Vec<Vec<Arrival>>,
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

    fn simulated(&self, rhythms: &[Rhythm]) -> Vec<Vec<Arrival>> {
        let nodes = self.graph.nodes.iter();
        let out = nodes.map(|n| self.metered.out.get(&n.name).copied().unwrap_or(1.0));
        let out: Vec<f64> = out.collect();
        simulate(self.graph, rhythms, &self.metered.arrivals, &out)
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
        match work.filter(|_| !before.is_empty()) {
            Some(work) => measured(bill::in_rounds(
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

fn measured(amount: Money) -> Priced {
    Priced {
        amount,
        assumed: false,
    }
}
