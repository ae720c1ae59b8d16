//! Two tables with one key, row by row: what is only here, only there, and different, field by field. Both are walked
//! through once, in the order of their keys.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use arrow_array::{ArrayRef, RecordBatch};
use refrain_log::schema::Schema;

use super::report::{Drift, FieldDrift, RowDrift, Tolerance};
use super::value::Value;
use crate::error::Result;
use crate::request::Table;

/// Rows that a report shows.
const SHOWN_MAX: usize = 10;

/// Rows of one side in the order of their keys, a page at a time: of a view they need not all be in memory.
pub(crate) struct Side<'a> {
    schema: Schema,
    key: &'a [String],
    pages: Box<dyn FnMut() -> Result<Option<RecordBatch>> + 'a>,
    page: Table,
    /// Rows of the page, in order.
    order: Vec<usize>,
    at: usize,
    rows: u64,
    skipped: u64,
}

impl<'a> Side<'a> {
    /// All rows of a table, in whatever order they are. Of rows with one key the last one counts.
    pub(crate) fn of_table(table: &'a Table, key: &'a [String]) -> Side<'a> {
        let keyed = Keyed::new(&table.rows, key);
        let rows = 0..table.rows.num_rows();
        let mut sorted: Vec<(Vec<Value>, usize)> = rows.map(|row| (keyed.of(row), row)).collect();
        sorted.sort();
        let last = |i: &usize| sorted.get(i + 1).is_none_or(|next| next.0 != sorted[*i].0);
        let order = (0..sorted.len()).filter(last).map(|i| sorted[i].1);
        Side {
            order: order.collect(),
            page: Table {
                schema: table.schema.clone(),
                rows: table.rows.clone(),
            },
            ..Side::of_pages(table.schema.clone(), key, || Ok(None))
        }
    }

    /// Rows that come in the order of their keys, each key once.
    pub(crate) fn of_pages(
        schema: Schema,
        key: &'a [String],
        pages: impl FnMut() -> Result<Option<RecordBatch>> + 'a,
    ) -> Side<'a> {
        Side {
            page: Table {
                rows: RecordBatch::new_empty(schema.arrow()),
                schema: schema.clone(),
            },
            schema,
            key,
            pages: Box::new(pages),
            order: Vec::new(),
            at: 0,
            rows: 0,
            skipped: 0,
        }
    }

    /// The key of the row at hand; none: there are no more.
    fn key(&mut self, counts: &dyn Fn(&Table, usize) -> bool) -> Result<Option<Vec<Value>>> {
        loop {
            while self.at >= self.order.len() {
                let Some(rows) = (self.pages)()? else {
                    return Ok(None);
                };
                self.order = (0..rows.num_rows()).collect();
                self.at = 0;
                self.page.rows = rows;
            }
            let row = self.order[self.at];
            if counts(&self.page, row) {
                return Ok(Some(Keyed::new(&self.page.rows, self.key).of(row)));
            }
            self.skipped += 1;
            self.at += 1;
        }
    }

    /// The row at hand.
    fn row(&self) -> (&Table, usize) {
        (&self.page, self.order[self.at])
    }

    /// Goes on to the next row.
    fn pass(&mut self) {
        self.rows += 1;
        self.at += 1;
    }

    fn names(&self) -> Vec<String> {
        let names = self.schema.fields().iter().map(|f| f.name.clone());
        names.filter(|name| !self.key.contains(name)).collect()
    }
}

/// The key columns of rows.
struct Keyed<'r>(Vec<&'r ArrayRef>);

impl<'r> Keyed<'r> {
    fn new(rows: &'r RecordBatch, key: &[String]) -> Keyed<'r> {
        Keyed(
            key.iter()
                .filter_map(|name| rows.column_by_name(name))
                .collect(),
        )
    }

    fn of(&self, row: usize) -> Vec<Value> {
        self.0.iter().map(|column| Value::of(column, row)).collect()
    }
}

/// Compares tables by the fields of a key, which are there under the same names, in the other fields that both have.
/// `counts` says which rows of a key count at all.
pub(crate) fn compare(
    left: &Table,
    right: &Table,
    key: &[String],
    tolerances: &BTreeMap<String, Tolerance>,
    counts: &dyn Fn(&Table, usize) -> bool,
) -> Drift {
    let sides = (Side::of_table(left, key), Side::of_table(right, key));
    let drift = merge(sides.0, sides.1, tolerances, counts);
    drift.expect("tables have all their rows at hand")
}

/// The same of two sides, which are walked through once.
pub(crate) fn merge(
    mut left: Side<'_>,
    mut right: Side<'_>,
    tolerances: &BTreeMap<String, Tolerance>,
    counts: &dyn Fn(&Table, usize) -> bool,
) -> Result<Drift> {
    let mut drift = Drift::default();
    let only_in = |one: &Side<'_>, other: &Side<'_>| -> Vec<String> {
        let names = one.names().into_iter();
        names
            .filter(|name| other.schema.field(name).is_none())
            .collect()
    };
    drift.fields_only = (only_in(&left, &right), only_in(&right, &left));
    let shared = left.names().into_iter();
    let shared: Vec<String> = shared.filter(|f| right.schema.field(f).is_some()).collect();
    drift.fields = shared.iter().map(|f| FieldDrift::new(f)).collect();
    let mut shown: Vec<(f64, RowDrift)> = Vec::new();
    let mut keys = (left.key(counts)?, right.key(counts)?);
    loop {
        let (order, key) = match &keys {
            (None, None) => break,
            (Some(a), None) => (Ordering::Less, a),
            (None, Some(b)) => (Ordering::Greater, b),
            (Some(a), Some(b)) => (a.cmp(b), a.min(b)),
        };
        let found = match order {
            Ordering::Less => {
                drift.removed += 1;
                Some((f64::INFINITY, RowDrift::one_sided("removed", key)))
            }
            Ordering::Greater => {
                drift.added += 1;
                Some((f64::INFINITY, RowDrift::one_sided("added", key)))
            }
            Ordering::Equal => {
                let rows = (left.row(), right.row());
                let found = row_drift(&mut drift, &shared, tolerances, key, rows.0, rows.1);
                drift.changed += u64::from(found.is_some());
                found
            }
        };
        if let Some(found) = found {
            shown.push(found);
            keep_largest(&mut shown);
        }
        if order.is_le() {
            left.pass();
            keys.0 = left.key(counts)?;
        }
        if order.is_ge() {
            right.pass();
            keys.1 = right.key(counts)?;
        }
    }
    drift.rows = (left.rows, right.rows);
    drift.skipped = (left.skipped, right.skipped);
    sort(&mut shown);
    shown.truncate(SHOWN_MAX);
    drift.shown = shown.into_iter().map(|(_, row)| row).collect();
    Ok(drift)
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
        // From a number to NaN it is as far as it can be.
        let difference = difference.filter(|difference| !difference.is_nan());
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

        /// Pages come to what whole tables come to.
        #[test]
        fn pages_are_compared_as_whole_tables(left in rows(), right in rows(), page in 1usize..7, from in 0i64..20) {
            let (a, b) = (table(&left), table(&right));
            let key = ["k".to_owned()];
            let counts = |table: &Table, row: usize| {
                let keys = table.rows.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
                keys.value(row) >= from
            };
            let whole = compare(&a, &b, &key, &BTreeMap::new(), &counts);
            let side = |table: &Table| {
                let (rows, mut at) = (table.rows.clone(), 0);
                Side::of_pages(table.schema.clone(), &key, move || {
                    let count = page.min(rows.num_rows() - at);
                    at += count;
                    Ok((count > 0).then(|| rows.slice(at - count, count)))
                })
            };
            let paged = merge(side(&a), side(&b), &BTreeMap::new(), &counts).unwrap();
            prop_assert_eq!(whole, paged);
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
