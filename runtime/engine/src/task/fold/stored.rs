//! States as the store has them: what the host adds to the plugin's bytes, and how a task takes them up again.
//!
//! | window | key | before the plugin's bytes |
//! | --- | --- | --- |
//! | none | key | |
//! | tumbling, sliding | index of the window, key | |
//! | session | mark, key | start, 8 bytes; end, 8 bytes |
//! | count | key | number, 8 bytes; rows in it, 8 bytes |
//!
//! Numbers of the key are as in [`crate::keys`], those before the bytes little-endian. With `keep`, a byte comes first of
//! all: 1, or 0 for a window that is closed and whose row the view still has; its end follows, and nothing else.
//!
//! Where states are looked up when they are needed, there are indexes beside them ([`super::index`]).

use refrain_plugin::States;

use super::core::Shape;
use super::{FoldTask, KeyedState, index};
use crate::error::Result;
use crate::keys;
use crate::pipeline::{PlannedNode, Window};
use crate::task::slots::Found;

/// First byte of a state, with `keep`.
const OPEN: u8 = 1;
const CLOSED: u8 = 0;

/// What the store has of a closed window whose row is kept.
pub(super) fn closed(end: i64) -> Vec<u8> {
    let mut value = vec![CLOSED];
    value.extend_from_slice(&end.to_le_bytes());
    value
}

fn number(bytes: &mut &[u8]) -> i64 {
    let (number, rest) = bytes
        .split_first_chunk()
        .expect("a stored state has the numbers of its kind of window");
    *bytes = rest;
    i64::from_le_bytes(*number)
}

/// How many bytes of a stored state of a fold are the host's, before the plugin's own; none: the plugin has none there,
/// since it is an entry of an index or a closed window.
pub(crate) fn lead_bytes(plan: &PlannedNode, key: &[u8], value: &[u8]) -> Option<usize> {
    if index::holds(plan.window.as_ref(), key) {
        return None;
    }
    let tag = match plan.keep_us {
        Some(_) if value.first() == Some(&CLOSED) => return None,
        Some(_) => 1,
        None => 0,
    };
    Some(match &plan.window {
        Some(Window::Session { .. } | Window::Count { .. }) => tag + 16,
        _ => tag,
    })
}

impl FoldTask {
    /// What the store gets for a slot whose state the plugin saved as these bytes.
    pub(super) fn seal(&self, slot: u32, state: &[u8], out: &mut Vec<u8>) {
        out.clear();
        if self.kept.is_some() {
            out.push(OPEN);
        }
        match self.core.shape {
            Shape::Session => {
                let sessions = &self.core.sessions;
                out.extend_from_slice(&sessions.start(slot).to_le_bytes());
                out.extend_from_slice(&sessions.end(slot).to_le_bytes());
            }
            Shape::Count => {
                let count = self.core.counted.get(slot);
                out.extend_from_slice(&count.number.to_le_bytes());
                out.extend_from_slice(&count.filled.to_le_bytes());
            }
            Shape::Total | Shape::Tumbling(_) | Shape::Sliding(_) => {}
        }
        out.extend_from_slice(state);
    }

    /// Takes up what the store has. The slots, of those that are open.
    pub(super) fn restore(&mut self, states: &[KeyedState]) -> Result<Vec<u32>> {
        let fresh = self.core.slots.fresh.len();
        let mut all = Vec::with_capacity(states.len());
        for block in states.chunks(self.setup.plan.call_rows) {
            let from = all.len();
            let mut saved = States::default();
            for (key, value) in block {
                let mut value = &**value;
                if self.is_index(key) || self.is_closed(key, &mut value) {
                    continue;
                }
                all.push(self.take_up(key, &mut value));
                saved.push(value);
            }
            self.instance
                .restore(&all[from..], &saved)
                .map_err(|f| self.since_commit(f))?;
        }
        self.core.slots.fresh.truncate(fresh);
        Ok(all)
    }

    /// The plugin's bytes of an open window without numbers of its own.
    pub(super) fn opened<'a>(&self, value: &'a [u8]) -> &'a [u8] {
        match self.kept {
            Some(_) => value.get(1..).expect("with `keep`, a tag comes first"),
            None => value,
        }
    }

    /// Whether this is a closed window whose row is kept; noted then.
    fn is_closed(&mut self, key: &[u8], value: &mut &[u8]) -> bool {
        let Some(kept) = &mut self.kept else {
            return false;
        };
        let (tag, rest) = value.split_first().expect("with `keep`, a tag comes first");
        *value = rest;
        if *tag == CLOSED {
            kept.known(number(value), key);
        }
        *tag == CLOSED
    }

    /// The slot of a stored key; leaves the plugin's bytes in `value`.
    fn take_up(&mut self, key: &[u8], value: &mut &[u8]) -> u32 {
        let core = &mut self.core;
        let (window, key) = match core.shape.in_store_keys() {
            true => {
                let (window, key) = key
                    .split_first_chunk()
                    .expect("a windowed state key begins with its window");
                (keys::from_sortable(*window), key)
            }
            false => (0, key),
        };
        match core.shape {
            Shape::Session => {
                let (start, end) = (number(value), number(value));
                let slot = match core.slots.restore(&mut core.tables[0], key) {
                    Found::New(slot) => {
                        core.sessions.restore(slot, window, start, end);
                        slot
                    }
                    Found::Known(head) => {
                        let slot = core.slots.sibling(head);
                        core.sessions.restore(slot, window, start, end);
                        if core.sessions.link(head, slot) == slot {
                            core.slots.repoint(&mut core.tables[0], head, slot);
                        }
                        slot
                    }
                };
                let state = core.slots.get_mut(slot);
                (state.window, state.stored) = (window, true);
                slot
            }
            Shape::Count => {
                let place = core.table(0);
                let slot = core.slots.restore(&mut core.tables[place], key).slot();
                let (window, filled) = (number(value), number(value));
                core.counted.set(slot, window, filled);
                slot
            }
            Shape::Total | Shape::Tumbling(_) | Shape::Sliding(_) => {
                let place = core.table(window);
                core.slots.restore(&mut core.tables[place], key).slot()
            }
        }
    }
}
