//! When a node works: passes of a rhythm, the length of a round, how long nothing can happen.

use std::time::{Duration, Instant};

use refrain_log::ids::{Sequence, Timestamp};

use super::Run;
use super::actor::{Actor, At, Began, Upstream};
use super::cadence::{Ended, Way};
use super::options::RunReport;
use super::time::stopwatch;
use crate::accounts::runs;
use crate::error::Error;
use crate::pipeline::Rhythm;
use crate::status::Phase;

/// Wait for a time of the calendar before the clock is looked at again.
const CALENDAR_PATIENCE: Duration = Duration::from_secs(30);
/// Work between two commits of a node that nobody waits for: its commits hold up the others for a moment only.
const BACKGROUND: Duration = Duration::from_millis(100);
/// Such a node rests after a commit for so many times as long as that took: commits are made one after another, and most
/// of the time none of its stands before one that somebody waits for.
const BACKGROUND_REST: u32 = 4;
/// Wait for an event when nothing else is due.
const PATIENCE: Duration = Duration::from_secs(3600);

impl Run<'_> {
    /// How long nothing can happen without an event.
    pub(super) fn patience(&self, now: Instant) -> Duration {
        let due = |(i, a): (usize, &Actor)| match (&a.at, &a.cadence.rhythm) {
            (At::Pause(until), _) => Some(*until),
            (At::Rest, Rhythm::Cron(_)) if a.cadence.goal.is_none() => {
                a.cadence.tick.map(|tick| now + self.until(tick))
            }
            (At::Rest, Rhythm::Every(_)) if a.cadence.goal.is_none() => Some(a.cadence.due),
            (At::Rest, Rhythm::Continuous) if self.reachable(i) > a.node.frontier && !a.waits => {
                Some(a.cadence.due.max(a.rests_until))
            }
            (At::Rest, _) if self.reachable(i) > a.node.frontier && !a.waits => Some(a.rests_until),
            _ => None,
        };
        let next = self.actors.iter().enumerate().filter_map(due).min();
        match next.filter(|_| !self.stopping) {
            None => PATIENCE,
            Some(due) => due.saturating_duration_since(now),
        }
    }

    /// How far a node could go now: as far as its slowest input.
    fn reachable(&self, place: usize) -> Sequence {
        let actor = &self.actors[place];
        let input = actor.upstreams.iter().map(|u| self.got(u)).min();
        let input = input.expect("a node has an input");
        let goal = actor.cadence.reach(input);
        self.meets_at(place).map_or(goal, |cut| goal.min(cut))
    }

    pub(super) fn start_rounds(&mut self, now: Instant, report: &mut RunReport) {
        if self.stopping {
            return;
        }
        let mut ways: Vec<Way> = Vec::with_capacity(self.actors.len());
        for place in 0..self.actors.len() {
            let inputs = self.inputs(place, &ways);
            self.wake(place, now, &inputs, report);
            let reachable = self.reachable(place);
            let actor = &self.actors[place];
            let cadence = &actor.cadence;
            if cadence.rhythm == Rhythm::Continuous || cadence.goal.is_some() {
                self.board.reaches(&actor.node.setup.plan.name, reachable);
            }
            let waits = cadence.waits(actor.node.frontier, reachable, &inputs);
            let begins = cadence.may_begin(now) && now >= actor.rests_until && !waits;
            let begins = begins || self.is_awaited(place);
            // A meeting wants a commit at its very cut, though there is nothing to take.
            let frontier = actor.node.frontier;
            let empty = self.meets_at(place) == Some(frontier) && actor.node.committed < frontier;
            if begins && matches!(actor.at, At::Rest) && (reachable > frontier || empty) {
                self.start_round(place, reachable, now);
            }
            let actor = &mut self.actors[place];
            actor.waits = waits;
            ways.push(actor.way(&inputs));
        }
        self.end_passes();
        self.end_hopeless(report);
    }

    /// In a run that ends by itself: stops nodes that wait for one that will not go on.
    fn end_hopeless(&mut self, report: &mut RunReport) {
        if !self.once {
            return;
        }
        for place in 0..self.actors.len() {
            let actor = &self.actors[place];
            let frontier = actor.node.frontier;
            let stuck =
                |upstream: &Upstream| self.is_over(upstream) && self.got(upstream) <= frontier;
            if matches!(actor.at, At::Rest) && actor.upstreams.iter().any(stuck) {
                let what = format!(
                    "node {} got no further than sequence {}: a node that writes its input ({}) does not go on",
                    actor.node.setup.plan.name,
                    actor.node.frontier,
                    actor.node.setup.plan.input_names()
                );
                self.stop_node(place, Error::Refused(what), report);
            }
        }
    }

    /// How far the inputs of a node have got, when it is known of the nodes before it.
    fn inputs(&self, place: usize, ways: &[Way]) -> Vec<Way> {
        let upstreams = self.actors[place].upstreams.iter();
        let way = |upstream: &Upstream| match upstream {
            Upstream::Node(above) if *above < ways.len() => ways[*above],
            _ => Way::rests(self.got(upstream)),
        };
        upstreams.map(way).collect()
    }

    /// How far an input has got.
    pub(super) fn got(&self, upstream: &Upstream) -> Sequence {
        match upstream {
            Upstream::Source => self.log.durable(),
            Upstream::Node(upstream) => self.actors[*upstream].node.frontier,
            Upstream::Resting(cut) => *cut,
        }
    }

    /// Whether no more can come from there.
    fn is_over(&self, upstream: &Upstream) -> bool {
        match upstream {
            Upstream::Source => false,
            Upstream::Node(upstream) => matches!(self.actors[*upstream].at, At::Stopped),
            Upstream::Resting(_) => true,
        }
    }

    /// Begins what time has brought: a pass of a rhythm, another try after a pause.
    fn wake(&mut self, place: usize, now: Instant, inputs: &[Way], report: &mut RunReport) {
        let wall = self.log.now();
        let actor = &mut self.actors[place];
        if let At::Pause(until) = actor.at {
            if now >= until {
                self.reopen(place, report);
            }
            return;
        }
        if actor.cadence.wake(now, wall, inputs) {
            self.meter_run(place, 0);
        }
    }

    /// The first time of each node's calendar. Times that were missed while no host ran are one pass now.
    pub(super) fn begin_calendars(&mut self) {
        let wall = self.log.now();
        let durable = self.log.durable();
        for place in 0..self.actors.len() {
            let (last, missed) = self.missed(place, wall);
            let actor = &mut self.actors[place];
            let cadence = &mut actor.cadence;
            if cadence.rhythm == Rhythm::Once {
                cadence.goal.get_or_insert(durable);
                self.meter_run(place, missed);
                continue;
            }
            let Rhythm::Cron(cron) = &cadence.rhythm else {
                continue;
            };
            cadence.tick = cron.next_after(wall);
            if last.is_none_or(|last| cron.ticks_between(last, wall, 1) == 0) {
                continue;
            }
            // Now is one of its times.
            cadence.tick = Some(wall);
            tracing::warn!(
                node = actor.name(),
                missed,
                "times of its rhythm passed while no host ran; it runs now, once"
            );
            self.meter_run(place, missed);
        }
    }

    /// When a node last ran, and how many of its runs should have happened since.
    fn missed(&self, place: usize, now: Timestamp) -> (Option<Timestamp>, u64) {
        let planned = &self.actors[place].node.setup.plan;
        let committed = self.state.node(&planned.name).map(|last| last.time);
        let began = self.board.gauge().and_then(|g| g.last_run(&planned.name));
        let last = began.max(committed);
        let missed = |last| runs::missed(&planned.rhythm, planned.due_us, last, now);
        (last, last.map_or(0, missed))
    }

    /// How long it is until a time of the calendar; looked at again and again, since clocks are set.
    fn until(&self, tick: Timestamp) -> Duration {
        let us = tick.0.saturating_sub(self.log.now().0).max(0);
        Duration::from_micros(us.unsigned_abs()).min(CALENDAR_PATIENCE)
    }

    /// Ends passes whose goal is reached.
    fn end_passes(&mut self) {
        for actor in &mut self.actors {
            let reached = actor.cadence.is_reached(actor.node.frontier);
            if reached && matches!(actor.at, At::Rest) {
                match actor.cadence.rhythm {
                    Rhythm::Once => {
                        actor.at = At::Done;
                        self.board.phase(&actor.node.setup.plan.name, Phase::Done);
                    }
                    _ => actor.cadence.goal = None,
                }
            }
        }
    }

    /// Chooses the length of the next round and when it may begin. `crowded`: states that the round changed, in thousandths
    /// of those that may stay in memory.
    pub(super) fn pace(
        &mut self,
        place: usize,
        cut: Sequence,
        began: Began,
        rows: u64,
        crowded: u64,
    ) {
        let interval = self.timing.interval;
        let behind = self.reachable(place) > cut;
        let actor = &mut self.actors[place];
        let terms = actor.node.terms;
        let wanted = match (terms.background, terms.rate) {
            (true, _) => interval.min(BACKGROUND),
            (false, Some(_)) => interval,
            (false, None) => actor.cadence.wanted(interval),
        };
        let spread = terms.rate.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64(rows as f64 / rate.max(1) as f64)
        });
        let now = self.time.now();
        actor.rests_until = began.at + spread;
        if terms.background && !self.once {
            let rest = actor.commit_took * BACKGROUND_REST;
            actor.rests_until = actor.rests_until.max(now + rest);
            actor.commit_took = Duration::ZERO;
        }
        let took = stopwatch().saturating_duration_since(began.stopwatch);
        let round = Ended {
            began: began.at,
            now,
            took: took.max(spread),
            behind: actor.node.frontier.0 > 0 && behind,
            crowded,
        };
        actor.cadence.pace(interval, wanted, round);
    }
}
