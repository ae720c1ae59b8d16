//! The commit: input positions, state, view rows, watermarks and the ends of derived topics change together, or not at
//! all. Changelog frames and one closing frame in the commit log; the closing frame is the commit point.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use refrain_log::clock::Clock;
use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::log::Finding;
use refrain_log::segments::{Draft, SegmentOptions, Segments};
use refrain_log::storage::Storage;
use serde::{Deserialize, Serialize};

use crate::base;
use crate::held::{Changes, Held, apply_views};
use crate::record::{ClosedNode, Closing, Frames, log_schema};
use crate::recover::{Recovered, recover};
use crate::store::StateChanges;
use crate::view::{Prepared, View, ViewChanges, ViewSpec};
use crate::{Error, Result};

/// Name of the commit log in messages.
const NAME: &str = "commits";
/// Largest size of one of its segments.
const SEGMENT_BYTES: u64 = 64 << 20;

/// What a node's results are made by. A change of it never takes effect unseen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Digest of the component, hex.
    pub component: String,
    /// Digest of everything in the node's configuration that changes results, hex.
    pub configuration: String,
}

/// The end of a partition of a derived topic that a commit covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DerivedEnd {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Its end offset.
    pub end: Offset,
}

/// The end of a partition of a source topic that a commit has read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceEnd {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Offset after the last row taken.
    pub end: Offset,
}

/// What one task changed since the node's last commit.
#[derive(Clone, Debug, Default)]
pub struct TaskChanges {
    /// The task.
    pub task: u32,
    /// State put and deleted.
    pub state: StateChanges,
    /// View rows put and deleted; none when the node has no view.
    pub view: Option<ViewChanges>,
    /// The engine's own bytes for this task, whole (watermarks, positions): replaces what was there.
    pub memo: Vec<u8>,
}

/// A commit of one node at a cut: every task has taken exactly the source frames up to it.
#[derive(Clone, Debug)]
pub struct NodeCommit {
    /// The node.
    pub node: String,
    /// The cut.
    pub cut: Sequence,
    /// What made the results.
    pub lineage: Lineage,
    /// All tasks that changed.
    pub tasks: Vec<TaskChanges>,
    /// How far inputs from source topics have been read.
    pub sources: Vec<SourceEnd>,
    /// Derived topics written, all synced before.
    pub derived: Vec<DerivedEnd>,
    /// The node's watermark; `Timestamp::MIN` for none.
    pub watermark: Timestamp,
    /// Counted since the node began: rows taken, late, rejected, and so on.
    pub counts: BTreeMap<String, u64>,
}

/// A node's last commit, as recovered or as just made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeState {
    /// The cut.
    pub cut: Sequence,
    /// Number of the commit in the whole host, from 1.
    pub commit: u64,
    /// When it was made.
    pub time: Timestamp,
    /// What made the results.
    pub lineage: Lineage,
    /// The engine's bytes of each task.
    pub memos: BTreeMap<u32, Vec<u8>>,
    /// How far inputs from source topics have been read.
    pub sources: Vec<SourceEnd>,
    /// Ends of derived topics.
    pub derived: Vec<DerivedEnd>,
    /// The node's watermark.
    pub watermark: Timestamp,
    /// Counts since the node began.
    pub counts: BTreeMap<String, u64>,
}

/// A key with its state.
pub type KeyedState = (Box<[u8]>, Box<[u8]>);

/// The state of the host: commit log, stores, views. Shared by reference; one committer at a time.
#[derive(Debug)]
pub struct State {
    committer: Mutex<Committer>,
    held: RwLock<Held>,
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    folder: PathBuf,
}

/// The one who writes the commit log.
#[derive(Debug)]
struct Committer {
    log: Segments,
    health: Health,
    /// Number of the last commit.
    commit: u64,
    /// Its time.
    time: Timestamp,
    /// Views declared since.
    undeclared: Vec<ViewSpec>,
    /// Bytes of the log when its last base was written.
    base_bytes: u64,
}

/// Whether commits are taken.
#[derive(Clone, Debug)]
enum Health {
    Good,
    /// A write failed: the log must be opened again.
    Failed(String),
    /// The log is damaged: it must be rebuilt.
    Damaged(String),
}

/// A commit, ready to be written.
struct Plan {
    closing: Closing,
    frames: Vec<Draft>,
    changes: BTreeMap<String, Changes>,
}

impl State {
    /// Opens the commit log in `folder`, making it when absent, and reads it: after this every store and view stands at
    /// the last commit.
    ///
    /// When acknowledged records are damaged, everything stands at the last commit before the damage, a finding says so,
    /// and commits are refused with [`Error::Damaged`]. The same error is returned here when not even that is left.
    pub fn open(
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        folder: PathBuf,
    ) -> Result<(State, Vec<Finding>)> {
        let (log, mut findings) = open_log(&storage, &folder)?;
        let recovered = recover(&log)?;
        let (committer, held) = Committer::new(log, recovered, &folder)?;
        findings.extend(committer.finding(&folder));
        let (committer, held) = (Mutex::new(committer), RwLock::new(held));
        Ok((
            State {
                committer,
                held,
                storage,
                clock,
                folder,
            },
            findings,
        ))
    }

    /// Opens the commit log again after [`Error::Closed`], as after a restart. A commit that failed may hold or not hold
    /// afterwards: [`State::node`] says which. Views stay the same objects.
    pub fn reopen(&self) -> Result<Vec<Finding>> {
        let mut committer = self.committer();
        committer.health = Health::Failed("it could not be opened again".into());
        let (log, mut findings) = open_log(&self.storage, &self.folder)?;
        let recovered = recover(&log)?;
        let (mut fresh, new) = Committer::new(log, recovered, &self.folder)?;
        findings.extend(fresh.finding(&self.folder));
        fresh.undeclared = committer.undeclared.clone();
        fresh
            .undeclared
            .retain(|spec| !new.views.contains_key(&spec.name));
        fresh.time = fresh.time.max(committer.time);
        self.write().replace(new, &fresh.undeclared);
        *committer = fresh;
        Ok(findings)
    }

    /// Declares a node's view before its first commit, or checks that it is what was declared. A changed declaration is
    /// refused. The declaration becomes durable with the next commit.
    pub fn declare_view(&self, spec: ViewSpec) -> Result<Arc<View>> {
        let mut committer = self.committer();
        let mut held = self.write();
        if let Some(view) = held.views.get(&spec.name) {
            return if *view.spec() == spec {
                Ok(view.clone())
            } else {
                Err(changed(view.spec(), &spec))
            };
        }
        if let Some(view) = held.view_of(&spec.node) {
            return Err(changed(view.spec(), &spec));
        }
        let view = Arc::new(View::new(spec.clone())?);
        held.views.insert(spec.name.clone(), view.clone());
        committer.undeclared.push(spec);
        Ok(view)
    }

    /// One commit for one or several nodes: one write, one sync. After an error nothing of it holds and the commit log
    /// takes no commits until it is opened again (no space: the next commit may be tried as it is).
    ///
    /// Errors: `Log(NoSpace)` and `Invalid` change nothing and leave the log as it was. Any other error of the log is
    /// final until [`State::reopen`]; until then commits answer [`Error::Closed`].
    pub fn commit(&self, nodes: Vec<NodeCommit>) -> Result<()> {
        let mut committer = self.committer();
        committer.ready(&self.folder)?;
        let plan = self.plan(&committer, nodes, Vec::new())?;
        committer.write(&plan)?;
        self.apply(&mut committer, plan);
        self.compact_if_due(&mut committer);
        Ok(())
    }

    /// The node's last commit.
    pub fn node(&self, node: &str) -> Option<NodeState> {
        self.read().nodes.get(node).map(|node| node.last.clone())
    }

    /// Names of all nodes that ever committed.
    pub fn nodes(&self) -> Vec<String> {
        self.read().nodes.keys().cloned().collect()
    }

    /// State of one task at its last commit, every key with its state, in key order.
    pub fn task_states(&self, node: &str, task: u32) -> Vec<KeyedState> {
        let mut states = Vec::new();
        if let Some(store) = self
            .read()
            .nodes
            .get(node)
            .and_then(|node| node.stores.get(&task))
        {
            store.each(&mut |key, state| states.push((key.into(), state.into())));
        }
        states
    }

    /// State of one key of a task at its last commit.
    pub fn task_state(&self, node: &str, task: u32, key: &[u8]) -> Option<Box<[u8]>> {
        self.read().nodes.get(node)?.stores.get(&task)?.get(key)
    }

    /// The view of that name.
    pub fn view(&self, name: &str) -> Option<Arc<View>> {
        self.read().views.get(name).cloned()
    }

    /// All views, by name.
    pub fn views(&self) -> Vec<Arc<View>> {
        self.read().views.values().cloned().collect()
    }

    /// Forgets a node: its state, its view's rows and declaration, and its last commit, durably. Its next run starts at
    /// the beginning. Errors as of [`State::commit`].
    pub fn forget(&self, node: &str) -> Result<()> {
        let mut committer = self.committer();
        committer.ready(&self.folder)?;
        let plan = self.plan(&committer, Vec::new(), vec![node.to_owned()])?;
        committer.write(&plan)?;
        self.apply(&mut committer, plan);
        Ok(())
    }

    /// Writes all that is held anew and drops the commit log before it. Done by commits when it is due; the result of
    /// reading the log is the same before and after. Errors as of [`State::commit`].
    pub fn compact(&self) -> Result<()> {
        let mut committer = self.committer();
        committer.ready(&self.folder)?;
        self.write_base(&mut committer)
    }

    /// Bytes of state and of views held.
    pub fn bytes(&self) -> u64 {
        self.read().bytes()
    }

    /// Bytes of the commit log.
    pub fn log_bytes(&self) -> u64 {
        self.committer().log.bytes()
    }

    /// What keeps commits from being taken, if anything: the error that a commit would answer.
    pub fn check(&self) -> Result<()> {
        self.committer().ready(&self.folder)
    }

    /// Everything about a commit that can be known before it is written.
    fn plan(
        &self,
        committer: &Committer,
        nodes: Vec<NodeCommit>,
        forgotten: Vec<String>,
    ) -> Result<Plan> {
        let held = self.read();
        let commit = committer.commit + 1;
        let time = committer.time.max(self.clock.now());
        let mut frames = Frames::new(commit, time);
        let mut changes = BTreeMap::new();
        let mut closed = Vec::new();
        for node in nodes {
            let view = held.view_of(&node.node);
            if changes.contains_key(&node.node) {
                return Err(Error::Invalid(format!(
                    "node `{}` occurs twice in one commit",
                    node.node
                )));
            }
            let (node, its_changes) = plan_node(node, view, &mut frames, commit, time)?;
            changes.insert(node.node.clone(), its_changes);
            closed.push(node);
        }
        let mut declared = committer.undeclared.clone();
        declared.retain(|spec| !forgotten.contains(&spec.node));
        let first = committer.log.end();
        let closing = Closing {
            commit,
            time,
            base: false,
            first,
            declared,
            forgotten,
            nodes: closed,
        };
        Ok(Plan {
            frames: frames.close(&closing),
            closing,
            changes,
        })
    }

    /// A durable commit becomes visible.
    fn apply(&self, committer: &mut Committer, plan: Plan) {
        let Plan {
            closing, changes, ..
        } = plan;
        committer.commit = closing.commit;
        committer.time = closing.time;
        committer.undeclared.clear();
        let mut held = self.write();
        closing.forgotten.iter().for_each(|node| held.forget(node));
        let work = held.close(&closing, changes);
        drop(held);
        apply_views(work);
    }

    /// A base that cannot be written costs space, not the commit before it.
    fn compact_if_due(&self, committer: &mut Committer) {
        let grown = committer.log.bytes().saturating_sub(committer.base_bytes);
        if !base::is_due(grown, self.read().live_bytes()) {
            return;
        }
        if let Err(error) = self.write_base(committer) {
            tracing::warn!(%error, "the commit log was not compacted; it is tried again when it has grown further");
        }
    }

    fn write_base(&self, committer: &mut Committer) -> Result<()> {
        let held = self.read();
        let declared = held
            .views
            .values()
            .map(|view| view.spec().clone())
            .collect();
        let commit = committer.commit + 1;
        let written = base::write(&mut committer.log, &held, commit, committer.time, declared);
        if written.is_err() && committer.log.rollback().is_err() {
            committer.health = Health::Failed("a base could not be taken back".into());
        }
        committer.base_bytes = committer.log.bytes();
        let first = committer.note(written)?;
        committer.commit = commit;
        committer.undeclared.clear();
        let dropped = committer.log.drop_before(first).map_err(Error::from);
        committer.base_bytes = committer.log.bytes();
        committer.note(dropped)
    }

    fn committer(&self) -> MutexGuard<'_, Committer> {
        self.committer
            .lock()
            .expect("a commit was half made by a thread that panicked")
    }

    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held
            .read()
            .expect("a commit was half applied by a thread that panicked")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.held
            .write()
            .expect("a commit was half applied by a thread that panicked")
    }
}

impl Committer {
    fn new(log: Segments, recovered: Recovered, folder: &Path) -> Result<(Committer, Held)> {
        if let (true, Some(what)) = (recovered.unusable, &recovered.damage) {
            return Err(damaged(folder, what));
        }
        let base_bytes = recovered
            .base
            .map_or(0, |_| recovered.held.live_bytes().min(log.bytes()));
        let committer = Committer {
            log,
            health: recovered.damage.map_or(Health::Good, Health::Damaged),
            commit: recovered.commit,
            time: recovered.time,
            undeclared: Vec::new(),
            base_bytes,
        };
        Ok((committer, recovered.held))
    }

    /// What an operator should know of damage.
    fn finding(&self, folder: &Path) -> Option<Finding> {
        let Health::Damaged(what) = &self.health else {
            return None;
        };
        Some(Finding {
            topic: NAME.into(),
            partition: 0,
            acknowledged: true,
            offsets: None,
            what: damaged(folder, what).to_string(),
        })
    }

    fn ready(&self, folder: &Path) -> Result<()> {
        match &self.health {
            Health::Good => Ok(()),
            Health::Failed(what) => Err(Error::Closed { what: what.clone() }),
            Health::Damaged(what) => Err(damaged(folder, what)),
        }
    }

    fn write(&mut self, plan: &Plan) -> Result<()> {
        let appended = self.log.append(&plan.frames).map_err(Error::from);
        self.note(appended)?;
        match self.log.sync() {
            Ok(_) => Ok(()),
            Err(error) => {
                self.health = Health::Failed(error.to_string());
                Err(error.into())
            }
        }
    }

    /// Remembers an error after which the log cannot be written.
    fn note<T>(&mut self, outcome: Result<T>) -> Result<T> {
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

fn open_log(storage: &Arc<dyn Storage>, folder: &Path) -> Result<(Segments, Vec<Finding>)> {
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

fn changed(old: &ViewSpec, new: &ViewSpec) -> Error {
    let fields = |spec: &ViewSpec| {
        let fields: Vec<String> = spec
            .schema
            .fields()
            .iter()
            .map(ToString::to_string)
            .collect();
        format!(
            "view `{}` of node `{}` ({}; key: the first {})",
            spec.name,
            spec.node,
            fields.join(", "),
            spec.key_fields
        )
    };
    Error::Invalid(format!(
        "{} is there, {} was asked for: a view is not changed in place; give the node and its view a new name, or \
         forget node `{}` and run it from the beginning",
        fields(old),
        fields(new),
        old.node
    ))
}
