//! What commits have made, in memory: nodes with their states, and views. Live commits and recovery change it through
//! the same door.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::commit::{DerivedEnd, NodeState, SourceEnd};
use crate::record::Closing;
use crate::registry::Registry;
use crate::store::disk::{Mark, Shelved};
use crate::store::{Shelf, StateChanges, Store};
use crate::view::{Counts, Prepared, View, ViewSpec, ViewState};
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
    /// Where states and view rows are.
    pub(crate) shelf: Shelf,
    /// Number of the last commit whose states and view rows the shelf had when it was opened: they are not applied again.
    pub(crate) shelved: u64,
    /// The last commit applied to the shelf.
    applied: Option<Mark>,
    /// Names of the views whose declarations are in the commit log.
    declared: BTreeSet<String>,
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
    /// What a shelf has; nothing else yet.
    pub(crate) fn new(shelf: Shelf, shelved: Option<&Shelved>) -> Result<Held> {
        let mut held = Held {
            shelf,
            ..Held::default()
        };
        if let Some(shelved) = shelved {
            held.shelved = shelved.mark.commit;
            for (spec, counts) in &shelved.views {
                held.add_view(spec.clone(), *counts)?;
                held.declared.insert(spec.name.clone());
            }
        }
        Ok(held)
    }

    /// Adds a view, kept on the shelf, whose rows come to this there.
    pub(crate) fn add_view(&mut self, spec: ViewSpec, counts: Counts) -> Result<Arc<View>> {
        let view = Arc::new(View::on(&self.shelf, spec, counts)?);
        let name = view.spec().name.clone();
        self.views.insert(name, view.clone());
        Ok(view)
    }

    /// What is on the shelf as of a commit.
    pub(crate) fn shelved_at(&self, mark: Mark) -> Shelved {
        let views = self.views.iter();
        let views = views.filter(|(name, _)| self.declared.contains(*name));
        let views = views.filter_map(|(_, view)| Some((view.spec().clone(), view.counts()?)));
        let views = views.collect();
        Shelved { mark, views }
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

    /// Lets go of all that is on the disk.
    pub(crate) fn close_shelf(&mut self) {
        self.stores.clear();
        if let Some(disk) = self.shelf.disk() {
            disk.close(self.applied.map(|mark| self.shelved_at(mark)));
            self.views.values().for_each(|view| view.close());
        }
        self.shelf = Shelf::Memory;
    }

    /// The declarations of all views.
    pub(crate) fn specs(&self) -> Vec<ViewSpec> {
        self.views
            .values()
            .map(|view| view.spec().clone())
            .collect()
    }

    /// Forgets nodes and their views, in a commit. A shelf that has the commit has forgotten them, and may have later ones.
    pub(crate) fn forget(&mut self, closing: &Closing) -> Result<()> {
        for node in &closing.forgotten {
            match closing.commit > self.shelved {
                true => {
                    self.forget_node(node);
                    self.shelf.forget(node)?;
                }
                false => drop(self.nodes.remove(node)),
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
                self.declared.remove(&view.spec().name);
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
        self.applied = new.applied;
        self.declared = new.declared;
        let old = std::mem::replace(&mut self.views, new.views);
        for (name, view) in old {
            if undeclared.contains(view.spec()) {
                view.renew(&self.shelf, Counts::default());
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

    /// Adds the views that a closing record declares. A shelf that has the commit has those that are still there.
    pub(crate) fn declare(&mut self, closing: &Closing) -> Result<()> {
        if closing.commit <= self.shelved {
            return Ok(());
        }
        for spec in &closing.declared {
            if !self.views.contains_key(&spec.name) {
                self.add_view(spec.clone(), Counts::default())?;
            }
        }
        Ok(())
    }

    /// A base has the declarations of all views.
    pub(crate) fn declared_all(&mut self) {
        self.declared.extend(self.views.keys().cloned());
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
    pub(crate) fn closed(&mut self, closing: &Closing, mark: Mark) -> Result<()> {
        if mark.commit <= self.shelved {
            return Ok(());
        }
        let declared = closing.declared.iter().map(|spec| spec.name.clone());
        self.declared.extend(declared);
        self.applied = Some(mark);
        self.shelf.committed(|| self.shelved_at(mark))
    }

    /// Whether the views are what a closing record says they were before it. What they were before commits that the shelf
    /// has is not known.
    pub(crate) fn check(&self, closing: &Closing) -> Result<(), String> {
        if closing.commit <= self.shelved {
            return Ok(());
        }
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
        self.bytes_with(|view| view.state().bytes)
    }

    /// Bytes that a base of it takes, about.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.bytes_with(View::live_bytes)
    }

    fn bytes_with(&self, of_view: impl Fn(&View) -> u64) -> u64 {
        self.shelf.bytes().unwrap_or_else(|| {
            let stores = self.stores.values().flat_map(BTreeMap::values);
            let views = self.views.values().map(|view| of_view(view));
            stores.map(|store| store.bytes()).sum::<u64>() + views.sum::<u64>()
        })
    }
}

/// Applies what is to be done for the views.
pub(crate) fn apply_views(work: ViewWork) -> Result<()> {
    work.into_iter()
        .try_for_each(|(view, changes, state)| view.apply(changes, state))
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
