//! The states of a node as another component has them: read from the last commit, migrated where that is due, and tried
//! out in the new component before anything is written.

use std::collections::BTreeMap;

use refrain_plugin::{Instance, Plugin, PluginKind, States};
use refrain_state::commit::{NodeCommit, NodeState, State, TaskChanges};
use refrain_state::store::StateChanges;
use refrain_state::view::ViewChanges;

use super::lineage;
use crate::error::{Error, Result};
use crate::pipeline::PlannedNode;
use crate::receipt::How;
use crate::task::{fold, process};

/// States of one call at most.
const CALL_STATES: usize = 1024;
/// Bytes of the states of one call, about.
const CALL_BYTES: usize = 4 << 20;

/// Rows of a view that are copied at once.
const PAGE_ROWS: usize = 1 << 18;
/// Bytes of them, about.
const PAGE_BYTES: u64 = 16 << 20;

/// The commit by which a component takes over a node (under the names of its version) at its last commit, and how many
/// states it takes. Nothing is written here.
pub(crate) fn taken_over(
    state: &State,
    planned: &PlannedNode,
    plugin: &Plugin,
    how: How,
    from: u32,
) -> Result<(NodeCommit, u64)> {
    let last = last_of(state, &planned.name)?;
    let estate = Estate {
        state,
        node: &planned.name,
        how,
        from,
        whole: false,
    };
    let (tasks, count) = estate.tasks(&last, planned, plugin)?;
    Ok((commit(planned, plugin, tasks, last), count))
}

/// The commit by which a node begins with all that another one, perhaps of another host, has at its last commit: its
/// states as of [`taken_over`], what else the host keeps with them, and the rows of its view. `topics`: what derived topics
/// that it reads or writes are called now; those that it writes and that are not among them begin empty. Nothing is written
/// here.
pub(crate) fn copied(
    state: &State,
    (node, topics): (&str, &BTreeMap<String, String>),
    planned: &PlannedNode,
    plugin: &Plugin,
    how: How,
    from: u32,
) -> Result<(NodeCommit, u64)> {
    let mut last = last_of(state, node)?;
    let estate = Estate {
        state,
        node,
        how,
        from,
        whole: true,
    };
    let (mut tasks, count) = estate.tasks(&last, planned, plugin)?;
    estate.add_rows(&last, &mut tasks)?;
    last.derived.retain(|end| topics.contains_key(&end.topic));
    let ends = last.derived.iter_mut().map(|end| &mut end.topic);
    for topic in ends.chain(last.sources.iter_mut().map(|end| &mut end.topic)) {
        if let Some(name) = topics.get(topic) {
            name.clone_into(topic);
        }
    }
    Ok((commit(planned, plugin, tasks, last), count))
}

fn last_of(state: &State, node: &str) -> Result<NodeState> {
    state.node(node).ok_or_else(|| {
        Error::Refused(format!(
            "node {node} has made no commit: there is nothing to take over; build the plugin and run it"
        ))
    })
}

fn commit(
    planned: &PlannedNode,
    plugin: &Plugin,
    tasks: Vec<TaskChanges>,
    last: NodeState,
) -> NodeCommit {
    NodeCommit {
        node: planned.name.clone(),
        cut: last.cut,
        lineage: lineage(planned, plugin),
        tasks,
        sources: last.sources,
        derived: last.derived,
        watermark: last.watermark,
        counts: last.counts,
    }
}

/// What there is to take.
struct Estate<'a> {
    state: &'a State,
    node: &'a str,
    how: How,
    /// Version of the states.
    from: u32,
    /// Whether all of it goes into the commit, and not only what becomes different.
    whole: bool,
}

impl Estate<'_> {
    /// What each task takes, and how many states that are.
    fn tasks(
        &self,
        last: &NodeState,
        planned: &PlannedNode,
        plugin: &Plugin,
    ) -> Result<(Vec<TaskChanges>, u64)> {
        let mut tasks = Vec::new();
        let mut count = 0;
        for (task, memo) in &last.memos {
            let mut changes = TaskChanges {
                task: *task,
                memo: memo.clone(),
                ..TaskChanges::default()
            };
            if planned.about.kind != PluginKind::Transform {
                let mut heir = Heir::new(self, planned, plugin)?;
                count += heir.take(*task)?;
                changes.state = heir.changes;
            }
            tasks.push(changes);
        }
        Ok((tasks, count))
    }

    /// The rows of the view, with the first task: whose a row is, its key says.
    fn add_rows(&self, last: &NodeState, tasks: &mut Vec<TaskChanges>) -> Result<()> {
        let views = self.state.views();
        let view = views.iter().find(|view| view.spec().node == self.node);
        let (Some(view), Some((task, memo))) = (view, last.memos.first_key_value()) else {
            return Ok(());
        };
        let mut pages = view.pages(None, None)?;
        while !pages.is_done() {
            let page = pages.next(PAGE_ROWS, PAGE_BYTES)?;
            tasks.push(TaskChanges {
                task: *task,
                memo: memo.clone(),
                view: Some(ViewChanges {
                    rows: page.rows,
                    finals: page.finals,
                    deletes: None,
                }),
                ..TaskChanges::default()
            });
        }
        Ok(())
    }
}

/// An instance that takes states, and what it makes of them.
struct Heir<'a> {
    estate: &'a Estate<'a>,
    planned: &'a PlannedNode,
    migrating: Instance,
    trial: Instance,
    changes: StateChanges,
}

/// States on their way, with what the host keeps with each.
#[derive(Default)]
struct Block<'a> {
    keys: Vec<&'a [u8]>,
    leads: Vec<&'a [u8]>,
    states: States,
}

impl<'a> Heir<'a> {
    fn new(estate: &'a Estate<'a>, planned: &'a PlannedNode, plugin: &Plugin) -> Result<Heir<'a>> {
        let start = || {
            let instance = plugin.instantiate(&planned.options, planned.limits);
            instance.map_err(|fault| estate.stays(&fault))
        };
        Ok(Heir {
            estate,
            planned,
            migrating: start()?,
            trial: start()?,
            changes: StateChanges::default(),
        })
    }

    /// All states of a task.
    fn take(&mut self, task: u32) -> Result<u64> {
        let all = self.estate.state.task_states(self.estate.node, task)?;
        let mut count = 0;
        let mut block = Block::default();
        for (key, value) in &all {
            let lead = match self.planned.about.kind {
                PluginKind::Process => process::lead_bytes(key, value),
                PluginKind::Fold | PluginKind::Transform => {
                    fold::lead_bytes(self.planned, key, value)
                }
            };
            let Some(lead) = lead else {
                // What is the host's alone is as it was, whoever takes over.
                if self.estate.whole {
                    self.changes.put_keys.push(key);
                    self.changes.put_states.push(value);
                }
                continue;
            };
            count += 1;
            let (lead, own) = value.split_at(lead);
            block.keys.push(key);
            block.leads.push(lead);
            block.states.push(own);
            if block.keys.len() >= CALL_STATES || block.states.bytes.len() >= CALL_BYTES {
                self.convert(std::mem::take(&mut block))?;
            }
        }
        self.convert(block)?;
        Ok(count)
    }

    fn convert(&mut self, block: Block<'_>) -> Result<()> {
        if block.keys.is_empty() {
            return Ok(());
        }
        let estate = self.estate;
        let said = |fault| estate.stays(&fault);
        let migrated = match estate.how {
            How::Migrate => Some(
                self.migrating
                    .migrate(estate.from, &block.states)
                    .map_err(said)?,
            ),
            How::Begin | How::Replace => None,
        };
        let slots: Vec<u32> = (0..).take(block.keys.len()).collect();
        let states = migrated.as_ref().unwrap_or(&block.states);
        self.trial.restore(&slots, states).map_err(said)?;
        self.trial.release(&slots).map_err(said)?;
        if estate.whole || migrated.is_some() {
            let mut value = Vec::new();
            for (i, (key, lead)) in block.keys.iter().zip(&block.leads).enumerate() {
                value.clear();
                value.extend_from_slice(lead);
                value.extend_from_slice(states.get(i));
                self.changes.put_keys.push(key);
                self.changes.put_states.push(&value);
            }
        }
        Ok(())
    }
}

impl Estate<'_> {
    /// A component that cannot take the states.
    fn stays(&self, fault: &refrain_plugin::Fault) -> Error {
        let node = self.node;
        Error::Refused(match self.whole {
            false => format!("node {node} is not upgraded, and goes on as it was: {fault}"),
            true => format!(
                "the states of node {node} in the savepoint cannot be gone on from, and no version was made: {fault}"
            ),
        })
    }
}
