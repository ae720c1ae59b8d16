//! What a change would cost before it is made: the work that nodes would have done instead, from which a bill is made as from
//! work that was metered. Pure.

use serde::{Deserialize, Serialize};

use super::bill::{Metered, rhythms_now};
use super::model::Model;
use super::money::Money;
use super::rounds::{Layout, Round, simulate};
use crate::accounts::measures::TAKING_GUESSED;
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
            simulate(graph, rhythms, &metered.known(graph), metered.arriving())
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

/// What a node would take and hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Foretold {
    /// Its work.
    pub work: Work,
    /// Bytes that its topics would have more than now; below zero: less.
    pub topic_bytes: f64,
    /// The same of the commit log.
    pub commit_bytes: f64,
}

/// A node in other rounds. What is counted differs by as much as both layouts do; what opening its tasks took stays; what the
/// model makes of the rounds now is set right by what was metered.
pub fn in_other_rounds(work: &Work, [now, then]: [&Layout; 2], models: [&Model; 2]) -> Foretold {
    let scale = ratio(work.rows as f64, now.rows());
    let more = |had: u64, of: &dyn Fn(&Layout) -> f64| {
        let more = (of(then) - of(now)) * scale;
        (had as f64 + more).round().max(0.0) as u64
    };
    let commits = more(work.commits, &|layout| layout.rounds.len() as f64).max(1);
    let idle_rounds = more(work.idle_rounds, &|layout| layout.idle_rounds as f64);
    let idle_ns = match work.idle_rounds {
        0 => idle_rounds as f64 * TAKING_GUESSED[0],
        rounds => work.idle_ns as f64 * (idle_rounds as f64 / rounds as f64),
    };
    let opening = work.opening_ns as f64;
    let metered = (work.cpu_ns() as f64 - opening - work.idle_ns as f64).max(0.0);
    let both =
        |of: fn(&Model, &[Round]) -> f64| [of(models[0], &now.rounds), of(models[1], &then.rounds)];
    let modelled = both(Model::cpu_ns);
    let off = ratio(metered, modelled[0] * scale);
    let off = off.clamp(1.0 / OFF_MAX, OFF_MAX);
    let cpu = opening + idle_ns + modelled[1] * scale * off;
    let cpu = ratio(cpu, work.cpu_ns() as f64);
    let rows = ratio(then.rows(), now.rows());
    let (changed, syncs) = (both(Model::changed), both(Model::syncs));
    let (commit, topic) = (both(Model::commit_bytes), both(Model::topic_bytes));
    let byte = ratio(work.written_bytes as f64, commit[0] + topic[0]);
    let (commit, topic) = (commit[1] - commit[0], topic[1] - topic[0]);
    let written = work.written_bytes as f64 + (commit + topic) * byte;
    let passes: u64 = work.passes.values().sum();
    let passes = more(passes, &|layout| layout.passes() as f64);
    let work = Work {
        guest_ns: times(work.guest_ns, cpu),
        host_ns: times(work.host_ns, cpu),
        idle_ns: idle_ns as u64,
        read_bytes: times(work.read_bytes, rows),
        written_bytes: written.max(0.0) as u64,
        syncs: times(work.syncs, ratio(syncs[1], syncs[0])),
        rows: times(work.rows, rows),
        out_rows: times(work.out_rows, rows),
        letter_rows: times(work.letter_rows, rows),
        view_rows: times(work.view_rows, ratio(changed[1], changed[0])),
        frames: times(work.frames, ratio(then.frames(), now.frames())),
        commits,
        idle_rounds,
        passes: work
            .passes
            .keys()
            .next_back()
            .map(|k| (*k, passes))
            .into_iter()
            .collect(),
        ..work.clone()
    };
    Foretold {
        work,
        topic_bytes: topic * byte,
        commit_bytes: commit * byte,
    }
}

/// A node that is not there yet, on so many times of what was laid out. Each row is so many bytes of columns.
pub fn from_nothing(then: &Layout, model: &Model, scale: f64, row_bytes: f64) -> Foretold {
    let commits = times(then.rounds.len() as u64, scale);
    let commit_bytes = model.commit_bytes(&then.rounds) * scale;
    let topic_bytes = model.topic_bytes(&then.rounds) * scale;
    let work = Work {
        host_ns: (model.cpu_ns(&then.rounds) * scale) as u64,
        read_bytes: (then.rows() * scale * row_bytes) as u64,
        written_bytes: (commit_bytes + topic_bytes) as u64,
        rows: (then.rows() * scale) as u64,
        frames: (then.frames() * scale) as u64,
        commits,
        syncs: (model.syncs(&then.rounds) * scale).round() as u64,
        ..Work::default()
    };
    Foretold {
        work,
        topic_bytes,
        commit_bytes,
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

    use super::super::arrivals::Arrival;
    use super::super::model::Tried;
    use super::super::rounds::of_one;
    use super::*;

    fn layout(rhythm: &str) -> Layout {
        let at = |i: i64| Arrival {
            time_us: i * 1_000_000 + 1,
            sequence: Sequence(i.unsigned_abs() + 1),
            rows: 100.0,
        };
        let rhythm = Rhythm::parse(rhythm).expect("a rhythm");
        of_one(&rhythm, (0..3_600).map(at).collect(), 1_000)
    }

    fn cpu_ns(round: &Round) -> f64 {
        400_000.0 + 200.0 * round.rows
    }

    fn bytes(round: &Round) -> f64 {
        1_000.0 + 20.0 * round.rows
    }

    fn models(layouts: [&Layout; 2]) -> Vec<Model> {
        let tried = |round: &Round| Tried {
            round: *round,
            changed: 0.0,
            cpu_ns: cpu_ns(round),
            commit_bytes: 1_000.0,
            topic_bytes: 20.0 * round.rows,
            syncs: 2.0,
        };
        let tried = layouts.map(|layout| layout.rounds.iter().map(tried).collect());
        Model::of_tried(&tried)
    }

    fn sum(layout: &Layout, of: fn(&Round) -> f64) -> f64 {
        layout.rounds.iter().map(of).sum()
    }

    /// What was metered took half as much again as the rounds that were tried out.
    #[test]
    fn other_rounds_are_set_right_by_what_was_metered() {
        let (now, then) = (layout("every 1m"), layout("continuous"));
        let took = |layout: &Layout| sum(layout, cpu_ns) * 1.5;
        let work = Work {
            host_ns: took(&now) as u64 + 7_000_000 + 6_000_000,
            opening_ns: 7_000_000,
            idle_ns: 6_000_000,
            idle_rounds: 60,
            commits: 60,
            syncs: 120,
            rows: 360_000,
            read_bytes: 3_600_000,
            written_bytes: sum(&now, bytes) as u64,
            passes: [(10, 40), (12, 20)].into(),
            ..Work::default()
        };
        let layouts = [&now, &then];
        let models = models(layouts);
        let models = [&models[0], &models[1]];
        let found = in_other_rounds(&work, layouts, models).work;
        assert_eq!(
            (found.commits, found.syncs, found.idle_rounds),
            (3_600, 7_200, 60)
        );
        assert_eq!((found.rows, found.read_bytes), (360_000, 3_600_000));
        assert_eq!(found.passes.values().sum::<u64>(), 3_600);
        let off = |found: f64, truth: f64| (found / truth - 1.0).abs();
        let truth = took(&then) + 7_000_000.0 + 6_000_000.0;
        assert!(off(found.cpu_ns() as f64, truth) < 0.01, "{found:?}");
        assert!(off(found.written_bytes as f64, sum(&then, bytes)) < 0.01);
        // Twice as much was metered as is laid out: twice as much would be.
        let twice = Work {
            rows: 720_000,
            commits: 120,
            host_ns: took(&now) as u64 * 2,
            written_bytes: work.written_bytes * 2,
            ..Work::default()
        };
        let found = in_other_rounds(&twice, layouts, models);
        assert_eq!(found.work.commits, 7_200);
        assert!(off(found.work.cpu_ns() as f64, took(&then) * 2.0) < 0.01);
        // What the commit log has more is what the commits have that are more; as many rows are written to the topic.
        let more = 1_000.0 * 2.0 * (3_600.0 - 60.0);
        assert!(off(found.commit_bytes, more) < 0.02, "{found:?}");
        assert!(found.topic_bytes.abs() < more / 50.0, "{found:?}");
    }

    #[test]
    fn work_from_nothing_is_that_of_its_rounds() {
        let then = layout("every 1m");
        let found = from_nothing(&then, &models([&then, &then])[1], 2.0, 10.0);
        let work = &found.work;
        assert_eq!((work.commits, work.syncs, work.rows), (120, 240, 720_000));
        assert_eq!(work.read_bytes, 7_200_000);
        let off = |found: f64, truth: f64| (found / truth - 1.0).abs();
        assert!(off(work.cpu_ns() as f64, sum(&then, cpu_ns) * 2.0) < 0.01);
        assert!(off(work.written_bytes as f64, sum(&then, bytes) * 2.0) < 0.01);
        let held = found.commit_bytes + found.topic_bytes;
        assert!(off(held, work.written_bytes as f64) < 0.01);
    }
}
