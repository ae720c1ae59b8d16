//! The base: all that is held, written anew, so that everything before it in the commit log can be dropped.

use refrain_log::ids::{Offset, Timestamp};
use refrain_log::segments::Segments;

use crate::Result;
use crate::held::Held;
use crate::record::{ClosedNode, Closing, Frames, RECORD_BYTES};
use crate::store::{StateChanges, Store};
use crate::view::ViewSpec;

/// The commit log may always grow by so much beyond its last base.
const GROWTH_BYTES_FREE: u64 = 64 << 20;
/// It may grow by so many times what is held.
const GROWTH_RATIO: u64 = 3;
/// Frames of a base are written when they come to this.
const WRITE_BYTES: usize = 16 << 20;

/// Whether a base is due.
pub(crate) fn is_due(grown_bytes: u64, live_bytes: u64) -> bool {
    grown_bytes > GROWTH_BYTES_FREE.max(live_bytes.saturating_mul(GROWTH_RATIO))
}

/// Writes a base into a new segment and makes it durable; where it begins. What fails on the way leaves records that no
/// closing record names.
pub(crate) fn write(
    log: &mut Segments,
    held: &Held,
    commit: u64,
    time: Timestamp,
    declared: Vec<ViewSpec>,
) -> Result<Offset> {
    log.roll()?;
    let first = log.end();
    let mut frames = Frames::new(commit, time);
    for (name, node) in &held.nodes {
        for (task, store) in &node.stores {
            add_store(log, &mut frames, name, *task, store.as_ref())?;
        }
    }
    for view in held.views.values() {
        for run in view.snapshot().1 {
            let (rows, finals) = run.live_batch();
            frames.add_rows(&view.spec().node, 0, &rows, &finals, view.schema())?;
            flush(log, &mut frames)?;
        }
    }
    let nodes = held.nodes.iter().map(|(name, node)| ClosedNode {
        node: name.clone(),
        state: node.last.clone(),
        before: held
            .view_of(name)
            .map(|view| view.state())
            .map(|state| (state.rows, state.digest)),
    });
    let nodes = nodes.collect();
    let closing = Closing {
        commit,
        time,
        base: true,
        first,
        declared,
        forgotten: Vec::new(),
        nodes,
    };
    log.append(&frames.close(&closing))?;
    log.sync()?;
    Ok(first)
}

fn add_store(
    log: &mut Segments,
    frames: &mut Frames,
    node: &str,
    task: u32,
    store: &dyn Store,
) -> Result<()> {
    let mut changes = StateChanges::default();
    let mut outcome = Ok(());
    store.each(&mut |key, state| {
        changes.put_keys.push(key);
        changes.put_states.push(state);
        if outcome.is_ok()
            && changes.put_keys.bytes.len() + changes.put_states.bytes.len() >= RECORD_BYTES
        {
            frames.add_states(node, task, &std::mem::take(&mut changes));
            outcome = flush(log, frames);
        }
    });
    outcome?;
    frames.add_states(node, task, &changes);
    flush(log, frames)
}

fn flush(log: &mut Segments, frames: &mut Frames) -> Result<()> {
    if frames.bytes() >= WRITE_BYTES {
        log.append(&frames.take())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_due_by_growth_beyond_both_limits() {
        let mib = 1 << 20;
        for (grown, live, due) in [
            (0, 0, false),
            (64 * mib, 0, false),
            (64 * mib + 1, 0, true),
            (64 * mib + 1, 30 * mib, false),
            (90 * mib + 1, 30 * mib, true),
            (u64::MAX, u64::MAX, false),
        ] {
            assert_eq!(is_due(grown, live), due, "{grown} grown, {live} live");
        }
    }
}
