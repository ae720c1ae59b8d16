//! What a run is asked, what it says at its end, and what can be told it meanwhile.

use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::Sender;
use refrain_log::ids::Sequence;

use super::joining::Ask;
use super::time::{Time, Wall};
use crate::error::Error;
use crate::keep::OPTIMIZE_AFTER;
use crate::pipeline::{Plan, Rhythm};
use crate::workers::{Done, Work};

/// What the deciding thread waits for.
#[expect(
    clippy::large_enum_variant,
    reason = "a handful is under way at a time"
)]
pub enum Event {
    /// A task came back.
    Done(Done),
    /// A task has more to do, and others are to have their turn first.
    Again(Work),
    /// New frames are durable.
    Durable,
    /// Finish the rounds under way, commit and leave.
    Stop,
    /// Nodes get other rhythms, each with its next commit.
    Graduate(Vec<Graduation>),
    /// Something is asked of the run.
    Ask(Box<Ask>),
}

impl Event {
    /// The place of the node of whose task it tells.
    pub(super) fn node(&self) -> Option<usize> {
        match self {
            Event::Done(done) => Some(done.node),
            Event::Again(work) => Some(work.node),
            _ => None,
        }
    }
}

/// A node gets another rhythm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graduation {
    /// The node.
    pub node: String,
    /// Its rhythm from the next commit on.
    pub rhythm: Rhythm,
    /// Whether the planner chose it.
    pub auto: bool,
}

/// How a node may use the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Nobody waits for it: it has workers of its own and short rounds, so that it stands in nobody's way.
    pub background: bool,
    /// Rows a second at most; none: no limit.
    pub rate: Option<u64>,
}

/// How fast nodes go that work all the time, and when one that does not get on is said to stand still.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between commits.
    pub interval: Duration,
    /// Beyond that.
    pub stall_after: Duration,
}

impl Timing {
    /// As the pipeline file has it.
    pub fn of(plan: &Plan) -> Timing {
        let duration = |us: i64| Duration::from_micros(us.max(0).unsigned_abs());
        Timing {
            interval: duration(plan.commit_interval_us),
            stall_after: duration(plan.stall_after_us),
        }
    }

    /// A node with input that gets on with nothing for longer than this stands still.
    pub(super) fn patience(self) -> Duration {
        self.interval.saturating_add(self.stall_after)
    }
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

    /// Nodes of the run get these rhythms, each with its next commit.
    pub fn graduate(&self, list: Vec<Graduation>) {
        // Nobody listens any more when the run is over.
        let _ = self.0.send(Event::Graduate(list));
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
    /// What rhythms go by. Default: the clock on the wall.
    pub time: Arc<dyn Time>,
    /// Segments with small frames are looked for after so long, and again and again. Default: [`OPTIMIZE_AFTER`].
    pub optimize_after: Duration,
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
            time: Arc::new(Wall),
            optimize_after: OPTIMIZE_AFTER,
        }
    }
}

/// How a run ended.
#[derive(Debug, Default)]
pub struct RunReport {
    /// The cut that was the goal of `once`.
    pub cut: Sequence,
    /// Rounds taken again because a call trapped.
    pub rounds_again: u64,
    /// Rows handed to plugins, each as often as it was handed, in rounds that ended well.
    pub rows_handed: u64,
    /// Nodes that stopped, with the reason.
    pub stopped: Vec<(String, Error)>,
    /// Nodes that went on as they were built though the pipeline file or a component has changed, with a sentence.
    pub kept: Vec<(String, String)>,
}
