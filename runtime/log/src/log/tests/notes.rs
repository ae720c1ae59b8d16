//! The small files beside the segments, rotten and gone: declarations, the notes of retention and of failed writes,
//! footers. What was acknowledged is served all the same, and damage is told.

use std::path::Path;

use super::*;
use crate::codec;
use crate::index::Footer;
use crate::storage::{Fault, Storage};

fn bits_of(home: &Home, path: &Path) -> usize {
    home.storage.read(path).unwrap().len() * 8
}

/// Opens the log and says what opening told of damage.
fn open_told(home: &Home, declared: &[TopicSpec]) -> (Log, Vec<Finding>) {
    let (log, findings) = Log::open_declared(
        Arc::new(home.storage.clone()),
        home.clock.clone(),
        PathBuf::from("log"),
        declared,
    )
    .unwrap();
    (
        log,
        findings.into_iter().filter(|f| f.acknowledged).collect(),
    )
}

#[track_caller]
fn assert_told(findings: &[Finding], what: &str) {
    assert!(
        findings.iter().any(|f| f.what.contains(what)),
        "{what} is not told: {findings:?}"
    );
}

/// A closed log: its rows by partition, and its last sequence.
fn closed() -> (Home, Vec<Vec<i64>>, Sequence) {
    let home = Home::new(21);
    let log = home.opened(2);
    for i in 0..6 {
        log.append(append_of(rows(i * 6..i * 6 + 6), Some(i as u64 * 6 + 1)))
            .unwrap();
    }
    let (ids, last) = (read(&log, "events").0, log.durable());
    drop(log);
    (home, ids, last)
}

/// Makes one file rotten, or takes it away.
fn harms(home: &Home, path: &Path) -> impl Iterator<Item = Home> {
    let bits = (0..bits_of(home, path)).map(Some);
    bits.chain([None]).map(move |bit| {
        let fork = home.fork();
        match bit {
            Some(bit) => fork.storage.flip(path, bit),
            None => fork.storage.remove(path).unwrap(),
        }
        fork
    })
}

#[test]
fn a_lost_declaration_is_told_and_replaced_by_the_one_of_the_pipeline_file() {
    let (home, whole, last) = closed();
    let path = Path::new("log/events/topic.spec");
    for harmed in harms(&home, path) {
        let (log, told) = open_told(&harmed, &[spec(2)]);
        assert_told(&told, "topic.spec");
        assert_eq!(read(&log, "events").0, whole);
        assert_eq!(log.declare(spec(2)).unwrap().spec(), &spec(2));
        let again = log.append(append_of(rows(0..36), Some(1))).unwrap();
        assert_eq!((again.rows, again.duplicates), (0, 36));
        let next = log.append(append_of(rows(36..37), Some(37))).unwrap();
        assert!(next.sequence > last, "{} after {last}", next.sequence);
        drop(log);
        // Told once: it is whole again.
        let (_, told) = open_told(&harmed, &[spec(2)]);
        assert_eq!(told, []);
    }
}

#[test]
fn a_lost_declaration_that_nobody_has_keeps_rows_and_sequences() {
    let (home, whole, last) = closed();
    for harmed in harms(&home, Path::new("log/events/topic.spec")) {
        let mut last = last;
        for _ in 0..2 {
            let (log, told) = open_told(&harmed, &[]);
            assert_told(&told, "not served until it is declared");
            assert!(log.topic("events").is_none());
            assert_eq!(log.durable(), last);
            let other = TopicSpec {
                name: "other".into(),
                ..spec(1)
            };
            log.declare(other).unwrap();
            let append = Append {
                topic: "other".into(),
                ..append_of(rows(0..1), None)
            };
            let next = log.append(append).unwrap().sequence;
            assert!(next > last);
            last = next;
        }
        let (log, _) = open_told(&harmed, &[]);
        log.declare(spec(2)).unwrap();
        assert_eq!(read(&log, "events").0, whole);
    }
}

#[test]
fn a_lost_declaration_is_not_replaced_by_one_with_other_partitions() {
    let (home, _, _) = closed();
    home.storage
        .remove(Path::new("log/events/topic.spec"))
        .unwrap();
    let open = Log::open_declared(
        Arc::new(home.storage.clone()),
        home.clock.clone(),
        PathBuf::from("log"),
        &[spec(3)],
    );
    let e = open.unwrap_err().to_string();
    assert!(e.contains("`partitions = 2`"), "{e}");
}

#[test]
fn a_declaration_without_rows_counts_for_nothing() {
    let home = Home::new(22);
    drop(home.opened(2));
    for harmed in harms(&home, Path::new("log/events/topic.spec")) {
        let (log, _) = open_told(&harmed, &[]);
        log.declare(spec(1)).unwrap();
        log.append(append_of(rows(0..3), None)).unwrap();
        assert_eq!(all(&log), [0, 1, 2]);
    }
}

#[test]
fn a_rotten_note_of_retention_is_told_and_what_is_left_is_served() {
    let home = Home::new(23);
    let log = home.opened(1);
    for i in 0..40 {
        log.append(append_of(
            rows(i * 10..i * 10 + 10),
            Some(i as u64 * 10 + 1),
        ))
        .unwrap();
    }
    let segments = log.topic("events").unwrap().segments(0).unwrap();
    let (to, later) = (
        segments[segments.len() / 2].base,
        segments[segments.len() / 2 + 1].base,
    );
    log.trim("events", 0, to).unwrap();
    let last = log.durable();
    drop(log);
    let path = Path::new("log/events/0/removed");
    for bit in 0..bits_of(&home, path) {
        let fork = home.fork();
        fork.storage.flip(path, bit);
        let (log, told) = open_told(&fork, &[spec(1)]);
        assert_told(
            &told,
            "removed, the note of what retention took away, is damaged",
        );
        assert_told(&told, &format!("rows 0 to {}", to.0 - 1));
        let topic = log.topic("events").unwrap();
        assert_eq!((topic.start(0), topic.end(0)), (to, Offset(400)));
        let mut cursor = topic.cursor(0, to).unwrap();
        let mut ids = Vec::new();
        while let Some(frame) = cursor.next(Sequence(u64::MAX)).unwrap() {
            ids.extend(checked(
                &frame.batch(&[0, 1, 2]).unwrap(),
                &frame,
                Offset(0),
            ));
        }
        assert_eq!(ids, (to.0 as i64..400).collect::<Vec<_>>());
        let next = log.append(append_of(rows(400..401), Some(401))).unwrap();
        assert!(next.sequence > last);
        // The next removal writes the note anew.
        log.trim("events", 0, later).unwrap();
        drop(log);
        assert_eq!(open_told(&fork, &[spec(1)]).1, []);
    }
}

#[test]
fn a_rotten_note_of_a_failed_write_is_told_and_no_acknowledged_row_is_lost() {
    let home = Home::new(24);
    let log = home.opened(1);
    log.append(append_of(rows(0..5), Some(1))).unwrap();
    home.storage
        .fail_at(home.storage.operations() + 2, Fault::Io);
    log.append(append_of(rows(5..9), Some(6))).unwrap_err();
    drop(log);
    let path = Path::new("log/events/0/void");
    for bit in 0..bits_of(&home, path) {
        let fork = home.fork();
        fork.storage.flip(path, bit);
        let (log, told) = open_told(&fork, &[spec(1)]);
        assert_told(&told, "void, the note of what was refused");
        let have = all(&log);
        assert!(have.len() == 5 || have.len() == 9, "{have:?}");
        assert!(have.iter().copied().eq(0..have.len() as i64));
        log.append(append_of(rows(5..9), Some(6))).unwrap();
        assert_eq!(all(&log), (0..9).collect::<Vec<_>>());
        assert!(
            fork.storage
                .read(Path::new("log/events/quarantine/0-void"))
                .is_ok()
        );
        drop(log);
        let (log, findings) = fork.open().unwrap();
        assert_eq!(findings, []);
        assert_eq!(all(&log), (0..9).collect::<Vec<_>>());
    }
}

#[test]
fn a_footer_that_is_damaged_anywhere_or_missing_is_made_again() {
    let home = Home::new(25);
    let log = home.opened(1);
    for i in 0..30 {
        log.append(append_of(rows(i * 6..i * 6 + 6), Some(i as u64 * 6 + 1)))
            .unwrap();
    }
    drop(log);
    let is_footer = |p: &PathBuf| p.extension().is_some_and(|e| e == "footer");
    let footers: Vec<PathBuf> = home.storage.paths().into_iter().filter(is_footer).collect();
    assert!(footers.len() > 2, "{footers:?}");
    for path in footers {
        for harmed in harms(&home, &path) {
            let log = harmed.opened(1);
            assert_eq!(all(&log), (0..180).collect::<Vec<_>>());
            let made = harmed.storage.read(&path).unwrap();
            assert!(codec::decode::<Footer>(&made).is_ok(), "made again");
            let again = log.append(append_of(rows(0..6), Some(1))).unwrap();
            assert_eq!(again.duplicates, 6);
            let topic = log.topic("events").unwrap();
            let found = topic.seek_time(0, Timestamp(NOW.0 - 1000 + 100)).unwrap();
            assert_eq!(found, Offset(96));
        }
    }
}
