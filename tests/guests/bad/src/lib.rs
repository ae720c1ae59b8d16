//! A guest that misbehaves on request: the option `behaviour` names what it does wrong, `none` for nothing.
//!
//! It is written against the generated bindings, not the SDK's traits, which would not let it. The README lists what
//! each behaviour is for.

#![allow(unsafe_code)]

use std::cell::RefCell;

use refrain_sdk::bindings::{Column, Reject, Rows, Spans, Values};

#[cfg(not(feature = "transform"))]
mod fold;
mod harm;
#[cfg(feature = "transform")]
mod transform;

/// The value on which most behaviours act.
const MAGIC: i64 = 13;

thread_local! {
    static BEHAVIOUR: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Whether this is what was asked for.
fn is(behaviour: &str) -> bool {
    BEHAVIOUR.with_borrow(|asked| asked == behaviour)
}

/// The option, as `configure` got it.
fn configure(options: Vec<(String, String)>) -> Result<(), String> {
    let asked = options.into_iter().find(|(name, _)| name == "behaviour");
    let asked = asked.map_or_else(|| "none".to_string(), |(_, value)| value);
    BEHAVIOUR.set(asked);
    match is("refuse") {
        true => Err("this option is refused".to_string()),
        false => Ok(()),
    }
}

/// Input field `value`.
fn values(input: &Rows) -> &[i64] {
    match &input.columns[0].values {
        Values::Ints(values) => values,
        _ => panic!("the field `value` is i64"),
    }
}

fn ints(values: Vec<i64>) -> Column {
    Column {
        values: Values::Ints(values),
        valid: Vec::new(),
    }
}

fn texts(values: &[Vec<u8>]) -> Column {
    let mut spans = Spans {
        ends: Vec::new(),
        bytes: Vec::new(),
    };
    for value in values {
        spans.bytes.extend_from_slice(value);
        spans.ends.push(spans.bytes.len() as u32);
    }
    Column {
        values: Values::Spans(spans),
        valid: Vec::new(),
    }
}

/// Makes the columns (`count`, `sum`, `mean`, `name`) wrong in the way that was asked for.
fn spoil(rows: &mut Rows) {
    if is("rows-short") {
        rows.count = rows.count.saturating_sub(1);
    }
    if is("rows-long") {
        rows.count += 1;
    }
    if is("column-missing") {
        rows.columns.pop();
    }
    if is("column-extra") {
        rows.columns.push(ints(vec![0; rows.count as usize]));
    }
    if is("column-short")
        && let Values::Ints(values) = &mut rows.columns[0].values
    {
        values.pop();
    }
    if is("column-type") {
        rows.columns[0].values = Values::Floats(vec![0.0; rows.count as usize]);
    }
    if is("null") {
        rows.columns[0].valid = vec![0; (rows.count as usize).div_ceil(8)];
    }
    if is("valid-short") {
        rows.columns[3].valid = Vec::from([255]).repeat((rows.count as usize).div_ceil(8) + 1);
    }
    if is("nan") {
        let odd = f64::from_bits(0xfff0_0000_dead_beef);
        rows.columns[2].values = Values::Floats(vec![odd; rows.count as usize]);
    }
    if let Values::Spans(spans) = &mut rows.columns.last_mut().expect("there is a column").values {
        spoil_spans(spans);
    }
}

fn spoil_spans(spans: &mut Spans) {
    if is("ends-falling") && spans.ends.len() > 1 {
        spans.ends.swap(0, 1);
    }
    if is("ends-beyond") {
        *spans.ends.last_mut().expect("there is a row") += 1;
    }
    if is("ends-before") {
        spans.bytes.push(b'!');
    }
    if is("ends-missing") {
        spans.ends.pop();
    }
    if is("utf8") {
        spans.bytes.fill(0xff);
    }
    if is("utf8-split") {
        // valid as a whole, and no value of it is
        let bytes = "é".repeat(spans.bytes.len());
        spans.ends.iter_mut().for_each(|end| *end |= 1);
        let end = *spans.ends.last().expect("there is a row") as usize;
        spans.bytes = bytes.into_bytes();
        spans.bytes.truncate(end);
    }
}

/// Rows with the magic value, refused in the way that was asked for.
fn rejects(values: &[i64]) -> Vec<Reject> {
    let reject = |row: usize| Reject {
        row: row as u32,
        reason: "thirteen".to_string(),
    };
    let wanted = [
        "reject",
        "reject-touches",
        "rejects-twice",
        "rejects-falling",
        "rejects-kept",
    ];
    let mut rejects: Vec<Reject> = match wanted.into_iter().any(is) {
        true => (0..values.len())
            .filter(|row| values[*row] == MAGIC)
            .map(reject)
            .collect(),
        false => Vec::new(),
    };
    if is("rejects-twice") {
        rejects = rejects
            .into_iter()
            .flat_map(|reject| [reject.clone(), reject])
            .collect();
    }
    if is("rejects-falling") {
        rejects.reverse();
    }
    if is("rejects-beyond") {
        rejects.push(reject(values.len()));
    }
    if is("rejects-huge") {
        rejects.push(Reject {
            row: 0,
            reason: "x".repeat(100 << 20),
        });
    }
    rejects
}

macro_rules! describe {
    ($about:ident) => {{
        let field = |name: &str, kind: &str, nullable| $about::Field {
            name: name.to_string(),
            kind: kind.to_string(),
            nullable,
        };
        $about::Description {
            name: "bad".to_string(),
            version: "0.1.0".to_string(),
            doc: "Misbehaves on request.".to_string(),
            inputs: vec![field("value", "i64", false)],
            outputs: vec![
                field("count", "i64", false),
                field("sum", "i64", false),
                field("mean", "f64", false),
                field("name", "text", true),
            ],
            wants_keys: false,
            // A fold takes over states of version 1.
            state_version: 2,
            settings: vec![$about::Setting {
                name: "behaviour".to_string(),
                kind: "text".to_string(),
                default: Some("none".to_string()),
                doc: "What it does wrong.".to_string(),
            }],
        }
    }};
}
use describe;
