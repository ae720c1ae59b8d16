//! What the pipeline file and its components would change, node by node, against the versions that are read.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Result;
use crate::estimate;
use crate::host::{Host, Loaded, load_with};
use crate::pipeline::{Output, PlannedNode};
use crate::receipt::How;
use crate::versions::request::Bill;
use crate::versions::{Start, Version, VersionName};

/// What has to be done for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// It has never run: it begins with the next run.
    New,
    /// Nothing.
    Same,
    /// The new component takes over the states: an upgrade, or a replay.
    StateMigration,
    /// A replay.
    Replay,
    /// A cutover: a version like this is there.
    Cutover,
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
    /// `component`, `options`, `window`, `key`, `input`, ...
    pub what: String,
    /// As the version was built.
    pub was: String,
    /// As the file says now.
    pub is: String,
}

impl Host {
    /// Compares the pipeline file, as it is now, with the versions that are read.
    pub fn changes(&self) -> Result<Vec<NodeChange>> {
        let declaration = self.project().declaration()?;
        let loaded = load_with(self.project(), &declaration, &mut self.loader())?;
        let versions = self.versions()?;
        let mut changes: Vec<NodeChange> = Vec::new();
        for (planned, plugin) in loaded.plan.nodes.iter().zip(&loaded.plugins) {
            self.refuse_other_topics(&loaded.plan, planned)?;
            let component = plugin.digest().to_string();
            let mut change = NodeChange {
                node: planned.name.clone(),
                need: Need::New,
                live: 1,
                version: None,
                reasons: Vec::new(),
                rows: 0,
                bytes: 0,
                seconds: None,
                bill: None,
            };
            if let Some(known) = versions.node(&planned.name) {
                change.live = known.reading.live;
                let live = &known.versions[&change.live];
                change.reasons = reasons(live, planned, &component)?;
                for (number, version) in &known.versions {
                    if reasons(version, planned, &component)?.is_empty() {
                        change.version = Some(*number);
                    }
                }
                change.need = need(&change);
                migration(live, planned, &mut change)?;
            }
            self.upstream_changes(&changes, &loaded.plan.nodes, planned, &mut change);
            if change.need == Need::Replay {
                self.measure(&loaded, &mut change)?;
            }
            changes.push(change);
        }
        Ok(changes)
    }

    /// A node whose input changes changes with it.
    fn upstream_changes(
        &self,
        before: &[NodeChange],
        nodes: &[PlannedNode],
        planned: &PlannedNode,
        change: &mut NodeChange,
    ) {
        for topic in planned.input_topics() {
            let writes = |n: &&PlannedNode| n.output == Output::Topic(topic.clone());
            let Some(writer) = nodes.iter().find(writes) else {
                continue;
            };
            let changed = before
                .iter()
                .any(|c| c.node == writer.name && c.need == Need::Replay);
            if changed && change.need == Need::Same {
                change.need = Need::Replay;
                change.reasons.push(Reason {
                    what: "input".into(),
                    was: topic.clone(),
                    is: format!("{topic}, written anew by node {}", writer.name),
                });
            }
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
fn reasons(version: &Version, planned: &PlannedNode, component: &str) -> Result<Vec<Reason>> {
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
fn fields(configuration: &str) -> serde_json::Map<String, Value> {
    match serde_json::from_str(configuration) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    }
}
