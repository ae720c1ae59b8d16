//! The host's clock, behind a trait: time enters the log through it and nowhere else.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::ids::Timestamp;

/// Where append times come from.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Now, in microseconds since the Unix epoch. May go backwards; the log's stamps do not.
    fn now(&self) -> Timestamp;

    /// How long it takes until it shows so many microseconds more, while nothing is under way.
    fn lasts(&self, micros: u64) -> Duration {
        Duration::from_micros(micros)
    }
}

/// The operating system's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one room where the clock is read"
    )]
    fn now(&self) -> Timestamp {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(now.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
    }
}

/// A clock that stands still until it is moved: for tests and simulation.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: std::sync::atomic::AtomicI64,
    /// So many times as fast as time; none: it jumps.
    pace: Option<NonZeroU32>,
}

impl ManualClock {
    /// A clock that shows `now`, and jumps.
    pub fn new(now: Timestamp) -> Self {
        Self {
            now: now.0.into(),
            pace: None,
        }
    }

    /// A clock that shows `now`, for a simulation in which time passes so many times as fast.
    pub fn passing(now: Timestamp, times: NonZeroU32) -> Self {
        Self {
            now: now.0.into(),
            pace: Some(times),
        }
    }

    /// Moves the clock to `now`.
    pub fn set(&self, now: Timestamp) {
        self.now.store(now.0, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(std::sync::atomic::Ordering::SeqCst))
    }

    fn lasts(&self, micros: u64) -> Duration {
        let pace = self.pace.map(|times| u64::from(times.get()));
        pace.map_or(Duration::ZERO, |times| {
            Duration::from_micros(micros / times)
        })
    }
}
