//! The rounds that nodes make of what comes, laid out by the rules of a run (`run/cadence`) without one: moment by moment, as a
//! clock jumps that stands still while work is done. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use refrain_log::ids::{Sequence, Timestamp};

use super::arrivals::Arrival;
use crate::pipeline::Rhythm;
use crate::run::cadence::{Cadence, Ended, Way};
use crate::run::time::stopwatch;
use crate::tiers::graph::{From, Graph};

/// A round that ends with a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Round {
    /// When it is, in microseconds.
    pub time_us: i64,
    /// It takes what comes after this,
    pub after: Sequence,
    /// up to this.
    pub cut: Sequence,
    /// Frames that it takes.
    pub frames: f64,
    /// Rows in them.
    pub rows: f64,
    /// Whether it is the last of a pass.
    pub ends_pass: bool,
}

/// What is known of a node beside its rhythm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// Rows that it writes for one that it takes.
    pub out: f64,
    /// Work for a row that it takes, in nanoseconds.
    pub row_ns: f64,
}

impl Default for Known {
    fn default() -> Known {
        Known {
            out: 1.0,
            row_ns: 0.0,
        }
    }
}

/// The rounds that a node makes of what comes to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// Rows that come to it in all, by sequence: how many there are up to each.
    rows: Vec<(Sequence, f64)>,
    /// Its rounds.
    pub rounds: Vec<Round>,
    /// Rounds that found nothing to commit.
    pub idle_rounds: u64,
}

impl Layout {
    /// Rows that its rounds take.
    pub fn rows(&self) -> f64 {
        self.rounds.iter().map(|round| round.rows).sum()
    }

    /// Frames that its rounds take.
    pub fn frames(&self) -> f64 {
        self.rounds.iter().map(|round| round.frames).sum()
    }

    /// Passes that have come to their end.
    pub fn passes(&self) -> usize {
        self.rounds.iter().filter(|round| round.ends_pass).count()
    }

    /// The sequence after which so many rows at most come up to this one.
    fn back(&self, until: Sequence, rows: f64) -> Sequence {
        let from = rows_until(&self.rows, until) - rows;
        let place = self.rows.partition_point(|(_, sum)| *sum < from);
        match from > 0.0 {
            true => self.rows.get(place).map_or(until, |(at, _)| *at).min(until),
            false => self
                .rows
                .first()
                .map_or(until, |(at, _)| Sequence(at.0.saturating_sub(1))),
        }
    }
}

/// What comes to a pipeline, and until when it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Arriving<'a> {
    /// When frames came to source topics.
    pub sources: &'a BTreeMap<String, Vec<Arrival>>,
    /// Rounds begin until then; none: until all is taken.
    pub until_us: Option<i64>,
}

/// Lays out the rounds of all nodes of a graph when they run so. A node that has none by the end makes one pass then.
pub fn simulate(
    graph: &Graph,
    rhythms: &[Rhythm],
    known: &[Known],
    arriving: Arriving<'_>,
) -> Vec<Layout> {
    let mut play = Play::new(graph, rhythms, known, arriving);
    play.go(arriving.until_us.unwrap_or(i64::MAX));
    play.give_each_a_pass(arriving.until_us);
    let actors = play.actors.into_iter();
    actors
        .map(|actor| Layout {
            rows: actor.rows,
            rounds: actor.rounds,
            idle_rounds: actor.idle_rounds,
        })
        .collect()
}

/// A node that is played.
struct Actor {
    inputs: Vec<From>,
    known: Known,
    cadence: Cadence,
    frontier: Sequence,
    /// The round under way: its cut.
    at_work: Option<Sequence>,
    /// Rows up to each sequence.
    rows: Vec<(Sequence, f64)>,
    rounds: Vec<Round>,
    idle_rounds: u64,
}

/// A run without work.
struct Play {
    actors: Vec<Actor>,
    /// Frames of each source: the sequence of each.
    frames: Vec<Vec<Sequence>>,
    /// When the log was durable up to which sequence.
    durable: Vec<(i64, Sequence)>,
    /// How much of that has come.
    come: usize,
    now_us: i64,
    /// The same moment on both clocks.
    began: (Instant, i64),
    commit_interval: Duration,
}

impl Play {
    fn new(graph: &Graph, rhythms: &[Rhythm], known: &[Known], arriving: Arriving<'_>) -> Play {
        let mut durable: Vec<(i64, Sequence)> = Vec::new();
        let mut frames = Vec::new();
        for source in &graph.sources {
            let arrivals = arriving.sources.get(&source.name);
            let arrivals = arrivals.into_iter().flatten();
            durable.extend(arrivals.clone().map(|a| (a.time_us, a.sequence)));
            let mut its: Vec<Sequence> = arrivals.map(|a| a.sequence).collect();
            its.sort_unstable();
            frames.push(its);
        }
        durable.sort_unstable();
        let now_us = durable.first().map_or(0, |first| first.0);
        let before = durable.iter().map(|(_, sequence)| sequence.0).min();
        let before = Sequence(before.unwrap_or(1).saturating_sub(1));
        let began = (stopwatch(), now_us);
        let taken = taken(graph, known, arriving.sources);
        let nodes = graph.nodes.iter().zip(rhythms).zip(known).zip(taken);
        let actors = nodes.map(|(((node, rhythm), known), taken)| {
            let mut cadence = Cadence::new(rhythm.clone(), None, began.0);
            // Periods as if counted from the epoch, so that those of all nodes have begun together.
            if let Rhythm::Every(period) = rhythm {
                let wait_us = (-now_us).rem_euclid((*period).max(1));
                cadence.due = began.0 + Duration::from_micros(wait_us.unsigned_abs());
            }
            if let Rhythm::Cron(cron) = rhythm {
                cadence.tick = cron.next_after(Timestamp(now_us - 1));
            }
            Actor {
                inputs: node.inputs.clone(),
                known: *known,
                cadence,
                frontier: before,
                at_work: None,
                rows: sums(taken),
                rounds: Vec::new(),
                idle_rounds: 0,
            }
        });
        Play {
            actors: actors.collect(),
            frames,
            durable,
            come: 0,
            now_us,
            began,
            commit_interval: Duration::from_micros(graph.commit_interval_us.unsigned_abs()),
        }
    }
}

impl Play {
    /// Goes from moment to moment.
    fn go(&mut self, until_us: i64) {
        loop {
            while self
                .durable
                .get(self.come)
                .is_some_and(|(at, _)| *at <= self.now_us)
            {
                self.come += 1;
            }
            self.moment(true);
            match self.next_us() {
                Some(next) if next <= until_us => self.jump(next),
                _ => return,
            }
        }
    }

    /// Nodes without a round go to the end of the log then, each after those above it.
    fn give_each_a_pass(&mut self, at_us: Option<i64>) {
        self.now_us = at_us.unwrap_or(self.now_us).max(self.now_us);
        let durable = self.durable();
        for actor in &mut self.actors {
            if actor.rounds.is_empty() && actor.cadence.rhythm != Rhythm::Continuous {
                actor.cadence.goal = Some(durable);
            }
        }
        self.moment(false);
    }

    fn durable(&self) -> Sequence {
        let come = &self.durable[..self.come];
        come.last().map_or(Sequence(0), |(_, sequence)| *sequence)
    }

    fn now(&self) -> Instant {
        let us = self.now_us.saturating_sub(self.began.1);
        self.began.0 + Duration::from_micros(us.unsigned_abs())
    }

    fn moment_us(&self, at: Instant) -> i64 {
        let us = at.saturating_duration_since(self.began.0).as_micros();
        self.began
            .1
            .saturating_add(i64::try_from(us).unwrap_or(i64::MAX))
    }

    fn jump(&mut self, to_us: i64) {
        self.now_us = to_us.max(self.now_us);
        let (now, wall) = (self.now(), Timestamp(self.now_us));
        let resting = self.actors.iter_mut().filter(|a| a.cadence.goal.is_none());
        resting.for_each(|actor| actor.cadence.skip(now, wall));
    }

    /// When something can happen next: rows come, or a node that has not taken all begins by its rhythm.
    fn next_us(&self) -> Option<i64> {
        let mut ways: Vec<Way> = Vec::with_capacity(self.actors.len());
        for (place, actor) in self.actors.iter().enumerate() {
            let inputs = self.inputs(place, &ways);
            ways.push(actor.cadence.way(actor.frontier, false, &inputs));
        }
        let due = |(place, actor): (usize, &Actor)| {
            let inputs = self.inputs(place, &ways);
            let input = inputs.iter().map(|input| input.leads_to).min()?;
            if actor.cadence.goal.is_some() || input <= actor.frontier {
                return None;
            }
            match actor.cadence.rhythm {
                Rhythm::Once => None,
                Rhythm::Every(_) => Some(self.moment_us(actor.cadence.due)),
                Rhythm::Cron(_) => actor.cadence.tick.map(|tick| tick.0),
                Rhythm::Continuous => {
                    (self.reach(place) > actor.frontier).then(|| self.moment_us(actor.cadence.due))
                }
            }
        };
        let dues = self.actors.iter().enumerate().filter_map(due);
        let arrival = self.durable.get(self.come).map(|(at, _)| *at);
        dues.chain(arrival).min()
    }

    /// All rounds that begin now. Those that have begun together end together, since work takes no time.
    fn moment(&mut self, wakes: bool) {
        let (now, wall) = (self.now(), Timestamp(self.now_us));
        loop {
            let mut ways: Vec<Way> = Vec::with_capacity(self.actors.len());
            for place in 0..self.actors.len() {
                let inputs = self.inputs(place, &ways);
                if wakes {
                    self.actors[place].cadence.wake(now, wall, &inputs);
                }
                let reach = self.reach(place);
                let actor = &mut self.actors[place];
                let waits = actor.cadence.waits(actor.frontier, reach, &inputs);
                if actor.cadence.may_begin(now) && reach > actor.frontier && !waits {
                    actor.at_work = Some(actor.cadence.cut(actor.frontier, reach));
                }
                let is_at_work = actor.at_work.is_some();
                ways.push(actor.cadence.way(actor.frontier, is_at_work, &inputs));
            }
            for actor in &mut self.actors {
                if actor.cadence.is_reached(actor.frontier) && actor.at_work.is_none() {
                    actor.cadence.goal = None;
                }
            }
            if self.actors.iter().all(|actor| actor.at_work.is_none()) {
                return;
            }
            for place in 0..self.actors.len() {
                if let Some(cut) = self.actors[place].at_work.take() {
                    self.end_round(place, cut);
                }
            }
        }
    }

    /// How far the inputs of a node have got, when it is known of the nodes before it.
    fn inputs(&self, place: usize, ways: &[Way]) -> Vec<Way> {
        let inputs = self.actors[place].inputs.iter();
        let way = |from: &From| match from {
            From::Topic(_) => Way::rests(self.durable()),
            From::Node(above) => ways[*above],
        };
        inputs.map(way).collect()
    }

    /// How far a node could go now: as far as its slowest input.
    fn reach(&self, place: usize) -> Sequence {
        let got = |from: &From| match from {
            From::Topic(_) => self.durable(),
            From::Node(place) => self.actors[*place].frontier,
        };
        let actor = &self.actors[place];
        let input = actor.inputs.iter().map(got).min();
        actor.cadence.reach(input.unwrap_or_default())
    }

    fn end_round(&mut self, place: usize, cut: Sequence) {
        let after = self.actors[place].frontier;
        let frames = self.frames(place, after, cut);
        let now = self.now();
        self.actors[place].frontier = cut;
        let behind = self.reach(place) > cut;
        let (interval, time_us) = (self.commit_interval, self.now_us);
        let actor = &mut self.actors[place];
        let rows = rows_until(&actor.rows, cut) - rows_until(&actor.rows, after);
        let reached = actor.cadence.is_reached(cut);
        if reached || frames > 0 {
            actor.rounds.push(Round {
                time_us,
                after,
                cut,
                frames: frames as f64,
                rows,
                ends_pass: reached || actor.cadence.rhythm == Rhythm::Continuous,
            });
        } else {
            actor.idle_rounds += 1;
        }
        let took = (rows * actor.known.row_ns).min(u64::MAX as f64) as u64;
        let ended = Ended {
            began: now,
            now,
            took: Duration::from_nanos(took),
            behind,
            crowded: 0,
        };
        let wanted = actor.cadence.wanted(interval);
        actor.cadence.pace(interval, wanted, ended);
    }

    /// Frames between two cuts of a node's input; of a node above it one for each of its rounds.
    fn frames(&self, place: usize, after: Sequence, cut: Sequence) -> usize {
        let of = |from: &From| match from {
            From::Topic(place) => {
                let frames = &self.frames[*place];
                frames.partition_point(|s| *s <= cut) - frames.partition_point(|s| *s <= after)
            }
            From::Node(place) => {
                let rounds = &self.actors[*place].rounds;
                let first = rounds.partition_point(|round| round.cut <= after);
                let rounds = rounds[first..].iter().take_while(|round| round.after < cut);
                rounds.filter(|round| round.frames > 0.0).count()
            }
        };
        self.actors[place].inputs.iter().map(of).sum()
    }
}

/// Rows that come to each node, by sequence.
fn taken(
    graph: &Graph,
    known: &[Known],
    sources: &BTreeMap<String, Vec<Arrival>>,
) -> Vec<Vec<(Sequence, f64)>> {
    let mut taken: Vec<Vec<(Sequence, f64)>> = Vec::new();
    for node in &graph.nodes {
        let mut all: Vec<(Sequence, f64)> = Vec::new();
        for from in &node.inputs {
            match from {
                From::Topic(place) => {
                    let arrivals = sources.get(&graph.sources[*place].name);
                    let arrivals = arrivals.into_iter().flatten();
                    all.extend(arrivals.map(|a| (a.sequence, a.rows)));
                }
                From::Node(place) => {
                    let out = known[*place].out;
                    all.extend(taken[*place].iter().map(|(at, rows)| (*at, rows * out)));
                }
            }
        }
        all.sort_unstable_by_key(|(sequence, _)| *sequence);
        all.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            earlier.1 += if same { later.1 } else { 0.0 };
            same
        });
        taken.push(all);
    }
    taken
}

fn sums(taken: Vec<(Sequence, f64)>) -> Vec<(Sequence, f64)> {
    let mut sum = 0.0;
    let taken = taken.into_iter();
    let sums = taken.map(|(at, rows)| {
        sum += rows;
        (at, sum)
    });
    sums.collect()
}

fn rows_until(sums: &[(Sequence, f64)], sequence: Sequence) -> f64 {
    let place = sums.partition_point(|(at, _)| *at <= sequence);
    place.checked_sub(1).map_or(0.0, |last| sums[last].1)
}

/// Rounds to be tried out, the newest that there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Excerpt {
    /// Rows from here on, up to the first round, warm up.
    pub from: Sequence,
    /// The first round begins after this.
    pub after: Sequence,
    /// The rounds.
    pub rounds: Vec<Round>,
}

/// The newest rounds of a layout, of so many rows and so many rounds at most, the last one in part if it has more, and as much
/// again to warm up with as a tenth of it.
pub fn excerpt(layout: &Layout, rows_max: f64, rounds_max: usize) -> Excerpt {
    let Some(last) = layout.rounds.last() else {
        return Excerpt::default();
    };
    let mut rows = 0.0;
    let newest = layout.rounds.iter().rev().take(rounds_max);
    let fits = newest.take_while(|round| {
        rows += round.rows;
        rows <= rows_max
    });
    let mut rounds: Vec<Round> = fits.copied().collect();
    rounds.reverse();
    if rounds.is_empty() {
        let after = layout.back(last.cut, rows_max);
        let rows = rows_until(&layout.rows, last.cut) - rows_until(&layout.rows, after);
        rounds.push(Round {
            after,
            frames: (last.frames * rows / last.rows.max(1.0)).max(1.0),
            rows,
            ..*last
        });
    }
    let after = rounds.first().map_or(last.cut, |round| round.after);
    Excerpt {
        from: layout.back(after, rows_max / 10.0),
        after,
        rounds,
    }
}

/// For tests: the rounds of one node.
#[cfg(test)]
pub fn of_one(rhythm: &Rhythm, arrivals: Vec<Arrival>, commit_interval_us: i64) -> Layout {
    tests::chain(
        std::slice::from_ref(rhythm),
        arrivals,
        None,
        commit_interval_us,
    )
    .remove(0)
}

#[cfg(test)]
mod tests;
