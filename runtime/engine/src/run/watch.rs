//! A thread that says when new frames are durable.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam::channel::Sender;
use refrain_log::ids::Sequence;
use refrain_log::log::Log;

use super::options::Event;
use super::time::stopwatch;
use crate::meter::Arrivals;

/// Wait for new frames before looking around again.
const PATIENCE: Duration = Duration::from_secs(60);

/// A thread that says when new frames are durable.
pub(super) struct Watch {
    thread: std::thread::JoinHandle<()>,
    over: Arc<AtomicBool>,
}

impl Watch {
    /// Says each time that the log is durable beyond `seen`, which is what the run has looked at before: what becomes
    /// durable while the thread starts is told as well.
    pub(super) fn start(
        log: Arc<Log>,
        mut seen: Sequence,
        arrivals: Arc<Mutex<Arrivals>>,
        events: Sender<Event>,
    ) -> Watch {
        let over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&over);
        let body = move || {
            loop {
                // Read before the flag, so that the end is never slept over.
                let wakes = log.wakes();
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                let durable = log.wait_beyond(seen, wakes, PATIENCE);
                if durable > seen {
                    let mut arrivals = arrivals.lock().expect("nobody panics with the board");
                    arrivals.note(durable, stopwatch());
                }
                if durable > seen && events.send(Event::Durable).is_err() {
                    return;
                }
                seen = durable;
            }
        };
        let thread = std::thread::Builder::new()
            .name("watch".into())
            .spawn(body)
            .expect("threads can be started");
        Watch { thread, over }
    }

    pub(super) fn end(self, log: &Log) {
        self.over.store(true, Ordering::SeqCst);
        log.wake();
        self.thread.join().expect("the watch does not panic");
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crossbeam::channel::unbounded;
    use refrain_log::clock::ManualClock;
    use refrain_log::ids::Timestamp;
    use refrain_log::storage::MemoryStorage;

    use super::*;

    fn log() -> Arc<Log> {
        let storage = Arc::new(MemoryStorage::new(0));
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let (log, _) = Log::open(storage, clock, PathBuf::from("topics")).expect("an empty disk");
        Arc::new(log)
    }

    /// Rows appended while a run began, before its watch first looked, once waited for the next append.
    #[test]
    fn what_became_durable_before_the_first_look_is_told() {
        let (log, arrivals) = (log(), Arc::new(Mutex::new(Arrivals::default())));
        let before = log.durable();
        log.raise_sequence(Sequence(7));
        let (sender, events) = unbounded();
        let watch = Watch::start(Arc::clone(&log), before, arrivals, sender);
        let event = events.recv_timeout(Duration::from_secs(30));
        assert!(matches!(event, Ok(Event::Durable)));
        watch.end(&log);
    }
}
