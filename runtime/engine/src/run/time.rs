//! What a run goes by: when it is now, and how the deciding thread waits. Results know nothing of it.
//!
//! A run waits for events and for moments that its rhythms name. [`Wall`] waits as long as that takes. [`Simulated`] does
//! not: while nothing is under way it jumps to the next such moment, or to the next arrival of rows, so that a day passes
//! as fast as its work is done; or it rests before, where its clock has a pace. What lasts is measured by [`stopwatch`] in
//! either case, since work takes real time.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError};
use refrain_log::clock::{Clock, ManualClock};
use refrain_log::ids::Timestamp;

use super::options::Event;
use crate::error::Result;

/// Who has rested so long is about as cold as it gets: processors that slept take longer for the same work, twice as long for
/// rounds of a few hundred microseconds, most of it after some milliseconds.
pub(crate) const REST_MAX: Duration = Duration::from_millis(20);

/// Rests for a while; it may be shorter.
pub(crate) fn rest(time: Duration) {
    if !time.is_zero() {
        std::thread::park_timeout(time.min(REST_MAX));
    }
}

/// Now, and waiting.
pub trait Time: Send + Sync + Debug {
    /// Now.
    fn now(&self) -> Instant;

    /// Waits for an event, for `patience` at most; none: time has passed. `busy`: work is under way whose end is an event.
    fn wait(
        &self,
        events: &Receiver<Event>,
        patience: Duration,
        busy: bool,
    ) -> Result<Option<Event>>;
}

/// The time of everybody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wall;

impl Time for Wall {
    fn now(&self) -> Instant {
        stopwatch()
    }

    fn wait(
        &self,
        events: &Receiver<Event>,
        patience: Duration,
        _busy: bool,
    ) -> Result<Option<Event>> {
        match events.recv_timeout(patience) {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                unreachable!("the run holds a sender through its watch")
            }
        }
    }
}

/// What comes from outside in a simulated run.
pub trait Arrivals: Send {
    /// When the next rows come, not before the ones before them; none: no more will.
    fn next_at(&mut self) -> Option<Timestamp>;

    /// Brings them: they are durable when it returns.
    fn bring(&mut self) -> Result<()>;
}

/// Time that passes when nothing is under way: it jumps to what comes next, and the host's clock with it. At its end the
/// run is stopped.
pub struct Simulated {
    clock: Arc<ManualClock>,
    /// The same moment on both clocks.
    began: (Instant, Timestamp),
    until: Timestamp,
    arrivals: Mutex<Box<dyn Arrivals>>,
}

impl Debug for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Simulated({:?} until {:?})", self.clock, self.until)
    }
}

impl Simulated {
    /// From what the clock shows now until then. The host must be open on the same clock.
    pub fn new(
        clock: Arc<ManualClock>,
        until: Timestamp,
        arrivals: Box<dyn Arrivals>,
    ) -> Simulated {
        Simulated {
            began: (stopwatch(), clock.now()),
            clock,
            until,
            arrivals: Mutex::new(arrivals),
        }
    }
}

impl Time for Simulated {
    fn now(&self) -> Instant {
        let us = self.clock.now().0.saturating_sub(self.began.1.0).max(0);
        self.began.0 + Duration::from_micros(us.unsigned_abs())
    }

    fn wait(
        &self,
        events: &Receiver<Event>,
        patience: Duration,
        busy: bool,
    ) -> Result<Option<Event>> {
        if busy {
            let event = events.recv();
            return Ok(Some(
                event.expect("the run holds a sender through its watch"),
            ));
        }
        if let Ok(event) = events.try_recv() {
            return Ok(Some(event));
        }
        let now = self.clock.now();
        if now >= self.until {
            return Ok(Some(Event::Stop));
        }
        let patience_us = i64::try_from(patience.as_micros()).unwrap_or(i64::MAX);
        let due = Timestamp(now.0.saturating_add(patience_us)).min(self.until);
        let mut arrivals = self.arrivals.lock().expect("nobody panics with arrivals");
        let arrival = arrivals.next_at().filter(|at| *at <= due);
        let next = arrival.map_or(due, |at| at.max(now));
        rest(self.clock.lasts(next.0.abs_diff(now.0)));
        self.clock.set(next);
        if arrival.is_some() {
            arrivals.bring()?;
        }
        Ok(None)
    }
}

/// What the clock on the wall shows, for measuring how long work takes.
#[expect(
    clippy::disallowed_methods,
    reason = "the one room of a run where the clock is read: decides when work is done, never what comes out"
)]
pub(crate) fn stopwatch() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use crossbeam::channel::unbounded;

    use super::*;

    struct Each {
        next_us: i64,
        every_us: i64,
        brought: crossbeam::channel::Sender<i64>,
    }

    impl Arrivals for Each {
        fn next_at(&mut self) -> Option<Timestamp> {
            Some(Timestamp(self.next_us))
        }

        fn bring(&mut self) -> Result<()> {
            self.brought.send(self.next_us).expect("the test listens");
            self.next_us += self.every_us;
            Ok(())
        }
    }

    /// Time goes from one moment to the next, both clocks together, and ends at its end.
    #[test]
    fn simulated_time_goes_from_moment_to_moment() {
        let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
        let (brought, arrived) = unbounded();
        let each = Each {
            next_us: 3_500_000,
            every_us: 2_000_000,
            brought,
        };
        let time = Simulated::new(Arc::clone(&clock), Timestamp(6_000_000), Box::new(each));
        let began = time.now();
        let (sender, events) = unbounded();
        let mut seen = Vec::new();
        loop {
            match time
                .wait(&events, Duration::from_secs(1), false)
                .expect("no append fails")
            {
                Some(event) => break assert!(matches!(event, Event::Stop)),
                None => seen.push(clock.now().0),
            }
            let us = (time.now() - began).as_micros() as i64;
            assert_eq!(us + 1_000_000, clock.now().0, "both show the same");
        }
        let wanted = [
            2_000_000, 3_000_000, 3_500_000, 4_500_000, 5_500_000, 6_000_000,
        ];
        assert_eq!(seen, wanted);
        assert_eq!(
            arrived.try_iter().collect::<Vec<_>>(),
            [3_500_000, 5_500_000]
        );
        // An event that waits comes before any other moment.
        clock.set(Timestamp(2_000_000));
        sender.send(Event::Durable).expect("it listens");
        let event = time
            .wait(&events, Duration::from_secs(1), false)
            .expect("no append fails");
        assert!(matches!(event, Some(Event::Durable)) && clock.now().0 == 2_000_000);
    }

    /// While work is under way no time passes.
    #[test]
    fn simulated_time_stands_still_while_work_is_under_way() {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let (brought, arrived) = unbounded();
        let each = Each {
            next_us: 1,
            every_us: 1,
            brought,
        };
        let time = Simulated::new(Arc::clone(&clock), Timestamp(10), Box::new(each));
        let (sender, events) = unbounded();
        let work = std::thread::spawn(move || sender.send(Event::Durable).is_ok());
        let event = time
            .wait(&events, Duration::ZERO, true)
            .expect("no append fails");
        assert!(matches!(event, Some(Event::Durable)));
        assert!(work.join().expect("it ends"), "it was heard");
        assert!(clock.now().0 == 0 && arrived.is_empty());
    }
}
