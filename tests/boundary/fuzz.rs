//! Bytes that nobody wrote: columns and frames, changed at random, decode to an error or to rows, and never to a panic.
//! `PROPTEST_CASES` says how often.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use proptest::prelude::*;
use refrain_log::columns;
use refrain_log::schema::{Field, Kind, Schema};

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("a", Kind::I64),
        Field::new("b", Kind::Text),
        Field::new("c", Kind::F64),
        Field::new("d", Kind::Bool),
    ])
}

fn rows(values: &[(i64, String, f64, bool)]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(values.iter().map(|v| v.0).collect::<Int64Array>()),
        Arc::new(
            values
                .iter()
                .map(|v| Some(v.1.clone()))
                .collect::<StringArray>(),
        ),
        Arc::new(values.iter().map(|v| v.2).collect::<Float64Array>()),
        Arc::new(values.iter().map(|v| Some(v.3)).collect::<BooleanArray>()),
    ];
    RecordBatch::try_new(schema().arrow(), columns).unwrap()
}

/// Walks over every value, so that a bad offset would show.
fn touch(batch: &RecordBatch) -> usize {
    let walked = batch.columns().iter().map(|column| {
        column.to_data().validate_full().unwrap();
        column.len()
    });
    walked.sum()
}

proptest! {
    #[test]
    fn changed_columns_decode_or_say_why(
        values in prop::collection::vec(any::<(i64, String, f64, bool)>(), 0..40),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = columns::to_bytes(&rows(&values), &schema()).unwrap();
        for (place, byte) in &flips {
            let place = place.index(bytes.len());
            bytes[place] = *byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        if let Ok(batch) = columns::from_bytes(&bytes, &schema()) {
            touch(&batch);
        }
    }

    #[test]
    fn any_bytes_decode_or_say_why(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(batch) = columns::from_bytes(&bytes, &schema()) {
            touch(&batch);
        }
    }
}
