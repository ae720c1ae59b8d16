//! Times of a calendar: five fields (minute, hour, day of month, month, day of week) and, after them, a zone. Pure but
//! for the zone's rules, which come from the system's own table. UTC unless a zone is named.

use jiff::Timestamp as Instant;
use jiff::tz::{Offset, TimeZone};
use refrain_log::ids::Timestamp;

use super::rhythm::RhythmError;

/// Where systems keep the rules of time zones.
const ZONES: &str = "/usr/share/zoneinfo";
/// How far ahead gaps between ticks are looked for: beyond a year, so that each change of the clock is in it.
const LOOK_DAYS: i64 = 400;
/// Most ticks that are looked at for the longest gap: more than a week of minutes.
const LOOK_TICKS: usize = 11_000;
/// 2025-01-01T00:00:00Z, where the search for the longest gap begins: any day does, and always the same one.
const LOOK_FROM_US: i64 = 1_735_689_600_000_000;
const DAY_US: i64 = 86_400_000_000;

/// Times of a calendar.
#[derive(Clone)]
pub struct Cron {
    text: String,
    pattern: croner::Cron,
    zone: TimeZone,
}

impl Cron {
    /// Reads `minute hour day month weekday [zone]`.
    ///
    /// # Errors
    /// What is wrong, and what to write instead.
    pub fn parse(text: &str) -> Result<Cron, RhythmError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (fields, zone) = match words.len() {
            5 => (&words[..], TimeZone::UTC),
            6 => (&words[..5], zone(words[5])?),
            _ => return Err(wrong(text, "it has not five fields")),
        };
        let parser = croner::parser::CronParser::builder()
            .seconds(croner::parser::Seconds::Disallowed)
            .year(croner::parser::Year::Disallowed)
            .build();
        let pattern = parser
            .parse(&fields.join(" "))
            .map_err(|e| wrong(text, &e.to_string()))?;
        let cron = Cron {
            text: words.join(" "),
            pattern,
            zone,
        };
        match cron.next_after(Timestamp(LOOK_FROM_US)) {
            Some(_) => Ok(cron),
            None => Err(wrong(text, "it never comes")),
        }
    }

    /// The first tick after `time`; none when there is none any more.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let from = Instant::from_microsecond(time.0).ok()?;
        let from = from.to_zoned(self.zone.clone());
        let next = self.pattern.find_next_occurrence(&from, false).ok()?;
        Some(Timestamp(next.timestamp().as_microsecond()))
    }

    /// How many ticks lie in (`after`, `until`], counted up to `max`.
    pub fn ticks_between(&self, after: Timestamp, until: Timestamp, max: usize) -> usize {
        let ticks = std::iter::successors(self.next_after(after), |tick| self.next_after(*tick));
        ticks.take(max).take_while(|tick| *tick <= until).count()
    }

    /// The longest time between two ticks, in microseconds.
    pub fn gap_us(&self) -> i64 {
        let end = Timestamp(LOOK_FROM_US + LOOK_DAYS * DAY_US);
        let (mut last, mut gap) = (Timestamp(LOOK_FROM_US), 0);
        let mut first = true;
        for _ in 0..LOOK_TICKS {
            let Some(next) = self.next_after(last) else {
                break;
            };
            if !first {
                gap = gap.max(next.0 - last.0);
            }
            // The year of a rare tick is looked at as a whole.
            if next > end && gap > 0 {
                break;
            }
            (last, first) = (next, false);
        }
        gap
    }
}

/// A zone: `UTC`, `UTC+2`, `UTC-03:30`, or a name of the system's table such as `Europe/Berlin`.
fn zone(name: &str) -> Result<TimeZone, RhythmError> {
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    let unknown = || RhythmError {
        message: format!("`{name}` is no time zone that this system knows"),
        help: "write UTC, UTC+2, or a name such as Europe/Berlin; without a zone the times are UTC"
            .into(),
    };
    if let Some(offset) = name.strip_prefix("UTC") {
        return fixed(offset).ok_or_else(unknown);
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+');
    if !name.bytes().all(plain) || name.starts_with('/') {
        return Err(unknown());
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the system's table of time zones"
    )]
    let rules = std::fs::read(format!("{ZONES}/{name}")).map_err(|_| unknown())?;
    TimeZone::tzif(name, &rules).map_err(|_| unknown())
}

/// `+2`, `-03:30`
fn fixed(text: &str) -> Option<TimeZone> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    if !(0..=14).contains(&hours) || !(0..60).contains(&minutes) {
        return None;
    }
    let offset = Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()?;
    Some(TimeZone::fixed(offset))
}

fn wrong(text: &str, why: &str) -> RhythmError {
    RhythmError {
        message: format!("`{text}` is no cron time: {}", why.trim_end_matches('.')),
        help: "write minute, hour, day of month, month, day of week and perhaps a zone: \"0 2 * * *\" is 02:00 UTC each \
               day, \"0 2 * * MON-FRI Europe/Berlin\" on work days there"
            .into(),
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Cron {}

impl std::fmt::Debug for Cron {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cron").field(&self.text).finish()
    }
}

impl std::fmt::Display for Cron {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    fn at(text: &str) -> Timestamp {
        let instant: Instant = text.parse().expect("a time");
        Timestamp(instant.as_microsecond())
    }

    fn next(cron: &str, after: &str) -> String {
        let cron = Cron::parse(cron).expect(cron);
        let next = cron.next_after(at(after)).expect("a tick");
        let next = Instant::from_microsecond(next.0).expect("a time");
        next.to_string()
    }

    #[test]
    fn the_next_tick() {
        let table = [
            ("0 2 * * *", "2026-03-01T01:59:59Z", "2026-03-01T02:00:00Z"),
            ("0 2 * * *", "2026-03-01T02:00:00Z", "2026-03-02T02:00:00Z"),
            (
                "*/15 * * * *",
                "2026-03-01T02:00:01Z",
                "2026-03-01T02:15:00Z",
            ),
            ("0 2 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T02:00:00Z"),
            (
                "0 2 * * MON",
                "2026-03-01T00:00:00Z",
                "2026-03-02T02:00:00Z",
            ),
            (
                "0 2 * * * UTC+2",
                "2026-03-01T00:00:00Z",
                "2026-03-02T00:00:00Z",
            ),
            (
                "30 2 * * * UTC-03:30",
                "2026-03-01T00:00:00Z",
                "2026-03-01T06:00:00Z",
            ),
        ];
        for (cron, after, tick) in table {
            assert_eq!(next(cron, after), tick, "{cron} after {after}");
        }
    }

    #[test]
    fn a_night_without_its_hour_still_has_its_tick() {
        if !std::path::Path::new(ZONES).join("Europe/Berlin").exists() {
            return;
        }
        let berlin = "30 2 * * * Europe/Berlin";
        assert_eq!(next(berlin, "2026-03-28T12:00:00Z"), "2026-03-29T01:00:00Z");
        assert_eq!(
            next("0 3 * * * Europe/Berlin", "2026-10-24T12:00:00Z"),
            "2026-10-25T02:00:00Z"
        );
        let gap = Cron::parse(berlin).expect("a cron").gap_us();
        assert!((24 * HOUR_US..=25 * HOUR_US).contains(&gap), "{gap}");
    }

    #[test]
    fn the_longest_gap() {
        let gap = |cron: &str| Cron::parse(cron).expect(cron).gap_us();
        assert_eq!(gap("0 2 * * *"), 24 * HOUR_US);
        assert_eq!(gap("*/5 * * * *"), HOUR_US / 12);
        assert_eq!(gap("0 8,20 * * MON-FRI"), 60 * HOUR_US);
        assert_eq!(gap("0 0 1 * *"), 31 * 24 * HOUR_US);
        assert!(gap("0 0 29 2 *") >= 3 * 365 * 24 * HOUR_US);
    }

    #[test]
    fn ticks_are_counted() {
        let daily = Cron::parse("0 2 * * *").expect("a cron");
        let count = |a, b| daily.ticks_between(at(a), at(b), 1000);
        assert_eq!(count("2026-03-01T02:00:00Z", "2026-03-04T02:00:00Z"), 3);
        assert_eq!(count("2026-03-01T02:00:00Z", "2026-03-02T01:00:00Z"), 0);
    }
}
