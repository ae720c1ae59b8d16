//! The run: which node works next, up to which cut, and when it commits.
//!
//! One thread decides and commits; workers do the work. Each node goes through the same round: choose a cut, bring
//! every task to it, commit, show readers the result. A rhythm only decides when a round begins and where its goal is.

mod actor;
mod faults;
mod graduate;
mod options;
mod rhythm;
mod rounds;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use refrain_log::ids::Sequence;
use refrain_log::log::Log;
use refrain_state::commit::State;

use self::actor::{Actor, At};
use self::rhythm::now;
use self::watch::Watch;
use crate::error::Result;
use crate::node::Node;
use crate::pipeline::Rhythm;
use crate::status::StatusBoard;
use crate::workers::{self, Work};

pub use self::actor::Upstream;
pub use self::options::{Event, Graduation, RunOptions, RunReport, Stopper};

/// Sequences in the first round of a node; later ones fit the time that rounds take.
const SPAN_FIRST: u64 = 64;

/// A run in progress.
pub struct Run<'a> {
    log: &'a Log,
    state: &'a State,
    board: &'a StatusBoard,
    actors: Vec<Actor>,
    interval: Duration,
    once: bool,
    stopping: bool,
    dice: Option<u64>,
    work: Sender<Work>,
    events: Receiver<Event>,
}

impl<'a> Run<'a> {
    /// Runs nodes (each after its upstream) until stopped, or until all is done.
    pub fn run(
        log: &'a Arc<Log>,
        state: &'a State,
        board: &'a StatusBoard,
        nodes: Vec<(Node, Vec<Upstream>)>,
        interval: Duration,
        options: &RunOptions,
        (sender, events): (Sender<Event>, Receiver<Event>),
    ) -> Result<RunReport> {
        let (work, queue) = unbounded();
        let threads = workers::start(options.workers.max(1), &queue, &sender);
        drop(queue);
        let watch = Watch::start(Arc::clone(log), board.arrivals(), sender);
        let now = now();
        let durable = log.durable();
        let actors = nodes.into_iter().map(|(node, upstreams)| {
            let rhythm = if options.once {
                Rhythm::Once
            } else {
                node.setup.plan.rhythm.clone()
            };
            let name = &node.setup.plan.name;
            board.started(name, node.frontier, interval);
            let goal = (rhythm == Rhythm::Once).then_some(durable);
            Actor {
                node,
                upstreams,
                rhythm,
                goal,
                due: now,
                tick: None,
                wanted: None,
                span: SPAN_FIRST,
                at: At::Rest,
            }
        });
        let mut run = Run {
            actors: actors.collect(),
            log,
            state,
            board,
            interval,
            once: options.once,
            stopping: false,
            dice: options.drop_instances,
            work,
            events,
        };
        let report = run.go(durable);
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
        for actor in &mut self.actors {
            if let Err(error) = actor.node.open_tasks(self.log, self.state) {
                actor.at = At::Stopped;
                self.board.stopped(&actor.node.setup.plan.name, &error);
                report
                    .stopped
                    .push((actor.node.setup.plan.name.clone(), error));
            }
        }
        loop {
            let now = now();
            self.start_rounds(now, &mut report);
            if self.is_ended() {
                return Ok(report);
            }
            match self.events.recv_timeout(self.patience(now)) {
                Ok(event) => self.take(event, &mut report)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    unreachable!("the run holds a sender through its watch")
                }
            }
        }
    }

    fn is_ended(&self) -> bool {
        let resting = |a: &Actor| !matches!(a.at, At::Round { .. });
        let finished = |a: &Actor| match a.at {
            At::Done => self.once,
            At::Stopped => true,
            _ => false,
        };
        self.actors.iter().all(|a| {
            if self.stopping {
                resting(a)
            } else {
                finished(a)
            }
        })
    }
}
