//! What a change would cost before it is made: the work that nodes would have done instead, from which a bill is made as from
//! work that was metered. Pure.

use serde::{Deserialize, Serialize};

use super::arrivals::{Layout, simulate};
use super::bill::{Metered, rhythms_now};
use super::model::Model;
use super::money::Money;
use crate::accounts::{Chain, Work};
use crate::pipeline::{Declaration, Rhythm};
use crate::tiers::graph::{From, Graph};
use crate::tiers::planner;

/// A model that is off by more than this is off for a reason that would not hold in other rounds.
const OFF_MAX: f64 = 3.0;

/// How a node differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It, or what it reads from, runs at other times.
    Rhythm,
    /// It is not there yet.
    New,
    /// Its plugin or configuration is another: it would be built anew.
    Changed,
    /// It would be gone.
    Removed,
}

/// A node as it would be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The node.
    pub node: String,
    /// How it differs.
    pub kind: Kind,
    /// When it runs now; none: it is not there.
    pub rhythm: Option<Rhythm>,
    /// When it would run; none: it would be gone.
    pub would_be: Option<Rhythm>,
    /// Commits of the frames that were looked at, as it runs now.
    pub commits_now: u64,
    /// As it would run.
    pub commits_then: u64,
    /// What it costs now in the span of the bill.
    pub now: Money,
    /// What it would cost.
    pub then: Money,
    /// Commits that were metered.
    pub measured_commits: u64,
    /// Rounds that were tried out for this; 0: it is foretold from metered commits alone.
    pub tried_rounds: u64,
}

/// Both pipelines on the same arrivals.
#[derive(Clone, Debug)]
pub struct Scene<'a> {
    /// As it is.
    pub graph: &'a Graph,
    /// As it would be.
    pub changed: &'a Graph,
    /// When nodes run now.
    pub rhythms_now: Vec<Rhythm>,
    /// When those of the changed graph would.
    pub rhythms_then: Vec<Rhythm>,
    /// Rounds of nodes now.
    pub now: Vec<Layout>,
    /// Of those of the changed graph.
    pub then: Vec<Layout>,
}

impl<'a> Scene<'a> {
    /// Lays out what came in both ways.
    pub fn new(graph: &'a Graph, changed: &'a Graph, metered: &Metered) -> Scene<'a> {
        let rhythms_now = rhythms_now(graph, metered);
        let rhythms_then = rhythms_then(graph, changed, &rhythms_now);
        let lay = |graph, rhythms: &[Rhythm]| {
            let out = metered.out(graph);
            simulate(graph, rhythms, &metered.arrivals, &out, metered.until_us)
        };
        Scene {
            now: lay(graph, &rhythms_now),
            then: lay(changed, &rhythms_then),
            graph,
            changed,
            rhythms_now,
            rhythms_then,
        }
    }

    /// The place of a node now, by its place in the changed graph.
    pub fn was(&self, place: usize) -> Option<usize> {
        let name = &self.changed.nodes[place].name;
        self.graph.nodes.iter().position(|n| n.name == *name)
    }

    /// Whether a node has the same rounds in both.
    pub fn same(&self, was: usize, place: usize) -> bool {
        self.rhythms_now[was] == self.rhythms_then[place]
            && self.now[was].rounds == self.then[place].rounds
    }

    /// Metered rows for one row of the arrivals that were laid out, over all nodes: work may have been metered for longer
    /// than arrivals are looked at, or for less.
    pub fn scale(&self, metered: &Metered) -> f64 {
        let nodes = self.graph.nodes.iter().zip(&self.now);
        let (mut rows, mut laid) = (0.0, 0.0);
        for (node, layout) in nodes {
            if let Some(work) = metered.work.get(metered.build(&node.name)) {
                rows += work.rows as f64;
                laid += layout.rows();
            }
        }
        ratio(rows, laid)
    }
}

/// When nodes would run: as planned, but for those whose plan is not touched by the change, which run as they do.
fn rhythms_then(graph: &Graph, changed: &Graph, now: &[Rhythm]) -> Vec<Rhythm> {
    let planned = planner::plan(graph).nodes;
    let then = planner::plan(changed).nodes.into_iter();
    let then = then.map(|tier| {
        let was = planned.iter().position(|n| n.name == tier.name);
        let same = was.filter(|was| planned[*was].rhythm == tier.rhythm);
        same.map_or(tier.rhythm, |was| now[was].clone())
    });
    then.collect()
}

/// The work of a node in other rounds. What opening its tasks took stays; rounds that found nothing come as often as others;
/// what the model makes of the rounds now is set right by what was metered. Commits differ by as many as rounds do.
pub fn in_other_rounds(work: &Work, now: &Layout, then: &Layout, model: &Model) -> Work {
    let rounds = ratio(then.rounds.len() as f64, now.rounds.len() as f64);
    let scale = ratio(work.rows as f64, now.rows());
    let (opening, idle) = (work.opening_ns as f64, work.idle_ns as f64);
    let metered = (work.cpu_ns() as f64 - opening - idle).max(0.0);
    let off = ratio(metered, model.cpu_ns(&now.rounds) * scale);
    let off = off.clamp(1.0 / OFF_MAX, OFF_MAX);
    let cpu = opening + idle * rounds + model.cpu_ns(&then.rounds) * scale * off;
    let factor = ratio(cpu, work.cpu_ns() as f64);
    let more = (then.rounds.len() as f64 - now.rounds.len() as f64) * scale;
    let commits = (work.commits as f64 + more).round().max(1.0);
    let syncs = work.syncs as f64 / work.commits.max(1) as f64;
    Work {
        guest_ns: times(work.guest_ns, factor),
        host_ns: times(work.host_ns, factor),
        idle_ns: times(work.idle_ns, rounds),
        syncs: (commits * syncs).round() as u64,
        commits: commits as u64,
        idle_rounds: times(work.idle_rounds, rounds),
        ..work.clone()
    }
}

/// The work of a node that is not there yet.
pub fn from_nothing(then: &Layout, model: &Model, scale: f64, syncs: u64, row_bytes: f64) -> Work {
    let commits = times(then.rounds.len() as u64, scale);
    Work {
        host_ns: (model.cpu_ns(&then.rounds) * scale) as u64,
        read_bytes: (then.rows() * scale * row_bytes) as u64,
        rows: (then.rows() * scale) as u64,
        frames: (then.rounds.iter().map(|r| r.frames).sum::<f64>() * scale) as u64,
        commits,
        syncs: commits * syncs,
        ..Work::default()
    }
}

/// What views of a graph come from, under the names of builds.
pub fn chains(graph: &Graph, metered: &Metered) -> std::collections::BTreeMap<String, Chain> {
    let chain = |node: usize| {
        let (mut chain, mut open) = (Chain::default(), vec![node]);
        while let Some(place) = open.pop() {
            let node = &graph.nodes[place];
            chain.nodes.insert(metered.build(&node.name).to_owned());
            for from in &node.inputs {
                match from {
                    From::Topic(topic) => {
                        chain.sources.insert(graph.sources[*topic].name.clone());
                    }
                    From::Node(node) => open.push(*node),
                }
            }
        }
        chain
    };
    let readers = graph.readers.iter();
    readers.map(|r| (r.name.clone(), chain(r.node))).collect()
}

/// What differs between two files and has no price: sentences.
pub fn unpriced(file: &Declaration, other: &Declaration) -> Vec<String> {
    let mut told = Vec::new();
    let topic = |file: &Declaration, name: &str| {
        let found = file.topics.iter().find(|t| t.name.get_ref() == name);
        found.cloned()
    };
    for new in &other.topics {
        let name = new.name.get_ref();
        match topic(file, name) {
            None => told.push(format!(
                "topic {name} is new: nobody knows what would come to it, so neither it nor what reads it alone is priced"
            )),
            Some(old) if old.partitions != new.partitions => told.push(format!(
                "topic {name} would have other partitions: its rows are laid out as they came"
            )),
            Some(_) => {}
        }
    }
    let names = file.retention.keys().chain(other.retention.keys());
    let differ = names.filter(|name| file.retention.get(*name) != other.retention.get(*name));
    for name in differ.collect::<std::collections::BTreeSet<_>>() {
        told.push(format!(
            "retention of {name} would change: its storage is priced as it is held now"
        ));
    }
    if file.state != other.state {
        told.push("[state] would change: work is priced as states are kept now".into());
    }
    let prices = (&file.prices.currency, &other.prices.currency);
    if prices.0 != prices.1 {
        told.push(format!(
            "amounts are in {} now and in {} then: their differences mean nothing",
            prices.0, prices.1
        ));
    }
    told
}

fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 1.0 }
}

fn times(count: u64, factor: f64) -> u64 {
    (count as f64 * factor).round() as u64
}

#[cfg(test)]
mod tests {
    use refrain_log::ids::Sequence;

    use super::super::arrivals::{Arrival, rounds};
    use super::super::model::Tried;
    use super::*;

    fn arrivals() -> Vec<Arrival> {
        let at = |i: i64| Arrival {
            time_us: i * 1_000_000 + 1,
            frames: 1.0,
            rows: 100.0,
            last: Sequence(i.unsigned_abs() + 1),
        };
        (0..3_600).map(at).collect()
    }

    fn layout(rhythm: &str) -> Layout {
        let input = arrivals();
        let rhythm = Rhythm::parse(rhythm).expect("a rhythm");
        let rounds = rounds(&input, &rhythm, 1_000);
        Layout { input, rounds }
    }

    fn cpu_ns(round: &Arrival) -> f64 {
        400_000.0 + 200.0 * round.rows
    }

    fn model(layouts: [&Layout; 2]) -> Model {
        let rounds = layouts.into_iter().flat_map(|layout| &layout.rounds);
        let tried = rounds.map(|round| Tried {
            round: *round,
            changed: 0.0,
            cpu_ns: cpu_ns(round),
        });
        Model::of_tried(&tried.collect::<Vec<_>>(), 0.0)
    }

    /// What was metered took half as much again as the rounds that were tried out, and as many were idle as not.
    #[test]
    fn other_rounds_are_set_right_by_what_was_metered() {
        let (now, then) = (layout("every 1m"), layout("continuous"));
        let took = |layout: &Layout| layout.rounds.iter().map(cpu_ns).sum::<f64>() * 1.5;
        let work = Work {
            host_ns: took(&now) as u64 + 7_000_000 + 6_000_000,
            opening_ns: 7_000_000,
            idle_ns: 6_000_000,
            idle_rounds: 60,
            commits: 60,
            syncs: 120,
            rows: 360_000,
            ..Work::default()
        };
        let found = in_other_rounds(&work, &now, &then, &model([&now, &then]));
        assert_eq!(
            (found.commits, found.syncs, found.idle_rounds),
            (3_600, 7_200, 3_600)
        );
        let truth = took(&then) + 7_000_000.0 + 6_000_000.0 * 60.0;
        let off = found.cpu_ns() as f64 / truth - 1.0;
        assert!(off.abs() < 0.01, "{off:+.3}");
        // Twice as much was metered as is laid out: twice as much would be.
        let twice = Work {
            rows: 720_000,
            commits: 120,
            host_ns: took(&now) as u64 * 2,
            ..Work::default()
        };
        let found = in_other_rounds(&twice, &now, &then, &model([&now, &then]));
        assert_eq!(found.commits, 7_200);
        let off = found.cpu_ns() as f64 / (took(&then) * 2.0) - 1.0;
        assert!(off.abs() < 0.01, "{off:+.3}");
    }

    #[test]
    fn work_from_nothing_is_that_of_its_rounds() {
        let then = layout("every 1m");
        let found = from_nothing(&then, &model([&then, &then]), 2.0, 2, 10.0);
        assert_eq!(
            (found.commits, found.syncs, found.rows),
            (120, 240, 720_000)
        );
        assert_eq!(found.read_bytes, 7_200_000);
        let truth: f64 = then.rounds.iter().map(cpu_ns).sum::<f64>() * 2.0;
        assert!((found.cpu_ns() as f64 / truth - 1.0).abs() < 0.01);
    }
}
