//! A thread that says when new frames are durable.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam::channel::Sender;
use refrain_log::log::Log;

use super::options::Event;
use super::rhythm::now;
use crate::meter::Arrivals;

/// A thread that says when new frames are durable.
pub(super) struct Watch {
    thread: std::thread::JoinHandle<()>,
    over: Arc<std::sync::atomic::AtomicBool>,
}

impl Watch {
    pub(super) fn start(
        log: Arc<Log>,
        arrivals: Arc<Mutex<Arrivals>>,
        events: Sender<Event>,
    ) -> Watch {
        let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let flag = Arc::clone(&over);
        let body = move || {
            let mut seen = log.durable();
            while !flag.load(std::sync::atomic::Ordering::SeqCst) {
                let durable = log.wait_beyond(seen, Duration::from_secs(60));
                if durable > seen {
                    let mut arrivals = arrivals.lock().expect("nobody panics with the board");
                    arrivals.note(durable, now());
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
        self.over.store(true, std::sync::atomic::Ordering::SeqCst);
        log.wake();
        self.thread.join().expect("the watch does not panic");
    }
}
