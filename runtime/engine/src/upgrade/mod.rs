//! Upgrade: another component takes over a node at a commit, with its states as they are or brought to its own version.
//!
//! The node is drained (it stands at a commit), its states are migrated, and lineage, states and registry change in one
//! commit; then it goes on. Before that commit nothing has changed; after it the new component runs, also after kill -9.

mod states;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::bounded;
use refrain_log::ids::Sequence;
use refrain_log::log::Log;
use refrain_plugin::{About, Plugin, PluginKind};
use refrain_state::commit::{Lineage, State};
use refrain_state::registry::Decision;
use serde::{Deserialize, Serialize};
use serde_spanned::Spanned;

use crate::error::{Error, Result};
use crate::host::{Host, load_reading};
use crate::pipeline::{Plan, PlannedNode};
use crate::receipt::How;
use crate::run::{Ask, Swap};
use crate::status::Phase;
use crate::task::NodeSetup;
use crate::versions::{NodeVersions, Version, VersionName, Versions, entry};

pub(crate) use self::states::{copied, taken_over};

/// How long an upgrade waits until the node stands at a commit.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a version was built from before, and how the present build took over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Takeovers {
    /// How the present build took over.
    pub how: How,
    /// The cut at which it did.
    pub since: Sequence,
    /// What was before, the first one first.
    pub past: Vec<Past>,
}

/// A build that another one has taken over from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// Digest of its component, hex.
    pub component: String,
    /// The node as planned.
    pub plan: serde_json::Value,
    /// How it took over.
    pub how: How,
    /// The cut at which it did.
    pub since: Sequence,
}

/// An upgrade.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpgradeOrder {
    /// Node, view or topic.
    pub name: String,
    /// Another component than the pipeline file names: how it is called, and its bytes.
    pub component: Option<(String, Vec<u8>)>,
    /// Back to the component before.
    pub back: bool,
}

/// An upgrade that was done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upgraded {
    /// The node, as a version.
    pub node: String,
    /// How the component took over.
    pub how: How,
    /// The cut at which it did.
    pub cut: Sequence,
    /// Digest of the component before.
    pub was: String,
    /// Digest of the component now.
    pub is: String,
    /// Versions of the states before and now.
    pub state_versions: (u32, u32),
    /// States taken over.
    pub states: u64,
    /// How long the node stood still, in microseconds; none: it did not run.
    pub pause_us: Option<u64>,
}

/// A build that is to take over.
struct Heir {
    planned: PlannedNode,
    plugin: Plugin,
    how: How,
    /// The pipeline that it was planned in; none: it is a build that ran before.
    plan: Option<Plan>,
}

/// How a component may take over from another one; the error says why not and what to do.
pub fn way(node: &str, was: &About, is: &About) -> std::result::Result<How, String> {
    let replay = format!("`refrain replay {node}` computes its results from the log");
    if was.kind != is.kind {
        return Err(format!(
            "its plugin is of another kind: there are no states to go on from; {replay}"
        ));
    }
    let export = match is.kind {
        PluginKind::Process => "impl MigrateProcess, and export_process!(Name, migrate)",
        PluginKind::Fold | PluginKind::Transform => "impl Migrate, and export_fold!(Name, migrate)",
    };
    match (was.state_version, is.state_version) {
        (old, new) if old == new => Ok(How::Replace),
        (old, new) if new < old => Err(format!(
            "its states are of version {old}, and the component has version {new}: states are not taken back; {replay}"
        )),
        _ if is.migrates => Ok(How::Migrate),
        (old, new) => Err(format!(
            "its states are of version {old}, the component has version {new} and exports no `migrate`. There are two \
             ways: give the plugin a `migrate` (Rust: {export}), or {replay} beside the version that runs"
        )),
    }
}

impl Version {
    /// Lets another build take over at a cut.
    pub(crate) fn take_over(
        &mut self,
        component: &str,
        planned: &PlannedNode,
        how: How,
        cut: Sequence,
    ) {
        let plan = serde_json::to_value(planned).expect("a plan is always JSON");
        let past = Past {
            component: std::mem::replace(&mut self.component, component.to_owned()),
            plan: std::mem::replace(&mut self.plan, plan),
            how: self.takeovers.how,
            since: self.takeovers.since,
        };
        self.takeovers.past.push(past);
        (self.takeovers.how, self.takeovers.since) = (how, cut);
        self.validated = None;
    }

    /// The node as planned for each of its builds, the present one last.
    pub(crate) fn builds(&self) -> Result<Vec<PlannedNode>> {
        let past = self.takeovers.past.iter().map(|past| {
            PlannedNode::deserialize(&past.plan).map_err(|error| {
                Error::Refused(format!("what a node was before cannot be read ({error})"))
            })
        });
        past.chain([self.planned()]).collect()
    }

    /// Digests of all components that its results come from.
    pub(crate) fn components(&self) -> impl Iterator<Item = &String> {
        let past = self.takeovers.past.iter().map(|past| &past.component);
        past.chain([&self.component])
    }
}

impl Host {
    /// Lets another component take over the live version of a node.
    pub fn upgrade(&self, order: &UpgradeOrder) -> Result<Upgraded> {
        let (node, known) = self.node_versions(&order.name)?;
        let name = VersionName::new(&node, known.reading.live);
        let version = &known.versions[&name.number];
        let heir = match order.back {
            true => self.forebear(&node, version)?,
            false => self.heir(&node, version, order)?,
        };
        let is_at_work = self.is_running() && !self.is_stopped(&name);
        let names = [name.to_string()];
        let held = match is_at_work {
            true => Some(self.meet_or_run(&names, Some(PATIENCE))?),
            false => None,
        };
        let began = now();
        let mut upgraded = self.commit_upgrade(&name, version, &heir)?;
        if self.is_running() {
            self.swap(&name, version, &heir)?;
            upgraded.pause_us = Some(began.elapsed().as_micros() as u64);
        }
        drop(held);
        Ok(upgraded)
    }

    fn is_stopped(&self, name: &VersionName) -> bool {
        matches!(self.board.get(&name.to_string()), Phase::Stopped(_))
    }

    /// The node as the pipeline file has it now, with the component ordered; refused when more than that differs.
    fn heir(&self, node: &str, version: &Version, order: &UpgradeOrder) -> Result<Heir> {
        let mut declaration = self.project().declaration()?;
        if let Some((label, _)) = &order.component {
            let its = declaration.nodes.iter_mut();
            for declared in its.filter(|n| n.name.get_ref() == node) {
                declared.plugin = Spanned::new(declared.plugin.span(), label.clone());
            }
        }
        let read = |name: &str| match &order.component {
            Some((label, bytes)) if label == name => Ok(bytes.clone()),
            _ => self.project().read_component(name),
        };
        let loaded = load_reading(&declaration, &read, &mut self.loader())?;
        let place = loaded.plan.nodes.iter().position(|n| n.name == node);
        let place = place.ok_or_else(|| {
            Error::Refused(format!("node {node} is not in the pipeline file any more"))
        })?;
        let (planned, plugin) = (&loaded.plan.nodes[place], &loaded.plugins[place]);
        self.refuse_other_topics(&loaded.plan, planned)?;
        if plugin.digest().to_string() == version.component {
            return Err(Error::Refused(format!(
                "node {node} runs this component already ({})",
                version.component
            )));
        }
        let was = version.planned()?;
        if planned.configuration() != was.configuration() {
            return Err(Error::Refused(format!(
                "node {node}: more than its component would change; `refrain plan` shows what, and `refrain replay \
                 {node}` builds a version with it. An upgrade changes the component alone"
            )));
        }
        let how = way(node, &was.about, &planned.about).map_err(refused(node))?;
        self.components.keep(&read(&planned.plugin)?)?;
        Ok(Heir {
            planned: planned.clone(),
            plugin: plugin.clone(),
            how,
            plan: Some(loaded.plan.clone()),
        })
    }

    /// The build before the present one.
    fn forebear(&self, node: &str, version: &Version) -> Result<Heir> {
        let Some(past) = version.takeovers.past.last() else {
            return Err(Error::Refused(format!(
                "node {node} was not upgraded: there is nothing to go back to. `refrain rollback {node}` undoes a cutover"
            )));
        };
        if version.takeovers.how == How::Migrate {
            return Err(Error::Refused(format!(
                "node {node}: its states were migrated, and there is no way back for states; `refrain replay {node} \
                 --plugin data/components/{}.wasm` builds a version of the component before beside this one",
                past.component
            )));
        }
        let planned = PlannedNode::deserialize(&past.plan).map_err(|error| {
            Error::Refused(format!(
                "node {node}: what it was before cannot be read ({error})"
            ))
        })?;
        let bytes = self.components.get(&past.component)?;
        let plugin = self.loader().load_for(&planned, &bytes)?;
        Ok(Heir {
            planned,
            plugin,
            how: How::Replace,
            plan: None,
        })
    }

    /// One commit: states, lineage, registry.
    fn commit_upgrade(
        &self,
        name: &VersionName,
        version: &Version,
        heir: &Heir,
    ) -> Result<Upgraded> {
        let was = version.planned()?;
        let component = heir.plugin.digest().to_string();
        let planned = heir.planned.of_version(name.number, &version.inputs);
        let from = was.about.state_version;
        let (commit, states) = taken_over(&self.state, &planned, &heir.plugin, heir.how, from)?;
        let (cut, made) = (commit.cut, commit_number(&self.state, &planned.name));
        self.state.decide_with(|registry| {
            let versions = Versions::read(registry)?;
            if let Some(plan) = &heir.plan {
                self.refuse_other_topics(plan, &heir.planned)?;
            }
            let known = versions.node(&name.name).cloned();
            let unchanged = commit_number(&self.state, &planned.name) == made;
            let Some(mut known) = known.filter(|known| unchanged && is_still(known, name, version))
            else {
                return Err(Error::Refused(format!(
                    "node {name} changed meanwhile; run the command again"
                )));
            };
            let changed = known.versions.get_mut(&name.number);
            let changed = changed.expect("looked up just now");
            changed.take_over(&component, &heir.planned, heir.how, cut);
            let decision = Decision {
                entries: vec![entry(&name.name, &known)],
                forget: Vec::new(),
            };
            Ok((decision, vec![commit], ()))
        })?;
        Ok(Upgraded {
            node: planned.name,
            how: heir.how,
            cut,
            was: version.component.clone(),
            is: component,
            state_versions: (from, heir.planned.about.state_version),
            states,
            pause_us: None,
        })
    }

    /// Lets the run in progress go on with the new component.
    fn swap(&self, name: &VersionName, version: &Version, heir: &Heir) -> Result<()> {
        let planned = heir.planned.of_version(name.number, &version.inputs);
        let setup = setup(&self.log, planned, heir.plugin.clone())?;
        let (reply, answer) = bounded(1);
        self.ask_run(Ask::Swap(Swap { setup, reply }));
        loop {
            match answer.recv_timeout(Duration::from_millis(100)) {
                Ok(done) => return done,
                // The next run begins with it.
                Err(_) if !self.is_running() => return Ok(()),
                Err(_) => {}
            }
        }
    }
}

fn is_still(known: &NodeVersions, name: &VersionName, version: &Version) -> bool {
    let now = known.versions.get(&name.number);
    now.is_some_and(|now| now.component == version.component && now.takeovers == version.takeovers)
}

fn commit_number(state: &State, node: &str) -> u64 {
    state.node(node).map_or(0, |last| last.commit)
}

fn setup(log: &Log, plan: PlannedNode, plugin: Plugin) -> Result<Arc<NodeSetup>> {
    let topics = plan.input_topics().into_iter().map(|name| {
        let topic = log.topic(&name);
        topic.ok_or_else(|| Error::Refused(format!("there is no topic {name}")))
    });
    let topics = topics.collect::<Result<_>>()?;
    Ok(Arc::new(NodeSetup {
        plan,
        plugin,
        topics,
        sample: None,
    }))
}

/// What a node's results are made by.
pub(crate) fn lineage(planned: &PlannedNode, plugin: &Plugin) -> Lineage {
    Lineage {
        component: plugin.digest().to_string(),
        configuration: planned.configuration(),
    }
}

fn refused(node: &str) -> impl Fn(String) -> Error {
    move |why| Error::Refused(format!("node {node} is not upgraded: {why}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures a pause, decides nothing"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(kind: PluginKind, state_version: u32, migrates: bool) -> About {
        About {
            name: "p".into(),
            version: "1".into(),
            doc: String::new(),
            kind,
            inputs: Vec::new(),
            outputs: Vec::new(),
            wants_keys: false,
            merges: false,
            migrates,
            state_version,
            settings: Vec::new(),
            process: None,
        }
    }

    #[test]
    fn states_are_taken_as_they_are_migrated_or_refused() {
        use PluginKind::{Fold, Transform};
        let of = |was: (PluginKind, u32), is: (PluginKind, u32, bool)| {
            way("n", &about(was.0, was.1, false), &about(is.0, is.1, is.2))
        };
        assert_eq!(of((Fold, 1), (Fold, 1, false)), Ok(How::Replace));
        assert_eq!(of((Transform, 1), (Transform, 1, false)), Ok(How::Replace));
        assert_eq!(of((Fold, 1), (Fold, 2, true)), Ok(How::Migrate));
        assert_eq!(of((Fold, 1), (Fold, 9, true)), Ok(How::Migrate));
        assert_eq!(of((Fold, 1), (Fold, 1, true)), Ok(How::Replace));
        let refusal = of((Fold, 1), (Fold, 2, false)).unwrap_err();
        assert!(refusal.contains("two ways") && refusal.contains("refrain replay n"));
        assert!(
            of((Fold, 2), (Fold, 1, true))
                .unwrap_err()
                .contains("not taken back")
        );
        assert!(
            of((Fold, 1), (Transform, 1, false))
                .unwrap_err()
                .contains("another kind")
        );
    }
}
