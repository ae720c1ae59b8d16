//! Savepoints: the host at one commit, kept under a name. Made beside a running host, listed, removed.
//!
//! Making one reads nothing and copies nothing where the file system has hard links: every file of the log and of the
//! commit log gets a second name. Retention takes away names, so what a savepoint has stays until it is removed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::topic::{Origin, Topic};
use refrain_state::commit::NodeState;
use serde::{Deserialize, Serialize};

use super::folder::{Place, SavedNode, SavedTopic, Savepoint, VERSION, io};
use super::needs::Need;
use crate::error::{Error, Result};
use crate::host::{Host, PIPELINE_FILE};

/// Name of the savepoint that retention makes.
pub const BASE: &str = "base";
/// Length of a name.
const NAME_BYTES_MAX: usize = 100;

/// One savepoint, as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavepointStatus {
    /// Its name.
    pub name: String,
    /// Retention made it: it has the results, and no topics.
    pub base: bool,
    /// When it was made.
    pub made: Timestamp,
    /// Everything in the log up to this sequence is in it.
    pub durable: Sequence,
    /// The cut of each node, with its view, rows and digest (hex).
    pub nodes: Vec<NodeSaved>,
    /// Bytes that it names.
    pub bytes: u64,
    /// Bytes of them that nothing else has any more.
    pub own_bytes: u64,
    /// Frames of topics after a sequence that stay because of it.
    pub needs: BTreeMap<String, Sequence>,
}

/// One node in a savepoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeSaved {
    /// Its name.
    pub node: String,
    /// Its cut.
    pub cut: Sequence,
    /// Its view: name, rows, digest in hex.
    pub view: Option<(String, u64, String)>,
}

impl NodeSaved {
    pub(super) fn all(nodes: BTreeMap<String, SavedNode>) -> Vec<NodeSaved> {
        let saved = |(node, saved): (String, SavedNode)| NodeSaved {
            node,
            cut: saved.cut,
            view: saved.view,
        };
        nodes.into_iter().map(saved).collect()
    }
}

impl Host {
    fn place<'p>(&'p self, data: &'p Path) -> Place<'p> {
        Place {
            storage: &*self.storage,
            data,
        }
    }

    /// Makes a savepoint of the host as it is at its last commit. Running nodes go on.
    pub fn save(&self, name: &str) -> Result<SavepointStatus> {
        check_name(name)?;
        let _keeping = self.keeping();
        let data = self.project().data();
        if self.place(&data).names()?.iter().any(|n| n == name) {
            return Err(Error::Refused(format!(
                "there is a savepoint {name} already; choose another name, or remove it with `refrain savepoint delete \
                 {name}`"
            )));
        }
        self.make(name, false)?;
        self.saved(name)
    }

    /// All savepoints, the oldest first.
    pub fn savepoints(&self) -> Result<Vec<SavepointStatus>> {
        let data = self.project().data();
        let names = self.place(&data).names()?;
        let mut all = names
            .iter()
            .map(|name| self.saved(name))
            .collect::<Result<Vec<_>>>()?;
        all.sort_by(|a, b| (a.made, &a.name).cmp(&(b.made, &b.name)));
        Ok(all)
    }

    /// Removes a savepoint, or says what would go.
    pub fn unsave(&self, name: &str, confirm: bool) -> Result<(SavepointStatus, bool)> {
        let _keeping = self.keeping();
        let status = self.saved(name)?;
        if confirm {
            let data = self.project().data();
            self.place(&data).remove(name)?;
        }
        Ok((status, confirm))
    }

    /// Whether retention has taken rows that only the base savepoint still has the results of.
    pub(crate) fn has_base(&self) -> Result<bool> {
        let data = self.project().data();
        let names = self.place(&data).names()?;
        Ok(names
            .iter()
            .any(|name| [BASE, BASE_OTHER].contains(&name.as_str())))
    }

    /// Makes the base savepoint anew: what retention is about to take is in its results.
    pub(super) fn save_base(&self) -> Result<()> {
        if self.state().nodes().is_empty() {
            return Ok(());
        }
        // There is always one that is whole: the new one is made beside the old one, and takes its name then.
        let data = self.project().data();
        let place = self.place(&data);
        let older = place.names()?.iter().any(|name| name == BASE_OTHER);
        let (new, old) = match older {
            true => (BASE, BASE_OTHER),
            false => (BASE_OTHER, BASE),
        };
        self.make(new, true)?;
        place.remove(old)?;
        Ok(())
    }

    fn saved(&self, name: &str) -> Result<SavepointStatus> {
        let data = self.project().data();
        let savepoint = self.place(&data).read(name)?;
        let own_bytes = self.own_bytes(&savepoint, &data);
        Ok(SavepointStatus {
            bytes: savepoint.bytes(),
            own_bytes,
            name: savepoint.name,
            base: savepoint.base,
            made: savepoint.made,
            durable: savepoint.durable,
            nodes: NodeSaved::all(savepoint.nodes),
            needs: savepoint.needs,
        })
    }

    /// Bytes of files that are not in their old folders any more.
    fn own_bytes(&self, savepoint: &Savepoint, data: &Path) -> u64 {
        let mut bytes = 0;
        let mut add = |folder: PathBuf, parts: &[refrain_log::parts::Part]| {
            let names = self.storage.list(&folder).unwrap_or_default();
            let gone = parts.iter().filter(|part| !names.contains(&part.file));
            bytes += gone.map(|part| part.published).sum::<u64>();
        };
        add(data.join("commits"), &savepoint.commits);
        for topic in &savepoint.topics {
            for (i, parts) in topic.partitions.iter().enumerate() {
                add(
                    data.join("topics").join(&topic.name).join(i.to_string()),
                    parts,
                );
            }
        }
        bytes
    }

    fn make(&self, name: &str, base: bool) -> Result<()> {
        let data = self.project().data();
        let place = self.place(&data);
        place.remove(name)?;
        let made = self.fill(&place, name, base);
        let written = made.and_then(|savepoint| place.write(&savepoint));
        if written.is_err() {
            // Without its record it is nothing; what is left goes now, or with the next one of this name.
            let _ = place.remove(name);
        }
        written
    }

    fn fill(&self, place: &Place<'_>, name: &str, base: bool) -> Result<Savepoint> {
        let folder = place.folder(name);
        let commits = folder.join("commits");
        place.make(&commits)?;
        // What nodes had read before the commit is less than what they have read at it.
        let node_needs = self.node_needs()?;
        let linked = self.state().link_into(&commits)?;
        let durable = self.log().durable();
        let mut topics = Vec::new();
        let mut files = Vec::new();
        if !base {
            for topic in self.log().topics() {
                topics.push(self.link_topic(place, &folder, &topic, &linked.nodes)?);
            }
            files = self.copy_project(place, &folder)?;
        }
        place.link_all(&place.data.join("components"), &folder.join("components"))?;
        for made in ["", "topics"] {
            let inside = folder.join(made);
            if made.is_empty() || !topics.is_empty() {
                let synced = place.storage.sync_dir(&inside);
                synced.map_err(|e| io("sync", &inside, e))?;
            }
        }
        Ok(Savepoint {
            version: VERSION,
            name: name.to_owned(),
            base,
            made: linked.time,
            commit: linked.commit,
            durable,
            needs: needs_of(node_needs, &linked.nodes),
            nodes: self.saved_nodes(&linked.nodes, &linked.views),
            commits: linked.parts,
            topics,
            files,
        })
    }

    fn link_topic(
        &self,
        place: &Place<'_>,
        folder: &Path,
        topic: &Topic,
        nodes: &BTreeMap<String, NodeState>,
    ) -> Result<SavedTopic> {
        let spec = topic.spec();
        let own = folder.join("topics").join(&spec.name);
        place.make(&own)?;
        let source = place.data.join("topics").join(&spec.name);
        place.link(&source.join("topic.spec"), &own.join("topic.spec"))?;
        let mut partitions = Vec::new();
        for partition in 0..spec.partitions {
            let inside = own.join(partition.to_string());
            place.make(&inside)?;
            partitions.push(topic.link_into(partition, &inside)?);
        }
        Ok(SavedTopic {
            name: spec.name.clone(),
            origin: spec.origin,
            ends: match spec.origin {
                Origin::Source => Vec::new(),
                Origin::Derived => ends_of(&spec.name, spec.partitions, nodes),
            },
            partitions,
        })
    }

    /// The pipeline file, `refrain.lock` and the components that they name, as they are now.
    fn copy_project(&self, place: &Place<'_>, folder: &Path) -> Result<Vec<String>> {
        let root = self.project().root();
        let mut files = vec![PIPELINE_FILE.to_owned(), "refrain.lock".to_owned()];
        for node in &self.declaration().nodes {
            let path = self.project().component(node.plugin.get_ref());
            if let Ok(inside) = path.strip_prefix(root) {
                files.push(inside.display().to_string());
            }
        }
        files.sort_unstable();
        files.dedup();
        // A file of the project may be missing: what runs is in `components`.
        files.retain(|file| place.storage.read(&root.join(file)).is_ok());
        for file in &files {
            let to = folder.join("project").join(file);
            place.make(to.parent().expect("it is in a folder"))?;
            place.copy(&root.join(file), &to)?;
        }
        Ok(files)
    }

    fn saved_nodes(
        &self,
        nodes: &BTreeMap<String, NodeState>,
        views: &BTreeMap<String, (String, u64, u128)>,
    ) -> BTreeMap<String, SavedNode> {
        let saved = |(name, state): (&String, &NodeState)| {
            let view = views
                .get(name)
                .map(|(view, rows, digest)| (view.clone(), *rows, format!("{digest:032x}")));
            let cut = state.cut;
            (name.clone(), SavedNode { cut, view })
        };
        nodes.iter().map(saved).collect()
    }
}

/// The name that the base savepoint has every other time.
pub(super) const BASE_OTHER: &str = "base.2";

/// The base savepoint by either of its names.
pub(super) fn named(place: &Place<'_>, name: &str) -> Result<String> {
    let names = place.names()?;
    let other =
        name == BASE && !names.iter().any(|n| n == BASE) && names.iter().any(|n| n == BASE_OTHER);
    Ok(if other {
        BASE_OTHER.to_owned()
    } else {
        name.to_owned()
    })
}

fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let wrong = name.is_empty()
        || name.len() > NAME_BYTES_MAX
        || name.starts_with(['.', '-'])
        || !name.chars().all(plain);
    if wrong {
        return Err(Error::Refused(format!(
            "`{name}` cannot be the name of a savepoint: use 1 to {NAME_BYTES_MAX} letters, digits, `-`, `_` and `.`, \
             beginning with a letter or digit"
        )));
    }
    if [BASE, BASE_OTHER].contains(&name) {
        return Err(Error::Refused(format!(
            "`{name}` is the savepoint that retention makes; choose another name"
        )));
    }
    Ok(())
}

fn ends_of(topic: &str, partitions: u32, nodes: &BTreeMap<String, NodeState>) -> Vec<Offset> {
    let mut ends = vec![Offset(0); partitions as usize];
    for end in nodes.values().flat_map(|n| &n.derived) {
        if end.topic == topic
            && let Some(place) = ends.get_mut(end.partition as usize)
        {
            *place = end.end;
        }
    }
    ends
}

/// What going on from here reads: what the nodes had not read, and what their own topics had not.
fn needs_of(needs: Vec<Need>, nodes: &BTreeMap<String, NodeState>) -> BTreeMap<String, Sequence> {
    let mut after: BTreeMap<String, Sequence> = BTreeMap::new();
    let mut note = |topic: String, sequence: Sequence| {
        let least = after.entry(topic).or_insert(sequence);
        *least = sequence.min(*least);
    };
    for need in needs {
        let node = need.who.strip_prefix("node ").unwrap_or(&need.who);
        if nodes.contains_key(node) {
            note(need.topic, need.after);
        }
    }
    for state in nodes.values() {
        for end in &state.derived {
            note(end.topic.clone(), state.cut);
        }
    }
    after
}
