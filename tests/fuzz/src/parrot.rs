//! What the guest of the target `answer` says that it is, and sound answers of it.

use crate::guest::PUT_AT;
use crate::memory::{Column, Description, Memory, Rows, Values};
use crate::seeds;

/// The slots that it is asked for.
pub(crate) const SLOTS: [u32; 3] = [0, 1, 2];

/// A fold with an output of each type, with and without nulls.
pub(crate) fn said() -> Description<'static> {
    let kinds = ["bool", "i64", "f64", "text", "bytes", "timestamp"];
    let names = ["a", "b", "c", "d", "e", "f"];
    let more = ["u", "v", "w", "x", "y", "z"];
    let plain = names
        .iter()
        .zip(kinds)
        .map(|(name, kind)| (*name, kind, false));
    let nullable = more
        .iter()
        .zip(kinds)
        .map(|(name, kind)| (*name, kind, true));
    Description {
        name: "parrot",
        inputs: vec![("n", "i64", false)],
        outputs: plain.chain(nullable).collect(),
        wants_keys: false,
        settings: vec![],
    }
}

/// Rows of the parrot's outputs.
fn rows() -> Rows {
    let kinds = [
        Values::Bools(vec![true, false, true]),
        Values::Ints(vec![1, -2, i64::MAX]),
        Values::Floats(vec![0.5, f64::NAN, -0.0]),
        Values::Spans(vec![1, 1, 4], "aéz".into()),
        Values::Spans(vec![0, 2, 3], vec![0, 255, 7]),
        Values::Ints(vec![0, 1, 2]),
    ];
    let column = |valid: &[u8]| {
        let of = |values: &Values| Column {
            values: values.clone(),
            valid: valid.to_vec(),
        };
        kinds.iter().map(of).collect::<Vec<_>>()
    };
    Rows {
        count: SLOTS.len() as u32,
        columns: [column(&[]), column(&[0b101])].concat(),
    }
}

/// An answer as it lies in the guest's memory: the head first, as the guest answers with one address.
fn answer(which: u8, lay: impl Fn(&mut Memory) -> u32) -> Vec<u8> {
    // Laid out once to learn how long the head's way is, then behind a copy of the head.
    let mut memory = Memory::at(PUT_AT + HEAD);
    let at = lay(&mut memory) - PUT_AT - HEAD;
    let mut head = memory.bytes[at as usize..].to_vec();
    head.resize(HEAD as usize, 0);
    [&[which], head.as_slice(), &memory.bytes].concat()
}

/// Longer than the head of any answer.
const HEAD: u32 = 64;

/// A sound answer of each function.
pub(crate) fn begin() {
    seeds::write(&[
        ("update", answer(0, |memory| memory.updated(&[(1, b"no")]))),
        (
            "evaluate",
            answer(1, |memory| memory.evaluated(&rows(), &[0b111])),
        ),
        ("save", answer(2, |memory| memory.saved(&[1, 3, 3], b"abc"))),
    ]);
}
