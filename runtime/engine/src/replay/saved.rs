//! A replay that begins at a savepoint: the version that was live in it, with its states and the rows of its view as they
//! were at its cut, goes on under the build that was ordered, as a candidate. So a running total can be built whose first
//! rows retention has taken, and what came since can be computed anew without all that was before.
//!
//! In the registry the new version is the saved one, whose last build was taken over from at the cut of the savepoint. So
//! receipts, proofs and comparisons know it as they know an upgrade. Entry, states and rows are one commit.

use std::collections::BTreeMap;

use refrain_log::ids::Sequence;
use refrain_state::registry::Decision;

use super::{Planned, going_on, is_same};
use crate::changes::fields;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::keep::Opened;
use crate::pipeline::{Output, PlannedNode};
use crate::receipt::chain::writer;
use crate::upgrade::{copied, way};
use crate::versions::request::{ReplayOrder, Replaying};
use crate::versions::{Version, VersionName, Versions, entry};

/// Parts of a configuration that may differ: what they say holds from the cut on.
const MAY_DIFFER: [&str; 2] = ["options", "on_trap"];

/// The version of a savepoint that is gone on from.
struct Saved {
    name: VersionName,
    version: Version,
    cut: Sequence,
}

impl Host {
    /// Begins a replay at a savepoint, or goes on with the one that is just this.
    pub(super) fn replay_saved(
        &self,
        order: &ReplayOrder,
        planned: &Planned,
        savepoint: &str,
    ) -> Result<Replaying> {
        let node = &planned.nodes[0];
        // Nothing that is gone on from is removed before the new version stands there and needs it.
        let _keeping = self.keeping();
        let versions = self.versions()?;
        let (known, mut version) =
            self.candidate(planned, node, &versions, &BTreeMap::new(), order)?;
        let opened = self.open_savepoint(savepoint)?;
        let saved = saved(&opened, node)?;
        let (was, is) = (saved.version.planned()?, version.planned()?);
        let refused = |why: String| {
            Error::Refused(format!(
                "node {node} cannot go on from savepoint {}: {why}",
                opened.name
            ))
        };
        fits(&was, &is).map_err(refused)?;
        let how = way(node, &was.about, &is.about).map_err(refused)?;
        self.same_inputs(&versions, &opened, &saved, &version)
            .map_err(refused)?;
        let mut heir = saved.version.clone();
        heir.take_over(&version.component, &is, how, saved.cut);
        version.start = saved.version.start;
        version.takeovers = heir.takeovers;
        let same = is_same(&known.versions[&known.reading.live], &version)?;
        let goal = self.log.durable();
        let mut new = known.clone();
        if let Some(number) = going_on(&known, &version)? {
            let going_on = new.versions.get_mut(&number).expect("just found");
            going_on.rate = order.rate;
            let decision = Decision {
                entries: vec![entry(node, &new)],
                forget: Vec::new(),
            };
            self.state.decide(|_| Ok::<_, Error>((decision, ())))?;
            return self.begun(
                planned,
                vec![VersionName::new(node, number)],
                true,
                same,
                goal,
            );
        }
        opened.give_components(&self.components, version.components())?;
        let inputs = version.inputs.clone();
        let number = new.add(version);
        let name = VersionName::new(node, number);
        let place = planned
            .loaded
            .plan
            .nodes
            .iter()
            .position(|n| n.name == *node);
        let plugin = &planned.loaded.plugins[place.expect("chosen from the plan")];
        let own = is.of_version(number, &inputs);
        let (from, of) = (saved.name.to_string(), was.about.state_version);
        let (commit, _) = copied(&opened.state, &from, &own, plugin, how, of)?;
        self.declare(&own)?;
        self.state.decide_with(|registry| {
            if Versions::read(registry)?.node(node) != Some(&known) {
                return Err(Error::Refused(format!(
                    "node {node} changed meanwhile; run the command again"
                )));
            }
            let decision = Decision {
                entries: vec![entry(node, &new)],
                forget: Vec::new(),
            };
            Ok((decision, vec![commit], ()))
        })?;
        self.begun(planned, vec![name], false, same, goal)
    }

    /// What the version read up to the cut of the savepoint is what the new one goes on reading, and all of it is there.
    fn same_inputs(
        &self,
        versions: &Versions,
        opened: &Opened,
        saved: &Saved,
        new: &Version,
    ) -> std::result::Result<(), String> {
        let told = |error: Error| error.to_string();
        let before = Versions::read(&opened.state.registry()).map_err(told)?;
        same_writers(versions, &before, &saved.version, new)?;
        let planned = new.planned().map_err(told)?;
        for name in planned
            .of_version(saved.name.number, &new.inputs)
            .input_topics()
        {
            let topic = self.log.topic(&name);
            let topic = topic.ok_or_else(|| format!("topic {name} is not there any more"))?;
            for partition in 0..topic.spec().partitions {
                let kept = topic.kept(partition).map_err(|e| e.to_string())?;
                if kept.removed_up_to > saved.cut {
                    return Err(format!(
                        "it stands at cut {}, and retention has removed rows of topic {name} up to sequence {}; go on from a \
                         later savepoint",
                        saved.cut, kept.removed_up_to
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The version of a node that was live in a savepoint.
fn saved(opened: &Opened, node: &str) -> Result<Saved> {
    let none = || {
        Error::Refused(format!(
            "savepoint {} has no results of node {node}: it had not run when the savepoint was made",
            opened.name
        ))
    };
    let versions = Versions::read(&opened.state.registry())?;
    let known = versions.node(node).ok_or_else(none)?;
    let name = VersionName::new(node, known.reading.live);
    let version = known.versions.get(&name.number).ok_or_else(none)?;
    let last = opened.state.node(&name.to_string()).ok_or_else(none)?;
    Ok(Saved {
        version: version.clone(),
        cut: last.cut,
        name,
    })
}

/// Whether a node can go on with what another plan of it has left; why not.
fn fits(was: &PlannedNode, is: &PlannedNode) -> std::result::Result<(), String> {
    let (before, now) = (fields(&was.configuration()), fields(&is.configuration()));
    let mut names: Vec<&String> = before.keys().chain(now.keys()).collect();
    names.sort();
    let differs = |name: &&&String| {
        let may = MAY_DIFFER.contains(&name.as_str());
        !may && before.get(**name) != now.get(**name)
    };
    let Some(name) = names.iter().find(differs) else {
        return Ok(());
    };
    let text = |value: Option<&serde_json::Value>| {
        value.map_or("nothing".to_owned(), serde_json::Value::to_string)
    };
    Err(format!(
        "its {} was {} there, and is {} now; only a component and options may differ. Replay it from the beginning",
        name.replace('_', " "),
        text(before.get(*name)),
        text(now.get(*name))
    ))
}

/// Whether the derived topics that a version reads are those that it read before, written by the same versions of nodes.
fn same_writers(
    versions: &Versions,
    before: &Versions,
    was: &Version,
    is: &Version,
) -> std::result::Result<(), String> {
    let told = |error: Error| error.to_string();
    for input in was
        .planned()
        .map_err(told)?
        .inputs
        .iter()
        .filter(|i| i.derived)
    {
        let topic = &input.topic;
        let number = |version: &Version| version.inputs.get(topic).copied().unwrap_or(1);
        let (old, new) = (number(was), number(is));
        if old != new {
            return Err(format!(
                "it read version {old} of topic {topic} there, and version {new} is read now. Replay it from the beginning"
            ));
        }
        let find = |versions: &Versions| -> Result<Version> {
            let name = writer(versions, topic, new)?;
            let known = versions.node(&name.name);
            let found = known.and_then(|known| known.versions.get(&name.number));
            Ok(found.expect("it writes the topic").clone())
        };
        let (old, new) = (find(before).map_err(told)?, find(versions).map_err(told)?);
        if old.made != new.made {
            return Err(format!(
                "topic {topic} has been written anew since the savepoint was made. Replay it from the beginning"
            ));
        }
        same_writers(versions, before, &old, &new)?;
    }
    Ok(())
}

/// Refuses what cannot begin at a savepoint, whatever it holds.
pub(super) fn refuse_kind(planned: &PlannedNode, nodes: &[String]) -> Result<()> {
    let name = &planned.name;
    if let Output::Topic(topic) = &planned.output {
        return Err(Error::Refused(format!(
            "node {name} writes topic {topic}, and a savepoint goes on with states and rows of views: the new topic would lack \
             the rows before it. Replay {name} from the beginning"
        )));
    }
    if nodes.len() > 1 {
        return Err(Error::Refused(format!(
            "a replay from a savepoint builds one node; replay {name} without --downstream"
        )));
    }
    Ok(())
}
