//! What a log does on a bad day: power cuts, flipped bits, failing operations, full disks.

use std::collections::BTreeSet;

use super::*;
use crate::storage::Fault;

/// What has been promised to a producer so far.
#[derive(Default)]
struct Promised {
    /// Input rows up to here were acknowledged.
    rows: u64,
}

/// Appends batches of a producer until `rows`, as one who may repeat; stops at the first error.
fn produce(log: &Log, promised: &mut Promised, rows_max: u64, step: u64) -> Result<()> {
    while promised.rows < rows_max {
        let count = step.min(rows_max - promised.rows);
        let first = promised.rows as i64;
        log.append(append_of(
            rows(first..first + count as i64),
            Some(promised.rows + 1),
        ))?;
        promised.rows += count;
    }
    Ok(())
}

#[test]
fn a_power_cut_loses_nothing_promised_and_doubles_nothing() {
    let seeds = 300;
    for seed in 0..seeds {
        let home = Home::new(seed);
        let mut promised = Promised::default();
        for round in 1..5 {
            let (log, findings) = home.open().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            assert!(
                !findings.iter().any(|f| f.acknowledged),
                "seed {seed}: {findings:?}"
            );
            log.declare(spec(1 + (seed % 3) as u32)).unwrap();
            let have: BTreeSet<i64> = all(&log).into_iter().collect();
            assert_eq!(
                have.len(),
                all(&log).len(),
                "seed {seed}: a row is there twice"
            );
            let lost: Vec<i64> = (0..promised.rows as i64)
                .filter(|id| !have.contains(id))
                .collect();
            assert!(
                lost.is_empty(),
                "seed {seed}: promised rows are lost: {lost:?}"
            );
            // The power fails at some operation, whatever that is doing.
            home.storage.fail_from(
                home.storage.operations() + 1 + (seed * 7 + round * 13) % 60,
                Fault::Io,
            );
            let goal = promised.rows + 200;
            let _ = produce(&log, &mut promised, goal, 1 + seed % 40);
            home.storage
                .fail_from(home.storage.operations() + 1, Fault::Io);
            drop(log);
            home.storage.crash();
        }
    }
}

/// A small log, closed: its storage and its rows by partition.
fn small() -> (Home, Vec<Vec<i64>>) {
    let home = Home::new(9);
    let log = home.opened(2);
    for i in 0..6 {
        log.append(append_of(rows(i * 6..i * 6 + 6), Some(i as u64 * 6 + 1)))
            .unwrap();
    }
    let ids = read(&log, "events").0;
    drop(log);
    (home, ids)
}

#[test]
fn no_flipped_bit_gives_a_wrong_answer_or_a_silent_loss() {
    let (home, whole) = small();
    let segments = home
        .storage
        .paths()
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "segment"));
    let mut reported = 0;
    for path in segments.filter(|p| p.starts_with("log/events")) {
        for bit in 0..4 << 13 {
            let fork = home.fork();
            fork.storage.flip(&path, bit);
            let (log, findings) = fork.open().unwrap();
            let (ids, damage) = read(&log, "events");
            if ids == whole {
                continue;
            }
            reported += 1;
            let told = findings.iter().any(|f| f.acknowledged) || !damage.is_empty();
            assert!(told, "{path:?} bit {bit}: {findings:?}");
            for (have, all) in ids.iter().zip(&whole) {
                let mut rest = all.iter();
                assert!(
                    have.iter().all(|id| rest.any(|other| other == id)),
                    "{path:?} bit {bit}"
                );
                assert!(
                    all.len() - have.len() <= 6,
                    "{path:?} bit {bit}: more is missing than was damaged"
                );
            }
            // And it can be appended to.
            log.declare(spec(2)).unwrap();
            log.append(append_of(rows([100]), None)).unwrap();
        }
    }
    assert!(reported > 1000, "{reported}");
}

/// Lives a life; how many operations it took.
fn live(home: &Home, fault: Option<(u64, Fault)>) -> u64 {
    if let Some((operation, fault)) = fault {
        home.storage.fail_at(operation, fault);
    }
    let mut promised = Promised::default();
    let mut opens = 0;
    for goal in [30, 60, 90] {
        while promised.rows < goal {
            opens += 1;
            assert!(opens < 10, "{fault:?}: it does not come back");
            let Ok((log, findings)) = home.open() else {
                continue;
            };
            assert!(
                !findings.iter().any(|f| f.acknowledged),
                "{fault:?}: {findings:?}"
            );
            if log.declare(spec(2)).is_err() {
                continue;
            }
            if produce(&log, &mut promised, goal, 8).is_err() {
                for partition in 0..2 {
                    let _ = log.reopen("events", partition);
                }
                let _ = produce(&log, &mut promised, goal, 8);
            }
            let have = all(&log);
            let unique: BTreeSet<i64> = have.iter().copied().collect();
            assert_eq!(unique.len(), have.len(), "{fault:?}: a row is there twice");
            assert!(
                (0..promised.rows as i64).all(|id| unique.contains(&id)),
                "{fault:?}: {have:?}"
            );
        }
    }
    home.storage.operations()
}

#[test]
fn every_operation_may_fail_once() {
    let operations = live(&Home::new(0), None);
    assert!(operations > 100, "{operations}");
    for operation in 1..=operations {
        for fault in [Fault::Io, Fault::NoSpace, Fault::Short] {
            live(&Home::new(operation), Some((operation, fault)));
        }
    }
}

#[test]
fn a_full_disk_refuses_whole_appends_until_there_is_room() {
    let home = Home::new(11);
    let log = home.opened(2);
    let mut promised = Promised::default();
    produce(&log, &mut promised, 20, 10).unwrap();
    home.storage.limit_bytes(home.storage.bytes());
    let e = produce(&log, &mut promised, 4000, 10).unwrap_err();
    assert!(matches!(e, Error::NoSpace { .. }), "{e}");
    assert_eq!(
        all(&log).len() as u64,
        promised.rows,
        "nothing of the refused append was kept"
    );
    let later = append_of(rows([9000]), Some(promised.rows + 100));
    assert!(
        log.append(later).is_err(),
        "a producer goes on where it was refused"
    );
    home.storage.limit_bytes(u64::MAX);
    produce(&log, &mut promised, 4000, 10).unwrap();
    assert_eq!(all(&log), (0..4000).collect::<Vec<_>>());
    drop(log);
    let (_, findings) = home.open().unwrap();
    assert_eq!(findings, []);
}

#[test]
fn a_lost_end_is_told_by_who_remembers_it() {
    let (home, _) = small();
    let (log, _) = home.open().unwrap();
    log.declare(derived_spec()).unwrap();
    drop(log);
    let (log, _) = home.open().unwrap();
    let e = log.cut_derived("clean", 0, Offset(5), Sequence(9));
    assert!(e.is_err() || matches!(read(&log, "clean").1[..], [Error::Damaged { .. }]));
}

#[test]
fn a_damaged_mark_hides_no_row() {
    let home = Home::new(12);
    for i in 0..3 {
        let log = home.opened(1);
        log.append(append_of(rows(i * 3..i * 3 + 3), None)).unwrap();
    }
    let path = PathBuf::from("log/events/0/00000000000000000000.segment");
    let mut marks = 0;
    for bit in 0..4 << 13 {
        let fork = home.fork();
        fork.storage.flip(&path, bit);
        let (log, findings) = fork.open().unwrap();
        if findings
            .iter()
            .any(|f| f.acknowledged && f.what.contains("no row was in them"))
        {
            marks += 1;
            let (ids, damage) = read(&log, "events");
            assert_eq!(ids, [(0..9).collect::<Vec<_>>()], "bit {bit}");
            assert!(damage.is_empty(), "bit {bit}: {damage:?}");
        }
    }
    assert_eq!(
        marks,
        2 * 128 * 8,
        "every bit of the two marks that frames follow"
    );
}

#[test]
fn a_failed_sync_is_final_until_it_is_reopened() {
    let home = Home::new(14);
    let log = home.opened(1);
    log.append(append_of(rows(0..5), Some(1))).unwrap();
    let before = log.durable();
    // The next operations are a write and its sync.
    home.storage
        .fail_at(home.storage.operations() + 2, Fault::Io);
    let e = log.append(append_of(rows(5..9), Some(6))).unwrap_err();
    let told = matches!(
        e,
        Error::Failed {
            durable: Offset(5),
            action: "sync",
            ..
        }
    );
    assert!(told, "{e}");
    let e = log.append(append_of(rows(5..9), Some(6))).unwrap_err();
    assert!(matches!(e, Error::Failed { .. }), "{e}");
    assert_eq!(log.durable(), before);
    assert_eq!(all(&log), (0..5).collect::<Vec<_>>());
    log.reopen("events", 0).unwrap();
    let done = log.append(append_of(rows(5..9), Some(6))).unwrap();
    assert!(done.sequence > before);
    assert_eq!(all(&log), (0..9).collect::<Vec<_>>());
    drop(log);
    assert_eq!(home.open().unwrap().1, []);
}

/// Opens once and appends to the end, reopening what is shut; which kinds of refusals were met.
fn live_reopening(faults: &[(u64, Fault)]) -> (u64, BTreeSet<&'static str>) {
    let home = Home::new(31);
    let log = home.opened(2);
    let begun = home.storage.operations();
    for (operation, fault) in faults {
        home.storage.fail_at(begun + operation, *fault);
    }
    let mut promised = Promised::default();
    let mut met = BTreeSet::new();
    for goal in (8..=160).step_by(8) {
        let mut tries = 0;
        while let Err(e) = produce(&log, &mut promised, goal, 8) {
            tries += 1;
            assert!(tries < 5, "{faults:?}: it does not come back: {e}");
            if matches!(e, Error::NoSpace { .. }) {
                continue;
            }
            // Final until it is reopened.
            let again = produce(&log, &mut promised, goal, 8).unwrap_err();
            for e in [e, again] {
                met.insert(match e {
                    Error::Failed { .. } => "failed",
                    Error::Stopped => "stopped",
                    other => panic!("{faults:?}: {other}"),
                });
            }
            let shut = log.shut();
            assert!(!shut.is_empty(), "{faults:?}: nothing is shut");
            for shut in shut {
                log.reopen(&shut.topic, shut.partition).unwrap();
            }
            assert_eq!(log.shut(), []);
        }
    }
    let operations = home.storage.operations() - begun;
    assert_eq!(all(&log), (0..160).collect::<Vec<_>>(), "{faults:?}");
    drop(log);
    let (log, findings) = home.open().unwrap();
    assert!(!findings.iter().any(|f| f.acknowledged), "{findings:?}");
    assert_eq!(all(&log), (0..160).collect::<Vec<_>>(), "{faults:?}");
    (operations, met)
}

#[test]
fn what_a_failed_operation_shuts_takes_rows_again_when_it_is_reopened() {
    let (operations, met) = live_reopening(&[]);
    assert!(operations > 60 && met.is_empty(), "{operations} {met:?}");
    let mut met = BTreeSet::new();
    for operation in 1..=operations {
        for fault in [Fault::Io, Fault::NoSpace, Fault::Short] {
            met.extend(live_reopening(&[(operation, fault)]).1);
            // The note about it fails as well.
            met.extend(live_reopening(&[(operation, fault), (operation + 1, fault)]).1);
        }
    }
    assert!(met.iter().eq(&["failed", "stopped"]), "{met:?}");
}
