//! How long rows are kept, as a pipeline file says it: `retention` and `retention_bytes` of a topic, and `[retention]` for
//! topics that have no section of their own. Nothing said: for ever. It changes what is on the disk, never a result.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use refrain_log::ids::Timestamp;
use serde::{Deserialize, Serialize};
use serde_spanned::Spanned;
use toml::de::DeValue;

use super::declaration::{Declaration, OutputDeclaration};
use super::diagnostic::suggestion;
use super::section::{Reader, Section};
use super::units::{self, Age};

const AGE_HELP: &str = "write a whole number and a unit, such as \"90d\" or \"24 months\"";
const RULE_HELP: &str = "\"24 months\" or { age = \"24 months\", bytes = \"50 GiB\" }";

/// What is kept of a topic. What either of them lets go may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Rows appended longer ago than this, by the log's own append times, may go; none: no row is too old.
    pub age: Option<Age>,
    /// The oldest rows may go while the topic's frames take more bytes than this; none: no limit.
    pub bytes: Option<u64>,
}

impl Rule {
    /// Whether everything is kept for ever.
    pub fn is_empty(&self) -> bool {
        *self == Rule::default()
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.age, self.bytes) {
            (None, None) => write!(f, "for ever"),
            (Some(age), None) => write!(f, "{age}"),
            (None, Some(bytes)) => write!(f, "{}", units::size_text(bytes)),
            (Some(age), Some(bytes)) => write!(f, "{age}, {}", units::size_text(bytes)),
        }
    }
}

impl Age {
    /// What was appended before this is older, when it is `now`.
    pub fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Age::Us(us) => Timestamp(now.0.saturating_sub(us)),
            Age::Months(months) => months_before(now, months).unwrap_or(Timestamp::MIN),
        }
    }

    /// About how many months of 30 days.
    pub fn months(self) -> f64 {
        match self {
            Age::Us(us) => us as f64 / units::MONTH_US as f64,
            Age::Months(months) => f64::from(months),
        }
    }
}

/// The same day and time so many calendar months earlier, in UTC; the last day of a shorter month.
fn months_before(now: Timestamp, months: u32) -> Option<Timestamp> {
    let now = jiff::Timestamp::from_microsecond(now.0).ok()?;
    let span = jiff::Span::new().try_months(months).ok()?;
    let then = now.to_zoned(jiff::tz::TimeZone::UTC).checked_sub(span);
    Some(Timestamp(then.ok()?.timestamp().as_microsecond()))
}

/// `retention` and `retention_bytes` of a topic's section.
pub(super) fn of_topic(section: &mut Section, reader: &mut Reader) -> Rule {
    let mut rule = match section.get("retention") {
        Some(value) => rule("retention", value, reader),
        None => Rule::default(),
    };
    let bytes = section.size_bytes("retention_bytes", reader);
    rule.bytes = bytes.or(rule.bytes);
    rule
}

/// A text, or a table of age and bytes.
fn rule(key: &str, value: &Spanned<DeValue>, reader: &mut Reader) -> Rule {
    match value.get_ref() {
        DeValue::String(_) => Rule {
            age: reader
                .text(key, value)
                .and_then(|text| age(key, &text, reader)),
            bytes: None,
        },
        DeValue::Table(table) => {
            let mut section = Section::new(key.to_owned(), value.span(), table);
            let rule = Rule {
                age: section.measure("age", "duration", AGE_HELP, reader, units::retention),
                bytes: section.size_bytes("bytes", reader),
            };
            section.close(reader);
            rule
        }
        other => {
            reader.wrong_type(key, value.span(), other, RULE_HELP);
            Rule::default()
        }
    }
}

fn age(key: &str, text: &Spanned<String>, reader: &mut Reader) -> Option<Age> {
    let age = units::retention(text.get_ref());
    if age.is_none() {
        let message = format!("`{key}`: `{}` is no duration", text.get_ref());
        reader
            .findings
            .error("bad-duration", text.span(), message, AGE_HELP);
    }
    age
}

/// Reads `[retention]`: topics by name, each with its rule and its place.
pub(super) fn by_name(
    span: Range<usize>,
    value: &Spanned<DeValue>,
    reader: &mut Reader,
) -> BTreeMap<String, Spanned<Rule>> {
    let DeValue::Table(table) = value.get_ref() else {
        reader.wrong_type("retention", span, value.get_ref(), "a section [retention]");
        return BTreeMap::new();
    };
    let each = table.iter();
    each.map(|(key, value)| {
        let name = key.get_ref().to_string();
        let rule = rule(&name, value, reader);
        (name, Spanned::new(key.span(), rule))
    })
    .collect()
}

/// What holds for each topic that the file can name, and who is named that is no topic.
pub(super) fn settle(
    declaration: &mut Declaration,
    named: BTreeMap<String, Spanned<Rule>>,
    reader: &mut Reader,
) {
    let topics = topics(declaration);
    for (name, rule) in named {
        if !topics.contains(&name) {
            let message = format!("[retention]: there is no topic `{name}`");
            let all = topics.iter().map(String::as_str);
            let help = suggestion(&name, "topics", all);
            reader
                .findings
                .error("unknown-topic", rule.span(), message, help);
            continue;
        }
        match declaration.retention.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(rule.into_inner());
            }
            Entry::Occupied(entry) => {
                let name = entry.key();
                let message = format!("[retention]: topic `{name}` says its retention itself");
                let help = "remove one of the two";
                reader.findings.error("twice", rule.span(), message, help);
            }
        }
    }
}

/// Every topic that there is or will be.
fn topics(declaration: &Declaration) -> Vec<String> {
    let sources = declaration.topics.iter().map(|t| t.name.get_ref());
    let mut topics: Vec<String> = sources
        .flat_map(|t| [t.clone(), format!("{t}.rejected")])
        .collect();
    for node in &declaration.nodes {
        let name = node.name.get_ref();
        topics.extend([format!("{name}.rejected"), format!("{name}.late")]);
        if let OutputDeclaration::Topic(topic) = &node.output {
            topics.push(topic.get_ref().clone());
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const TOPIC: &str = "[topic.t]\nschema = { a = \"i64\" }\n";

    fn read(text: &str) -> Result<BTreeMap<String, Rule>, String> {
        let parsed = parse("refrain.toml", &format!("{TOPIC}{text}"), &|_| None);
        parsed.map(|d| d.retention).map_err(|e| e.to_string())
    }

    #[test]
    fn rules_stand_with_their_topic_or_by_name() {
        let month = Rule {
            age: Some(Age::Months(24)),
            bytes: None,
        };
        let both = Rule {
            bytes: Some(50 << 30),
            ..month
        };
        assert_eq!(read("").unwrap(), BTreeMap::new());
        assert_eq!(read("retention = \"24 months\"\n").unwrap()["t"], month);
        let table = "retention = { age = \"24 months\", bytes = \"50 GiB\" }\n";
        assert_eq!(read(table).unwrap()["t"], both);
        let keys = "retention = \"24 months\"\nretention_bytes = \"50GiB\"\n";
        assert_eq!(read(keys).unwrap()["t"], both);
        let named = read("[retention]\n\"t.rejected\" = \"24 months\"\n").unwrap();
        assert_eq!(named["t.rejected"], month);
        assert_eq!(both.to_string(), "24 months, 50GiB");
    }

    #[test]
    fn what_is_wrong_is_told() {
        let wrong = |text: &str, what: &str| {
            let told = read(text).unwrap_err();
            assert!(told.contains(what), "{told}");
        };
        wrong("retention = \"for ever\"\n", "is no duration");
        wrong("retention = { ages = \"1d\" }\n", "`age`");
        wrong("retention = 5\n", "24 months");
        wrong("[retention]\nu = \"1d\"\n", "there is no topic `u`");
        wrong("retention = \"1d\"\n[retention]\nt = \"1d\"\n", "itself");
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let at = |text: &str| {
            let time: jiff::Timestamp = text.parse().unwrap();
            Timestamp(time.as_microsecond())
        };
        let before = |months, text| Age::Months(months).before(at(text));
        assert_eq!(
            before(1, "2026-03-31T12:00:00Z"),
            at("2026-02-28T12:00:00Z")
        );
        assert_eq!(
            before(24, "2026-03-01T00:00:00Z"),
            at("2024-03-01T00:00:00Z")
        );
        assert_eq!(before(u32::MAX, "2026-03-01T00:00:00Z"), Timestamp::MIN);
        assert_eq!(Age::Us(5).before(Timestamp(3)), Timestamp(-2));
    }
}
