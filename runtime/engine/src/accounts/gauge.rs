//! What a host counts while it runs and when it is asked: the ledger, and the consumers to be looked at.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use refrain_log::ids::{Sequence, Timestamp};
use refrain_log::log::Log;

use super::books::Work;
use super::freshness::pending;
use super::ledger::Ledger;

/// Looks at a consumer are at least so far apart at commits, in microseconds: its measured times are right to that.
const LOOK_US: i64 = 1_000_000;

/// A consumer with a need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its name.
    pub consumer: String,
    /// The node that keeps its view.
    pub node: String,
    /// How fresh it needs it, in microseconds.
    pub need_us: i64,
    /// Source topics that the view comes from.
    pub sources: Vec<String>,
}

/// The ledger and who is watched.
#[derive(Debug)]
pub struct Gauge {
    /// The books.
    pub ledger: Ledger,
    watched: Mutex<Vec<(Watched, Timestamp)>>,
    syncs: AtomicU64,
}

impl Gauge {
    /// Watches nobody yet.
    pub fn new(ledger: Ledger) -> Gauge {
        Gauge {
            ledger,
            watched: Mutex::default(),
            syncs: AtomicU64::new(0),
        }
    }

    /// Watches these consumers and no others.
    pub fn watch(&self, list: Vec<Watched>) {
        let list = list.into_iter().map(|watched| (watched, Timestamp(0)));
        *self.watched() = list.collect();
    }

    /// A node is about to move from `cut`: looks at the consumers of its view, unless that was done a moment ago.
    pub fn moves(&self, log: &Log, node: &str, cut: Sequence) {
        let now = log.now();
        for (watched, looked) in &mut *self.watched() {
            let patience = LOOK_US.min(watched.need_us / 10);
            if watched.node == node && now.0 - looked.0 >= patience {
                self.look(log, watched, cut, now);
                *looked = now;
            }
        }
    }

    /// Looks at every consumer now; `cut_of` says how far a node has committed.
    pub fn look_at_all(&self, log: &Log, cut_of: impl Fn(&str) -> Sequence) {
        let now = log.now();
        for (watched, looked) in &mut *self.watched() {
            self.look(log, watched, cut_of(&watched.node), now);
            *looked = now;
        }
    }

    fn look(&self, log: &Log, watched: &Watched, cut: Sequence, now: Timestamp) {
        // What is damaged is told by who reads it for a result.
        let oldest = pending(log, &watched.sources, cut).unwrap_or_default();
        self.ledger.change(now, |books| {
            books.observe(&watched.consumer, watched.need_us, oldest, now);
        });
    }

    fn watched(&self) -> MutexGuard<'_, Vec<(Watched, Timestamp)>> {
        self.watched.lock().expect("nobody panics with the gauge")
    }

    /// Durable writes of nodes since this was made.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// A node has worked.
    pub fn worked(&self, node: &str, now: Timestamp, work: &Work) {
        self.syncs.fetch_add(work.syncs, Ordering::Relaxed);
        self.ledger.change(now, |books| books.work(node, now, work));
    }

    /// A pass of a node begins; `missed` runs before it did not happen.
    pub fn ran(&self, node: &str, now: Timestamp, missed: u64) {
        self.ledger
            .change(now, |books| books.ran(node, now, missed));
    }

    /// When a node's last pass began.
    pub fn last_run(&self, node: &str) -> Option<Timestamp> {
        let books = self.ledger.books();
        let last = books.runs.get(node).map(|r| r.last);
        last.filter(|last| *last > 0).map(Timestamp)
    }
}
