//! What a log does on a good day.

use super::*;
use crate::frame::{FrameKind, OriginRun, Origins};
use crate::segments::{Draft, SegmentOptions, Segments};
use crate::storage::DiskStorage;

#[test]
fn rows_come_back_in_order_and_after_a_restart() {
    let home = Home::new(1);
    let log = home.opened(3);
    for i in 0..40 {
        let done = log
            .append(append_of(rows(i * 10..i * 10 + 10), None))
            .unwrap();
        assert_eq!((done.rows, done.duplicates, done.rejected), (10, 0, 0));
        assert_eq!(done.sequence, log.durable());
    }
    let before = read(&log, "events").0;
    assert_eq!(all(&log), (0..400).collect::<Vec<_>>());
    let sequence = log.durable();
    drop(log);
    let log = home.opened(3);
    assert_eq!(read(&log, "events").0, before);
    assert_eq!(log.durable(), sequence);
    assert!(log.append(append_of(rows([7]), None)).unwrap().sequence > sequence);
    let topic = log.topic("events").unwrap();
    assert_eq!(topic.time_max(), Some(Timestamp(NOW.0 - 1000 + 399)));
    for partition in 0..3 {
        cursors_agree(&topic, partition);
    }
}

/// Every way to come to a frame leads to the same frame.
pub(super) fn cursors_agree(topic: &Topic, partition: u32) {
    let mut cursor = topic.cursor(partition, Offset(0)).unwrap();
    let mut frames = Vec::new();
    while let Some(peeked) = cursor.peek().unwrap() {
        assert!(cursor.next(Sequence(peeked.0 - 1)).unwrap().is_none());
        frames.push(cursor.next(peeked).unwrap().unwrap());
    }
    let all = Sequence(u64::MAX);
    let mut newest = None;
    for (i, frame) in frames.iter().enumerate() {
        let header = frame.header();
        let before = topic.time_max_before(partition, header.base_offset);
        assert_eq!(before.unwrap(), newest);
        newest = newest.max(header.times.map(|(_, max)| max));
        for offset in header.base_offset.0..header.base_offset.0 + u64::from(header.rows) {
            let found = topic
                .cursor(partition, Offset(offset))
                .unwrap()
                .next(all)
                .unwrap()
                .unwrap();
            assert_eq!(found.header().sequence, header.sequence);
        }
        let next = topic
            .cursor_after(partition, header.sequence)
            .unwrap()
            .next(all)
            .unwrap();
        let wanted = frames.get(i + 1).map(|f| f.header().sequence);
        assert_eq!(next.map(|f| f.header().sequence), wanted);
        let (_, time) = header.times.unwrap();
        let found = topic.seek_time(partition, time).unwrap();
        let first = frames
            .iter()
            .find(|f| f.header().times.unwrap().1 >= time)
            .unwrap();
        assert_eq!(found, first.header().base_offset);
    }
}

#[test]
fn a_repeated_append_adds_nothing_twice() {
    let home = Home::new(2);
    let log = home.opened(3);
    log.append(append_of(rows(0..50), Some(1))).unwrap();
    let again = log.append(append_of(rows(0..50), Some(1))).unwrap();
    assert_eq!((again.rows, again.duplicates), (0, 50));
    drop(log);
    let log = home.opened(3);
    for first in (0..100).step_by(7) {
        let ids = first..(first + 7).min(100);
        log.append(append_of(rows(ids), Some(first as u64 + 1)))
            .unwrap();
    }
    assert_eq!(all(&log), (0..100).collect::<Vec<_>>());
}

#[test]
fn rows_that_cannot_be_are_rejected_with_a_reason() {
    let home = Home::new(3);
    let log = home.opened(1);
    let far = NOW.0 + 3_600_000_001;
    let times =
        TimestampMicrosecondArray::from(vec![NOW.0, far, i64::MAX, NOW.0]).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times),
        Arc::new(Int64Array::from(vec![1, 2, 3, 4])),
        Arc::new(StringArray::from(vec![None::<&str>; 4])),
    ];
    let batch = batch_of(&spec(1).schema, columns, 4).unwrap();
    let mut append = append_of(batch, Some(1));
    append.row_numbers = vec![1, 2, 4, 5];
    append.undecoded = vec![Undecoded {
        input: "input".into(),
        line: 3,
        row: 3,
        bytes: b"what?".to_vec(),
        reason: "no JSON".into(),
    }];
    let done = log.append(append.clone()).unwrap();
    assert_eq!((done.rows, done.rejected), (2, 3));
    let again = log.append(append).unwrap();
    assert_eq!((again.rows, again.rejected, again.duplicates), (0, 0, 5));
    let rejected = log.topic("events.rejected").unwrap();
    let frame = rejected
        .cursor(0, Offset(0))
        .unwrap()
        .next(Sequence(u64::MAX))
        .unwrap()
        .unwrap();
    let batch = frame.batch(&[3, 4, 5]).unwrap();
    let reasons = batch.column(2).as_string::<i32>();
    let reasons: Vec<_> = reasons.iter().flatten().collect();
    assert_eq!(
        reasons,
        [
            "time is more than 3600 s ahead of the time of the append",
            "no JSON",
            "time lies outside the years 1 to 9999"
        ]
    );
    let text = batch.column(1).as_binary::<i32>().value(0).to_vec();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text, format!(r#"{{"id":2,"note":null,"time":{far}}}"#));
}

#[test]
fn a_changed_declaration_is_refused_but_for_what_may_change() {
    let home = Home::new(4);
    let log = home.opened(2);
    let other = TopicSpec {
        ahead_us: 1,
        idle_us: Some(5),
        ..spec(2)
    };
    assert_eq!(log.declare(other.clone()).unwrap().spec(), &other);
    assert_eq!(
        log.declare(spec(5)).unwrap().spec(),
        &spec(5),
        "nothing was appended yet"
    );
    log.declare(spec(2)).unwrap();
    log.append(append_of(rows([1]), None)).unwrap();
    let said = log.declare(spec(3)).unwrap_err().to_string();
    assert_eq!(
        said,
        "topic events has rows under another declaration: its number of partitions changed; declare a new topic and replay into it"
    );
    let bad = TopicSpec {
        name: "../x".into(),
        ..spec(1)
    };
    assert!(log.declare(bad).is_err());
}

/// A column that the topic does not have was left out once, and nobody was told.
#[test]
fn fields_are_named_in_any_order_and_none_is_left_out() {
    let home = Home::new(4);
    let log = home.opened(1);
    log.append(append_of(rows([1]), None)).unwrap();
    let mut turned = spec(1);
    let mut fields = turned.schema.fields().to_vec();
    fields.reverse();
    turned.schema = Schema::new(fields.clone());
    assert_eq!(log.declare(turned.clone()).unwrap().spec(), &spec(1));
    let batch = rows([2, 3]);
    let turned_batch = batch.project(&[2, 1, 0]).unwrap();
    log.append(append_of(turned_batch, None)).unwrap();
    assert_eq!(all(&log), [1, 2, 3]);

    fields.insert(1, Field::new("size", Kind::I64));
    let mut columns: Vec<ArrayRef> = vec![2, 1, 0]
        .into_iter()
        .map(|i| batch.column(i).clone())
        .collect();
    columns.insert(1, Arc::new(Int64Array::from(vec![7, 7])));
    let wide = batch_of(&Schema::new(fields), columns, 2).unwrap();
    let said = log.append(append_of(wide, None)).unwrap_err().to_string();
    assert!(
        said.contains("has no field size") && said.contains("time, id, note"),
        "{said}"
    );
    assert_eq!(all(&log), [1, 2, 3]);
}

#[test]
fn a_quiet_partition_gets_one_tick() {
    let home = Home::new(5);
    let (log, _) = home.open().unwrap();
    let topic = log
        .declare(TopicSpec {
            idle_us: Some(1_000_000),
            ..spec(1)
        })
        .unwrap();
    let first = log.append(append_of(rows([1]), None)).unwrap();
    home.clock.set(Timestamp(NOW.0 + 1_000_001));
    log.wake();
    let mut durable = log.durable();
    while durable == first.sequence {
        durable = log.wait_beyond(durable, log.wakes(), Duration::from_secs(10));
    }
    let mut cursor = topic.cursor_after(0, first.sequence).unwrap();
    let tick = cursor.next(durable).unwrap().unwrap();
    assert_eq!(tick.header().kind, FrameKind::Tick);
    assert_eq!(tick.header().append_time, Timestamp(NOW.0 + 1_000_001));
    home.clock.set(Timestamp(NOW.0 + 9_000_000));
    let second = log.append(append_of(rows([2]), None)).unwrap();
    assert_eq!(second.sequence.0, durable.0 + 1);
    drop(log);
    let (log, findings) = home.open().unwrap();
    assert_eq!(findings, []);
    assert_eq!(log.durable(), second.sequence);
}

/// Source frames `from..=to`, one row for each odd one.
pub(super) fn derived_frame(from: u64, to: u64) -> (RecordBatch, Origins) {
    let mut origins = Origins::default();
    let mut ids = Vec::new();
    for sequence in from..=to {
        if sequence % 2 == 1 {
            ids.push(sequence as i64);
            origins.rows.push(sequence as u32 * 3);
            origins.watermarks.push(Timestamp(sequence as i64 / 4));
        }
        origins.runs.push(OriginRun {
            sequence: Sequence(sequence),
            append_time: NOW,
            data: sequence % 5 != 0,
            rows_end: ids.len() as u32,
            watermark: Timestamp(sequence as i64 / 4),
        });
    }
    (rows(ids), origins)
}

#[test]
fn a_derived_topic_stands_where_its_last_commit_says() {
    let home = Home::new(6);
    let log = home.opened(1);
    let topic = log.declare(derived_spec()).unwrap();
    let mut writer = log.derived("clean", 0).unwrap();
    assert!(log.derived("clean", 0).is_err(), "one writer at a time");
    let all = Sequence(u64::MAX);
    let mut ends = vec![(Offset(0), Sequence(0))];
    for i in 0..30 {
        let (batch, origins) = derived_frame(i * 10 + 1, i * 10 + 8);
        writer.append(&batch, &origins).unwrap();
        let (batch, quiet) = derived_frame(i * 10 + 10, i * 10 + 10);
        writer.append(&batch, &quiet).unwrap();
        let end = writer.sync().unwrap();
        let mut cursor = topic.cursor_after(0, Sequence(i * 10)).unwrap();
        assert!(cursor.next(all).unwrap().is_none(), "not published yet");
        writer.publish(end);
        let frame = cursor.next(all).unwrap().unwrap();
        assert_eq!(frame.origins().unwrap().unwrap(), origins);
        assert_eq!(
            cursor
                .next(all)
                .unwrap()
                .unwrap()
                .origins()
                .unwrap()
                .unwrap(),
            quiet
        );
        ends.push((end, Sequence(i * 10 + 10)));
    }
    for i in 0..40 {
        let (batch, origins) = derived_frame(1001 + i * 30, 1020 + i * 30);
        writer.append(&batch, &origins).unwrap();
        let synced = writer.sync().unwrap();
        if i == 0 {
            // The next rows are appended while the commit is under way.
            let (batch, origins) = derived_frame(1021, 1030);
            writer.append(&batch, &origins).unwrap();
            writer.publish(synced);
            assert_eq!(topic.end(0), synced);
            ends.push((synced, Sequence(1020)));
        }
    }
    writer.rollback().unwrap();
    let (batch, origins) = derived_frame(1101, 1120);
    writer.append(&batch, &origins).unwrap();
    writer.sync().unwrap();
    drop(writer);
    drop(log);
    for &(end, cut) in ends.iter().rev() {
        let fork = home.fork();
        let (log, _) = fork.open().unwrap();
        assert!(log.derived("clean", 0).is_err(), "not cut yet");
        log.cut_derived("clean", 0, end, cut).unwrap();
        let topic = log.topic("clean").unwrap();
        assert_eq!(topic.end(0), end);
        let mut cursor = topic.cursor(0, Offset(0)).unwrap();
        let mut last = Sequence(0);
        while let Some(frame) = cursor.next(all).unwrap() {
            last = frame.header().sequence;
        }
        assert_eq!(last, cut);
        let mut writer = log.derived("clean", 0).unwrap();
        let (batch, origins) = derived_frame(2001, 2020);
        writer.append(&batch, &origins).unwrap();
        let end = writer.sync().unwrap();
        writer.publish(end);
        assert_eq!(
            cursor
                .next(all)
                .unwrap()
                .unwrap()
                .origins()
                .unwrap()
                .unwrap(),
            origins
        );
    }
}

#[test]
fn segments_on_a_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("id", Kind::I64)]));
    let options = SegmentOptions {
        segment_bytes: 64 << 10,
        spare: true,
        name: "commits".into(),
        partition: 0,
    };
    let open = || {
        let storage = Arc::new(DiskStorage);
        let path = folder.path().join("commits");
        Segments::open(storage, path, options.clone(), schema.clone(), None).unwrap()
    };
    let draft = |from: i64, to: i64, sequence| Draft {
        kind: FrameKind::Close,
        sequence: Sequence(sequence),
        append_time: NOW,
        note: 0,
        rows: Some(
            batch_of(
                &schema,
                vec![Arc::new(Int64Array::from_iter_values(from..to))],
                (to - from) as usize,
            )
            .unwrap(),
        ),
    };
    let (mut segments, findings) = open();
    assert_eq!(findings, []);
    for i in 0..200 {
        segments
            .append(&[draft(i * 100, i * 100 + 100, i as u64)])
            .unwrap();
        assert_eq!(segments.sync().unwrap(), Offset(i as u64 * 100 + 100));
    }
    let mut expected = 0;
    let mut cursor = segments.cursor(Offset(0)).unwrap();
    while let Some(frame) = cursor.next(Sequence(u64::MAX)).unwrap() {
        let ids = frame.column(0).unwrap();
        for id in ids.as_primitive::<Int64Type>().values() {
            assert_eq!(*id, expected);
            expected += 1;
        }
    }
    assert_eq!(expected, 20_000);
    for i in 200..300 {
        segments
            .append(&[draft(i * 100, i * 100 + 100, i as u64)])
            .unwrap();
        if i == 260 {
            segments.rollback().unwrap();
            assert_eq!(segments.end(), Offset(20_000));
            break;
        }
    }
    for i in 200..300 {
        segments
            .append(&[draft(i * 100, i * 100 + 100, i as u64)])
            .unwrap();
    }
    assert!(cursor.next(Sequence(u64::MAX)).unwrap().is_none());
    segments.sync().unwrap();
    while let Some(frame) = cursor.next(Sequence(u64::MAX)).unwrap() {
        expected += i64::from(frame.header().rows);
    }
    assert_eq!(expected, 30_000);
    let rolled = segments.roll().unwrap();
    segments.drop_before(Offset(10_000)).unwrap();
    assert!(segments.start().0 > 0 && segments.start().0 <= 10_000);
    drop(segments);
    let (segments, findings) = open();
    assert_eq!(findings, []);
    assert_eq!(segments.end(), rolled);
    assert!(segments.start().0 > 0);
}

#[test]
fn readers_follow_many_producers_on_a_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let open = || {
        Log::open(
            Arc::new(DiskStorage),
            clock.clone(),
            folder.path().join("log"),
        )
        .unwrap()
    };
    let (log, _) = open();
    let topic = log
        .declare(TopicSpec {
            segment_bytes: 32 << 10,
            ..spec(3)
        })
        .unwrap();
    let produce = |producer: i64| {
        for i in 0..60 {
            let first = producer * 10_000 + i * 20;
            let mut append = append_of(rows(first..first + 20), Some(i as u64 * 20 + 1));
            append.producer.as_mut().unwrap().name = format!("p{producer}");
            assert_eq!(log.append(append).unwrap().rows, 20);
        }
    };
    let follow = || {
        let mut cursors: Vec<_> = (0..3)
            .map(|p| topic.cursor(p, Offset(0)).unwrap())
            .collect();
        let (mut seen, mut limit) = (0, Sequence(0));
        let mut last = [Sequence(0); 3];
        while seen < 4 * 60 * 20 {
            limit = log.wait_beyond(limit, log.wakes(), Duration::from_secs(20));
            for (cursor, last) in cursors.iter_mut().zip(&mut last) {
                while let Some(frame) = cursor.next(limit).unwrap() {
                    assert!(frame.header().sequence > *last && frame.header().sequence <= limit);
                    *last = frame.header().sequence;
                    seen += checked(&frame.batch(&[0, 1, 2]).unwrap(), &frame, Offset(0)).len();
                }
            }
        }
        assert_eq!(seen, 4 * 60 * 20);
    };
    std::thread::scope(|threads| {
        let produce = &produce;
        (0..4).for_each(|producer| drop(threads.spawn(move || produce(producer))));
        threads.spawn(follow);
    });
    let before = read(&log, "events").0;
    drop(log);
    let (log, findings) = open();
    assert_eq!(findings, []);
    assert_eq!(read(&log, "events").0, before);
}

/// Who read behind a sequence while the last segment had no frame yet was put behind everything, and missed what was left
/// of the segment before it.
#[test]
fn a_segment_without_frames_hides_nothing_before_it() {
    let home = Home::new(7);
    let log = home.opened(1);
    let first = log.append(append_of(rows(0..3), None)).unwrap();
    log.append(append_of(rows(3..5), None)).unwrap();
    log.seal("events", 0).unwrap();
    let topic = log.topic("events").unwrap();
    assert_eq!(topic.segments(0).unwrap().len(), 2);
    for (after, base) in [(Sequence(0), 0), (first.sequence, 3)] {
        let mut cursor = topic.cursor_after(0, after).unwrap();
        let frame = cursor.next(Sequence(u64::MAX)).unwrap().unwrap();
        assert_eq!(frame.header().base_offset, Offset(base));
    }
}
