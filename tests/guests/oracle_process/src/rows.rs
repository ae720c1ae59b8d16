//! Rows as columns: what comes in, and what goes out.

use refrain_sdk::bindings::process_plugin::exports::refrain::plugin::process::{Processed, Timers};
use refrain_sdk::bindings::{Column, Reject, Rows, Spans, Values};

pub const OUTPUTS: [(&str, &str, bool); 8] = [
    ("at", "timestamp", false),
    ("cause", "text", false),
    ("flag", "bool", true),
    ("number", "i64", true),
    ("real", "f64", true),
    ("name", "text", true),
    ("blob", "bytes", true),
    ("moment", "timestamp", true),
];

/// A row of either input.
pub struct Event {
    pub input: usize,
    pub flag: Option<bool>,
    pub number: Option<i64>,
    pub real: Option<f64>,
    pub name: Option<String>,
    pub blob: Option<Vec<u8>>,
}

pub struct Shown {
    pub at: i64,
    pub cause: &'static str,
    pub flag: Option<bool>,
    pub number: Option<i64>,
    pub real: Option<f64>,
    pub name: Option<String>,
    pub blob: Option<Vec<u8>>,
    pub moment: Option<i64>,
}

/// An answer in the making.
#[derive(Default)]
pub struct Said {
    place: u32,
    slot: u32,
    rows: Vec<Shown>,
    origins: Vec<u32>,
    deleted: Vec<bool>,
    pub rejects: Vec<Reject>,
    timers: Vec<(u32, i64, bool)>,
}

impl Said {
    pub fn begin(&mut self, place: usize, slot: u32) {
        (self.place, self.slot) = (place as u32, slot);
    }

    pub fn set(&mut self, time: i64) {
        self.timers.push((self.slot, time, false));
    }

    pub fn clear(&mut self, time: i64) {
        self.timers.push((self.slot, time, true));
    }

    pub fn row(&mut self, row: Shown) {
        self.rows.push(row);
        self.origins.push(self.place);
        self.deleted.push(false);
    }

    pub fn take_back(&mut self, row: Shown) {
        self.row(row);
        *self.deleted.last_mut().expect("just pushed") = true;
    }

    pub fn answer(self) -> Processed {
        let bits = |bits: Vec<bool>| match bits.contains(&true) {
            true => bitmap(&bits),
            false => Vec::new(),
        };
        Processed {
            origins: self.origins,
            deleted: bits(self.deleted),
            rejects: self.rejects,
            timers: Timers {
                slots: self.timers.iter().map(|t| t.0).collect(),
                times: self.timers.iter().map(|t| t.1).collect(),
                cleared: bits(self.timers.iter().map(|t| t.2).collect()),
            },
            rows: Rows {
                count: self.rows.len() as u32,
                columns: columns(&self.rows),
            },
        }
    }
}

fn columns(rows: &[Shown]) -> Vec<Column> {
    let ints = |get: fn(&Shown) -> Option<i64>| {
        let values = rows.iter().map(|row| get(row).unwrap_or(0)).collect();
        column(Values::Ints(values), rows, |row| get(row).is_some())
    };
    vec![
        ints(|row| Some(row.at)),
        spans(rows, |row| Some(row.cause.as_bytes())),
        column(
            Values::Bools(rows.iter().map(|row| row.flag == Some(true)).collect()),
            rows,
            |row| row.flag.is_some(),
        ),
        ints(|row| row.number),
        column(
            Values::Floats(rows.iter().map(|row| row.real.unwrap_or(0.0)).collect()),
            rows,
            |row| row.real.is_some(),
        ),
        spans(rows, |row| row.name.as_deref().map(str::as_bytes)),
        spans(rows, |row| row.blob.as_deref()),
        ints(|row| row.moment),
    ]
}

fn spans(rows: &[Shown], get: fn(&Shown) -> Option<&[u8]>) -> Column {
    let mut spans = Spans {
        ends: Vec::new(),
        bytes: Vec::new(),
    };
    for row in rows {
        spans.bytes.extend(get(row).unwrap_or_default());
        spans.ends.push(spans.bytes.len() as u32);
    }
    column(Values::Spans(spans), rows, |row| get(row).is_some())
}

fn column(values: Values, rows: &[Shown], there: impl Fn(&Shown) -> bool) -> Column {
    let there: Vec<bool> = rows.iter().map(there).collect();
    Column {
        values,
        valid: bitmap(&there),
    }
}

fn bitmap(bits: &[bool]) -> Vec<u8> {
    let mut bytes = vec![0; bits.len().div_ceil(8)];
    for (i, _) in bits.iter().enumerate().filter(|(_, bit)| **bit) {
        bytes[i / 8] |= 1 << (i % 8);
    }
    bytes
}

/// A row as it came; fields of the two inputs in the order of `declare`.
pub fn read(input: usize, rows: &Rows, at: usize) -> Event {
    let column = |place: usize| {
        let column = &rows.columns[place];
        let there = column.valid.is_empty() || column.valid[at / 8] >> (at % 8) & 1 == 1;
        there.then_some(&column.values)
    };
    let span = |spans: &Spans| {
        let start = if at == 0 { 0 } else { spans.ends[at - 1] };
        spans.bytes[start as usize..spans.ends[at] as usize].to_vec()
    };
    let mut event = Event {
        input,
        flag: None,
        number: None,
        real: None,
        name: None,
        blob: None,
    };
    for (place, field) in FIELDS[input].into_iter().enumerate() {
        match (field, column(place)) {
            (_, None) => {}
            ("number", Some(Values::Ints(values))) => event.number = Some(values[at]),
            ("name", Some(Values::Spans(spans))) => {
                event.name = Some(String::from_utf8(span(spans)).expect("text is UTF-8"));
            }
            ("blob", Some(Values::Spans(spans))) => event.blob = Some(span(spans)),
            ("flag", Some(Values::Bools(values))) => event.flag = Some(values[at]),
            ("real", Some(Values::Floats(values))) => event.real = Some(values[at]),
            (field, _) => panic!("`{field}` is of another type than declared"),
        }
    }
    event
}

const FIELDS: [[&str; 3]; 2] = [["number", "name", "blob"], ["flag", "real", "number"]];
