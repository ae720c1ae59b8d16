//! What frames would take that ended elsewhere.

use super::life::derived_frame;
use super::*;
use crate::regroup::Looked;

const ALL: Looked = Looked {
    after: Sequence(0),
    rows_max: u64::MAX,
    frame_rows: 1_000,
};

/// A topic with a frame for each round of so many source frames, of 300, and the cuts of the rounds.
fn written(round: u64) -> (Log, Arc<Topic>, Vec<Sequence>) {
    let log = Home::new(6).opened(1);
    let topic = log
        .declare(TopicSpec {
            segment_bytes: 1 << 20,
            ..derived_spec()
        })
        .unwrap();
    let mut writer = log.derived("clean", 0).unwrap();
    let mut cuts = Vec::new();
    for from in (1..=300).step_by(round as usize) {
        let to = from + round - 1;
        let (batch, origins) = derived_frame(from, to);
        writer.append(&batch, &origins).unwrap();
        let end = writer.sync().unwrap();
        writer.publish(end);
        cuts.push(Sequence(to));
    }
    (log, topic, cuts)
}

/// However long the rounds were in which a topic was written: what it would take in others is what it takes in them.
#[test]
fn frames_that_end_elsewhere_take_what_they_take_when_written_so() {
    let rounds = [1, 2, 10, 60, 300].map(written);
    for (log, topic, cuts) in &rounds {
        let lists: Vec<&[Sequence]> = rounds.iter().map(|(_, _, cuts)| &cuts[..]).collect();
        let found = topic.bytes_cut_at(ALL, &lists).unwrap();
        let written: Vec<u64> = rounds.iter().map(|(_, topic, _)| topic.bytes()).collect();
        assert_eq!((found.rows, &found.bytes), (150, &written));
        // The newest rows alone, whole frames of them.
        let newest = Looked {
            after: Sequence(200),
            ..ALL
        };
        let found = topic.bytes_cut_at(newest, &[cuts]).unwrap();
        assert!(found.rows >= 50 && found.rows <= 150, "{found:?}");
        let newest = Looked {
            rows_max: 20,
            ..ALL
        };
        let found = topic.bytes_cut_at(newest, &[cuts]).unwrap();
        assert!(found.rows >= 20 && found.bytes[0] <= topic.bytes());
        assert!(log.topic("events").unwrap().bytes_cut_at(ALL, &[]).is_ok());
    }
    let (_, topic, _) = &rounds[0];
    // A frame ends at so many source frames, too.
    let short = Looked {
        frame_rows: 60,
        ..ALL
    };
    let found = topic.bytes_cut_at(short, &[&[Sequence(300)]]).unwrap();
    assert_eq!(found.bytes, [rounds[3].1.bytes()]);
}
