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
    /// The last of them.
    pub last: Sequence,
}

impl Arrival {
    fn take(&mut self, other: &Arrival) {
        self.frames += other.frames;
        self.rows += other.rows;
        self.last = self.last.max(other.last);
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
                    last: header.sequence,
                });
            }
        }
    }
    found.sort_by_key(|arrival| (arrival.time_us, arrival.last));
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
                    // What comes at the very time of a pass is there when it begins.
                    Rhythm::Every(us) => {
                        let period = (*us).max(1);
                        (arrival.time_us - 1).div_euclid(period).saturating_add(1) * period
                    }
                    Rhythm::Cron(cron) => {
                        let before = refrain_log::ids::Timestamp(arrival.time_us.saturating_sub(1));
                        let next = cron.next_after(before);
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

/// What comes to a node, and the rounds that it makes of that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// What comes, in the order in which it comes.
    pub input: Vec<Arrival>,
    /// Its rounds.
    pub rounds: Vec<Arrival>,
}

impl Layout {
    /// Rows that its rounds take.
    pub fn rows(&self) -> f64 {
        self.rounds.iter().map(|round| round.rows).sum()
    }

    /// Without rounds that begin later than this, but for the first.
    fn until(mut self, until_us: Option<i64>) -> Layout {
        let until_us = until_us.unwrap_or(i64::MAX);
        let begun = self
            .rounds
            .partition_point(|round| round.time_us <= until_us);
        self.rounds.truncate(begun.max(1));
        self
    }
}

/// The rounds of all nodes of a graph when they run so, as far as they have begun by then. `out` says how many rows a node
/// writes for one that it takes.
pub fn simulate(
    graph: &Graph,
    rhythms: &[Rhythm],
    sources: &BTreeMap<String, Vec<Arrival>>,
    out: &[f64],
    until_us: Option<i64>,
) -> Vec<Layout> {
    let mut done: Vec<Layout> = Vec::new();
    for (node, rhythm) in graph.nodes.iter().zip(rhythms) {
        let mut input: Vec<Arrival> = Vec::new();
        for from in &node.inputs {
            match from {
                From::Topic(place) => {
                    let known = sources.get(&graph.sources[*place].name);
                    input.extend(known.into_iter().flatten());
                }
                From::Node(place) => {
                    let rounds = done[*place].rounds.iter();
                    input.extend(rounds.map(|round| Arrival {
                        frames: 1.0,
                        rows: round.rows * out[*place],
                        ..*round
                    }));
                }
            }
        }
        input.sort_by_key(|arrival| (arrival.time_us, arrival.last));
        let rounds = rounds(&input, rhythm, graph.commit_interval_us);
        done.push(Layout { input, rounds }.until(until_us));
    }
    done
}

/// Rounds of one rhythm to be tried out, the newest that there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Excerpt {
    /// Rows from here on, up to the first round, warm up.
    pub from: Sequence,
    /// The first round begins after this.
    pub after: Sequence,
    /// The rounds.
    pub rounds: Vec<Arrival>,
}

/// The newest rounds that a node makes of its input, of so many rows and so many rounds at most, but of one arrival at
/// least, and as much again to warm up with as a tenth of it.
pub fn excerpt(
    input: &[Arrival],
    rhythm: &Rhythm,
    commit_interval_us: i64,
    (rows_max, rounds_max): (f64, usize),
) -> Excerpt {
    let back = |end: usize, rows_max: f64| {
        let mut rows = 0.0;
        let newest = input[..end].iter().rev();
        let fits = newest.take_while(|arrival| {
            let first = rows == 0.0;
            rows += arrival.rows.max(1e-9);
            first || rows <= rows_max
        });
        end - fits.count()
    };
    let before = |place: usize| match place {
        0 => Sequence(0),
        place => input[..place]
            .iter()
            .map(|a| a.last)
            .max()
            .unwrap_or_default(),
    };
    let first = back(input.len(), rows_max);
    let mut rounds = rounds(&input[first..], rhythm, commit_interval_us);
    let dropped = rounds.len().saturating_sub(rounds_max);
    let after = match dropped {
        0 => before(first),
        dropped => rounds[dropped - 1].last,
    };
    rounds.drain(..dropped);
    Excerpt {
        from: before(back(first, rows_max / 10.0)).min(after),
        after,
        rounds,
    }
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
            last: Sequence(i.unsigned_abs() + 1),
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

    #[test]
    fn an_excerpt_is_the_newest_rounds_that_fit() {
        let day = each_second(86_400);
        let of = |rhythm: &str, rows: f64, rounds: usize| {
            let rhythm = Rhythm::parse(rhythm).expect("a rhythm");
            excerpt(&day, &rhythm, 1, (rows, rounds))
        };
        let found = of("continuous", 1_000.0, 30);
        assert_eq!((found.rounds.len(), found.after), (30, Sequence(86_370)));
        assert!(found.from < found.after && found.from >= Sequence(86_280));
        let found = of("every 1m", 1_200.0, 30);
        assert_eq!((found.rounds.len(), found.after), (2, Sequence(86_280)));
        // A round of more rows than may be tried is tried in part.
        let found = of("0 0 * * *", 1_200.0, 30);
        assert_eq!(
            (found.rounds.len(), found.rounds[0].rows as i64),
            (1, 1_200)
        );
        assert_eq!(found.rounds[0].last, Sequence(86_400));
        assert_eq!(
            of("continuous", 1.0, 1).rounds.len(),
            1,
            "one arrival at least"
        );
        let none = excerpt(&[], &Rhythm::Continuous, 1, (10.0, 10));
        assert_eq!(none, Excerpt::default());
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
                .zip(1..)
                .map(|(t, last)| Arrival { time_us: *t, frames: 1.0, rows: 2.0, last: Sequence(last) })
                .collect();
            for rhythm in [Rhythm::Continuous, Rhythm::Every(period), Rhythm::Once] {
                let found = rounds(&arrivals, &rhythm, period);
                let frames: f64 = found.iter().map(|r| r.frames).sum();
                let rows: f64 = found.iter().map(|r| r.rows).sum();
                prop_assert_eq!(frames as usize, times.len());
                prop_assert_eq!(rows as usize, 2 * times.len());
                prop_assert!(found.is_sorted_by(|a, b| a.time_us < b.time_us && a.last < b.last));
            }
        }
    }
}
