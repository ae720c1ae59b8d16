//! What a host counts while it runs and when it is asked: the ledger, and the consumers to be looked at.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use refrain_log::ids::{Sequence, Timestamp};
use refrain_log::log::Log;
use refrain_log::meter::{is_paused, process_cpu_ns};

use super::books::Work;
use super::commits::CommitFigures;
use super::freshness::pending;
use super::ledger::Ledger;
use super::outside::Outside;

/// Looks at a consumer are at least so far apart at commits, in microseconds: its measured times are right to that.
const LOOK_US: i64 = 1_000_000;

/// Between two looks at appends and at the rest of the process while nodes commit, in microseconds.
const LOOK_OUTSIDE_US: i64 = 10_000_000;

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
    outside: Mutex<Outside>,
    looked_outside: AtomicI64,
    /// Processor time of this process that nodes and appends account for, in nanoseconds.
    accounted_ns: AtomicU64,
}

impl Gauge {
    /// Watches nobody yet.
    pub fn new(ledger: Ledger) -> Gauge {
        Gauge {
            ledger,
            watched: Mutex::default(),
            syncs: AtomicU64::new(0),
            outside: Mutex::default(),
            looked_outside: AtomicI64::new(0),
            accounted_ns: AtomicU64::new(0),
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
        if now.0 - self.looked_outside.load(Ordering::Relaxed) >= LOOK_OUTSIDE_US {
            self.look_outside(log);
        }
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

    /// A run begins.
    pub fn begin(&self, log: &Log) {
        self.look_outside(log);
        let accounted_ns = self.accounted_ns.load(Ordering::Relaxed);
        self.outside().begin(process_cpu_ns(), accounted_ns);
        self.ledger.begin(log.now());
    }

    /// A run ends.
    pub fn end(&self, log: &Log) {
        self.look_outside(log);
        self.outside().end();
        self.ledger.end(log.now());
    }

    /// The host goes: what is in no book yet is put there.
    pub fn close(&self, log: &Log) {
        if self.look_outside(log) {
            self.ledger.end(log.now());
        }
    }

    /// Puts in the books what appends and the rest of the process have used since the last look; whether there was any.
    pub fn look_outside(&self, log: &Log) -> bool {
        let now = log.now();
        self.looked_outside.store(now.0, Ordering::Relaxed);
        let mut outside = self.outside();
        let topics = outside.appended(log.used());
        let cpu_ns = topics.values().map(|used| used.cpu_ns).sum::<u64>();
        let accounted_ns = self.accounted_ns.fetch_add(cpu_ns, Ordering::Relaxed) + cpu_ns;
        let rest_ns = outside.rest_ns(process_cpu_ns(), accounted_ns);
        drop(outside);
        if topics.is_empty() && rest_ns == 0 {
            return false;
        }
        self.ledger.change(now, |books| {
            for (topic, used) in topics {
                let mut work = Work::default();
                work.used(used);
                books.appended(&topic, now, &work);
            }
            let rest = Work {
                host_ns: rest_ns,
                ..Work::default()
            };
            books.rested(now, &rest);
        });
        true
    }

    /// Rows for a topic were decoded, here or by who appends them.
    pub fn decoded(&self, topic: &str, now: Timestamp, decode_ns: u64) {
        let work = Work {
            host_ns: decode_ns,
            ..Work::default()
        };
        self.ledger
            .change(now, |books| books.appended(topic, now, &work));
    }

    fn outside(&self) -> MutexGuard<'_, Outside> {
        self.outside.lock().expect("nobody panics with the gauge")
    }

    /// The commit log has so many bytes.
    pub fn log_stands(&self, bytes: u64, now: Timestamp) {
        if is_paused() {
            return;
        }
        self.ledger
            .change(now, |books| books.log_stands(bytes, now));
    }

    /// A node has worked, and committed up to this cut.
    pub fn committed(&self, node: &str, now: Timestamp, cut: Sequence, work: &Work) {
        if is_paused() {
            return;
        }
        self.worked(node, now, work);
        let figures = CommitFigures::new(now, cut, work);
        self.ledger
            .change(now, |books| books.committed(node, figures));
    }

    /// A node has worked.
    pub fn worked(&self, node: &str, now: Timestamp, work: &Work) {
        if is_paused() {
            return;
        }
        self.syncs.fetch_add(work.syncs, Ordering::Relaxed);
        self.accounted_ns
            .fetch_add(work.cpu_ns(), Ordering::Relaxed);
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
