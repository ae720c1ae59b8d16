//! Replay: a candidate version of a node (and of what depends on it) is planned from the pipeline file as it is now,
//! written into the registry, and built by the run in progress or by the one who asked.

mod saved;

use std::collections::BTreeMap;

use refrain_log::ids::{Sequence, Timestamp};
use refrain_log::topic::Topic;
use refrain_plugin::{Digest, PluginKind};
use refrain_state::registry::Decision;
use serde_spanned::Spanned;

use crate::error::{Error, Result};
use crate::host::{Host, Loaded, load_reading};
use crate::lineup::choose_rebuild;
use crate::pipeline::declaration::{Declaration, OptionValue};
use crate::pipeline::{Output, PlannedInput, PlannedNode};
use crate::request::From;
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
    /// Where they begin.
    pub(crate) start: Start,
}

impl Host {
    /// Begins a replay, or goes on with the one that is just this.
    pub fn replay(&self, order: &ReplayOrder) -> Result<Replaying> {
        let planned = self.plan_replay(order)?;
        if let Beginning::Savepoint(savepoint) = &order.from {
            return self.replay_saved(order, &planned, savepoint);
        }
        let goal = self.log.durable();
        let mut group = BTreeMap::new();
        let mut resumed = true;
        let mut same = true;
        let mut entries = Vec::new();
        let mut versions = (*self.versions()?).clone();
        for name in &planned.nodes {
            let (mut known, version) = self.candidate(&planned, name, &versions, &group, order)?;
            same &= is_same(&known.versions[&known.reading.live], &version)?;
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
        self.begun(&planned, names, resumed, same, goal)
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
        version.start = planned.start;
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
        let start = self.start(&loaded, &nodes, &order.from)?;
        Ok(Planned {
            loaded,
            nodes,
            start,
        })
    }

    /// The topic of that name, in the version that is read.
    fn live_topic(&self, name: &str) -> Result<std::sync::Arc<Topic>> {
        let topic = self.log.topic(&self.topic_named(name)?);
        topic.ok_or_else(|| {
            Error::Refused(format!(
                "topic {name} is new in the pipeline file: run it first with `refrain run`"
            ))
        })
    }

    /// Where a replay begins, and from which event time on its windows are whole.
    fn start(&self, loaded: &Loaded, nodes: &[String], from: &Beginning) -> Result<Start> {
        let node = loaded.plan.node(&nodes[0]).expect("chosen from the plan");
        let from = match from {
            Beginning::Log(from) => *from,
            Beginning::Savepoint(savepoint) => {
                saved::refuse_kind(node, nodes)?;
                return Ok(Start {
                    after: self.saved_cut(savepoint, &node.name)?.unwrap_or_default(),
                    time_max: None,
                });
            }
        };
        if from == From::Earliest {
            let all = nodes.iter().filter_map(|name| loaded.plan.node(name));
            let topics: Vec<String> = all.flat_map(|node| node.input_topics()).collect();
            let start = self.earliest(&topics)?;
            return match self.gone(&topics).filter(|_| start.after.0 > 0) {
                None => Ok(start),
                Some(gone) => match refuse_later(node, nodes) {
                    Err(Error::Refused(why)) => Err(Error::Refused(format!("{gone}; {why}"))),
                    fine => fine.map(|()| start),
                },
            };
        }
        refuse_later(node, nodes)?;
        let topic = self.live_topic(&node.input_topics()[0])?;
        let mut first: Option<Sequence> = None;
        for partition in 0..topic.spec().partitions {
            let at = match from {
                From::Earliest => topic.start(partition),
                From::Offset(offset) => offset,
                From::Time(time) => topic.seek_time(partition, time)?,
            };
            if let Some(frame) = topic.cursor(partition, at)?.next(Sequence(u64::MAX))? {
                let sequence = frame.header().sequence;
                first = Some(first.map_or(sequence, |f| sequence.min(f)));
            }
        }
        let Some(first) = first else {
            return Err(Error::Refused(format!(
                "topic {} has no rows from there on; begin earlier",
                topic.spec().name
            )));
        };
        let after = Sequence(first.0.saturating_sub(1));
        Ok(Start {
            after,
            time_max: self.time_max(&topic, after)?,
        })
    }

    /// Largest event time of the frames up to a sequence.
    fn time_max(
        &self,
        topic: &std::sync::Arc<Topic>,
        up_to: Sequence,
    ) -> Result<Option<Timestamp>> {
        let mut max = None;
        for partition in 0..topic.spec().partitions {
            let kept = topic.kept(partition)?;
            max = max.max(match topic.spec().time {
                Some(_) => kept.removed_time_max,
                None => kept.removed_time,
            });
            let mut cursor = topic.cursor(partition, kept.start)?;
            while let Some(frame) = cursor.next(up_to)? {
                let header = frame.header();
                let time = match (&topic.spec().time, header.times) {
                    (None, _) => Some(header.append_time),
                    (Some(_), times) => times.map(|(_, largest)| largest),
                };
                max = max.max(time);
            }
        }
        Ok(max)
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
        let frame = cursor.next(Sequence(u64::MAX)).ok()??;
        let rows = frame.header().rows.max(1);
        let column = frame.column(place).ok()?;
        Some(column.get_buffer_memory_size() as f64 / f64::from(rows))
    };
    sampled().unwrap_or(8.0).min(1024.0)
}

/// A later start than the beginning is for windows and rows of one node on a source topic.
fn refuse_later(node: &PlannedNode, nodes: &[String]) -> Result<()> {
    if nodes.len() > 1 || node.inputs.len() > 1 || node.inputs.iter().any(|i| i.derived) {
        return Err(Error::Refused(format!(
            "a replay from a later point begins at a source topic and builds one node; replay {} from the beginning",
            node.name
        )));
    }
    if node.about.kind == PluginKind::Process {
        return Err(Error::Refused(format!(
            "node {} keeps states of its own making, which from a later point would lack what came before; {}",
            node.name,
            ways(&node.name)
        )));
    }
    if node.about.kind == PluginKind::Fold && node.window.as_ref().is_none_or(|w| !w.timed()) {
        return Err(Error::Refused(format!(
            "node {} keeps a running total, or counts rows from the beginning: from a later point its rows would lack what came \
             before; {}",
            node.name,
            ways(&node.name)
        )));
    }
    Ok(())
}

/// Where what cannot begin at a later point can begin.
fn ways(node: &str) -> String {
    format!(
        "replay it from the beginning, or from a savepoint, with the results that it has (`refrain savepoint list`; `refrain \
         replay {node} --from base` for the one that retention made)"
    )
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
