//! Retention on good and bad days: what goes, what stays, and what opening makes of a removal that was interrupted.

use proptest::prelude::*;

use super::*;
use crate::retention::Trimmed;
use crate::storage::{Fault, Storage};

/// A log of one partition in many segments: 40 appends of 10 rows by a producer.
fn long() -> (Home, Log) {
    let home = Home::new(5);
    let log = home.opened(1);
    for i in 0..40 {
        log.append(append_of(
            rows(i * 10..i * 10 + 10),
            Some(i as u64 * 10 + 1),
        ))
        .unwrap();
    }
    (home, log)
}

/// Ids from the first offset that is kept on.
fn kept(log: &Log) -> Vec<i64> {
    let topic = log.topic("events").unwrap();
    let mut cursor = topic.cursor(0, topic.start(0)).unwrap();
    let mut ids = Vec::new();
    while let Some(frame) = cursor.next(Sequence(u64::MAX)).unwrap() {
        let batch = frame.batch(&[0, 1, 2]).unwrap();
        ids.extend(checked(&batch, &frame, Offset(0)));
    }
    ids
}

/// Base of the segment in the middle.
fn middle(log: &Log) -> Offset {
    let segments = log.topic("events").unwrap().segments(0).unwrap();
    assert!(segments.len() > 6, "{} segments", segments.len());
    segments[segments.len() / 2].base
}

#[test]
fn whole_segments_go_and_the_rest_reads_as_before() {
    let (home, log) = long();
    let topic = log.topic("events").unwrap();
    let mut early = topic.cursor(0, Offset(0)).unwrap();
    let first = early.next(Sequence(u64::MAX)).unwrap().unwrap();
    let to = middle(&log);
    // In the middle of a segment: that segment stays.
    let trimmed = log.trim("events", 0, Offset(to.0 + 1)).unwrap();
    assert_eq!(trimmed.rows, to.0);
    assert_eq!(topic.start(0), to);
    assert_eq!(log.trim("events", 0, to).unwrap(), Trimmed::default());
    assert_eq!(kept(&log), (to.0 as i64..400).collect::<Vec<_>>());
    // Who reads from before is told what is there.
    let told = |e: Error| {
        assert!(
            matches!(&e, Error::Removed { first, .. } if *first == to),
            "{e}"
        )
    };
    told(topic.cursor(0, Offset(0)).unwrap_err());
    told(topic.cursor(0, Offset(to.0 - 1)).unwrap_err());
    told(topic.cursor_after(0, Sequence(0)).unwrap_err());
    let after = topic.kept(0).unwrap().removed_up_to;
    assert!(topic.cursor_after(0, Sequence(after.0 - 1)).is_err());
    let mut cursor = topic.cursor_after(0, after).unwrap();
    assert_eq!(
        cursor
            .next(Sequence(u64::MAX))
            .unwrap()
            .unwrap()
            .header()
            .base_offset,
        to
    );
    // Who stands in what went reads on to the end of its segment, and then is told, too.
    assert_eq!(first.batch(&[1]).unwrap().num_rows(), 10);
    let error = loop {
        match early.next(Sequence(u64::MAX)) {
            Ok(frame) => assert!(frame.is_some()),
            Err(e) => break e,
        }
    };
    told(error);
    drop(log);
    let log = home.opened(1);
    let topic = log.topic("events").unwrap();
    told(topic.cursor(0, Offset(0)).unwrap_err());
    assert_eq!(kept(&log), (to.0 as i64..400).collect::<Vec<_>>());
    assert_eq!(
        topic.kept(0).unwrap().removed_time_max,
        Some(Timestamp(NOW.0 - 1000 + to.0 as i64 - 1))
    );
}

#[test]
fn what_a_producer_has_appended_outlives_its_segments() {
    let (home, log) = long();
    // A producer of whom nothing but segments that go knows anything.
    log.append(Append {
        producer: Some(Producer {
            name: "other".into(),
            first_row: 1,
        }),
        ..append_of(rows(400..403), None)
    })
    .unwrap();
    log.seal("events", 0).unwrap();
    log.append(append_of(rows(403..404), None)).unwrap();
    let end = log.topic("events").unwrap().end(0);
    log.trim("events", 0, end).unwrap();
    assert_eq!(kept(&log), [403]);
    drop(log);
    let log = home.opened(1);
    for _ in 0..2 {
        let again = log.append(append_of(rows(0..400), Some(1))).unwrap();
        assert_eq!((again.rows, again.duplicates), (0, 400));
        let again = log
            .append(Append {
                producer: Some(Producer {
                    name: "other".into(),
                    first_row: 1,
                }),
                ..append_of(rows(400..403), None)
            })
            .unwrap();
        assert_eq!((again.rows, again.duplicates), (0, 3));
    }
    assert_eq!(kept(&log), [403]);
}

#[test]
fn a_removal_that_is_interrupted_anywhere_leaves_a_whole_log() {
    let (home, log) = long();
    let to = middle(&log);
    drop(log);
    let mut ends = [0, 0];
    for fault in [Fault::Io, Fault::NoSpace] {
        for operation in 1.. {
            let home = home.fork();
            let (log, _) = home.open().unwrap();
            let before = home.storage.operations();
            home.storage.fail_from(before + operation, fault);
            let done = log.trim("events", 0, to);
            let last = done.is_ok() && home.storage.operations() < before + operation;
            // The power goes with the log still open: it writes no mark.
            home.storage
                .fail_from(home.storage.operations() + 1, Fault::Io);
            drop(log);
            home.storage.crash();
            let (log, findings) = home.open().unwrap();
            assert!(!findings.iter().any(|f| f.acknowledged), "{findings:?}");
            let start = log.topic("events").unwrap().start(0);
            assert!(start == Offset(0) || start == to, "{start}");
            assert!(done.is_err() || start == to, "what was answered holds");
            assert_eq!(kept(&log), (start.0 as i64..400).collect::<Vec<_>>());
            ends[usize::from(start == to)] += 1;
            log.append(append_of(rows(0..500), Some(1))).unwrap();
            assert_eq!(kept(&log), (start.0 as i64..500).collect::<Vec<_>>());
            let trimmed = log.trim("events", 0, to).unwrap();
            assert_eq!(trimmed.rows, to.0 - start.0);
            drop(log);
            let names = home
                .storage
                .list(std::path::Path::new("log/events/0"))
                .unwrap();
            let old = names.iter().find(|n| **n < crate::segment::footer_name(to));
            assert_eq!(old, None, "nothing is left of what went");
            if last {
                break;
            }
        }
    }
    assert!(ends[0] > 0 && ends[1] > 5, "{ends:?}");
}

#[test]
fn segments_that_nobody_removed_are_missed() {
    let (home, log) = long();
    let second = log.topic("events").unwrap().segments(0).unwrap()[1].base;
    let third = log.topic("events").unwrap().segments(0).unwrap()[2].base;
    drop(log);
    let file = |base: Offset| PathBuf::from(format!("log/events/0/{:020}.segment", base.0));
    home.storage.remove(&file(Offset(0))).unwrap();
    let (log, findings) = home.open().unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].acknowledged);
    assert_eq!(findings[0].offsets, Some((Offset(0), Offset(second.0 - 1))));
    log.trim("events", 0, second).unwrap();
    log.trim("events", 0, third).unwrap();
    drop(log);
    // Retention has passed them: they would not be there in any case.
    assert_eq!(home.open().unwrap().1, []);
}

#[test]
fn a_folder_is_made_durably_by_who_makes_it_or_by_who_finds_it() {
    let mut lost = 0;
    for seed in 0..40 {
        let storage = MemoryStorage::new(seed);
        let folder = PathBuf::from("data/log");
        // Made, and then the sync of the folder around it fails: who did so gave up.
        storage.fail_at(5, Fault::Io);
        assert!(storage.create_dir_all(&folder).is_err());
        let unsafe_disk = storage.fork();
        unsafe_disk.replace(&folder.join("note"), b"kept").unwrap();
        unsafe_disk.crash();
        lost += u32::from(unsafe_disk.read(&folder.join("note")).is_err());
        // The next one finds it there.
        storage.create_dir_all(&folder).unwrap();
        storage.replace(&folder.join("note"), b"kept").unwrap();
        storage.crash();
        assert_eq!(storage.read(&folder.join("note")).unwrap(), b"kept");
    }
    assert!(lost > 5, "the fault does what it is for: {lost}");
}

/// The parts of the log's one partition, in a folder of their own.
fn linked(home: &Home, log: &Log) -> (Vec<crate::parts::Part>, PathBuf) {
    let folder = PathBuf::from("kept/0");
    home.storage.create_dir_all(&folder).unwrap();
    let topic = log.topic("events").unwrap();
    (topic.link_into(0, &folder).unwrap(), folder)
}

/// Lays parts out as another log, which goes its own way.
fn laid_out(home: &Home, parts: &[crate::parts::Part], folder: &std::path::Path) -> Log {
    let to = PathBuf::from("other/events/0");
    home.storage.create_dir_all(&to).unwrap();
    let spec = home
        .storage
        .read(&PathBuf::from("log/events/topic.spec"))
        .unwrap();
    home.storage
        .replace(&PathBuf::from("other/events/topic.spec"), &spec)
        .unwrap();
    crate::parts::lay_out(&home.storage, parts, folder, &to, |_| true).unwrap();
    let (log, findings) = Log::open(
        Arc::new(home.storage.clone()),
        home.clock.clone(),
        PathBuf::from("other"),
    )
    .unwrap();
    assert_eq!(findings, []);
    log.declare(self::spec(1)).unwrap();
    log
}

#[test]
fn parts_are_the_log_as_it_was_and_go_on_without_it() {
    let (home, log) = long();
    let to = middle(&log);
    log.trim("events", 0, to).unwrap();
    let (parts, folder) = linked(&home, &log);
    // The log goes on, and lets go of everything that it was.
    log.append(append_of(rows(400..700), Some(401))).unwrap();
    log.seal("events", 0).unwrap();
    log.append(append_of(rows(700..701), Some(701))).unwrap();
    let end = log.topic("events").unwrap().end(0);
    log.trim("events", 0, end).unwrap();
    assert_eq!(kept(&log), [700]);
    assert_eq!(
        crate::parts::verify(&home.storage, &parts, &folder).unwrap(),
        []
    );
    let other = laid_out(&home, &parts, &folder);
    assert_eq!(kept(&other), (to.0 as i64..400).collect::<Vec<_>>());
    assert!(other.topic("events").unwrap().cursor(0, Offset(0)).is_err());
    let appended = other.append(append_of(rows(0..500), Some(1))).unwrap();
    assert_eq!((appended.rows, appended.duplicates), (100, 400));
    assert_eq!(kept(&other), (to.0 as i64..500).collect::<Vec<_>>());
    // Neither saw the other, nor did the parts.
    assert_eq!(kept(&log), [700]);
    assert_eq!(
        crate::parts::verify(&home.storage, &parts, &folder).unwrap(),
        []
    );
}

#[test]
fn what_is_wrong_with_parts_is_found() {
    let (home, log) = long();
    let (parts, folder) = linked(&home, &log);
    drop(log);
    let found = |home: &Home| crate::parts::verify(&home.storage, &parts, &folder).unwrap();
    assert_eq!(found(&home), []);
    let file = |i: usize| folder.join(&parts[i].file);
    // Any bit that counts.
    let last = parts.len() - 1;
    for bit in (0..parts[last].published as usize * 8).step_by(97) {
        let home = home.fork();
        home.storage.flip(&file(last), bit);
        let flawed = found(&home);
        // The one thing that no checksum covers are the zeros between columns.
        let byte = home.storage.read(&file(last)).unwrap()[bit / 8];
        assert!(
            flawed.iter().all(|flaw| flaw.file == parts[last].file) && !flawed.is_empty()
                || byte.count_ones() == 1,
            "bit {bit}"
        );
    }
    let gone = home.fork();
    gone.storage.remove(&file(1)).unwrap();
    assert_eq!(found(&gone)[0].what, "is not there");
    let short = home.fork();
    let bytes = short.storage.read(&file(last)).unwrap();
    short.storage.replace(&file(last), &bytes[..200]).unwrap();
    assert!(found(&short)[0].what.starts_with("has 200 of"));
    let zeroed = home.fork();
    let end = parts[2].published as usize;
    zeroed.storage.overwrite(&file(2), end - 640, &[0; 640]);
    assert!(!found(&zeroed).is_empty());
}

#[derive(Clone, Debug)]
enum Act {
    Append(u8),
    Trim(u8),
    Seal,
    Reopen,
    Crash(u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1u8..60).prop_map(Act::Append),
        2 => (0u8..=100).prop_map(Act::Trim),
        1 => Just(Act::Seal),
        1 => Just(Act::Reopen),
        2 => (1u8..40).prop_map(Act::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens: rows are there from the first offset on, in order, each once; nothing promised after it is
    /// missing; what was removed does not come back, and a producer's rows never do.
    #[test]
    fn random_lives_with_retention(acts in prop::collection::vec(act(), 1..40), seed in 0u64..1000) {
        let home = Home::new(seed);
        let mut log = home.opened(1);
        let mut promised = 0i64;
        let mut start = 0;
        for act in acts {
            let topic = log.topic("events").unwrap();
            match act {
                Act::Append(count) => {
                    let from = promised;
                    let batch = append_of(rows(from..from + i64::from(count)), Some(from as u64 + 1));
                    promised += i64::from(log.append(batch).is_ok()) * i64::from(count);
                }
                Act::Trim(percent) => {
                    let end = topic.end(0).0;
                    let to = Offset(end * u64::from(percent) / 100);
                    log.trim("events", 0, to).unwrap();
                    prop_assert!(topic.start(0).0 <= to.0.max(start));
                    start = topic.start(0).0;
                }
                Act::Seal => log.seal("events", 0).unwrap(),
                Act::Reopen => {
                    drop((topic, log));
                    log = home.opened(1);
                }
                Act::Crash(operation) => {
                    let now = home.storage.operations();
                    home.storage.fail_from(now + u64::from(operation), Fault::Io);
                    let to = topic.end(0);
                    let from = promised;
                    let appended = log.append(append_of(rows(from..from + 20), Some(from as u64 + 1)));
                    promised += if appended.is_ok() { 20 } else { 0 };
                    let _ = log.trim("events", 0, to);
                    home.storage.fail_from(home.storage.operations() + 1, Fault::Io);
                    drop((topic, log));
                    home.storage.crash();
                    let (opened, findings) = home.open().unwrap();
                    prop_assert!(!findings.iter().any(|f| f.acknowledged), "{:?}", findings);
                    log = opened;
                }
            }
            let topic = log.topic("events").unwrap();
            let now = topic.start(0).0;
            prop_assert!(now >= start, "{now} after {start}");
            start = now;
            let ids = kept(&log);
            prop_assert!(ids.iter().copied().eq(start as i64..start as i64 + ids.len() as i64));
            let end = start as i64 + ids.len() as i64;
            prop_assert!(end >= promised, "{end} of {promised}");
            // What was appended and not answered is there, and will not be taken again.
            promised = end;
        }
    }
}

/// Time goes on in the log where nothing is appended, so that retention can go by it.
#[test]
fn a_tick_that_is_wanted_is_the_newest_frame() {
    let home = Home::new(3);
    let log = home.opened(2);
    let done = log.append(append_of(rows(0..3), None)).unwrap();
    home.clock.set(Timestamp(NOW.0 + 5_000_000));
    log.tick("events.rejected", 0).unwrap();
    let rejected = log.topic("events.rejected").unwrap();
    assert_eq!(rejected.last_time(), Some(Timestamp(NOW.0 + 5_000_000)));
    assert_eq!(log.durable(), Sequence(done.sequence.0 + 1));
    log.declare(derived_spec()).unwrap();
    assert!(log.tick("clean", 0).is_err());
    drop((rejected, log));
    let log = home.opened(2);
    assert_eq!(log.durable(), Sequence(done.sequence.0 + 1));
}
