//! Segments encoded anew: every reader sees what it saw, frame by frame, whatever is interrupted, cut, removed or damaged.

use std::path::Path;

use proptest::prelude::*;

use super::life::derived_frame;
use super::*;
use crate::frame::{FrameHeader, FrameKind, Origins};
use crate::optimize::Optimized;
use crate::segment::{base_of, segment_name};
use crate::storage::{Fault, Storage};

/// One frame, as a reader sees it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    header: FrameHeader,
    rows: Option<RecordBatch>,
    origins: Option<Origins>,
}

fn seen(topic: &Topic, partition: u32) -> Vec<Seen> {
    let mut cursor = topic.cursor(partition, topic.start(partition)).unwrap();
    let mut all = Vec::new();
    while let Some(frame) = cursor.next(Sequence(u64::MAX)).unwrap() {
        let header = frame.header().clone();
        all.push(Seen {
            rows: (header.rows > 0).then(|| frame.batch(&[0, 1, 2]).unwrap()),
            origins: frame.origins().unwrap(),
            header,
        });
    }
    all
}

fn all_seen(log: &Log, topic: &str) -> Vec<Vec<Seen>> {
    let topic = log.topic(topic).unwrap();
    let partitions = 0..topic.spec().partitions;
    partitions
        .map(|partition| seen(&topic, partition))
        .collect()
}

/// What is found by offset, by sequence and by time: each way into a partition.
fn found(topic: &Topic, partition: u32) -> Vec<(Offset, Option<Sequence>)> {
    let frames = seen(topic, partition);
    let mut found = Vec::new();
    let mut place = |mut cursor: crate::cursor::Cursor| {
        let offset = cursor.offset();
        found.push((offset, cursor.peek().unwrap()));
        let next = cursor.next(Sequence(u64::MAX)).unwrap();
        found.push((cursor.offset(), next.map(|frame| frame.header().sequence)));
    };
    for offset in topic.start(partition).0..=topic.end(partition).0 {
        place(topic.cursor(partition, Offset(offset)).unwrap());
    }
    let from = topic.kept(partition).unwrap().removed_up_to;
    for frame in &frames {
        let sequence = frame.header.sequence;
        for after in [sequence.0 - 1, sequence.0] {
            let after = Sequence(after).max(from);
            place(topic.cursor_after(partition, after).unwrap());
        }
    }
    for frame in &frames {
        for time in frame.header.times.into_iter().flat_map(|(a, b)| [a, b]) {
            let seek = topic.seek_time(partition, time).unwrap();
            let row = topic.row_at_time(partition, time).unwrap();
            found.extend([(seek, None), (row, None)]);
        }
        let base = frame.header.base_offset;
        let max = topic.time_max_before(partition, base).unwrap();
        found.push((base, max.map(|time| Sequence(time.0.cast_unsigned()))));
    }
    found
}

/// Encodes all sealed segments anew; those that were.
fn optimized(log: &Log, topic: &str) -> Vec<Optimized> {
    let partitions = log.topic(topic).unwrap().spec().partitions;
    let mut done = Vec::new();
    for partition in 0..partitions {
        let mut from = Some(Offset(0));
        while let Some(base) = from {
            let told = log.optimize(topic, partition, base, false, &mut || true);
            let told = told.unwrap();
            from = told.as_ref().and_then(|told| told.next);
            done.extend(told.filter(|told| told.done));
        }
    }
    done
}

/// 90 appends of 1 to 7 rows by two producers and by nobody, with ticks between, in many segments of two partitions.
fn long() -> (Home, Log) {
    let (home, log, _) = long_with();
    (home, log)
}

/// The same with its appends.
fn long_with() -> (Home, Log, Vec<Append>) {
    let home = Home::new(5);
    let log = home.opened(2);
    let ticking = TopicSpec {
        idle_us: Some(1_000_000),
        ..spec(2)
    };
    let topic = log.declare(ticking).unwrap();
    let mut numbers = [0; 2];
    let mut id = 0;
    let mut appends = Vec::new();
    for i in 0..90_usize {
        let count = 1 + i as i64 % 7;
        let mut append = append_of(rows(id..id + count), None);
        id += count;
        if i % 5 > 0 {
            let first_row = numbers[i % 2] + 1;
            numbers[i % 2] += count as u64;
            append.producer = Some(Producer {
                name: format!("p{}", i % 2),
                first_row,
            });
        }
        log.append(append.clone()).unwrap();
        appends.push(append);
        if i % 20 == 19 {
            let quiet = topic.end(0).0.min(1) + topic.end(1).0.min(1);
            pass_time(&home, &log, quiet);
        }
    }
    (home, log, appends)
}

/// Lets each of so many partitions have its tick.
fn pass_time(home: &Home, log: &Log, partitions: u64) {
    let before = log.durable();
    home.clock.set(Timestamp(home.clock.now().0 + 1_000_001));
    log.wake();
    while log.durable().0 < before.0 + partitions {
        log.wait_beyond(log.durable(), log.wakes(), Duration::from_secs(10));
    }
}

#[test]
fn every_way_to_read_gives_what_it_gave() {
    let (home, log, appends) = long_with();
    let topic = log.topic("events").unwrap();
    let before = all_seen(&log, "events");
    let ways: Vec<_> = (0..2).map(|p| found(&topic, p)).collect();
    let ticks = |all: &[Vec<Seen>]| {
        let each = all.iter().flatten();
        each.filter(|s| s.header.kind == FrameKind::Tick).count()
    };
    assert!(ticks(&before) > 4, "{}", ticks(&before));
    let bytes = topic.bytes();
    let done = optimized(&log, "events");
    assert!(done.len() > 6, "{done:?}");
    for told in &done {
        assert_eq!((told.frames_after, told.rows > 0), (1, true));
        assert!(told.bytes_after * 2 < told.bytes, "{told:?}");
    }
    let saved: u64 = done.iter().map(|told| told.bytes - told.bytes_after).sum();
    assert_eq!(topic.bytes(), bytes - saved);
    let check = |log: &Log| {
        let topic = log.topic("events").unwrap();
        assert_eq!(all_seen(log, "events"), before);
        for (p, ways) in (0..).zip(&ways) {
            assert_eq!(found(&topic, p), *ways);
        }
    };
    check(&log);
    assert_eq!(optimized(&log, "events"), [], "once is enough");
    assert_eq!(topic.unsettled(0).unwrap(), []);
    drop((topic, log));
    // With the footers, and without.
    check(&home.open().unwrap().0);
    let without = home.fork();
    for path in without.storage.paths() {
        if path.extension().is_some_and(|e| e == "footer") {
            without.storage.remove(&path).unwrap();
        }
    }
    let (log, findings) = without.open().unwrap();
    assert_eq!(findings, []);
    check(&log);
    // The producers are known, whoever remembers them.
    for log in [log, home.open().unwrap().0] {
        for append in appends.iter().filter(|append| append.producer.is_some()) {
            let again = log.append(append.clone()).unwrap();
            let rows = append.rows.num_rows() as u64;
            assert_eq!((again.rows, again.duplicates), (0, rows));
        }
    }
}

#[test]
fn many_frames_are_read_as_one_up_to_a_sequence() {
    let (_home, log) = long();
    optimized(&log, "events");
    let topic = log.topic("events").unwrap();
    for partition in 0..2 {
        let frames = seen(&topic, partition);
        for limit in frames.iter().step_by(5).map(|s| s.header.sequence) {
            let mut cursor = topic.cursor(partition, Offset(0)).unwrap();
            let (mut rows, mut runs, mut parts) = (0, Vec::new(), 0);
            for limit in [limit, Sequence(u64::MAX)] {
                while let Some(part) = cursor.next_merged(limit).unwrap() {
                    assert_eq!(part.header().base_offset, Offset(rows));
                    assert!(part.header().sequence <= limit);
                    if part.header().rows > 0 {
                        let ids = part.batch(&[1]).unwrap().num_rows();
                        assert_eq!(ids as u32, part.header().rows);
                    }
                    runs.extend(
                        part.runs()
                            .map(|r| (r.sequence, rows + u64::from(r.rows_end))),
                    );
                    rows += u64::from(part.header().rows);
                    assert_eq!(cursor.offset(), Offset(rows));
                    parts += 1;
                }
            }
            let each = frames.iter().map(|s| {
                let end = s.header.base_offset.0 + u64::from(s.header.rows);
                (s.header.sequence, end)
            });
            assert!(each.eq(runs), "limit {limit}");
            assert!(parts * 2 < frames.len(), "{parts} of {}", frames.len());
        }
    }
}

#[test]
fn readers_and_links_of_the_old_files_go_on() {
    let (home, log) = long();
    let topic = log.topic("events").unwrap();
    let before = all_seen(&log, "events");
    let mut cursors: Vec<_> = (0..topic.end(0).0)
        .map(|o| topic.cursor(0, Offset(o)).unwrap())
        .collect();
    let mut firsts = Vec::new();
    for cursor in &mut cursors {
        firsts.push(cursor.next(Sequence(u64::MAX)).unwrap().unwrap());
    }
    let old = PathBuf::from("kept/old");
    home.storage.create_dir_all(&old).unwrap();
    let parts = topic.link_into(0, &old).unwrap();
    assert!(optimized(&log, "events").len() > 6);
    for (cursor, first) in cursors.iter_mut().zip(&firsts) {
        if first.header().rows > 0 {
            assert!(first.batch(&[0, 1, 2]).unwrap().num_rows() > 0);
        }
        let mut last = first.header().sequence;
        while let Some(frame) = cursor.next(Sequence(u64::MAX)).unwrap() {
            assert!(frame.header().sequence > last);
            last = frame.header().sequence;
        }
        assert_eq!(Some(last), before[0].last().map(|s| s.header.sequence));
    }
    let new = PathBuf::from("kept/new");
    home.storage.create_dir_all(&new).unwrap();
    let linked = topic.link_into(0, &new).unwrap();
    for (parts, folder) in [(&parts, &old), (&linked, &new)] {
        assert_eq!(
            crate::parts::verify(&home.storage, parts, folder).unwrap(),
            []
        );
        let to = PathBuf::from(format!("other-{}", folder.display()).replace('/', "-"));
        home.storage.create_dir_all(&to.join("events/0")).unwrap();
        home.storage.create_dir_all(&to.join("events/1")).unwrap();
        let spec = home
            .storage
            .read(Path::new("log/events/topic.spec"))
            .unwrap();
        home.storage
            .replace(&to.join("events/topic.spec"), &spec)
            .unwrap();
        crate::parts::lay_out(&home.storage, parts, folder, &to.join("events/0"), |_| true)
            .unwrap();
        let storage = Arc::new(home.storage.clone());
        let (other, findings) = Log::open(storage, home.clock.clone(), to).unwrap();
        assert_eq!(findings, []);
        assert_eq!(seen(&other.topic("events").unwrap(), 0), before[0]);
    }
}

#[test]
fn what_is_interrupted_anywhere_leaves_the_old_file_or_the_new_one() {
    let (home, log) = long();
    let before = all_seen(&log, "events");
    let target = log.topic("events").unwrap().segments(0).unwrap()[1].base;
    drop(log);
    let (mut old, mut new) = (0, 0);
    for fault in [Fault::Io, Fault::NoSpace, Fault::Short] {
        for operation in 1.. {
            let home = home.fork();
            let (log, _) = home.open().unwrap();
            let operations = home.storage.operations();
            home.storage.fail_from(operations + operation, fault);
            let done = log.optimize("events", 0, target, false, &mut || true);
            let over = home.storage.operations() < operations + operation;
            // This process reads on, whatever failed.
            home.storage.heal();
            assert_eq!(all_seen(&log, "events"), before, "{fault:?} {operation}");
            home.storage
                .fail_from(home.storage.operations() + 1, Fault::Io);
            drop(log);
            home.storage.crash();
            let (log, findings) = home.open().unwrap();
            assert_eq!(findings, [], "{fault:?} {operation}");
            assert_eq!(all_seen(&log, "events"), before, "{fault:?} {operation}");
            let names = home.storage.list(Path::new("log/events/0")).unwrap();
            assert!(
                !names
                    .iter()
                    .any(|name| name.ends_with(crate::optimize::UNFINISHED))
            );
            let is_new = !log
                .topic("events")
                .unwrap()
                .unsettled(0)
                .unwrap()
                .is_empty()
                && log
                    .optimize("events", 0, target, true, &mut || true)
                    .unwrap()
                    .is_some_and(|told| told.frames == 1);
            *(if is_new { &mut new } else { &mut old }) += 1;
            assert!(is_new || !over, "what was answered holds");
            assert!(over == done.is_ok_and(|told| told.is_some_and(|told| told.done)) || is_new);
            let again = log.append(append_of(rows(5000..5003), None)).unwrap();
            assert_eq!(again.rows, 3);
            optimized(&log, "events");
            let now = all_seen(&log, "events");
            assert_eq!(now[0][..before[0].len()], before[0]);
            if over {
                break;
            }
        }
    }
    assert!(old > 15 && new > 3, "{old} old, {new} new");
}

#[test]
fn no_flipped_bit_of_a_merged_frame_gives_a_wrong_answer_or_a_silent_loss() {
    let home = Home::new(9);
    let log = home.opened(1);
    for i in 0..14 {
        log.append(append_of(rows(i * 3..i * 3 + 3), Some(i as u64 * 3 + 1)))
            .unwrap();
    }
    let done = optimized(&log, "events");
    assert!(!done.is_empty());
    let whole = read(&log, "events").0;
    drop(log);
    let path = Path::new("log/events/0").join(&done[0].file);
    let (mut reported, mut lost) = (0, 0);
    for without_footer in [false, true] {
        for bit in 0..(64 + done[0].bytes_after as usize) * 8 {
            let fork = home.fork();
            fork.storage.flip(&path, bit);
            if without_footer {
                let footer = path.with_extension("footer");
                fork.storage.remove(&footer).unwrap();
            }
            let (log, findings) = fork.open().unwrap();
            let (ids, damage) = read(&log, "events");
            if ids == whole {
                continue;
            }
            reported += 1;
            let told = findings.iter().any(|f| f.acknowledged) || !damage.is_empty();
            assert!(told, "bit {bit}: {findings:?}");
            let mut rest = whole[0].iter();
            assert!(
                ids[0].iter().all(|id| rest.any(|other| other == id)),
                "bit {bit}"
            );
            lost = lost.max(whole[0].len() - ids[0].len());
            assert!(
                lost as u64 <= done[0].rows,
                "bit {bit}: more is missing than was damaged"
            );
            for error in &damage {
                let Error::Damaged {
                    topic,
                    partition,
                    first,
                    last,
                    ..
                } = error
                else {
                    panic!("{error}");
                };
                assert_eq!((topic.as_str(), *partition), ("events", 0));
                assert!(first.0 == 0 && last.0 < done[0].rows, "{error}");
            }
            // It stays as it is for the one who repairs it.
            let refused = log.optimize("events", 0, Offset(0), false, &mut || true);
            if let Ok(told) = refused {
                assert!(!told.unwrap().done);
            }
        }
    }
    assert!(
        reported > 2000 && lost as u64 == done[0].rows,
        "{reported}, {lost}"
    );
}

/// A segment with damage is not encoded anew: nothing of it would be left to repair.
#[test]
fn a_damaged_segment_stays_as_it_is() {
    let (home, log) = long();
    let base = log.topic("events").unwrap().segments(0).unwrap()[1].base;
    drop(log);
    let path = Path::new("log/events/0").join(segment_name(base));
    let whole = home.storage.read(&path).unwrap();
    home.storage.flip(&path, (64 + 400) * 8);
    let (log, _) = home.open().unwrap();
    let refused = log.optimize("events", 0, base, false, &mut || true);
    assert!(matches!(refused, Err(Error::Damaged { .. })), "{refused:?}");
    assert!(
        !log.topic("events")
            .unwrap()
            .unsettled(0)
            .unwrap()
            .contains(&base)
    );
    let mut now = home.storage.read(&path).unwrap();
    now[64 + 400] ^= 1;
    assert_eq!(now, whole);
}

#[test]
fn what_happens_to_a_segment_meanwhile_comes_first() {
    let (home, log) = long();
    let topic = log.topic("events").unwrap();
    let segments = topic.segments(0).unwrap();
    let (first, third) = (segments[0].base, segments[3].base);
    let before = all_seen(&log, "events");
    // Retention takes it.
    let trimmed = log.optimize("events", 0, first, false, &mut || {
        log.trim("events", 0, third).unwrap();
        true
    });
    assert_eq!(trimmed.unwrap(), None);
    assert_eq!(topic.start(0), third);
    let names = home.storage.list(Path::new("log/events/0")).unwrap();
    assert!(
        names
            .iter()
            .all(|name| base_of(name).is_none_or(|base| base >= third))
    );
    // The host ends.
    let given_up = log.optimize("events", 0, third, false, &mut || false);
    assert_eq!(given_up.unwrap(), None);
    let names = home.storage.list(Path::new("log/events/0")).unwrap();
    assert!(
        !names
            .iter()
            .any(|name| name.ends_with(crate::optimize::UNFINISHED))
    );
    // And goes on, with a trim of what is new.
    assert!(optimized(&log, "events").len() > 4);
    let fifth = segments[5].base;
    let went = log.trim("events", 0, fifth).unwrap();
    assert_eq!(went.rows, fifth.0 - third.0);
    let kept = before[0]
        .iter()
        .skip_while(|s| s.header.base_offset < fifth || s.header.rows == 0);
    let now = seen(&topic, 0);
    let now_rows = now.iter().skip_while(|s| s.header.rows == 0);
    assert!(now_rows.eq(kept));
    drop((topic, log));
    let (log, findings) = home.open().unwrap();
    assert_eq!(findings, []);
    assert_eq!(seen(&log.topic("events").unwrap(), 0), now);
}

#[test]
fn a_topic_that_was_made_anew_meanwhile_is_not_touched() {
    let home = Home::new(6);
    let log = home.opened(1);
    let fill = |from: u64| {
        log.declare(derived_spec()).unwrap();
        let mut writer = log.derived("clean", 0).unwrap();
        for i in from..from + 30 {
            let (batch, origins) = derived_frame(i * 10 + 1, i * 10 + 8);
            writer.append(&batch, &origins).unwrap();
            let end = writer.sync().unwrap();
            writer.publish(end);
        }
    };
    fill(0);
    let told = log.optimize("clean", 0, Offset(0), false, &mut || {
        log.drop_derived("clean").unwrap();
        fill(100);
        true
    });
    assert_eq!(told.unwrap(), None);
    let new = all_seen(&log, "clean");
    assert_eq!(
        new[0][0].origins.as_ref().unwrap().runs[0].sequence,
        Sequence(1001)
    );
    assert!(!optimized(&log, "clean").is_empty());
    assert_eq!(all_seen(&log, "clean"), new);
}

/// A commit may be older than segments that are sealed: a savepoint was restored, or a crash came at the wrong moment.
#[test]
fn a_derived_topic_is_cut_inside_of_a_merged_frame() {
    let home = Home::new(6);
    let log = home.opened(1);
    log.declare(derived_spec()).unwrap();
    let mut writer = log.derived("clean", 0).unwrap();
    let mut ends = vec![(Offset(0), Sequence(0))];
    for i in 0..40 {
        let (batch, origins) = derived_frame(i * 10 + 1, i * 10 + 8);
        writer.append(&batch, &origins).unwrap();
        let (batch, quiet) = derived_frame(i * 10 + 10, i * 10 + 10);
        writer.append(&batch, &quiet).unwrap();
        let end = writer.sync().unwrap();
        writer.publish(end);
        ends.push((end, Sequence(i * 10 + 10)));
    }
    drop(writer);
    let before = all_seen(&log, "clean").remove(0);
    let done = optimized(&log, "clean");
    assert!(
        done.len() > 3 && done.iter().all(|told| told.frames_after == 1),
        "{done:?}"
    );
    assert_eq!(all_seen(&log, "clean")[0], before);
    drop(log);
    let mut splits = 0;
    for (i, &(end, cut)) in ends.iter().enumerate() {
        for operation in (0..).step_by(1 + i % 3) {
            let home = home.fork();
            let (log, _) = home.open().unwrap();
            let operations = home.storage.operations();
            // With the power cut at each operation of it.
            home.storage
                .fail_from(operations + 1 + operation, Fault::Io);
            let cut_done = log.cut_derived("clean", 0, end, cut);
            let over = home.storage.operations() < operations + 1 + operation;
            assert_eq!(cut_done.is_ok(), over);
            home.storage
                .fail_from(home.storage.operations() + 1, Fault::Io);
            drop(log);
            home.storage.crash();
            let (log, _) = home.open().unwrap();
            log.cut_derived("clean", 0, end, cut).unwrap();
            let kept = before.iter().filter(|s| s.header.sequence <= cut);
            let topic = log.topic("clean").unwrap();
            assert!(seen(&topic, 0).iter().eq(kept), "cut {cut}");
            // What is computed again goes behind it.
            let mut writer = log.derived("clean", 0).unwrap();
            let (batch, origins) = derived_frame(cut.0 + 1, cut.0 + 8);
            writer.append(&batch, &origins).unwrap();
            let end = writer.sync().unwrap();
            writer.publish(end);
            let last = seen(&topic, 0).pop().unwrap();
            assert_eq!(last.origins, Some(origins));
            if over {
                let split = done.iter().any(|told| {
                    let base = told.base.0;
                    base < ends[i].0.0 && ends[i].0.0 < base + told.rows
                });
                splits += u32::from(split);
                break;
            }
        }
    }
    assert!(splits > 15, "{splits}");
}

#[test]
fn a_format_of_a_later_release_is_refused_and_not_taken_for_damage() {
    let (home, log) = long();
    optimized(&log, "events");
    let segments = log.topic("events").unwrap().segments(0).unwrap();
    drop(log);
    for base in [segments[1].base, segments.last().unwrap().base] {
        let home = home.fork();
        let path = Path::new("log/events/0").join(segment_name(base));
        let mut head = home.storage.read(&path).unwrap()[..64].to_vec();
        head[7] = 3;
        head[60..].fill(0);
        let check = crate::checksum::crc32c(&head);
        head[60..].copy_from_slice(&check.to_le_bytes());
        home.storage.overwrite(&path, 0, &head);
        let before = home.storage.read(&path).unwrap();
        let refused = home.open().unwrap_err().to_string();
        assert!(refused.contains("a later release wrote"), "{refused}");
        assert_eq!(home.storage.read(&path).unwrap(), before);
    }
}

#[derive(Clone, Debug)]
enum Act {
    Append(u8, u8),
    Optimize,
    Trim(u8),
    Seal,
    Reopen,
    Crash(u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (1u8..30, 0u8..4).prop_map(|(rows, who)| Act::Append(rows, who)),
        3 => Just(Act::Optimize),
        1 => (0u8..=60).prop_map(Act::Trim),
        2 => Just(Act::Seal),
        1 => Just(Act::Reopen),
        2 => (1u8..40).prop_map(Act::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens: frames that were seen once are seen again as they were, unless they were removed; a producer's
    /// rows are there once.
    #[test]
    fn random_lives_of_logs_that_are_encoded_anew(acts in prop::collection::vec(act(), 1..50), seed in 0u64..1000) {
        let home = Home::new(seed);
        let mut log = home.opened(1);
        let mut known: Vec<Seen> = Vec::new();
        let mut numbers = [0u64; 4];
        let mut id = 0;
        for act in acts {
            let topic = log.topic("events").unwrap();
            match act {
                Act::Append(count, who) => {
                    let mut append = append_of(rows(id..id + i64::from(count)), None);
                    if who > 0 {
                        let first_row = numbers[usize::from(who)] + 1;
                        numbers[usize::from(who)] += u64::from(count);
                        append.producer = Some(Producer { name: format!("p{who}"), first_row });
                    }
                    id += i64::from(count);
                    let done = log.append(append).unwrap();
                    prop_assert_eq!((done.rows, done.duplicates), (u64::from(count), 0));
                }
                Act::Optimize => drop(optimized(&log, "events")),
                Act::Trim(percent) => {
                    let to = Offset(topic.end(0).0 * u64::from(percent) / 100);
                    log.trim("events", 0, to).unwrap();
                }
                Act::Seal => log.seal("events", 0).unwrap(),
                Act::Reopen => {
                    drop((topic, log));
                    log = home.opened(1);
                }
                Act::Crash(operation) => {
                    let now = home.storage.operations();
                    home.storage.fail_from(now + u64::from(operation), Fault::Io);
                    let mut from = Some(Offset(0));
                    while let Some(base) = from {
                        let told = log.optimize("events", 0, base, false, &mut || true);
                        from = told.ok().flatten().and_then(|told| told.next);
                    }
                    home.storage.fail_from(home.storage.operations() + 1, Fault::Io);
                    drop((topic, log));
                    home.storage.crash();
                    let (opened, findings) = home.open().unwrap();
                    prop_assert!(!findings.iter().any(|f| f.acknowledged), "{:?}", findings);
                    log = opened;
                }
            }
            let topic = log.topic("events").unwrap();
            let start = topic.start(0);
            known.retain(|s| s.header.base_offset >= start);
            let now = seen(&topic, 0);
            prop_assert!(now.len() >= known.len());
            prop_assert_eq!(&now[..known.len()], &known[..]);
            known = now;
            for (who, rows_to) in (0..).zip(numbers) {
                if rows_to > 0 {
                    let append = Append {
                        producer: Some(Producer { name: format!("p{who}"), first_row: 1 }),
                        ..append_of(rows(0..rows_to as i64), None)
                    };
                    let again = log.append(append).unwrap();
                    prop_assert_eq!((again.rows, again.duplicates), (0, rows_to));
                }
            }
        }
        let topic = log.topic("events").unwrap();
        let ways = found(&topic, 0);
        log.seal("events", 0).unwrap();
        optimized(&log, "events");
        prop_assert_eq!(found(&topic, 0), ways);
    }
}
