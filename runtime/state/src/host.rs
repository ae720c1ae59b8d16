//! The state of a host: the one commit log, and the stores and views that it says. Commits are made here, and become
//! visible here when they are durable.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use refrain_log::clock::Clock;
use refrain_log::codec;
use refrain_log::ids::{Offset, Timestamp};
use refrain_log::log::Finding;
use refrain_log::parts::Part;
use refrain_log::scrub::Scrubbed;
use refrain_log::storage::Storage;

use crate::base::{Round, is_due};
use crate::commit::{KeyedState, NodeCommit, NodeState};
use crate::committer::{Committer, Health, Plan, Work, Written, open_log, read_log};
use crate::height::Height;
use crate::held::{Held, apply_views};
use crate::reader::TaskReader;
use crate::registry::{Decision, Registry};
use crate::store::disk::Mark;
use crate::store::{Shelf, StoreOptions};
use crate::view::{Counts, View, ViewSpec};
use crate::{Error, Result};

/// Bytes of a base written at once when it is written in one go.
const COMPACT_BYTES: u64 = 4 << 20;

/// The state of the host: commit log, stores, views. Shared by reference; one committer at a time.
#[derive(Debug)]
pub struct State {
    committer: Mutex<Committer>,
    held: Arc<RwLock<Held>>,
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    folder: PathBuf,
    options: StateOptions,
}

/// How state is kept.
#[derive(Clone, Debug)]
pub struct StateOptions {
    /// The commit log may always grow by so much before a base is written anew; beyond it, by one and a half times what
    /// is held. Default 64 MiB.
    pub growth_bytes: u64,
    /// Where states and view rows are kept.
    pub store: StoreOptions,
}

/// The commit log under second names, and what it says.
#[derive(Clone, Debug)]
pub struct Linked {
    /// Its segments.
    pub parts: Vec<Part>,
    /// Number of the last commit.
    pub commit: u64,
    /// When they were linked; no commit in them is later.
    pub time: Timestamp,
    /// Each node at its last commit.
    pub nodes: BTreeMap<String, NodeState>,
    /// The view of each node that has one: name, rows, digest.
    pub views: BTreeMap<String, (String, u64, u128)>,
}

impl Default for StateOptions {
    fn default() -> Self {
        StateOptions {
            growth_bytes: 64 << 20,
            store: StoreOptions::Memory,
        }
    }
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
        State::open_with(storage, clock, folder, StateOptions::default())
    }

    /// [`State::open`] with options.
    pub fn open_with(
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        folder: PathBuf,
        options: StateOptions,
    ) -> Result<(State, Vec<Finding>)> {
        let (log, mut findings) = open_log(&storage, &folder)?;
        let recovered = read_log(&log, &options.store, &mut findings)?;
        let (committer, held) = Committer::new(log, recovered, &folder)?;
        findings.extend(committer.finding(&folder));
        let (committer, held) = (Mutex::new(committer), Arc::new(RwLock::new(held)));
        Ok((
            State {
                committer,
                held,
                storage,
                clock,
                folder,
                options,
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
        // One at a time has the folder of the store. Without stores nothing can be committed, nor is it before this ends.
        self.write().close_shelf();
        let recovered = read_log(&log, &self.options.store, &mut findings)?;
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
        let view = held.add_view(spec.clone(), Counts::default())?;
        committer.undeclared.push(spec);
        Ok(view)
    }

    /// One commit for one or several nodes: one write, one sync. After an error nothing of it holds and the commit log
    /// takes no commits until it is opened again (no space: the next commit may be tried as it is).
    ///
    /// Errors: `Log(NoSpace)` and `Invalid` change nothing and leave the log as it was. Any other error of the log is
    /// final until [`State::reopen`]; until then commits answer [`Error::Closed`].
    pub fn commit(&self, nodes: Vec<NodeCommit>) -> Result<()> {
        self.make(Work {
            nodes,
            ..Work::default()
        })
    }

    /// The node's last commit.
    pub fn node(&self, node: &str) -> Option<NodeState> {
        self.read().nodes.get(node).cloned()
    }

    /// Names of all nodes that ever committed.
    pub fn nodes(&self) -> Vec<String> {
        self.read().nodes.keys().cloned().collect()
    }

    /// State of one task at its last commit, every key with its state, in key order.
    pub fn task_states(&self, node: &str, task: u32) -> Result<Vec<KeyedState>> {
        let mut states = Vec::new();
        if let Some(store) = self.read().store(node, task) {
            store.each(&mut |key, state| states.push((key.into(), state.into())))?;
        }
        Ok(states)
    }

    /// State of one key of a task at its last commit.
    pub fn task_state(&self, node: &str, task: u32, key: &[u8]) -> Result<Option<Box<[u8]>>> {
        self.read()
            .store(node, task)
            .map_or(Ok(None), |store| store.get(key))
    }

    /// Reads states of a task by key, from any thread.
    pub fn task_reader(&self, node: &str, task: u32) -> TaskReader {
        TaskReader {
            held: Arc::clone(&self.held),
            node: node.to_owned(),
            task,
        }
    }

    /// Bytes of the cache when states are kept on the disk, so that not all of them have to be in memory.
    pub fn cache_bytes(&self) -> Option<u64> {
        match (&self.read().shelf, &self.options.store) {
            (Shelf::Disk(_), StoreOptions::Disk { cache_bytes, .. }) => Some(*cache_bytes),
            _ => None,
        }
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
        let forgotten = vec![node.to_owned()];
        self.make(Work {
            forgotten,
            ..Work::default()
        })
    }

    /// The registry as of the last commit.
    pub fn registry(&self) -> Registry {
        self.read().registry.clone()
    }

    /// Changes the registry, and forgets nodes, in one commit of its own. `decide` sees everything as of the last commit
    /// and no commit comes between its look and its decision; when it changes nothing, nothing is written. Errors: its
    /// own, and those of [`State::commit`]; after an error nothing of it holds.
    pub fn decide<T, E: From<Error>>(
        &self,
        decide: impl FnOnce(&Registry) -> std::result::Result<(Decision, T), E>,
    ) -> std::result::Result<T, E> {
        self.decide_with(|registry| {
            let (decision, answer) = decide(registry)?;
            Ok((decision, Vec::new(), answer))
        })
    }

    /// [`State::decide`] with commits of nodes in the same commit: what a node is built from changes with its states.
    pub fn decide_with<T, E: From<Error>>(
        &self,
        decide: impl FnOnce(&Registry) -> std::result::Result<(Decision, Vec<NodeCommit>, T), E>,
    ) -> std::result::Result<T, E> {
        let mut committer = self.committer();
        committer.ready(&self.folder)?;
        let (Decision { entries, forget }, nodes, answer) = decide(&self.registry())?;
        let work = Work {
            nodes,
            forgotten: forget,
            entries,
        };
        if !work.is_empty() {
            self.make_with(&mut committer, work)?;
        }
        Ok(answer)
    }

    /// Writes all that is held anew, in one go, and drops the commit log before it. Commits do the same bit by bit when it
    /// is due; the result of reading the log is the same before and after. Errors as of [`State::commit`].
    pub fn compact(&self) -> Result<()> {
        let mut committer = self.committer();
        committer.ready(&self.folder)?;
        let rolled = committer.log.roll().map_err(Error::from);
        let from = committer.note(rolled)?;
        committer.round = Some(Round::begin(
            &mut self.write(),
            from,
            self.options.growth_bytes,
        ));
        while committer.round.is_some() {
            self.write_commit(&mut committer, Work::default(), Some(COMPACT_BYTES))?;
        }
        committer.drop_old(true);
        Ok(())
    }

    /// Bytes of the state of one node, views not counted.
    pub fn node_bytes(&self, node: &str) -> u64 {
        let held = self.read();
        let stores = held.stores.get(node).map(|tasks| tasks.values());
        stores.into_iter().flatten().map(|s| s.bytes()).sum()
    }

    /// Bytes of state and of views held.
    pub fn bytes(&self) -> u64 {
        self.read().bytes()
    }

    /// Gives every file of the commit log a second name in `folder`, which is there and empty: everything as of the last
    /// commit, and no later one. Commits wait for a moment, whatever the size.
    pub fn link_into(&self, folder: &std::path::Path) -> Result<Linked> {
        let committer = self.committer();
        let parts = committer.log.link_into(folder)?;
        let held = self.read();
        let views = held.views.values().map(|view| {
            let (spec, state) = (view.spec(), view.state());
            (
                spec.node.clone(),
                (spec.name.clone(), state.rows, state.digest),
            )
        });
        Ok(Linked {
            parts,
            commit: committer.commit,
            time: committer.time.max(self.clock.now()),
            nodes: held.nodes.clone(),
            views: views.collect(),
        })
    }

    /// Reads one segment of the commit log, the first that begins at or after `from`; what is wrong with it. Commits go
    /// on meanwhile.
    pub fn scrub(&self, from: Offset) -> Result<Option<Scrubbed>> {
        let scrubber = self.committer().log.scrubber();
        Ok(scrubber.scrub(from)?)
    }

    /// Bytes of the commit log.
    pub fn log_bytes(&self) -> u64 {
        self.committer().log.bytes()
    }

    /// What was written to the commit log since it was opened.
    pub fn written(&self) -> Written {
        self.committer().written
    }

    /// How a commit log of so many bytes would go on from here, by what is held now.
    pub fn height(&self, log_bytes: u64) -> Height {
        Height::new(&self.options, log_bytes, self.read().live_bytes())
    }

    /// What failed, when the commit log takes no commits until [`State::reopen`].
    pub fn why_shut(&self) -> Option<String> {
        match &self.committer().health {
            Health::Failed(what) => Some(what.clone()),
            Health::Good | Health::Damaged(_) => None,
        }
    }

    /// What keeps commits from being taken, if anything: the error that a commit would answer.
    pub fn check(&self) -> Result<()> {
        self.committer().ready(&self.folder)
    }

    fn make(&self, work: Work) -> Result<()> {
        let mut committer = self.committer();
        committer.ready(&self.folder)?;
        self.make_with(&mut committer, work)
    }

    fn make_with(&self, committer: &mut Committer, work: Work) -> Result<()> {
        self.begin_round_if_due(committer);
        self.write_commit(committer, work, None)?;
        committer.drop_old(false);
        Ok(())
    }

    fn begin_round_if_due(&self, committer: &mut Committer) {
        let free = self.options.growth_bytes;
        if committer.round.is_some()
            || !is_due(committer.grown_bytes, self.read().live_bytes(), free)
        {
            return;
        }
        let from = committer.log.end();
        committer.round = Some(Round::begin(
            &mut self.write(),
            from,
            self.options.growth_bytes,
        ));
    }

    fn write_commit(
        &self,
        committer: &mut Committer,
        work: Work,
        slice_bytes: Option<u64>,
    ) -> Result<()> {
        let now = self.clock.now();
        let mut plan = Plan::new(committer, &self.read(), now, work, slice_bytes)?;
        committer.write(&mut plan)?;
        let applied = self.apply(committer, plan);
        if let Err(error) = &applied {
            committer.health = Health::Failed(error.to_string());
        }
        applied
    }

    /// A durable commit becomes visible.
    fn apply(&self, committer: &mut Committer, mut plan: Plan) -> Result<()> {
        let mut held = self.write();
        committer.advance(&mut held, &mut plan);
        if plan.base.is_some() {
            held.declared_all();
        }
        let Some(closing) = plan.closing else {
            return Ok(());
        };
        held.forget(&closing)?;
        let work = held.take_views(&closing, &mut plan.changes);
        // Views first: who is told that a node has committed finds its rows. Nobody waits for them, unless the node begins
        // anew: then it is not to be seen without its state.
        if closing.forgotten.is_empty() {
            drop(held);
            apply_views(work)?;
            held = self.write();
        } else {
            apply_views(work)?;
        }
        held.registry.apply(closing.commit, plan.entries);
        held.close(&closing, plan.changes)?;
        held.closed(&closing, Mark::of(&closing, &codec::encode(&closing)))
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

/// Who still has a view or a reader of states does not keep the folder of the store from the next host.
impl Drop for State {
    fn drop(&mut self) {
        if let Ok(mut held) = self.held.write() {
            held.close_shelf();
        }
    }
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
