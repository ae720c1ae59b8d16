//! Rows in the tree are those in memory, whatever their keys and kinds.

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use proptest::prelude::*;
use refrain_log::schema::{Field, Kind};

use super::super::tests::both;
use super::super::{View, ViewChanges, ViewRows, ViewSpec, ViewState};
use super::*;
use crate::cells::compare_keys;

/// A key of every kind that may be one.
type Key = (Option<bool>, Option<i64>, Option<String>, Vec<u8>);

fn spec() -> ViewSpec {
    let fields = [
        ("flag", Kind::Bool, true),
        ("at", Kind::Timestamp, true),
        ("text", Kind::Text, true),
        ("bytes", Kind::Bytes, false),
        ("count", Kind::I64, false),
        ("real", Kind::F64, true),
        ("word", Kind::Text, true),
        ("yes", Kind::Bool, true),
    ];
    let fields = fields.map(|(name, kind, nullable)| Field {
        name: name.into(),
        kind,
        nullable,
    });
    ViewSpec {
        name: "v".into(),
        node: "n".into(),
        schema: Schema::new(fields.to_vec()),
        key_fields: 4,
    }
}

/// Few enough that they meet; some longer than keys of the tree, with beginnings in common.
fn key() -> impl Strategy<Value = Key> {
    let text = prop_oneof![
        6 => "[a\u{0}é]{0,3}",
        1 => Just("x".repeat(KEY_BYTES_MAX - 4)),
        2 => "[a\u{0}]{0,2}".prop_map(|end| "x".repeat(KEY_BYTES_MAX) + &end),
    ];
    let bytes = prop::collection::vec(prop_oneof![Just(0), Just(1), Just(254), Just(255)], 0..3);
    let ints = prop_oneof![Just(i64::MIN), Just(-1), Just(0), Just(1), Just(i64::MAX)];
    (
        prop::option::of(any::<bool>()),
        prop::option::of(ints),
        prop::option::of(text),
        bytes,
    )
}

fn keys_of(keys: &[Key]) -> Vec<ArrayRef> {
    let flags: BooleanArray = keys.iter().map(|key| key.0).collect();
    let times: TimestampMicrosecondArray = keys.iter().map(|key| key.1).collect();
    let texts: StringArray = keys.iter().map(|key| key.2.as_deref()).collect();
    let bytes = BinaryArray::from_iter_values(keys.iter().map(|key| &key.3));
    vec![
        Arc::new(flags),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(texts),
        Arc::new(bytes),
    ]
}

/// Rows whose values follow from a number, and the deletion of other keys.
fn changes(put: &[Key], number: i64, deleted: &[Key]) -> ViewChanges {
    let some = |i: i64| (i % 3 > 0).then_some(i);
    let numbers = || (0..put.len() as i64).map(|i| number + i);
    let mut columns = keys_of(put);
    let words = numbers().map(|i| some(i).map(|i| "w".repeat(i as usize % 9)));
    columns.extend([
        Arc::new(Int64Array::from_iter_values(numbers())) as ArrayRef,
        Arc::new(Float64Array::from_iter(
            numbers().map(|i| some(i).map(|i| i as f64 / 7.0)),
        )),
        Arc::new(words.collect::<StringArray>()),
        Arc::new(
            numbers()
                .map(|i| some(i).map(|i| i % 2 == 0))
                .collect::<BooleanArray>(),
        ),
    ]);
    let schema = spec().schema;
    let key_schema = Schema::new(schema.fields()[..4].to_vec());
    let deletes = RecordBatch::try_new(key_schema.arrow(), keys_of(deleted)).unwrap();
    ViewChanges {
        rows: RecordBatch::try_new(schema.arrow(), columns).unwrap(),
        finals: BooleanBuffer::collect_bool(put.len(), |i| (number + i as i64) % 2 == 0),
        deletes: Some(deletes),
    }
}

fn is_same(a: &ViewRows, b: &ViewRows) -> bool {
    a.rows == b.rows && a.finals == b.finals && a.state.digest == b.state.digest
}

/// A commit puts each key once, and deletes others.
fn apart(keys: Vec<Key>, deleted: Vec<Key>) -> (Vec<Key>, Vec<Key>) {
    let put: std::collections::BTreeSet<Key> = keys.into_iter().collect();
    let deleted: std::collections::BTreeSet<Key> = deleted.into_iter().collect();
    let deleted = deleted.difference(&put).cloned().collect();
    (put.into_iter().collect(), deleted)
}

/// All rows of a walk, in the order of their keys.
fn walked(view: &View) -> u128 {
    view.begin_walk();
    let mut digest = 0_u128;
    loop {
        let (parts, walked) = view.walk(300).unwrap();
        for (rows, _) in parts {
            digest = digest.wrapping_add(crate::digest::digest(&rows, view.schema()));
        }
        let ended = walked == Walked::End;
        view.walked(walked);
        if ended {
            return digest;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn rows_in_the_tree_are_those_in_memory(
        commits in prop::collection::vec(
            (prop::collection::vec(key(), 0..12), prop::collection::vec(key(), 0..6)),
            1..8,
        ),
        asked in prop::collection::vec(key(), 1..6),
        limit in 0_usize..20,
    ) {
        let both = both(&spec());
        let [memory, disk] = &both.views;
        let mut number = 0;
        for (put, deleted) in commits {
            let (put, deleted) = apart(put, deleted);
            number += 100;
            for view in [memory, disk] {
                let prepared = view.prepare(&changes(&put, number, &deleted)).unwrap();
                view.apply(vec![prepared], ViewState::EMPTY).unwrap();
            }
            let (wanted, found) = (memory.scan(None).unwrap(), disk.scan(None).unwrap());
            prop_assert!(is_same(&wanted, &found));
            let state = disk.state();
            prop_assert_eq!((state.rows, state.finals), (memory.state().rows, memory.state().finals));
            prop_assert_eq!(state.digest, crate::digest::digest(&found.rows, disk.schema()));
            prop_assert_eq!(walked(disk), state.digest);
            prop_assert_eq!(state.bytes > 0, state.rows > 0);
        }
        prop_assert!(is_same(&memory.scan(Some(limit)).unwrap(), &disk.scan(Some(limit)).unwrap()));
        for key in &asked {
            for fields in 1..=4 {
                let schema = Schema::new(spec().schema.fields()[..fields].to_vec());
                let columns = keys_of(std::slice::from_ref(key))[..fields].to_vec();
                let key = RecordBatch::try_new(schema.arrow(), columns).unwrap();
                prop_assert!(is_same(&memory.get(&key).unwrap(), &disk.get(&key).unwrap()));
            }
        }
        let mut pages = disk.pages(None, None).unwrap();
        let mut seen = 0;
        while !pages.is_done() {
            // What is committed meanwhile does not show.
            let gone = disk.prepare(&changes(&[], 0, &asked)).unwrap();
            disk.apply(vec![gone], ViewState::EMPTY).unwrap();
            seen += pages.next(3, 400).unwrap().rows.num_rows() as u64;
        }
        prop_assert_eq!(seen, memory.state().rows);
    }

    #[test]
    fn bytes_of_keys_sort_as_keys_do(one in key(), other in key()) {
        let columns = |key: &Key| {
            let schema = Schema::new(spec().schema.fields()[..4].to_vec());
            let keys = keys_of(std::slice::from_ref(key));
            let batch = RecordBatch::try_new(schema.arrow(), keys).unwrap();
            Column::of_batch(&batch, &schema, 4).unwrap()
        };
        let (a, b) = (columns(&one), columns(&other));
        let bytes = |columns: &[Column]| {
            let mut bytes = Vec::new();
            ordered::encode(columns, 0, &mut bytes);
            bytes
        };
        prop_assert_eq!(compare_keys(&a, 0, &b, 0), bytes(&a).cmp(&bytes(&b)));
    }
}

/// Of several changes of one key, as a base and its commit may have them, the last one holds.
#[test]
fn the_last_change_of_a_key_holds() {
    let both = both(&spec());
    let [_, disk] = &both.views;
    let key: Key = (None, Some(1), None, vec![7]);
    let of = |number: i64| {
        disk.prepare(&changes(std::slice::from_ref(&key), number, &[]))
            .unwrap()
    };
    disk.apply(vec![of(1), of(5), of(4)], ViewState::EMPTY)
        .unwrap();
    let found = disk.scan(None).unwrap();
    assert_eq!((found.rows.num_rows(), disk.state().rows), (1, 1));
    assert_eq!(
        disk.state().digest,
        crate::digest::digest(&found.rows, disk.schema())
    );
    let gone = disk
        .prepare(&changes(&[], 0, std::slice::from_ref(&key)))
        .unwrap();
    disk.apply(vec![of(9), gone], ViewState::EMPTY).unwrap();
    assert_eq!(
        (disk.state().rows, disk.state().digest, disk.state().bytes),
        (0, 0, 0)
    );
}
