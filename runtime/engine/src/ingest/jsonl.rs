//! JSON lines: one object a line, straight into columns without a tree between. Keys by name in any order; a missing
//! key is the field's default, or null; a key that the schema does not have is left out and noted once; a key given twice
//! is a reject.

use std::collections::BTreeSet;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::column::{Column, Rows};
use super::lines::{Ending, LINE_BYTES_MAX, Lines, TOO_LONG_BYTES_KEPT};
use super::{DecodeOptions, Decoded, Decoder, IngestError};

/// How many keys outside the schema are told of.
const KEYS_NOTED_MAX: usize = 20;

/// Decodes JSON lines.
pub(super) struct Jsonl {
    lines: Lines,
    rows: Rows,
    /// Line that is read, from 1.
    line: u64,
    extra: BTreeSet<String>,
}

impl Jsonl {
    pub(super) fn new(lines: Lines, options: &DecodeOptions) -> Self {
        Self {
            lines,
            rows: Rows::new(options),
            line: 1,
            extra: BTreeSet::new(),
        }
    }

    /// Takes one line; whether there was one.
    fn line(&mut self) -> std::io::Result<bool> {
        let (length, ending) = self.lines.line_end(0)?;
        if ending == Ending::TooLong {
            let bytes = &self.lines.rest()[..TOO_LONG_BYTES_KEPT];
            let why = format!(
                "the line is longer than {} MiB; its beginning is kept",
                LINE_BYTES_MAX >> 20
            );
            self.rows.reject(self.line, bytes, why);
            self.lines.skip_line()?;
        } else if length == 0 && ending == Ending::Input {
            return Ok(false);
        } else {
            let bytes = &self.lines.rest()[..length];
            if !bytes.iter().all(u8::is_ascii_whitespace) {
                match fill_row(bytes, &mut self.rows, &mut self.extra) {
                    Ok(()) => self.rows.keep(),
                    Err(why) => self.rows.reject(self.line, bytes, why),
                }
            }
            self.lines.advance(length + 1);
        }
        self.line += 1;
        Ok(true)
    }
}

impl Decoder for Jsonl {
    fn next(&mut self, rows_max: usize) -> Result<Option<Decoded>, IngestError> {
        while !self.rows.full(rows_max) {
            let more = self.line().map_err(|e| IngestError {
                input: self.rows.input.clone(),
                what: format!("cannot be read: {e}"),
            })?;
            if !more {
                break;
            }
        }
        self.rows.finish(self.lines.bytes_read())
    }
}

/// Pushes one row into the columns; a sentence when it does not fit.
fn fill_row(line: &[u8], rows: &mut Rows, extra: &mut BTreeSet<String>) -> Result<(), String> {
    let held = rows.len();
    let noted = extra.len();
    let mut json = serde_json::Deserializer::from_slice(line);
    let seed = RowSeed {
        columns: &mut rows.columns,
        held,
        extra,
    };
    seed.deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|e| sentence(&e))?;
    if extra.len() > noted {
        let names: Vec<&str> = extra.iter().map(String::as_str).collect();
        let note = format!(
            "keys left out, since the topic has no such field: {}",
            names.join(", ")
        );
        rows.note(note);
    }
    for column in &mut rows.columns {
        if column.len() == held {
            column.push_absent()?;
        }
    }
    Ok(())
}

/// The error without the line that serde counts (always 1); a column only where the text is no JSON.
fn sentence(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(text, _)| text);
    if error.is_data() {
        return text.into();
    }
    format!("is no JSON object: {text} at column {}", error.column())
}

/// One object into one row.
struct RowSeed<'a> {
    columns: &'a mut [Column],
    held: usize,
    extra: &'a mut BTreeSet<String>,
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("an object such as {\"id\": 1}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut likely = 0;
        loop {
            let seed = KeySeed {
                columns: self.columns,
                likely,
                extra: self.extra,
            };
            match map.next_key_seed(seed)? {
                None => return Ok(()),
                Some(None) => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some(Some(place)) => {
                    let column = &mut self.columns[place];
                    if column.len() > self.held {
                        let name = &column.field.name;
                        return Err(A::Error::custom(format!("field `{name}` is given twice")));
                    }
                    map.next_value_seed(ValueSeed(column))?;
                    likely = place + 1;
                }
            }
        }
    }
}

/// A key to the place of its column, if it has one. Objects of one input mostly have their keys in one order.
struct KeySeed<'a> {
    columns: &'a [Column],
    likely: usize,
    extra: &'a mut BTreeSet<String>,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        let is_key = |c: &Column| c.field.name == key;
        if self.columns.get(self.likely).is_some_and(is_key) {
            return Ok(Some(self.likely));
        }
        let place = self.columns.iter().position(is_key);
        if place.is_none() && self.extra.len() < KEYS_NOTED_MAX && !self.extra.contains(key) {
            self.extra.insert(key.to_owned());
        }
        Ok(place)
    }
}

/// One value into its column.
struct ValueSeed<'a>(&'a mut Column);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(
            f,
            "{} for the field `{}`",
            self.0.field.kind.name(),
            self.0.field.name
        )
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<(), E> {
        self.0.push_bool(truth).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.0.push_integer(number).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            #[expect(
                clippy::cast_precision_loss,
                reason = "a number of JSON is the nearest double"
            )]
            Err(_) => match self.0.push_float(number as f64) {
                Ok(()) => Ok(()),
                Err(_) => Err(E::custom(self.0.misfit(number.to_string().as_bytes()))),
            },
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.0.push_float(number).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.push_string(text).map_err(E::custom)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.push_null().map_err(E::custom)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(A::Error::custom(self.0.misfit(b"[...]")))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(A::Error::custom(self.0.misfit(b"{...}")))
    }
}
