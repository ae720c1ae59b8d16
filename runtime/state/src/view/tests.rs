//! Views as readers see them, in memory and on the disk: whole, at one commit, while a writer goes on.

use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, StringArray};

use super::*;
use crate::store::disk::Disk;

fn spec() -> ViewSpec {
    ViewSpec {
        name: "sums".into(),
        node: "sum".into(),
        schema: Schema::new(vec![
            Field::new("word", Kind::Text).nullable(),
            Field::new("n", Kind::I64),
            Field::new("sum", Kind::I64),
        ]),
        key_fields: 2,
    }
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn changes(words: &[Option<&str>], ns: &[i64], sums: &[i64]) -> ViewChanges {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(words.to_vec())),
        ints(ns),
        ints(sums),
    ];
    ViewChanges {
        rows: RecordBatch::try_new(spec().schema.arrow(), columns).unwrap(),
        finals: BooleanBuffer::collect_bool(ns.len(), |i| ns[i] > 0),
        deletes: None,
    }
}

fn put(view: &View, commit: u64, changes: &ViewChanges) {
    let state = ViewState {
        commit,
        cut: Sequence(commit * 10),
        ..ViewState::EMPTY
    };
    view.apply(vec![view.prepare(changes).unwrap()], state)
        .unwrap();
}

/// The same view in memory and on the disk.
pub(super) struct Both {
    pub(super) views: [View; 2],
    _folder: tempfile::TempDir,
}

pub(super) fn both(spec: &ViewSpec) -> Both {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::anew(folder.path().join("store"), 1 << 16).unwrap();
    let shelf = Shelf::Disk(Arc::new(disk));
    let on = |shelf: &Shelf| View::on(shelf, spec.clone(), Counts::default()).unwrap();
    Both {
        views: [on(&Shelf::Memory), on(&shelf)],
        _folder: folder,
    }
}

fn key(words: &[Option<&str>], ns: &[i64]) -> RecordBatch {
    let schema = Schema::new(spec().schema.fields()[..2].to_vec());
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(words.to_vec())), ints(ns)];
    RecordBatch::try_new(schema.arrow(), columns).unwrap()
}

fn sums(rows: &ViewRows) -> Vec<i64> {
    rows.rows
        .column(2)
        .as_primitive::<Int64Type>()
        .values()
        .to_vec()
}

#[test]
fn rows_come_in_the_order_of_the_key() {
    for view in both(&spec()).views {
        let words = [
            Some("b"),
            None,
            Some("a"),
            Some("longer than eight"),
            Some("longer than eigh"),
            Some(""),
            Some("a"),
        ];
        put(
            &view,
            1,
            &changes(&words, &[1, 2, 3, 4, 5, 6, -3], &[1, 2, 3, 4, 5, 6, 7]),
        );
        put(
            &view,
            2,
            &changes(&[Some("é"), Some("z")], &[8, 9], &[8, 9]),
        );
        let all = view.scan(None).unwrap();
        assert_eq!(sums(&all), [2, 6, 7, 3, 1, 5, 4, 9, 8]);
        assert_eq!(
            all.finals.iter().collect::<Vec<_>>(),
            [true, true, false, true, true, true, true, true, true]
        );
        assert_eq!(sums(&view.scan(Some(3)).unwrap()), [2, 6, 7]);
        assert_eq!(sums(&view.scan(Some(0)).unwrap()), Vec::<i64>::new());
        assert_eq!(
            (all.state.commit, all.state.rows, all.state.finals),
            (2, 9, 8)
        );
    }
}

#[test]
fn a_key_gives_its_row_and_the_first_fields_all_that_begin_so() {
    for view in both(&spec()).views {
        put(
            &view,
            1,
            &changes(
                &[Some("a"), Some("a"), Some("b"), None],
                &[2, 1, 1, 1],
                &[1, 2, 3, 4],
            ),
        );
        assert_eq!(sums(&view.get(&key(&[Some("a")], &[2])).unwrap()), [1]);
        assert_eq!(sums(&view.get(&key(&[None], &[1])).unwrap()), [4]);
        assert_eq!(
            sums(&view.get(&key(&[Some("c")], &[1])).unwrap()),
            Vec::<i64>::new()
        );
        let first = key(&[Some("a")], &[0]).project(&[0]).unwrap();
        assert_eq!(sums(&view.get(&first).unwrap()), [2, 1]);
        assert!(view.get(&key(&[Some("a"), Some("b")], &[1, 2])).is_err());
        assert!(view.get(&changes(&[None], &[1], &[1]).rows).is_err());
    }
}

#[test]
fn deleted_keys_are_gone_and_the_digest_is_that_of_the_rest() {
    let [other, view] = both(&spec()).views;
    put(
        &view,
        1,
        &changes(&[Some("a"), Some("b")], &[1, 2], &[5, 6]),
    );
    let mut second = changes(&[Some("c")], &[3], &[7]);
    second.deletes = Some(key(&[Some("a"), Some("never there")], &[1, 1]));
    put(&view, 2, &second);
    put(
        &other,
        1,
        &changes(&[Some("c"), Some("b")], &[3, 2], &[7, 6]),
    );
    assert_eq!(view.state().digest, other.state().digest);
    assert_eq!(view.state().rows, 2);
}

#[test]
fn declarations_that_cannot_be_kept_are_refused() {
    let with = |change: &dyn Fn(&mut Vec<Field>, &mut usize)| {
        let (mut fields, mut keys) = (spec().schema.fields().to_vec(), 2);
        change(&mut fields, &mut keys);
        View::new(ViewSpec {
            schema: Schema::new(fields),
            key_fields: keys,
            ..spec()
        })
        .map(|_| ())
    };
    assert!(with(&|_, _| ()).is_ok());
    assert!(with(&|_, keys| *keys = 4).is_err());
    assert!(with(&|fields, _| fields[1].kind = Kind::F64).is_err());
    assert!(with(&|fields, _| fields[2].name = "n".into()).is_err());
}

#[test]
fn a_view_without_a_key_gets_partition_and_offset() {
    let keyless = View::new(ViewSpec {
        key_fields: 0,
        ..spec()
    })
    .unwrap();
    let names: Vec<&str> = keyless
        .schema()
        .fields()
        .iter()
        .map(|f| f.name.as_str())
        .collect();
    assert_eq!(names, ["partition", "offset", "word", "n", "sum"]);
    let again = View::new(ViewSpec {
        key_fields: 0,
        schema: (**keyless.schema()).clone(),
        ..spec()
    })
    .unwrap();
    assert_eq!(again.schema(), keyless.schema());
    assert_eq!(again.key_schema().fields().len(), 2);
}

/// Each commit sets all rows to the commit's number: a reader that sees two numbers saw half a commit.
#[test]
fn readers_see_whole_commits() {
    for view in both(&spec()).views {
        let words: Vec<Option<&str>> = vec![Some("w"); 300];
        let ns: Vec<i64> = (0..300).collect();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0;
                    while !done.load(Ordering::Relaxed) {
                        let seen = view.scan(None).unwrap();
                        let commit = seen.state.commit;
                        assert!(commit >= last, "commits do not go back");
                        assert!(sums(&seen).iter().all(|sum| *sum == commit as i64));
                        assert!(commit == 0 || seen.rows.num_rows() == 300);
                        assert_eq!(
                            crate::digest::digest(&seen.rows, view.schema()),
                            seen.state.digest
                        );
                        last = commit;
                    }
                });
            }
            for commit in 1..400 {
                put(
                    &view,
                    commit,
                    &changes(&words, &ns, &vec![commit as i64; 300]),
                );
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
