//! The commit: input positions, state, view rows, watermarks and the ends of derived topics change together, or not at
//! all. What a commit is made of, and what it leaves.

use std::collections::BTreeMap;

use refrain_log::ids::{Offset, Sequence, Timestamp};
use serde::{Deserialize, Serialize};

pub use crate::committer::Written;
pub use crate::host::{State, StateOptions};
use crate::store::StateChanges;
use crate::view::ViewChanges;

/// What a node's results are made by. A change of it never takes effect unseen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Digest of the component, hex.
    pub component: String,
    /// Digest of everything in the node's configuration that changes results, hex.
    pub configuration: String,
}

/// The end of a partition of a derived topic that a commit covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DerivedEnd {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Its end offset.
    pub end: Offset,
}

/// The end of a partition of a source topic that a commit has read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceEnd {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Offset after the last row taken.
    pub end: Offset,
}

/// What one task changed since the node's last commit.
#[derive(Clone, Debug, Default)]
pub struct TaskChanges {
    /// The task.
    pub task: u32,
    /// State put and deleted.
    pub state: StateChanges,
    /// View rows put and deleted; none when the node has no view.
    pub view: Option<ViewChanges>,
    /// The engine's own bytes for this task, whole (watermarks, positions): replaces what was there.
    pub memo: Vec<u8>,
}

/// A commit of one node at a cut: every task has taken exactly the source frames up to it.
#[derive(Clone, Debug)]
pub struct NodeCommit {
    /// The node.
    pub node: String,
    /// The cut.
    pub cut: Sequence,
    /// What made the results.
    pub lineage: Lineage,
    /// All tasks that changed.
    pub tasks: Vec<TaskChanges>,
    /// How far inputs from source topics have been read.
    pub sources: Vec<SourceEnd>,
    /// Derived topics written, all synced before.
    pub derived: Vec<DerivedEnd>,
    /// The node's watermark; `Timestamp::MIN` for none.
    pub watermark: Timestamp,
    /// Counted since the node began: rows taken, late, rejected, and so on.
    pub counts: BTreeMap<String, u64>,
}

/// A node's last commit, as recovered or as just made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeState {
    /// The cut.
    pub cut: Sequence,
    /// Number of the commit in the whole host, from 1.
    pub commit: u64,
    /// When it was made.
    pub time: Timestamp,
    /// What made the results.
    pub lineage: Lineage,
    /// The engine's bytes of each task.
    pub memos: BTreeMap<u32, Vec<u8>>,
    /// How far inputs from source topics have been read.
    pub sources: Vec<SourceEnd>,
    /// Ends of derived topics.
    pub derived: Vec<DerivedEnd>,
    /// The node's watermark.
    pub watermark: Timestamp,
    /// Counts since the node began.
    pub counts: BTreeMap<String, u64>,
}

/// A key with its state.
pub type KeyedState = (Box<[u8]>, Box<[u8]>);
