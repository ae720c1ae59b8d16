//! Laws of the digest: order of rows, of fields and added nulls change nothing; any value changes it.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use proptest::prelude::*;

use super::*;

type Row = (i64, Option<String>, f64, Option<bool>);

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("n", Kind::I64),
        Field::new("word", Kind::Text).nullable(),
        Field::new("mean", Kind::F64),
        Field::new("flag", Kind::Bool).nullable(),
    ])
}

fn batch(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.0))),
        Arc::new(StringArray::from_iter(rows.iter().map(|r| r.1.clone()))),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.2))),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|r| r.3))),
    ];
    RecordBatch::try_new(schema().arrow(), columns).unwrap()
}

fn row() -> impl Strategy<Value = Row> {
    (
        any::<i64>(),
        any::<Option<String>>(),
        any::<f64>(),
        any::<Option<bool>>(),
    )
}

/// The bytes of one row, written down from the documentation alone.
fn told(row: &Row) -> u128 {
    let mut bytes = Vec::new();
    let mut field = |name: &str, kind: u8, value: &[u8]| {
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.push(kind);
        bytes.extend(name.as_bytes());
        bytes.extend(value);
    };
    if let Some(flag) = row.3 {
        field("flag", 1, &[u8::from(flag)]);
    }
    let bits = if row.2.is_nan() {
        0x7ff8_0000_0000_0000
    } else {
        row.2.to_bits()
    };
    field("mean", 3, &bits.to_le_bytes());
    field("n", 2, &row.0.to_le_bytes());
    if let Some(word) = &row.1 {
        field(
            "word",
            4,
            &[&(word.len() as u32).to_le_bytes(), word.as_bytes()].concat(),
        );
    }
    xxh3_128(&bytes)
}

proptest! {
    #[test]
    fn hashes_are_as_documented(rows in prop::collection::vec(row(), 0..20)) {
        let expected: Vec<u128> = rows.iter().map(told).collect();
        prop_assert_eq!(row_hashes(&batch(&rows), &schema()), expected);
    }

    #[test]
    fn order_of_rows_and_fields_changes_nothing(rows in prop::collection::vec(row(), 1..20), turn in 0usize..20) {
        let mut turned = rows.clone();
        turned.rotate_left(turn % rows.len());
        prop_assert_eq!(digest(&batch(&rows), &schema()), digest(&batch(&turned), &schema()));
        let order = [2, 0, 3, 1];
        let fields = order.iter().map(|i| schema().fields()[*i].clone()).collect();
        let other = batch(&rows).project(&order).unwrap();
        prop_assert_eq!(row_hashes(&batch(&rows), &schema()), row_hashes(&other, &Schema::new(fields)));
    }

    #[test]
    fn a_slice_hashes_like_the_rows_it_holds(rows in prop::collection::vec(row(), 2..20), at in 0usize..20) {
        let at = at % rows.len();
        let hashes = row_hashes(&batch(&rows), &schema());
        prop_assert_eq!(row_hashes(&batch(&rows).slice(at, rows.len() - at), &schema()), hashes[at..].to_vec());
    }
}

#[test]
fn an_added_nullable_field_changes_nothing() {
    let rows = batch(&[(1, Some("a".into()), 0.5, None), (2, None, 1.5, Some(true))]);
    let mut fields = schema().fields().to_vec();
    fields.insert(1, Field::new("later", Kind::Timestamp).nullable());
    let wider = Schema::new(fields);
    let mut columns = rows.columns().to_vec();
    columns.insert(1, arrow_array::new_null_array(&Kind::Timestamp.arrow(), 2));
    let wide = RecordBatch::try_new(wider.arrow(), columns).unwrap();
    assert_eq!(digest(&rows, &schema()), digest(&wide, &wider));
}

#[test]
fn zeros_differ_and_nans_do_not() {
    let of = |mean| digest(&batch(&[(1, None, mean, None)]), &schema());
    assert_ne!(of(0.0), of(-0.0));
    assert_eq!(of(f64::NAN), of(-f64::NAN));
    assert_eq!(of(f64::NAN), of(f64::from_bits(0x7ff0_0000_dead_beef)));
    assert_ne!(of(f64::INFINITY), of(f64::NAN));
}

#[test]
fn a_value_cannot_pass_for_a_neighbour() {
    let two = Schema::new(vec![
        Field::new("a", Kind::Text),
        Field::new("b", Kind::Text),
    ]);
    let of = |a: &str, b: &str| {
        let column = |v: &str| Arc::new(StringArray::from(vec![v])) as ArrayRef;
        digest(
            &RecordBatch::try_new(two.arrow(), vec![column(a), column(b)]).unwrap(),
            &two,
        )
    };
    assert_ne!(of("xy", ""), of("x", "y"));
    assert_ne!(of("x", "y"), of("y", "x"));
}
