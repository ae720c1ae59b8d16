//! Data checks: whether the rows of a version are fit to be read. Each condition is judged purely, on the view at a cut.

use std::collections::BTreeMap;

use arrow_array::Array;
use refrain_log::ids::{Sequence, Timestamp};
use serde::{Deserialize, Serialize};

use super::report::Tolerance;
use super::value::Value;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::names;
use crate::pipeline::units::duration_text;
use crate::pipeline::{CheckDeclaration, Condition};
use crate::request::Table;
use crate::versions::{NodeVersions, Standing, VersionName, view_of};

/// Checks of a version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckOrder {
    /// View, or its node.
    pub name: String,
    /// The version; none: the newest candidate, or the live one when there is none.
    pub version: Option<u32>,
    /// Names of checks; empty: all of the view.
    pub checks: Vec<String>,
}

/// What checks found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckReport {
    /// The node.
    pub node: String,
    /// The version.
    pub version: u32,
    /// The cut at which it was looked at.
    pub cut: Sequence,
    /// Whether all holds.
    pub holds: bool,
    /// Condition by condition.
    pub results: Vec<CheckResult>,
}

/// One condition of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The check.
    pub check: String,
    /// The condition, as the file says it: `not_null delay_mean`.
    pub condition: String,
    /// Whether it holds.
    pub holds: bool,
    /// What was found.
    pub found: String,
}

/// A version's view, as it stands.
struct Looked {
    table: Table,
    key_fields: usize,
    watermark: Timestamp,
}

impl Host {
    /// Judges checks by hand.
    pub fn check_data(&self, order: &CheckOrder) -> Result<CheckReport> {
        let (node, known) = self.node_versions(&order.name)?;
        let mut numbers = known.versions.keys().rev().copied();
        let candidate = numbers.find(|n| known.standing(*n) == Standing::Candidate);
        let number = order.version.or(candidate).unwrap_or(known.reading.live);
        if !known.versions.contains_key(&number) {
            return Err(Error::Refused(format!(
                "node {node} has no version {number}"
            )));
        }
        let checks = self.checks_named(&node, &order.checks)?;
        let mut involved: Vec<String> = [number, known.reading.live]
            .map(|n| VersionName::new(&node, n).to_string())
            .to_vec();
        involved.dedup();
        let held = self.meet_or_run(&involved, None)?;
        let results = self.judge(&node, &known, number, &checks)?;
        Ok(CheckReport {
            version: number,
            cut: held.cut,
            holds: results.iter().all(|r| r.holds),
            results,
            node,
        })
    }

    /// Refuses a version for which a check does not hold. To be called while the versions stand at one cut.
    pub(crate) fn require_check(
        &self,
        node: &str,
        known: &NodeVersions,
        number: u32,
        check: &str,
    ) -> Result<()> {
        let checks = self.checks_named(node, &[check.to_owned()])?;
        let results = self.judge(node, known, number, &checks)?;
        let broken: Vec<String> = results
            .iter()
            .filter(|r| !r.holds)
            .map(|r| format!("{}: {}", r.condition, r.found))
            .collect();
        match broken.is_empty() {
            true => Ok(()),
            false => Err(Error::Refused(format!(
                "check {check} does not hold for version {number} of node {node}: {}; nobody was moved",
                broken.join("; ")
            ))),
        }
    }

    /// The view that a check is about, by the pipeline file as it is now.
    pub(crate) fn check_view(&self, check: &str) -> Result<String> {
        let declaration = self.project().declaration()?;
        let mut found = declaration.checks.iter();
        let found = found.find(|c| c.name.get_ref() == check);
        found.map(|c| c.view.get_ref().clone()).ok_or_else(|| {
            let all = declaration.checks.iter().map(|c| c.name.get_ref().as_str());
            let none = "the pipeline file declares none; write a [check.NAME] section";
            Error::Refused(names::unknown("check", check, all, none))
        })
    }

    fn checks_named(&self, node: &str, wanted: &[String]) -> Result<Vec<CheckDeclaration>> {
        for name in wanted {
            self.check_view(name)?;
        }
        let declaration = self.project().declaration()?;
        let view = view_of(&declaration, node);
        let of_view = |c: &&CheckDeclaration| Some(c.view.get_ref()) == view.as_ref();
        let chosen = |c: &&CheckDeclaration| {
            wanted.is_empty() || wanted.iter().any(|name| name == c.name.get_ref())
        };
        let its = declaration.checks.iter().filter(of_view).filter(chosen);
        let its: Vec<CheckDeclaration> = its.cloned().collect();
        let missing = wanted
            .iter()
            .find(|name| !its.iter().any(|c| c.name.get_ref() == *name));
        match (missing, its.is_empty()) {
            (Some(name), _) => Err(Error::Refused(format!(
                "check {name} is not about the view of node {node}"
            ))),
            (None, true) => Err(Error::Refused(format!(
                "there is no check on the view of node {node}; write a [check.NAME] section with its view"
            ))),
            (None, false) => Ok(its),
        }
    }

    fn judge(
        &self,
        node: &str,
        known: &NodeVersions,
        number: u32,
        checks: &[CheckDeclaration],
    ) -> Result<Vec<CheckResult>> {
        let its = self.looked(&VersionName::new(node, number))?;
        let live = match number == known.reading.live {
            true => None,
            false => Some(self.looked(&VersionName::new(node, known.reading.live))?),
        };
        let live = live.as_ref().unwrap_or(&its);
        let now = self.log.now();
        let mut results = Vec::new();
        for check in checks {
            for condition in &check.conditions {
                let (holds, found) = judge(condition.get_ref(), &its, live, now);
                results.push(CheckResult {
                    check: check.name.get_ref().clone(),
                    condition: condition.get_ref().to_string(),
                    holds,
                    found,
                });
            }
        }
        Ok(results)
    }

    fn looked(&self, version: &VersionName) -> Result<Looked> {
        let table = self.see(version)?;
        let name = version.to_string();
        let views = self.state.views();
        let view = views.iter().find(|v| v.spec().node == name);
        Ok(Looked {
            table,
            key_fields: view.map_or(0, |v| v.key_schema().fields().len()),
            watermark: view.map_or(Timestamp::MIN, |v| v.state().watermark),
        })
    }
}

/// Whether a condition holds, and what was found.
fn judge(condition: &Condition, its: &Looked, live: &Looked, now: Timestamp) -> (bool, String) {
    let rows = its.table.rows.num_rows();
    match condition {
        Condition::Rows(range) => (range.holds(rows as f64), format!("{rows} rows")),
        Condition::SameRows(tolerance) => {
            let other = live.table.rows.num_rows();
            let holds = tolerance.takes(&Value::Int(rows as i64), &Value::Int(other as i64));
            let found = format!("{rows} rows, and {other} in the version that is read");
            (holds, found)
        }
        Condition::NotNull(field) => rows_that(its, field, |value| *value == Value::Null),
        Condition::Unique(field) => unique(its, field),
        Condition::AcceptedValues(field, values) => rows_that(its, field, |value| {
            *value != Value::Null && !values.contains(&value.text())
        }),
        Condition::AcceptedRange(field, range) => rows_that(its, field, |value| {
            *value != Value::Null && !value.number().is_some_and(|n| range.holds(n))
        }),
        Condition::SameSum(field, tolerance) => {
            match sum(&its.table, field).zip(sum(&live.table, field)) {
                None => (false, "it is no field of numbers in both versions".into()),
                Some((a, b)) => (
                    tolerance.takes(&a, &b),
                    format!("{}, and {} in the version that is read", a.text(), b.text()),
                ),
            }
        }
        Condition::Freshness(most) => {
            if its.watermark == Timestamp::MIN {
                return (false, "it has taken no row with an event time".into());
            }
            let age = now.0.saturating_sub(its.watermark.0).max(0);
            let text = Value::Time(its.watermark.0).text();
            let found = format!("complete up to {text}, {} ago", duration_text(age));
            (age <= *most, found)
        }
    }
}

/// Holds when no row is so; else how many are, and the first of them.
fn rows_that(its: &Looked, field: &str, is: impl Fn(&Value) -> bool) -> (bool, String) {
    let Some(column) = its.table.rows.column_by_name(field) else {
        return (false, "this version has no such field".into());
    };
    let mut broken = 0_u64;
    let mut first = None;
    for row in 0..column.len() {
        let value = Value::of(column, row);
        if is(&value) {
            broken += 1;
            first = first.or(Some((row, value)));
        }
    }
    match first {
        None => (true, format!("all of {} rows", column.len())),
        Some((row, value)) => {
            let key = its.table.rows.columns().iter().take(its.key_fields);
            let key: Vec<String> = key.map(|c| Value::of(c, row).text()).collect();
            let found = format!(
                "not in {broken} of {} rows, first {} at {}",
                column.len(),
                value.text(),
                key.join(" ")
            );
            (false, found)
        }
    }
}

fn unique(its: &Looked, field: &str) -> (bool, String) {
    let Some(column) = its.table.rows.column_by_name(field) else {
        return (false, "this version has no such field".into());
    };
    let mut counts: BTreeMap<Value, u64> = BTreeMap::new();
    for row in (0..column.len()).filter(|row| !column.is_null(*row)) {
        *counts.entry(Value::of(column, row)).or_default() += 1;
    }
    let mut twice = counts.iter().filter(|(_, count)| **count > 1);
    match twice.next() {
        None => (true, format!("{} values", counts.len())),
        Some((value, count)) => {
            let others = twice.count() + 1;
            let found = format!(
                "{others} values more than once, first {} in {count} rows",
                value.text()
            );
            (false, found)
        }
    }
}

/// The sum of a field of numbers, nulls left out: whole numbers exactly.
fn sum(table: &Table, field: &str) -> Option<Value> {
    let column = table.rows.column_by_name(field)?;
    let (mut whole, mut real, mut is_real) = (0_i128, 0.0, false);
    for row in 0..column.len() {
        match Value::of(column, row) {
            Value::Null => {}
            Value::Int(n) => whole += i128::from(n),
            Value::Float(x) => {
                real += x;
                is_real = true;
            }
            _ => return None,
        }
    }
    Some(match (is_real, i64::try_from(whole)) {
        (false, Ok(whole)) => Value::Int(whole),
        _ => Value::Float(real + whole as f64),
    })
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Condition::Rows(range) => write!(f, "rows {range}"),
            Condition::SameRows(tolerance) => write!(f, "same_rows {tolerance}"),
            Condition::NotNull(field) => write!(f, "not_null {field}"),
            Condition::Unique(field) => write!(f, "unique {field}"),
            Condition::AcceptedValues(field, values) => {
                write!(f, "accepted_values {field} {}", values.join(", "))
            }
            Condition::AcceptedRange(field, range) => write!(f, "accepted_range {field} {range}"),
            Condition::SameSum(field, tolerance) => write!(f, "same_sum {field} {tolerance}"),
            Condition::Freshness(us) => write!(f, "freshness {}", duration_text(*us)),
        }
    }
}

impl std::fmt::Display for Tolerance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Tolerance::Relative(share) => write!(f, "{}%", share * 100.0),
            Tolerance::Absolute(most) => write!(f, "{most}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Float64Array, Int64Array, RecordBatch, StringArray};
    use refrain_log::schema::{Field, Kind, Schema};

    use super::*;
    use crate::pipeline::Range;

    fn looked(rows: &[(&str, Option<i64>, f64)]) -> Looked {
        let mut fields = vec![
            Field::new("k", Kind::Text),
            Field::new("n", Kind::I64),
            Field::new("x", Kind::F64),
        ];
        fields[1].nullable = true;
        let schema = Schema::new(fields);
        let columns: Vec<arrow_array::ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.0))),
            Arc::new(rows.iter().map(|r| r.1).collect::<Int64Array>()),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.2))),
        ];
        let rows = RecordBatch::try_new(schema.arrow(), columns).unwrap();
        Looked {
            table: Table { schema, rows },
            key_fields: 1,
            watermark: Timestamp(1_000_000),
        }
    }

    #[test]
    fn conditions_say_what_they_found() {
        let its = looked(&[
            ("a", Some(1), 1.5),
            ("b", None, f64::NAN),
            ("c", Some(1), 9.0),
        ]);
        let live = looked(&[("a", Some(3), 1.0), ("b", Some(0), 1.0)]);
        let range = |min, max| Range { min, max };
        let some = Tolerance::Relative(0.4);
        let table: Vec<(Condition, bool, &str)> = vec![
            (Condition::Rows(range(Some(3.0), Some(3.0))), true, "3 rows"),
            (Condition::Rows(range(Some(4.0), None)), false, "3 rows"),
            (Condition::SameRows(some), true, "and 2 in the version"),
            (
                Condition::SameRows(Tolerance::Absolute(0.0)),
                false,
                "3 rows, and 2",
            ),
            (Condition::NotNull("k".into()), true, "all of 3"),
            (
                Condition::NotNull("n".into()),
                false,
                "1 of 3 rows, first null at b",
            ),
            (Condition::Unique("k".into()), true, "3 values"),
            (Condition::Unique("n".into()), false, "first 1 in 2 rows"),
            (
                Condition::AcceptedValues("k".into(), vec!["a".into(), "b".into()]),
                false,
                "first c at c",
            ),
            (
                Condition::AcceptedValues("n".into(), vec!["1".into()]),
                true,
                "all",
            ),
            (
                Condition::AcceptedRange("x".into(), range(Some(0.0), None)),
                false,
                "first NaN at b",
            ),
            (
                Condition::AcceptedRange("n".into(), range(Some(0.0), Some(1.0))),
                true,
                "all",
            ),
            (Condition::SameSum("n".into(), some), true, "2, and 3"),
            (
                Condition::SameSum("n".into(), Tolerance::Absolute(0.5)),
                false,
                "2, and 3",
            ),
            (
                Condition::SameSum("k".into(), some),
                false,
                "no field of numbers",
            ),
            (Condition::Freshness(1_000_000), true, "1s ago"),
            (Condition::Freshness(999_999), false, "1s ago"),
        ];
        for (condition, holds, found) in table {
            let (held, what) = judge(&condition, &its, &live, Timestamp(2_000_000));
            assert!(held == holds && what.contains(found), "{condition}: {what}");
        }
    }
}
