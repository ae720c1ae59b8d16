//! A task: a node on one partition of its key. It takes rows up to a cut, and says what changed.
//!
//! A task is a cache of committed state plus the rows since. When anything fails it is dropped and opened again at the
//! last commit; there is no other way back.

pub mod fold;
pub mod letters;
pub mod out;
pub mod slots;
pub mod transform;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::topic::Topic;
use refrain_plugin::{Fault, Plugin};
use refrain_state::commit::TaskChanges;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Place};
use crate::pipeline::PlannedNode;
use crate::watermark::Watermark;

/// One row of a task's input: the lane (input partition) and the offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// Which of the task's input partitions.
    pub lane: usize,
    /// Offset in it.
    pub offset: u64,
}

/// Rows of one lane, by offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spots {
    /// The lane.
    pub lane: usize,
    /// Offsets.
    pub offsets: Range<u64>,
}

/// What is known of rows that trap, while they are pinned down.
#[derive(Clone, Debug, Default)]
pub struct Suspicion {
    /// Rows of a call that trapped: taken one by one.
    pub suspects: Vec<Spots>,
    /// Rows that trapped twice, the second time alone in a fresh instance, with the reason.
    pub poison: BTreeMap<Spot, String>,
}

impl Suspicion {
    /// Whether anything is known at all.
    pub fn is_empty(&self) -> bool {
        self.suspects.is_empty() && self.poison.is_empty()
    }

    /// Whether this row is to be taken alone.
    pub fn suspects(&self, spot: Spot) -> bool {
        self.suspects
            .iter()
            .any(|s| s.lane == spot.lane && s.offsets.contains(&spot.offset))
    }
}

/// Why a task's attempt failed.
#[derive(Debug)]
pub enum Failure {
    /// A call trapped: open again and take these rows one by one.
    Suspect(Vec<Spots>, Box<Error>),
    /// This row trapped twice: open again and dead-letter it.
    Poison(Spot, String),
    /// Anything else: the node stops (or waits, when there is no space).
    Stop(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Stop(error.into())
    }
}

/// Everything that the tasks of a node share.
#[derive(Debug)]
pub struct NodeSetup {
    /// The node.
    pub plan: PlannedNode,
    /// Its plugin.
    pub plugin: Plugin,
    /// Its input.
    pub topic: Arc<Topic>,
}

impl NodeSetup {
    /// The input partitions of a task.
    pub fn lanes(&self, task: u32) -> Vec<u32> {
        if self.plan.partitioned {
            vec![task]
        } else {
            (0..self.topic.spec().partitions).collect()
        }
    }

    /// An error of the plugin, with the rows of the call.
    pub fn fault(&self, fault: Fault, place: Option<Place>) -> Error {
        Error::Fault {
            node: self.plan.name.clone(),
            place: place.map(Box::new),
            fault: Box::new(fault),
        }
    }
}

/// What a task did in one advance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows taken.
    pub rows: u64,
    /// Rows that came too late.
    pub late: u64,
    /// Rows rejected.
    pub rejected: u64,
    /// Windows' rows closed, or rows written.
    pub out: u64,
    /// Frames taken, empty ones included.
    pub frames: u64,
}

impl Counts {
    /// Adds another's.
    pub fn add(&mut self, other: Counts) {
        self.rows += other.rows;
        self.late += other.late;
        self.rejected += other.rejected;
        self.out += other.out;
        self.frames += other.frames;
    }
}

/// What a task wants committed.
#[derive(Debug)]
pub struct Prepared {
    /// State, view rows, memo.
    pub changes: TaskChanges,
    /// Ends of the derived partitions written: topic and end.
    pub derived: Vec<(String, Offset)>,
    /// What it did since the last commit.
    pub counts: Counts,
    /// Its watermark.
    pub watermark: Timestamp,
    /// Offset after the last row taken, by lane, of lanes that moved.
    pub ends: BTreeMap<usize, Offset>,
}

/// What a task remembers across restarts beside its state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Memo {
    /// Its watermark.
    pub watermark: Watermark,
}

/// A node on one partition of its key.
pub trait Task: Send {
    /// Takes all rows up to the cut.
    fn advance(&mut self, cut: Sequence) -> Result<(), Failure>;
    /// Says what changed since the last commit, with derived rows durable.
    fn prepare(&mut self) -> Result<Prepared, Failure>;
    /// The commit is durable.
    fn publish(&mut self);
    /// The attempt failed: takes back what derived topics got. The task is dropped afterwards.
    fn rollback(&mut self) -> Result<(), Error>;
}

/// The rows of a call that failed, for messages and for pinning down.
#[derive(Debug, Default)]
pub struct CallRows(Vec<Spots>);

impl CallRows {
    /// Adds rows of one lane.
    pub fn push(&mut self, lane: usize, offsets: Range<u64>) {
        if offsets.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.lane == lane && last.offsets.end == offsets.start => {
                last.offsets.end = offsets.end
            }
            _ => self.0.push(Spots { lane, offsets }),
        }
    }

    /// For a message: the first lane's rows.
    pub fn place(&self, setup: &NodeSetup, lanes: &[u32]) -> Option<Place> {
        let first = self.0.first()?;
        Some(Place {
            topic: setup.topic.spec().name.clone(),
            partition: lanes[first.lane],
            first: Offset(first.offsets.start),
            last: Offset(first.offsets.end - 1),
        })
    }

    /// The rows.
    pub fn spots(self) -> Vec<Spots> {
        self.0
    }
}
