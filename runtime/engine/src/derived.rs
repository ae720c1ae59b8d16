//! Derived topics when a host opens: readers see them as the last commits left them, and what no commit names is gone.

use std::collections::BTreeSet;

use refrain_log::log::Log;
use refrain_log::topic::Origin;
use refrain_state::commit::State;

use crate::error::Result;

/// Removes topics of numbered versions that no commit names. A process left them that ended between the commit by which a
/// version was retired, or before the first of one that was to be, and their removal: they take room, and a version of that
/// number, when the node was taken out of the file and is put back, would write behind them.
///
/// Where the commits are lost, nothing is known of any version, and nothing is taken away.
pub(crate) fn drop_leftovers(log: &Log, state: &State) -> Result<()> {
    let mut named = BTreeSet::new();
    for node in state.nodes() {
        let ends = state.node(&node).map(|last| last.derived);
        named.extend(ends.into_iter().flatten().map(|end| end.topic));
    }
    if named.is_empty() {
        return Ok(());
    }
    for topic in log.topics() {
        let spec = topic.spec();
        // Of a version, as in `cleaned@2` and `clean@2.rejected`: names of the pipeline file have no such sign.
        let is_left = spec.name.contains('@') && !named.contains(&spec.name);
        if spec.origin == Origin::Derived && is_left {
            log.drop_derived(&spec.name)?;
        }
    }
    Ok(())
}

/// Shows readers the derived topics as the last commits left them.
pub(crate) fn show(log: &Log, state: &State) -> Result<()> {
    for node in state.nodes() {
        let last = state.node(&node);
        let last = last.expect("a node that is listed has a last commit");
        for end in &last.derived {
            if log.topic(&end.topic).is_some() {
                log.cut_derived(&end.topic, end.partition, end.end, last.cut)?;
            }
        }
    }
    Ok(())
}
