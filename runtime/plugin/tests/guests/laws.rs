//! Laws over random rows and random answers: rows come back as they went in, and no answer brings the host down.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use refrain_plugin::{Entries, Input, Instance, Limits, Plugin, States};

use crate::good::host;
use crate::guest::{self, PUT_AT};
use crate::memory::{Column, Description, FieldSpec, Memory, Rows, Values};

/// The six types, nullable.
fn six() -> Vec<FieldSpec<'static>> {
    ["bool", "i64", "f64", "text", "bytes", "timestamp"]
        .map(|kind| (kind, kind, true))
        .to_vec()
}

fn said() -> Description<'static> {
    Description {
        name: "laws",
        inputs: six(),
        outputs: six(),
        wants_keys: false,
        settings: vec![],
    }
}

type Row = (
    Option<bool>,
    Option<i64>,
    Option<f64>,
    Option<String>,
    Option<Vec<u8>>,
    Option<i64>,
);

fn row() -> impl Strategy<Value = Row> {
    (
        option::of(any::<bool>()),
        option::of(any::<i64>()),
        option::of(any::<f64>()),
        option::of(".{0,5}"),
        option::of(vec(any::<u8>(), 0..5)),
        option::of(-62_135_596_800_000_000i64..253_402_300_800_000_000),
    )
}

fn arrays(rows: &[Row]) -> Vec<ArrayRef> {
    let times = TimestampMicrosecondArray::from_iter(rows.iter().map(|r| r.5)).with_timezone("UTC");
    vec![
        Arc::new(BooleanArray::from_iter(rows.iter().map(|r| r.0))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.1))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.2))),
        Arc::new(StringArray::from_iter(rows.iter().map(|r| r.3.as_ref()))),
        Arc::new(BinaryArray::from_iter(rows.iter().map(|r| r.4.as_ref()))),
        Arc::new(times),
    ]
}

/// So many cases, or as many more as PROPTEST_CASES asks for.
fn cases(least: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig {
        cases: asked.cases.max(least),
        failure_persistence: None,
        ..asked
    }
}

fn instance(plugin: &Plugin) -> Instance {
    plugin.instantiate(&[], Limits::default()).unwrap()
}

#[test]
fn rows_come_back_as_they_went_in() {
    let host = host();
    let plugin = host.load("echo", &guest::echo(&said()).build()).unwrap();
    let echo = std::cell::RefCell::new(instance(&plugin));
    proptest!(cases(300), |(rows in vec(row(), 0..40), from: u8, to: u8)| {
        let (from, to) = (usize::from(from) % (rows.len() + 1), usize::from(to) % (rows.len() + 1));
        let (start, end) = (from.min(to), from.max(to));
        let columns = arrays(&rows);
        let input = Input { columns: &columns, start, count: end - start };
        let back = echo.borrow_mut().transform(input).unwrap();
        prop_assert_eq!(back.count, end - start);
        for (there, back) in columns.iter().zip(&back.columns) {
            let there = there.slice(start, end - start);
            prop_assert_eq!(&there.to_data(), &back.to_data());
        }
    });
}

/// A good answer of `evaluate` for four slots, as bytes from [`PUT_AT`] on.
fn good_answer() -> (Vec<u8>, usize) {
    let column = |values| Column {
        values,
        valid: vec![0b1101],
    };
    let rows = Rows {
        count: 4,
        columns: vec![
            column(Values::Bools(vec![true; 4])),
            column(Values::Ints(vec![1; 4])),
            column(Values::Floats(vec![1.5; 4])),
            column(Values::Spans(vec![1, 1, 3, 4], "aéb".as_bytes().to_vec())),
            column(Values::Spans(vec![1, 1, 3, 4], vec![0xff; 4])),
            column(Values::Ints(vec![0; 4])),
        ],
    };
    // The answer itself is laid out last; the parrot answers with what is first, so that is a copy of it.
    let mut memory = Memory::at(PUT_AT + 32);
    let at = memory.evaluated(&rows, &[0b0111]);
    let from = (at - PUT_AT - 32) as usize;
    let mut head = memory.bytes[from..].to_vec();
    head.resize(32, 0);
    head.extend_from_slice(&memory.bytes);
    let len = head.len();
    (head, len)
}

fn say(parrot: &mut Instance, bytes: &[u8]) {
    let mut states = States::default();
    states.push(bytes);
    parrot.restore(&[0], &states).unwrap();
}

fn four(columns: &[ArrayRef]) -> Input<'_> {
    Input {
        columns,
        start: 0,
        count: 4,
    }
}

#[test]
fn the_unharmed_answer_is_good() {
    let host = host();
    let plugin = host
        .load("parrot", &guest::parrot(&said()).build())
        .unwrap();
    let mut parrot = instance(&plugin);
    say(&mut parrot, &good_answer().0);
    let shown = parrot.evaluate(&[0, 1, 2, 3], four(&[])).unwrap();
    assert_eq!(shown.columns.len(), 6);
    assert!(shown.columns.iter().all(|column| column.null_count() == 1));
}

#[test]
fn no_answer_brings_the_host_down() {
    let host = host();
    let plugin = host
        .load("parrot", &guest::parrot(&said()).build())
        .unwrap();
    let (good, len) = good_answer();
    let row: Row = (None, None, None, None, None, None);
    let columns = arrays(&vec![row; 4]);
    let harm = vec((0..len, any::<u8>()), 1..6);
    proptest!(cases(1500), |(harm in harm, small: bool, call in 0..3u8)| {
        let mut bytes = good.clone();
        for (at, byte) in harm {
            bytes[at] = if small { byte % 8 } else { byte };
        }
        let mut parrot = instance(&plugin);
        say(&mut parrot, &bytes);
        // Right or wrong, it is an answer or a fault.
        let outcome = match call {
            0 => parrot.evaluate(&[0, 1, 2, 3], four(&[])).map(drop),
            1 => parrot.save(&[0, 1, 2, 3]).map(drop),
            _ => parrot.update(four(&columns), Entries { rows: &[], slots: &[0, 1, 2, 3] }).map(drop),
        };
        if let Err(fault) = outcome {
            prop_assert!(!fault.what.is_empty());
        }
    });
}
