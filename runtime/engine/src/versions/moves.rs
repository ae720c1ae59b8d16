//! Cutover, rollback and retiring: what is asked is brought to one cut, decided purely, and written as one commit.

use std::collections::BTreeMap;
use std::time::Duration;

use refrain_log::ids::Sequence;
use refrain_log::topic::Origin;
use refrain_state::registry::Decision;

use super::find::sources;
use super::request::{CutoverOrder, Moved, Requirement, Retired};
use super::{NodeVersions, Standing, Validated, VersionName, Versions, decide, entry, no_entry};
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
        for consumer in &order.consumers {
            self.check_consumer_of(&node, consumer, &known)?;
        }
        // What does not hold now is said at once; what holds now is judged again where all of them stand.
        self.require(&versions, &moves, &order.require)?;
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
        let judge = |versions: &Versions| {
            self.require(versions, &moves, &order.require)?;
            if order.require.contains(&Requirement::Validated) {
                for (node, to) in &moves {
                    self.require_equal(node, known_in(versions, node)?, *to)?;
                }
            }
            for (node, check) in &checks {
                self.require_check(node, known_in(versions, node)?, moves[node], check)?;
            }
            Ok(())
        };
        self.move_at_one_cut(&involved, judge, |versions| {
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
        let (node, known) = self.node_versions(name)?;
        if let Some(consumer) = consumer {
            self.check_consumer_of(&node, consumer, &known)?;
        }
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
        let judge = |_: &Versions| Ok(());
        self.move_at_one_cut(&involved, judge, |versions| {
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
        let declared = self.declaration().node_names().contains(&node);
        let left = |versions: &Versions| -> Result<Option<NodeVersions>> {
            let readers = self.readers_of(versions, &version)?;
            let readers: Vec<String> = readers.iter().map(ToString::to_string).collect();
            let known = known_in(versions, &node)?;
            match declared {
                true => decide::retire(&node, known, number, &readers).map(Some),
                false => decide::retire_removed(&node, known, number, &readers),
            }
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
                entries: vec![match &left {
                    Some(left) => entry(&node, left),
                    None => no_entry(&node),
                }],
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

    /// What must hold of the versions that are about to be read, but for the rows themselves.
    fn require(
        &self,
        versions: &Versions,
        moves: &BTreeMap<String, u32>,
        require: &[Requirement],
    ) -> Result<()> {
        let validated = require.contains(&Requirement::Validated);
        let mut views = 0;
        for (node, to) in moves {
            let known = known_in(versions, node)?;
            let Some(version) = known.versions.get(to) else {
                continue;
            };
            let keeps_view = version.planned()?.output_topic.is_none();
            views += usize::from(keeps_view);
            if validated && keeps_view {
                validation(node, known, *to)?;
            }
            for requirement in require {
                if let Requirement::Lag(most_us) = requirement {
                    self.require_lag(versions, &VersionName::new(node, *to), *most_us)?;
                }
            }
        }
        if validated && views == 0 {
            return Err(Error::Refused(
                "nothing of this move keeps a view, so nothing of it can have been validated: leave out `validated`, or \
                 move the readers of the topic along"
                    .into(),
            ));
        }
        Ok(())
    }

    fn require_lag(&self, versions: &Versions, version: &VersionName, most_us: i64) -> Result<()> {
        let lag_us = self.lag_us(versions, version)?;
        if lag_us < most_us {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "version {} of node {} is {} behind, which is not less than {}; let it catch up first",
            version.number,
            version.name,
            crate::pipeline::units::duration_text(lag_us),
            crate::pipeline::units::duration_text(most_us)
        )))
    }

    /// What a validation found must hold of the rows as they are, both versions standing at one cut: equal digests, or
    /// rows that differ within the tolerances that it accepted.
    fn require_equal(&self, node: &str, known: &NodeVersions, to: u32) -> Result<()> {
        let live = known.reading.live;
        let planned = known.versions[&to].planned()?;
        if to == live || planned.output_topic.is_some() {
            return Ok(());
        }
        let validated = validation(node, known, to)?;
        let of = |number| VersionName::new(node, number);
        let compared = self.compare_versions(&of(live), &of(to), known, &validated.tolerances)?;
        if compared.is_equal() {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "version {to} of node {node} was found equal to version {live} at cut {}, and differs at cut {}: see `refrain \
             validate {node} --candidate {to}`; nobody was moved",
            validated.cut,
            self.cut_of(&of(to))
        )))
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

    /// How long the oldest frame has waited that a version has not got to, in microseconds: of the source topics that its
    /// results come from, through whatever nodes.
    pub(crate) fn lag_us(&self, versions: &Versions, version: &VersionName) -> Result<i64> {
        let cut = self.cut_of(version);
        // Beyond its last commit where there was nothing to take.
        let frontier = self.board.going(&version.to_string()).frontier;
        let cut = cut.max(frontier.filter(|_| self.is_running()).unwrap_or(cut));
        let mut oldest = None;
        for name in sources(versions, version)? {
            let Some(topic) = self.log.topic(&name) else {
                continue;
            };
            for partition in 0..topic.spec().partitions {
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

    /// Brings versions to one cut, judges them there, decides, and writes the decision.
    fn move_at_one_cut(
        &self,
        involved: &[VersionName],
        judge: impl FnOnce(&Versions) -> Result<()>,
        decide: impl FnOnce(&Versions) -> Result<Vec<(String, u32, u32, NodeVersions)>>,
    ) -> Result<Moved> {
        let names: Vec<String> = involved.iter().map(ToString::to_string).collect();
        let meeting = self.meet_or_run(&names, Some(PATIENCE))?;
        // They stay where they are meanwhile, and others go on committing.
        judge(&*self.versions()?)?;
        let moved = self.state.decide(|registry| {
            let moved = decide(&Versions::read(registry)?)?;
            let entries = moved.iter().map(|(node, _, _, then)| entry(node, then));
            let decision = Decision {
                entries: entries.collect(),
                forget: Vec::new(),
            };
            Ok::<_, Error>((decision, moved))
        })?;
        let notes = moved.iter().filter_map(begins_later).collect();
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
            notes,
        })
    }
}

/// What is to be said of a version that is read now and begins later in the log than the one before.
fn begins_later((node, from, to, known): &(String, u32, u32, NodeVersions)) -> Option<String> {
    let after = |version: &u32| known.versions.get(version).map(|v| v.start.after);
    let (was, is) = (after(from)?, after(to)?);
    (is > was).then(|| {
        format!(
            "version {to} of node {node} begins after sequence {is}, later than version {from}: what came before is not in \
             it"
        )
    })
}

/// The validation of a version against the one that is read now.
fn validation<'a>(node: &str, known: &'a NodeVersions, to: u32) -> Result<&'a Validated> {
    let live = known.reading.live;
    let version = known.versions.get(&to);
    let validated = version.and_then(|version| version.validated.as_ref());
    validated.filter(|v| v.against == live).ok_or_else(|| {
        Error::Refused(format!(
            "version {to} of node {node} was not validated against version {live}, which is read now: run `refrain \
             validate {node} --candidate {to}`"
        ))
    })
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
