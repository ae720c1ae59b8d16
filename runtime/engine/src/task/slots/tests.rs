//! Tables find what was put into them, and nothing else.

use super::*;

fn columns() -> (Vec<Field>, Vec<ArrayRef>) {
    let fields = vec![Field::new("k", Kind::Text)];
    (
        fields,
        vec![Arc::new(StringArray::from(vec!["b", "a\0", "b", ""]))],
    )
}

#[test]
fn equal_keys_share_a_slot_and_windows_do_not() {
    let (fields, columns) = columns();
    let mut slots = Slots::new(fields);
    let (mut first, mut second) = (slots.table(0), slots.table(1));
    let keys = slots.batch_keys(&columns);
    let taken: Vec<u32> = (0..4)
        .map(|row| slots.touch(&mut first, &keys, row))
        .collect();
    assert_eq!(taken[0], taken[2]);
    assert_ne!(taken[0], taken[1]);
    assert_ne!(slots.touch(&mut second, &keys, 0), taken[0]);
    assert_eq!(first.len(), 3);
}

#[test]
fn a_batch_without_rows_has_no_key_columns_and_none_are_looked_for() {
    for kind in [
        Kind::I64,
        Kind::Text,
        Kind::Bytes,
        Kind::Timestamp,
        Kind::Bool,
    ] {
        let slots = Slots::new(vec![Field::new("k", kind)]);
        assert!(matches!(slots.batch_keys(&[]), BatchKeys::Encoded([])));
    }
}

#[test]
fn a_key_survives_the_store() {
    let (fields, columns) = columns();
    let mut slots = Slots::new(fields.clone());
    let mut table = slots.table(0);
    let keys = slots.batch_keys(&columns);
    let slot = slots.touch(&mut table, &keys, 1);
    let mut bytes = Vec::new();
    slots.encode_key(slot, &mut bytes);
    let mut again = Slots::new(fields);
    let mut table = again.table(0);
    let slot = again.restore(&mut table, &bytes).slot();
    assert!(again.get(slot).stored);
    assert_eq!(
        again.key_columns(&[slot])[0].as_string::<i32>().value(0),
        "a\0"
    );
}

#[test]
fn a_forgotten_slot_is_used_again_and_not_found_under_its_old_key() {
    let (fields, columns) = columns();
    let mut slots = Slots::new(fields);
    let mut table = slots.table(0);
    let keys = slots.batch_keys(&columns);
    let slot = slots.touch(&mut table, &keys, 0);
    slots.forget(&mut table, slot);
    assert!(table.is_empty());
    assert_eq!(slots.touch(&mut table, &keys, 1), slot);
}
