//! Times as text or integers to microseconds since the Unix epoch, UTC.
//!
//! ISO 8601 with an offset or `Z`; without one it is UTC; a date alone is its midnight. Integers are taken in the
//! field's declared unit. Fractions finer than a microsecond are refused unless the unit is nanoseconds, which says that
//! they are known and cut (rounded down).

use jiff::civil;

use super::TimeUnit;

const EPOCH: civil::DateTime = civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
const US_PER_DAY: i64 = 86_400_000_000;

/// The time in `text`, or what is wrong with it.
pub fn parse(text: &[u8], unit: Option<TimeUnit>) -> Result<i64, String> {
    if let Some(number) = super::value::integer(text) {
        return integer(number, unit);
    }
    if let Some(us) = iso_utc(text) {
        return Ok(us);
    }
    let text = std::str::from_utf8(text).map_err(|_| "is not UTF-8".to_owned())?;
    iso(text, unit)
}

/// An integer in its unit.
pub fn integer(number: i64, unit: Option<TimeUnit>) -> Result<i64, String> {
    let us = match unit {
        None => {
            return Err(
                "is an integer, and the field declares no unit such as timestamp(ms)".into(),
            );
        }
        Some(TimeUnit::S) => number.checked_mul(1_000_000),
        Some(TimeUnit::Ms) => number.checked_mul(1_000),
        Some(TimeUnit::Us) => Some(number),
        Some(TimeUnit::Ns) => Some(number.div_euclid(1_000)),
    };
    us.ok_or_else(|| "is out of range".into())
}

/// `YYYY-MM-DDTHH:MM:SS[.ffffff]Z`, also with a space: the form that most programs write.
fn iso_utc(text: &[u8]) -> Option<i64> {
    let (body, zone) = text.split_at_checked(19)?;
    let fraction = zone.strip_suffix(b"Z")?;
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    let shaped = separators.iter().all(|(i, c)| body[*i] == *c) && matches!(body[10], b'T' | b' ');
    if !shaped {
        return None;
    }
    let date = civil::Date::new(
        i16::try_from(digits(&body[0..4])?).ok()?,
        i8::try_from(digits(&body[5..7])?).ok()?,
        i8::try_from(digits(&body[8..10])?).ok()?,
    );
    let days = i64::from(days_since_epoch(date.ok()?));
    let (hour, minute, second) = (
        digits(&body[11..13])?,
        digits(&body[14..16])?,
        digits(&body[17..19])?,
    );
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = (hour * 60 + minute) * 60 + second;
    Some(days * US_PER_DAY + seconds * 1_000_000 + micros(fraction)?)
}

/// `.f` to `.ffffff` in microseconds; nothing is 0.
fn micros(fraction: &[u8]) -> Option<i64> {
    let Some(fraction) = fraction.strip_prefix(b".") else {
        return fraction.is_empty().then_some(0);
    };
    let scale = 6_usize.checked_sub(fraction.len()).filter(|s| *s < 6)?;
    Some(digits(fraction)? * 10_i64.pow(u32::try_from(scale).ok()?))
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, b| {
        b.is_ascii_digit()
            .then(|| number * 10 + i64::from(b - b'0'))
    })
}

/// Days between 1970-01-01 and the date (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days_since_epoch(date: civil::Date) -> i32 {
    let (month, day) = (i32::from(date.month()), i32::from(date.day()));
    let year = i32::from(date.year()) - i32::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Every other form of ISO 8601.
fn iso(text: &str, unit: Option<TimeUnit>) -> Result<i64, String> {
    let instant = text.parse::<jiff::Timestamp>().ok();
    let ns = instant
        .map(jiff::Timestamp::as_nanosecond)
        .or_else(|| in_utc(text))
        .ok_or("is no time in ISO 8601, such as 2001-01-31T12:00:00Z")?;
    if ns % 1_000 != 0 && unit != Some(TimeUnit::Ns) {
        return Err("is finer than a microsecond".into());
    }
    i64::try_from(ns.div_euclid(1_000)).map_err(|_| "is out of range".into())
}

/// A date and time, or a date, without a zone: nanoseconds since the epoch.
fn in_utc(text: &str) -> Option<i128> {
    let time = text.parse::<civil::DateTime>().ok()?;
    Some(time.duration_since(EPOCH).as_nanos())
}

/// The time as ISO 8601 with as many digits as it needs; as its number when it is out of years 1 to 9999.
pub fn text(us: i64) -> String {
    // Not by an instant: those of the crate end a day before the year 9999 does, for the sake of zones.
    let since = jiff::SignedDuration::from_micros(us);
    match EPOCH.checked_add(since) {
        Ok(time) if time.year() >= 1 => format!("{time}Z"),
        _ => us.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(text: &str) -> i64 {
        parse(text.as_bytes(), None).unwrap()
    }

    #[test]
    fn the_forms_of_iso_8601() {
        assert_eq!(us("1970-01-01T00:00:00Z"), 0);
        assert_eq!(us("1970-01-01T00:00:01.5Z"), 1_500_000);
        assert_eq!(us("1970-01-01 00:00:00.000001Z"), 1);
        assert_eq!(us("1970-01-02"), US_PER_DAY);
        assert_eq!(us("1970-01-01T01:00:00"), 3_600_000_000);
        assert_eq!(us("1970-01-01 01:00:00"), 3_600_000_000);
        assert_eq!(us("1970-01-01T01:00:00+01:00"), 0);
        assert_eq!(us("1969-12-31T23:59:59Z"), -1_000_000);
        assert_eq!(us("2001-01-31T12:34:56.789Z"), 980_944_496_789_000);
        assert_eq!(us("2000-02-29T00:00:00Z"), us("2000-02-29"));
    }

    #[test]
    fn integers_have_a_unit() {
        assert_eq!(parse(b"1500", Some(TimeUnit::Ms)), Ok(1_500_000));
        assert_eq!(parse(b"-1", Some(TimeUnit::Ns)), Ok(-1));
        assert_eq!(parse(b"7", Some(TimeUnit::S)), Ok(7_000_000));
        assert!(parse(b"1500", None).is_err());
        assert!(parse(b"9223372036854775807", Some(TimeUnit::S)).is_err());
    }

    /// The last day of the year 9999 once was shown as a number, which is not read again.
    #[test]
    fn all_years_have_a_form_that_is_read_again() {
        let first = us("0001-01-01T00:00:00Z");
        let last = us("9999-12-31T23:59:59.999999Z");
        assert_eq!(text(last), "9999-12-31T23:59:59.999999Z");
        assert_eq!(us("9999-12-31"), last + 1 - US_PER_DAY);
        for time in [first, first + 1, -1, 0, 1, last - US_PER_DAY, last] {
            assert_eq!(us(&text(time)), time);
        }
        assert_eq!(text(first - 1), (first - 1).to_string());
        assert_eq!(text(last + 1), (last + 1).to_string());
        assert_eq!(text(i64::MIN), i64::MIN.to_string());
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "yesterday",
            "2001-02-29",
            "2001-01-01T25:00:00Z",
            "2001-01-01T00:00:00.1234567Z",
        ] {
            assert!(parse(text.as_bytes(), None).is_err(), "{text}");
        }
        assert_eq!(
            parse(b"1970-01-01T00:00:00.0000019Z", Some(TimeUnit::Ns)),
            Ok(1)
        );
    }

    #[test]
    fn the_fast_path_agrees_with_jiff() {
        for day in (-719_000..2_932_000).step_by(997) {
            let time = text(day * US_PER_DAY + 12_345_678);
            assert_eq!(
                iso_utc(time.as_bytes()).unwrap(),
                iso(&time, None).unwrap(),
                "{time}"
            );
        }
    }
}
