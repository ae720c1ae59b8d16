//! What is kept of a key, and what rows and timers do to it.

use crate::rows::{Event, Said, Shown};
use crate::{NEVER, Options, TRAP, bare, seen};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    rows: i64,
    fired: i64,
    hash: i64,
    armed: Option<i64>,
    name: Option<String>,
    real: Option<u64>,
}

impl State {
    pub fn take(
        &mut self,
        options: &Options,
        row: &Event,
        time: i64,
        watermark: i64,
        said: &mut Said,
    ) -> Result<(), String> {
        let (number, gap) = (row.number, options.gap);
        match number {
            Some(13) => return Err("thirteen".to_string()),
            Some(n) if n % 11 == 0 && self.rows > 1 => {
                return Err(format!(
                    "{n} after {} rows and {} timers",
                    self.rows, self.fired
                ));
            }
            _ => {}
        }
        self.rows += 1;
        if number == Some(TRAP) || number == Some(TRAP + 1) && self.rows % 2 == 0 {
            panic!("as asked");
        }
        let input = row.input as i64;
        self.hash = self
            .hash
            .wrapping_mul(31)
            .wrapping_add(number.unwrap_or(5))
            .wrapping_add(input);
        let kind = number.unwrap_or(0);
        match kind.rem_euclid(5) {
            1 => {
                self.armed = Some(time.saturating_add(gap));
                said.set(time.saturating_add(gap));
            }
            2 if watermark != NEVER => {
                self.armed = Some(watermark.saturating_add(3 * gap));
                said.set(watermark.saturating_add(3 * gap));
            }
            3 => {
                if let Some(armed) = self.armed {
                    said.clear(armed);
                }
                self.armed = Some(time);
                said.set(time);
            }
            4 => {
                said.set(time);
                said.set(time.saturating_add(1));
                said.set(time.saturating_add(gap));
            }
            _ => {}
        }
        self.name = row.name.clone().or(self.name.take());
        self.real = row.real.map(f64::to_bits).or(self.real);
        if watermark != NEVER && time < watermark.saturating_sub(gap) {
            said.row(Shown {
                number: Some(time.wrapping_sub(watermark)),
                ..bare(time, "late")
            });
        }
        if kind.rem_euclid(3) == 0 {
            said.row(Shown {
                flag: row.flag,
                number: Some(self.hash),
                real: row.real,
                name: row.name.clone(),
                blob: row.blob.clone(),
                moment: seen(watermark),
                ..bare(time, ["left", "right"][row.input])
            });
        }
        if kind.rem_euclid(7) == 0 {
            said.row(Shown {
                number: Some(self.rows),
                name: self.name.clone(),
                real: self.real.map(f64::from_bits),
                ..bare(time, "again")
            });
        }
        if options.view && kind.rem_euclid(6) == 5 {
            said.take_back(bare(time, "timer"));
        }
        if kind.rem_euclid(9) == 8 {
            *self = State::default();
        }
        Ok(())
    }

    pub fn fire(&mut self, options: &Options, time: i64, watermark: i64, said: &mut Said) {
        self.fired += 1;
        self.hash = self
            .hash
            .wrapping_mul(37)
            .wrapping_add(time.rem_euclid(1000));
        said.row(Shown {
            flag: Some(self.fired % 2 == 0),
            number: Some(self.hash),
            real: self.real.map(f64::from_bits),
            name: self.name.clone(),
            moment: seen(watermark),
            ..bare(time, "timer")
        });
        if self.fired % 3 == 1 {
            said.set(time.saturating_add(options.gap / 2));
        }
        if time.rem_euclid(4) == 0 {
            said.clear(time.saturating_add(1));
        }
        if self.fired % 5 == 0 {
            *self = State::default();
        }
    }

    /// No bytes for the initial state.
    pub fn save(&self, out: &mut Vec<u8>) {
        if *self == State::default() {
            return;
        }
        for number in [self.rows, self.fired, self.hash] {
            out.extend(number.to_le_bytes());
        }
        for option in [self.armed, self.real.map(u64::cast_signed)] {
            out.push(u8::from(option.is_some()));
            out.extend(option.unwrap_or(0).to_le_bytes());
        }
        if let Some(name) = &self.name {
            out.push(1);
            out.extend(name.as_bytes());
        }
    }

    pub fn open(bytes: &[u8]) -> State {
        let (numbers, rest) = bytes.split_at(24);
        let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let (armed, rest) = rest.split_at(9);
        let (real, name) = rest.split_at(9);
        let option = |bytes: &[u8]| (bytes[0] == 1).then(|| number(&bytes[1..]));
        State {
            rows: number(&numbers[..8]),
            fired: number(&numbers[8..16]),
            hash: number(&numbers[16..]),
            armed: option(armed),
            real: option(real).map(i64::cast_unsigned),
            name: name
                .split_first()
                .map(|(_, name)| String::from_utf8(name.to_vec()).expect("it was a text")),
        }
    }
}
