//! Durations, sizes and field types as a pipeline file writes them.

use refrain_log::schema::Kind;
use serde::{Deserialize, Serialize};

use crate::ingest::TimeUnit;

const DURATION_UNITS: [(&str, i64); 8] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("min", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
    ("w", 604_800_000_000),
];

const SIZE_UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// A month of 30 days, in microseconds.
pub const MONTH_US: i64 = 30 * 86_400_000_000;

/// What a duration looks like, for messages.
pub(super) const DURATION_HELP: &str =
    "write a whole number and a unit (us, ms, s, m, h, d, w), such as \"10ms\" or \"1h\"";

/// What a size looks like, for messages.
pub(super) const SIZE_HELP: &str =
    "write a whole number and a unit (B, KB, MB, GB, KiB, MiB, GiB), such as \"256MiB\"";

/// A duration such as `5s` or `10 ms`, in microseconds.
pub fn duration_us(text: &str) -> Option<i64> {
    let (number, unit) = number_and_unit(text)?;
    let (_, factor) = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?;
    i64::try_from(number).ok()?.checked_mul(*factor)
}

/// A duration for messages and canonical text: the largest unit that divides it.
pub fn duration_text(us: i64) -> String {
    let units = DURATION_UNITS
        .iter()
        .filter(|(name, _)| *name != "min" && *name != "w");
    let (name, factor) = units
        .rev()
        .find(|(_, factor)| us != 0 && us % factor == 0)
        .unwrap_or(&("s", 1_000_000));
    format!("{}{name}", us / factor)
}

/// How long rows are kept: a duration, or calendar months.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Age {
    /// So many microseconds.
    Us(i64),
    /// So many calendar months.
    Months(u32),
}

impl std::fmt::Display for Age {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Age::Us(us) => write!(f, "{}", duration_text(*us)),
            Age::Months(1) => write!(f, "1 month"),
            Age::Months(months) => write!(f, "{months} months"),
        }
    }
}

/// A retention such as `90d`, `24 months` or `2 years`.
pub fn retention(text: &str) -> Option<Age> {
    let (number, unit) = number_and_unit(text)?;
    let months = match unit {
        "month" | "months" => number,
        "year" | "years" => number.checked_mul(12)?,
        _ => return duration_us(text).map(Age::Us),
    };
    u32::try_from(months).ok().map(Age::Months)
}

/// A size such as `256MiB`, in bytes.
pub fn size_bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// A size for messages: the largest binary unit that divides it.
pub fn size_text(bytes: u64) -> String {
    let units = SIZE_UNITS.iter().filter(|(name, _)| name.ends_with("iB"));
    let (name, factor) = units
        .rev()
        .find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor))
        .unwrap_or(&("B", 1));
    format!("{}{name}", bytes / factor)
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..digits].parse().ok()?;
    Some((number, text[digits..].trim_start()))
}

/// A field type such as `i64?` or `timestamp(ms)`: kind, unit of integers, whether it may be null.
pub fn field_kind(text: &str) -> Result<(Kind, Option<TimeUnit>, bool), String> {
    let (base, nullable) = match text.strip_suffix('?') {
        Some(base) => (base, true),
        None => (text, false),
    };
    if let Some(unit) = base
        .strip_prefix("timestamp(")
        .and_then(|u| u.strip_suffix(')'))
    {
        let unit = time_unit(unit).ok_or("units of a timestamp are s, ms, us and ns")?;
        return Ok((Kind::Timestamp, Some(unit), nullable));
    }
    let kind = Kind::from_name(base).ok_or_else(|| kind_help(base))?;
    Ok((kind, None, nullable))
}

fn time_unit(name: &str) -> Option<TimeUnit> {
    Some(match name {
        "s" => TimeUnit::S,
        "ms" => TimeUnit::Ms,
        "us" | "µs" => TimeUnit::Us,
        "ns" => TimeUnit::Ns,
        _ => return None,
    })
}

/// What to write instead of a type that is not one of ours.
fn kind_help(wrong: &str) -> String {
    let lower = wrong.to_lowercase();
    let meant = match lower.as_str() {
        "int" | "integer" | "long" | "bigint" | "i32" | "u32" | "u64" | "int64" => Some("i64"),
        "string" | "str" | "varchar" | "utf8" | "json" => Some("text"),
        "float" | "double" | "real" | "f32" | "float64" | "number" => Some("f64"),
        "date" | "datetime" | "time" | "instant" => Some("timestamp"),
        "boolean" => Some("bool"),
        "binary" | "blob" | "bytea" => Some("bytes"),
        _ => super::diagnostic::nearest(&lower, Kind::ALL.map(Kind::name)),
    };
    let types = "types: bool, i64, f64, text, bytes, timestamp or timestamp(s|ms|us|ns); with `?` after it, null is allowed";
    match meant {
        Some(name) => format!("did you mean `{name}`? {types}"),
        None => types.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration_us("5s"), Some(5_000_000));
        assert_eq!(duration_us("10 ms"), Some(10_000));
        assert_eq!(duration_us("0s"), Some(0));
        assert_eq!(duration_us("5"), None);
        assert_eq!(duration_us("-5s"), None);
        assert_eq!(duration_us("99999999999999w"), None);
        assert_eq!(duration_us("24 months"), None);
        assert_eq!(retention("24 months"), Some(Age::Months(24)));
        assert_eq!(retention("1 year"), Some(Age::Months(12)));
        assert_eq!(duration_text(90_000_000), "90s");
        assert_eq!(duration_text(86_400_000_000), "1d");
        assert_eq!(duration_text(0), "0s");
    }

    #[test]
    fn sizes() {
        assert_eq!(size_bytes("256MiB"), Some(256 << 20));
        assert_eq!(size_bytes("1 GB"), Some(1_000_000_000));
        assert_eq!(size_bytes("12"), None);
    }

    #[test]
    fn kinds() {
        assert_eq!(field_kind("i64?"), Ok((Kind::I64, None, true)));
        assert_eq!(
            field_kind("timestamp(ms)?"),
            Ok((Kind::Timestamp, Some(TimeUnit::Ms), true))
        );
        assert!(field_kind("string").unwrap_err().contains("`text`"));
        assert!(field_kind("timestamp(min)").is_err());
    }
}
