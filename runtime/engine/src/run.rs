//! The run: which node works next, up to which cut, and when it commits.
//!
//! One thread decides and commits; workers do the work. Each node goes through the same round: choose a cut, bring
//! every task to it, commit, show readers the result. A rhythm only decides when a round begins and where its goal is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use refrain_log::ids::Sequence;
use refrain_log::log::Log;
use refrain_state::commit::State;

use crate::error::{Error, Result};
use crate::node::Node;
use crate::pipeline::Rhythm;
use crate::status::{Phase, StatusBoard};
use crate::task::{Failure, Prepared};
use crate::workers::{self, Done, Work};

/// What the deciding thread waits for.
#[expect(
    clippy::large_enum_variant,
    reason = "a handful is under way at a time"
)]
pub enum Event {
    /// A task came back.
    Done(Done),
    /// New frames are durable.
    Durable,
    /// Finish the rounds under way, commit and leave.
    Stop,
}

/// Tells a run to stop; may be used from any thread, more than once.
#[derive(Clone, Debug)]
pub struct Stopper(pub(crate) Sender<Event>);

impl Stopper {
    /// Rounds under way end with their commit, and then the run returns.
    pub fn stop(&self) {
        // Nobody listens any more when the run is over.
        let _ = self.0.send(Event::Stop);
    }
}

/// How a run goes.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Process what is there now and return.
    pub once: bool,
    /// Worker threads. Default: one a processor.
    pub workers: usize,
    /// Only these nodes; empty: all.
    pub nodes: Vec<String>,
    /// Compute these nodes, and all that depend on them, anew from the log.
    pub rebuild: Vec<String>,
    /// For tests: drop plugin instances at random commits, drawn from this seed, so that state outside slots shows.
    pub drop_instances: Option<u64>,
}

impl Default for RunOptions {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            once: false,
            workers,
            nodes: Vec::new(),
            rebuild: Vec::new(),
            drop_instances: None,
        }
    }
}

/// Sequences in the first round of a node; later ones fit the time that rounds take.
const SPAN_FIRST: u64 = 64;
/// Work between two commits when a node has a backlog and a rhythm other than continuous.
const CHECKPOINT: Duration = Duration::from_secs(4);
/// Wait before a node tries again that found no space.
const NO_SPACE_PATIENCE: Duration = Duration::from_secs(1);
/// Wait for an event when nothing else is due.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What a node is at.
enum At {
    /// Waits for its rhythm, or for input.
    Rest,
    /// Its tasks are with the workers.
    Round {
        cut: Sequence,
        out: usize,
        prepared: Vec<Prepared>,
        failure: Option<(u32, Failure)>,
        began: Instant,
    },
    /// There was no space; tries again then.
    Pause(Instant),
    /// Has reached its goal for good.
    Done,
    /// Stopped by an error.
    Stopped,
}

/// How far a node's input has got.
#[derive(Clone, Copy, Debug)]
pub enum Upstream {
    /// A source topic: as far as it is durable.
    Source,
    /// A node of this run, by its place.
    Node(usize),
    /// A node that does not run now: as far as its last commit.
    Resting(Sequence),
}

struct Actor {
    node: Node,
    upstream: Upstream,
    rhythm: Rhythm,
    /// Where this pass ends; none: no pass under way.
    goal: Option<Sequence>,
    /// When the next pass or round may begin.
    due: Instant,
    /// Sequences for one round.
    span: u64,
    at: At,
}

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

/// How a run ended.
#[derive(Debug, Default)]
pub struct RunReport {
    /// The cut that was the goal of `once`.
    pub cut: Sequence,
    /// Nodes that stopped, with the reason.
    pub stopped: Vec<(String, Error)>,
}

impl<'a> Run<'a> {
    /// Runs nodes (each after its upstream) until stopped, or until all is done.
    pub fn run(
        log: &'a Arc<Log>,
        state: &'a State,
        board: &'a StatusBoard,
        nodes: Vec<(Node, Upstream)>,
        interval: Duration,
        options: &RunOptions,
        (sender, events): (Sender<Event>, Receiver<Event>),
    ) -> Result<RunReport> {
        let (work, queue) = unbounded();
        let threads = workers::start(options.workers.max(1), &queue, &sender);
        drop(queue);
        let watch = Watch::start(Arc::clone(log), sender);
        let now = now();
        let durable = log.durable();
        let actors = nodes.into_iter().map(|(node, upstream)| {
            let rhythm = if options.once {
                Rhythm::Once
            } else {
                node.setup.plan.rhythm
            };
            let goal = (rhythm == Rhythm::Once).then_some(durable);
            Actor {
                node,
                upstream,
                rhythm,
                goal,
                due: now,
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
            if self.is_over() {
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

    fn is_over(&self) -> bool {
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

    /// How long nothing can happen without an event.
    fn patience(&self, now: Instant) -> Duration {
        let due = |(i, a): (usize, &Actor)| match (&a.at, a.rhythm) {
            (At::Pause(until), _) => Some(*until),
            (At::Rest, Rhythm::Every(_)) if a.goal.is_none() => Some(a.due),
            (At::Rest, Rhythm::Continuous) if self.reachable(i) > a.node.frontier => Some(a.due),
            _ => None,
        };
        let next = self.actors.iter().enumerate().filter_map(due).min();
        match next.filter(|_| !self.stopping) {
            None => PATIENCE,
            Some(due) => due.saturating_duration_since(now),
        }
    }

    /// How far a node could go now.
    fn reachable(&self, place: usize) -> Sequence {
        let actor = &self.actors[place];
        let input = match actor.upstream {
            Upstream::Source => self.log.durable(),
            Upstream::Node(upstream) => self.actors[upstream].node.frontier,
            Upstream::Resting(cut) => cut,
        };
        actor.goal.map_or(input, |goal| input.min(goal))
    }

    fn start_rounds(&mut self, now: Instant, report: &mut RunReport) {
        if self.stopping {
            return;
        }
        for place in 0..self.actors.len() {
            self.wake(place, now, report);
            let reachable = self.reachable(place);
            let actor = &self.actors[place];
            let begins = match actor.rhythm {
                Rhythm::Continuous => now >= actor.due,
                Rhythm::Once | Rhythm::Every(_) => actor.goal.is_some(),
            };
            if begins && matches!(actor.at, At::Rest) && reachable > actor.node.frontier {
                self.start_round(place, reachable, now);
            }
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
            let over = match actor.upstream {
                Upstream::Source => false,
                Upstream::Node(upstream) => matches!(self.actors[upstream].at, At::Stopped),
                Upstream::Resting(_) => true,
            };
            if over && matches!(actor.at, At::Rest) && self.reachable(place) <= actor.node.frontier
            {
                let what = format!(
                    "node {} got no further than sequence {}: the node that writes its input {} does not go on",
                    actor.node.setup.plan.name, actor.node.frontier, actor.node.setup.plan.input
                );
                self.stop_node(place, Error::Refused(what), report);
            }
        }
    }

    /// Begins what time has brought: a pass of a rhythm, another try after a pause.
    fn wake(&mut self, place: usize, now: Instant, report: &mut RunReport) {
        let durable = self.log.durable();
        let actor = &mut self.actors[place];
        if let At::Pause(until) = actor.at {
            if now >= until {
                self.reopen(place, report);
            }
            return;
        }
        if let (Rhythm::Every(micros), None, true) = (actor.rhythm, actor.goal, now >= actor.due) {
            actor.goal = Some(durable);
            actor.due = next_tick(actor.due, micros, now);
        }
    }

    /// Ends passes whose goal is reached.
    fn end_passes(&mut self) {
        for actor in &mut self.actors {
            let reached = actor.goal.is_some_and(|goal| actor.node.frontier >= goal);
            if reached && matches!(actor.at, At::Rest) {
                match actor.rhythm {
                    Rhythm::Once => {
                        actor.at = At::Done;
                        self.board.phase(&actor.node.setup.plan.name, Phase::Done);
                    }
                    _ => actor.goal = None,
                }
            }
        }
    }

    fn start_round(&mut self, place: usize, reachable: Sequence, now: Instant) {
        let actor = &mut self.actors[place];
        let cut = reachable.min(Sequence(actor.node.frontier.0.saturating_add(actor.span)));
        let out = actor.node.tasks.len();
        for (task, body) in actor.node.tasks.iter_mut().enumerate() {
            let body = body.take().expect("tasks are at home while the node rests");
            self.work
                .send(Work {
                    node: place,
                    task,
                    body,
                    cut,
                })
                .expect("workers live as long as the run");
        }
        actor.at = At::Round {
            cut,
            out,
            prepared: Vec::new(),
            failure: None,
            began: now,
        };
    }

    fn take(&mut self, event: Event, report: &mut RunReport) -> Result<()> {
        match event {
            Event::Durable => {}
            Event::Stop => self.stopping = true,
            Event::Done(done) => {
                let place = done.node;
                self.bring_home(done);
                if matches!(self.actors[place].at, At::Round { out: 0, .. }) {
                    self.end_round(place, report)?;
                }
            }
        }
        Ok(())
    }

    fn bring_home(&mut self, done: Done) {
        let actor = &mut self.actors[done.node];
        actor.node.tasks[done.task] = Some(done.body);
        let At::Round {
            out,
            prepared,
            failure,
            ..
        } = &mut actor.at
        else {
            unreachable!("tasks are out in rounds only")
        };
        *out -= 1;
        match done.result {
            Ok(changes) => prepared.push(changes),
            // The first failure by task number, so that what is reported does not depend on who was faster.
            Err(new) if failure.as_ref().is_none_or(|f| done.task < f.0 as usize) => {
                *failure = Some((done.task as u32, new));
            }
            Err(_) => {}
        }
    }

    fn end_round(&mut self, place: usize, report: &mut RunReport) -> Result<()> {
        let at = std::mem::replace(&mut self.actors[place].at, At::Rest);
        let At::Round {
            cut,
            mut prepared,
            failure,
            began,
            ..
        } = at
        else {
            unreachable!("called at the end of a round")
        };
        if let Some((task, failure)) = failure {
            self.fail(place, task, failure, report);
            return Ok(());
        }
        prepared.sort_by_key(|p| p.changes.task);
        let actor = &mut self.actors[place];
        let ends_pass = actor.goal.is_some_and(|goal| cut >= goal);
        if !ends_pass && prepared.iter().all(|p| p.counts.frames == 0) {
            actor.node.frontier = cut;
        } else if let Err(error) = self.commit(place, cut, prepared) {
            self.fail(place, 0, Failure::Stop(error), report);
            return Ok(());
        }
        self.pace(place, cut, began);
        self.roll_dice(place, report);
        Ok(())
    }

    fn commit(&mut self, place: usize, cut: Sequence, prepared: Vec<Prepared>) -> Result<()> {
        let actor = &mut self.actors[place];
        let rows: u64 = prepared.iter().map(|p| p.counts.rows).sum();
        let commit = actor.node.commit(cut, prepared);
        self.state.commit(vec![commit])?;
        actor.node.committed_at(cut);
        self.board.committed(&actor.node.setup.plan.name, rows);
        Ok(())
    }

    /// Chooses the length of the next round and when it may begin.
    fn pace(&mut self, place: usize, cut: Sequence, began: Instant) {
        let interval = self.interval;
        let behind = self.reachable(place) > cut;
        let actor = &mut self.actors[place];
        let wanted = if actor.rhythm == Rhythm::Continuous {
            interval
        } else {
            CHECKPOINT
        };
        let took = now().saturating_duration_since(began);
        let ratio = wanted.as_secs_f64() / took.as_secs_f64().max(1e-6);
        let full = actor.node.frontier.0 > 0 && behind;
        if full {
            actor.span = ((actor.span as f64 * ratio.clamp(0.25, 4.0)) as u64).max(1);
        }
        if actor.rhythm == Rhythm::Continuous {
            actor.due = if full { now() } else { began + interval };
        }
    }

    fn fail(&mut self, place: usize, task: u32, failure: Failure, report: &mut RunReport) {
        let actor = &mut self.actors[place];
        let name = actor.node.setup.plan.name.clone();
        if let Err(error) = actor.node.roll_back(self.state) {
            self.stop_node(place, error, report);
            return;
        }
        match failure {
            Failure::Suspect(suspects, error) => {
                tracing::warn!(node = name, %error, "taking the rows one by one");
                let suspicion = actor.node.suspicions.entry(task).or_default();
                suspicion.suspects = suspects;
                self.reopen(place, report);
            }
            Failure::Poison(spot, reason) => {
                tracing::warn!(
                    node = name,
                    lane = spot.lane,
                    offset = spot.offset,
                    reason,
                    "row goes to dead letters"
                );
                actor
                    .node
                    .suspicions
                    .entry(task)
                    .or_default()
                    .poison
                    .insert(spot, reason);
                self.reopen(place, report);
            }
            Failure::Stop(error) if is_no_space(&error) => {
                tracing::error!(node = name, %error, "waiting for space");
                self.board.waiting(&name, &error);
                actor.at = At::Pause(now() + NO_SPACE_PATIENCE);
            }
            Failure::Stop(error) => self.stop_node(place, error, report),
        }
    }

    fn reopen(&mut self, place: usize, report: &mut RunReport) {
        let actor = &mut self.actors[place];
        actor.at = At::Rest;
        if let Err(error) = actor.node.open_tasks(self.log, self.state) {
            self.stop_node(place, error, report);
        }
    }

    fn stop_node(&mut self, place: usize, error: Error, report: &mut RunReport) {
        let actor = &mut self.actors[place];
        let name = actor.node.setup.plan.name.clone();
        tracing::error!(node = name, %error, "stopped");
        actor.node.tasks.clear();
        actor.at = At::Stopped;
        self.board.stopped(&name, &error);
        report.stopped.push((name, error));
    }

    /// For tests: sometimes drops all instances of a node after a commit.
    fn roll_dice(&mut self, place: usize, report: &mut RunReport) {
        let Some(dice) = &mut self.dice else { return };
        *dice = dice
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let actor = &mut self.actors[place];
        if (*dice >> 33) % 2 == 0 && actor.node.frontier == actor.node.committed {
            actor.node.tasks.clear();
            self.reopen(place, report);
        }
    }
}

fn is_no_space(error: &Error) -> bool {
    matches!(
        error,
        Error::Log(refrain_log::Error::NoSpace { .. })
            | Error::State(refrain_state::Error::Log(
                refrain_log::Error::NoSpace { .. }
            ))
    )
}

/// The next multiple of a period after now, so that a late pass does not shift the later ones.
fn next_tick(due: Instant, micros: i64, now: Instant) -> Instant {
    let period = Duration::from_micros(micros.max(1) as u64);
    let missed = now.saturating_duration_since(due).as_micros() / period.as_micros();
    due + period * (missed as u32 + 1)
}

#[expect(
    clippy::disallowed_methods,
    reason = "decides when work is done, never what comes out"
)]
fn now() -> Instant {
    Instant::now()
}

/// A thread that says when new frames are durable.
struct Watch {
    thread: std::thread::JoinHandle<()>,
    over: Arc<std::sync::atomic::AtomicBool>,
}

impl Watch {
    fn start(log: Arc<Log>, events: Sender<Event>) -> Watch {
        let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let flag = Arc::clone(&over);
        let body = move || {
            let mut seen = log.durable();
            while !flag.load(std::sync::atomic::Ordering::SeqCst) {
                let durable = log.wait_beyond(seen, Duration::from_secs(60));
                if durable > seen && events.send(Event::Durable).is_err() {
                    return;
                }
                seen = durable;
            }
        };
        let thread = std::thread::Builder::new()
            .name("watch".into())
            .spawn(body)
            .expect("threads can be started");
        Watch { thread, over }
    }

    fn end(self, log: &Log) {
        self.over.store(true, std::sync::atomic::Ordering::SeqCst);
        log.wake();
        self.thread.join().expect("the watch does not panic");
    }
}
