//! Which versions of which nodes a run has, each with the plan and the component that it was built from.
//!
//! The pipeline file says what a new version would be; a version that exists goes on as it was built. Only what changes
//! no result is taken from the file at once: rhythm, limits, size of calls.

use refrain_plugin::Plugin;
use refrain_state::commit::{Lineage, State};

use super::components::Components;
use super::{NodeVersions, Standing, Start, Version, VersionName, Versions};
use crate::error::Result;
use crate::loader::Loader;
use crate::pipeline::PlannedNode;
use crate::run::Terms;

/// One version of a node, ready to run.
#[derive(Clone, Debug)]
pub struct Member {
    /// The node's name in the pipeline file, and the number of the version.
    pub version: VersionName,
    /// The node as planned, under the names of the version.
    pub planned: PlannedNode,
    /// Its plugin.
    pub plugin: Plugin,
    /// Where it begins.
    pub start: Start,
    /// How it may use the machine.
    pub terms: Terms,
}

/// All versions of the nodes of a pipeline, each after what it reads.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    /// In order.
    pub members: Vec<Member>,
    /// Nodes whose live version is not what the pipeline file and the components say now, with a sentence.
    pub kept: Vec<(String, String)>,
}

/// A node as the pipeline file has it now.
pub struct Current<'a> {
    /// As planned.
    pub planned: &'a PlannedNode,
    /// Its plugin.
    pub plugin: &'a Plugin,
}

impl Current<'_> {
    /// What its results would be made by.
    pub fn lineage(&self) -> Lineage {
        Lineage {
            component: self.plugin.digest().to_string(),
            configuration: self.planned.configuration(),
        }
    }

    /// Whether a version was built from just this.
    pub fn is(&self, version: &Version) -> Result<bool> {
        let same = version.component == self.plugin.digest().to_string();
        Ok(same && version.planned()?.configuration() == self.planned.configuration())
    }

    /// Whether the node may be enrolled with this as its first version: it has never committed, or as just this.
    pub fn fits(&self, state: &State) -> bool {
        let last = state.node(&self.planned.name);
        last.is_none_or(|last| last.lineage == self.lineage())
    }
}

/// Gathers the versions of all nodes.
pub fn gather(
    current: &[Current<'_>],
    versions: &Versions,
    components: &Components,
    loader: &mut Loader,
) -> Result<Roster> {
    let mut roster = Roster::default();
    for node in current {
        let name = &node.planned.name;
        let Some(known) = versions.node(name) else {
            roster.members.push(unenrolled(node));
            continue;
        };
        let mut matches = false;
        for (number, version) in &known.versions {
            let is_current = node.is(version)?;
            matches |= is_current && *number >= known.reading.live;
            let member = member(node, known, *number, is_current, components, loader)?;
            roster.members.push(member);
        }
        if !matches {
            let sentence = kept(known.reading.live).replace("NODE", name);
            roster.kept.push((name.clone(), sentence));
        }
    }
    Ok(roster)
}

/// A node that cannot be enrolled runs, or is refused, as the file has it.
fn unenrolled(node: &Current<'_>) -> Member {
    Member {
        version: VersionName::new(&node.planned.name, 1),
        planned: node.planned.clone(),
        plugin: node.plugin.clone(),
        start: Start::default(),
        terms: Terms::default(),
    }
}

fn member(
    node: &Current<'_>,
    known: &NodeVersions,
    number: u32,
    is_current: bool,
    components: &Components,
    loader: &mut Loader,
) -> Result<Member> {
    let version = &known.versions[&number];
    let name = VersionName::new(&node.planned.name, number);
    let (planned, plugin) = if is_current {
        (node.planned.clone(), node.plugin.clone())
    } else {
        let planned = version.planned()?.operated_as(node.planned);
        let bytes = components.get(&version.component)?;
        let plugin = loader.load_for(&planned, &bytes)?;
        (planned, plugin)
    };
    let candidate = known.standing(number) == Standing::Candidate;
    Ok(Member {
        planned: planned.of_version(number, &version.inputs),
        version: name,
        plugin,
        start: version.start,
        terms: Terms {
            background: candidate,
            rate: version.rate.filter(|_| candidate),
        },
    })
}

fn kept(live: u32) -> String {
    format!(
        "the pipeline file or its component has changed; version {live} goes on as it was built: `refrain plan` shows what \
         is different, `refrain replay NODE` builds the new version beside it, `refrain run --rebuild NODE` computes it \
         anew in place"
    )
}

impl PlannedNode {
    /// The same node with what changes no result taken from another plan of it.
    #[must_use]
    pub fn operated_as(self, other: &PlannedNode) -> PlannedNode {
        PlannedNode {
            rhythm: other.rhythm.clone(),
            rhythm_auto: other.rhythm_auto,
            due_us: other.due_us,
            limits: other.limits,
            call_rows: other.call_rows,
            cache_bytes: other.cache_bytes,
            ..self
        }
    }
}
