//! What the host knows of its nodes while they run, for people and programs that ask.

use std::collections::BTreeMap;
use std::sync::Mutex;

use refrain_log::ids::{Sequence, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::pipeline::Rhythm;

/// What a node is at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// No host runs it now.
    Resting,
    /// It takes what comes.
    Running,
    /// It has reached its goal.
    Done,
    /// It waits for space on the disk.
    Waiting(String),
    /// An error stopped it; its state is that of its last commit.
    Stopped(String),
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Phase::Resting => write!(f, "resting"),
            Phase::Running => write!(f, "running"),
            Phase::Done => write!(f, "done"),
            Phase::Waiting(why) => write!(f, "waiting: {why}"),
            Phase::Stopped(why) => write!(f, "stopped: {why}"),
        }
    }
}

/// One node, as of its last commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// What it is at.
    pub phase: Phase,
    /// When it runs, as the file says or as the planner chose; none: `auto`, and no host runs it.
    pub rhythm: Option<Rhythm>,
    /// Whether the planner chose the rhythm.
    pub rhythm_auto: bool,
    /// Cut of its last commit.
    pub cut: Sequence,
    /// Newest durable sequence of the log; a node at this cut has nothing to do.
    pub durable: Sequence,
    /// Rows in its input that it has not committed.
    pub lag_rows: u64,
    /// Its watermark, when it has one.
    pub watermark: Option<Timestamp>,
    /// When the last commit was made.
    pub committed_at: Option<Timestamp>,
    /// Rows taken, late, rejected, out, since it began.
    pub counts: BTreeMap<String, u64>,
}

/// The phases of the nodes of a running host, and how much it has done.
#[derive(Debug, Default)]
pub struct StatusBoard {
    phases: Mutex<BTreeMap<String, Phase>>,
    rhythms: Mutex<BTreeMap<String, (Rhythm, bool)>>,
    rows: std::sync::atomic::AtomicU64,
    commits: std::sync::atomic::AtomicU64,
}

impl StatusBoard {
    /// Sets what a node is at.
    pub fn phase(&self, node: &str, phase: Phase) {
        self.phases
            .lock()
            .expect("nobody panics with the board")
            .insert(node.to_owned(), phase);
    }

    /// Sets when a node runs, and whether the planner chose that.
    pub fn rhythm(&self, node: &str, rhythm: &Rhythm, auto: bool) {
        self.rhythms
            .lock()
            .expect("nobody panics with the board")
            .insert(node.to_owned(), (rhythm.clone(), auto));
    }

    /// When a node of this run runs, and whether the planner chose that.
    pub fn rhythm_of(&self, node: &str) -> Option<(Rhythm, bool)> {
        let rhythms = self.rhythms.lock().expect("nobody panics with the board");
        rhythms.get(node).cloned()
    }

    /// An error stopped a node.
    pub fn stopped(&self, node: &str, error: &Error) {
        self.phase(node, Phase::Stopped(error.to_string()));
    }

    /// A node waits.
    pub fn waiting(&self, node: &str, error: &Error) {
        self.phase(node, Phase::Waiting(error.to_string()));
    }

    /// A node has committed, this many rows further on.
    pub fn committed(&self, node: &str, rows: u64) {
        self.phase(node, Phase::Running);
        self.rows
            .fetch_add(rows, std::sync::atomic::Ordering::Relaxed);
        self.commits
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// Rows that nodes of this run have taken.
    pub fn rows(&self) -> u64 {
        self.rows.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Commits of this run.
    pub fn commits(&self) -> u64 {
        self.commits.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// What a node is at.
    pub fn get(&self, node: &str) -> Phase {
        let phases = self.phases.lock().expect("nobody panics with the board");
        phases.get(node).cloned().unwrap_or(Phase::Resting)
    }

    /// No host runs any more.
    pub fn clear(&self) {
        self.phases
            .lock()
            .expect("nobody panics with the board")
            .clear();
    }
}
