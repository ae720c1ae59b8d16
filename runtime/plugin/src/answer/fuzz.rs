//! Answers of a guest as any values that the canonical ABI lets through: taken whole and sound, or refused with a word.

use arrow_array::Array;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn fields() -> Vec<Field> {
    let field = |kind: Kind| {
        let plain = Field::new(kind.name(), kind);
        [
            plain.clone(),
            Field::new(format!("{}?", kind.name()), kind).nullable(),
        ]
    };
    Kind::ALL.into_iter().flat_map(field).collect()
}

/// A number of things: mostly the wanted one.
fn about(count: usize) -> impl Strategy<Value = usize> {
    prop_oneof![8 => Just(count), 1 => 0..count + 3]
}

/// Ends over so many bytes: mostly in order and to the end.
fn spans(count: usize) -> impl Strategy<Value = wire::Spans> {
    let text =
        prop_oneof![4 => "[a-zé€]{0,6}".prop_map(String::into_bytes), 1 => vec(any::<u8>(), 0..6)];
    let harm = proptest::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u32>()));
    (
        about(count).prop_flat_map(move |count| vec(text.clone(), count)),
        harm,
    )
        .prop_map(|(values, harm)| {
            let mut spans = wire::Spans {
                ends: Vec::new(),
                bytes: Vec::new(),
            };
            for value in values {
                spans.bytes.extend(value);
                spans.ends.push(spans.bytes.len() as u32);
            }
            if let (Some((place, end)), false) = (harm, spans.ends.is_empty()) {
                let place = place.index(spans.ends.len());
                spans.ends[place] = if end % 2 == 0 { end } else { end % 12 };
            }
            spans
        })
}

fn values(kind: Kind, count: usize) -> BoxedStrategy<Values> {
    let sized = move || about(count);
    let time = prop_oneof![
        any::<i64>(),
        -1_000_000_000_000_000i64..1_000_000_000_000_000
    ];
    let float = any::<u64>().prop_map(f64::from_bits);
    match kind {
        Kind::Bool => sized()
            .prop_flat_map(|n| vec(any::<bool>(), n))
            .prop_map(Values::Bools)
            .boxed(),
        Kind::I64 => sized()
            .prop_flat_map(|n| vec(any::<i64>(), n))
            .prop_map(Values::Ints)
            .boxed(),
        Kind::Timestamp => sized()
            .prop_flat_map(move |n| vec(time.clone(), n))
            .prop_map(Values::Ints)
            .boxed(),
        Kind::F64 => sized()
            .prop_flat_map(move |n| vec(float.clone(), n))
            .prop_map(Values::Floats)
            .boxed(),
        Kind::Text | Kind::Bytes => spans(count).prop_map(Values::Spans).boxed(),
    }
}

fn bits(count: usize) -> impl Strategy<Value = Vec<u8>> {
    let wanted = count.div_ceil(8);
    prop_oneof![2 => Just(Vec::new()), 6 => vec(any::<u8>(), wanted), 1 => vec(any::<u8>(), 0..4)]
}

fn column(kind: Kind, count: usize) -> impl Strategy<Value = wire::Column> {
    let kind = prop_oneof![30 => Just(kind), 1 => prop::sample::select(Kind::ALL.to_vec())];
    (
        kind.prop_flat_map(move |kind| values(kind, count)),
        bits(count),
    )
        .prop_map(|(values, valid)| wire::Column { values, valid })
}

/// Rows for these fields; one column may be missing.
fn rows(count: usize) -> impl Strategy<Value = wire::Rows> {
    let columns: Vec<_> = fields()
        .iter()
        .map(|field| column(field.kind, count).boxed())
        .collect();
    (about(count), columns, proptest::bool::weighted(0.02)).prop_map(
        |(count, mut columns, missing)| {
            if missing {
                columns.pop();
            }
            wire::Rows {
                count: count as u32,
                columns,
            }
        },
    )
}

fn rejects(count: usize) -> impl Strategy<Value = Vec<wire::Reject>> {
    let row = 0..count as u32 + 2;
    vec((row, ".{0,5}"), 0..4).prop_map(|rejects| {
        let mut rejects: Vec<_> = rejects
            .into_iter()
            .map(|(row, reason)| wire::Reject { row, reason })
            .collect();
        // Mostly as it should be: whether it is does not matter here.
        if rejects.len() != 3 {
            rejects.sort_by_key(|reject| reject.row);
        }
        rejects
    })
}

/// Every array is what Arrow says that it must be, of the declared type, as long as the rows.
fn sound(columns: &[ArrayRef], count: usize, present: Option<&BooleanBuffer>) {
    assert_eq!(columns.len(), fields().len());
    for (array, field) in columns.iter().zip(fields()) {
        assert_eq!(array.len(), count);
        array.to_data().validate_full().expect("a sound array");
        let seen = |row: usize| present.is_none_or(|present| present.value(row));
        let null = (0..count).any(|row| array.is_null(row) && seen(row));
        assert!(field.nullable || !null, "a null in {}", field.name);
        if let Some(floats) = array.as_any().downcast_ref::<Float64Array>() {
            let canonical = |value: &f64| !value.is_nan() || value.to_bits() == NAN.to_bits();
            assert!(
                floats.values().iter().all(canonical),
                "one bit pattern for NaN"
            );
        }
    }
}

fn refused(cause: &Cause) {
    assert!(!format!("{cause:?}").is_empty());
}

proptest! {
    #[test]
    fn any_rows_of_a_transform_are_sound_or_refused(
        (count, rows, origins, rejects) in (0..20usize).prop_flat_map(|count| {
            let origins = prop_oneof![1 => Just(Vec::new()), 2 => vec(0..count as u32 + 1, count)
                .prop_map(|mut origins| { origins.sort_unstable(); origins }), 1 => vec(any::<u32>(), 0..5)];
            (Just(count), rows(count), origins, rejects(count))
        })
    ) {
        let said = wire::Transformed { rows, origins, rejects };
        match transformed(said, &fields(), count) {
            Ok(taken) => {
                sound(&taken.columns, taken.count, None);
                prop_assert!(taken.origins.iter().all(|row| (*row as usize) < count));
                prop_assert!(taken.rejects.iter().all(|reject| (reject.row as usize) < count));
            }
            Err(cause) => refused(&cause),
        }
    }

    #[test]
    fn any_rows_of_a_fold_are_sound_or_refused(
        (slots, rows, present) in (0..20usize).prop_flat_map(|count| (Just(count), rows(count), bits(count)))
    ) {
        match evaluated(wire::Evaluated { rows, present }, &fields(), slots) {
            Ok(taken) => sound(&taken.columns, slots, taken.present.as_ref()),
            Err(cause) => refused(&cause),
        }
    }

    #[test]
    fn any_states_are_whole_or_refused(
        (slots, spans) in (0..20usize).prop_flat_map(|count| (Just(count), spans(count)))
    ) {
        let bytes = spans.bytes.clone();
        match states(spans, slots) {
            Ok(taken) => {
                prop_assert_eq!(taken.ends.len(), slots);
                prop_assert!(taken.ends.is_sorted());
                prop_assert_eq!(taken.ends.last().map_or(0, |end| *end as usize), bytes.len());
            }
            Err(cause) => refused(&cause),
        }
    }
}
