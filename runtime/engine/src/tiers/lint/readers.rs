//! What a node makes and nobody reads, and what is read by some who need it much fresher than others do.

use super::words::every;
use super::{Finder, Found, NEEDS_DIFFER, UNREAD_VIEW};
use crate::pipeline::{Rhythm, Severity};
use crate::tiers::graph::{From, Vertex};
use crate::tiers::planner::period_below;
use crate::tiers::words::span;

/// A way out of a node: to a consumer of its view, or to a node that reads its topic.
#[derive(Clone)]
struct Way {
    /// The consumer with the strictest need at the end of it, and that need.
    consumer: String,
    need_us: i64,
    /// The node that it leads to; none: the consumer reads here.
    through: Option<String>,
}

impl Way {
    /// `exec` within 26h; `exec` (through `nightly`) within 26h
    fn text(&self) -> String {
        let through = self.through.as_ref();
        let through = through.map_or(String::new(), |node| format!(" (through `{node}`)"));
        format!("`{}`{through} within {}", self.consumer, span(self.need_us))
    }

    fn reader(&self) -> &str {
        self.through.as_ref().unwrap_or(&self.consumer)
    }
}

impl Finder<'_> {
    /// Views that no one reads, and nodes whose readers differ.
    pub(super) fn readers(&mut self) {
        let consumers = &self.tiers.consumers;
        if consumers.is_empty() {
            return;
        }
        let beyond = self.strictest_beyond();
        for (place, vertex) in self.graph.nodes.iter().enumerate() {
            match &vertex.view {
                Some(view) if consumers.iter().all(|c| c.view != *view) => {
                    self.unread(place, view);
                }
                _ => self.differing(place, &beyond),
            }
        }
    }

    fn unread(&mut self, place: usize, view: &str) {
        let node = &self.tiers.nodes[place];
        let cost = self.pricing.as_it_is(place);
        let message = format!(
            "view `{view}` has no consumer, and node `{}` keeps it {}",
            node.name, node.rhythm
        );
        let help = format!(
            "name its reader: [consumer.NAME] view = \"{view}\" freshness = \"...\"; or remove the node, which takes {}",
            self.told(cost)
        );
        self.push(Found {
            code: UNREAD_VIEW,
            severity: Severity::Warning,
            at: view,
            span: self.name_span(&node.name),
            message,
            help,
            path: &[self.step(place)],
            cost: Some(cost),
        });
    }

    /// The consumer with the strictest need of all that depend on each node.
    fn strictest_beyond(&self) -> Vec<Option<Way>> {
        let mut beyond: Vec<Option<Way>> = vec![None; self.graph.nodes.len()];
        for place in (0..beyond.len()).rev() {
            let own = self.own_readers(place);
            let through = self
                .readers_of(place)
                .filter_map(|next| beyond[next].clone());
            beyond[place] = own.chain(through).min_by_key(|way| way.need_us);
        }
        beyond
    }

    /// The ways out of a node, from the strictest need on.
    fn ways(&self, place: usize, beyond: &[Option<Way>]) -> Vec<Way> {
        let through = self.readers_of(place).filter_map(|next| {
            let through = Some(self.graph.nodes[next].name.clone());
            beyond[next].clone().map(|way| Way { through, ..way })
        });
        let mut ways: Vec<Way> = self.own_readers(place).chain(through).collect();
        ways.sort_by_key(|way| way.need_us);
        ways
    }

    /// Nodes that read what a node writes.
    fn readers_of(&self, place: usize) -> impl Iterator<Item = usize> {
        let nodes = self.graph.nodes.iter().enumerate();
        let reads = move |(_, node): &(usize, &Vertex)| node.inputs.contains(&From::Node(place));
        nodes.filter(reads).map(|(next, _)| next)
    }

    /// Consumers of a node's view that say what they need.
    fn own_readers(&self, place: usize) -> impl Iterator<Item = Way> {
        let readers = self.graph.readers.iter();
        let here = readers.filter(move |r| r.node == place);
        here.filter_map(|r| {
            Some(Way {
                consumer: r.name.clone(),
                need_us: r.need_us?,
                through: None,
            })
        })
    }

    fn differing(&mut self, place: usize, beyond: &[Option<Way>]) {
        let ways = self.ways(place, beyond);
        let (Some(strict), Some(loose)) = (ways.first(), ways.last()) else {
            return;
        };
        if self.tier(loose.need_us) < self.tier(strict.need_us) + 2 {
            return;
        }
        let name = &self.tiers.nodes[place].name;
        let vertex = &self.graph.nodes[place];
        let what = match &vertex.view {
            Some(view) => format!("view `{view}`"),
            None => format!("the topic of node `{name}`"),
        };
        let message = format!(
            "{what} is read for {} and for {}: node `{name}` works for the strictest of them",
            strict.text(),
            loose.text()
        );
        let rhythm = period_below(loose.need_us).map_or(Rhythm::Continuous, Rhythm::Every);
        let cost = self.pricing.in_rhythm(place, &rhythm);
        let help = format!(
            "if `{}` needs only a part of it, give it a node of its own, and `{}` another of `{}`, which takes {} for reading \
             all rows once more; else allow this with a reason",
            strict.reader(),
            loose.reader(),
            every(loose.need_us),
            self.told(cost)
        );
        let at = vertex.view.as_ref().unwrap_or(name);
        self.push(Found {
            code: NEEDS_DIFFER,
            severity: Severity::Warning,
            at,
            span: self.name_span(name),
            message,
            help,
            path: &[self.step(place)],
            cost: Some(cost),
        });
    }
}
