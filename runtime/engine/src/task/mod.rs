//! A task: a node on one partition of its key. It takes rows up to a cut, and says what changed.
//!
//! A task is a cache of committed state plus the rows since. When anything fails it is dropped and opened again at the
//! last commit; there is no other way back.

mod care;
mod clock;
pub mod fold;
pub mod letters;
pub mod out;
pub mod process;
mod produced;
mod room;
pub mod slots;
mod source;
pub mod transform;

pub use self::room::CacheCounts;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::topic::Topic;
use refrain_plugin::{Fault, FaultKind, Instance, Plugin};
use refrain_state::commit::TaskChanges;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Extent, Place};
use crate::input::{Batch, Lane, Lanes};
use crate::pipeline::{OnTrap, PlannedInput, PlannedNode};
use crate::receipt::sample::Sample;
use crate::watermark::Watermark;

/// Rows of one lane, by offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spots {
    /// The lane.
    pub lane: usize,
    /// Offsets.
    pub offsets: Range<u64>,
}

/// A call that trapped, and took its instance with it.
#[derive(Clone, Debug)]
pub struct Suspicion {
    /// How.
    pub fault: Fault,
    /// On which rows.
    pub place: Option<Place>,
}

/// How a task goes about calls that may trap.
#[derive(Clone, Debug, Default)]
pub enum Care {
    /// Like any other.
    #[default]
    None,
    /// Each call is tried out before: another task of the node has met a trap.
    Careful,
    /// The same, and this is the trap that is to come again.
    Suspects(Suspicion),
}

/// Why a task's attempt failed.
#[derive(Debug)]
pub enum Failure {
    /// A call trapped: open again and try each call out before it is made.
    Suspect(Box<Suspicion>),
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
    /// Its inputs, in the order of the pipeline file.
    pub topics: Vec<Arc<Topic>>,
    /// Of a fold that is executed again for a part of its keys: which; none: all.
    pub sample: Option<Sample>,
}

impl NodeSetup {
    /// The input partitions of a task.
    pub fn lanes(&self, task: u32) -> Lanes {
        let lane = |input: usize, partition: u32| {
            let planned = &self.plan.inputs[input];
            Lane {
                input,
                topic: planned.topic.as_str().into(),
                partition,
                derived: planned.derived,
                disorder_us: planned.disorder_us,
                idle_us: planned.idle_us,
            }
        };
        let of_input = |(input, planned): (usize, &PlannedInput)| {
            let taken = |p: &u32| !self.plan.partitioned || *p == task;
            let all = (0..planned.partitions).filter(taken);
            all.map(|p| lane(input, p)).collect::<Vec<_>>()
        };
        let inputs = self.plan.inputs.iter().enumerate();
        inputs.flat_map(of_input).collect()
    }

    /// An error of the plugin, with the rows of the call.
    pub fn fault(&self, fault: Fault, place: Option<Place>) -> Error {
        Error::Fault {
            node: self.plan.name.clone(),
            place: place.map(Box::new),
            fault: Box::new(fault),
        }
    }

    /// The error of a trap that a fresh instance does not repeat.
    pub fn not_again(&self, fault: Fault, place: Option<Place>) -> Error {
        let what = format!(
            "{}, but not again in a fresh instance with the same rows and states: the plugin remembers something \
             outside its slots",
            fault.what
        );
        self.fault(Fault { what, ..fault }, place)
    }

    /// A new instance, configured.
    pub fn instance(&self) -> Result<Instance, Fault> {
        self.plugin
            .instantiate(&self.plan.options, self.plan.limits)
    }

    /// Whether a fault may be pinned on a row, which then goes to dead letters.
    pub fn may_be_a_rows(&self, fault: &Fault) -> bool {
        fault.kind == FaultKind::Trap && self.plan.on_trap == OnTrap::DeadLetter
    }
}

/// What a task did in one advance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows taken.
    pub rows: u64,
    /// Rows that came too late.
    pub late: u64,
    /// Windows that rows missed which still were in time for others.
    pub missed: u64,
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
        self.missed += other.missed;
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
    /// Rows handed to the plugin since the last commit, each as often as it was handed.
    pub handed: u64,
    /// What its cache did since then; none without one.
    pub cache: Option<CacheCounts>,
}

impl Prepared {
    /// States and rows of the view that it changes.
    pub fn changed(&self) -> u64 {
        let view = self.changes.view.as_ref().map_or(0, |v| v.rows.num_rows());
        (self.changes.state.put_keys.len() + view) as u64
    }
}

/// What a task remembers across restarts beside its state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Memo {
    /// Its watermark.
    pub watermark: Watermark,
    /// Of task 0 of a node with an exchange: the watermark that all partitions have made.
    pub shared: Option<Watermark>,
}

/// How far a step brought a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There may be more up to the cut.
    More,
    /// Other tasks of the node must go on first.
    Wait,
    /// All up to the cut is taken.
    Done,
}

/// A node on one partition of its key.
pub trait Task: Send {
    /// Takes the next batch of rows up to the cut.
    fn step(&mut self, cut: Sequence) -> Result<Progress, Failure>;
    /// The attempt failed, or panicked: other tasks of the node are not to wait for this one.
    fn abandon(&mut self);
    /// Says what changed since the last commit, with derived rows durable.
    fn prepare(&mut self) -> Result<Prepared, Failure>;
    /// The commit is durable.
    fn publish(&mut self);
    /// The attempt failed: takes back what derived topics got. The task is dropped afterwards.
    fn rollback(&mut self) -> Result<(), Error>;
}

/// Why a row that traps is set aside: how it trapped.
pub fn trap_reason(fault: &Fault) -> String {
    let what = &fault.what;
    format!("trap: {}", what.strip_prefix("trapped: ").unwrap_or(what))
}

/// Rows of a task's input, by lane, for messages.
#[derive(Clone, Debug, Default)]
pub struct Taken(Vec<Spots>);

impl Taken {
    /// Adds rows of one lane that follow its earlier ones.
    pub fn push(&mut self, lane: usize, offsets: Range<u64>) {
        if offsets.is_empty() {
            return;
        }
        match self.0.iter_mut().find(|s| s.lane == lane) {
            Some(known) => known.offsets.end = offsets.end,
            None => self.0.push(Spots { lane, offsets }),
        }
    }

    /// Adds all rows of a batch.
    pub fn push_batch(&mut self, batch: &Batch) {
        for run in &batch.runs {
            self.push(run.lane, run.offset.0..run.offset_end.0);
        }
    }

    /// These rows of a batch.
    pub fn of_rows(batch: &Batch, rows: impl Iterator<Item = usize>) -> Taken {
        let mut taken = Taken::default();
        for row in rows {
            let run = batch.run_of(row);
            let offset = batch.offset(run, row).0;
            taken.push(run.lane, offset..offset + 1);
        }
        taken
    }

    /// For a message: the rows of the lane that came first.
    pub fn place(&self, lanes: &Lanes, of: Extent) -> Option<Place> {
        let first = self.0.first()?;
        Some(Place {
            topic: lanes[first.lane].topic.to_string(),
            partition: lanes[first.lane].partition,
            first: Offset(first.offsets.start),
            last: Offset(first.offsets.end - 1),
            of,
        })
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
