//! The fold: each field folded in a way that notices order, loss and repetition.

use refrain_sdk::prelude::*;

use crate::TRAP;

#[derive(Row)]
struct Event<'a> {
    flag: Option<bool>,
    number: Option<i64>,
    real: Option<f64>,
    name: Option<&'a str>,
    blob: Option<&'a [u8]>,
    moment: Option<Timestamp>,
}

#[state]
#[derive(Default)]
struct Seen {
    rows: i64,
    flag: Option<bool>,
    number: Option<i64>,
    real: Option<f64>,
    name: Option<String>,
    blob: Option<Vec<u8>>,
    moment: Option<Timestamp>,
}

#[derive(Row)]
struct Shown {
    rows: i64,
    flag: Option<bool>,
    number: Option<i64>,
    real: Option<f64>,
    name: Option<String>,
    blob: Option<Vec<u8>>,
    moment: Option<Timestamp>,
}

/// Folds every kind of value.
#[derive(Plugin)]
struct OracleFold {
    /// States of so many rows, and every multiple of it, are not shown; 0: all are.
    #[setting(default = 0)]
    hide: i64,
    /// Whether rows are refused at all.
    #[setting(default = true)]
    refuse: bool,
}

impl Fold for OracleFold {
    type Input<'a> = Event<'a>;
    type State = Seen;
    type Output = Shown;

    fn check(&self, seen: &Seen, event: &Event<'_>) -> Result<(), Reject> {
        match event.number {
            _ if !self.refuse => Ok(()),
            Some(13) => Err("thirteen".into()),
            Some(n) if n % 11 == 0 && event.flag == Some(true) && seen.rows > 1 => {
                Err(format!("{n} after {} rows of {:?}", seen.rows, seen.name).into())
            }
            _ => Ok(()),
        }
    }

    fn update(&self, seen: &mut Seen, event: Event<'_>) {
        seen.rows += 1;
        let trap_by_state = event.number == Some(TRAP + 1) && seen.rows % 2 == 0;
        if event.number == Some(TRAP) || trap_by_state {
            panic!("as asked");
        }
        if let Some(flag) = event.flag {
            seen.flag = Some(seen.flag.unwrap_or(false) ^ flag);
        }
        if let Some(number) = event.number {
            seen.number = Some(
                seen.number
                    .unwrap_or(7)
                    .wrapping_mul(31)
                    .wrapping_add(number),
            );
        }
        if let Some(real) = event.real {
            seen.real = Some(seen.real.unwrap_or(-0.0) + real);
        }
        if let Some(name) = event.name
            && seen.name.as_deref().is_none_or(|known| name > known)
        {
            seen.name = Some(name.to_owned());
        }
        if let Some(blob) = event.blob {
            seen.blob = Some(blob.to_vec());
        }
        if let Some(moment) = event.moment {
            seen.moment = Some(seen.moment.map_or(moment, |known| known.min(moment)));
        }
    }

    fn evaluate(&self, seen: &Seen) -> Option<Shown> {
        if self.hide != 0 && seen.rows % self.hide == 0 {
            return None;
        }
        Some(Shown {
            rows: seen.rows,
            flag: seen.flag,
            number: seen.number,
            real: seen.real,
            name: seen.name.clone(),
            blob: seen.blob.clone(),
            moment: seen.moment,
        })
    }
}

impl Merge for OracleFold {
    fn merge(&self, earlier: &mut Seen, later: Seen) {
        earlier.rows += later.rows;
        earlier.flag = later.flag.or(earlier.flag);
        if let Some(number) = later.number {
            earlier.number = Some(
                earlier
                    .number
                    .unwrap_or(11)
                    .wrapping_mul(37)
                    .wrapping_add(number),
            );
        }
        if let Some(real) = later.real {
            earlier.real = Some(earlier.real.unwrap_or(-0.0) + real);
        }
        earlier.name = earlier.name.take().max(later.name);
        earlier.blob = later.blob.or(earlier.blob.take());
        earlier.moment = match (earlier.moment, later.moment) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

export_fold!(OracleFold, merge);
