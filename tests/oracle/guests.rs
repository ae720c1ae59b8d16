//! What the guests of tests/guests/oracle compute, said again in terms of values.

use crate::value::{Row, Value, optional};

/// Fields that both guests read, in order.
pub const PAYLOAD: [&str; 6] = ["flag", "number", "real", "name", "blob", "moment"];
/// Fields of the transform, in order: event time, keys, payload.
pub const ALL: [&str; 12] = [
    "at", "ka", "kb", "kc", "kd", "ke", "flag", "number", "real", "name", "blob", "moment",
];
/// A row with this number traps.
pub const TRAP: i64 = 4242;

/// How a guest takes a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken<T> {
    Yes(T),
    Refused(String),
    Trapped,
}

/// State of the fold.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    rows: i64,
    flag: Option<bool>,
    number: Option<i64>,
    real: Option<f64>,
    name: Option<String>,
    blob: Option<Vec<u8>>,
    moment: Option<i64>,
}

/// Options of the fold.
#[derive(Clone, Copy, Debug)]
pub struct FoldOptions {
    pub hide: i64,
    pub refuse: bool,
}

impl Seen {
    /// The state after a row (fields as in [`PAYLOAD`]).
    pub fn update(&self, options: FoldOptions, row: &[Value]) -> Taken<Seen> {
        let number = row[1].as_int();
        let flag = row[0].as_bool();
        if options.refuse && number == Some(13) {
            return Taken::Refused("thirteen".into());
        }
        if let Some(n) = number
            && options.refuse
            && n % 11 == 0
            && flag == Some(true)
            && self.rows > 1
        {
            return Taken::Refused(format!("{n} after {} rows of {:?}", self.rows, self.name));
        }
        let rows = self.rows + 1;
        if number == Some(TRAP) || number == Some(TRAP + 1) && rows % 2 == 0 {
            return Taken::Trapped;
        }
        let name = row[3].as_text().map(str::to_owned);
        Taken::Yes(Seen {
            rows,
            flag: match flag {
                Some(flag) => Some(self.flag.unwrap_or(false) != flag),
                None => self.flag,
            },
            number: match number {
                Some(n) => Some(self.number.unwrap_or(7).wrapping_mul(31).wrapping_add(n)),
                None => self.number,
            },
            real: match row[2].as_float() {
                Some(real) => Some(self.real.unwrap_or(-0.0) + real),
                None => self.real,
            },
            name: self.name.clone().max(name),
            blob: row[4].as_bytes().map(<[u8]>::to_vec).or(self.blob.clone()),
            moment: match row[5].as_int() {
                Some(moment) => Some(self.moment.map_or(moment, |m| m.min(moment))),
                None => self.moment,
            },
        })
    }

    /// The state of this session and of a later one that it is joined with.
    pub fn merge(&self, later: &Seen) -> Seen {
        Seen {
            rows: self.rows + later.rows,
            flag: later.flag.or(self.flag),
            number: match later.number {
                Some(n) => Some(self.number.unwrap_or(11).wrapping_mul(37).wrapping_add(n)),
                None => self.number,
            },
            real: match later.real {
                Some(real) => Some(self.real.unwrap_or(-0.0) + real),
                None => self.real,
            },
            name: self.name.clone().max(later.name.clone()),
            blob: later.blob.clone().or(self.blob.clone()),
            moment: self.moment.into_iter().chain(later.moment).min(),
        }
    }

    /// The row shown: `rows`, then [`PAYLOAD`].
    pub fn evaluate(&self, options: FoldOptions) -> Option<Row> {
        if options.hide != 0 && self.rows % options.hide == 0 {
            return None;
        }
        Some(vec![
            Value::Int(self.rows),
            optional(self.flag, Value::Bool),
            optional(self.number, Value::Int),
            optional(self.real, Value::float),
            optional(self.name.clone(), Value::Text),
            optional(self.blob.clone(), Value::Bytes),
            optional(self.moment, Value::Time),
        ])
    }
}

/// The rows that the transform gives for one (fields as in [`ALL`]).
pub fn transform(shift: i64, row: &[Value]) -> Taken<Vec<Row>> {
    let number = row[7].as_int();
    if number == Some(TRAP) {
        return Taken::Trapped;
    }
    if let Some(name) = row[9].as_text().filter(|name| name.starts_with("no")) {
        return Taken::Refused(format!("named {name}"));
    }
    let at = row[0].as_int().expect("an event time is never null");
    let copy = |copy: i64| {
        let mut out = row.to_vec();
        out[0] = Value::Time(at + copy * shift);
        out[7] = optional(number, |n| Value::Int(n.wrapping_add(copy)));
        out[8] = optional(row[8].as_float(), |real| Value::float(real * 0.5));
        out[6] = optional(row[6].as_bool(), |flag| Value::Bool(flag != (copy == 1)));
        out
    };
    Taken::Yes(
        (0..number.map_or(1, |n| n.rem_euclid(4)))
            .map(copy)
            .collect(),
    )
}
