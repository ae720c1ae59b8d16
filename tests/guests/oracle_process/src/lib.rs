//! The process plugin among the oracle's guests: two inputs with fields of their own, states that begin anew, timers set by
//! event times and by the watermark, rows given, taken back and refused. All on conditions that the model in
//! tests/oracle/process.rs repeats.
//!
//! It is written against the generated bindings, so that it says what the contract says and nothing more.

#![allow(unsafe_code)]

mod rows;
mod state;

use std::cell::RefCell;

use refrain_sdk::bindings::process_plugin::exports::refrain::plugin::about::{self, Description};
use refrain_sdk::bindings::process_plugin::exports::refrain::plugin::process::{
    self, Declaration, Part, Processed,
};
use refrain_sdk::bindings::{Failure, Reject, Spans};

use rows::{Said, Shown};
use state::State;

/// A row with this number traps.
const TRAP: i64 = 4242;
const NEVER: i64 = i64::MIN;

#[derive(Clone, Copy)]
struct Options {
    /// Microseconds from a row to its timer.
    gap: i64,
    /// Whether rows are taken back: only a view can do that.
    view: bool,
}

thread_local! {
    static OPTIONS: RefCell<Options> = const { RefCell::new(Options { gap: 5_000_000, view: false }) };
    static STATES: RefCell<Vec<State>> = const { RefCell::new(Vec::new()) };
}

struct Component;

impl about::Guest for Component {
    fn describe() -> Description {
        let field = |(name, kind, nullable): (&str, &str, bool)| about::Field {
            name: name.to_string(),
            kind: kind.to_string(),
            nullable,
        };
        let setting = |name: &str, kind: &str, default: &str| about::Setting {
            name: name.to_string(),
            kind: kind.to_string(),
            default: Some(default.to_string()),
            doc: String::new(),
        };
        Description {
            name: "oracle_process".to_string(),
            version: "0.1.0".to_string(),
            doc: "Two inputs, timers, rows out.".to_string(),
            inputs: Vec::new(),
            outputs: rows::OUTPUTS.into_iter().map(field).collect(),
            wants_keys: false,
            state_version: 1,
            settings: vec![
                setting("gap", "i64", "5000000"),
                setting("view", "bool", "false"),
            ],
        }
    }

    fn configure(options: Vec<(String, String)>) -> Result<(), String> {
        OPTIONS.with_borrow_mut(|own| {
            for (name, value) in options {
                match name.as_str() {
                    "gap" => own.gap = value.parse().map_err(|e| format!("gap: {e}"))?,
                    "view" => own.view = value == "true",
                    _ => {}
                }
            }
            Ok(())
        })
    }
}

impl process::Guest for Component {
    fn declare() -> Declaration {
        let input = |name: &str, fields: &[(&str, &str)]| {
            let field = |(name, kind): &(&str, &str)| about::Field {
                name: name.to_string(),
                kind: kind.to_string(),
                nullable: true,
            };
            process::Input {
                name: name.to_string(),
                doc: String::new(),
                fields: fields.iter().map(field).collect(),
            }
        };
        Declaration {
            inputs: vec![
                input(
                    "left",
                    &[("number", "i64"), ("name", "text"), ("blob", "bytes")],
                ),
                input(
                    "right",
                    &[("flag", "bool"), ("real", "f64"), ("number", "i64")],
                ),
            ],
            view_key: vec!["cause".to_string()],
            timed: true,
        }
    }

    fn process(parts: Vec<Part>, order: Vec<u32>, watermark: i64) -> Result<Processed, Failure> {
        let options = OPTIONS.with_borrow(|options| *options);
        let mut said = Said::default();
        let mut next = [0, 0];
        for (place, input) in order.iter().enumerate() {
            let input = *input as usize;
            let at = next[input];
            next[input] += 1;
            let part = &parts[input];
            let row = rows::read(input, &part.rows, at);
            let (slot, time) = (part.slots[at], part.times[at]);
            with(slot, |state| {
                said.begin(place, slot);
                if let Err(reason) = state.take(&options, &row, time, watermark, &mut said) {
                    said.rejects.push(Reject {
                        row: place as u32,
                        reason,
                    });
                }
            });
        }
        Ok(said.answer())
    }

    fn fire(slots: Vec<u32>, times: Vec<i64>, watermark: i64) -> Result<Processed, Failure> {
        let options = OPTIONS.with_borrow(|options| *options);
        let mut said = Said::default();
        for (place, (slot, time)) in slots.iter().zip(&times).enumerate() {
            with(*slot, |state| {
                said.begin(place, *slot);
                state.fire(&options, *time, watermark, &mut said);
            });
        }
        Ok(said.answer())
    }

    fn save(slots: Vec<u32>) -> Result<Spans, Failure> {
        let mut spans = Spans {
            ends: Vec::new(),
            bytes: Vec::new(),
        };
        for slot in slots {
            with(slot, |state| state.save(&mut spans.bytes));
            spans.ends.push(spans.bytes.len() as u32);
        }
        Ok(spans)
    }

    fn restore(slots: Vec<u32>, states: Spans) -> Result<(), Failure> {
        let mut start = 0;
        for (slot, end) in slots.iter().zip(&states.ends) {
            let bytes = &states.bytes[start..*end as usize];
            assert!(!bytes.is_empty(), "an initial state is not restored");
            with(*slot, |state| *state = State::open(bytes));
            start = *end as usize;
        }
        Ok(())
    }

    fn release(slots: Vec<u32>) {
        for slot in slots {
            with(slot, |state| *state = State::default());
        }
    }
}

fn with<R>(slot: u32, act: impl FnOnce(&mut State) -> R) -> R {
    STATES.with_borrow_mut(|states| {
        let slot = slot as usize;
        if slot >= states.len() {
            states.resize_with(slot + 1, State::default);
        }
        act(&mut states[slot])
    })
}

/// A time that a row may have.
fn sane(time: i64) -> i64 {
    time.clamp(-62_135_596_800_000_000, 253_402_300_799_999_999)
}

/// The watermark as a row shows it.
fn seen(watermark: i64) -> Option<i64> {
    (watermark != NEVER).then(|| sane(watermark))
}

/// A row of nothing but its cause.
fn bare(at: i64, cause: &'static str) -> Shown {
    Shown {
        at: sane(at),
        cause,
        flag: None,
        number: None,
        real: None,
        name: None,
        blob: None,
        moment: None,
    }
}

#[cfg(target_arch = "wasm32")]
refrain_sdk::bindings::process_plugin::export_process_plugin!(Component with_types_in refrain_sdk::bindings::process_plugin);
