//! What the guest tests/guests/oracle_process computes, said again in terms of values: the state of a key, its timers, and
//! the rows that come of both.

use std::collections::BTreeSet;

use crate::guests::{TRAP, Taken};
use crate::model::NEVER;
use crate::value::{Row, Value, optional};

/// The plugin's names of its inputs, in its order.
pub const ROLES: [&str; 2] = ["left", "right"];
/// Fields that it reads of any topic.
pub const WANTED: [&str; 5] = ["flag", "number", "real", "name", "blob"];
/// Fields that it writes beside the nullable ones.
pub const AT: &str = "at";
pub const CAUSE: &str = "cause";

/// Options of the guest, and the node's.
#[derive(Clone, Copy, Debug)]
pub struct ProcessOptions {
    pub gap_us: i64,
    pub step_us: i64,
}

/// A row that comes in: which input, fields as in [`WANTED`].
pub struct Came<'a> {
    pub input: usize,
    pub fields: &'a [Value],
    pub time: i64,
    /// As the plugin is told it.
    pub watermark: i64,
}

/// A row that goes out, or goes away: `at`, `cause`, then the nullable fields.
pub struct Gave {
    pub row: Row,
    pub deleted: bool,
}

/// What the plugin keeps of a key.
#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    rows: i64,
    fired: i64,
    hash: i64,
    armed: Option<i64>,
    name: Option<String>,
    real: Option<f64>,
}

/// A key: its state, and the times at which it is called again.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    state: State,
    pub timers: BTreeSet<i64>,
}

/// A watermark as the plugin is told it.
pub fn told(watermark: i64, step_us: i64) -> i64 {
    match watermark {
        NEVER => NEVER,
        w => w.saturating_sub(w.rem_euclid(step_us)),
    }
}

fn shown(at: i64, cause: &str, nullable: [Value; 6]) -> Gave {
    let years = -62_135_596_800_000_000..=253_402_300_799_999_999i64;
    let at = at.clamp(*years.start(), *years.end());
    let head = [Value::Time(at), Value::Text(cause.into())];
    Gave {
        row: head.into_iter().chain(nullable).collect(),
        deleted: false,
    }
}

fn seen(watermark: i64) -> Value {
    let years = -62_135_596_800_000_000..=253_402_300_799_999_999i64;
    let there = Some(watermark).filter(|w| *w != NEVER);
    optional(there, |w| {
        Value::Time(w.clamp(*years.start(), *years.end()))
    })
}

const NULL: Value = Value::Null;

impl Kept {
    /// The key after a row, and what the row led to.
    pub fn take(
        &self,
        options: ProcessOptions,
        to_view: bool,
        came: &Came<'_>,
    ) -> Taken<(Kept, Vec<Gave>)> {
        let [flag, number, real, name, blob] = came.fields else {
            panic!("five fields")
        };
        let left = came.input == 0;
        let of = |value: &Value, wanted: bool| if wanted { value.clone() } else { NULL };
        let (flag, real) = (of(flag, !left), of(real, !left));
        let (name, blob) = (of(name, left), of(blob, left));
        let n = number.as_int();
        if n == Some(13) {
            return Taken::Refused("thirteen".into());
        }
        if let Some(n) = n
            && n % 11 == 0
            && self.state.rows > 1
        {
            let State { rows, fired, .. } = self.state;
            return Taken::Refused(format!("{n} after {rows} rows and {fired} timers"));
        }
        let mut kept = self.clone();
        let state = &mut kept.state;
        state.rows += 1;
        if n == Some(TRAP) || n == Some(TRAP + 1) && state.rows % 2 == 0 {
            return Taken::Trapped;
        }
        let added = n.unwrap_or(5).wrapping_add(came.input as i64);
        state.hash = state.hash.wrapping_mul(31).wrapping_add(added);
        let (kind, gap, time) = (n.unwrap_or(0), options.gap_us, came.time);
        match kind.rem_euclid(5) {
            1 => {
                let then = time.saturating_add(gap);
                state.armed = Some(then);
                kept.timers.insert(then);
            }
            2 if came.watermark != NEVER => {
                let then = came.watermark.saturating_add(3 * gap);
                state.armed = Some(then);
                kept.timers.insert(then);
            }
            3 => {
                if let Some(armed) = state.armed.replace(time) {
                    kept.timers.remove(&armed);
                }
                kept.timers.insert(time);
            }
            4 => {
                let times = [time, time.saturating_add(1), time.saturating_add(gap)];
                kept.timers.extend(times);
            }
            _ => {}
        }
        if let Some(name) = name.as_text() {
            state.name = Some(name.to_owned());
        }
        state.real = real.as_float().or(state.real);
        let mut gave = Vec::new();
        if came.watermark != NEVER && time < came.watermark.saturating_sub(gap) {
            let late = Value::Int(time.wrapping_sub(came.watermark));
            gave.push(shown(time, "late", [NULL, late, NULL, NULL, NULL, NULL]));
        }
        if kind.rem_euclid(3) == 0 {
            let row = [
                flag,
                Value::Int(state.hash),
                real,
                name,
                blob,
                seen(came.watermark),
            ];
            gave.push(shown(time, ROLES[came.input], row));
        }
        if kind.rem_euclid(7) == 0 {
            let name = optional(state.name.clone(), Value::Text);
            let real = optional(state.real, Value::float);
            let row = [NULL, Value::Int(state.rows), real, name, NULL, NULL];
            gave.push(shown(time, "again", row));
        }
        if to_view && kind.rem_euclid(6) == 5 {
            gave.push(Gave {
                deleted: true,
                ..shown(time, "timer", [NULL; 6])
            });
        }
        if kind.rem_euclid(9) == 8 {
            kept.state = State::default();
        }
        Taken::Yes((kept, gave))
    }

    /// A timer fires.
    pub fn fire(&mut self, options: ProcessOptions, time: i64, watermark: i64) -> Gave {
        let state = &mut self.state;
        state.fired += 1;
        let added = time.rem_euclid(1000);
        state.hash = state.hash.wrapping_mul(37).wrapping_add(added);
        let row = [
            Value::Bool(state.fired % 2 == 0),
            Value::Int(state.hash),
            optional(state.real, Value::float),
            optional(state.name.clone(), Value::Text),
            NULL,
            seen(watermark),
        ];
        if state.fired % 3 == 1 {
            self.timers.insert(time.saturating_add(options.gap_us / 2));
        }
        if time.rem_euclid(4) == 0 {
            self.timers.remove(&time.saturating_add(1));
        }
        if state.fired % 5 == 0 {
            *state = State::default();
        }
        shown(time, "timer", row)
    }
}
