//! When rows came, as the log says it: the headers of the newest frames.

use refrain_log::frame::FrameKind;
use refrain_log::ids::Sequence;
use refrain_log::log::Log;

/// So many of the newest frames of the host are looked at.
const FRAMES_MAX: u64 = 200_000;

/// A frame that came.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Arrival {
    /// When, in microseconds.
    pub time_us: i64,
    /// Its sequence.
    pub sequence: Sequence,
    /// Rows in it.
    pub rows: f64,
}

/// The newest frames of a topic, in the order in which they came. What is damaged is left out: who reads it for a result
/// tells of it.
pub fn arrivals(log: &Log, topic: &str) -> Vec<Arrival> {
    let mut found = Vec::new();
    let Some(topic) = log.topic(topic) else {
        return found;
    };
    let after = Sequence(log.durable().0.saturating_sub(FRAMES_MAX));
    for partition in 0..topic.spec().partitions {
        let Ok(mut cursor) = topic.cursor_after(partition, after) else {
            continue;
        };
        while let Ok(Some(frame)) = cursor.next(log.durable()) {
            let header = frame.header();
            if matches!(header.kind, FrameKind::Rows | FrameKind::Tick) {
                found.push(Arrival {
                    time_us: header.append_time.0,
                    sequence: header.sequence,
                    rows: f64::from(header.rows),
                });
            }
        }
    }
    found.sort_by_key(|arrival| (arrival.time_us, arrival.sequence));
    found
}
