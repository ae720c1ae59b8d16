//! One field of a topic as a pipeline file writes it: `"i64"`, `"i64?"`, `"i64 = 0"`, or `{ type = "i64", default = 0 }`.

use std::collections::BTreeMap;

use refrain_log::schema::{Field, Kind};
use refrain_log::schemas::{Defaults, Value};
use serde_spanned::Spanned;
use toml::de::{DeString, DeValue};

use super::section::{Reader, Section};
use super::units;
use crate::ingest::{TimeUnit, base64, time, value};

/// The fields of a topic, so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) list: Vec<Field>,
    pub(super) units: BTreeMap<String, TimeUnit>,
    pub(super) defaults: Defaults,
}

impl Fields {
    /// Reads one field; what is wrong with it is a finding.
    pub(super) fn read(
        &mut self,
        name: &Spanned<DeString>,
        value: &Spanned<DeValue>,
        reader: &mut Reader,
    ) {
        if name.get_ref().trim().is_empty() || name.get_ref().chars().any(char::is_control) {
            let help = "use letters and digits";
            let findings = &mut reader.findings;
            findings.error("bad-name", name.span(), "a field needs a name", help);
        }
        let Some((kind, default)) = parts(name.get_ref(), value, reader) else {
            return;
        };
        let name = name.get_ref().to_string();
        match units::field_kind(kind.get_ref()) {
            Ok((kind, unit, nullable)) => {
                self.units.extend(unit.map(|unit| (name.clone(), unit)));
                if let Some(text) = default {
                    let value = default_value(text.get_ref(), kind, unit);
                    self.default(&name, &text, value, reader);
                }
                self.list.push(Field {
                    name,
                    kind,
                    nullable,
                });
            }
            Err(help) => {
                let message = format!("field `{name}`: `{}` is no type", kind.get_ref());
                let findings = &mut reader.findings;
                findings.error("unknown-type", kind.span(), message, help);
            }
        }
    }

    fn default(
        &mut self,
        name: &str,
        text: &Spanned<String>,
        value: Result<Value, String>,
        reader: &mut Reader,
    ) {
        match value {
            Ok(value) => {
                self.defaults.insert(name.to_owned(), value);
            }
            Err(why) => {
                let message = format!("the default of field `{name}`: `{}` {why}", text.get_ref());
                let help = "write it as a row of CSV would have it";
                let findings = &mut reader.findings;
                findings.error("bad-default", text.span(), message, help);
            }
        }
    }
}

/// Type and default, as text.
fn parts(
    name: &str,
    value: &Spanned<DeValue>,
    reader: &mut Reader,
) -> Option<(Spanned<String>, Option<Spanned<String>>)> {
    if let DeValue::Table(_) = value.get_ref() {
        let path = format!("field `{name}`");
        let mut section = Section::open(path, value.span(), value, reader)?;
        let kind = section.required("type", "type = \"i64\"", reader);
        let default = section.get("default");
        let default = default.and_then(|value| plain(value, reader));
        section.close(reader);
        return Some((kind?, default));
    }
    let text = reader.text(name, value)?;
    let span = text.span();
    Some(match text.get_ref().split_once('=') {
        None => (text, None),
        Some((kind, default)) => (
            Spanned::new(span.clone(), kind.trim().to_owned()),
            Some(Spanned::new(span, unquoted(default.trim()).to_owned())),
        ),
    })
}

/// A value of TOML as text.
fn plain(value: &Spanned<DeValue>, reader: &mut Reader) -> Option<Spanned<String>> {
    let text = match value.get_ref() {
        DeValue::String(_) => return reader.text("default", value),
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok()?.to_string(),
        DeValue::Float(n) => n.as_str().to_owned(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        other => {
            reader.wrong_type("default", value.span(), other, "one value");
            return None;
        }
    };
    Some(Spanned::new(value.span(), text))
}

/// Quotes are for what begins or ends with a space.
fn unquoted(text: &str) -> &str {
    let quoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    quoted('"').or_else(|| quoted('\'')).unwrap_or(text)
}

/// The value that a text is in a field of this type, as in a row of CSV.
fn default_value(text: &str, kind: Kind, unit: Option<TimeUnit>) -> Result<Value, String> {
    let bytes = text.as_bytes();
    let value = match kind {
        Kind::Bool => value::boolean(bytes).map(Value::Bool),
        Kind::I64 => value::integer(bytes).map(Value::I64),
        Kind::F64 => value::float(bytes).map(|number| Value::F64(number.to_bits())),
        Kind::Text => Some(Value::Text(text.to_owned())),
        Kind::Bytes => {
            let mut decoded = Vec::new();
            base64::decode(bytes, &mut decoded).map(|()| Value::Bytes(decoded))
        }
        Kind::Timestamp => return time::parse(bytes, unit).map(Value::Timestamp),
    };
    value.ok_or_else(|| format!("is not {} {}", article(kind), kind.name()))
}

fn article(kind: Kind) -> &'static str {
    match kind {
        Kind::I64 | Kind::F64 => "an",
        _ => "a",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_read_as_cells_are() {
        let of = |text: &str, kind| default_value(text, kind, None);
        assert_eq!(of("0", Kind::I64), Ok(Value::I64(0)));
        assert_eq!(of("-0.5", Kind::F64), Ok(Value::F64((-0.5_f64).to_bits())));
        assert_eq!(of("true", Kind::Bool), Ok(Value::Bool(true)));
        assert_eq!(of("", Kind::Text), Ok(Value::Text(String::new())));
        assert_eq!(of("aGk=", Kind::Bytes), Ok(Value::Bytes(b"hi".to_vec())));
        let second = Value::Timestamp(1_000_000);
        assert_eq!(of("1970-01-01T00:00:01Z", Kind::Timestamp), Ok(second));
        assert!(of("0.5", Kind::I64).unwrap_err().contains("an i64"));
        assert!(of("soon", Kind::Timestamp).is_err());
        assert_eq!(
            (unquoted("' a'"), unquoted("\"\""), unquoted("'")),
            (" a", "", "'")
        );
    }
}
