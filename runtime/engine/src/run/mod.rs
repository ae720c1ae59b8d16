//! The run: which node works next, up to which cut, and when it commits.
//!
//! One thread decides and commits; workers do the work. Each node goes through the same round: choose a cut, bring
//! every task to it, commit, show readers the result. A rhythm only decides when a round begins and where its goal is.

mod actor;
pub mod cadence;
mod faults;
mod graduate;
mod joining;
mod meeting;
mod metering;
mod options;
mod rhythm;
mod rounds;
pub mod time;
mod watch;

use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, unbounded};
use refrain_log::ids::Sequence;
use refrain_log::log::Log;
use refrain_state::commit::State;

use self::actor::{Actor, At};
use self::meeting::Meeting;
use self::time::Time;
use self::watch::Watch;
use crate::error::Result;
use crate::node::Node;
use crate::status::StatusBoard;
use crate::workers::{self, Work};

pub use self::actor::Upstream;
pub use self::joining::{Ask, Swap};
pub use self::meeting::Meet;
pub use self::metering::Spent;
use self::metering::Turn;
pub use self::options::{Event, Graduation, RunOptions, RunReport, Stopper, Terms, Timing};
pub(crate) use self::time::stopwatch;

/// A run in progress.
pub struct Run<'a> {
    log: &'a Log,
    state: &'a State,
    board: &'a StatusBoard,
    actors: Vec<Actor>,
    timing: Timing,
    /// What rhythms go by.
    time: Arc<dyn Time>,
    once: bool,
    stopping: bool,
    dice: Option<u64>,
    work: Sender<Work>,
    /// For nodes that nobody waits for.
    background: Sender<Work>,
    events: Receiver<Event>,
    meetings: Vec<Meeting>,
    turn: Turn,
}

impl<'a> Run<'a> {
    /// Runs nodes (each after its upstream) until stopped, or until all is done.
    pub fn run(
        log: &'a Arc<Log>,
        state: &'a State,
        board: &'a StatusBoard,
        nodes: Vec<(Node, Vec<Upstream>)>,
        timing: Timing,
        options: &RunOptions,
        (sender, events): (Sender<Event>, Receiver<Event>),
    ) -> Result<RunReport> {
        let (work, queue) = unbounded();
        let (background, patient) = unbounded();
        let count = options.workers.max(1);
        let mut threads = workers::start(count, &queue, &sender);
        threads.extend(workers::start_background(
            count.div_ceil(2),
            &patient,
            &sender,
        ));
        drop((queue, patient));
        let durable = log.durable();
        let watch = Watch::start(Arc::clone(log), durable, board.arrivals(), sender);
        let goal = options.once.then_some(durable);
        let actors = nodes.into_iter().map(|(node, upstreams)| {
            let steps = board.started(&node.setup.plan.name, node.frontier, timing.patience());
            Actor::new(node, upstreams, goal, options.time.now(), steps)
        });
        let mut run = Run {
            actors: actors.collect(),
            log,
            state,
            board,
            timing,
            time: Arc::clone(&options.time),
            once: options.once,
            stopping: false,
            dice: options.drop_instances,
            work,
            background,
            events,
            meetings: Vec::new(),
            turn: Turn::default(),
        };
        if state.cache_bytes().is_some() {
            let actors = run.actors.iter_mut();
            actors.for_each(|actor| actor.cadence.on_disk());
        }
        let report = run.go(durable);
        run.meter_end();
        drop(run);
        watch.end(log);
        for thread in threads {
            thread.join().expect("workers catch panics");
        }
        report
    }

    fn go(&mut self, goal: Sequence) -> Result<RunReport> {
        let mut report = RunReport {
            cut: goal,
            ..Default::default()
        };
        self.begin_calendars();
        for place in 0..self.actors.len() {
            if let Err(error) = self.open_tasks(place) {
                let actor = &mut self.actors[place];
                actor.at = At::Stopped;
                self.board.stopped(actor.name(), &error);
                report.stopped.push((actor.name().clone(), error));
            }
        }
        self.meter_begin_turn();
        loop {
            let now = self.time.now();
            self.start_rounds(now, &mut report);
            self.hold_meetings();
            if self.is_ended() {
                self.give_up(&mut report);
                return Ok(report);
            }
            let busy = self.actors.iter().any(Actor::is_busy);
            let event = self.time.wait(&self.events, self.patience(now), busy)?;
            let place = event.as_ref().and_then(Event::node);
            if let Some(event) = event {
                self.take(event, &mut report)?;
            }
            match place {
                Some(place) => self.meter_turn(place),
                None => self.meter_begin_turn(),
            }
        }
    }

    fn is_ended(&self) -> bool {
        let resting = |a: &Actor| !a.is_busy();
        let finished = |a: &Actor| match a.at {
            At::Done => self.once,
            At::Stopped => true,
            _ => false,
        };
        let parted = self.stopping || self.meetings.is_empty();
        parted
            && self.actors.iter().all(|a| {
                if self.stopping {
                    resting(a)
                } else {
                    finished(a)
                }
            })
    }
}
