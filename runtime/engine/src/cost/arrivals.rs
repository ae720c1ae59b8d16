//! When rows came to nodes, as the log says it, and which rounds they would be in another rhythm. Pure, but for reading
//! the headers of frames.

use std::collections::BTreeMap;

use refrain_log::frame::FrameKind;
use refrain_log::ids::Sequence;
use refrain_log::log::Log;

use crate::pipeline::Rhythm;
use crate::tiers::graph::{From, Graph};

/// So many of the newest frames of the host are looked at.
const FRAMES_MAX: u64 = 200_000;

/// Frames that came together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Arrival {
    /// When, in microseconds.
    pub time_us: i64,
    /// How many frames.
    pub frames: f64,
    /// Rows in them.
    pub rows: f64,
}

impl Arrival {
    fn take(&mut self, other: &Arrival) {
        self.frames += other.frames;
        self.rows += other.rows;
    }
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
                    frames: 1.0,
                    rows: f64::from(header.rows),
                });
            }
        }
    }
    found.sort_by_key(|arrival| arrival.time_us);
    found
}

/// The rounds that a node makes of what comes, each with all that it takes.
pub fn rounds(arrivals: &[Arrival], rhythm: &Rhythm, commit_interval_us: i64) -> Vec<Arrival> {
    let mut rounds: Vec<Arrival> = Vec::new();
    for arrival in arrivals {
        match rounds.last_mut() {
            // It began later: this was there by then.
            Some(last) if arrival.time_us <= last.time_us => last.take(arrival),
            last => {
                let due = last.map_or(i64::MIN, |l| l.time_us.saturating_add(commit_interval_us));
                let begins = match rhythm {
                    Rhythm::Continuous => arrival.time_us.max(due),
                    Rhythm::Every(us) => (arrival.time_us.div_euclid(*us.max(&1)) + 1) * us,
                    Rhythm::Cron(cron) => {
                        let next = cron.next_after(refrain_log::ids::Timestamp(arrival.time_us));
                        next.map_or(i64::MAX, |t| t.0)
                    }
                    Rhythm::Once => i64::MAX,
                };
                rounds.push(Arrival {
                    time_us: begins,
                    ..*arrival
                });
            }
        }
    }
    rounds
}

/// The rounds of all nodes of a graph when they run so. `out` says how many rows a node writes for one that it takes.
pub fn simulate(
    graph: &Graph,
    rhythms: &[Rhythm],
    sources: &BTreeMap<String, Vec<Arrival>>,
    out: &[f64],
) -> Vec<Vec<Arrival>> {
    let mut done: Vec<Vec<Arrival>> = Vec::new();
    for (node, rhythm) in graph.nodes.iter().zip(rhythms) {
        let mut input: Vec<Arrival> = Vec::new();
        for from in &node.inputs {
            match from {
                From::Topic(place) => {
                    let known = sources.get(&graph.sources[*place].name);
                    input.extend(known.into_iter().flatten());
                }
                From::Node(place) => input.extend(done[*place].iter().map(|round| Arrival {
                    frames: 1.0,
                    rows: round.rows * out[*place],
                    ..*round
                })),
            }
        }
        input.sort_by_key(|arrival| arrival.time_us);
        done.push(rounds(&input, rhythm, graph.commit_interval_us));
    }
    done
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn each_second(count: i64) -> Vec<Arrival> {
        let at = |i: i64| Arrival {
            time_us: i * 1_000_000 + 1,
            frames: 1.0,
            rows: 10.0,
        };
        (0..count).map(at).collect()
    }

    #[test]
    fn rhythms_make_rounds() {
        let day = each_second(86_400);
        let count = |rhythm: &str| {
            let rhythm = Rhythm::parse(rhythm).expect("a rhythm");
            rounds(&day, &rhythm, 5_000_000).len()
        };
        assert_eq!(count("continuous"), 17_281, "the first at once");
        assert_eq!(count("every 1m"), 1_440);
        assert_eq!(count("0 * * * *"), 24);
        assert_eq!(count("once"), 1);
    }

    proptest! {
        /// Nothing is lost in rounds, and none begins before what it takes has come.
        #[test]
        fn rounds_take_everything(
            mut times in prop::collection::vec(0..1_000_000_000_i64, 0..200),
            period in 1..100_000_000_i64,
        ) {
            times.sort_unstable();
            let arrivals: Vec<Arrival> = times
                .iter()
                .map(|t| Arrival { time_us: *t, frames: 1.0, rows: 2.0 })
                .collect();
            for rhythm in [Rhythm::Continuous, Rhythm::Every(period), Rhythm::Once] {
                let found = rounds(&arrivals, &rhythm, period);
                let frames: f64 = found.iter().map(|r| r.frames).sum();
                let rows: f64 = found.iter().map(|r| r.rows).sum();
                prop_assert_eq!(frames as usize, times.len());
                prop_assert_eq!(rows as usize, 2 * times.len());
                prop_assert!(found.is_sorted_by(|a, b| a.time_us < b.time_us));
            }
        }
    }
}
