//! The tree against a map in memory.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// What is done to a tree.
#[derive(Clone, Debug)]
enum Act {
    Add(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    Seal,
    WriteOut,
    Merge,
    Reopen,
}

/// Keys of few beginnings and many lengths.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let rest = prop_oneof![
        8 => prop::collection::vec(0_u8..4, 0..6),
        1 => prop::collection::vec(any::<u8>(), 0..3000),
    ];
    (
        prop::sample::select(vec![&b""[..], b"a", b"ab", b"abc", b"b"]),
        rest,
    )
        .prop_map(|(begin, rest)| [begin, &rest].concat())
}

fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        2 => Just(None),
        6 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Some),
        1 => (any::<u8>(), 0_usize..20_000).prop_map(|(byte, len)| Some(vec![byte; len])),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => prop::collection::vec((key(), value()), 0..60).prop_map(Act::Add),
        3 => Just(Act::Seal),
        3 => Just(Act::WriteOut),
        2 => Just(Act::Merge),
        1 => Just(Act::Reopen),
    ]
}

fn batch(changes: &BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Option<Run> {
    let mut builder = Builder::in_memory(changes.len() as u64);
    for (key, value) in changes {
        let parts = value.as_ref().map(|value| value.split_at(value.len() / 2));
        let parts = parts.map(|(a, b)| [a, b]);
        builder.push(key, parts.as_ref().map(|p| &p[..])).unwrap();
    }
    builder.finish_in_memory()
}

/// All that runs have from a key on.
fn all(runs: &Runs, from: &[u8]) -> io::Result<Model> {
    let mut merged = Merged::new(runs.all(), from)?;
    let mut all = Model::new();
    while let Some((key, run, value)) = merged.here() {
        if let Some(value) = value {
            assert!(
                all.insert(key.to_vec(), run.value(value).to_vec())
                    .is_none()
            );
        }
        merged.advance()?;
    }
    Ok(all)
}

fn look_all(runs: &Runs, keys: &[Vec<u8>], model: &Model) {
    let mut looker = Looker::new(runs);
    for key in keys.iter().chain(model.keys()) {
        let found = looker.look(key).unwrap();
        assert_eq!(found, model.get(key).map(Vec::as_slice));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn a_tree_has_what_was_put_into_it(
        acts in prop::collection::vec(act(), 1..30),
        asked in prop::collection::vec(key(), 1..20),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = Tree::open(folder.path()).unwrap();
        let mut model = Model::new();
        let mut earlier = (tree.runs(), Model::new());
        for (i, act) in acts.into_iter().enumerate() {
            match act {
                Act::Add(changes) => {
                    let changes: BTreeMap<_, _> = changes.into_iter().collect();
                    batch(&changes).into_iter().for_each(|run| tree.add(run));
                    for (key, value) in changes {
                        match value {
                            Some(value) => model.insert(key, value),
                            None => model.remove(&key),
                        };
                    }
                }
                Act::Seal => drop(tree.seal()),
                Act::WriteOut => drop(tree.write_out().unwrap()),
                Act::Merge => while tree.merge().unwrap() {},
                Act::Reopen => {
                    tree.seal();
                    while tree.write_out().unwrap() {}
                    drop(tree);
                    tree = Tree::open(folder.path()).unwrap();
                }
            }
            look_all(&tree.runs(), &asked, &model);
            for from in &asked {
                let wanted = model.range(from.clone()..);
                let wanted: Model = wanted.map(|(k, v)| (k.clone(), v.clone())).collect();
                prop_assert_eq!(all(&tree.runs(), from).unwrap(), wanted);
            }
            // Who looked before sees what was there then.
            prop_assert_eq!(&all(&earlier.0, &[]).unwrap(), &earlier.1);
            if i % 5 == 0 {
                earlier = (tree.runs(), model.clone());
            }
        }
        let list = List::read(folder.path()).unwrap().unwrap();
        let files = DiskStorage.list(folder.path()).unwrap();
        prop_assert_eq!(files.len(), list.runs.len() + 1);
    }
}

/// Bytes of every kind of place in a file, one flipped at a time: never another answer.
#[test]
fn damage_is_never_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let tree = Tree::open(folder.path()).unwrap();
    let key = |n: u32| (n * 3).to_be_bytes().to_vec();
    let changes = (0..700).map(|n| (key(n), (n % 7 > 0).then(|| vec![n as u8; 20])));
    tree.add(batch(&changes.clone().collect()).unwrap());
    tree.seal();
    tree.write_out().unwrap();
    drop(tree);
    let model: Model = changes.filter_map(|(k, v)| Some((k, v?))).collect();
    let path = run_path(folder.path(), 0);
    let good = DiskStorage.read(&path).unwrap();
    for at in (0..good.len()).step_by(13) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        let flipped = DiskStorage.open(&path).unwrap();
        flipped.write_at(0, &[&bytes]).unwrap();
        let Ok(tree) = Tree::open(folder.path()) else {
            continue;
        };
        if let Ok(found) = all(&tree.runs(), &[]) {
            assert_eq!(found, model, "byte {at}");
        }
        let mut looker = Looker::new(&tree.runs());
        for n in 0..2200_u32 {
            let key = n.to_be_bytes();
            if let Ok(found) = looker.look(&key) {
                assert_eq!(found, model.get(&key[..]).map(Vec::as_slice), "byte {at}");
            }
        }
    }
}

/// A tree that was opened again removes a file that is looked at through the one before.
#[test]
fn a_look_outlives_its_tree() {
    let folder = tempfile::tempdir().unwrap();
    let write = |tree: &Tree, byte: u8| {
        let changes = (0..5000_u32).map(|n| (n.to_be_bytes().to_vec(), Some(vec![byte; 30])));
        tree.add(batch(&changes.collect()).unwrap());
        tree.seal();
        tree.write_out().unwrap();
    };
    let tree = Tree::open(folder.path()).unwrap();
    write(&tree, 1);
    let earlier = tree.runs();
    drop(tree);
    let tree = Tree::open(folder.path()).unwrap();
    write(&tree, 2);
    assert!(tree.merge().unwrap());
    assert!(!run_path(folder.path(), 0).exists());
    let all_of = |runs: &Runs| all(runs, &[]).unwrap().into_values().collect::<Vec<_>>();
    assert_eq!(all_of(&earlier), vec![vec![1; 30]; 5000]);
    assert_eq!(all_of(&tree.runs()), vec![vec![2; 30]; 5000]);
}

/// What is written is bounded, and so are the runs that a look has to ask.
#[test]
fn runs_stay_few() {
    let folder = tempfile::tempdir().unwrap();
    let tree = Tree::open(folder.path()).unwrap();
    for round in 0..60_u32 {
        let changes = (0..200).map(|n| {
            let key = (round * 7919 + n * 104_729) % 3000;
            (key.to_be_bytes().to_vec(), Some(vec![round as u8; 50]))
        });
        tree.add(batch(&changes.collect()).unwrap());
        tree.seal();
        while tree.write_out().unwrap() {}
        while tree.merge().unwrap() {}
        let (files, waiting) = tree.runs().files();
        assert!(
            files <= 10 && waiting == 0,
            "{files} files, {waiting} waiting"
        );
    }
    assert!(tree.runs().bytes() < 2 * 3000 * 90);
    tree.stop_merging();
    assert_eq!(tree.runs().all().count(), tree.runs().files().0);
}
