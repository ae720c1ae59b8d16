//! What a change would cost before it is made: the work that nodes would have done instead, from which a bill is made as from
//! work that was metered. Pure.

use serde::{Deserialize, Serialize};

use super::bill::{Metered, rhythms_now};
use super::commits::Span;
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

/// A model is off by such a part of everything, one way or the other,
const PART_OFF: f64 = 0.3;
/// and by so much in each round, in nanoseconds.
const ROUND_OFF_NS: f64 = 40_000.0;
/// In rounds of one length it is off by such a part, which says nothing of much longer or shorter ones.
const LENGTH_OFF: f64 = 0.3;
/// What a single round takes goes up and down by such a part.
const SINGLE_OFF: f64 = 0.3;

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

    /// The time in which the commit log was looked at, and how much of it was laid out; none: it was not looked at.
    pub fn span(&self, metered: &Metered) -> Option<Span> {
        let arrivals = metered.arrivals.values().flatten();
        let first_us = arrivals.map(|arrival| arrival.time_us).min()?;
        let until_us = metered.until_us.filter(|_| metered.log.us > 0)?;
        Some(Span {
            until_us,
            us: metered.log.us,
            laid_us: (until_us - first_us).max(1),
        })
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
    /// Its work, but for what its commits write for bases of the commit log.
    pub work: Work,
    /// Bytes that its topics would have more than now; below zero: less.
    pub topic_bytes: f64,
    /// Its commits, as they come to the commit log now and as they would: when, in microseconds, and of how many bytes.
    pub commits: [Vec<(i64, f64)>; 2],
}

/// What a node writes to its topics, in the rounds that it makes and in those that it would make.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Topics {
    /// Bytes of the same rows in both; none: nobody knows.
    pub written: Option<[f64; 2]>,
    /// Bytes that they would have more than they have; below zero: less.
    pub more: f64,
}

/// A node in other rounds. What is counted differs by as much as both layouts do; what opening its tasks took stays; what the
/// model makes of the rounds now is set right by what was metered.
pub fn in_other_rounds(
    work: &Work,
    [now, then]: [&Layout; 2],
    models: [&Model; 2],
    topics: Topics,
) -> Foretold {
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
    let both =
        |of: fn(&Model, &[Round]) -> f64| [of(models[0], &now.rounds), of(models[1], &then.rounds)];
    let rounds = [now, then].map(|layout| layout.rounds.len() as f64);
    let rounds_ns = rounds_ns(work, both(Model::cpu_ns), rounds, scale);
    let cpu = ratio(
        work.opening_ns as f64 + idle_ns + rounds_ns,
        work.cpu_ns() as f64,
    );
    let rows = ratio(then.rows(), now.rows());
    let (changed, syncs) = (both(Model::changed), both(Model::syncs));
    let modelled = both(Model::topic_bytes);
    let own = Own::of(work, models[0], now);
    let topic_bytes = topics.written.unwrap_or(modelled);
    let topic_bytes = own.topic_bytes * ratio(topic_bytes[1], topic_bytes[0]);
    let byte = ratio(
        own.commit_bytes,
        models[0].commit_bytes(&now.rounds) * scale,
    );
    let commit_bytes = both(Model::commit_bytes)[1] * scale * byte;
    let passes: u64 = work.passes.values().sum();
    let passes = more(passes, &|layout| layout.passes() as f64);
    let coming = |model: &Model, layout: &Layout| coming(model, layout, byte);
    let found = Work {
        guest_ns: times(work.guest_ns, cpu),
        host_ns: times(work.host_ns, cpu),
        idle_ns: idle_ns as u64,
        read_bytes: times(work.read_bytes, rows),
        written_bytes: (commit_bytes + topic_bytes).round() as u64,
        commit_bytes: commit_bytes.round() as u64,
        base_bytes: 0,
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
        work: found,
        topic_bytes: topics.more,
        commits: [coming(models[0], now), coming(models[1], then)],
    }
}

/// Processor time of rounds with commits as they would be: what the model makes of them, set right by what was metered of
/// those that were made. Where that is more or less, it may be so by a part of everything, by as much in each round, or in rounds
/// of that length alone, and what single rounds take goes up and down as well. Each has its share by how far it is known to be
/// off, so that little is carried over from few rounds, and less to rounds of another length.
fn rounds_ns(work: &Work, modelled: [f64; 2], rounds: [f64; 2], scale: f64) -> f64 {
    let [now, then] = modelled.map(|ns| ns * scale);
    let beside = (work.opening_ns + work.idle_ns) as f64;
    let metered = (work.cpu_ns() as f64 - beside).max(0.0);
    let [count, count_then] = rounds.map(|count| count * scale);
    if now <= 0.0 || count <= 0.0 {
        return then;
    }
    let more = metered.clamp(now / OFF_MAX, now * OFF_MAX) - now;
    let part = (PART_OFF * now).powi(2);
    let each = (ROUND_OFF_NS * count).powi(2);
    // Once where it was metered, and once where it was tried out.
    let single = 2.0 * (SINGLE_OFF * now).powi(2) / count;
    let unlike = 1.0 - count.min(count_then) / count.max(count_then);
    let length = unlike * (LENGTH_OFF * now).powi(2);
    let share = more / (part + each + single + length);
    let set_right = then * (1.0 + share * part / now) + share * each * count_then / count;
    set_right.clamp(then / OFF_MAX, then * OFF_MAX)
}

/// Bytes that a node itself wrote.
struct Own {
    commit_bytes: f64,
    topic_bytes: f64,
}

impl Own {
    /// Work that was metered before its parts were told apart is divided as the model would have it.
    fn of(work: &Work, model: &Model, now: &Layout) -> Own {
        let written = work.written_bytes.saturating_sub(work.base_bytes) as f64;
        let commit_bytes = match work.commit_bytes {
            0 => {
                let commit = model.commit_bytes(&now.rounds);
                let all = commit + model.topic_bytes(&now.rounds);
                written * if all > 0.0 { commit / all } else { 1.0 }
            }
            bytes => (bytes as f64).min(written),
        };
        Own {
            commit_bytes,
            topic_bytes: written - commit_bytes,
        }
    }
}

fn coming(model: &Model, layout: &Layout, byte: f64) -> Vec<(i64, f64)> {
    let rounds = layout.rounds.iter();
    let bytes = |round: &Round| model.commit_bytes(std::slice::from_ref(round)) * byte;
    rounds.map(|round| (round.time_us, bytes(round))).collect()
}

/// What comes to the commit log from a node that stays as it is: commits of as many bytes as they had on average.
pub fn as_it_was(work: &Work, layout: &Layout) -> Vec<(i64, f64)> {
    let bytes = match work.commit_bytes {
        0 => work.written_bytes.saturating_sub(work.base_bytes),
        bytes => bytes,
    };
    let each = bytes as f64 / work.commits.max(1) as f64;
    let rounds = layout.rounds.iter();
    rounds.map(|round| (round.time_us, each)).collect()
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
        commit_bytes: commit_bytes as u64,
        rows: (then.rows() * scale) as u64,
        frames: (then.frames() * scale) as u64,
        commits,
        syncs: (model.syncs(&then.rounds) * scale).round() as u64,
        ..Work::default()
    };
    Foretold {
        work,
        topic_bytes,
        commits: [Vec::new(), coming(model, then, 1.0)],
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

    /// What was metered took half as much again as the rounds that were tried out: some half of that is carried over to rounds
    /// that are much shorter.
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
        // As many rows are written to the topic.
        let topics = Topics {
            written: Some([7_200_000.0, 7_200_000.0]),
            more: 0.0,
        };
        let found = in_other_rounds(&work, layouts, models, topics).work;
        assert_eq!(
            (found.commits, found.syncs, found.idle_rounds),
            (3_600, 7_200, 60)
        );
        assert_eq!((found.rows, found.read_bytes), (360_000, 3_600_000));
        assert_eq!(found.passes.values().sum::<u64>(), 3_600);
        let off = |found: f64, truth: f64| (found / truth - 1.0).abs();
        let truth = took(&then) + 7_000_000.0 + 6_000_000.0;
        let share = (found.cpu_ns() as f64 - sum(&then, cpu_ns)) / (truth - sum(&then, cpu_ns));
        assert!((0.4..0.7).contains(&share), "{share} in {found:?}");
        assert!(off(found.written_bytes as f64, sum(&then, bytes)) < 0.01);
        // Twice as much was metered as is laid out: twice as much would be.
        let twice = Work {
            rows: 720_000,
            commits: 120,
            host_ns: took(&now) as u64 * 2,
            written_bytes: work.written_bytes * 2,
            ..Work::default()
        };
        let found = in_other_rounds(&twice, layouts, models, topics);
        assert_eq!(found.work.commits, 7_200);
        let share = found.work.cpu_ns() as f64 / sum(&then, cpu_ns) - 2.0;
        assert!((0.4..0.7).contains(&share), "{share}");
        // Each commit comes to the log with the bytes that it has.
        let [was, would_be] = &found.commits;
        assert_eq!((was.len(), would_be.len()), (60, 3_600));
        let off = off(would_be[7].1, 1_000.0);
        assert!(off < 0.02, "{would_be:?}");
        // What is known of its commits and topics is not divided by the model, and what was written for bases is not its own.
        let known = Work {
            commit_bytes: 60 * 3_000,
            base_bytes: 1_000_000,
            written_bytes: 60 * 3_000 + 1_000_000 + 50_000,
            ..work
        };
        let half = Topics {
            written: Some([10.0, 5.0]),
            more: 0.0,
        };
        let found = in_other_rounds(&known, layouts, models, half).work;
        let commits = 3_600.0 * 3_000.0;
        assert!((found.commit_bytes as f64 / commits - 1.0).abs() < 0.02);
        assert_eq!(found.written_bytes - found.commit_bytes, 25_000);
        assert_eq!(found.base_bytes, 0);
    }

    #[test]
    fn what_is_off_is_carried_over_as_far_as_it_is_known() {
        let work = |host_ns: f64| Work {
            host_ns: host_ns as u64,
            ..Work::default()
        };
        // Many small rounds took 60 µs more each than they did when tried out: large ones do not take as much more.
        let (many, one) = ([3_600.0 * 200e3, 60e6], [3_600.0, 1.0]);
        let found = rounds_ns(&work(3_600.0 * 260e3), many, one, 1.0);
        assert!((found / 60e6 - 1.0).abs() < 0.25, "{found}");
        // One round took twice as much, and nobody knows whether the next one would: a third of it is carried over.
        let (few, rounds) = ([60e6, 3_600.0 * 200e3], [1.0, 3_600.0]);
        let found = rounds_ns(&work(120e6), few, rounds, 1.0);
        assert!((1.0..1.4).contains(&(found / (3_600.0 * 200e3))), "{found}");
        // Rounds that are alike: all of it.
        let found = rounds_ns(&work(2e9), [1e9, 1e9], [3_600.0, 3_600.0], 1.0);
        assert!((found / 2e9 - 1.0).abs() < 0.01, "{found}");
        assert_eq!(rounds_ns(&work(2e9), [0.0, 7.0], [0.0, 1.0], 1.0), 7.0);
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
        let commits = found.commits[1].iter().map(|(_, bytes)| bytes).sum::<f64>() * 2.0;
        let held = commits + found.topic_bytes;
        assert!(off(held, work.written_bytes as f64) < 0.01);
    }
}
