//! Replay: a candidate version of a node (and of what depends on it) is planned from the pipeline file as it is now,
//! written into the registry, and built by the run in progress or by the one who asked.

mod saved;
pub(crate) mod start;

use std::collections::BTreeMap;

use refrain_log::ids::Sequence;
use refrain_log::topic::Topic;
use refrain_plugin::Digest;
use refrain_state::registry::Decision;
use serde_spanned::Spanned;

use crate::error::{Error, Result};
use crate::host::{Host, Loaded, load_reading};
use crate::lineup::choose_rebuild;
use crate::pipeline::declaration::{Declaration, OptionValue};
use crate::pipeline::{Output, PlannedInput, PlannedNode};
use crate::run::Ask;
use crate::versions::request::{Beginning, ReplayOrder, Replaying};
use crate::versions::{
    NodeVersions, Start, Version, VersionName, Versions, entry, exactly, node_named,
};

/// A replay, planned.
pub(crate) struct Planned {
    /// The pipeline file with what the order changes.
    pub(crate) loaded: Loaded,
    /// Nodes to be built anew, each after what it reads.
    pub(crate) nodes: Vec<String>,
    /// Where each of them begins.
    pub(crate) starts: BTreeMap<String, Start>,
}

impl Host {
    /// Begins a replay, or goes on with the one that is just this.
    pub fn replay(&self, order: &ReplayOrder) -> Result<Replaying> {
        // Nothing that a version is to begin with is removed before it stands in the registry and needs it.
        let _keeping = self.keeping();
        let planned = self.plan_replay(order)?;
        if let Beginning::Savepoint(savepoint) = &order.from {
            return self.replay_saved(order, &planned, savepoint);
        }
        let (goal, notes) = (self.log.durable(), planned.notes());
        let mut group = BTreeMap::new();
        let mut resumed = true;
        let mut same = true;
        let mut entries = Vec::new();
        let mut versions = (*self.versions()?).clone();
        for name in &planned.nodes {
            let (mut known, version) = self.candidate(&planned, name, &versions, &group, order)?;
            let live = &known.versions[&known.reading.live];
            same &= live.start == version.start && is_same(live, &version)?;
            let number = match going_on(&known, &version)? {
                Some(number) => {
                    let known = known.versions.get_mut(&number).expect("just found");
                    known.rate = order.rate;
                    number
                }
                None => {
                    resumed = false;
                    known.add(version)
                }
            };
            group.insert(name.clone(), number);
            entries.push(entry(name, &known));
            versions.set(name, known);
        }
        let forget = Vec::new();
        self.state.decide(|_| {
            for name in &planned.nodes {
                let node = planned
                    .loaded
                    .plan
                    .node(name)
                    .expect("chosen from the plan");
                self.refuse_other_topics(&planned.loaded.plan, node)?;
            }
            Ok::<_, Error>((Decision { entries, forget }, ()))
        })?;
        let name = |node: &String| VersionName::new(node, group[node]);
        let names = planned.nodes.iter().map(name).collect();
        let begun = self.begun(&planned, names, resumed, same, goal)?;
        Ok(Replaying { notes, ..begun })
    }

    /// Takes candidates that stand in the registry into the run in progress, or says what is to be run for them.
    fn begun(
        &self,
        planned: &Planned,
        names: Vec<VersionName>,
        resumed: bool,
        same: bool,
        goal: Sequence,
    ) -> Result<Replaying> {
        let nodes: Vec<String> = names.iter().map(ToString::to_string).collect();
        let to_run = match self.is_running() {
            true => self.join(&planned.loaded, &nodes).map(|()| Vec::new())?,
            false => self.with_upstreams(&nodes)?,
        };
        debug_assert!(to_run.is_empty() || names.iter().all(|n| to_run.contains(&exactly(n))));
        Ok(Replaying {
            nodes,
            resumed,
            same,
            to_run,
            goal,
            notes: Vec::new(),
        })
    }

    /// The node as a new version would be, and the versions that it has.
    fn candidate(
        &self,
        planned: &Planned,
        name: &str,
        versions: &Versions,
        group: &BTreeMap<String, u32>,
        order: &ReplayOrder,
    ) -> Result<(NodeVersions, Version)> {
        let place = planned
            .loaded
            .plan
            .nodes
            .iter()
            .position(|n| n.name == name);
        let place = place.expect("chosen from the plan");
        let node = &planned.loaded.plan.nodes[place];
        let plugin = &planned.loaded.plugins[place];
        let known = match versions.node(name) {
            Some(known) => known.clone(),
            None => self.enroll_late(node)?,
        };
        if let Some((_, bytes)) = &order.component
            && Digest::of(bytes) == plugin.digest()
        {
            self.components.keep(bytes)?;
        }
        let mut version = self.version_of(node, plugin)?;
        version.start = planned.starts[name];
        version.rate = order.rate;
        let live = &known.versions[&known.reading.live];
        for topic in node.input_topics() {
            let writer = |n: &&PlannedNode| n.output == Output::Topic(topic.clone());
            let Some(writer) = planned.loaded.plan.nodes.iter().find(writer) else {
                continue;
            };
            let own = live.inputs.get(&topic).copied();
            let number = group.get(&writer.name).copied().or(own).unwrap_or(1);
            if number != 1 {
                version.inputs.insert(topic, number);
            }
        }
        Ok((known, version))
    }

    /// A node that committed before there were versions, under another plugin or configuration: its results are served
    /// as version 1, which cannot go on.
    fn enroll_late(&self, node: &PlannedNode) -> Result<NodeVersions> {
        let Some(last) = self.state.node(&node.name) else {
            return Err(Error::Refused(format!(
                "node {} has never run, so there is nothing to replay: run it with `refrain run`",
                node.name
            )));
        };
        Ok(NodeVersions::first(Version {
            component: last.lineage.component,
            plan: serde_json::to_value(node).expect("a plan is always JSON"),
            inputs: BTreeMap::new(),
            start: Start::default(),
            made: last.time,
            rate: None,
            served: true,
            validated: None,
            takeovers: Default::default(),
        }))
    }

    /// Takes candidates into the run in progress.
    fn join(&self, loaded: &Loaded, names: &[String]) -> Result<()> {
        let members = self.roster(loaded)?.members;
        let mut nodes = Vec::new();
        for member in members.iter().filter(|m| names.contains(&m.planned.name)) {
            // A replay that goes on is in the run already.
            let phase = self.board.get(&member.planned.name);
            if phase == crate::status::Phase::Running {
                self.ask_run(Ask::Terms(vec![member.planned.name.clone()], member.terms));
                continue;
            }
            nodes.push(self.node(member)?);
        }
        if !nodes.is_empty() {
            nodes.iter().for_each(|node| {
                let name = &node.setup.plan.name;
                self.board.phase(name, crate::status::Phase::Running);
            });
            self.ask_run(Ask::Join(nodes));
        }
        Ok(())
    }

    /// Reads the pipeline file as it is now, with what the order changes, and chooses the nodes.
    pub(crate) fn plan_replay(&self, order: &ReplayOrder) -> Result<Planned> {
        let mut declaration = self.project().declaration()?;
        let Some(node) = node_named(&declaration, &order.name) else {
            let all = declaration.node_names().join(", ");
            return Err(Error::Refused(format!(
                "there is no node, view or topic of a node named {}; nodes are: {all}",
                order.name
            )));
        };
        change(&mut declaration, &node, order);
        let read = |name: &str| match &order.component {
            Some((label, bytes)) if label == name => Ok(bytes.clone()),
            _ => self.project().read_component(name),
        };
        let loaded = load_reading(&declaration, &read, &mut self.loader())?;
        let nodes = match order.downstream {
            true => choose_rebuild(&loaded.plan, std::slice::from_ref(&node))?,
            false => vec![node.clone()],
        };
        for name in &nodes {
            let planned = loaded.plan.node(name).expect("chosen from the plan");
            for topic in planned.input_topics() {
                self.live_topic(&topic)?;
            }
            self.refuse_other_topics(&loaded.plan, planned)?;
        }
        let starts = self.starts(&loaded.plan, &nodes, &order.from)?;
        Ok(Planned {
            loaded,
            nodes,
            starts,
        })
    }

    /// Rows of a topic behind a sequence, and bytes of the columns of them that a node reads.
    pub(crate) fn rows_after(
        &self,
        topic: &std::sync::Arc<Topic>,
        node: &PlannedNode,
        after: Sequence,
    ) -> Result<(u64, u64)> {
        let partitions = 0..topic.spec().partitions;
        let count = |p: u32| {
            topic
                .end(p)
                .0
                .saturating_sub(self.first_after(topic, p, after).0)
        };
        let rows: u64 = partitions.map(count).sum();
        let of_input = |(place, input): (usize, &'_ PlannedInput)| {
            let fields = node.about.reads(place).iter().map(|f| f.name.clone());
            let key = node.key_of(input).iter().cloned();
            fields
                .chain(key)
                .chain(input.time.clone())
                .collect::<Vec<_>>()
        };
        let inputs = node.inputs.iter().enumerate();
        let mut read: Vec<String> = inputs.flat_map(of_input).collect();
        read.sort_unstable();
        read.dedup();
        let row_bytes: f64 = read.iter().map(|name| mean_bytes(topic, name)).sum();
        Ok((rows, (rows as f64 * row_bytes) as u64))
    }
}

/// Mean bytes of a field in a row, by the first frames of the topic.
fn mean_bytes(topic: &std::sync::Arc<Topic>, name: &str) -> f64 {
    let Some(place) = topic.schema().index_of(name) else {
        return 0.0;
    };
    let sampled = || -> Option<f64> {
        let mut cursor = topic.cursor(0, topic.start(0)).ok()?;
        let frame = cursor.next_merged(Sequence(u64::MAX)).ok()??;
        let rows = frame.header().rows.max(1);
        let column = frame.column(place).ok()?;
        Some(column.get_buffer_memory_size() as f64 / f64::from(rows))
    };
    sampled().unwrap_or(8.0).min(1024.0)
}

/// What an order changes of the pipeline file.
fn change(declaration: &mut Declaration, node: &str, order: &ReplayOrder) {
    let its = declaration.nodes.iter_mut();
    let Some(node) = its.into_iter().find(|n| n.name.get_ref() == node) else {
        return;
    };
    let span = node.plugin.span();
    if let Some((label, _)) = &order.component {
        node.plugin = Spanned::new(span.clone(), label.clone());
    }
    for (name, value) in &order.set {
        node.options.retain(|(n, _)| n.get_ref() != name);
        node.options.push((
            Spanned::new(span.clone(), name.clone()),
            Spanned::new(span.clone(), OptionValue::Text(value.clone())),
        ));
    }
}

/// Whether two versions come to the same results.
fn is_same(a: &Version, b: &Version) -> Result<bool> {
    Ok(a.component == b.component
        && a.takeovers == b.takeovers
        && a.inputs == b.inputs
        && a.planned()?.configuration() == b.planned()?.configuration())
}

/// A candidate that is just this, to go on with.
fn going_on(known: &NodeVersions, version: &Version) -> Result<Option<u32>> {
    for (number, candidate) in known.versions.iter().rev() {
        let waits = known.standing(*number) == crate::versions::Standing::Candidate;
        if waits && candidate.start == version.start && is_same(candidate, version)? {
            return Ok(Some(*number));
        }
    }
    Ok(None)
}
