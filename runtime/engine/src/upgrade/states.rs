//! The states of a node as another component has them: read from the last commit, migrated where that is due, and tried
//! out in the new component before anything is written.

use refrain_plugin::{Instance, Plugin, PluginKind, States};
use refrain_state::commit::{NodeCommit, State, TaskChanges};
use refrain_state::store::StateChanges;

use super::lineage;
use crate::error::{Error, Result};
use crate::pipeline::PlannedNode;
use crate::receipt::How;
use crate::task::{fold, process};

/// States of one call at most.
const CALL_STATES: usize = 1024;
/// Bytes of the states of one call, about.
const CALL_BYTES: usize = 4 << 20;

/// The commit by which a component takes over a node (under the names of its version) at its last commit, and how many
/// states it takes. Nothing is written here.
pub(crate) fn taken_over(
    state: &State,
    planned: &PlannedNode,
    plugin: &Plugin,
    how: How,
    from: u32,
) -> Result<(NodeCommit, u64)> {
    let node = &planned.name;
    let last = state.node(node).ok_or_else(|| {
        Error::Refused(format!(
            "node {node} has made no commit: there is nothing to take over; build the plugin and run it"
        ))
    })?;
    let mut tasks = Vec::new();
    let mut count = 0;
    for (task, memo) in last.memos {
        let mut changes = TaskChanges {
            task,
            memo,
            ..TaskChanges::default()
        };
        if planned.about.kind != PluginKind::Transform {
            let mut heir = Heir::new(planned, plugin, how, from)?;
            count += heir.take(state, task)?;
            changes.state = heir.changes;
        }
        tasks.push(changes);
    }
    let commit = NodeCommit {
        node: node.clone(),
        cut: last.cut,
        lineage: lineage(planned, plugin),
        tasks,
        sources: last.sources,
        derived: last.derived,
        watermark: last.watermark,
        counts: last.counts,
    };
    Ok((commit, count))
}

/// An instance that takes states, and what it makes of them.
struct Heir<'a> {
    planned: &'a PlannedNode,
    migrating: Instance,
    trial: Instance,
    how: How,
    from: u32,
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
    fn new(planned: &'a PlannedNode, plugin: &Plugin, how: How, from: u32) -> Result<Heir<'a>> {
        let start = || {
            let instance = plugin.instantiate(&planned.options, planned.limits);
            instance.map_err(|fault| stays(planned, &fault))
        };
        Ok(Heir {
            planned,
            migrating: start()?,
            trial: start()?,
            how,
            from,
            changes: StateChanges::default(),
        })
    }

    /// All states of a task.
    fn take(&mut self, state: &State, task: u32) -> Result<u64> {
        let all = state.task_states(&self.planned.name, task)?;
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
        let said = |fault| stays(self.planned, &fault);
        let migrated = match self.how {
            How::Migrate => Some(
                self.migrating
                    .migrate(self.from, &block.states)
                    .map_err(said)?,
            ),
            How::Begin | How::Replace => None,
        };
        let slots: Vec<u32> = (0..).take(block.keys.len()).collect();
        let states = migrated.as_ref().unwrap_or(&block.states);
        self.trial.restore(&slots, states).map_err(said)?;
        self.trial.release(&slots).map_err(said)?;
        if let Some(migrated) = migrated {
            let mut value = Vec::new();
            for (i, (key, lead)) in block.keys.iter().zip(&block.leads).enumerate() {
                value.clear();
                value.extend_from_slice(lead);
                value.extend_from_slice(migrated.get(i));
                self.changes.put_keys.push(key);
                self.changes.put_states.push(&value);
            }
        }
        Ok(())
    }
}

/// A component that cannot take the states.
fn stays(planned: &PlannedNode, fault: &refrain_plugin::Fault) -> Error {
    Error::Refused(format!(
        "node {} is not upgraded, and goes on as it was: {fault}",
        planned.name
    ))
}
