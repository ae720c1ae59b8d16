//! The layout of columns: what is written is read back, canonical, and damage is found.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use proptest::prelude::*;

use super::*;
use crate::schema::Kind;

fn schema() -> Schema {
    Schema::new(
        Kind::ALL
            .into_iter()
            .flat_map(|kind| {
                [
                    Field::new(kind.name(), kind),
                    Field::new(format!("{}_null", kind.name()), kind).nullable(),
                ]
            })
            .collect(),
    )
}

type Row = (bool, i64, f64, String, Vec<u8>, u8);

fn batch(rows: &[Row]) -> RecordBatch {
    let some = |row: &Row, bit: u8| row.5 & (1 << bit) == 0;
    let mut columns: Vec<ArrayRef> = Vec::new();
    macro_rules! column {
        ($array:ty, $bit:expr, $value:expr) => {
            columns.push(Arc::new(<$array>::from(
                rows.iter().map($value).collect::<Vec<_>>(),
            )));
            columns.push(Arc::new(<$array>::from(
                rows.iter()
                    .map(|r| some(r, $bit).then(|| ($value)(r)))
                    .collect::<Vec<_>>(),
            )));
        };
    }
    column!(BooleanArray, 0, |r: &Row| r.0);
    column!(Int64Array, 1, |r: &Row| r.1);
    column!(Float64Array, 2, |r: &Row| r.2);
    fn text(r: &Row) -> &str {
        r.3.as_str()
    }
    fn bytes(r: &Row) -> &[u8] {
        r.4.as_slice()
    }
    column!(StringArray, 3, text);
    column!(BinaryArray, 4, bytes);
    let times = |nulls: bool| -> ArrayRef {
        let values = rows.iter().map(|r| (!nulls || some(r, 5)).then_some(r.1));
        Arc::new(TimestampMicrosecondArray::from_iter(values).with_timezone("UTC"))
    };
    columns.push(times(false));
    columns.push(times(true));
    batch_of(&schema(), columns, rows.len()).unwrap()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let float = prop_oneof![
        any::<f64>(),
        any::<u64>().prop_map(f64::from_bits),
        Just(-0.0),
        Just(f64::from_bits(0xFFF8_0000_0000_0001)),
    ];
    let row = (
        any::<bool>(),
        any::<i64>(),
        float,
        ".{0,6}",
        prop::collection::vec(any::<u8>(), 0..6),
        any::<u8>(),
    );
    prop::collection::vec(row, 0..70)
}

proptest! {
    #[test]
    fn rows_come_back(rows in rows()) {
        let given = batch(&rows);
        let bytes = to_bytes(&given, &schema()).unwrap();
        let back = from_bytes(&bytes, &schema()).unwrap();
        prop_assert_eq!(&back, &canonical(&given, &schema()).unwrap());
        prop_assert_eq!(to_bytes(&back, &schema()).unwrap(), bytes);
        prop_assert_eq!(back.num_rows(), rows.len());
        let floats = back.column_by_name("f64").unwrap();
        let floats = floats.as_any().downcast_ref::<Float64Array>().unwrap();
        for (i, row) in rows.iter().enumerate() {
            let same = floats.value(i).to_bits() == row.2.to_bits();
            prop_assert!(same || row.2.is_nan() && floats.value(i).is_nan());
        }
        for (a, b) in given.columns().iter().zip(back.columns()) {
            if !a.data_type().is_floating() {
                prop_assert_eq!(a, b);
            }
        }
    }

    #[test]
    fn a_slice_is_canonical(rows in rows(), from in 0usize..70, count in 0usize..70) {
        let from = from.min(rows.len());
        let count = count.min(rows.len() - from);
        let whole = batch(&rows).slice(from, count);
        let alone = batch(&rows[from..from + count]);
        prop_assert_eq!(to_bytes(&whole, &schema()).unwrap(), to_bytes(&alone, &schema()).unwrap());
    }

    #[test]
    fn hostile_bytes_do_no_harm(
        rows in rows(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        words in prop::collection::vec((0usize..16, any::<u32>()), 0..3),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut bytes = to_bytes(&batch(&rows), &schema()).unwrap();
        let original = bytes.clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        for (word, value) in words {
            bytes[word * 4..word * 4 + 4].copy_from_slice(&value.to_le_bytes());
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        // Without the checksums, anything may come back, but only as an answer.
        let _ = read_rows(Buffer::from(bytes.as_slice()), &schema(), false);
        if let Ok(back) = from_bytes(&bytes, &schema()) {
            // Only padding is not covered.
            prop_assert_eq!(to_bytes(&back, &schema()).unwrap(), original);
        }
    }
}

#[test]
fn null_slots_leave_no_trace() {
    let schema = Schema::new(vec![Field::new("a", Kind::Text).nullable()]);
    let hidden = StringArray::try_new(
        arrow_buffer::OffsetBuffer::from_lengths([3, 2, 1]),
        Buffer::from(b"abcdef".as_slice()),
        Some(vec![true, false, true].into()),
    )
    .unwrap();
    let plain = StringArray::from(vec![Some("abc"), None, Some("f")]);
    let bytes = |a: StringArray| {
        let batch = batch_of(&schema, vec![Arc::new(a)], 3).unwrap();
        to_bytes(&batch, &schema).unwrap()
    };
    assert_eq!(bytes(hidden), bytes(plain));
}

#[test]
fn a_batch_of_another_shape_is_refused() {
    let schema = Schema::new(vec![Field::new("a", Kind::I64)]);
    let other = Schema::new(vec![Field::new("a", Kind::Text)]);
    let array: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let batch = batch_of(&other, vec![array], 1).unwrap();
    let said = encode(&batch, &schema).unwrap_err().to_string();
    assert_eq!(said, "field a is i64 in the topic, Utf8 in the batch");
    let nullable = Schema::new(vec![Field::new("a", Kind::I64).nullable()]);
    let array: ArrayRef = Arc::new(Int64Array::from(vec![None]));
    let batch = batch_of(&nullable, vec![array], 1).unwrap();
    assert!(encode(&batch, &schema).is_err());
}
