//! A node within a run: what it is at, and what it waits for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::Sender;
use refrain_log::ids::Sequence;

use super::cadence::{Cadence, Way};
use super::metering::Meter;
use crate::error::Error;
use crate::meter::Steps;
use crate::node::Node;
use crate::pipeline::Rhythm;
use crate::task::{Failure, Prepared};

/// When a round began: by the time that rhythms go by, and for measuring how long it takes.
#[derive(Clone, Copy)]
pub(super) struct Began {
    pub(super) at: Instant,
    pub(super) stopwatch: Instant,
}

/// What a node is at.
pub(super) enum At {
    /// Waits for its rhythm, or for input.
    Rest,
    /// Its tasks are with the workers.
    Round {
        cut: Sequence,
        out: usize,
        prepared: Vec<Prepared>,
        failure: Option<(u32, Failure)>,
        began: Began,
    },
    /// There was no space; tries again then.
    Pause(Instant),
    /// Has reached its goal for good.
    Done,
    /// Stopped by an error.
    Stopped,
    /// A write or a sync failed; goes on at the last commit when what it writes is reopened.
    Shut(Error),
}

impl At {
    /// Whether it does not go on by itself.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self, At::Stopped | At::Shut(_))
    }
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

/// A node within a run.
pub(super) struct Actor {
    pub(super) node: Node,
    /// One for each input, in the order of the node's inputs.
    pub(super) upstreams: Vec<Upstream>,
    pub(super) cadence: Cadence,
    /// A round over what is ready waits for more that is on its way.
    pub(super) waits: bool,
    /// The next round may not begin before, so as to keep to a rate.
    pub(super) rests_until: Instant,
    /// It goes from the run when its tasks are at home; dropped then.
    pub(super) leaving: Option<Sender<()>>,
    /// It has gone.
    pub(super) gone: bool,
    /// A rhythm that was asked for while a round is under way: takes effect with its commit.
    pub(super) wanted: Option<Rhythm>,
    pub(super) meter: Meter,
    /// Where its tasks note that they get on.
    pub(super) steps: Arc<Steps>,
    /// How long its last commit held up all others.
    pub(super) commit_took: Duration,
    pub(super) at: At,
}

impl Actor {
    /// Whether its tasks are with the workers.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.at, At::Round { .. })
    }

    /// How far it has got for those below it.
    pub(super) fn way(&self, inputs: &[Way]) -> Way {
        let frontier = self.node.frontier;
        match self.at {
            At::Rest | At::Round { .. } => self.cadence.way(frontier, self.is_busy(), inputs),
            At::Pause(_) | At::Done | At::Stopped | At::Shut(_) => Way::rests(frontier),
        }
    }
}
