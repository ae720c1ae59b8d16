//! What the host knows of its nodes while they run, for people and programs that ask.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use refrain_log::clock::{Clock, SystemClock};
use refrain_log::ids::{Sequence, Timestamp};
use serde::{Deserialize, Serialize};

use crate::accounts::Gauge;
use crate::error::Error;
use crate::histogram::Latency;
use crate::ingest::time;
use crate::meter::{Arrivals, Meter, Steps};
use crate::pipeline::Rhythm;
use crate::tap::Taps;
use crate::task::CacheCounts;

/// What a node is at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// No host runs it now.
    Resting,
    /// It takes what comes.
    Running,
    /// It has input, and has taken no batch, nor has its frontier moved, for longer than it may.
    Stalled(String),
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
            Phase::Stalled(why) => write!(f, "stalled: {why}"),
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
    /// How far it has got; beyond the cut where there was nothing to take.
    pub frontier: Sequence,
    /// Rows in its input that it has not committed.
    pub lag_rows: u64,
    /// How far the newest event time of its input is ahead of the newest that it has committed, in microseconds; none
    /// when either is unknown.
    pub lag_event_us: Option<u64>,
    /// Rows a second that it has taken over the last 10 seconds.
    pub rows_per_second: u64,
    /// Commits of this run.
    pub commits: u64,
    /// From the beginning of a commit to its end, in this run.
    pub commit: Latency,
    /// From the moment when rows were durable to the end of the commit that shows them, in this run.
    pub visible: Latency,
    /// Bytes of its state.
    pub state_bytes: u64,
    /// Bytes of its view.
    pub view_bytes: u64,
    /// Its watermark, when it has one.
    pub watermark: Option<Timestamp>,
    /// Of a node whose states are on the disk, in this run: how its open states go in and out of memory.
    pub cache: Option<CacheStatus>,
    /// When the last commit was made.
    pub committed_at: Option<Timestamp>,
    /// How long ago that was, in microseconds.
    pub commit_age_us: Option<u64>,
    /// Rows taken, late, rejected, out, since it began.
    pub counts: BTreeMap<String, u64>,
}

/// How open states of a node go in and out of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheStatus {
    /// Times that a row's state was in memory.
    pub hits: u64,
    /// States read from the store.
    pub fetched: u64,
    /// States that left memory.
    pub evicted: u64,
    /// States in memory.
    pub slots: u64,
}

/// The nodes of a running host: what they are at, how they go, and how much the run has done.
#[derive(Debug, Default)]
pub struct StatusBoard {
    nodes: Mutex<BTreeMap<String, Entry>>,
    gauge: Option<Gauge>,
    rhythms: Mutex<BTreeMap<String, (Rhythm, bool)>>,
    arrivals: Arc<Mutex<Arrivals>>,
    taps: Taps,
    rows: AtomicU64,
    commits: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    phase: Phase,
    meter: Option<Meter>,
    cache: Option<CacheStatus>,
}

/// How a node goes, as far as a run knows.
#[derive(Clone, Debug, Default)]
pub struct Going {
    /// How far it has got.
    pub frontier: Option<Sequence>,
    /// Rows a second over the last seconds.
    pub rows_per_second: u64,
    /// Commits of this run.
    pub commits: u64,
    /// Time of commits.
    pub commit: Latency,
    /// Time from durable to committed.
    pub visible: Latency,
    /// How its open states go in and out of memory, when they are on the disk.
    pub cache: Option<CacheStatus>,
}

impl StatusBoard {
    /// Sets what a node is at.
    pub fn phase(&self, node: &str, phase: Phase) {
        let mut nodes = self.lock();
        match nodes.get_mut(node) {
            Some(entry) => entry.phase = phase,
            None => {
                nodes.insert(
                    node.to_owned(),
                    Entry {
                        phase,
                        meter: None,
                        cache: None,
                    },
                );
            }
        }
    }

    /// A node takes part in a run from this frontier on, and may stand still with input for so long. Its tasks note their
    /// steps where this says.
    pub fn started(&self, node: &str, frontier: Sequence, patience: Duration) -> Arc<Steps> {
        let meter = Meter::new(now(), frontier, patience);
        let steps = meter.steps();
        self.lock().insert(
            node.to_owned(),
            Entry {
                phase: Phase::Running,
                meter: Some(meter),
                cache: None,
            },
        );
        steps
    }

    /// A board that counts.
    pub fn counting(gauge: Gauge) -> StatusBoard {
        StatusBoard {
            gauge: Some(gauge),
            ..StatusBoard::default()
        }
    }

    /// What is counted, where somebody counts.
    pub fn gauge(&self) -> Option<&Gauge> {
        self.gauge.as_ref()
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

    /// A node that should work now has input up to here.
    pub fn reaches(&self, node: &str, reachable: Sequence) {
        self.with_meter(node, |meter| meter.reaches(reachable, now()));
    }

    /// A node has got this far, with nothing to commit.
    pub fn advanced(&self, node: &str, frontier: Sequence) {
        self.with_meter(node, |meter| meter.advanced(frontier, now()));
    }

    /// A node has committed this many rows up to a cut, in a commit that took so long.
    pub fn committed(&self, node: &str, cut: Sequence, rows: u64, took: Duration) {
        self.phase(node, Phase::Running);
        let arrivals = self.arrivals.lock().expect("nobody panics with the board");
        self.with_meter(node, |meter| {
            meter.committed(cut, rows, took, &arrivals, now());
        });
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// Who looks at what nodes change.
    pub(crate) fn taps(&self) -> &Taps {
        &self.taps
    }

    /// What the caches of a node's tasks did in a round.
    pub(crate) fn cached(&self, node: &str, counts: CacheCounts) {
        if let Some(entry) = self.lock().get_mut(node) {
            let cache = entry.cache.get_or_insert_default();
            cache.hits += counts.hits;
            cache.fetched += counts.fetched;
            cache.evicted += counts.evicted;
            cache.slots = counts.slots;
        }
    }

    /// Where it is noted when sequences become durable.
    pub(crate) fn arrivals(&self) -> Arc<Mutex<Arrivals>> {
        Arc::clone(&self.arrivals)
    }

    /// Rows that nodes of this run have taken.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Commits of this run.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// What a node is at, judged by whether it gets on.
    pub fn get(&self, node: &str) -> Phase {
        let nodes = self.lock();
        let Some(entry) = nodes.get(node) else {
            return Phase::Resting;
        };
        let now = now();
        let since = entry.meter.as_ref().and_then(|m| m.stalled_since(now));
        match (&entry.phase, since) {
            (Phase::Running, Some(since)) => {
                Phase::Stalled(stall_text(now.saturating_duration_since(since)))
            }
            (phase, _) => phase.clone(),
        }
    }

    /// How a node goes.
    pub fn going(&self, node: &str) -> Going {
        let nodes = self.lock();
        let entry = nodes.get(node);
        let Some(meter) = entry.and_then(|entry| entry.meter.as_ref()) else {
            return Going::default();
        };
        Going {
            frontier: Some(meter.frontier),
            rows_per_second: meter.rows_per_second(now()),
            commits: meter.commits,
            commit: meter.commit.summary(),
            visible: meter.visible.summary(),
            cache: entry.and_then(|entry| entry.cache),
        }
    }

    fn with_meter(&self, node: &str, act: impl FnOnce(&mut Meter)) {
        if let Some(meter) = self.lock().get_mut(node).and_then(|e| e.meter.as_mut()) {
            act(meter);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.nodes.lock().expect("nobody panics with the board")
    }
}

/// Since when, for people and programs.
fn stall_text(stood: Duration) -> String {
    let stood_us = i64::try_from(stood.as_micros()).unwrap_or(i64::MAX);
    let since = SystemClock.now().0.saturating_sub(stood_us);
    format!(
        "has input, and got no further since {} ({} s)",
        time::text(since - since.rem_euclid(1_000_000)),
        stood.as_secs()
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "tells people how long things take; decides nothing"
)]
fn now() -> Instant {
    Instant::now()
}
