//! The bill: what each node costs by the price sheet, and who pays for it, and why. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::arrivals::Arrival;
use super::change::Change;
use super::model::Model;
use super::money::{MONTH_US, Money};
use super::rounds::{Arriving, Known, simulate};
use super::share::{Step, steps};
use crate::accounts::{Chain, Held, Stood, Work};
use crate::pipeline::{Prices, Rhythm};
use crate::tiers::graph::{Graph, NEVER_US, Reader, Vertex};
use crate::tiers::planner;
use crate::versions::VersionName;

/// What a bill is made from.
#[derive(Clone, Debug, Default)]
pub struct Metered {
    /// Work by build of a node.
    pub work: BTreeMap<String, Work>,
    /// Bytes of state, view and topics written, by build of a node.
    pub held: BTreeMap<String, Held>,
    /// Work for appends, by source topic.
    pub appends: BTreeMap<String, Work>,
    /// Work of the process that is no node's and no append's.
    pub rest: Work,
    /// Bytes of source topics.
    pub topic_bytes: BTreeMap<String, u64>,
    /// Bytes of the commit log, on average over the time that it was looked at.
    pub commit_bytes: u64,
    /// The commit log in that time.
    pub log: Stood,
    /// What each consumer's view comes from.
    pub chains: BTreeMap<String, Chain>,
    /// Time over which it was metered, in microseconds.
    pub span_us: i64,
    /// Until when, in microseconds since the Unix epoch; none: as long as anything comes.
    pub until_us: Option<i64>,
    /// When nodes run now, where that is known, by their names in the pipeline file.
    pub rhythms: BTreeMap<String, Rhythm>,
    /// When frames came to source topics.
    pub arrivals: BTreeMap<String, Vec<Arrival>>,
    /// Rows that a node writes for one that it takes, by build.
    pub out: BTreeMap<String, f64>,
    /// The build that everybody reads of a node, by its name in the pipeline file.
    pub live: BTreeMap<String, String>,
}

impl Metered {
    /// The build that stands for a node.
    pub fn build<'a>(&'a self, node: &'a str) -> &'a str {
        self.live.get(node).map_or(node, String::as_str)
    }

    /// What is known of the nodes of a graph.
    pub fn known(&self, graph: &Graph) -> Vec<Known> {
        let known = |node: &Vertex| {
            let build = self.build(&node.name);
            let work = self.work.get(build).filter(|work| work.rows > 0);
            let row_ns = work.map(|work| work.cpu_ns() as f64 / work.rows as f64);
            Known {
                out: self.out.get(build).copied().unwrap_or(1.0),
                row_ns: row_ns.unwrap_or(0.0),
            }
        };
        graph.nodes.iter().map(known).collect()
    }

    /// What comes, as far as it is looked at.
    pub fn arriving(&self) -> Arriving<'_> {
        Arriving {
            sources: &self.arrivals,
            until_us: self.until_us,
        }
    }
}

/// One node or topic, or the commit log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Its name; of a node that of its build.
    pub name: String,
    /// `node`, `topic`, `ingest` (appends to a topic), `log` (the commit log) or `host` (the rest of the process).
    pub kind: String,
    /// When it runs; of a node.
    pub rhythm: Option<Rhythm>,
    /// The tier that its readers need; none: no one needs it.
    pub tier: Option<String>,
    /// What was metered; of a node, of appends, of the rest of the process.
    pub work: Option<Work>,
    /// Bytes held on local disk or in memory; of the commit log, which goes up and down, on average.
    pub held_bytes: u64,
    /// Of a node: of what they are.
    pub held: Option<Held>,
    /// Processor time.
    pub cpu: Money,
    /// Bytes read.
    pub read: Money,
    /// Durable writes.
    pub requests: Money,
    /// Bytes held, for the time.
    pub storage: Money,
    /// All of it.
    pub total: Money,
}

/// A part of an item that a consumer pays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The item.
    pub item: String,
    /// Its kind.
    pub kind: String,
    /// Who pays; none: no consumer depends on it.
    pub consumer: Option<String>,
    /// How much.
    pub amount: Money,
    /// By which steps of the rule.
    pub why: String,
}

/// The bill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// What amounts are in.
    pub currency: String,
    /// Time that it is for, in microseconds.
    pub span_us: i64,
    /// Time over which it was metered, in microseconds.
    pub metered_us: i64,
    /// The tier of each consumer's need, by its name.
    pub tiers: BTreeMap<String, String>,
    /// Nodes, source topics, appends to them, the commit log, the rest of the process.
    pub items: Vec<Item>,
    /// Who pays what; sums to the total.
    pub parts: Vec<Part>,
    /// All of it.
    pub total: Money,
    /// Nodes that would run otherwise, when other needs were asked about.
    pub changes: Vec<Change>,
    /// What all would cost then.
    pub what_if: Option<Money>,
    /// The bill as it would be then.
    pub then: Option<Box<Bill>>,
    /// What would change as well and is not priced, each with the reason.
    pub unpriced: Vec<String>,
}

/// Prices for a span of time.
struct Till<'a> {
    prices: &'a Prices,
    span_us: u128,
    metered_us: u128,
}

impl Till<'_> {
    fn stored(&self, bytes: u64) -> Money {
        let month = 1_000_000_000 * u128::from(MONTH_US.unsigned_abs());
        let amount = u128::from(bytes) * self.span_us;
        Money::of(amount, month, self.prices.gb_month_hot)
    }

    fn scaled(&self, amount: u64) -> u128 {
        u128::from(amount) * self.span_us / self.metered_us
    }

    fn held(&self, kind: &str, name: &str, bytes: u64) -> Item {
        let storage = self.stored(bytes);
        Item {
            name: name.to_owned(),
            kind: kind.to_owned(),
            rhythm: None,
            tier: None,
            work: None,
            held_bytes: bytes,
            held: None,
            cpu: Money(0),
            read: Money(0),
            requests: Money(0),
            storage,
            total: storage,
        }
    }

    fn worked(&self, kind: &str, name: &str, work: &Work, bytes: u64) -> Item {
        let cpu = Money::of_cpu(self.scaled(work.cpu_ns()), self.prices.core_hour);
        let read = Money::of(
            self.scaled(work.read_bytes),
            1_000_000_000,
            self.prices.gb_read,
        );
        let requests = Money::of(self.scaled(work.syncs), 1, self.prices.request);
        let held = self.held(kind, name, bytes);
        Item {
            work: Some(work.clone()),
            cpu,
            read,
            requests,
            total: cpu + read + requests + held.storage,
            ..held
        }
    }
}

/// Makes the bill for the metered time, or for a month at the same rates.
pub fn bill(graph: &Graph, metered: &Metered, prices: &Prices, month: bool) -> Bill {
    let metered_us = metered.span_us.max(1);
    let span_us = if month { MONTH_US } else { metered_us };
    let till = Till {
        prices,
        span_us: span_us.unsigned_abs().into(),
        metered_us: metered_us.unsigned_abs().into(),
    };
    let topics = metered.topic_bytes.iter();
    let mut items: Vec<Item> = topics
        .map(|(name, bytes)| till.held("topic", name, *bytes))
        .collect();
    items.push(till.held("log", "commits", metered.commit_bytes));
    let appends = metered.appends.iter();
    items.extend(appends.map(|(topic, work)| till.worked("ingest", topic, work, 0)));
    items.push(till.worked("host", "host", &metered.rest, 0));
    let rhythms = rhythms_now(graph, metered);
    for (build, work) in &metered.work {
        let held = metered.held.get(build).copied().unwrap_or_default();
        let place = place(graph, build);
        items.push(Item {
            rhythm: place.map(|place| rhythms[place].clone()),
            tier: strictest(graph, metered, build).map(str::to_owned),
            held: Some(held),
            ..till.worked("node", build, work, held.bytes())
        });
    }
    let tier = |reader: &Reader| {
        let tier = graph.tiers.name(reader.need_us?)?;
        Some((reader.name.clone(), tier.to_owned()))
    };
    let parts = items
        .iter()
        .flat_map(|item| parts(graph, metered, item))
        .collect();
    Bill {
        currency: prices.currency.clone(),
        span_us,
        metered_us,
        total: items.iter().map(|i| i.total).sum(),
        tiers: graph.readers.iter().filter_map(tier).collect(),
        items,
        parts,
        changes: Vec::new(),
        what_if: None,
        then: None,
        unpriced: Vec::new(),
    }
}

/// The node of a graph that a build is one of.
pub fn place(graph: &Graph, build: &str) -> Option<usize> {
    let name = VersionName::parse(build).name;
    graph.nodes.iter().position(|n| n.name == name)
}

/// When the nodes of a graph run.
pub fn rhythms_now(graph: &Graph, metered: &Metered) -> Vec<Rhythm> {
    let planned = planner::plan(graph).nodes.into_iter();
    let now = planned.map(|tier| {
        metered
            .rhythms
            .get(&tier.name)
            .cloned()
            .unwrap_or(tier.rhythm)
    });
    now.collect()
}

/// Readers whose view comes from this item.
fn readers<'a>(graph: &'a Graph, metered: &Metered, kind: &str, name: &str) -> Vec<&'a Reader> {
    let depends = |reader: &&Reader| {
        let chain = metered.chains.get(&reader.name);
        chain.is_some_and(|chain| match kind {
            "topic" | "ingest" => chain.sources.contains(name),
            "log" | "host" => true,
            _ => chain.nodes.contains(name),
        })
    };
    graph.readers.iter().filter(depends).collect()
}

fn strictest<'a>(graph: &'a Graph, metered: &Metered, build: &str) -> Option<&'a str> {
    let readers = readers(graph, metered, "node", build);
    let need = readers.iter().filter_map(|r| r.need_us).min()?;
    graph.tiers.name(need)
}

/// Who pays how much of an item: nodes by the marginal cost of tiers, all else in equal parts.
fn parts(graph: &Graph, metered: &Metered, item: &Item) -> Vec<Part> {
    let readers = readers(graph, metered, &item.kind, &item.name);
    let part = |consumer: Option<String>, amount, why: String| Part {
        item: item.name.clone(),
        kind: item.kind.clone(),
        consumer,
        amount,
        why,
    };
    if readers.is_empty() {
        return vec![part(None, item.total, "no consumer depends on it".into())];
    }
    let place = place(graph, &item.name).filter(|_| item.kind == "node");
    let alone: Vec<f64> = match (place, &item.work) {
        (Some(place), Some(work)) if readers.len() > 1 => {
            let model = Model::of(work);
            let alone = readers.iter();
            let alone = alone.map(|reader| alone_ns(graph, metered, reader, place, &model));
            alone.collect()
        }
        _ => vec![1.0; readers.len()],
    };
    let all = steps(item.total, &alone).into_iter().zip(&readers);
    let told = all.map(|(own, reader)| {
        let amount = own.iter().map(|step| step.pays).sum();
        part(
            Some(reader.name.clone()),
            amount,
            why(&own, &readers, item.total),
        )
    });
    told.collect()
}

/// The steps of the rule that a reader pays, in words.
fn why(own: &[Step], readers: &[&Reader], whole: Money) -> String {
    if readers.len() == 1 {
        return "the only reader".into();
    }
    let words = own.iter().map(|step| {
        let part = match step.payers {
            1 => String::new(),
            payers => format!("1/{payers} of "),
        };
        let up_to = &readers[step.up_to].name;
        match step.first {
            // All need the same.
            true if own.len() == 1 && step.of == whole => format!("{part}{}", step.of),
            true => format!("{part}{} that {up_to} alone would take", step.of),
            false => format!("{part}{} more for {up_to}", step.of),
        }
    });
    let words: Vec<String> = words.collect();
    words.join(" + ")
}

/// What a node would take if this were the only reader and the planner chose, never more often than now.
fn alone_ns(graph: &Graph, metered: &Metered, reader: &Reader, place: usize, model: &Model) -> f64 {
    let mut alone = graph.clone();
    alone.readers = vec![reader.clone()];
    alone.nodes.iter_mut().for_each(|n| n.rhythm = None);
    let wait = |place: usize, rhythm: &Rhythm| graph.wait_us(place, rhythm).min(NEVER_US);
    let chosen = planner::plan(&alone).nodes.into_iter();
    let now = rhythms_now(graph, metered);
    let looser = chosen.zip(now).enumerate().map(|(i, (tier, now))| {
        match reader.need_us {
            // A reader without a need is content with the loosest.
            None => Rhythm::Once,
            Some(_) if wait(i, &tier.rhythm) < wait(i, &now) => now,
            Some(_) => tier.rhythm,
        }
    });
    let looser: Vec<Rhythm> = looser.collect();
    let layouts = simulate(graph, &looser, &metered.known(graph), metered.arriving());
    model.cpu_ns(&layouts[place].rounds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::TierNames;

    fn reader(name: &str, need_us: i64) -> Reader {
        Reader {
            name: name.into(),
            node: 0,
            need_us: Some(need_us),
        }
    }

    fn graph() -> Graph {
        Graph {
            sources: Vec::new(),
            nodes: vec![Vertex {
                name: "clean".into(),
                inputs: Vec::new(),
                rhythm: None,
                due_us: None,
                measure: None,
                view: Some("cleaned".into()),
            }],
            readers: vec![reader("exec", 93_600_000_000), reader("board", 60_000_000)],
            commit_interval_us: 1_000_000,
            tiers: TierNames::default(),
        }
    }

    /// Rows out were looked up by the node's name, which is only that of its first build.
    #[test]
    fn a_later_build_stands_for_its_node() {
        let metered = Metered {
            out: [("clean@2".to_owned(), 0.5)].into(),
            live: [("clean".to_owned(), "clean@2".to_owned())].into(),
            ..Metered::default()
        };
        assert_eq!(metered.known(&graph())[0].out, 0.5);
        assert_eq!(Metered::default().known(&graph())[0].out, 1.0);
    }

    #[test]
    fn parts_say_why() {
        let graph = graph();
        let readers: Vec<&Reader> = graph.readers.iter().collect();
        let steps = steps(Money(1_000_000), &[300_000.0, 1_000_000.0]);
        let whole = Money(1_000_000);
        let told: Vec<String> = steps.iter().map(|own| why(own, &readers, whole)).collect();
        let shared = "1/2 of 0.30 that exec alone would take";
        assert_eq!(
            told,
            [shared.to_owned(), format!("{shared} + 0.70 more for board")]
        );
        let same = super::steps(whole, &[5.0, 5.0]);
        assert_eq!(why(&same[0], &readers, whole), "1/2 of 1.00");
        assert_eq!(why(&same[0][..1], &readers[..1], whole), "the only reader");
    }
}
