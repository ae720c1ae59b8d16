//! Commits, seen from outside: what is held equals a model after any life, crash, fault and flipped bit.
#![expect(clippy::unwrap_used, reason = "a test may stop at any surprise")]

mod life;

use std::path::Path;
use std::sync::Arc;

use life::{Act, Life, Model, seen};
use proptest::prelude::*;
use refrain_log::ids::{Sequence, Timestamp};
use refrain_log::storage::{Fault, MemoryStorage};
use refrain_state::Error;
use refrain_state::commit::{Lineage, NodeCommit, State, StateOptions, TaskChanges};
use refrain_state::height::Height;
use refrain_state::store::StateChanges;

/// A life that touches everything, a base written bit by bit and one in one go, the same at each call.
fn script() -> Vec<Act> {
    let mut acts: Vec<Act> = (1..=8)
        .map(|n| Act::Commit {
            seed: n,
            nodes: 1 + n % 2,
        })
        .collect();
    acts.extend([
        Act::Compact,
        Act::Commit { seed: 9, nodes: 2 },
        Act::Decide { seed: 3 },
        Act::Forget,
        Act::Commit { seed: 10, nodes: 1 },
        Act::Decide { seed: 5 },
        Act::Compact,
        Act::Decide { seed: 8 },
    ]);
    acts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn what_is_read_at_opening_is_what_was_committed(
        acts in prop::collection::vec(
            prop_oneof![
                8 => (any::<u64>(), 1u64..3).prop_map(|(seed, nodes)| Act::Commit { seed, nodes }),
                1 => Just(Act::Compact),
                1 => Just(Act::Forget),
                2 => any::<u64>().prop_map(|seed| Act::Decide { seed }),
                2 => Just(Act::Reopen),
            ],
            1..25,
        )
    ) {
        let storage = MemoryStorage::new(1);
        let mut life = Life::begin(&storage).unwrap();
        let mut model = Model::default();
        for act in &acts {
            life.act(act, &mut model).unwrap();
            prop_assert_eq!(&seen(&life.state), &model);
        }
        drop(life);
        prop_assert_eq!(seen(&Life::begin(&storage).unwrap().state), model);
    }
}

/// After a crash at any operation, exactly the last acknowledged commit is there, or the one under way, whole.
#[test]
fn a_crash_at_any_operation_leaves_a_whole_commit() {
    let clean = MemoryStorage::new(0);
    let mut life = Life::begin(&clean).unwrap();
    let mut model = Model::default();
    script()
        .iter()
        .for_each(|act| life.act(act, &mut model).unwrap());
    drop(life);
    let total = clean.operations();
    for operation in 1..=total {
        for seed in 0..2 {
            let storage = MemoryStorage::new(operation * 31 + seed);
            storage.fail_from(operation, Fault::Io);
            let (before, after) = live_until_fault(&storage);
            storage.crash();
            let state = open(&storage);
            let found = seen(&state);
            assert!(
                found == before || found == after,
                "operation {operation}, seed {seed}: neither the last commit nor the one under way\n{found:#?}\n{before:#?}\n{after:#?}"
            );
            // The host goes on from there.
            let mut life = Life { state };
            let mut model = found;
            life.act(&Act::Commit { seed: 77, nodes: 2 }, &mut model)
                .unwrap();
            drop(life);
            assert_eq!(
                seen(&open(&storage)),
                model,
                "operation {operation}, seed {seed}, after the next commit"
            );
        }
    }
}

/// The model before and after the act at which the storage failed.
fn live_until_fault(storage: &MemoryStorage) -> (Model, Model) {
    let mut model = Model::default();
    let Ok(mut life) = Life::begin(storage) else {
        return (model.clone(), model);
    };
    for act in script() {
        let before = model.clone();
        if life.act(&act, &mut model).is_err() {
            return (before, model);
        }
    }
    (model.clone(), model)
}

fn open(storage: &MemoryStorage) -> State {
    let (state, _) = life::open(storage).expect("a commit log that crashed opens");
    state
}

/// Each operation fails once, with each fault: nothing of the act holds, or all; then the log is opened again and goes on.
#[test]
fn a_fault_at_any_operation_ends_in_an_error_and_reopening_goes_on() {
    let clean = MemoryStorage::new(0);
    live_until_fault(&clean);
    for operation in 1..=clean.operations() {
        for fault in [Fault::Io, Fault::NoSpace, Fault::Short] {
            let storage = MemoryStorage::new(operation);
            storage.fail_at(operation, fault);
            let mut model = Model::default();
            let Ok(mut life) = Life::begin(&storage) else {
                continue;
            };
            for act in script() {
                let before = model.clone();
                let Err(error) = life.act(&act, &mut model) else {
                    continue;
                };
                assert!(
                    seen(&life.state) == before,
                    "{operation} {fault:?}: nothing of a failed act is seen: {error}"
                );
                if life.state.check().is_err() {
                    life.state
                        .reopen()
                        .unwrap_or_else(|e| panic!("{operation} {fault:?}: {e}"));
                }
                let found = seen(&life.state);
                assert!(
                    found == before || found == model,
                    "{operation} {fault:?}: a mixture after reopening"
                );
                if found == before {
                    model = before;
                    life.act(&act, &mut model)
                        .unwrap_or_else(|e| panic!("{operation} {fault:?}: again: {e}"));
                }
            }
            assert_eq!(seen(&life.state), model, "{operation} {fault:?}");
            drop(life);
            assert_eq!(
                seen(&open(&storage)),
                model,
                "{operation} {fault:?}: read anew"
            );
        }
    }
}

/// No flipped bit gives another answer than some earlier commit, and none goes without a word.
#[test]
fn every_bit_flipped_is_found() {
    let storage = MemoryStorage::new(3);
    let mut life = Life::begin(&storage).unwrap();
    let mut model = Model::default();
    let mut models = vec![model.clone()];
    for seed in 1..=3 {
        life.act(&Act::Commit { seed, nodes: 1 }, &mut model)
            .unwrap();
        models.push(model.clone());
    }
    life.act(&Act::Decide { seed: 3 }, &mut model).unwrap();
    models.push(model.clone());
    drop(life);
    // Every bit at full size; one in seven, of each byte another, in seconds.
    let step = if std::env::var_os("REFRAIN_KILLS").is_some() {
        1
    } else {
        7
    };
    for path in storage
        .paths()
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e != "lock"))
    {
        let length = content(&storage, &path).len();
        for bit in (0..length * 8).step_by(step) {
            let flipped = storage.fork();
            flipped.flip(&path, bit);
            check_flipped(&flipped, &models, &format!("{} bit {bit}", path.display()));
        }
    }
}

fn content(storage: &MemoryStorage, path: &Path) -> Vec<u8> {
    let bytes = refrain_log::storage::Storage::read(storage, path).unwrap();
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    bytes[..end].to_vec()
}

fn check_flipped(storage: &MemoryStorage, models: &[Model], what: &str) {
    match life::open(storage) {
        Err(Error::Damaged { .. } | Error::Record { .. } | Error::Log(_)) => {}
        Err(e) => panic!("{what}: {e}"),
        Ok((state, findings)) => {
            let found = seen(&state);
            let whole = models.last().is_some_and(|last| *last == found);
            assert!(models.contains(&found), "{what}: a state that never was");
            assert!(whole || !findings.is_empty(), "{what}: cut without a word");
            let lost = !whole && findings.iter().any(|f| f.acknowledged);
            assert!(
                !lost || matches!(state.check(), Err(Error::Damaged { .. })),
                "{what}: goes on after damage"
            );
        }
    }
}

#[test]
fn a_full_disk_refuses_a_commit_and_takes_it_when_there_is_room() {
    let storage = MemoryStorage::new(5);
    let mut life = Life::begin(&storage).unwrap();
    let mut model = Model::default();
    life.act(&Act::Commit { seed: 1, nodes: 2 }, &mut model)
        .unwrap();
    storage.limit_bytes(storage.bytes());
    let mut refused = 0;
    for seed in 0..3000 {
        let before = model.clone();
        let act = Act::Large { seed };
        if let Err(error) = life.act(&act, &mut model) {
            assert!(
                matches!(error, Error::Log(refrain_log::Error::NoSpace { .. })),
                "{error}"
            );
            assert_eq!(seen(&life.state), before);
            refused += 1;
            storage.limit_bytes(u64::MAX);
            model = before;
            life.act(&act, &mut model).unwrap();
            break;
        }
    }
    assert_eq!(refused, 1, "the disk was never full");
    assert_eq!(seen(&life.state), model);
    drop(life);
    assert_eq!(seen(&open(&storage)), model);
}

/// No commit writes much more than it changes, and the log stays within a few times what is held.
#[test]
fn a_base_is_written_bit_by_bit_and_the_log_stays_bounded() {
    let storage = MemoryStorage::new(12);
    let options = StateOptions {
        growth_bytes: 4 << 10,
        ..StateOptions::default()
    };
    let (state, _) = life::open_with(&storage, options).unwrap();
    let mut life = Life { state };
    let mut model = Model::default();
    let mut longest = 0;
    let mut before = 0;
    let mut dropped = 0;
    for seed in 0..3000 {
        let act = Act::Commit { seed, nodes: 2 };
        life.act(&act, &mut model).unwrap();
        let bytes = life.state.log_bytes();
        dropped += u64::from(bytes < before);
        longest = longest.max(bytes.saturating_sub(before));
        before = bytes;
        if seed % 500 == 0 {
            assert_eq!(seen(&open(&storage)), model, "after {seed}");
        }
    }
    assert!(longest < 16 << 10, "one commit wrote {longest} bytes");
    assert_eq!(dropped, 0, "segments are larger than this log");
    // What a reader takes as a base lies near the end: a damaged beginning does not matter any more.
    let path = Path::new("host/commits/00000000000000000000.segment");
    storage.flip(path, 8 * 400);
    let (again, findings) = life::open(&storage).unwrap();
    assert_eq!(seen(&again), model);
    assert!(
        again.check().is_ok() && findings.iter().any(|f| f.acknowledged),
        "{findings:?}"
    );
}

/// The log that is laid out stands where the log that is written stands, commit by commit, over a base and segments that go.
#[test]
fn a_log_is_as_high_as_it_is_laid_out() {
    let options = StateOptions::default();
    let (state, _) = life::open_with(&MemoryStorage::new(3), options.clone()).unwrap();
    let mut height = Height::new(&options, 0, LARGE_KEYS * (512 << 10));
    let (mut laid_bytes, mut highest, mut dropped, mut apart) = (0, 0, false, 0);
    for i in 0..200_u64 {
        let before = state.written();
        state.commit(vec![large(i)]).unwrap();
        let written = state.written();
        laid_bytes += height.commit(written.commit_bytes - before.commit_bytes);
        let (stands, laid) = (state.log_bytes(), height.bytes());
        apart += u32::from(stands.abs_diff(laid) > 2 << 20);
        dropped |= stands + (32 << 20) < highest;
        highest = highest.max(stands);
    }
    assert!(dropped, "the log fell");
    // A base may end a commit or two earlier than it is laid out.
    assert!(apart < 5, "{apart}");
    let written = state.written();
    let (base_bytes, owed_bytes) = (written.base_bytes, written.owed_bytes);
    assert!(base_bytes > 0 && base_bytes.abs_diff(owed_bytes) < base_bytes / 5);
    assert!(
        owed_bytes.abs_diff(laid_bytes) < base_bytes / 5,
        "{written:?}, {laid_bytes}"
    );
}

/// So many times half a MiB are held.
const LARGE_KEYS: u64 = 16;

/// Half a MiB of states.
fn large(number: u64) -> NodeCommit {
    let mut state = StateChanges::default();
    for key in 0..64_u8 {
        state.put_keys.push(&[(number % LARGE_KEYS) as u8, key]);
        state.put_states.push(&[number as u8; 8 << 10]);
    }
    NodeCommit {
        node: "n".into(),
        cut: Sequence(number),
        lineage: Lineage {
            component: "c".into(),
            configuration: "d".into(),
        },
        tasks: vec![TaskChanges {
            state,
            ..TaskChanges::default()
        }],
        sources: Vec::new(),
        derived: Vec::new(),
        watermark: Timestamp(0),
        counts: Default::default(),
    }
}

#[test]
fn a_base_keeps_everything_and_drops_the_log_before_it() {
    let storage = MemoryStorage::new(6);
    let mut life = Life::begin(&storage).unwrap();
    let mut model = Model::default();
    for seed in 0..60 {
        life.act(&Act::Commit { seed, nodes: 2 }, &mut model)
            .unwrap();
    }
    let before = life.state.log_bytes();
    life.state.compact().unwrap();
    assert!(
        life.state.log_bytes() * 4 < before,
        "{} of {before} bytes",
        life.state.log_bytes()
    );
    assert_eq!(seen(&life.state), model);
    life.act(&Act::Commit { seed: 99, nodes: 2 }, &mut model)
        .unwrap();
    drop(life);
    assert_eq!(seen(&open(&storage)), model);
}

#[test]
fn a_changed_declaration_is_refused_until_the_node_is_forgotten() {
    let storage = MemoryStorage::new(7);
    let mut life = Life::begin(&storage).unwrap();
    life.act(&Act::Commit { seed: 1, nodes: 2 }, &mut Model::default())
        .unwrap();
    let mut spec = life::spec("a");
    assert!(life.state.declare_view(spec.clone()).is_ok());
    spec.key_fields = 2;
    assert!(matches!(
        life.state.declare_view(spec.clone()),
        Err(Error::Invalid(_))
    ));
    life.state.forget("a").unwrap();
    assert!(life.state.view("view-a").is_none() && life.state.node("a").is_none());
    let view = life.state.declare_view(spec.clone()).unwrap();
    assert_eq!(view.state().rows, 0);
    drop(life);
    let state = open(&storage);
    assert_eq!(state.nodes(), ["b"]);
    assert!(
        state.declare_view(spec).is_ok(),
        "a declaration without a commit is not kept"
    );
}

#[test]
fn views_are_read_without_being_declared_again() {
    let storage = MemoryStorage::new(8);
    let mut life = Life::begin(&storage).unwrap();
    let mut model = Model::default();
    life.act(&Act::Commit { seed: 4, nodes: 2 }, &mut model)
        .unwrap();
    drop(life);
    let (state, findings) = life::open(&storage).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    let names: Vec<String> = state
        .views()
        .iter()
        .map(|v| v.spec().name.clone())
        .collect();
    assert_eq!(names, ["view-a", "view-b"]);
    assert_eq!(state.view("view-a").unwrap().spec(), &life::spec("a"));
    let rows = state.view("view-a").unwrap().scan(None).unwrap();
    assert_eq!(rows.rows.schema(), life::spec("a").schema.arrow());
}

/// One commit at a time, readers at any time: both nodes' cut go together in what a reader takes of a view.
#[test]
fn readers_and_the_committer_do_not_wait_for_each_other() {
    let storage = MemoryStorage::new(9);
    let mut life = Life::begin(&storage).unwrap();
    let views = life.state.views();
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = views
        .into_iter()
        .map(|view| {
            let done = done.clone();
            std::thread::spawn(move || {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let rows = view.scan(None).unwrap();
                    assert_eq!(rows.rows.num_rows() as u64, rows.state.rows);
                    assert_eq!(
                        refrain_state::digest::digest(&rows.rows, view.schema()),
                        rows.state.digest
                    );
                }
            })
        })
        .collect();
    let mut model = Model::default();
    for seed in 0..120 {
        life.act(&Act::Commit { seed, nodes: 2 }, &mut model)
            .unwrap();
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    readers.into_iter().for_each(|r| r.join().unwrap());
    assert_eq!(seen(&life.state), model);
}
