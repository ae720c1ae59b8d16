//! Which nodes a run begins with: every version of every node of the pipeline file, each where its last commit left it.

use std::sync::Arc;

use refrain_log::ids::Sequence;
use refrain_plugin::{Digest, Plugin, PluginKind};
use refrain_state::registry::Decision;
use refrain_state::view::ViewSpec;

use crate::error::{Error, Result};
use crate::host::{Host, Loaded};
use crate::names;
use crate::node::Node;
use crate::pipeline::{Output, Plan, PlannedNode};
use crate::run::{RunOptions, Upstream};
use crate::status::Phase;
use crate::task::NodeSetup;
use crate::versions::roster::{Current, Member, Roster, gather};
use crate::versions::{NodeVersions, Start, Version, VersionName, Versions, entry};

/// Nodes ready for a run.
pub(crate) struct Lineup {
    /// Each after what it reads.
    pub(crate) nodes: Vec<(Node, Vec<Upstream>)>,
    /// Nodes that cannot run, with the reason.
    pub(crate) refused: Vec<(String, Error)>,
    /// See [`crate::run::RunReport::kept`].
    pub(crate) kept: Vec<(String, String)>,
}

impl Host {
    /// The versions of all nodes as of the last commit.
    pub fn versions(&self) -> Result<Arc<Versions>> {
        let registry = self.state.registry();
        let mut parsed = self.parsed.lock().expect("nobody panics with the versions");
        if parsed.0 != registry.changed() {
            *parsed = (registry.changed(), Arc::new(Versions::read(&registry)?));
        }
        Ok(Arc::clone(&parsed.1))
    }

    pub(crate) fn line_up(&self, loaded: &Loaded, options: &RunOptions) -> Result<Lineup> {
        let chosen = choose(&loaded.plan, &options.nodes)?;
        let rebuild = choose_rebuild(&loaded.plan, &options.rebuild)?;
        self.check_base()?;
        self.enroll(loaded)?;
        self.rebuild(loaded, &rebuild)?;
        let Roster { members, kept } = self.roster(loaded)?;
        for (node, sentence) in &kept {
            tracing::warn!("node {node}: {sentence}");
        }
        let mut lineup = Lineup {
            nodes: Vec::new(),
            refused: Vec::new(),
            kept,
        };
        for member in &members {
            if !chosen.includes(&member.version) {
                continue;
            }
            let upstreams = self.upstreams(&members, &member.planned, &lineup.nodes);
            match self.node(member) {
                Ok(node) => {
                    self.board.phase(&member.planned.name, Phase::Running);
                    lineup.nodes.push((node, upstreams));
                }
                Err(error) => {
                    self.board.stopped(&member.planned.name, &error);
                    lineup.refused.push((member.planned.name.clone(), error));
                }
            }
        }
        Ok(lineup)
    }

    /// All versions of all nodes, ready to run.
    pub(crate) fn roster(&self, loaded: &Loaded) -> Result<Roster> {
        let current = currents(loaded);
        gather(
            &current,
            &*self.versions()?,
            &self.components,
            &mut self.loader(),
        )
    }

    /// Gives every node that has none its first version: what it has run as, or is about to run as.
    pub(crate) fn enroll(&self, loaded: &Loaded) -> Result<()> {
        let versions = self.versions()?;
        let mut new = Vec::new();
        for node in currents(loaded) {
            let name = &node.planned.name;
            if versions.node(name).is_none() && node.fits(&self.state) {
                let mut version = self.version_of(node.planned, node.plugin)?;
                if self.state.node(name).is_none() {
                    version.start = self.begin(node.planned, false)?;
                }
                new.push(entry(name, &NodeVersions::first(version)));
            }
        }
        let decision = Decision {
            entries: new,
            forget: Vec::new(),
        };
        self.state.decide(|_| Ok::<_, Error>((decision, ())))
    }

    /// A version with all there is, made now. Its component is kept.
    pub(crate) fn version_of(&self, planned: &PlannedNode, plugin: &Plugin) -> Result<Version> {
        let digest = plugin.digest();
        if self.components.get(&digest.to_string()).is_err() {
            let bytes = self.project().read_component(&planned.plugin)?;
            if Digest::of(&bytes) != digest {
                return Err(Error::Refused(format!(
                    "the component of plugin {} changed while it was read; run the command again",
                    planned.plugin
                )));
            }
            self.components.keep(&bytes)?;
        }
        Ok(Version {
            component: digest.to_string(),
            plan: serde_json::to_value(planned).expect("a plan is always JSON"),
            inputs: Default::default(),
            start: Start::default(),
            made: self.log.now(),
            rate: None,
            served: false,
            validated: None,
            takeovers: Default::default(),
        })
    }

    /// Where a node begins that has nothing yet. `again`: it had results once, which it must not lose a part of unseen.
    fn begin(&self, node: &PlannedNode, again: bool) -> Result<Start> {
        let topics = node.input_topics();
        let start = self.earliest(&topics)?;
        let Some(gone) = self.gone(&topics).filter(|_| start.after > Sequence(0)) else {
            return Ok(start);
        };
        let name = &node.name;
        let total = node.window.as_ref().is_none_or(|w| !w.timed());
        if again && node.about.kind == PluginKind::Fold && total {
            return Err(Error::Refused(format!(
                "node {name} keeps a running total, and {gone}: it cannot be computed anew from what is left; its results \
                 are kept, and are in the base savepoint, too"
            )));
        }
        tracing::warn!("node {name} begins after sequence {}: {gone}", start.after);
        Ok(start)
    }

    /// Forgets the versions named, which so begin anew; live ones as the pipeline file has them.
    fn rebuild(&self, loaded: &Loaded, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let mut decision = Decision::default();
        let mut gone = Vec::new();
        let versions = self.versions()?;
        for node in currents(loaded)
            .iter()
            .filter(|n| names.contains(&n.planned.name))
        {
            let mut known = match versions.node(&node.planned.name) {
                Some(known) => known.clone(),
                None => NodeVersions::first(self.version_of(node.planned, node.plugin)?),
            };
            let live = known.reading.live;
            for (number, version) in &mut known.versions {
                let old = version.planned()?.of_version(*number, &version.inputs);
                if *number == live {
                    let new = self.version_of(node.planned, node.plugin)?;
                    *version = Version {
                        inputs: std::mem::take(&mut version.inputs),
                        served: true,
                        ..new
                    };
                }
                let planned = version.planned()?.of_version(*number, &version.inputs);
                version.start = self.begin(&planned, true)?.later(version.start);
                let new = version.planned()?.of_version(*number, &version.inputs);
                gone.extend(old.derived_topics().into_iter().chain(new.derived_topics()));
                decision.forget.push(old.name);
            }
            decision.entries.push(entry(&node.planned.name, &known));
        }
        self.state.decide(|_| Ok::<_, Error>((decision, ())))?;
        for topic in gone {
            self.log.drop_derived(&topic.name)?;
            self.notes.forget_topic(&topic.name)?;
        }
        Ok(())
    }

    /// A node where its last commit left it. Its input is declared by now: nodes come after what they read.
    pub(crate) fn node(&self, member: &Member) -> Result<Node> {
        self.declare(&member.planned)?;
        let setup = self.setup(&member.planned, member.plugin.clone())?;
        let mut node = Node::recover(setup, &self.log, &self.state)?;
        node.terms = member.terms;
        Ok(node.starting_after(member.start.after))
    }

    /// Declares what a node keeps and writes, under the names of its version.
    pub(crate) fn declare(&self, node: &PlannedNode) -> Result<()> {
        for spec in node.derived_topics() {
            self.log.declare(spec)?;
        }
        if let Output::View(view) = &node.output {
            self.state.declare_view(ViewSpec {
                name: view.clone(),
                node: node.name.clone(),
                schema: node.output_schema.clone(),
                key_fields: node.output_key_fields,
            })?;
        }
        Ok(())
    }

    fn upstreams(
        &self,
        members: &[Member],
        node: &PlannedNode,
        running: &[(Node, Vec<Upstream>)],
    ) -> Vec<Upstream> {
        let topics = node.input_topics();
        let upstream = |topic: &String| {
            let writes = |n: &&Member| n.planned.output == Output::Topic(topic.clone());
            let Some(writer) = members.iter().find(writes) else {
                return Upstream::Source;
            };
            let runs = |(n, _): &(Node, Vec<Upstream>)| n.setup.plan.name == writer.planned.name;
            let last = || self.state.node(&writer.planned.name).map(|n| n.cut);
            match running.iter().position(runs) {
                Some(place) => Upstream::Node(place),
                None => Upstream::Resting(last().unwrap_or(Sequence(0))),
            }
        };
        topics.iter().map(upstream).collect()
    }

    pub(crate) fn setup(&self, node: &PlannedNode, plugin: Plugin) -> Result<Arc<NodeSetup>> {
        let topic = |name: &String| {
            self.log.topic(name).ok_or_else(|| {
                Error::Refused(format!(
                    "node {}: there is no topic {name}; run the node that writes it first",
                    node.name
                ))
            })
        };
        let topics = node
            .input_topics()
            .iter()
            .map(topic)
            .collect::<Result<_>>()?;
        Ok(Arc::new(NodeSetup {
            plan: node.clone(),
            plugin,
            topics,
            sample: None,
        }))
    }
}

fn currents(loaded: &Loaded) -> Vec<Current<'_>> {
    let nodes = loaded.plan.nodes.iter().zip(&loaded.plugins);
    nodes
        .map(|(planned, plugin)| Current { planned, plugin })
        .collect()
}

/// Nodes of a run: `delays` for all versions of it, `delays@2` for version 2 alone, `delays@1` for version 1 alone.
struct Chosen(Vec<String>);

impl Chosen {
    fn includes(&self, version: &VersionName) -> bool {
        let exact = format!("{}@{}", version.name, version.number);
        let named = |name: &String| *name == version.name || *name == exact;
        self.0.is_empty() || self.0.iter().any(named)
    }
}

fn choose(plan: &Plan, names: &[String]) -> Result<Chosen> {
    let nodes: Vec<String> = names
        .iter()
        .map(|name| VersionName::parse(name).name)
        .collect();
    known(plan, &nodes)?;
    Ok(Chosen(names.to_vec()))
}

fn known(plan: &Plan, names: &[String]) -> Result<()> {
    for name in names {
        if !plan.nodes.iter().any(|n| n.name == *name) {
            let all = plan.nodes.iter().map(|n| n.name.as_str());
            let none = "the pipeline file declares none; write a [node.NAME] section";
            return Err(Error::Refused(names::unknown("node", name, all, none)));
        }
    }
    Ok(())
}

/// The nodes named and all that read what they write.
pub(crate) fn choose_rebuild(plan: &Plan, names: &[String]) -> Result<Vec<String>> {
    known(plan, names)?;
    let mut chosen: Vec<String> = Vec::new();
    for node in &plan.nodes {
        let reads_chosen = plan.nodes.iter().any(|writer| {
            let written = writer.output_topic.as_ref();
            chosen.contains(&writer.name) && written.is_some_and(|topic| node.reads(&topic.name))
        });
        if names.contains(&node.name) || reads_chosen {
            chosen.push(node.name.clone());
        }
    }
    Ok(chosen)
}
