//! The planner's picture of a pipeline: sources, nodes with any number of inputs, readers; names and times only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pipeline::declaration::{
    Declaration, NodeDeclaration, OutputDeclaration, TopicDeclaration,
};
use crate::pipeline::{Output, Plan, PlannedNode, Rhythm, TierNames};

/// Taken for the time of a round of a continuous node that was not measured, in microseconds.
pub const ASSUMED_ROUND_US: i64 = 100_000;
/// Taken for the time of a pass of any other node that was not measured, in microseconds.
pub const ASSUMED_PASS_US: i64 = 1_000_000;
/// Longer than everything: what nobody knows.
pub const NEVER_US: i64 = i64::MAX / 4;

/// How long work on a node takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// A pass over little, in microseconds.
    pub base_us: i64,
    /// Time of work for a million of the same of time between passes: what the rows that came meanwhile take.
    pub load_ppm: i64,
}

/// What was measured, by node.
pub type Measures = BTreeMap<String, Measure>;

/// Where rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A source, by its place.
    Topic(usize),
    /// A node, by its place.
    Node(usize),
}

/// A source topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// How long rows wait before they are delivered, in microseconds; 0: they come when they happen.
    pub every_us: i64,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vertex {
    /// Its name.
    pub name: String,
    /// What it reads, all of it before it in the graph.
    pub inputs: Vec<From>,
    /// When it runs; none: the planner chooses.
    pub rhythm: Option<Rhythm>,
    /// How often something outside starts it, when it is of `once`.
    pub due_us: Option<i64>,
    /// How long its work takes, when that was measured.
    pub measure: Option<Measure>,
    /// The view it keeps; none: it writes a topic.
    pub view: Option<String>,
}

/// A reader of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Its name.
    pub name: String,
    /// The node that keeps the view, by its place.
    pub node: usize,
    /// How fresh it needs it, in microseconds.
    pub need_us: Option<i64>,
}

/// Sources, nodes and readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// Source topics.
    pub sources: Vec<Source>,
    /// Nodes, each after what it reads.
    pub nodes: Vec<Vertex>,
    /// Readers.
    pub readers: Vec<Reader>,
    /// Microseconds between commits of continuous nodes.
    pub commit_interval_us: i64,
    /// Names and bounds of the tiers.
    pub tiers: TierNames,
}

impl Graph {
    /// The graph of a plan.
    pub fn of(plan: &Plan, measures: &Measures) -> Graph {
        let sources = plan.topics.iter().map(|topic| Source {
            name: topic.spec.name.clone(),
            every_us: topic.every_us.unwrap_or(0),
        });
        let nodes = plan.nodes.iter().map(|node| Vertex {
            name: node.name.clone(),
            inputs: inputs(node).filter_map(|i| origin(plan, i)).collect(),
            rhythm: (!node.rhythm_auto).then(|| node.rhythm.clone()),
            due_us: node.due_us,
            measure: measures.get(&node.name).copied(),
            view: match &node.output {
                Output::View(view) => Some(view.clone()),
                Output::Topic(_) => None,
            },
        });
        let readers = plan.consumers.iter().filter_map(|consumer| {
            let keeps = |n: &PlannedNode| n.output == Output::View(consumer.view.clone());
            Some(Reader {
                name: consumer.name.clone(),
                node: plan.nodes.iter().position(keeps)?,
                need_us: consumer.freshness_us,
            })
        });
        Graph {
            sources: sources.collect(),
            nodes: nodes.collect(),
            readers: readers.collect(),
            commit_interval_us: plan.commit_interval_us,
            tiers: plan.tiers.clone(),
        }
    }

    /// The graph of a pipeline file, without its plugins; of a file that is in order the same as that of its plan, but
    /// for the order of nodes.
    pub fn of_file(file: &Declaration, measures: &Measures) -> Graph {
        let sources: Vec<Source> = file.topics.iter().map(source_of).collect();
        let mut nodes: Vec<Vertex> = Vec::new();
        let mut waiting: Vec<&NodeDeclaration> = file.nodes.iter().collect();
        let mut writers: BTreeMap<String, usize> = BTreeMap::new();
        // Each after what it reads; those in a circle are left out, as `check` refuses them.
        while let Some((place, inputs)) = next(file, &waiting, &sources, &writers) {
            let node = waiting.remove(place);
            if let OutputDeclaration::Topic(topic) = &node.output {
                writers.insert(topic.get_ref().clone(), nodes.len());
            }
            nodes.push(vertex_of(node, inputs, measures));
        }
        let readers = file.consumers.iter().filter_map(|consumer| {
            let view = Some(consumer.view.get_ref());
            Some(Reader {
                name: consumer.name.get_ref().clone(),
                node: nodes.iter().position(|n| n.view.as_ref() == view)?,
                need_us: consumer.freshness_us.as_ref().map(|us| *us.get_ref()),
            })
        });
        Graph {
            readers: readers.collect(),
            sources,
            nodes,
            commit_interval_us: file.commit_interval_us,
            tiers: file.tiers.clone(),
        }
    }

    /// The longest that a row waits for a pass of a node in this rhythm to begin.
    pub fn wait_us(&self, node: usize, rhythm: &Rhythm) -> i64 {
        let wait = rhythm.wait_us(self.commit_interval_us);
        wait.or(self.nodes[node].due_us).unwrap_or(NEVER_US)
    }

    /// How long a pass of a node takes in this rhythm.
    pub fn took_us(&self, node: usize, rhythm: &Rhythm) -> i64 {
        let Some(measure) = self.nodes[node].measure else {
            return match rhythm {
                Rhythm::Continuous => ASSUMED_ROUND_US,
                _ => ASSUMED_PASS_US,
            };
        };
        let wait = self.wait_us(node, rhythm);
        let rows = i128::from(wait) * i128::from(measure.load_ppm) / 1_000_000;
        let rows = i64::try_from(rows).unwrap_or(NEVER_US);
        measure.base_us.saturating_add(rows).min(NEVER_US)
    }

    /// The name of what rows come from.
    pub fn name(&self, from: From) -> &str {
        match from {
            From::Topic(place) => &self.sources[place].name,
            From::Node(place) => &self.nodes[place].name,
        }
    }
}

fn source_of(topic: &TopicDeclaration) -> Source {
    Source {
        name: topic.name.get_ref().clone(),
        every_us: topic.every.as_ref().map_or(0, |us| *us.get_ref()),
    }
}

fn vertex_of(node: &NodeDeclaration, inputs: Vec<From>, measures: &Measures) -> Vertex {
    Vertex {
        name: node.name.get_ref().clone(),
        inputs,
        rhythm: node.rhythm.as_ref().map(|r| r.get_ref().clone()),
        due_us: node.due_us,
        measure: measures.get(node.name.get_ref()).copied(),
        view: match &node.output {
            OutputDeclaration::View(view) => Some(view.get_ref().clone()),
            OutputDeclaration::Topic(_) => None,
        },
    }
}

/// The first node all of whose inputs are there.
fn next(
    file: &Declaration,
    waiting: &[&NodeDeclaration],
    sources: &[Source],
    writers: &BTreeMap<String, usize>,
) -> Option<(usize, Vec<From>)> {
    let origin = |topic: &String| {
        let source = sources.iter().position(|s| s.name == *topic);
        let writer = || writers.get(topic).copied();
        source.map(From::Topic).or_else(|| writer().map(From::Node))
    };
    let mut nodes = waiting.iter().enumerate();
    nodes.find_map(|(place, node)| {
        let inputs = file.node_inputs(node.name.get_ref());
        let origins: Option<Vec<From>> = inputs.iter().map(origin).collect();
        Some((place, origins?))
    })
}

/// The topics that a node reads.
pub fn inputs(node: &PlannedNode) -> impl Iterator<Item = &str> {
    node.inputs.iter().map(|input| input.topic.as_str())
}

fn origin(plan: &Plan, topic: &str) -> Option<From> {
    let source = plan.topics.iter().position(|t| t.spec.name == topic);
    let writes = |n: &PlannedNode| matches!(&n.output, Output::Topic(name) if name == topic);
    let writer = || plan.nodes.iter().position(writes);
    source.map(From::Topic).or_else(|| writer().map(From::Node))
}
