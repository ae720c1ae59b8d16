//! States and view rows on the disk: whatever becomes of the store's folder, what is held is what was committed.
#![expect(clippy::unwrap_used, reason = "a test may stop at any surprise")]
#![expect(
    clippy::disallowed_methods,
    reason = "the store's folder is treated badly"
)]
#![allow(dead_code, reason = "the life is shared with other tests")]

mod life;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_buffer::BooleanBuffer;
use life::{Act, Life, Model, seen, spec};
use proptest::prelude::*;
use refrain_log::ids::{Sequence, Timestamp};
use refrain_log::log::Finding;
use refrain_log::storage::{Fault, MemoryStorage};
use refrain_state::Error;
use refrain_state::commit::{Lineage, NodeCommit, State, StateOptions, TaskChanges};
use refrain_state::store::StoreOptions;
use refrain_state::view::ViewChanges;

/// The store writes its memory out at every commit or two.
fn open(storage: &MemoryStorage, folder: &Path) -> refrain_state::Result<(State, Vec<Finding>)> {
    let options = StateOptions {
        growth_bytes: 700,
        store: StoreOptions::Disk {
            folder: folder.to_owned(),
            cache_bytes: 1,
        },
    };
    life::open_with(storage, options)
}

/// What a host finds, opened again as often as it says so.
fn found(storage: &MemoryStorage, folder: &Path) -> (State, Model) {
    for _ in 0..3 {
        let (state, _) = open(storage, folder).unwrap();
        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| seen(&state)));
        if let Ok(model) = tried {
            return (state, model);
        }
        assert!(
            folder.join("damaged").exists(),
            "a store fails without a note"
        );
    }
    panic!("a damaged store is not loaded anew");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => std::fs::copy(entry.path(), to).map(|_| ()).unwrap(),
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(files(&entry.path())),
            false => all.push(entry.path()),
        }
    }
    all.sort();
    all
}

/// What happens to the store while no host is running.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Nothing,
    Deleted,
    /// It is as it was some time ago.
    SetBack,
    /// One bit of one of its files is flipped.
    Flipped(usize, usize),
    /// One of its files is gone.
    Missing(usize),
    /// The commit log is lost: all begins anew, with another log of the same numbers.
    LogLost,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Nothing),
        1 => Just(Fate::Deleted),
        2 => Just(Fate::SetBack),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(file, bit)| Fate::Flipped(file, bit)),
        1 => any::<usize>().prop_map(Fate::Missing),
        1 => Just(Fate::LogLost),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (any::<u64>(), 1u64..3).prop_map(|(seed, nodes)| Act::Commit { seed, nodes }),
        1 => Just(Act::Compact),
        1 => Just(Act::Forget),
        1 => Just(Act::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 30, ..ProptestConfig::default() })]
    #[test]
    fn a_store_is_what_was_committed_whatever_becomes_of_it(
        lives in prop::collection::vec((prop::collection::vec(act(), 1..20), fate()), 1..6)
    ) {
        let root = tempfile::tempdir().unwrap();
        let (folder, earlier) = (root.path().join("store"), root.path().join("earlier"));
        let mut storage = MemoryStorage::new(1);
        let mut model = Model::default();
        for (acts, fate) in lives {
            let (state, before) = found(&storage, &folder);
            prop_assert_eq!(&before, &model);
            prop_assert!(state.cache_bytes().is_some());
            let mut life = Life { state };
            for act in &acts {
                life.act(act, &mut model).unwrap();
            }
            prop_assert_eq!(&seen(&life.state), &model);
            drop(life);
            match fate {
                Fate::Nothing => {
                    let _ = std::fs::remove_dir_all(&earlier);
                    copy(&folder, &earlier);
                }
                Fate::Deleted => std::fs::remove_dir_all(&folder).unwrap(),
                Fate::SetBack if earlier.exists() => {
                    std::fs::remove_dir_all(&folder).unwrap();
                    copy(&earlier, &folder);
                }
                Fate::SetBack => {}
                Fate::Flipped(file, bit) => {
                    let files = files(&folder);
                    let file = &files[file % files.len()];
                    let mut bytes = std::fs::read(file).unwrap();
                    if !bytes.is_empty() {
                        let bit = bit % (bytes.len() * 8);
                        bytes[bit / 8] ^= 1 << (bit % 8);
                        std::fs::write(file, bytes).unwrap();
                    }
                }
                Fate::Missing(file) => {
                    let files = files(&folder);
                    std::fs::remove_file(&files[file % files.len()]).unwrap();
                }
                Fate::LogLost => {
                    storage = MemoryStorage::new(2);
                    model = Model::default();
                }
            }
        }
        prop_assert_eq!(found(&storage, &folder).1, model);
    }
}

fn script() -> Vec<Act> {
    let mut acts: Vec<Act> = (1..=6)
        .map(|seed| Act::Commit {
            seed,
            nodes: 1 + seed % 2,
        })
        .collect();
    acts.extend([
        Act::Compact,
        Act::Commit { seed: 9, nodes: 2 },
        Act::Forget,
        Act::Commit { seed: 10, nodes: 1 },
    ]);
    acts
}

/// The disk of the log loses and tears; the store's folder is as its last write left it.
#[test]
fn a_crash_leaves_a_whole_commit_with_states_on_the_disk() {
    let root = tempfile::tempdir().unwrap();
    let clean = MemoryStorage::new(0);
    let run = |storage: &MemoryStorage, folder: &Path| {
        let mut model = Model::default();
        let Ok((state, _)) = open(storage, folder) else {
            return (model.clone(), model);
        };
        let mut life = Life { state };
        for act in script() {
            let before = model.clone();
            if life.act(&act, &mut model).is_err() {
                return (before, model);
            }
        }
        (model.clone(), model)
    };
    run(&clean, &root.path().join("clean"));
    for operation in (1..=clean.operations()).step_by(3) {
        let storage = MemoryStorage::new(operation * 31);
        let folder = root.path().join(operation.to_string());
        storage.fail_from(operation, Fault::Io);
        let (before, after) = run(&storage, &folder);
        storage.crash();
        let (state, model) = found(&storage, &folder);
        assert!(
            model == before || model == after,
            "operation {operation}: a mixture"
        );
        let (mut life, mut model) = (Life { state }, model);
        life.act(&Act::Commit { seed: 77, nodes: 2 }, &mut model)
            .unwrap();
        drop(life);
        assert_eq!(found(&storage, &folder).1, model, "operation {operation}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// What the store has is not read again: damage among states in the commit log is not even met.
#[test]
fn opening_touches_no_states_that_the_store_has() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("store");
    let storage = MemoryStorage::new(3);
    let options = || StateOptions {
        store: StoreOptions::Disk {
            folder: folder.clone(),
            cache_bytes: 1 << 20,
        },
        ..StateOptions::default()
    };
    let (state, _) = life::open_with(&storage, options()).unwrap();
    let (mut life, mut model) = (Life { state }, Model::default());
    for seed in 1..4 {
        life.act(&Act::Large { seed }, &mut model).unwrap();
    }
    drop(life);
    // In the middle of the first large state.
    let path = Path::new("host/commits/00000000000000000000.segment");
    storage.overwrite(path, 60 << 10, b"damage");
    let (state, findings) = life::open_with(&storage, options()).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(seen(&state), model);
    drop(state);
    // With states in memory it is.
    let (state, findings) = life::open(&storage).unwrap();
    assert!(!findings.is_empty());
    assert!(matches!(state.check(), Err(Error::Damaged { .. })));
}

/// Rows of [`wide_rows`].
const WIDE_ROWS: u64 = 12;

/// A commit of large rows and nothing else; those of other cuts have other keys.
fn wide_rows(node: &str, cut: u64) -> NodeCommit {
    let words = (0..WIDE_ROWS).map(|i| format!("{cut} {i} {}", "w".repeat(10 << 10)));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(words)),
        Arc::new(Int64Array::from_iter_values(0..WIDE_ROWS as i64)),
        Arc::new(Float64Array::from(vec![0.5; WIDE_ROWS as usize])),
    ];
    let rows = ViewChanges {
        rows: RecordBatch::try_new(spec(node).schema.arrow(), columns).unwrap(),
        finals: BooleanBuffer::new_unset(WIDE_ROWS as usize),
        deletes: None,
    };
    let task = TaskChanges {
        view: Some(rows),
        ..TaskChanges::default()
    };
    NodeCommit {
        node: node.into(),
        cut: Sequence(cut),
        lineage: Lineage {
            component: "c".into(),
            configuration: "d".into(),
        },
        tasks: vec![task],
        sources: Vec::new(),
        derived: Vec::new(),
        watermark: Timestamp(0),
        counts: BTreeMap::new(),
    }
}

/// The same of view rows: they are read when somebody asks for them, and what they come to is known before.
#[test]
fn opening_touches_no_rows_that_the_store_has() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("store");
    let storage = MemoryStorage::new(5);
    let options = || StateOptions {
        store: StoreOptions::Disk {
            folder: folder.clone(),
            cache_bytes: 1 << 20,
        },
        ..StateOptions::default()
    };
    let (state, _) = life::open_with(&storage, options()).unwrap();
    state.declare_view(spec("a")).unwrap();
    for cut in 1..4 {
        state.commit(vec![wide_rows("a", cut)]).unwrap();
    }
    let before = state.view("view-a").unwrap().state();
    drop(state);
    // In the middle of the rows of the first commit.
    let path = Path::new("host/commits/00000000000000000000.segment");
    storage.overwrite(path, 60 << 10, b"damage");
    let (state, findings) = life::open_with(&storage, options()).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    let view = state.view("view-a").unwrap();
    assert_eq!(view.state(), before);
    let rows = view.scan(None).unwrap().rows;
    assert_eq!(rows.num_rows() as u64, before.rows);
    assert_eq!(
        refrain_state::digest::digest(&rows, view.schema()),
        before.digest
    );
    // The next commit goes on from there, and so does the opening after it.
    state.commit(vec![wide_rows("a", 4)]).unwrap();
    let after = state.view("view-a").unwrap().state();
    assert_eq!(after.rows, before.rows + WIDE_ROWS);
    drop((state, view));
    let (state, findings) = life::open_with(&storage, options()).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(state.view("view-a").unwrap().state(), after);
    drop(state);
    // With rows in memory the damage is met.
    let (state, findings) = life::open(&storage).unwrap();
    assert!(!findings.is_empty());
    assert!(matches!(state.check(), Err(Error::Damaged { .. })));
}

/// A view that was declared, and not yet in a commit, is declared by the first commit after a restart.
#[test]
fn a_view_that_the_log_does_not_know_is_not_taken_from_the_store() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("store");
    let storage = MemoryStorage::new(6);
    let (state, _) = open(&storage, &folder).unwrap();
    let (mut life, mut model) = (Life { state }, Model::default());
    life.act(&Act::Commit { seed: 1, nodes: 1 }, &mut model)
        .unwrap();
    life.state.declare_view(spec("c")).unwrap();
    drop(life);
    let (state, _) = open(&storage, &folder).unwrap();
    assert!(state.view("view-c").is_none());
    state.declare_view(spec("c")).unwrap();
    state.commit(vec![wide_rows("c", 1)]).unwrap();
    let wanted = state.view("view-c").unwrap().state();
    drop(state);
    std::fs::remove_dir_all(&folder).unwrap();
    let (state, findings) = open(&storage, &folder).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(state.view("view-c").unwrap().state(), wanted);
}

/// A host that is gone leaves the store to the next one, whoever still looks at a view of it.
#[test]
fn who_still_has_a_view_does_not_keep_the_store() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("store");
    let storage = MemoryStorage::new(7);
    let (state, _) = open(&storage, &folder).unwrap();
    let (mut life, mut model) = (Life { state }, Model::default());
    for seed in 1..9 {
        life.act(&Act::Commit { seed, nodes: 2 }, &mut model)
            .unwrap();
    }
    let view = life.state.view("view-a").unwrap();
    let pages = view.pages(None, None).unwrap();
    drop(life);
    assert!(view.scan(None).is_err());
    let (state, findings) = open(&storage, &folder).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(seen(&state), model);
    drop(pages);
    let mut life = Life { state };
    life.act(&Act::Commit { seed: 9, nodes: 2 }, &mut model)
        .unwrap();
    drop(life);
    assert_eq!(found(&storage, &folder).1, model);
}

#[test]
fn keys_of_any_length_are_kept() {
    use refrain_state::store::{Spans, StateChanges};
    let root = tempfile::tempdir().unwrap();
    let storage = MemoryStorage::new(4);
    let (state, _) = open(&storage, &root.path().join("store")).unwrap();
    let keys: Vec<Vec<u8>> = [0, 1, 32 << 10, (32 << 10) + 1, 70 << 10, 200 << 10]
        .iter()
        .flat_map(|length| [vec![0; *length], [vec![0; *length], vec![1]].concat()])
        .collect();
    let mut changes = StateChanges::default();
    for (i, key) in keys.iter().enumerate().filter(|(i, _)| *i != 1) {
        changes.put_keys.push(key);
        changes.put_states.push(&vec![i as u8; 3 * i]);
    }
    let task = TaskChanges {
        task: 3,
        state: changes,
        ..TaskChanges::default()
    };
    state
        .commit(vec![NodeCommit {
            node: "n".into(),
            cut: Sequence(1),
            lineage: Lineage {
                component: String::new(),
                configuration: String::new(),
            },
            tasks: vec![task],
            sources: Vec::new(),
            derived: Vec::new(),
            watermark: Timestamp(0),
            counts: Default::default(),
        }])
        .unwrap();
    state.compact().unwrap();
    drop(state);
    for deleted in [false, true] {
        let folder = root.path().join("store");
        if deleted {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        let (state, _) = open(&storage, &folder).unwrap();
        let mut asked = Spans::default();
        keys.iter().for_each(|key| asked.push(key));
        let found = state.task_reader("n", 3).lookup(&asked).unwrap();
        for (i, found) in found.iter().enumerate() {
            let expected = (i != 1).then(|| vec![i as u8; 3 * i]);
            assert_eq!(found.as_deref(), expected.as_deref(), "key {i}");
        }
        assert_eq!(state.task_states("n", 3).unwrap().len(), keys.len() - 1);
    }
}
