//! The commit: input positions, state, view rows, watermarks and the ends of derived topics change together, or not at
//! all. Changelog frames and one closing frame in the commit log; the closing frame is the commit point.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use refrain_log::clock::Clock;
use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::log::Finding;
use refrain_log::storage::Storage;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::store::StateChanges;
use crate::view::{View, ViewChanges, ViewSpec};

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

/// The state of the host: commit log, stores, views. Shared by reference; one committer at a time.
#[derive(Debug)]
pub struct State {
    _private: (),
}

impl State {
    /// Opens the commit log in `folder`, making it when absent, and reads it: after this every store and view stands at
    /// the last commit.
    pub fn open(
        _storage: Arc<dyn Storage>,
        _clock: Arc<dyn Clock>,
        _folder: PathBuf,
    ) -> Result<(State, Vec<Finding>)> {
        todo!()
    }

    /// Declares a node's view before its first commit, or checks that it is what was declared. A changed declaration is
    /// refused.
    pub fn declare_view(&self, _spec: ViewSpec) -> Result<Arc<View>> {
        todo!()
    }

    /// One commit for one or several nodes: one write, one sync. After an error nothing of it holds and the commit log
    /// takes no commits until it is opened again (no space: the next commit may be tried as it is).
    pub fn commit(&self, _nodes: Vec<NodeCommit>) -> Result<()> {
        todo!()
    }

    /// The node's last commit.
    pub fn node(&self, _node: &str) -> Option<NodeState> {
        todo!()
    }

    /// Names of all nodes that ever committed.
    pub fn nodes(&self) -> Vec<String> {
        todo!()
    }

    /// State of one task at its last commit, every key with its state, in key order.
    pub fn task_states(&self, _node: &str, _task: u32) -> Vec<(Box<[u8]>, Box<[u8]>)> {
        todo!()
    }

    /// State of one key of a task at its last commit.
    pub fn task_state(&self, _node: &str, _task: u32, _key: &[u8]) -> Option<Box<[u8]>> {
        todo!()
    }

    /// The view of that name.
    pub fn view(&self, _name: &str) -> Option<Arc<View>> {
        todo!()
    }

    /// All views, by name.
    pub fn views(&self) -> Vec<Arc<View>> {
        todo!()
    }

    /// Forgets a node: its state, its view's rows and its last commit, durably. Its next run starts at the beginning.
    pub fn forget(&self, _node: &str) -> Result<()> {
        todo!()
    }

    /// Bytes of state and of views held.
    pub fn bytes(&self) -> u64 {
        todo!()
    }
}
