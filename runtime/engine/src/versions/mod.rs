//! Versions of a node: builds of it that stand side by side, and who reads which.
//!
//! A version is an ordinary node under a name of its own: version 1 of `delays` is the node `delays`, version 2 the node
//! `delays@2` with the view `delays@2`, the topic `clean@2`, and so on. Users cannot write `@` in a name, and tasks,
//! commits, recovery, stores and views need no special case. What belongs together is said here alone, in the registry
//! of the commit log, and changes with a commit.

mod barrier;
pub mod components;
pub mod decide;
mod find;
mod list;
mod moves;
mod names;
pub mod request;
pub mod roster;

use std::collections::BTreeMap;

use refrain_log::ids::{Sequence, Timestamp};
use refrain_state::registry::{Entry, Registry};
use serde::{Deserialize, Serialize};

pub(crate) use self::barrier::exactly;
pub(crate) use self::find::sources;
pub use self::find::{node_named, view_of};
pub(crate) use self::moves::newest_candidate;
pub use self::names::{VersionName, ViewName};

use crate::error::{Error, Result};
use crate::pipeline::{Output, PlannedNode};
use crate::upgrade::Takeovers;
use crate::validate::report::Tolerance;

/// What names of registry entries begin with.
const ENTRY: &str = "versions/";
/// How many earlier readings are kept to go back to.
const HISTORY_MAX: usize = 32;

/// Who reads which version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The one that everybody reads who is not named.
    pub live: u32,
    /// Consumers that read another one.
    pub consumers: BTreeMap<String, u32>,
}

impl Reading {
    /// The version that a consumer reads.
    pub fn of(&self, consumer: Option<&str>) -> u32 {
        let own = consumer.and_then(|name| self.consumers.get(name));
        own.copied().unwrap_or(self.live)
    }

    /// Whether anybody reads it.
    pub fn includes(&self, version: u32) -> bool {
        self.live == version || self.consumers.values().any(|v| *v == version)
    }
}

/// Where a version begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Source frames up to this one are not taken; 0: it has all.
    pub after: Sequence,
    /// Largest event time among the rows not taken: windows that start later are whole.
    pub time_max: Option<Timestamp>,
}

impl Start {
    /// The later of the two.
    pub(crate) fn later(self, other: Start) -> Start {
        match self.after > other.after {
            true => self,
            false => other,
        }
    }
}

/// One version of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Digest of its component, hex. The bytes are kept in the data folder.
    pub component: String,
    /// The node as planned when the version was made, under the names of the pipeline file: [`PlannedNode`].
    pub plan: serde_json::Value,
    /// Versions of the nodes that write the derived topics it reads, by topic; not named: version 1.
    #[serde(default)]
    pub inputs: BTreeMap<String, u32>,
    /// Where it begins.
    #[serde(default)]
    pub start: Start,
    /// When it was made.
    pub made: Timestamp,
    /// Rows a second that it may take while nobody reads it; none: no limit.
    #[serde(default)]
    pub rate: Option<u64>,
    /// Whether it was ever read as live, or by a consumer.
    #[serde(default)]
    pub served: bool,
    /// Cut, digest and partner of the last comparison that found no difference.
    #[serde(default)]
    pub validated: Option<Validated>,
    /// Components that it was built from before, and how the present one took over.
    #[serde(default)]
    pub takeovers: Takeovers,
}

/// A comparison that found two versions equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validated {
    /// The version it was compared with.
    pub against: u32,
    /// The cut of both.
    pub cut: Sequence,
    /// Whether differences within a tolerance were accepted.
    pub tolerated: bool,
    /// The tolerances, by field.
    #[serde(default)]
    pub tolerances: BTreeMap<String, Tolerance>,
}

/// All versions of one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeVersions {
    /// Who reads which.
    pub reading: Reading,
    /// Earlier readings, the last one last.
    #[serde(default)]
    pub history: Vec<Reading>,
    /// Number of the next version; numbers are never given twice.
    pub next: u32,
    /// By number.
    pub versions: BTreeMap<u32, Version>,
}

/// What a version is at, as far as the registry says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Nobody has read it as live yet.
    Candidate,
    /// It is read.
    Live,
    /// It was read, and is kept to go back to.
    Old,
}

impl NodeVersions {
    /// A node with its first version, which everybody reads.
    pub fn first(version: Version) -> NodeVersions {
        NodeVersions {
            reading: Reading {
                live: 1,
                consumers: BTreeMap::new(),
            },
            history: Vec::new(),
            next: 2,
            versions: BTreeMap::from([(
                1,
                Version {
                    served: true,
                    ..version
                },
            )]),
        }
    }

    /// What a version is at.
    pub fn standing(&self, version: u32) -> Standing {
        let served = self.versions.get(&version).is_some_and(|v| v.served);
        match (self.reading.includes(version), served) {
            (true, _) => Standing::Live,
            (false, true) => Standing::Old,
            (false, false) => Standing::Candidate,
        }
    }

    /// Adds a candidate; its number.
    pub fn add(&mut self, version: Version) -> u32 {
        let number = self.next;
        self.next += 1;
        self.versions.insert(number, version);
        number
    }

    /// Changes who reads what; what was before can be gone back to.
    pub fn read(&mut self, reading: Reading) {
        let before = std::mem::replace(&mut self.reading, reading);
        self.history.push(before);
        let surplus = self.history.len().saturating_sub(HISTORY_MAX);
        self.history.drain(..surplus);
        self.note_served();
    }

    /// Remembers who is read now.
    pub fn note_served(&mut self) {
        let reading = &self.reading;
        for (number, version) in &mut self.versions {
            version.served |= reading.includes(*number);
        }
    }
}

impl Version {
    /// The node as planned, under the names of the pipeline file.
    pub fn planned(&self) -> Result<PlannedNode> {
        PlannedNode::deserialize(&self.plan).map_err(|e| {
            Error::Refused(format!(
                "what is known of a version made earlier cannot be read ({e}): it was made by another release of \
                 refrain; compute the node anew with `refrain run --rebuild NODE`"
            ))
        })
    }
}

/// The versions of all nodes, as of one commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Versions {
    nodes: BTreeMap<String, NodeVersions>,
}

impl Versions {
    /// Reads the registry.
    pub fn read(registry: &Registry) -> Result<Versions> {
        let mut nodes = BTreeMap::new();
        for (name, text) in registry.entries() {
            let Some(node) = name.strip_prefix(ENTRY) else {
                continue;
            };
            let versions = serde_json::from_str(text).map_err(|e| {
                Error::Refused(format!(
                    "the registry's entry {name} cannot be read ({e}): it was written by another release of refrain"
                ))
            })?;
            nodes.insert(node.to_owned(), versions);
        }
        Ok(Versions { nodes })
    }

    /// The versions of a node; none: it has never run.
    pub fn node(&self, node: &str) -> Option<&NodeVersions> {
        self.nodes.get(node)
    }

    /// All nodes with their versions.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &NodeVersions)> {
        self.nodes.iter().map(|(name, node)| (name.as_str(), node))
    }

    /// Puts what is known of a node in the place of what was.
    pub(crate) fn set(&mut self, node: &str, versions: NodeVersions) {
        self.nodes.insert(node.to_owned(), versions);
    }

    /// The version of a node that everybody reads who is not named.
    pub fn live(&self, node: &str) -> VersionName {
        let live = self.nodes.get(node).map_or(1, |n| n.reading.live);
        VersionName::new(node, live)
    }
}

/// The entry that says this of a node.
pub fn entry(node: &str, versions: &NodeVersions) -> Entry {
    let text = serde_json::to_string(versions).expect("names, numbers and texts are always JSON");
    Entry {
        name: format!("{ENTRY}{node}"),
        text: Some(text),
    }
}

/// The entry that says that a node has no versions.
fn no_entry(node: &str) -> Entry {
    Entry {
        name: format!("{ENTRY}{node}"),
        text: None,
    }
}

impl PlannedNode {
    /// The topics that it reads.
    pub fn input_topics(&self) -> Vec<String> {
        self.inputs
            .iter()
            .map(|input| input.topic.clone())
            .collect()
    }

    /// The node as a version of itself: under names of its own, reading those versions of derived topics.
    #[must_use]
    pub fn of_version(&self, number: u32, inputs: &BTreeMap<String, u32>) -> PlannedNode {
        let own = |name: &str| VersionName::new(name, number).to_string();
        let mut node = self.clone();
        node.name = own(&self.name);
        node.output = match &self.output {
            Output::View(view) => Output::View(own(view)),
            Output::Topic(topic) => Output::Topic(own(topic)),
        };
        if let Some(topic) = &mut node.output_topic {
            topic.name = own(&topic.name);
        }
        for input in &mut node.inputs {
            if let Some(number) = inputs.get(&input.topic) {
                input.topic = VersionName::new(&input.topic, *number).to_string();
            }
        }
        node
    }
}

#[cfg(test)]
mod tests;
