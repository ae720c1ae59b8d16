//! What readers need, as a pipeline file says it: tiers, consumers with their freshness and objective, and findings that
//! are accepted with a reason.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::declaration::{Allowance, ConsumerDeclaration};
use super::diagnostic::suggestion;
use super::section::{Reader, Section};
use super::units;

const HOUR_US: i64 = 3_600_000_000;
/// Part of the time, in millionths, in which a consumer's need is to be met when it does not say.
const OBJECTIVE_PPM: u32 = 990_000;
/// Span of time over which an objective is looked at when its consumer does not say.
const WINDOW_US: i64 = 30 * 24 * HOUR_US;
const WINDOW_US_MAX: i64 = 366 * 24 * HOUR_US;
/// The tiers by number.
const NUMBERS: [&str; 4] = ["1", "2", "3", "4"];

/// A named class of freshness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// `1` to `4`, or the name that the file gives it.
    pub name: String,
    /// The oldest that an answer of this tier is, in microseconds.
    pub freshness_us: i64,
}

/// The four tiers, from the freshest on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierNames(pub [Tier; 4]);

impl Default for TierNames {
    /// Under a minute, under a quarter of an hour, under two hours, daily. A daily run is looked at as a run each day with
    /// two hours for the run itself and for a change of the clock: 26 hours.
    fn default() -> Self {
        let tier = |name: &str, minutes: i64| Tier {
            name: name.into(),
            freshness_us: minutes * 60_000_000,
        };
        TierNames([
            tier("1", 1),
            tier("2", 15),
            tier("3", 120),
            tier("4", 26 * 60),
        ])
    }
}

impl TierNames {
    /// The number of the tier of an age, from 1; none: older than the last tier.
    pub fn number(&self, age_us: i64) -> Option<usize> {
        let place = self.0.iter().position(|t| age_us <= t.freshness_us);
        place.map(|place| place + 1)
    }

    /// The name of the tier of an age.
    pub fn name(&self, age_us: i64) -> Option<&str> {
        let place = self.0.iter().find(|t| age_us <= t.freshness_us);
        place.map(|t| t.name.as_str())
    }

    /// A need as a file writes it: a tier or a duration.
    pub fn need_us(&self, text: &str) -> Option<i64> {
        let tier = self.freshness_us(text);
        tier.or_else(|| units::duration_us(text))
            .filter(|us| *us > 0)
    }

    /// A need given as a tier: its name, its number, or `tier` and its number.
    fn freshness_us(&self, text: &str) -> Option<i64> {
        let text = text.trim();
        let number = text.strip_prefix("tier ").unwrap_or(text).trim();
        let by_number = number.parse::<usize>().ok().filter(|n| (1..=4).contains(n));
        let by_name = || self.0.iter().find(|t| t.name == text);
        let tier = by_number.map(|n| &self.0[n - 1]).or_else(by_name);
        tier.map(|t| t.freshness_us)
    }
}

/// Reads `[tiers]` when the file has it: each of the four may get another bound, or a name and a bound.
pub(super) fn tiers(root: &DeTable, reader: &mut Reader) -> TierNames {
    let mut tiers = TierNames::default();
    let Some((key, value)) = root.get_key_value("tiers") else {
        return tiers;
    };
    let Some(mut section) = Section::open("[tiers]".into(), key.span(), value, reader) else {
        return tiers;
    };
    let mut given: Vec<(usize, Spanned<String>)> = Vec::new();
    for (place, number) in NUMBERS.into_iter().enumerate() {
        let tier = &mut tiers.0[place];
        let is_table = matches!(
            section.get(number).map(Spanned::get_ref),
            Some(DeValue::Table(_))
        );
        if is_table {
            let Some(mut table) = section.table(number, reader) else {
                continue;
            };
            if let Some(name) = table.text("name", reader) {
                given.push((place, name));
            }
            if let Some(us) = table.duration_us("freshness", reader) {
                tier.freshness_us = us;
            }
            table.close(reader);
        } else if let Some(us) = section.duration_us(number, reader) {
            tier.freshness_us = us;
        }
    }
    name(&mut tiers, given, reader);
    let rising = tiers
        .0
        .windows(2)
        .all(|w| w[0].freshness_us < w[1].freshness_us);
    if !rising {
        reader.findings.error(
            "tiers-order",
            section.span(),
            "tiers go from the freshest to the stalest: each bound is longer than the one before",
            "by default: 1 = \"1m\", 2 = \"15m\", 3 = \"2h\", 4 = \"26h\"",
        );
    }
    section.close(reader);
    tiers
}

/// Gives tiers their names. A name says one tier and nothing else that a need may be written as.
fn name(tiers: &mut TierNames, given: Vec<(usize, Spanned<String>)>, reader: &mut Reader) {
    for (place, name) in given {
        let (text, span) = (name.get_ref().trim().to_owned(), name.span());
        if let Some(message) = misread(&text, NUMBERS[place]) {
            let help = "name what it is for, such as \"live\" or \"nightly\"";
            reader.findings.error("tier-name", span, message, help);
            continue;
        }
        if let Some(other) = tiers.0.iter().position(|tier| tier.name == text)
            && other != place
        {
            let message = format!("tier {} is named `{text}` already", NUMBERS[other]);
            let help = "give each tier a name of its own";
            reader.findings.error("tier-name", span, message, help);
            continue;
        }
        tiers.0[place].name = text;
    }
}

/// As what else than this tier a name would be read, where it is a need.
fn misread(text: &str, own: &str) -> Option<String> {
    let number = text.strip_prefix("tier ").unwrap_or(text).trim();
    if text.is_empty() {
        return Some("the name of a tier is empty".into());
    }
    if text != own && number.parse::<u64>().is_ok() {
        return Some(format!(
            "the name `{text}` of tier {own} would be read as the number of a tier"
        ));
    }
    let duration = units::duration_us(text);
    duration.map(|_| format!("the name `{text}` of tier {own} would be read as a duration"))
}

/// Reads `[consumer.NAME]`.
pub(super) fn consumer(
    name: Spanned<String>,
    section: &mut Section,
    tiers: &TierNames,
    reader: &mut Reader,
) -> Option<ConsumerDeclaration> {
    let view = section.required("view", "view = \"NAME\"", reader);
    let freshness_us = freshness(section, tiers, reader);
    let objective_ppm = objective(section, reader);
    let window = section.get("window").map(Spanned::span);
    let window_us = section.duration_us("window", reader).unwrap_or(WINDOW_US);
    if !(HOUR_US..=WINDOW_US_MAX).contains(&window_us) {
        let span = window.unwrap_or(section.span());
        let message = "the `window` of an objective is from 1h to 366d";
        reader.findings.error("out-of-range", span, message, "");
    }
    Some(ConsumerDeclaration {
        name,
        view: view?,
        freshness_us,
        objective_ppm,
        window_us,
    })
}

fn freshness(
    section: &mut Section,
    tiers: &TierNames,
    reader: &mut Reader,
) -> Option<Spanned<i64>> {
    let value = section.get("freshness")?;
    let (text, span) = match value.get_ref() {
        DeValue::Integer(n) => (n.as_str().to_owned(), value.span()),
        _ => {
            let text = section.text("freshness", reader)?;
            let span = text.span();
            (text.into_inner(), span)
        }
    };
    let us = tiers.need_us(&text);
    if us.is_none() {
        let names = tiers.0.iter().map(|t| t.name.as_str());
        let message = format!("`freshness`: `{text}` is neither a duration nor a tier");
        let help = format!(
            "{}; {}",
            units::DURATION_HELP,
            suggestion(&text, "tiers", names)
        );
        reader
            .findings
            .error("bad-freshness", span.clone(), message, help);
    }
    us.map(|us| Spanned::new(span, us))
}

fn objective(section: &mut Section, reader: &mut Reader) -> u32 {
    let help = "write a percentage above 0 and below 100, such as \"99%\" or \"99.9%\"";
    let read = |text: &str| {
        let percent: f64 = text.trim().strip_suffix('%')?.trim().parse().ok()?;
        (percent > 0.0 && percent < 100.0).then_some((percent * 10_000.0).round() as u32)
    };
    let objective = section.measure("objective", "percentage", help, reader, read);
    objective.unwrap_or(OBJECTIVE_PPM)
}

/// Reads `[allow]`: for each lint the names that it may be found at, each with a reason.
pub(super) fn allowances(
    span: Range<usize>,
    value: &Spanned<DeValue>,
    reader: &mut Reader,
) -> Vec<Allowance> {
    let Some(section) = Section::open("[allow]".into(), span, value, reader) else {
        return Vec::new();
    };
    let mut list = Vec::new();
    for (lint, value) in section.entries() {
        let lint = Spanned::new(lint.span(), lint.get_ref().to_string());
        let names = crate::tiers::lint::CODES;
        if !names.contains(&lint.get_ref().as_str()) {
            let message = format!("there is no lint `{}`", lint.get_ref());
            let help = suggestion(lint.get_ref(), "lints", names);
            reader
                .findings
                .error("unknown-key", lint.span(), message, help);
            continue;
        }
        let path = format!("[allow] {}", lint.get_ref());
        let Some(table) = Section::open(path, lint.span(), value, reader) else {
            continue;
        };
        for (at, reason) in table.entries() {
            let Some(reason) = reader.text(at.get_ref(), reason) else {
                continue;
            };
            if reason.get_ref().trim().is_empty() {
                let message = "an allowance needs its reason";
                let help = "say in a sentence why this is meant";
                reader
                    .findings
                    .error("bad-value", reason.span(), message, help);
            }
            list.push(Allowance {
                lint: lint.get_ref().clone(),
                at: Spanned::new(at.span(), at.get_ref().to_string()),
                reason: reason.into_inner(),
            });
        }
    }
    list
}
