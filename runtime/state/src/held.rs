//! What commits have made, in memory: nodes with their states, and views. Live commits and recovery change it through
//! the same door.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::commit::{DerivedEnd, NodeState, SourceEnd};
use crate::record::Closing;
use crate::registry::Registry;
use crate::store::disk::Mark;
use crate::store::{Shelf, StateChanges, Store};
use crate::view::{Prepared, View, ViewSpec, ViewState};
use crate::{Error, Result};

/// Everything as of the last commit.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The last commit of each node.
    pub(crate) nodes: BTreeMap<String, NodeState>,
    /// The states of each node, by task.
    pub(crate) stores: BTreeMap<String, BTreeMap<u32, Box<dyn Store>>>,
    pub(crate) views: BTreeMap<String, Arc<View>>,
    pub(crate) registry: Registry,
    /// Where stores are made.
    pub(crate) shelf: Shelf,
    /// Number of the last commit whose states the shelf has: they are not applied again.
    pub(crate) shelved: u64,
}

/// What a commit changes of one node.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) states: Vec<(u32, StateChanges)>,
    pub(crate) rows: Vec<Prepared>,
}

/// Changes of views, to be applied after everything else.
pub(crate) type ViewWork = Vec<(Arc<View>, Vec<Prepared>, ViewState)>;

impl Held {
    /// Nothing, to be kept on this shelf, which has the states of all commits up to this.
    pub(crate) fn new(shelf: Shelf, shelved: u64) -> Held {
        Held {
            shelf,
            shelved,
            ..Held::default()
        }
    }

    /// Stores of all tasks that ever committed. A shelf that had their states has not been asked for them.
    pub(crate) fn fill_shelf(&mut self) {
        for (node, state) in &self.nodes {
            let stores = self.stores.entry(node.clone()).or_default();
            for task in state.memos.keys() {
                let new = || self.shelf.store(node, *task);
                stores.entry(*task).or_insert_with(new);
            }
        }
    }

    /// The view that a node keeps.
    pub(crate) fn view_of(&self, node: &str) -> Option<&Arc<View>> {
        self.views.values().find(|view| view.spec().node == node)
    }

    /// Lets go of all stores.
    pub(crate) fn close_shelf(&mut self) {
        self.stores.clear();
        self.shelf = Shelf::Memory;
    }

    /// The declarations of all views.
    pub(crate) fn specs(&self) -> Vec<ViewSpec> {
        self.views
            .values()
            .map(|view| view.spec().clone())
            .collect()
    }

    /// Forgets nodes and their views, in a commit.
    pub(crate) fn forget(&mut self, closing: &Closing) -> Result<()> {
        for node in &closing.forgotten {
            self.forget_node(node);
            if closing.commit > self.shelved {
                self.shelf.forget(node)?;
            }
        }
        Ok(())
    }

    fn forget_node(&mut self, node: &str) {
        self.nodes.remove(node);
        self.stores.remove(node);
        self.views.retain(|_, view| {
            let keep = view.spec().node != node;
            if !keep {
                view.clear();
            }
            keep
        });
    }

    /// Takes over what was read anew. Views that readers hold stay the same objects; those declared but not yet
    /// committed stay.
    pub(crate) fn replace(&mut self, new: Held, undeclared: &[ViewSpec]) {
        self.nodes = new.nodes;
        self.stores = new.stores;
        self.registry = new.registry;
        self.shelf = new.shelf;
        self.shelved = new.shelved;
        let old = std::mem::replace(&mut self.views, new.views);
        for (name, view) in old {
            if undeclared.contains(view.spec()) {
                view.clear();
                self.views.insert(name, view);
            } else if let Some(new) = self
                .views
                .get(&name)
                .filter(|new| new.spec() == view.spec())
            {
                view.take(new);
                self.views.insert(name, view);
            }
        }
    }

    /// Adds the views that a closing record declares.
    pub(crate) fn declare(&mut self, closing: &Closing) -> Result<()> {
        for spec in &closing.declared {
            if !self.views.contains_key(&spec.name) {
                let view = View::new(spec.clone())?.kept_in(self.shelf.scratch());
                self.views.insert(spec.name.clone(), Arc::new(view));
            }
        }
        Ok(())
    }

    /// The states of a task, if it has any.
    pub(crate) fn store(&self, node: &str, task: u32) -> Option<&dyn Store> {
        Some(self.stores.get(node)?.get(&task)?.as_ref())
    }

    /// What a closed commit changes in views, taken out of its changes.
    pub(crate) fn take_views(
        &self,
        closing: &Closing,
        changes: &mut BTreeMap<String, Changes>,
    ) -> ViewWork {
        let mut work = ViewWork::new();
        for closed in &closing.nodes {
            let rows = changes.get_mut(&closed.node);
            let rows = rows.map_or_else(Vec::new, |changes| std::mem::take(&mut changes.rows));
            if let Some(view) = self.view_of(&closed.node) {
                work.push((view.clone(), rows, view_state(&closed.state)));
            }
        }
        // Of nodes that did not commit there is only what was there before, while a base is read.
        let commits = |node: &str| closing.nodes.iter().any(|closed| closed.node == node);
        for (node, changes) in changes.iter_mut().filter(|(node, _)| !commits(node)) {
            if let Some(view) = self.view_of(node) {
                work.push((
                    view.clone(),
                    std::mem::take(&mut changes.rows),
                    view.state(),
                ));
            }
        }
        work
    }

    /// Takes up a closed commit, but for its views ([`Held::take_views`]).
    pub(crate) fn close(
        &mut self,
        closing: &Closing,
        changes: BTreeMap<String, Changes>,
    ) -> Result<()> {
        for closed in &closing.nodes {
            match self.nodes.get_mut(&closed.node) {
                Some(node) => node.advance(&closed.state),
                None => {
                    self.nodes.insert(closed.node.clone(), closed.state.clone());
                }
            }
        }
        for (node, changes) in changes {
            self.put_states(&node, changes.states)?;
        }
        Ok(())
    }

    fn put_states(&mut self, node: &str, states: Vec<(u32, StateChanges)>) -> Result<()> {
        if states.is_empty() {
            return Ok(());
        }
        let stores = self.stores.entry(node.to_owned()).or_default();
        for (task, changes) in states {
            let new = || self.shelf.store(node, task);
            stores.entry(task).or_insert_with(new).apply(&changes)?;
        }
        Ok(())
    }

    /// A commit was applied as a whole.
    pub(crate) fn closed(&self, mark: Mark) -> Result<()> {
        match mark.commit > self.shelved {
            true => self.shelf.committed(mark),
            false => Ok(()),
        }
    }

    /// Whether the views are what a closing record says they were before it.
    pub(crate) fn check(&self, closing: &Closing) -> Result<(), String> {
        for closed in &closing.nodes {
            let Some((rows, digest)) = closed.before else {
                continue;
            };
            let found = self
                .view_of(&closed.node)
                .map(|v| v.state())
                .map(|s| (s.rows, s.digest));
            if found.is_some_and(|found| found != (rows, digest)) {
                return Err(format!(
                    "the view of node `{}` does not come to the digest written with commit {}",
                    closed.node, closing.commit
                ));
            }
        }
        Ok(())
    }

    /// Bytes of states and of views.
    pub(crate) fn bytes(&self) -> u64 {
        self.states_bytes()
            + self
                .views
                .values()
                .map(|view| view.state().bytes)
                .sum::<u64>()
    }

    /// Bytes that a base of it takes, about.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.states_bytes()
            + self
                .views
                .values()
                .map(|view| view.live_bytes())
                .sum::<u64>()
    }

    fn states_bytes(&self) -> u64 {
        let stores = || self.stores.values().flat_map(BTreeMap::values);
        let counted = self.shelf.bytes();
        counted.unwrap_or_else(|| stores().map(|store| store.bytes()).sum())
    }
}

/// Applies what is to be done for the views.
pub(crate) fn apply_views(work: ViewWork) {
    work.into_iter()
        .for_each(|(view, changes, state)| view.apply(changes, state));
}

/// What a view stands for after a node's commit; its rows are counted when they are applied.
fn view_state(node: &NodeState) -> ViewState {
    ViewState {
        cut: node.cut,
        commit: node.commit,
        time: node.time,
        watermark: node.watermark,
        ..ViewState::EMPTY
    }
}

impl NodeState {
    /// Takes over a later commit, which mentions only the memos and ends that changed.
    fn advance(&mut self, later: &NodeState) {
        let NodeState {
            memos,
            sources,
            derived,
            ..
        } = std::mem::replace(self, later.clone());
        let later_memos = std::mem::replace(&mut self.memos, memos);
        self.memos.extend(later_memos);
        keep_unmentioned(&mut self.sources, sources, SourceEnd::partition);
        keep_unmentioned(&mut self.derived, derived, DerivedEnd::partition);
    }
}

fn keep_unmentioned<T>(
    later: &mut Vec<T>,
    earlier: Vec<T>,
    partition: impl for<'a> Fn(&'a T) -> (&'a str, u32),
) {
    for end in earlier {
        if !later.iter().any(|l| partition(l) == partition(&end)) {
            later.push(end);
        }
    }
    later.sort_by(|a, b| partition(a).cmp(&partition(b)));
}

impl SourceEnd {
    fn partition(&self) -> (&str, u32) {
        (&self.topic, self.partition)
    }
}

impl DerivedEnd {
    fn partition(&self) -> (&str, u32) {
        (&self.topic, self.partition)
    }
}

/// The error of a record that does not fit what came before it.
pub(crate) fn record_error(offset: refrain_log::ids::Offset, what: impl Into<String>) -> Error {
    Error::Record {
        offset,
        what: what.into(),
    }
}
