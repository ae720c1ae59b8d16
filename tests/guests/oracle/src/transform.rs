//! The transform: no, one or several rows for each, all fields passed on, some changed.

use refrain_sdk::prelude::*;

use crate::TRAP;

#[derive(Row, Clone)]
struct Event<'a> {
    at: Timestamp,
    ka: Option<&'a str>,
    kb: Option<i64>,
    kc: Option<bool>,
    kd: Option<Timestamp>,
    ke: Option<&'a [u8]>,
    flag: Option<bool>,
    number: Option<i64>,
    real: Option<f64>,
    name: Option<&'a str>,
    blob: Option<&'a [u8]>,
    moment: Option<Timestamp>,
}

/// Gives each row as many times as its number says, modulo 4.
#[derive(Plugin)]
struct OracleTransform {
    /// Microseconds by which the second row of an input row is moved in time, the third by twice as much, and so on.
    #[setting(default = 0)]
    shift: i64,
}

impl Transform for OracleTransform {
    type Input<'a> = Event<'a>;
    type Output<'a> = Event<'a>;

    fn process<'a>(&self, event: Event<'a>, out: &mut Out<'a, Event<'a>>) -> Result<(), Reject> {
        if event.number == Some(TRAP) {
            panic!("as asked");
        }
        let copies = event.number.map_or(1, |number| number.rem_euclid(4));
        for copy in 0..copies {
            let mut row = event.clone();
            row.at = Timestamp(event.at.0 + copy * self.shift);
            row.number = event.number.map(|number| number.wrapping_add(copy));
            row.real = event.real.map(|real| real * 0.5);
            row.flag = event.flag.map(|flag| flag ^ (copy == 1));
            out.push(row);
        }
        match event.name {
            Some(name) if name.starts_with("no") => Err(format!("named {name}").into()),
            _ => Ok(()),
        }
    }
}

export_transform!(OracleTransform);
