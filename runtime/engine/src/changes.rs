//! What the pipeline file and its components would change, node by node, against the versions that are read.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Result;
use crate::estimate;
use crate::host::{Host, Loaded, load_with};
use crate::pipeline::units::{duration_text, size_text};
use crate::pipeline::{Declaration, Output, Plan, PlannedNode, StateDeclaration};
use crate::receipt::How;
use crate::topics::TopicChange;
use crate::versions::request::Bill;
use crate::versions::{NodeVersions, Start, Version, VersionName};

/// What has to be done for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// It has never run: it begins with the next run.
    New,
    /// Nothing.
    Same,
    /// The running host works in another way, to the same results: what the file says holds from its next start.
    Restart,
    /// The new component takes over the states: an upgrade, or a replay.
    StateMigration,
    /// A replay.
    Replay,
    /// A cutover: a version like this is there.
    Cutover,
    /// It is not in the file any more: its versions rest, and keep what they have not read of the log.
    Removed,
}

/// What differs between the pipeline file and what is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Changes {
    /// Source topics, in the order of the file.
    pub topics: Vec<TopicChange>,
    /// Nodes, each after what it reads.
    pub nodes: Vec<NodeChange>,
}

/// One node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeChange {
    /// The node.
    pub node: String,
    /// What has to be done.
    pub need: Need,
    /// The version that is read.
    pub live: u32,
    /// The version that is just what the file says, if one is there.
    pub version: Option<u32>,
    /// What differs.
    pub reasons: Vec<Reason>,
    /// Rows that a replay takes.
    pub rows: u64,
    /// Bytes of the columns that it reads.
    pub bytes: u64,
    /// Seconds that it takes, by a sample of the log; none: there is too little to take a sample of.
    pub seconds: Option<f64>,
    /// What it costs; none: there is no sample.
    pub bill: Option<Bill>,
}

/// Something that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// `component`, `options`, `window`, `key`, `input`, `rhythm`, ...
    pub what: String,
    /// As the version was built, or as it runs.
    pub was: String,
    /// As the file says now.
    pub is: String,
}

impl Host {
    /// Compares the pipeline file, as it is now, with the versions that are read.
    pub fn changes(&self) -> Result<Changes> {
        let declaration = self.project().declaration()?;
        let loaded = load_with(self.project(), &declaration, &mut self.loader())?;
        let versions = self.versions()?;
        let running = self.plan().filter(|_| self.is_running());
        let mut changes: Vec<NodeChange> = Vec::new();
        for (planned, plugin) in loaded.plan.nodes.iter().zip(&loaded.plugins) {
            let component = plugin.digest().to_string();
            let mut change = NodeChange::new(&planned.name, Need::New);
            if let Some(known) = versions.node(&planned.name) {
                change.live = known.reading.live;
                let live = &known.versions[&change.live];
                change.reasons = reasons(live, planned, &component)?;
                change.version = alike(known, planned, &component, None)?;
                change.need = need(&change);
                migration(live, planned, &mut change)?;
                for topic in planned.input_topics() {
                    let Some(writer) = writer(&changes, &loaded.plan.nodes, &topic) else {
                        continue;
                    };
                    let number = writer.version.filter(|_| writer.need == Need::Cutover);
                    let follows = match number {
                        Some(number) => alike(known, planned, &component, Some((&topic, number)))?,
                        None => None,
                    };
                    upstream_change(writer, &topic, follows, &mut change);
                }
            }
            if change.need == Need::Same
                && let Some(running) = &running
            {
                self.operation(running, &loaded.plan, &declaration, &mut change);
            }
            if change.need == Need::Replay {
                self.measure(&loaded, &mut change)?;
            }
            changes.push(change);
        }
        let removed = versions.nodes();
        let removed = removed.filter(|(name, _)| loaded.plan.node(name).is_none());
        changes.extend(removed.map(|(name, known)| NodeChange::removed(name, known)));
        Ok(Changes {
            topics: self.topic_changes(&loaded.plan.topics),
            nodes: changes,
        })
    }

    /// What the running host does in another way than the file says, and what changes no result.
    fn operation(
        &self,
        running: &Plan,
        plan: &Plan,
        declaration: &Declaration,
        change: &mut NodeChange,
    ) {
        let Some((was, is)) = running.node(&change.node).zip(plan.node(&change.node)) else {
            return;
        };
        let interval = |plan: &Plan| ("commit interval", duration_text(plan.commit_interval_us));
        let store = |state: StateDeclaration| ("state", state.to_string());
        let was = operation(was)
            .into_iter()
            .chain([interval(running), store(self.declaration().state)]);
        let is = operation(is)
            .into_iter()
            .chain([interval(plan), store(declaration.state)]);
        let differ = was.zip(is).filter(|(was, is)| was != is);
        change
            .reasons
            .extend(differ.map(|((what, was), (_, is))| Reason {
                what: what.to_owned(),
                was,
                is,
            }));
        if !change.reasons.is_empty() {
            change.need = Need::Restart;
        }
    }

    fn measure(&self, loaded: &Loaded, change: &mut NodeChange) -> Result<()> {
        let load = self.load_of(loaded, &change.node, Start::default())?;
        change.rows = load.rows;
        change.bytes = load.bytes;
        change.seconds = load.seconds;
        let live = VersionName::new(&change.node, change.live);
        let keep_bytes = self.what_it_holds(&live).map_or(0, |held| held.bytes);
        let prices = &loaded.plan.prices;
        change.bill = load
            .work_seconds
            .map(|work| estimate::bill(work, load.bytes, keep_bytes, prices));
        Ok(())
    }
}

impl NodeChange {
    fn new(node: &str, need: Need) -> NodeChange {
        NodeChange {
            node: node.to_owned(),
            need,
            live: 1,
            version: None,
            reasons: Vec::new(),
            rows: 0,
            bytes: 0,
            seconds: None,
            bill: None,
        }
    }

    fn removed(node: &str, known: &NodeVersions) -> NodeChange {
        let numbers: Vec<String> = known.versions.keys().map(u32::to_string).collect();
        NodeChange {
            live: known.reading.live,
            reasons: vec![Reason {
                what: "node".into(),
                was: format!("in the file; versions: {}", numbers.join(", ")),
                is: format!(
                    "not in it; put it back, or `refrain retire {node} {}`",
                    known.reading.live
                ),
            }],
            ..NodeChange::new(node, Need::Removed)
        }
    }
}

/// What is said of the node that writes a topic.
fn writer<'c>(
    changes: &'c [NodeChange],
    nodes: &[PlannedNode],
    topic: &str,
) -> Option<&'c NodeChange> {
    let writes = |n: &&PlannedNode| n.output == Output::Topic(topic.to_owned());
    let writer = nodes.iter().find(writes)?;
    changes.iter().find(|change| change.node == writer.name)
}

/// A node whose input changes changes with it. `follows`: its version that is just what the file says and reads what the
/// writer's version to be cut over to writes.
fn upstream_change(
    writer: &NodeChange,
    topic: &str,
    follows: Option<u32>,
    change: &mut NodeChange,
) {
    let is = match writer.need {
        Need::Replay => format!("{topic}, written anew by node {}", writer.node),
        Need::Cutover => {
            let number = writer.version.unwrap_or(writer.live);
            format!("{topic} of version {number} of node {}", writer.node)
        }
        // It goes on with the same topic: nothing is to be done, but what comes is another component's.
        Need::StateMigration => format!(
            "{topic}, by another component of node {} from its upgrade on",
            writer.node
        ),
        Need::New | Need::Same | Need::Restart | Need::Removed => return,
    };
    change.reasons.push(Reason {
        what: "input".into(),
        was: topic.to_owned(),
        is,
    });
    match writer.need {
        Need::Cutover if follows.is_some() => {
            (change.need, change.version) = (Need::Cutover, follows);
        }
        Need::Replay | Need::Cutover => {
            (change.need, change.version) = (Need::Replay, None);
        }
        _ => {}
    }
}

/// The newest version that is just what the file says; where that is asked for, with this version of an input.
fn alike(
    known: &NodeVersions,
    planned: &PlannedNode,
    component: &str,
    input: Option<(&str, u32)>,
) -> Result<Option<u32>> {
    // What begins later than what is read is not what a replay would build.
    let begins = known
        .versions
        .get(&known.reading.live)
        .map(|live| live.start.after);
    let whole = |version: &Version| begins.is_none_or(|begins| version.start.after <= begins);
    for (number, version) in known.versions.iter().rev().filter(|(_, v)| whole(v)) {
        let reads = |(topic, wanted)| version.inputs.get(topic).copied().unwrap_or(1) == wanted;
        if input.is_none_or(reads) && reasons(version, planned, component)?.is_empty() {
            return Ok(Some(*number));
        }
    }
    Ok(None)
}

/// What of a node changes how it works and not what comes out.
fn operation(planned: &PlannedNode) -> [(&'static str, String); 6] {
    let rhythm = match planned.rhythm_auto {
        true => "auto".to_owned(),
        false => planned.rhythm.to_string(),
    };
    let limits = planned.limits;
    let grants = match planned.grants.is_empty() {
        true => "nothing".to_owned(),
        false => planned.grants.join(", "),
    };
    [
        ("rhythm", rhythm),
        (
            "due",
            planned.due_us.map_or("nothing".into(), duration_text),
        ),
        (
            "limits",
            format!(
                "memory {}, call {}, answer {}",
                size_text(limits.memory_bytes_max),
                duration_text((limits.call_ms_max * 1000) as i64),
                size_text(limits.answer_bytes_max)
            ),
        ),
        ("call rows", planned.call_rows.to_string()),
        ("cache", size_text(planned.cache_bytes)),
        ("grants", grants),
    ]
}

/// A component that alone differs, and can take over the states, needs no replay.
fn migration(live: &Version, planned: &PlannedNode, change: &mut NodeChange) -> Result<()> {
    let was = live.planned()?.about;
    let alone = change
        .reasons
        .iter()
        .all(|reason| reason.what == "component");
    let way = crate::upgrade::way(&change.node, &was, &planned.about);
    if change.need == Need::Replay && alone && way == Ok(How::Migrate) {
        change.need = Need::StateMigration;
        change.reasons.push(Reason {
            what: "state version".into(),
            was: was.state_version.to_string(),
            is: planned.about.state_version.to_string(),
        });
    }
    Ok(())
}

fn need(change: &NodeChange) -> Need {
    match (change.reasons.is_empty(), change.version) {
        (true, _) => Need::Same,
        (false, Some(_)) => Need::Cutover,
        (false, None) => Need::Replay,
    }
}

/// What differs between a version and the file.
pub(crate) fn reasons(
    version: &Version,
    planned: &PlannedNode,
    component: &str,
) -> Result<Vec<Reason>> {
    let mut reasons = Vec::new();
    if version.component != component {
        reasons.push(Reason {
            what: "component".into(),
            was: version.component.clone(),
            is: component.to_owned(),
        });
    }
    let was = fields(&version.planned()?.configuration());
    let is = fields(&planned.configuration());
    let mut names: Vec<&String> = was.keys().chain(is.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let text = |fields: &serde_json::Map<String, Value>| {
            fields
                .get(name)
                .map_or("nothing".to_owned(), Value::to_string)
        };
        let (was, is) = (text(&was), text(&is));
        if was != is {
            let what = name.replace('_', " ");
            reasons.push(Reason { what, was, is });
        }
    }
    Ok(reasons)
}

/// A configuration as its parts.
pub(crate) fn fields(configuration: &str) -> serde_json::Map<String, Value> {
    match serde_json::from_str(configuration) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    }
}
