//! Cutover, rollback and retiring: what is asked is brought to one cut, decided purely, and written as one commit.

use std::collections::BTreeMap;
use std::time::Duration;

use refrain_log::ids::Sequence;
use refrain_log::topic::Origin;
use refrain_state::registry::Decision;

use super::request::{CutoverOrder, Moved, Requirement, Retired};
use super::{NodeVersions, Standing, VersionName, Versions, decide, entry};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::run::{Ask, Terms};

/// How long a move waits until the versions stand at one cut.
const PATIENCE: Duration = Duration::from_secs(10);

impl Host {
    /// Lets consumers read another version, all at once: what they read next is at least at the cut that they read last.
    ///
    /// When the node writes a topic, the nodes that read it move along, each to its candidate that reads the new topic.
    pub fn cutover(&self, order: &CutoverOrder) -> Result<Moved> {
        let (node, known) = self.node_versions(&order.name)?;
        let to = match order.version {
            Some(version) => version,
            None => newest_candidate(&node, &known)?,
        };
        let versions = self.versions()?;
        let mut moves = BTreeMap::new();
        self.add_moves(&versions, &node, to, &mut moves)?;
        if moves.len() > 1 && !order.consumers.is_empty() {
            return Err(Error::Refused(format!(
                "node {node} writes a topic: all its readers move together; leave out --consumer"
            )));
        }
        for (node, to) in &moves {
            self.require(&versions, node, *to, &order.require)?;
        }
        let checks = self.checks_of_moves(&moves, &order.require)?;
        let involved = moves.iter().flat_map(|(node, to)| {
            let read = versions.node(node).map(|known| known.reading.live);
            [Some(*to), read]
                .into_iter()
                .flatten()
                .map(|v| VersionName::new(node, v))
        });
        let mut involved: Vec<VersionName> = involved.collect();
        involved.extend(
            known
                .reading
                .consumers
                .values()
                .map(|v| VersionName::new(&node, *v)),
        );
        self.move_at_one_cut(&involved, |versions| {
            for (node, check) in &checks {
                self.require_check(node, known_in(versions, node)?, moves[node], check)?;
            }
            let mut moved = Vec::new();
            for (node, to) in &moves {
                let known = known_in(versions, node)?;
                let cuts = |v| self.cut_of(&VersionName::new(node, v));
                let then = decide::cutover(node, known, *to, &order.consumers, &cuts);
                let from = known
                    .reading
                    .of(order.consumers.first().map(String::as_str));
                moved.push((node.clone(), from, *to, then.map_err(Error::Refused)?));
            }
            Ok(moved)
        })
    }

    /// Lets everybody, or one consumer, read what they read before the last move. Nodes that read the node's topic go back
    /// along with it.
    pub fn rollback(&self, name: &str, consumer: Option<&str>) -> Result<Moved> {
        let (node, _) = self.node_versions(name)?;
        let versions = self.versions()?;
        // Who is involved does not depend on how far each has got.
        let mut planned = Vec::new();
        self.add_rollbacks(&versions, &node, consumer, &|_| Sequence(0), &mut planned)?;
        let mut involved = Vec::new();
        for (node, _, _, then) in &planned {
            let readings = [&known_in(&versions, node)?.reading, &then.reading];
            let read = readings
                .iter()
                .flat_map(|r| r.consumers.values().chain([&r.live]));
            involved.extend(read.map(|v| VersionName::new(node, *v)));
        }
        involved.sort();
        involved.dedup();
        self.move_at_one_cut(&involved, |versions| {
            let mut moved = Vec::new();
            let cuts = |version: &VersionName| self.cut_of(version);
            self.add_rollbacks(versions, &node, consumer, &cuts, &mut moved)?;
            for (node, _, _, then) in &moved {
                self.refuse_parting(versions, node, then, &moved)?;
            }
            Ok(moved)
        })
    }

    /// The node's way back, and for what it writes the ways back of all who read it.
    fn add_rollbacks(
        &self,
        versions: &Versions,
        node: &str,
        consumer: Option<&str>,
        cuts: &dyn Fn(&VersionName) -> Sequence,
        moved: &mut Vec<(String, u32, u32, NodeVersions)>,
    ) -> Result<()> {
        let known = known_in(versions, node)?;
        let cut = |v| cuts(&VersionName::new(node, v));
        let then = decide::rollback(node, known, consumer, &cut).map_err(Error::Refused)?;
        let (from, to) = (known.reading.of(consumer), then.reading.of(consumer));
        let parts = then.reading.live != known.reading.live;
        moved.push((node.to_owned(), from, to, then));
        if !parts {
            return Ok(());
        }
        let left = VersionName::new(node, known.reading.live);
        for reader in self.readers_of(versions, &left)? {
            let known = known_in(versions, &reader.name)?;
            let moves = moved.iter().any(|(name, ..)| *name == reader.name);
            if known.reading.includes(reader.number) && !moves {
                self.add_rollbacks(versions, &reader.name, None, cuts, moved)?;
            }
        }
        Ok(())
    }

    /// Takes a version away: its state, its view, its topics, and its component when no other version has it.
    pub fn retire(&self, name: &str, number: u32, confirm: bool) -> Result<Retired> {
        let (node, _) = self.node_versions(name)?;
        let version = VersionName::new(&node, number);
        let left = |versions: &Versions| -> Result<NodeVersions> {
            let readers = self.readers_of(versions, &version)?;
            let readers: Vec<String> = readers.iter().map(ToString::to_string).collect();
            decide::retire(&node, known_in(versions, &node)?, number, &readers)
                .map_err(Error::Refused)
        };
        left(&*self.versions()?)?;
        let mut retired = self.what_it_holds(&version)?;
        if !confirm {
            return Ok(retired);
        }
        if self.is_running() {
            self.leave(&version)?;
        }
        self.state.decide(|registry| {
            let left = left(&Versions::read(registry)?)?;
            let decision = Decision {
                entries: vec![entry(&node, &left)],
                forget: vec![version.to_string()],
            };
            Ok::<_, Error>((decision, ()))
        })?;
        for (topic, _) in &retired.topics {
            self.log.drop_derived(topic)?;
        }
        let versions = self.versions()?;
        let all = versions.nodes().flat_map(|(_, n)| n.versions.values());
        let kept: Vec<String> = all.flat_map(|v| v.components().cloned()).collect();
        self.components.retain(&kept)?;
        retired.done = true;
        Ok(retired)
    }

    fn leave(&self, version: &VersionName) -> Result<()> {
        let (gone, wait) = crossbeam::channel::bounded(1);
        self.ask_run(Ask::Leave(vec![version.to_string()], gone));
        // Nobody sends: the last sender is dropped when all are gone.
        while let Err(crossbeam::channel::RecvTimeoutError::Timeout) =
            wait.recv_timeout(Duration::from_millis(100))
        {
            if !self.is_running() {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn what_it_holds(&self, version: &VersionName) -> Result<Retired> {
        let name = version.to_string();
        let views = self.state.views();
        let view = views.iter().find(|v| v.spec().node == name);
        let (rows, bytes) = view.map_or((0, 0), |v| (v.state().rows, v.state().bytes));
        let (_, known) = self.node_versions(&version.name)?;
        let kept = known
            .versions
            .get(&version.number)
            .ok_or_else(|| Error::Refused(format!("node {} has no such version", version.name)))?;
        let planned = kept.planned()?.of_version(version.number, &kept.inputs);
        let topics = planned.derived_topics().into_iter();
        let topics = topics.filter_map(|spec| self.log.topic(&spec.name));
        let topics: Vec<_> = topics
            .filter(|t| t.spec().origin == Origin::Derived)
            .map(|t| {
                let rows = (0..t.spec().partitions)
                    .map(|p| t.end(p).0 - t.start(p).0)
                    .sum();
                (t.spec().name.clone(), rows, t.bytes())
            })
            .collect();
        Ok(Retired {
            name,
            rows,
            bytes: bytes + topics.iter().map(|t| t.2).sum::<u64>(),
            topics: topics
                .into_iter()
                .map(|(name, rows, _)| (name, rows))
                .collect(),
            done: false,
        })
    }

    /// The node's move, and for what it writes the moves of all who read it.
    fn add_moves(
        &self,
        versions: &Versions,
        node: &str,
        to: u32,
        moves: &mut BTreeMap<String, u32>,
    ) -> Result<()> {
        moves.insert(node.to_owned(), to);
        let from = versions.live(node);
        let new = self.readers_of(versions, &VersionName::new(node, to))?;
        for reader in self.readers_of(versions, &from)? {
            let Some(known) = versions.node(&reader.name) else {
                continue;
            };
            if !known.reading.includes(reader.number) || moves.contains_key(&reader.name) {
                continue;
            }
            let its = new
                .iter()
                .filter(|v| v.name == reader.name)
                .map(|v| v.number)
                .max();
            let Some(its) = its else {
                return Err(Error::Refused(format!(
                    "node {} reads what {from} writes and has no candidate that reads what version {to} writes: its results \
                     would mix two versions; build one with `refrain replay {node} --downstream`",
                    reader.name
                )));
            };
            self.add_moves(versions, &reader.name, its, moves)?;
        }
        Ok(())
    }

    /// A topic is not taken away from under a version that is read.
    fn refuse_parting(
        &self,
        versions: &Versions,
        node: &str,
        then: &NodeVersions,
        moved: &[(String, u32, u32, NodeVersions)],
    ) -> Result<()> {
        let live = known_in(versions, node)?.reading.live;
        if live == then.reading.live {
            return Ok(());
        }
        let left = VersionName::new(node, live);
        for reader in self.readers_of(versions, &left)? {
            let own = moved.iter().find(|(name, ..)| *name == reader.name);
            let after = match own {
                Some((.., then)) => then,
                None => known_in(versions, &reader.name)?,
            };
            if after.reading.includes(reader.number) {
                return Err(Error::Refused(format!(
                    "node {} is read in version {}, which reads {left}, and has no way back to one that does not; roll that \
                     back first",
                    reader.name, reader.number
                )));
            }
        }
        Ok(())
    }

    fn require(
        &self,
        versions: &Versions,
        node: &str,
        to: u32,
        require: &[Requirement],
    ) -> Result<()> {
        let known = known_in(versions, node)?;
        let Some(version) = known.versions.get(&to) else {
            return Ok(());
        };
        let live = known.reading.live;
        for requirement in require {
            match requirement {
                // Of the rows at the cut of the move, when there is one.
                Requirement::Check(_) => {}
                Requirement::Validated => {
                    let against = version.validated.as_ref().filter(|v| v.against == live);
                    if against.is_none() && version.planned()?.output_topic.is_none() {
                        return Err(Error::Refused(format!(
                            "version {to} of node {node} was not validated against version {live}, which is read now: run \
                             `refrain validate {node} --candidate {to}`"
                        )));
                    }
                }
                Requirement::Lag(most_us) => {
                    let lag_us = self.lag_us(&VersionName::new(node, to))?;
                    if lag_us >= *most_us {
                        return Err(Error::Refused(format!(
                            "version {to} of node {node} is {} behind, which is not less than {}; let it catch up first",
                            crate::pipeline::units::duration_text(lag_us),
                            crate::pipeline::units::duration_text(*most_us)
                        )));
                    }
                }
            }
        }
        Ok(())
    }

    /// Checks that are asked for, each with the node of the move that keeps its view.
    fn checks_of_moves(
        &self,
        moves: &BTreeMap<String, u32>,
        require: &[Requirement],
    ) -> Result<Vec<(String, String)>> {
        let mut checks = Vec::new();
        for requirement in require {
            let Requirement::Check(check) = requirement else {
                continue;
            };
            let view = self.check_view(check)?;
            let keeps = |node: &&String| {
                super::view_of(self.declaration(), node).as_deref() == Some(view.as_str())
            };
            let node = moves.keys().find(keeps).ok_or_else(|| {
                Error::Refused(format!(
                    "check {check} is about view {view}, which is not part of this move"
                ))
            })?;
            checks.push((node.clone(), check.clone()));
        }
        Ok(checks)
    }

    /// How long the oldest source frame has waited that a version has not taken, in microseconds.
    pub(crate) fn lag_us(&self, version: &VersionName) -> Result<i64> {
        let cut = self.cut_of(version);
        let mut oldest = None;
        for topic in self.log.topics() {
            let spec = topic.spec();
            if spec.origin != Origin::Source || spec.name.ends_with(".rejected") {
                continue;
            }
            for partition in 0..spec.partitions {
                // What is gone, nobody waits for.
                let after = cut.max(topic.kept(partition)?.removed_up_to);
                let mut cursor = topic.cursor_after(partition, after)?;
                if let Some(frame) = cursor.next(Sequence(u64::MAX))? {
                    let time = frame.header().append_time;
                    oldest = Some(oldest.map_or(time, |o| time.min(o)));
                }
            }
        }
        Ok(oldest.map_or(0, |time| (self.log.now().0 - time.0).max(0)))
    }

    /// Brings versions to one cut, decides, and writes the decision.
    fn move_at_one_cut(
        &self,
        involved: &[VersionName],
        decide: impl FnOnce(&Versions) -> Result<Vec<(String, u32, u32, NodeVersions)>>,
    ) -> Result<Moved> {
        let names: Vec<String> = involved.iter().map(ToString::to_string).collect();
        let meeting = self.meet_or_run(&names, Some(PATIENCE))?;
        let moved = self.state.decide(|registry| {
            let moved = decide(&Versions::read(registry)?)?;
            let entries = moved.iter().map(|(node, _, _, then)| entry(node, then));
            let decision = Decision {
                entries: entries.collect(),
                forget: Vec::new(),
            };
            Ok::<_, Error>((decision, moved))
        })?;
        let moves: Vec<_> = moved
            .into_iter()
            .map(|(n, from, to, _)| (n, from, to))
            .collect();
        if self.is_running() {
            let promoted = moves
                .iter()
                .map(|(n, _, to)| VersionName::new(n, *to).to_string());
            self.ask_run(Ask::Terms(promoted.collect(), Terms::default()));
        }
        Ok(Moved {
            moves,
            cut: meeting.cut,
        })
    }
}

fn known_in<'a>(versions: &'a Versions, node: &str) -> Result<&'a NodeVersions> {
    let known = versions.node(node);
    known
        .ok_or_else(|| Error::Refused(format!("node {node} has no versions yet: it has never run")))
}

/// The newest version that nobody has read yet.
pub(crate) fn newest_candidate(node: &str, known: &NodeVersions) -> Result<u32> {
    let numbers = known.versions.keys().rev().copied();
    let mut candidates = numbers.filter(|n| known.standing(*n) == Standing::Candidate);
    candidates.next().ok_or_else(|| {
        Error::Refused(format!(
            "node {node} has no candidate; build one with `refrain replay {node}`, or name a version"
        ))
    })
}
