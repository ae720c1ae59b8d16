//! The planner: what each node must give, from its readers back; the loosest rhythm of each `auto` node that gives it;
//! what each edge and view then gets, from the sources on.
//!
//! The age of a result is that of its stalest input, since a node advances to the minimum frontier of its inputs, plus
//! the longest wait for a pass to begin, plus the time that the pass takes. All sums are worst cases.

use serde::Serialize;

use super::graph::{From, Graph, NEVER_US};
use crate::pipeline::Rhythm;

/// Periods that the planner chooses from, in seconds.
const PERIODS_S: [i64; 26] = [
    1, 2, 5, 10, 15, 20, 30, 45, 60, 120, 300, 600, 900, 1200, 1800, 2700, 3600, 7200, 10_800,
    14_400, 21_600, 28_800, 43_200, 86_400, 172_800, 604_800,
];

/// The longest of the planner's periods that is not longer than this, in microseconds; none: shorter than all.
pub(super) fn period_below(us: i64) -> Option<i64> {
    let periods = PERIODS_S.iter().rev().map(|s| s * 1_000_000);
    periods.into_iter().find(|period| *period <= us)
}

/// A node with its freshness.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeTier {
    /// Its name.
    pub name: String,
    /// When it runs.
    pub rhythm: Rhythm,
    /// Whether the planner chose that.
    pub auto: bool,
    /// The longest that a row waits for a pass to begin, in microseconds; none: nobody knows.
    pub wait_us: Option<i64>,
    /// How long a pass takes, in microseconds.
    pub took_us: i64,
    /// Whether that was measured; else it is assumed.
    pub measured: bool,
    /// How old its results may be for all its readers to get what they need, in microseconds; none: no one needs it.
    pub required_us: Option<i64>,
    /// How old they are at most, in microseconds; none: nobody knows.
    pub achieved_us: Option<i64>,
    /// The tier of that.
    pub tier: Option<String>,
}

/// An edge with its freshness: from a topic or node to a node, or from a node to a consumer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EdgeTier {
    /// Topic or node that is read.
    pub from: String,
    /// Node or consumer that reads.
    pub to: String,
    /// Whether `to` is a consumer.
    pub consumer: bool,
    /// How old what is read may be, in microseconds; none: no one needs it.
    pub required_us: Option<i64>,
    /// How old it is at most, in microseconds; none: nobody knows.
    pub achieved_us: Option<i64>,
    /// The tier of that.
    pub tier: Option<String>,
}

/// A step of a way from a source to a reader.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Topic or node.
    pub name: String,
    /// The longest wait in it, in microseconds; none: nobody knows.
    pub wait_us: Option<i64>,
    /// How long its work takes, in microseconds.
    pub took_us: i64,
}

/// A consumer with its freshness.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConsumerTier {
    /// Its name.
    pub name: String,
    /// The view it reads.
    pub view: String,
    /// The node that keeps it.
    pub node: String,
    /// How fresh it needs it, in microseconds.
    pub need_us: Option<i64>,
    /// The tier of that.
    pub need_tier: Option<String>,
    /// How old it gets it at most, in microseconds; none: nobody knows.
    pub achieved_us: Option<i64>,
    /// The tier of that.
    pub tier: Option<String>,
    /// What is left between both, in microseconds; below 0: it is served too late.
    pub slack_us: Option<i64>,
    /// The way on which it is as old as that.
    pub path: Vec<Step>,
}

/// A graph with the freshness of all that is in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tiers {
    /// Nodes, in the order of the graph.
    pub nodes: Vec<NodeTier>,
    /// Edges, in the order of what reads.
    pub edges: Vec<EdgeTier>,
    /// Consumers, in the order of the file.
    pub consumers: Vec<ConsumerTier>,
}

/// Chooses rhythms and follows ages through the graph.
pub fn plan(graph: &Graph) -> Tiers {
    let rhythms = choose(graph);
    let ages = ages(graph, &rhythms);
    let required = required(graph, &rhythms);
    let node = |place: usize| {
        let vertex = &graph.nodes[place];
        NodeTier {
            name: vertex.name.clone(),
            rhythm: rhythms[place].clone(),
            auto: vertex.rhythm.is_none(),
            wait_us: known(graph.wait_us(place, &rhythms[place])),
            took_us: graph.took_us(place, &rhythms[place]),
            measured: vertex.measure.is_some(),
            required_us: known(required[place]),
            achieved_us: known(ages[place]),
            tier: tier(graph, ages[place]),
        }
    };
    Tiers {
        nodes: (0..graph.nodes.len()).map(node).collect(),
        edges: edges(graph, &rhythms, &ages, &required),
        consumers: consumers(graph, &rhythms, &ages),
    }
}

fn known(us: i64) -> Option<i64> {
    (us < NEVER_US).then_some(us)
}

fn tier(graph: &Graph, age_us: i64) -> Option<String> {
    graph.tiers.name(age_us).map(str::to_owned)
}

/// The rhythms that an `auto` node may get, from the tightest on.
fn ladder(graph: &Graph) -> Vec<Rhythm> {
    let periods = PERIODS_S.map(|s| s * 1_000_000).into_iter();
    let looser = periods.filter(|us| *us > graph.commit_interval_us);
    std::iter::once(Rhythm::Continuous)
        .chain(looser.map(Rhythm::Every))
        .collect()
}

/// How old the results of each node are at most.
pub(super) fn ages(graph: &Graph, rhythms: &[Rhythm]) -> Vec<i64> {
    let mut ages: Vec<i64> = Vec::with_capacity(rhythms.len());
    for (place, rhythm) in rhythms.iter().enumerate() {
        let inputs = graph.nodes[place].inputs.iter();
        let input = inputs.map(|from| input_age(graph, &ages, *from)).max();
        let own = graph.wait_us(place, rhythm) + graph.took_us(place, rhythm);
        ages.push((input.unwrap_or(0) + own.min(NEVER_US)).min(NEVER_US));
    }
    ages
}

fn input_age(graph: &Graph, ages: &[i64], from: From) -> i64 {
    match from {
        From::Topic(place) => graph.sources[place].every_us.min(NEVER_US),
        From::Node(place) => ages[place],
    }
}

/// How old the results of each node may be: the strictest need of its readers, less what the way from here takes.
pub(super) fn required(graph: &Graph, rhythms: &[Rhythm]) -> Vec<i64> {
    let mut required = vec![NEVER_US; graph.nodes.len()];
    for reader in &graph.readers {
        if let Some(need) = reader.need_us {
            required[reader.node] = required[reader.node].min(need);
        }
    }
    for (place, rhythm) in rhythms.iter().enumerate().rev() {
        if required[place] == NEVER_US {
            continue;
        }
        let own = graph.wait_us(place, rhythm) + graph.took_us(place, rhythm);
        let left = required[place].saturating_sub(own);
        for from in &graph.nodes[place].inputs {
            if let From::Node(input) = from {
                required[*input] = required[*input].min(left);
            }
        }
    }
    required
}

/// Whether somebody with a need reads what comes of each node.
fn needed(graph: &Graph) -> Vec<bool> {
    let mut needed = vec![false; graph.nodes.len()];
    for reader in graph.readers.iter().filter(|r| r.need_us.is_some()) {
        needed[reader.node] = true;
    }
    for place in (0..graph.nodes.len()).rev() {
        if !needed[place] {
            continue;
        }
        for from in &graph.nodes[place].inputs {
            if let From::Node(input) = from {
                needed[*input] = true;
            }
        }
    }
    needed
}

/// Rhythms for all nodes. `auto` ones begin continuous and are loosened step by step, always the tightest first, as long
/// as no reader gets less than it needs, or, where that cannot be had at all, less than the best that can. One that no
/// reader with a need depends on stays continuous.
fn choose(graph: &Graph) -> Vec<Rhythm> {
    let ladder = ladder(graph);
    let needed = needed(graph);
    let mut rungs: Vec<usize> = vec![0; graph.nodes.len()];
    let at = |place: usize, rung: usize| {
        graph.nodes[place]
            .rhythm
            .clone()
            .unwrap_or(ladder[rung].clone())
    };
    let mut rhythms: Vec<Rhythm> = (0..rungs.len()).map(|place| at(place, 0)).collect();
    let limits = limits(graph, &ages(graph, &rhythms));
    let is_open = |place: &usize| graph.nodes[*place].rhythm.is_none() && needed[*place];
    let mut open: Vec<usize> = (0..rungs.len()).filter(is_open).collect();
    while let Some(i) =
        (0..open.len()).min_by_key(|i| (rungs[open[*i]], std::cmp::Reverse(open[*i])))
    {
        let place = open[i];
        let rung = rungs[place] + 1;
        if rung < ladder.len() {
            let before = std::mem::replace(&mut rhythms[place], at(place, rung));
            if keeps(graph, &ages(graph, &rhythms), &limits) {
                rungs[place] = rung;
                continue;
            }
            rhythms[place] = before;
        }
        // Loosening others only makes ages grow: what cannot be loosened now never can.
        open.swap_remove(i);
    }
    rhythms
}

/// What each reader may get at worst.
fn limits(graph: &Graph, best: &[i64]) -> Vec<i64> {
    let limit =
        |r: &super::graph::Reader| r.need_us.map_or(NEVER_US, |need| need.max(best[r.node]));
    graph.readers.iter().map(limit).collect()
}

fn keeps(graph: &Graph, ages: &[i64], limits: &[i64]) -> bool {
    let mut readers = graph.readers.iter().zip(limits);
    readers.all(|(reader, limit)| ages[reader.node] <= *limit)
}

fn edges(graph: &Graph, rhythms: &[Rhythm], ages: &[i64], required: &[i64]) -> Vec<EdgeTier> {
    let mut edges = Vec::new();
    for (place, vertex) in graph.nodes.iter().enumerate() {
        let own = graph.wait_us(place, &rhythms[place]) + graph.took_us(place, &rhythms[place]);
        let may = known(required[place]).map(|r| r.saturating_sub(own));
        for from in &vertex.inputs {
            let age = input_age(graph, ages, *from);
            edges.push(EdgeTier {
                from: graph.name(*from).to_owned(),
                to: vertex.name.clone(),
                consumer: false,
                required_us: may,
                achieved_us: known(age),
                tier: tier(graph, age),
            });
        }
    }
    edges.extend(graph.readers.iter().map(|reader| EdgeTier {
        from: graph.nodes[reader.node].name.clone(),
        to: reader.name.clone(),
        consumer: true,
        required_us: reader.need_us,
        achieved_us: known(ages[reader.node]),
        tier: tier(graph, ages[reader.node]),
    }));
    edges
}

fn consumers(graph: &Graph, rhythms: &[Rhythm], ages: &[i64]) -> Vec<ConsumerTier> {
    let consumer = |reader: &super::graph::Reader| {
        let vertex = &graph.nodes[reader.node];
        let achieved = known(ages[reader.node]);
        ConsumerTier {
            name: reader.name.clone(),
            view: vertex.view.clone().unwrap_or_default(),
            node: vertex.name.clone(),
            need_us: reader.need_us,
            need_tier: reader.need_us.and_then(|need| tier(graph, need)),
            achieved_us: achieved,
            tier: tier(graph, ages[reader.node]),
            slack_us: reader.need_us.zip(achieved).map(|(need, got)| need - got),
            path: path(graph, rhythms, ages, reader.node),
        }
    };
    graph.readers.iter().map(consumer).collect()
}

/// The way from a source to a node on which its results are the oldest.
pub(super) fn path(graph: &Graph, rhythms: &[Rhythm], ages: &[i64], node: usize) -> Vec<Step> {
    let mut steps = vec![Step {
        name: graph.nodes[node].name.clone(),
        wait_us: known(graph.wait_us(node, &rhythms[node])),
        took_us: graph.took_us(node, &rhythms[node]),
    }];
    // Of equals the first, so that a path is always the same one.
    let inputs = graph.nodes[node].inputs.iter().rev();
    let worst = inputs.max_by_key(|from| input_age(graph, ages, **from));
    let mut way = match worst {
        Some(From::Node(input)) => path(graph, rhythms, ages, *input),
        Some(From::Topic(source)) => vec![Step {
            name: graph.sources[*source].name.clone(),
            wait_us: known(graph.sources[*source].every_us),
            took_us: 0,
        }],
        None => Vec::new(),
    };
    way.append(&mut steps);
    way
}
