//! A process plugin that misbehaves on request: the option `behaviour` names what it does wrong, `none` for nothing.
//!
//! It counts and sums `value`, gives the totals for each row, and gives them again five seconds of event time later. States of
//! version 1, whatever bytes they are, are taken over as a count of these bytes. It is
//! written against the generated bindings; the README of ../bad lists what each behaviour is for.

#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};

use refrain_sdk::bindings::migrate_plugin::exports::refrain::plugin::migrate;
use refrain_sdk::bindings::process_plugin::exports::refrain::plugin::about::{self, Description};
use refrain_sdk::bindings::process_plugin::exports::refrain::plugin::process::{
    self, Declaration, Input, Part, Processed, Timers,
};
use refrain_sdk::bindings::{Column, Failure, Reject, Rows, Spans, Values};

/// The value on which most behaviours act.
const MAGIC: i64 = 13;
/// From a row to its timer, in microseconds.
const GAP_US: i64 = 5_000_000;

thread_local! {
    static BEHAVIOUR: RefCell<String> = const { RefCell::new(String::new()) };
    static STATES: RefCell<Vec<[i64; 2]>> = const { RefCell::new(Vec::new()) };
    static CALLS: Cell<i64> = const { Cell::new(0) };
}

/// Whether this is what was asked for.
fn is(behaviour: &str) -> bool {
    BEHAVIOUR.with_borrow(|asked| asked == behaviour)
}

fn calls() -> i64 {
    CALLS.set(CALLS.get() + 1);
    CALLS.get()
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

struct Component;

impl about::Guest for Component {
    fn describe() -> Description {
        let field = |name: &str| about::Field {
            name: name.to_string(),
            kind: "i64".to_string(),
            nullable: false,
        };
        Description {
            name: "bad_process".to_string(),
            version: "0.1.0".to_string(),
            doc: "Misbehaves on request.".to_string(),
            inputs: Vec::new(),
            outputs: vec![field("count"), field("sum")],
            wants_keys: false,
            state_version: 2,
            settings: vec![about::Setting {
                name: "behaviour".to_string(),
                kind: "text".to_string(),
                default: Some("none".to_string()),
                doc: "What it does wrong.".to_string(),
            }],
        }
    }

    fn configure(options: Vec<(String, String)>) -> Result<(), String> {
        let asked = options.into_iter().find(|(name, _)| name == "behaviour");
        BEHAVIOUR.set(asked.map_or_else(|| "none".to_string(), |(_, value)| value));
        Ok(())
    }
}

/// What is answered, row by row.
#[derive(Default)]
struct Said {
    rows: Vec<[i64; 2]>,
    origins: Vec<u32>,
    rejects: Vec<Reject>,
    timers: Vec<(u32, i64)>,
}

impl Said {
    fn row(&mut self, place: usize, slot: u32) {
        self.rows.push(with(slot, |state| *state));
        self.origins.push(place as u32);
    }

    fn answer(mut self) -> Processed {
        if is("hidden") {
            let calls = calls();
            self.rows.iter_mut().for_each(|row| row[0] += calls);
        }
        if is("origins-falling") {
            self.origins.reverse();
        }
        let ints = |place: usize| Column {
            values: Values::Ints(self.rows.iter().map(|row| row[place]).collect()),
            valid: Vec::new(),
        };
        Processed {
            rows: Rows {
                count: self.rows.len() as u32,
                columns: vec![ints(0), ints(1)],
            },
            origins: self.origins,
            deleted: Vec::new(),
            rejects: self.rejects,
            timers: Timers {
                slots: self.timers.iter().map(|timer| timer.0).collect(),
                times: self.timers.iter().map(|timer| timer.1).collect(),
                cleared: Vec::new(),
            },
        }
    }
}

impl process::Guest for Component {
    fn declare() -> Declaration {
        Declaration {
            inputs: vec![Input {
                name: "numbers".to_string(),
                doc: String::new(),
                fields: vec![about::Field {
                    name: "value".to_string(),
                    kind: "i64".to_string(),
                    nullable: false,
                }],
            }],
            view_key: Vec::new(),
            timed: true,
        }
    }

    fn process(parts: Vec<Part>, _: Vec<u32>, _: i64) -> Result<Processed, Failure> {
        let part = &parts[0];
        let Values::Ints(values) = &part.rows.columns[0].values else {
            panic!("the field `value` is i64");
        };
        let mut said = Said::default();
        for (place, value) in values.iter().enumerate() {
            let slot = part.slots[place];
            if *value == MAGIC {
                if is("fatal") {
                    return Err(Failure::Fatal("thirteen".to_string()));
                }
                if is("trap") {
                    panic!("thirteen");
                }
                if is("reject-touches") {
                    with(slot, |state| state[0] += 1);
                }
                if is("reject") || is("reject-touches") || is("reject-kept") {
                    said.rejects.push(Reject {
                        row: place as u32,
                        reason: "thirteen".to_string(),
                    });
                    if is("reject-kept") {
                        said.row(place, slot);
                    }
                    continue;
                }
            }
            with(slot, |state| {
                *state = [state[0] + 1, state[1].wrapping_add(*value)]
            });
            said.row(place, slot);
            said.timers
                .push((slot, part.times[place].saturating_add(GAP_US)));
        }
        Ok(said.answer())
    }

    fn fire(slots: Vec<u32>, _: Vec<i64>, _: i64) -> Result<Processed, Failure> {
        if is("trap-fire") {
            panic!("a timer");
        }
        let mut said = Said::default();
        for (place, slot) in slots.iter().enumerate() {
            said.row(place, *slot);
        }
        Ok(said.answer())
    }

    fn save(slots: Vec<u32>) -> Result<Spans, Failure> {
        let mut spans = Spans {
            ends: Vec::new(),
            bytes: Vec::new(),
        };
        for slot in slots {
            let mut state = with(slot, |state| *state);
            if state != [0; 2] {
                if is("save-other") {
                    state[0] |= calls() << 32;
                }
                let bytes = state.iter().flat_map(|number| number.to_le_bytes());
                spans.bytes.extend(bytes);
            }
            spans.ends.push(spans.bytes.len() as u32);
        }
        if is("save-short") {
            spans.ends.pop();
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

/// One as it began has no bytes, before and after.
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
            if count > 0 {
                spans.bytes.extend(count.to_le_bytes());
                spans.bytes.extend(0i64.to_le_bytes());
            }
            spans.ends.push(spans.bytes.len() as u32);
            start = *end;
        }
        if is("migrate-short") {
            spans.ends.pop();
        }
        Ok(spans)
    }
}

#[cfg(target_arch = "wasm32")]
refrain_sdk::bindings::process_plugin::export_process_plugin!(Component with_types_in refrain_sdk::bindings::process_plugin);
#[cfg(target_arch = "wasm32")]
refrain_sdk::bindings::migrate_plugin::export_migrate_plugin!(Component with_types_in refrain_sdk::bindings::migrate_plugin);
