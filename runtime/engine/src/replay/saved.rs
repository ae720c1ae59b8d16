//! A replay that begins at a savepoint: the versions that were live in it, with their states, the rows of their views and
//! their topics as they were, go on under the builds that were ordered, as candidates. So a running total can be built whose
//! first rows retention has taken, and what came since can be computed anew without all that was before.
//!
//! In the registry a new version is the saved one, whose last build was taken over from at the cut where it stood. So
//! receipts, proofs and comparisons know it as they know an upgrade. A topic of the group begins with the rows that the
//! saved version had written: its readers stand in it where they stood in the old one. Entries, states and rows of views are
//! one commit; what was carried over into topics before it is dropped when the commit does not come.

use std::collections::BTreeMap;

use refrain_log::ids::Sequence;
use refrain_plugin::Plugin;
use refrain_state::commit::{NodeCommit, NodeState};
use refrain_state::registry::Decision;

use super::{Planned, going_on, is_same};
use crate::carry::carry;
use crate::changes::fields;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::keep::Opened;
use crate::pipeline::{Output, PlannedNode};
use crate::receipt::How;
use crate::receipt::chain::writer;
use crate::upgrade::{copied, way};
use crate::versions::request::{ReplayOrder, Replaying};
use crate::versions::{NodeVersions, Version, VersionName, Versions, entry};

/// Parts of a configuration that may differ: what they say holds from the cut on.
const MAY_DIFFER: [&str; 2] = ["options", "on_trap"];

/// The version of a savepoint that is gone on from.
struct Saved {
    name: VersionName,
    version: Version,
    last: NodeState,
}

/// A node that goes on.
struct Heir<'p> {
    saved: Saved,
    /// The versions that the node has.
    known: NodeVersions,
    /// The new one.
    version: Version,
    /// Its number, when it has one.
    number: u32,
    planned: PlannedNode,
    plugin: &'p Plugin,
    how: How,
    /// Version of the states that it takes.
    from: u32,
}

impl Heir<'_> {
    fn node(&self) -> &str {
        &self.planned.name
    }

    fn name(&self) -> VersionName {
        VersionName::new(self.node(), self.number)
    }

    /// The node under the names of the new version.
    fn own(&self) -> PlannedNode {
        self.planned.of_version(self.number, &self.version.inputs)
    }

    /// The topic that it writes, as the savepoint has it and as it is called now.
    fn topics(&self) -> Option<(String, String)> {
        let Output::Topic(topic) = &self.planned.output else {
            return None;
        };
        let of = |number| VersionName::new(topic, number).to_string();
        Some((of(self.saved.name.number), of(self.number)))
    }

    fn writes(&self, topic: &str) -> bool {
        self.planned.output == Output::Topic(topic.to_owned())
    }
}

/// Gives each heir a number, as it is chosen for it, after those whose topics it reads; whether each has got one.
fn number(
    heirs: &mut [Heir<'_>],
    choose: impl Fn(&NodeVersions, &Version) -> Result<Option<u32>>,
) -> Result<bool> {
    for place in 0..heirs.len() {
        let (before, rest) = heirs.split_at_mut(place);
        let heir = &mut rest[0];
        for other in before {
            if let Output::Topic(topic) = &other.planned.output
                && heir.planned.reads(topic)
            {
                heir.version.inputs.insert(topic.clone(), other.number);
            }
        }
        match choose(&heir.known, &heir.version)? {
            Some(number) => heir.number = number,
            None => return Ok(false),
        }
    }
    Ok(true)
}

impl Host {
    /// Begins a replay at a savepoint, or goes on with the one that is just this. The caller keeps files, so that nothing
    /// that is gone on from is removed before the new versions stand there and need it.
    pub(super) fn replay_saved(
        &self,
        order: &ReplayOrder,
        planned: &Planned,
        savepoint: &str,
    ) -> Result<Replaying> {
        let versions = self.versions()?;
        let opened = self.open_savepoint(savepoint)?;
        let mut heirs = Vec::new();
        for node in &planned.nodes {
            let heir = self.heir_of(order, planned, node, (&versions, &opened), &heirs)?;
            heirs.push(heir);
        }
        let goal = self.log.durable();
        let is_resumed = number(&mut heirs, going_on)?;
        if !is_resumed {
            number(&mut heirs, |known, _| Ok(Some(known.next)))?;
        }
        let mut same = true;
        for heir in &heirs {
            same &= is_same(
                &heir.known.versions[&heir.known.reading.live],
                &heir.version,
            )?;
        }
        match is_resumed {
            true => self.go_on(order, &heirs)?,
            false => self.take_over_saved(&opened, &heirs)?,
        }
        let names = heirs.iter().map(Heir::name).collect();
        self.begun(planned, names, is_resumed, same, goal)
    }

    /// The rate that is ordered counts for candidates that are there.
    fn go_on(&self, order: &ReplayOrder, heirs: &[Heir<'_>]) -> Result<()> {
        let entries = heirs.iter().map(|heir| {
            let mut known = heir.known.clone();
            let version = known.versions.get_mut(&heir.number);
            version.expect("just found").rate = order.rate;
            entry(heir.node(), &known)
        });
        let decision = Decision {
            entries: entries.collect(),
            forget: Vec::new(),
        };
        self.state.decide(|_| Ok::<_, Error>((decision, ())))
    }

    /// A node of the group as it would go on; refused when it cannot.
    fn heir_of<'p>(
        &self,
        order: &ReplayOrder,
        planned: &'p Planned,
        node: &str,
        (versions, opened): (&Versions, &Opened),
        before: &[Heir<'_>],
    ) -> Result<Heir<'p>> {
        let (known, mut version) =
            self.candidate(planned, node, versions, &BTreeMap::new(), order)?;
        let saved = saved(opened, node)?;
        let (was, is) = (saved.version.planned()?, version.planned()?);
        let refused = |why: String| {
            Error::Refused(format!(
                "node {node} cannot go on from savepoint {}: {why}",
                opened.name
            ))
        };
        fits(&was, &is).map_err(refused)?;
        let how = way(node, &was.about, &is.about).map_err(refused)?;
        self.same_inputs((versions, opened), &saved, &version, before)
            .map_err(refused)?;
        self.same_output(versions, &saved, &was).map_err(refused)?;
        opened.give_components(&self.components, saved.version.components())?;
        let mut heir = saved.version.clone();
        heir.take_over(&version.component, &is, how, saved.last.cut);
        version.start = saved.version.start;
        version.takeovers = heir.takeovers;
        let place = planned
            .loaded
            .plan
            .nodes
            .iter()
            .position(|n| n.name == node);
        Ok(Heir {
            from: was.about.state_version,
            plugin: &planned.loaded.plugins[place.expect("chosen from the plan")],
            planned: is,
            number: 0,
            saved,
            known,
            version,
            how,
        })
    }

    /// Writes what the savepoint has under the names of the new versions: topics first, the rest in one commit.
    fn take_over_saved(&self, opened: &Opened, heirs: &[Heir<'_>]) -> Result<()> {
        let done = self.write_saved(opened, heirs);
        if done.is_err() {
            let topics = heirs.iter().flat_map(|heir| heir.own().derived_topics());
            for topic in topics {
                // What stays is dropped when the project is opened next.
                let _ = self.log.drop_derived(&topic.name);
            }
        }
        done
    }

    fn write_saved(&self, opened: &Opened, heirs: &[Heir<'_>]) -> Result<()> {
        let topics: BTreeMap<String, String> = heirs.iter().filter_map(Heir::topics).collect();
        let mut commits: Vec<NodeCommit> = Vec::new();
        for heir in heirs {
            let (own, from) = (heir.own(), heir.saved.name.to_string());
            self.declare(&own)?;
            if let Some((was, is)) = heir.topics() {
                let topic = self.log.topic(&was);
                let topic = topic.expect("looked at before anything was written");
                carry(&topic, Sequence(0), &heir.saved.last, (&self.log, &is))?;
            }
            let (commit, _) = copied(
                &opened.state,
                (&from, &topics),
                &own,
                heir.plugin,
                heir.how,
                heir.from,
            )?;
            commits.push(commit);
        }
        self.state.decide_with(|registry| {
            let versions = Versions::read(registry)?;
            let mut entries = Vec::new();
            for heir in heirs {
                let node = heir.node();
                if versions.node(node) != Some(&heir.known) {
                    return Err(Error::Refused(format!(
                        "node {node} changed meanwhile; run the command again"
                    )));
                }
                let mut known = heir.known.clone();
                let number = known.add(heir.version.clone());
                debug_assert_eq!(number, heir.number);
                entries.push(entry(node, &known));
            }
            let decision = Decision {
                entries,
                forget: Vec::new(),
            };
            Ok((decision, commits, ()))
        })
    }

    /// What the version read up to the cut of the savepoint is what the new one goes on reading, and all of it is there.
    fn same_inputs(
        &self,
        (versions, opened): (&Versions, &Opened),
        saved: &Saved,
        new: &Version,
        group: &[Heir<'_>],
    ) -> std::result::Result<(), String> {
        let told = |error: Error| error.to_string();
        let before = Versions::read(&opened.state.registry()).map_err(told)?;
        let planned = saved.version.planned().map_err(told)?;
        for input in &planned.inputs {
            let topic = &input.topic;
            let number = saved.version.inputs.get(topic).copied().unwrap_or(1);
            match group.iter().find(|heir| heir.writes(topic)) {
                Some(heir) if heir.saved.name.number != number => {
                    return Err(format!(
                        "it read version {number} of topic {topic} there, and version {} of node {} was the one that others \
                         read. Replay it from the beginning",
                        heir.saved.name.number,
                        heir.node()
                    ));
                }
                None if input.derived => {
                    same_writer(versions, &before, topic, (&saved.version, new))?;
                }
                _ => {}
            }
            let name = VersionName::new(topic, number).to_string();
            let found = self.log.topic(&name);
            let found = found.ok_or_else(|| format!("topic {name} is not there any more"))?;
            for partition in 0..found.spec().partitions {
                let kept = found.kept(partition).map_err(|e| e.to_string())?;
                if kept.removed_up_to > saved.last.cut {
                    return Err(format!(
                        "it stands at cut {}, and retention has removed rows of topic {name} up to sequence {}; go on from a \
                         later savepoint",
                        saved.last.cut, kept.removed_up_to
                    ));
                }
            }
        }
        Ok(())
    }

    /// The topic that the version wrote is there, and was not written anew since.
    fn same_output(
        &self,
        versions: &Versions,
        saved: &Saved,
        was: &PlannedNode,
    ) -> std::result::Result<(), String> {
        let Output::Topic(topic) = &was.output else {
            return Ok(());
        };
        let known = versions.node(&saved.name.name);
        let version = known.and_then(|known| known.versions.get(&saved.name.number));
        let topic = VersionName::new(topic, saved.name.number).to_string();
        match version {
            Some(version)
                if version.made == saved.version.made && self.log.topic(&topic).is_some() =>
            {
                Ok(())
            }
            _ => Err(format!(
                "topic {topic}, as version {} of it wrote it, is not there any more: that version was retired, or written \
                 anew, since the savepoint was made. Replay it from the beginning",
                saved.name.number
            )),
        }
    }
}

/// The version of a node that was live in a savepoint.
fn saved(opened: &Opened, node: &str) -> Result<Saved> {
    let none = || {
        Error::Refused(format!(
            "savepoint {} has no results of node {node}: it had not run when the savepoint was made; replay it from the \
             beginning",
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
        last,
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

/// Whether a derived topic that a version reads is the one that it read before, written by the same version of a node.
fn same_writer(
    versions: &Versions,
    before: &Versions,
    topic: &str,
    (was, is): (&Version, &Version),
) -> std::result::Result<(), String> {
    let told = |error: Error| error.to_string();
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
    let planned = old.planned().map_err(told)?;
    let derived = planned.inputs.iter().filter(|input| input.derived);
    for input in derived {
        same_writer(versions, before, &input.topic, (&old, &new))?;
    }
    Ok(())
}
