//! The fold: counts and sums `value`. Two states are joined by adding them; states of an older version, whatever bytes they
//! are, are taken over as their length.

use std::cell::RefCell;

use refrain_sdk::bindings::migrate_plugin::exports::refrain::plugin::migrate;
use refrain_sdk::bindings::session_plugin::exports::refrain::plugin::about::{self, Description};
use refrain_sdk::bindings::session_plugin::exports::refrain::plugin::fold::{
    self, Entries, Evaluated,
};
use refrain_sdk::bindings::session_plugin::exports::refrain::plugin::merge;
use refrain_sdk::bindings::{Failure, Reject, Rows, Spans};

use crate::{MAGIC, harm, ints, is, rejects, spoil, texts, values};

thread_local! {
    static STATES: RefCell<Vec<[i64; 2]>> = const { RefCell::new(Vec::new()) };
}

struct Component;

impl about::Guest for Component {
    fn describe() -> Description {
        crate::describe!(about)
    }

    fn configure(options: Vec<(String, String)>) -> Result<(), String> {
        crate::configure(options)
    }
}

fn with<R>(slot: u32, act: impl FnOnce(&mut [i64; 2]) -> R) -> R {
    STATES.with_borrow_mut(|states| {
        let slot = slot as usize;
        if slot >= states.len() {
            states.resize(slot + 1, [0; 2]);
        }
        act(&mut states[slot])
    })
}

impl fold::Guest for Component {
    fn update(input: Rows, entries: Entries) -> Result<Vec<Reject>, Failure> {
        harm::call();
        let values = values(&input);
        if is("fatal") && values.contains(&MAGIC) {
            return Err(Failure::Fatal("thirteen".to_string()));
        }
        let rejects = rejects(values);
        for (i, slot) in entries.slots.iter().enumerate() {
            let row = entries.rows.get(i).copied().unwrap_or(i as u32);
            if is("reject-touches") && values[row as usize] == MAGIC {
                with(*slot, |state| state[0] += 1);
            }
            if rejects.iter().all(|reject| reject.row != row) {
                let value = values[row as usize];
                with(*slot, |state| {
                    *state = [state[0] + 1, state[1].wrapping_add(value)]
                });
                harm::row(value);
            }
        }
        Ok(rejects)
    }

    fn evaluate(slots: Vec<u32>, _keys: Rows) -> Result<Evaluated, Failure> {
        let states: Vec<[i64; 2]> = slots
            .iter()
            .map(|slot| with(*slot, |state| *state))
            .collect();
        if is("fatal-evaluate") {
            return Err(Failure::Fatal("no answer".to_string()));
        }
        if is("trap-evaluate") && states.iter().any(|state| state[1] == MAGIC) {
            panic!("thirteen");
        }
        let hidden = if is("hidden") {
            i64::from(harm::calls())
        } else {
            0
        };
        let names: Vec<Vec<u8>> = states.iter().map(name).collect();
        let means = states
            .iter()
            .map(|state| state[1] as f64 / state[0].max(1) as f64)
            .collect();
        let mut rows = Rows {
            count: slots.len() as u32,
            columns: vec![
                ints(states.iter().map(|state| state[0] + hidden).collect()),
                ints(states.iter().map(|state| state[1]).collect()),
                refrain_sdk::bindings::Column {
                    values: refrain_sdk::bindings::Values::Floats(means),
                    valid: Vec::new(),
                },
                texts(&names),
            ],
        };
        spoil(&mut rows);
        let present = match is("present-short") {
            true => vec![255; slots.len().div_ceil(8) + 1],
            false => Vec::new(),
        };
        Ok(Evaluated { rows, present })
    }

    fn save(slots: Vec<u32>) -> Result<Spans, Failure> {
        let mut spans = Spans {
            ends: Vec::new(),
            bytes: Vec::new(),
        };
        for slot in slots {
            let mut state = with(slot, |state| *state);
            if is("save-other") {
                state[0] |= i64::from(harm::saves()) << 32;
            }
            spans
                .bytes
                .extend(state.iter().flat_map(|number| number.to_le_bytes()));
            spans.ends.push(spans.bytes.len() as u32);
        }
        if is("save-short") {
            spans.ends.pop();
        }
        if is("save-ends-falling") && spans.ends.len() > 1 {
            spans.ends.swap(0, 1);
        }
        if is("save-ends-beyond") {
            *spans.ends.last_mut().expect("there is a slot") += 1;
        }
        if is("save-huge") {
            spans.bytes.resize(100 << 20, 0);
            *spans.ends.last_mut().expect("there is a slot") = 100 << 20;
        }
        Ok(spans)
    }

    fn restore(slots: Vec<u32>, states: Spans) -> Result<(), Failure> {
        if is("fatal-restore") {
            return Err(Failure::Fatal("no such state".to_string()));
        }
        for (slot, bytes) in slots.iter().zip(states.bytes.chunks_exact(16)) {
            let number =
                |at: usize| i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
            with(*slot, |state| *state = [number(0) as i32 as i64, number(8)]);
        }
        Ok(())
    }

    fn release(slots: Vec<u32>) {
        if is("release-keeps") {
            return;
        }
        for slot in slots {
            with(slot, |state| *state = [0; 2]);
        }
    }
}

impl merge::Guest for Component {
    fn merge(into: Vec<u32>, other: Vec<u32>) -> Result<(), Failure> {
        if is("merge-fatal") {
            return Err(Failure::Fatal("not these two".to_string()));
        }
        if is("merge-trap") {
            panic!("not these two");
        }
        let before: Vec<[i64; 2]> = into
            .iter()
            .map(|slot| with(*slot, |state| *state))
            .collect();
        for (i, (into, other)) in into.iter().zip(&other).enumerate() {
            let later = with(*other, |state| *state);
            with(*into, |state| {
                if is("merge-stale") {
                    *state = before[i];
                }
                *state = [state[0] + later[0], state[1].wrapping_add(later[1])];
            });
            if is("merge-first") {
                break;
            }
        }
        if is("merge-third") {
            with(11, |state| state[0] += 1);
        }
        Ok(())
    }
}

impl migrate::Guest for Component {
    fn migrate(from_version: u32, states: Spans) -> Result<Spans, Failure> {
        if from_version != 1 && !is("migrate-any") {
            return Err(Failure::Fatal(format!(
                "states of version {from_version} are not known"
            )));
        }
        let mut spans = Spans {
            ends: Vec::new(),
            bytes: Vec::new(),
        };
        let mut start = 0;
        for (place, end) in states.ends.iter().enumerate() {
            let mut count = i64::from(end - start);
            if is("migrate-hidden") {
                count += place as i64;
            }
            if is("migrate-other") {
                count |= 1 << 40;
            }
            spans.bytes.extend(count.to_le_bytes());
            spans.bytes.extend(0i64.to_le_bytes());
            spans.ends.push(spans.bytes.len() as u32);
            start = *end;
        }
        if is("migrate-short") {
            spans.ends.pop();
        }
        Ok(spans)
    }
}

fn name(state: &[i64; 2]) -> Vec<u8> {
    match is("huge") {
        true => vec![b'x'; 100 << 20],
        false => format!("n{}", state[0]).into_bytes(),
    }
}

#[cfg(target_arch = "wasm32")]
refrain_sdk::bindings::session_plugin::export_session_plugin!(Component with_types_in refrain_sdk::bindings::session_plugin);
#[cfg(target_arch = "wasm32")]
refrain_sdk::bindings::migrate_plugin::export_migrate_plugin!(Component with_types_in refrain_sdk::bindings::migrate_plugin);
