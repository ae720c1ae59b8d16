//! Two tables with one key, row by row: what is only here, only there, and different, field by field. Pure.

use std::collections::BTreeMap;

use super::report::{Drift, FieldDrift, RowDrift, Tolerance};
use super::value::Value;
use crate::request::Table;

/// Rows that a report shows.
const SHOWN_MAX: usize = 10;

/// Compares tables by their first `key_fields` fields, in the fields that both have. `counts` says which rows of a key
/// count at all. Fields of the key must be there under the same names.
pub(crate) fn compare(
    left: &Table,
    right: &Table,
    key: &[String],
    tolerances: &BTreeMap<String, Tolerance>,
    counts: &dyn Fn(&Table, usize) -> bool,
) -> Drift {
    let mut drift = Drift::default();
    let (left_rows, left_skipped) = by_key(left, key, counts);
    let (mut right_rows, right_skipped) = by_key(right, key, counts);
    drift.rows = (left_rows.len() as u64, right_rows.len() as u64);
    drift.skipped = (left_skipped, right_skipped);
    let names = |table: &Table| -> Vec<String> {
        let names = table.schema.fields().iter().map(|f| f.name.clone());
        names.filter(|name| !key.contains(name)).collect()
    };
    let fields: Vec<String> = names(left);
    let (shared, only): (Vec<_>, Vec<_>) = fields
        .into_iter()
        .partition(|f| right.schema.field(f).is_some());
    drift.fields_only = (
        only,
        names(right)
            .into_iter()
            .filter(|f| left.schema.field(f).is_none())
            .collect(),
    );
    drift.fields = shared.iter().map(|f| FieldDrift::new(f)).collect();
    let mut shown: Vec<(f64, RowDrift)> = Vec::new();
    for (key, row) in &left_rows {
        let Some(other) = right_rows.remove(key) else {
            drift.removed += 1;
            shown.push((f64::INFINITY, RowDrift::one_sided("removed", key)));
            keep_largest(&mut shown);
            continue;
        };
        let found = row_drift(
            &mut drift,
            &shared,
            tolerances,
            key,
            (left, *row),
            (right, other),
        );
        if let Some(found) = found {
            drift.changed += 1;
            shown.push(found);
            keep_largest(&mut shown);
        }
    }
    for key in right_rows.keys() {
        drift.added += 1;
        shown.push((f64::INFINITY, RowDrift::one_sided("added", key)));
        keep_largest(&mut shown);
    }
    sort(&mut shown);
    shown.truncate(SHOWN_MAX);
    drift.shown = shown.into_iter().map(|(_, row)| row).collect();
    drift
}

/// Keys of the rows that differ beyond tolerance, or that only the left one has, each with the place of the right row.
pub(super) fn differing(
    left: &Table,
    right: &Table,
    key: &[String],
    tolerances: &BTreeMap<String, Tolerance>,
    counts: &dyn Fn(&Table, usize) -> bool,
) -> BTreeMap<Vec<Value>, Option<usize>> {
    let (left_rows, _) = by_key(left, key, counts);
    let (right_rows, _) = by_key(right, key, counts);
    let fields = left.schema.fields().iter().map(|f| f.name.clone());
    let shared = |name: &String| right.schema.field(name).is_some() && !key.contains(name);
    let fields: Vec<String> = fields.filter(shared).collect();
    let mut drift = Drift {
        fields: fields.iter().map(|f| FieldDrift::new(f)).collect(),
        ..Drift::default()
    };
    let mut found = BTreeMap::new();
    let mut keys: Vec<&Vec<Value>> = left_rows.keys().chain(right_rows.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let (a, b) = (left_rows.get(key), right_rows.get(key).copied());
        let differs = match (a, b) {
            (Some(a), Some(b)) => {
                let sides = ((left, *a), (right, b));
                row_drift(&mut drift, &fields, tolerances, key, sides.0, sides.1).is_some()
            }
            _ => true,
        };
        if differs {
            found.insert(key.clone(), b);
        }
    }
    found
}

/// How often each row was there already, itself included.
pub(crate) fn occurrences(table: &Table) -> Vec<i64> {
    let mut seen: BTreeMap<Vec<Value>, i64> = BTreeMap::new();
    let columns = table.rows.columns();
    let nth = |row| {
        let values = columns.iter().map(|column| Value::of(column, row));
        let count = seen.entry(values.collect()).or_default();
        *count += 1;
        *count
    };
    (0..table.rows.num_rows()).map(nth).collect()
}

/// Places of rows by key, and how many do not count.
fn by_key(
    table: &Table,
    key: &[String],
    counts: &dyn Fn(&Table, usize) -> bool,
) -> (BTreeMap<Vec<Value>, usize>, u64) {
    let columns: Vec<_> = key
        .iter()
        .filter_map(|name| table.rows.column_by_name(name))
        .collect();
    let mut rows = BTreeMap::new();
    let mut skipped = 0;
    for row in 0..table.rows.num_rows() {
        match counts(table, row) {
            true => {
                let key = columns.iter().map(|column| Value::of(column, row));
                rows.insert(key.collect(), row);
            }
            false => skipped += 1,
        }
    }
    (rows, skipped)
}

/// How two rows of one key differ beyond tolerance, and how much at most.
fn row_drift(
    drift: &mut Drift,
    fields: &[String],
    tolerances: &BTreeMap<String, Tolerance>,
    key: &[Value],
    (left, left_row): (&Table, usize),
    (right, right_row): (&Table, usize),
) -> Option<(f64, RowDrift)> {
    let mut row = RowDrift::one_sided("changed", key);
    let mut largest: f64 = 0.0;
    for (place, name) in fields.iter().enumerate() {
        let value = |table: &Table, row| {
            table
                .rows
                .column_by_name(name)
                .map_or(Value::Null, |c| Value::of(c, row))
        };
        let (a, b) = (value(left, left_row), value(right, right_row));
        if a.same(&b) {
            continue;
        }
        let field = &mut drift.fields[place];
        let difference = a.number().zip(b.number()).map(|(a, b)| (b - a).abs());
        let tolerated = tolerances.get(name).is_some_and(|t| t.takes(&a, &b));
        if tolerated {
            field.tolerated += 1;
            continue;
        }
        field.changed += 1;
        let size = difference.unwrap_or(f64::INFINITY);
        if field.largest.is_none_or(|l| size > l) {
            field.largest = Some(size);
            field.at = Some((texts(key), a.text(), b.text()));
        }
        largest = largest.max(size);
        row.fields.push((name.clone(), a.text(), b.text()));
    }
    (!row.fields.is_empty()).then_some((largest, row))
}

fn keep_largest(shown: &mut Vec<(f64, RowDrift)>) {
    if shown.len() > SHOWN_MAX * 20 {
        sort(shown);
        shown.truncate(SHOWN_MAX);
    }
}

/// Changed rows with the largest differences first, then rows of one side; those of equal size by key.
fn sort(shown: &mut [(f64, RowDrift)]) {
    let rank = |row: &RowDrift| u8::from(row.what != "changed");
    shown.sort_by(|(a, x), (b, y)| {
        rank(x)
            .cmp(&rank(y))
            .then(b.total_cmp(a))
            .then(x.key.cmp(&y.key))
    });
}

fn texts(key: &[Value]) -> Vec<String> {
    key.iter().map(Value::text).collect()
}

impl RowDrift {
    fn one_sided(what: &str, key: &[Value]) -> RowDrift {
        RowDrift {
            what: what.to_owned(),
            key: texts(key),
            fields: Vec::new(),
        }
    }
}

impl Tolerance {
    pub(super) fn takes(&self, a: &Value, b: &Value) -> bool {
        let Some((a, b)) = a.number().zip(b.number()) else {
            return false;
        };
        let allowed = match self {
            Tolerance::Relative(share) => share * a.abs().max(b.abs()),
            Tolerance::Absolute(most) => *most,
        };
        (a - b).abs() <= allowed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Float64Array, Int64Array, RecordBatch};
    use proptest::prelude::*;
    use refrain_log::schema::{Field, Kind, Schema};

    use super::*;

    fn table(rows: &BTreeMap<i64, (i64, f64)>) -> Table {
        let fields = vec![
            Field::new("k", Kind::I64),
            Field::new("n", Kind::I64),
            Field::new("x", Kind::F64),
        ];
        let schema = Schema::new(fields);
        let rows = RecordBatch::try_new(
            schema.arrow(),
            vec![
                Arc::new(Int64Array::from_iter_values(rows.keys().copied())),
                Arc::new(Int64Array::from_iter_values(rows.values().map(|v| v.0))),
                Arc::new(Float64Array::from_iter_values(rows.values().map(|v| v.1))),
            ],
        );
        Table {
            schema,
            rows: rows.unwrap(),
        }
    }

    fn all(_: &Table, _: usize) -> bool {
        true
    }

    fn rows() -> impl Strategy<Value = BTreeMap<i64, (i64, f64)>> {
        prop::collection::btree_map(
            0i64..20,
            (
                0i64..3,
                prop_oneof![Just(0.0), Just(-0.0), Just(f64::NAN), Just(1.5)],
            ),
            0..20,
        )
    }

    proptest! {
        #[test]
        fn counts_are_those_of_maps(left in rows(), right in rows()) {
            let drift = compare(&table(&left), &table(&right), &["k".into()], &BTreeMap::new(), &all);
            let same = |a: &(i64, f64), b: &(i64, f64)| {
                a.0 == b.0 && (a.1.to_bits() == b.1.to_bits() || a.1.is_nan() && b.1.is_nan())
            };
            let removed = left.keys().filter(|k| !right.contains_key(k)).count() as u64;
            let added = right.keys().filter(|k| !left.contains_key(k)).count() as u64;
            let changed = left.iter().filter(|(k, v)| right.get(k).is_some_and(|w| !same(v, w))).count() as u64;
            prop_assert_eq!((drift.removed, drift.added, drift.changed), (removed, added, changed));
            prop_assert_eq!(drift.is_equal(), removed + added + changed == 0);
            let back = compare(&table(&right), &table(&left), &["k".into()], &BTreeMap::new(), &all);
            prop_assert_eq!((back.added, back.removed, back.changed), (removed, added, changed));
        }
    }

    #[test]
    fn a_tolerance_takes_what_is_near_and_the_largest_is_shown_first() {
        let left = table(&BTreeMap::from([
            (1, (100, 0.0)),
            (2, (100, 0.0)),
            (3, (100, 0.0)),
        ]));
        let right = table(&BTreeMap::from([
            (1, (101, 0.0)),
            (2, (150, 0.0)),
            (3, (103, 0.0)),
        ]));
        let tolerances = BTreeMap::from([("n".to_owned(), Tolerance::Relative(0.01))]);
        let drift = compare(&left, &right, &["k".into()], &tolerances, &all);
        assert_eq!((drift.changed, drift.fields[0].tolerated), (2, 1));
        assert_eq!(drift.shown[0].key, ["2"]);
        assert_eq!(drift.fields[0].largest, Some(50.0));
    }
}
