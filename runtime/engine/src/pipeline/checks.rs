//! `[check.NAME]`: what must hold of the rows of a view before readers are let to a version of it, as a pipeline file says
//! it. The words are those of data tests elsewhere.

use serde_spanned::Spanned;
use toml::de::DeValue;

use super::PlannedNode;
use super::declaration::{Declaration, OutputDeclaration};
use super::diagnostic::{Findings, suggestion};
use super::section::{Reader, Section};
use crate::validate::report::Tolerance;

/// `[check.X]`
#[derive(Clone, Debug)]
pub struct CheckDeclaration {
    /// Its name.
    pub name: Spanned<String>,
    /// The view it is about.
    pub view: Spanned<String>,
    /// All of this must hold.
    pub conditions: Vec<Spanned<Condition>>,
}

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// So many rows.
    Rows(Range),
    /// About as many rows as the version that is read now.
    SameRows(Tolerance),
    /// No null in a field.
    NotNull(String),
    /// No value of a field twice; nulls do not count.
    Unique(String),
    /// Only these values in a field; nulls do not count.
    AcceptedValues(String, Vec<String>),
    /// Only numbers in this range in a field; nulls do not count.
    AcceptedRange(String, Range),
    /// About the same sum of a field as in the version that is read now.
    SameSum(String, Tolerance),
    /// The event time up to which the version is complete is at most so old, in microseconds.
    Freshness(i64),
}

/// From a number to a number, both included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Range {
    /// None: no lower bound.
    pub min: Option<f64>,
    /// None: no upper bound.
    pub max: Option<f64>,
}

impl Range {
    /// Whether a number is in it. NaN never is.
    pub fn holds(&self, number: f64) -> bool {
        self.min.is_none_or(|min| number >= min)
            && self.max.is_none_or(|max| number <= max)
            && !number.is_nan()
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.min, self.max) {
            (Some(min), Some(max)) => write!(f, "{min} to {max}"),
            (Some(min), None) => write!(f, "{min} or more"),
            (None, Some(max)) => write!(f, "{max} or less"),
            (None, None) => f.write_str("any number"),
        }
    }
}

impl Condition {
    /// The field that it is about.
    pub fn field(&self) -> Option<&str> {
        match self {
            Condition::Rows(_) | Condition::SameRows(_) | Condition::Freshness(_) => None,
            Condition::NotNull(field)
            | Condition::Unique(field)
            | Condition::AcceptedValues(field, _)
            | Condition::AcceptedRange(field, _)
            | Condition::SameSum(field, _) => Some(field),
        }
    }
}

/// Reads one `[check.NAME]`.
pub(super) fn check(
    name: Spanned<String>,
    section: &mut Section,
    reader: &mut Reader,
) -> Option<CheckDeclaration> {
    let view = section.required("view", "view = \"NAME\"", reader);
    let mut conditions = Vec::new();
    if let Some(table) = section.table("rows", reader) {
        let span = table.span();
        let rows = range(table, reader);
        conditions.extend(rows.map(|range| Spanned::new(span, Condition::Rows(range))));
    }
    if let Some(same) = tolerance("same_rows", section, reader) {
        let span = same.span();
        conditions.push(Spanned::new(span, Condition::SameRows(same.into_inner())));
    }
    fields(
        "not_null",
        &Condition::NotNull,
        section,
        reader,
        &mut conditions,
    );
    fields(
        "unique",
        &Condition::Unique,
        section,
        reader,
        &mut conditions,
    );
    accepted_values(section, reader, &mut conditions);
    if let Some(table) = section.table("accepted_range", reader) {
        for (field, value) in table.entries() {
            let path = format!("accepted_range of `{}`", field.get_ref());
            let own = Section::open(path, value.span(), value, reader);
            if let Some(range) = own.and_then(|own| range(own, reader)) {
                let condition = Condition::AcceptedRange(field.get_ref().to_string(), range);
                conditions.push(Spanned::new(field.span(), condition));
            }
        }
    }
    same_sum(section, reader, &mut conditions);
    let span = section.get("freshness").map(Spanned::span);
    if let (Some(span), Some(us)) = (span, section.duration_us("freshness", reader)) {
        conditions.push(Spanned::new(span, Condition::Freshness(us)));
    }
    if conditions.is_empty() {
        reader.findings.error(
            "empty-check",
            section.span(),
            format!("{} checks nothing", section.path()),
            "add a condition such as `not_null = [\"FIELD\"]` or `rows = { min = 1 }`",
        );
    }
    Some(CheckDeclaration {
        name,
        view: view?,
        conditions,
    })
}

/// A condition on each field of a list.
fn fields(
    key: &'static str,
    condition: &dyn Fn(String) -> Condition,
    section: &mut Section,
    reader: &mut Reader,
    conditions: &mut Vec<Spanned<Condition>>,
) {
    let fields = section.texts(key, reader);
    for field in fields.into_iter().flat_map(Spanned::into_inner) {
        let span = field.span();
        conditions.push(Spanned::new(span, condition(field.into_inner())));
    }
}

fn accepted_values(
    section: &mut Section,
    reader: &mut Reader,
    conditions: &mut Vec<Spanned<Condition>>,
) {
    let Some(table) = section.table("accepted_values", reader) else {
        return;
    };
    for (field, value) in table.entries() {
        let DeValue::Array(items) = value.get_ref() else {
            let key = field.get_ref().to_string();
            reader.wrong_type(&key, value.span(), value.get_ref(), "a list of values");
            continue;
        };
        let values = items.iter().filter_map(|item| match item.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(n) => Some(n.as_str().to_owned()),
            DeValue::Boolean(b) => Some(b.to_string()),
            other => {
                reader.wrong_type(
                    "accepted_values",
                    item.span(),
                    other,
                    "a text or a whole number",
                );
                None
            }
        });
        let condition = Condition::AcceptedValues(field.get_ref().to_string(), values.collect());
        conditions.push(Spanned::new(field.span(), condition));
    }
}

fn same_sum(section: &mut Section, reader: &mut Reader, conditions: &mut Vec<Spanned<Condition>>) {
    let Some(table) = section.table("same_sum", reader) else {
        return;
    };
    for (field, value) in table.entries() {
        let name = field.get_ref().to_string();
        let Some(text) = reader.text(&name, value) else {
            continue;
        };
        if let Some(tolerance) = read_tolerance(&name, &text, reader) {
            let condition = Condition::SameSum(name, tolerance);
            conditions.push(Spanned::new(field.span(), condition));
        }
    }
}

fn tolerance(
    key: &'static str,
    section: &mut Section,
    reader: &mut Reader,
) -> Option<Spanned<Tolerance>> {
    let text = section.text(key, reader)?;
    let tolerance = read_tolerance(key, &text, reader)?;
    Some(Spanned::new(text.span(), tolerance))
}

fn read_tolerance(key: &str, text: &Spanned<String>, reader: &mut Reader) -> Option<Tolerance> {
    let read = Tolerance::parse(text.get_ref());
    if read.is_none() {
        let message = format!("`{key}`: `{}` is no tolerance", text.get_ref());
        let help = "write a share such as \"0.1%\", or an amount such as \"2\"";
        reader
            .findings
            .error("bad-tolerance", text.span(), message, help);
    }
    read
}

/// `{ min = 1, max = 100 }`, one of them at least.
fn range(mut table: Section, reader: &mut Reader) -> Option<Range> {
    let mut number = |key: &'static str, table: &mut Section| {
        let value = table.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(n) => n.as_str().replace('_', "").parse().ok(),
            DeValue::Float(x) => x.as_str().replace('_', "").parse().ok(),
            _ => None,
        };
        if number.is_none() {
            reader.wrong_type(key, value.span(), value.get_ref(), "a number");
        }
        number
    };
    let range = Range {
        min: number("min", &mut table),
        max: number("max", &mut table),
    };
    if range.min.is_none() && range.max.is_none() {
        let message = format!("{} has no bound", table.path());
        let help = "write such as `{ min = 1 }` or `{ min = -60, max = 600 }`";
        reader
            .findings
            .error("missing-key", table.span(), message, help);
    }
    table.close(reader);
    Some(range)
}

/// Views and fields that checks name are there, and numbers where numbers are wanted.
pub(super) fn check_checks(
    declaration: &Declaration,
    planned: &[PlannedNode],
    findings: &mut Findings,
) {
    for check in &declaration.checks {
        let view = check.view.get_ref();
        let node = declaration
            .nodes
            .iter()
            .find(|n| matches!(&n.output, OutputDeclaration::View(name) if name.get_ref() == view));
        let Some(node) = node else {
            let views = declaration.nodes.iter().filter_map(|n| match &n.output {
                OutputDeclaration::View(name) => Some(name.get_ref().as_str()),
                OutputDeclaration::Topic(_) => None,
            });
            let message = format!("there is no view `{view}`");
            let help = suggestion(view, "views", views.collect::<Vec<_>>());
            findings.error("unknown-view", check.view.span(), message, help);
            continue;
        };
        let Some(planned) = planned.iter().find(|n| n.name == *node.name.get_ref()) else {
            continue;
        };
        for condition in &check.conditions {
            let Some(field) = condition.get_ref().field() else {
                continue;
            };
            if planned.output_schema.field(field).is_none() {
                let names = planned.output_schema.fields().iter();
                let names: Vec<&str> = names.map(|f| f.name.as_str()).collect();
                let message = format!("view `{view}` has no field `{field}`");
                let help = suggestion(field, "fields", names);
                findings.error("unknown-field", condition.span(), message, help);
            }
        }
    }
}
