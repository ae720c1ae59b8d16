//! A process under test, natively: rows of named keys, a watermark, timers; rows and a view out. Every row goes through
//! columns, and every state through its saved bytes, so that a test sees what a host would.

use std::collections::{BTreeMap, BTreeSet};

use crate::bindings::process_plugin::exports::refrain::plugin::process::{Part, Processed};
use crate::bindings::{Column, Rows, Spans, Values};
use crate::cell::{Timestamp, bit, bitmap};
use crate::inputs::Inputs;
use crate::process::{Keys, Process};
use crate::row::Row;

/// Timers fire where the watermark crosses a multiple of this, unless a test says otherwise: one second.
const TIMER_STEP_US: i64 = 1_000_000;

/// A process without Wasm and without a host. See [`Process`]'s example.
pub struct TestProcess<P: Process> {
    process: P,
    step_us: i64,
    watermark: i64,
    states: BTreeMap<String, Vec<u8>>,
    timers: BTreeSet<(i64, String)>,
    rows: Vec<(String, P::Output)>,
    view: BTreeMap<(String, Vec<Value>), P::Output>,
    rejects: Vec<(String, String)>,
}

/// A value in the key of a view's row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(u64),
    Bytes(Vec<u8>),
}

impl<P: Process> TestProcess<P> {
    /// Before the first row, without a watermark, with a timer step of one second.
    pub fn new(process: P) -> Self {
        Self {
            process,
            step_us: TIMER_STEP_US,
            watermark: i64::MIN,
            states: BTreeMap::new(),
            timers: BTreeSet::new(),
            rows: Vec::new(),
            view: BTreeMap::new(),
            rejects: Vec::new(),
        }
    }

    /// With another `timer_step`, in microseconds, at least 1.
    pub fn timer_step_us(mut self, step_us: i64) -> Self {
        assert!(step_us > 0, "a timer step is at least one microsecond");
        self.step_us = step_us;
        self
    }

    /// Takes a row of this key and event time. A row that the plugin refuses changes nothing and is kept in
    /// [`rejects`](Self::rejects).
    ///
    /// # Panics
    /// When the state does not survive being saved and restored: its bytes differ afterwards, or cannot be read.
    pub fn row(self, key: &str, at: Timestamp, row: P::Input<'_>) -> Self {
        self.rows_in_one_call([(key, at, row)])
    }

    /// Takes rows as [`row`](Self::row) does, all in one call, as a host would. Nothing may depend on it.
    ///
    /// # Panics
    /// As [`row`](Self::row).
    pub fn rows_in_one_call<'k, 'r>(
        mut self,
        rows: impl IntoIterator<Item = (&'k str, Timestamp, P::Input<'r>)>,
    ) -> Self {
        let mut parts: Vec<Part> = (0..P::Input::INPUTS.len()).map(no_rows::<P>).collect();
        let mut order = Vec::new();
        let mut places = Vec::new();
        let mut keys = Vec::<&str>::new();
        for (key, at, row) in rows {
            let slot = keys.iter().position(|known| *known == key);
            let slot = slot.unwrap_or_else(|| {
                keys.push(key);
                keys.len() - 1
            });
            let (input, row) = row.write();
            append(&mut parts[input], &row, slot as u32, at.0);
            order.push(input as u32);
            places.push(slot);
        }
        if parts.len() == 1 {
            order.clear();
        }
        let watermark = self.watermark;
        self.call(&keys, &places, |process, keys| {
            keys.process(process, &parts, &order, watermark)
        });
        self
    }

    /// Moves the watermark there, which never goes back, and fires the timers of the steps that it crosses.
    ///
    /// # Panics
    /// As [`row`](Self::row).
    pub fn watermark(mut self, at: Timestamp) -> Self {
        let step = at.0.div_euclid(self.step_us).saturating_mul(self.step_us);
        if !P::TIMED || step <= self.watermark {
            return self;
        }
        self.watermark = step;
        // what is set now fires with a later step
        let later = self
            .timers
            .split_off(&(step.saturating_add(1), String::new()));
        let due = std::mem::replace(&mut self.timers, later);
        for (time, key) in &due {
            self.call(&[key], &[0], |process, keys| {
                keys.fire(process, &[0], &[*time], step)
            });
        }
        self
    }

    /// One call about some keys, in an instance of its own: slot i is `keys[i]`, and `places` says which of them a row or
    /// timer of the call is of.
    fn call(
        &mut self,
        keys: &[&str],
        places: &[usize],
        call: impl FnOnce(&P, &mut Keys<P>) -> Result<Processed, String>,
    ) {
        let slots: Vec<u32> = (0..keys.len() as u32).collect();
        let mut instance = Keys::<P>::new().expect("the initial state is saved");
        let saved = spans(keys.iter().map(|key| self.saved(key)));
        instance
            .restore(&slots, &saved)
            .expect("a saved state can be read");
        let again = instance.save(&slots).expect("a restored state is saved");
        assert_eq!(
            again.bytes, saved.bytes,
            "a state saves as other bytes once restored"
        );
        let answer =
            call(&self.process, &mut instance).expect("what the test double sends is right");
        for (key, slot) in keys.iter().zip(slots) {
            let saved = instance.save(&[slot]).expect("the state is saved").bytes;
            match saved.is_empty() {
                true => self.states.remove(*key),
                false => self.states.insert(key.to_string(), saved),
            };
        }
        self.keep(keys, places, answer);
    }

    /// The state of a key as bytes, none when it is the default.
    fn saved(&self, key: &str) -> &[u8] {
        self.states.get(key).map_or(&[], Vec::as_slice)
    }

    fn keep(&mut self, keys: &[&str], places: &[usize], answer: Processed) {
        let timers = answer.timers.slots.iter().zip(&answer.timers.times);
        for (place, (slot, time)) in timers.enumerate() {
            let timer = (*time, keys[*slot as usize].to_string());
            match is_set(&answer.timers.cleared, place) {
                true => self.timers.remove(&timer),
                false => self.timers.insert(timer),
            };
        }
        let key_of = |place: u32| keys[places[place as usize]].to_string();
        for reject in answer.rejects {
            self.rejects.push((key_of(reject.row), reject.reason));
        }
        let named = key_places::<P>();
        // rows out may borrow for as long as they like, and a test is short
        let rows: &'static Rows = Box::leak(Box::new(answer.rows));
        let columns = P::Output::bind(rows).expect("columns made from the output fit it");
        for (row, origin) in answer.origins.iter().enumerate() {
            let key = key_of(*origin);
            let of_view = named.iter().map(|field| value(&rows.columns[*field], row));
            let of_view = (key.clone(), of_view.collect());
            if is_set(&answer.deleted, row) {
                self.view.remove(&of_view);
                continue;
            }
            self.view.insert(of_view, P::Output::read(&columns, row));
            self.rows.push((key, P::Output::read(&columns, row)));
        }
    }

    /// The rows given so far, with the key of each, in order: what a topic would have.
    pub fn rows(&self) -> Vec<(&str, &P::Output)> {
        self.rows
            .iter()
            .map(|(key, row)| (key.as_str(), row))
            .collect()
    }

    /// The view's rows of one key, in order of the fields of [`VIEW_KEY`](Process::VIEW_KEY).
    pub fn view(&self, key: &str) -> Vec<&P::Output> {
        let of_key = self.view.iter().filter(|((of, _), _)| of == key);
        of_key.map(|(_, row)| row).collect()
    }

    /// Why rows were refused, with the key of each, in their order.
    pub fn rejects(&self) -> Vec<(&str, &str)> {
        let rejects = self.rejects.iter();
        rejects
            .map(|(key, reason)| (key.as_str(), reason.as_str()))
            .collect()
    }

    /// The keys that the host has to remember: those with a state that is not the default, and those with timers.
    pub fn keys(&self) -> Vec<&str> {
        let timed = self.timers.iter().map(|(_, key)| key);
        let keys: BTreeSet<&String> = self.states.keys().chain(timed).collect();
        keys.into_iter().map(String::as_str).collect()
    }

    /// The timers of one key.
    pub fn timers(&self, key: &str) -> Vec<Timestamp> {
        let of_key = self.timers.iter().filter(|(_, of)| of == key);
        of_key.map(|(time, _)| Timestamp(*time)).collect()
    }

    /// The state of one key.
    pub fn state(&self, key: &str) -> P::State {
        let mut instance = Keys::<P>::new().expect("the initial state is saved");
        instance
            .restore(&[0], &spans([self.saved(key)].into_iter()))
            .expect("a saved state can be read");
        instance.into_first()
    }
}

fn spans<'s>(values: impl Iterator<Item = &'s [u8]>) -> Spans {
    let mut spans = no_spans();
    values.for_each(|value| push_span(&mut spans, value));
    spans
}

fn no_spans() -> Spans {
    Spans {
        ends: Vec::new(),
        bytes: Vec::new(),
    }
}

fn push_span(spans: &mut Spans, value: &[u8]) {
    spans.bytes.extend(value);
    spans.ends.push(spans.bytes.len() as u32);
}

/// No rows of one input.
fn no_rows<P: Process>(input: usize) -> Part {
    let columns = P::Input::INPUTS[input].fields.iter();
    Part {
        rows: Rows {
            count: 0,
            columns: columns.map(|field| field.kind.no_values()).collect(),
        },
        slots: Vec::new(),
        times: Vec::new(),
    }
}

/// Puts one row behind those of its input.
fn append(part: &mut Part, row: &Rows, slot: u32, time: i64) {
    for (column, more) in part.rows.columns.iter_mut().zip(&row.columns) {
        append_value(column, more, part.rows.count as usize);
    }
    part.rows.count += 1;
    part.slots.push(slot);
    part.times.push(time);
}

fn append_value(column: &mut Column, more: &Column, row: usize) {
    let valid: Vec<bool> = (0..row)
        .map(|row| bit(&column.valid, row))
        .chain([bit(&more.valid, 0)])
        .collect();
    column.valid = match valid.contains(&false) {
        true => bitmap(&valid),
        false => Vec::new(),
    };
    match (&mut column.values, &more.values) {
        (Values::Bools(values), Values::Bools(more)) => values.extend(more),
        (Values::Ints(values), Values::Ints(more)) => values.extend(more),
        (Values::Floats(values), Values::Floats(more)) => values.extend(more),
        (Values::Spans(values), Values::Spans(more)) => push_span(values, &more.bytes),
        _ => unreachable!("a field has one type"),
    }
}

/// Places of the fields of the view's key among those of the output.
fn key_places<P: Process>() -> Vec<usize> {
    let fields = <P::Output as Row<'static>>::FIELDS;
    let place = |name: &&str| fields.iter().position(|field| field.name == *name);
    P::VIEW_KEY.iter().filter_map(place).collect()
}

/// A bit of a bitmap whose absence means that none is set.
fn is_set(bitmap: &[u8], place: usize) -> bool {
    !bitmap.is_empty() && bit(bitmap, place)
}

fn value(column: &Column, row: usize) -> Value {
    if !bit(&column.valid, row) {
        return Value::Null;
    }
    match &column.values {
        Values::Bools(values) => Value::Bool(values[row]),
        Values::Ints(values) => Value::Int(values[row]),
        Values::Floats(values) => Value::Float(values[row].to_bits()),
        Values::Spans(Spans { ends, bytes }) => {
            let start = row.checked_sub(1).map_or(0, |before| ends[before] as usize);
            Value::Bytes(bytes[start..ends[row] as usize].to_vec())
        }
    }
}
