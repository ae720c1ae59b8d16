//! The one who writes the commit log: what a commit is in it, and whether commits are taken.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use refrain_log::ids::{Offset, Timestamp};
use refrain_log::log::Finding;
use refrain_log::segments::{Draft, SegmentOptions, Segments};
use refrain_log::storage::Storage;

use crate::base::{Round, Slice, owed_bytes};
use crate::commit::{NodeCommit, NodeState};
use crate::held::{Changes, Held};
use crate::record::{Base, ClosedNode, Closing, Frames, log_schema};
use crate::recover::{Recovered, recover};
use crate::registry::Entry;
use crate::store::disk::Disk;
use crate::store::{Shelf, StateChanges, StoreOptions};
use crate::view::{Prepared, View, ViewChanges, ViewSpec, rows_bytes};
use crate::{Error, Result};

/// Name of the commit log in messages.
const NAME: &str = "commits";
/// Largest size of one of its segments.
pub(crate) const SEGMENT_BYTES: u64 = 64 << 20;

/// The one who writes the commit log.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) log: Segments,
    pub(crate) health: Health,
    /// Number of the last commit.
    pub(crate) commit: u64,
    /// Its time.
    pub(crate) time: Timestamp,
    /// Views declared since.
    pub(crate) undeclared: Vec<ViewSpec>,
    /// Bytes of commits since the last base.
    pub(crate) grown_bytes: u64,
    /// The base under way.
    pub(crate) round: Option<Round>,
    /// What was written since the log was opened.
    pub(crate) written: Written,
    /// Everything before this is not needed any more.
    droppable: Option<Offset>,
}

/// Bytes that were written to a commit log since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Of commits.
    pub commit_bytes: u64,
    /// Of bases, with whichever commit they were written.
    pub base_bytes: u64,
    /// What commits owed to bases, each in proportion to its own bytes: as much in the end.
    pub owed_bytes: u64,
}

/// Whether commits are taken.
#[derive(Clone, Debug)]
pub(crate) enum Health {
    Good,
    /// A write failed: the log must be opened again.
    Failed(String),
    /// The log is damaged: it must be rebuilt.
    Damaged(String),
}

/// What one commit is to do.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) nodes: Vec<NodeCommit>,
    pub(crate) forgotten: Vec<String>,
    /// Entries of the registry that change.
    pub(crate) entries: Vec<Entry>,
}

impl Work {
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.forgotten.is_empty() && self.entries.is_empty()
    }
}

/// A commit, ready to be written.
pub(crate) struct Plan {
    /// Completes the base, before the commit.
    pub(crate) base: Option<Vec<Draft>>,
    /// What the commit writes for the base under way.
    pub(crate) slice: Option<Slice>,
    pub(crate) closing: Option<Closing>,
    pub(crate) frames: Vec<Draft>,
    pub(crate) changes: BTreeMap<String, Changes>,
    pub(crate) entries: Vec<Entry>,
    /// Number of the last commit in it.
    pub(crate) number: u64,
    pub(crate) time: Timestamp,
}

impl Plan {
    /// Everything about a commit that can be known before it is written. `slice_bytes`: so much is written for the base
    /// under way, and not what the commit owes it.
    pub(crate) fn new(
        committer: &mut Committer,
        held: &Held,
        now: Timestamp,
        work: Work,
        slice_bytes: Option<u64>,
    ) -> Result<Plan> {
        let time = committer.time.max(now);
        let mut number = committer.commit;
        let mut first = committer.log.end();
        let base = committer.round.as_ref().filter(|round| round.is_walked());
        let base = base.map(|round| {
            number += 1;
            let drafts = close_base(held, round.from, number, first, time);
            first = Offset(first.0 + held.registry.entries().count() as u64 + 1);
            drafts
        });
        let mut plan = Plan {
            base,
            slice: None,
            closing: None,
            frames: Vec::new(),
            changes: BTreeMap::new(),
            entries: Vec::new(),
            number,
            time,
        };
        if !work.is_empty() || slice_bytes.is_some() && plan.base.is_none() {
            plan.number += 1;
            let declared = committer.declares(held, plan.base.is_some(), &work.forgotten);
            plan.close(held, work, declared, first)?;
        }
        if plan.base.is_none() {
            let bytes = drafts_bytes(&plan.frames);
            plan.slice = committer.slice(held, plan.number, time, bytes, slice_bytes)?;
        }
        Ok(plan)
    }

    fn close(
        &mut self,
        held: &Held,
        work: Work,
        declared: Vec<ViewSpec>,
        first: Offset,
    ) -> Result<()> {
        let (commit, time) = (self.number, self.time);
        let mut frames = Frames::new(commit, time);
        let mut nodes = Vec::new();
        for node in work.nodes {
            let view = held.view_of(&node.node);
            if self.changes.contains_key(&node.node) {
                return Err(Error::Invalid(format!(
                    "node `{}` occurs twice in one commit",
                    node.node
                )));
            }
            let (node, its_changes) = plan_node(node, view, &mut frames, commit, time)?;
            self.changes.insert(node.node.clone(), its_changes);
            nodes.push(node);
        }
        for entry in &work.entries {
            frames.add_entry(&entry.name, entry.text.as_deref());
        }
        self.entries = work.entries;
        let closing = Closing {
            commit,
            time,
            base: Base::None,
            first,
            declared,
            forgotten: work.forgotten,
            nodes,
        };
        self.frames = frames.close(&closing);
        self.closing = Some(closing);
        Ok(())
    }

    /// All its frames in order, with or without the slice.
    fn drafts(&self, with_slice: bool) -> Vec<Draft> {
        let base = self.base.iter().flatten();
        let slice = self
            .slice
            .iter()
            .filter(|_| with_slice)
            .flat_map(|s| &s.frames);
        base.chain(slice).chain(&self.frames).cloned().collect()
    }
}

/// What completes a base: the registry, and the record that says what all nodes and views are.
fn close_base(
    held: &Held,
    from: Offset,
    commit: u64,
    first: Offset,
    time: Timestamp,
) -> Vec<Draft> {
    let nodes = held.nodes.iter().map(|(name, state)| ClosedNode {
        node: name.clone(),
        state: state.clone(),
        before: held
            .view_of(name)
            .map(|view| view.state())
            .map(|state| (state.rows, state.digest)),
    });
    let closing = Closing {
        commit,
        time,
        base: Base::Rolled { from },
        first,
        declared: held.specs(),
        forgotten: Vec::new(),
        nodes: nodes.collect(),
    };
    let mut frames = Frames::new(commit, time);
    for (name, text) in held.registry.entries() {
        frames.add_entry(name, Some(text));
    }
    frames.close(&closing)
}

/// Bytes that frames take in the log, about.
fn drafts_bytes(drafts: &[Draft]) -> u64 {
    drafts.iter().map(draft_bytes).sum()
}

fn draft_bytes(draft: &Draft) -> u64 {
    draft.rows.as_ref().map_or(0, rows_bytes) + 192
}

impl Committer {
    pub(crate) fn new(
        log: Segments,
        recovered: Recovered,
        folder: &Path,
    ) -> Result<(Committer, Held)> {
        if let (true, Some(what)) = (recovered.unusable, &recovered.damage) {
            return Err(damaged(folder, what));
        }
        let committer = Committer {
            grown_bytes: log.bytes().saturating_sub(recovered.held.live_bytes()),
            log,
            health: recovered.damage.map_or(Health::Good, Health::Damaged),
            commit: recovered.commit,
            time: recovered.time,
            undeclared: Vec::new(),
            round: None,
            written: Written::default(),
            droppable: None,
        };
        Ok((committer, recovered.held))
    }

    /// Views that the next commit declares: with the first one of a base all of them, since the records before it will
    /// be gone.
    fn declares(&self, held: &Held, base: bool, forgotten: &[String]) -> Vec<ViewSpec> {
        let begins = self.round.as_ref().is_some_and(|round| !round.is_open()) && !base;
        let mut declared = match begins {
            true => held.specs(),
            false => self.undeclared.clone(),
        };
        declared.retain(|spec| !forgotten.contains(&spec.node));
        declared
    }

    fn slice(
        &mut self,
        held: &Held,
        commit: u64,
        time: Timestamp,
        commit_bytes: u64,
        slice_bytes: Option<u64>,
    ) -> Result<Option<Slice>> {
        let Some(round) = &mut self.round else {
            return Ok(None);
        };
        match slice_bytes.unwrap_or_else(|| round.owe(commit_bytes)) {
            0 => Ok(None),
            bytes => round.slice(held, commit, time, bytes).map(Some),
        }
    }

    /// A plan is durable: the state of the log after it. Before what it changes is applied to what is held.
    pub(crate) fn advance(&mut self, held: &mut Held, plan: &mut Plan) {
        self.commit = plan.number;
        self.time = plan.time;
        if plan.closing.is_some() || plan.base.is_some() {
            self.undeclared.clear();
        }
        if plan.base.is_some() {
            self.grown_bytes = 0;
            self.droppable = self.round.take().map(|round| round.from);
        }
        if let Some(round) = &mut self.round {
            round.open();
            if let Some(slice) = plan.slice.take() {
                round.done(held, slice);
            }
        }
    }

    /// Removes segments that a base has made superfluous: one, and none while the one before is being given back to the
    /// system, so that no commit waits long; or all. What cannot be removed costs space and nothing else.
    pub(crate) fn drop_old(&mut self, all: bool) {
        if !all && self.log.is_freeing() {
            return;
        }
        while let Some(offset) = self.droppable {
            match self.log.drop_first_before(offset) {
                Ok(true) if all => {}
                Ok(true) => return,
                Ok(false) => self.droppable = None,
                Err(error) => {
                    tracing::warn!(%error, "an old segment of the commit log could not be removed; it is tried again after the next base");
                    self.droppable = None;
                }
            }
        }
    }

    /// What an operator should know of damage.
    pub(crate) fn finding(&self, folder: &Path) -> Option<Finding> {
        let Health::Damaged(what) = &self.health else {
            return None;
        };
        Some(finding(true, damaged(folder, what).to_string()))
    }

    pub(crate) fn ready(&self, folder: &Path) -> Result<()> {
        match &self.health {
            Health::Good => Ok(()),
            Health::Failed(what) => Err(Error::Closed { what: what.clone() }),
            Health::Damaged(what) => Err(damaged(folder, what)),
        }
    }

    /// Writes a plan and makes it durable. Where there is no space for its slice, it goes without.
    pub(crate) fn write(&mut self, plan: &mut Plan) -> Result<()> {
        let before = self.log.bytes();
        let mut appended = self.log.append(&plan.drafts(true));
        if matches!(appended, Err(refrain_log::Error::NoSpace { .. })) && plan.slice.is_some() {
            plan.slice = None;
            appended = self.log.append(&plan.drafts(false));
        }
        self.note(appended.map_err(Error::from))?;
        match self.log.sync() {
            Ok(_) => {
                self.wrote(plan, self.log.bytes().saturating_sub(before));
                Ok(())
            }
            Err(error) => {
                self.health = Health::Failed(error.to_string());
                Err(error.into())
            }
        }
    }

    /// A plan took so many bytes: those of the commit, and those of a base.
    fn wrote(&mut self, plan: &Plan, bytes: u64) {
        let of_base = plan.slice.iter().flat_map(|s| &s.frames);
        let of_base = of_base.chain(plan.base.iter().flatten());
        let base: u64 = of_base.map(draft_bytes).sum();
        let all = base + drafts_bytes(&plan.frames);
        let base_bytes = u128::from(bytes) * u128::from(base) / u128::from(all.max(1));
        let base_bytes = u64::try_from(base_bytes).unwrap_or(bytes);
        self.written.base_bytes += base_bytes;
        self.written.commit_bytes += bytes - base_bytes;
        if self.round.is_some() && plan.base.is_none() {
            self.written.owed_bytes += owed_bytes(bytes - base_bytes);
        }
        self.grown_bytes += bytes - base_bytes;
    }

    /// Remembers an error after which the log cannot be written.
    pub(crate) fn note<T>(&mut self, outcome: Result<T>) -> Result<T> {
        use refrain_log::Error as Log;
        if let Err(Error::Log(error)) = &outcome
            && !matches!(error, Log::NoSpace { .. } | Log::Invalid(_))
        {
            self.health = Health::Failed(error.to_string());
        }
        outcome
    }
}

/// One node of a commit: its changelog records go to `frames`.
fn plan_node(
    commit: NodeCommit,
    view: Option<&Arc<View>>,
    frames: &mut Frames,
    number: u64,
    time: Timestamp,
) -> Result<(ClosedNode, Changes)> {
    let NodeCommit {
        node,
        cut,
        lineage,
        tasks,
        sources,
        derived,
        watermark,
        counts,
    } = commit;
    let mut changes = Changes::default();
    let mut memos = BTreeMap::new();
    for task in tasks {
        check_states(&node, &task.state)?;
        frames.add_states(&node, task.task, &task.state);
        changes.states.push((task.task, task.state));
        if let Some(rows) = &task.view {
            let view = view.ok_or_else(|| no_view(&node))?;
            changes
                .rows
                .push(plan_rows(&node, task.task, view, rows, frames)?);
        }
        memos.insert(task.task, task.memo);
    }
    let state = NodeState {
        cut,
        commit: number,
        time,
        lineage,
        memos,
        sources,
        derived,
        watermark,
        counts,
    };
    let before = view
        .map(|view| view.state())
        .map(|state| (state.rows, state.digest));
    Ok((
        ClosedNode {
            node,
            state,
            before,
        },
        changes,
    ))
}

fn plan_rows(
    node: &str,
    task: u32,
    view: &View,
    changes: &ViewChanges,
    frames: &mut Frames,
) -> Result<Prepared> {
    let prepared = view.prepare(changes)?;
    frames.add_rows(
        node,
        task,
        prepared.rows(),
        prepared.finals(),
        view.schema(),
    )?;
    if let Some(keys) = &changes.deletes {
        frames.add_keys(node, task, keys, view.key_schema())?;
    }
    Ok(prepared)
}

fn check_states(node: &str, changes: &StateChanges) -> Result<()> {
    let (keys, states) = (changes.put_keys.len(), changes.put_states.len());
    if keys == states {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "node `{node}` gave {keys} keys and {states} states"
    )))
}

/// Reads the commit log into stores and views, wherever the options say that stores are.
pub(crate) fn read_log(
    log: &Segments,
    store: &StoreOptions,
    findings: &mut Vec<Finding>,
) -> Result<Recovered> {
    let StoreOptions::Disk {
        folder,
        cache_bytes,
    } = store
    else {
        return recover(log, Shelf::Memory, None);
    };
    let (disk, emptied) = Disk::open(folder.clone(), *cache_bytes)?;
    let disk = Arc::new(disk);
    let what = match emptied {
        Some(what) => Some(what),
        None => match read_on(log, &disk) {
            Ok(Some(recovered)) => return Ok(recovered),
            Ok(None) => None,
            Err(error @ (Error::Store { .. } | Error::Record { .. })) => Some(error.to_string()),
            Err(error) => return Err(error),
        },
    };
    disk.close(None);
    if let Some(what) = what {
        findings.push(finding(
            false,
            format!(
                "the store in {} was loaded anew from the commit log: {what}",
                folder.display()
            ),
        ));
    }
    let disk = Arc::new(Disk::anew(folder.clone(), *cache_bytes)?);
    disk.load();
    let recovered = recover(log, Shelf::Disk(disk.clone()), None)?;
    if !recovered.broken {
        let last = recovered.last.map(|mark| recovered.held.shelved_at(mark));
        disk.loaded(last)?;
        return Ok(recovered);
    }
    // What stands before damage and what follows it cannot be in one tree.
    findings.push(finding(false, format!(
        "states and views are kept in memory, and not in {}, until the commit log has a base behind its damage and was opened again",
        folder.display()
    )));
    drop((recovered, disk));
    Disk::anew(folder.clone(), *cache_bytes)?;
    recover(log, Shelf::Memory, None)
}

/// Reads what came after what a tree has. None: the tree is empty, or not of this log.
fn read_on(log: &Segments, disk: &Arc<Disk>) -> Result<Option<Recovered>> {
    let Some(shelved) = disk.shelved()? else {
        return Ok(None);
    };
    let recovered = recover(log, Shelf::Disk(disk.clone()), Some(shelved))?;
    Ok((recovered.mark_met && !recovered.broken).then_some(recovered))
}

fn finding(acknowledged: bool, what: String) -> Finding {
    Finding {
        topic: NAME.into(),
        partition: 0,
        acknowledged,
        offsets: None,
        what,
    }
}

pub(crate) fn open_log(
    storage: &Arc<dyn Storage>,
    folder: &Path,
) -> Result<(Segments, Vec<Finding>)> {
    let options = SegmentOptions {
        segment_bytes: SEGMENT_BYTES,
        spare: true,
        name: NAME.into(),
        partition: 0,
    };
    let opened = Segments::open(
        storage.clone(),
        folder.to_owned(),
        options,
        log_schema(),
        None,
    );
    opened.map_err(|error| match error {
        refrain_log::Error::Damaged { .. } => damaged(folder, &error.to_string()),
        error => error.into(),
    })
}

fn damaged(folder: &Path, what: &str) -> Error {
    Error::Damaged {
        folder: folder.display().to_string(),
        what: what.to_owned(),
    }
}

fn no_view(node: &str) -> Error {
    Error::Invalid(format!(
        "node `{node}` gave rows for a view that it has not declared; declare the view first"
    ))
}
