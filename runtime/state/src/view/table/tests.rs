//! The table against an ordered map of the standard library.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, StringArray};
use proptest::prelude::*;
use refrain_log::schema::{Field, Kind};

use super::*;
use crate::digest::digest;

type Key = (i64, String);
type Model = BTreeMap<Key, (i64, bool)>;

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("n", Kind::I64),
        Field::new("word", Kind::Text),
        Field::new("sum", Kind::I64),
    ])
}

fn batch(rows: &[(Key, i64)]) -> RecordBatch {
    let keys: Vec<Key> = rows.iter().map(|r| r.0.clone()).collect();
    let sums: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.1)));
    let columns = [key_batch(&keys).columns(), &[sums]].concat();
    RecordBatch::try_new(schema().arrow(), columns).unwrap()
}

fn key_batch(keys: &[Key]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(keys.iter().map(|k| k.0))),
        Arc::new(StringArray::from_iter_values(keys.iter().map(|k| &k.1))),
    ];
    let fields = schema().fields()[..2].to_vec();
    RecordBatch::try_new(Schema::new(fields).arrow(), columns).unwrap()
}

fn put(table: &mut Table, rows: &[(Key, i64, bool)], deletes: &[Key]) {
    let batch = batch(&rows.iter().map(|r| (r.0.clone(), r.1)).collect::<Vec<_>>());
    let finals = BooleanBuffer::collect_bool(rows.len(), |i| rows[i].2);
    let deletes = key_batch(deletes);
    table.apply(Prepared::new(&schema(), 2, batch, finals, Some(&deletes)).unwrap());
    table.drop_dead();
    if let Some(rewrite) = table.rewrite() {
        table.accept(rewrite);
    }
}

fn contents(table: &Table) -> Model {
    let mut model = Model::new();
    for run in table.runs() {
        let (batch, finals) = run.live_part(0..run.len());
        for i in 0..batch.num_rows() {
            let int = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(i);
            let key = (
                int(0),
                batch.column(1).as_string::<i32>().value(i).to_owned(),
            );
            assert!(
                model.insert(key, (int(2), finals.value(i))).is_none(),
                "a key lives once"
            );
        }
    }
    model
}

fn check(table: &Table, model: &Model) {
    assert_eq!(&contents(table), model);
    let rows: Vec<(Key, i64)> = model.iter().map(|(k, v)| (k.clone(), v.0)).collect();
    assert_eq!(
        table.digest,
        digest(&batch(&rows), &schema()),
        "as if built from scratch"
    );
    assert_eq!(table.counts().rows, model.len() as u64);
    assert_eq!(table.finals, model.values().filter(|v| v.1).count() as u64);
    for (key, value) in model.iter().take(20) {
        let columns =
            Column::of_batch(&key_batch(std::slice::from_ref(key)), &schema(), 2).unwrap();
        let (run, row) = table.find(&columns).expect("a living key is found");
        let sums = run.rows.batch.column(2).as_primitive::<Int64Type>();
        assert_eq!((sums.value(row), run.rows.finals.value(row)), *value);
    }
}

fn key() -> impl Strategy<Value = Key> {
    (0i64..12, "[ab]{0,2}")
}

proptest! {
    #[test]
    fn a_table_is_the_map_it_stands_for(
        commits in prop::collection::vec(
            (prop::collection::btree_map(key(), (any::<i64>(), any::<bool>()), 0..12), prop::collection::vec(key(), 0..4)),
            1..90,
        )
    ) {
        let mut table = Table::new(Arc::new(schema()), 2);
        let mut model = Model::new();
        for (puts, deletes) in commits {
            let deletes: Vec<Key> = deletes.into_iter().filter(|k| !puts.contains_key(k)).collect();
            let rows: Vec<(Key, i64, bool)> = puts.iter().map(|(k, v)| (k.clone(), v.0, v.1)).collect();
            put(&mut table, &rows, &deletes);
            deletes.iter().for_each(|k| { model.remove(k); });
            model.extend(puts);
            prop_assert!(table.runs().count() <= RUNS_MAX);
        }
        check(&table, &model);
    }
}

#[test]
fn many_small_commits_and_one_large_are_rewritten_into_few_runs() {
    let mut table = Table::new(Arc::new(schema()), 2);
    let mut model = Model::new();
    let large: Vec<(Key, i64, bool)> = (0..20_000).map(|n| ((n, "x".into()), n, false)).collect();
    put(&mut table, &large, &[]);
    model.extend(large.into_iter().map(|r| (r.0, (r.1, r.2))));
    for n in 0..500 {
        let rows: Vec<_> = (0..60)
            .map(|i| ((n * 37 + i, "x".to_owned()), n + i, i % 3 == 0))
            .collect();
        put(&mut table, &rows, &[(19_999 - n, "x".into())]);
        model.extend(rows.into_iter().map(|r| (r.0, (r.1, r.2))));
        model.remove(&(19_999 - n, "x".into()));
        assert!(table.runs().count() <= RUNS_MAX);
    }
    check(&table, &model);
}

#[test]
fn rows_replaced_over_and_over_do_not_pile_up() {
    let mut table = Table::new(Arc::new(schema()), 2);
    for n in 0..300 {
        let rows: Vec<_> = (0..700)
            .map(|i| ((i, "x".to_owned()), n, false))
            .filter(|r| (r.0.0 + n) % 7 != 0)
            .collect();
        put(&mut table, &rows, &[]);
        let held: usize = table.runs().map(Run::len).sum();
        assert!(
            held <= 700 * 2 + DEAD_ROWS_FREE + 700,
            "{held} rows held for 700"
        );
    }
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let mut table = Table::new(Arc::new(schema()), 2);
    put(
        &mut table,
        &[((1, "a".into()), 1, false), ((2, "a".into()), 2, false)],
        &[],
    );
    let before: Vec<Run> = table.runs().cloned().collect();
    put(
        &mut table,
        &[((1, "a".into()), 9, true)],
        &[(2, "a".into())],
    );
    assert_eq!(before[0].living().count(), 2);
    assert_eq!(
        contents(&table),
        Model::from([((1, "a".into()), (9, true))])
    );
}

proptest! {
    /// Whatever happens between its steps, a walk shows all rows that were there when it began and have not changed since.
    #[test]
    fn a_walk_shows_all_rows_that_stay(
        commits in prop::collection::vec(
            (prop::collection::btree_map(key(), (any::<i64>(), any::<bool>()), 0..12), prop::collection::vec(key(), 0..4)),
            70..200,
        ),
        begin in 0usize..70,
        bytes in 1u64..200,
    ) {
        let mut table = Table::new(Arc::new(schema()), 2);
        let (mut model, mut written) = (Model::new(), None::<Table>);
        for (n, (puts, deletes)) in commits.into_iter().cycle().take(3000).enumerate() {
            if n == begin {
                table.begin_walk();
                written = Some(Table::new(Arc::new(schema()), 2));
            }
            if let Some(written) = &mut written {
                let (parts, walked) = table.walk(bytes);
                for (rows, finals) in parts {
                    written.apply(Prepared::new(&schema(), 2, rows, finals, None).unwrap());
                }
                let ended = walked == Walked::End;
                table.walked(walked);
                if ended {
                    prop_assert_eq!(contents(written), model);
                    return Ok(());
                }
            }
            let deletes: Vec<Key> = deletes.into_iter().filter(|k| !puts.contains_key(k)).collect();
            let rows: Vec<(Key, i64, bool)> = puts.iter().map(|(k, v)| (k.clone(), v.0, v.1)).collect();
            put(&mut table, &rows, &deletes);
            written.iter_mut().for_each(|table| put(table, &rows, &deletes));
            deletes.iter().for_each(|k| { model.remove(k); });
            model.extend(puts);
        }
        prop_assert!(false, "the walk does not end");
    }
}
