//! What one instance may use, and what holds it to that: a guard of its memory, a clock of its calls.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Engine, ResourceLimiter};

use crate::voice::Voice;

/// What one instance may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Linear memory in bytes, all memories of the instance together. Default 256 MiB.
    pub memory_bytes_max: u64,
    /// Time of one call in milliseconds, kept to within [`TICK_MS`]. Default 10,000.
    pub call_ms_max: u64,
    /// Bytes that one answer may have. Default 64 MiB.
    pub answer_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 256 << 20,
            call_ms_max: 10_000,
            answer_bytes_max: 64 << 20,
        }
    }
}

/// Step of the clock of deadlines, in milliseconds.
pub const TICK_MS: u64 = 10;

/// Wasm stack of one call in bytes. A thread that calls plugins needs at least twice this much; Rust's default threads
/// have four times.
pub const STACK_BYTES_MAX: usize = 512 << 10;

/// Bytes of a reject's reason that are kept.
pub const REASON_BYTES_MAX: usize = 4 << 10;

const _: () = assert!(STACK_BYTES_MAX * 4 <= 2 << 20);

impl Limits {
    /// Ticks from now until a call has taken too long: never early, at most one tick late.
    pub(crate) fn call_ticks(&self) -> u64 {
        self.call_ms_max.div_ceil(TICK_MS) + 1
    }

    /// The same limit as a `usize`.
    pub(crate) fn answer_bytes(&self) -> usize {
        usize::try_from(self.answer_bytes_max).unwrap_or(usize::MAX)
    }
}

/// Raised out of the guest when it asks for more memory than it may have.
///
/// Plain Wasm would answer −1 and let the guest go on. How much memory an instance holds depends on which states it
/// happens to keep, so a guest that goes on could give another result on another day: it is stopped instead.
#[derive(Debug, thiserror::Error)]
#[error("asked for {wanted_bytes} bytes of memory where {limit_bytes} are allowed")]
pub(crate) struct MemoryDenied {
    pub(crate) wanted_bytes: u64,
    pub(crate) limit_bytes: u64,
}

/// Counts the memory of one instance and denies what is over the limit; what it says goes through here, too.
#[derive(Debug)]
pub(crate) struct Guard {
    limit_bytes: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) voice: Voice,
    /// Fuel used since it was last taken; none: nobody counts.
    pub(crate) burnt: Option<u64>,
}

impl Guard {
    pub(crate) fn new(limits: &Limits, voice: Voice) -> Self {
        Self {
            limit_bytes: limits.memory_bytes_max,
            memory_bytes: 0,
            voice,
            burnt: None,
        }
    }
}

impl ResourceLimiter for Guard {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted_bytes = self.memory_bytes + desired.saturating_sub(current) as u64;
        let declared = maximum.unwrap_or(usize::MAX);
        if wanted_bytes > self.limit_bytes || desired > declared {
            return Err(wasmtime::Error::new(MemoryDenied {
                wanted_bytes,
                limit_bytes: self.limit_bytes.min(declared as u64),
            }));
        }
        self.memory_bytes = wanted_bytes;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(maximum.is_none_or(|maximum| desired <= maximum))
    }
}

/// The clock of deadlines: one thread that moves the engine's epoch on until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("plugin-clock".into())
            .spawn(move || {
                let step = Duration::from_millis(TICK_MS);
                while stopped.recv_timeout(step) == Err(mpsc::RecvTimeoutError::Timeout) {
                    engine.increment_epoch();
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only counts; a panic in it has nothing to say.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(limit_bytes: u64) -> Guard {
        {
            let limits = Limits {
                memory_bytes_max: limit_bytes,
                ..Limits::default()
            };
            Guard::new(&limits, Voice::of("test", None))
        }
    }

    #[test]
    fn growth_up_to_the_limit_is_counted() {
        let mut guard = guard(100);
        assert!(guard.memory_growing(0, 60, None).unwrap());
        assert!(guard.memory_growing(0, 40, None).unwrap());
        assert_eq!(guard.memory_bytes, 100);
    }

    #[test]
    fn growth_over_the_limit_is_raised() {
        let mut guard = guard(100);
        let error = guard.memory_growing(0, 101, None).unwrap_err();
        assert_eq!(
            error.downcast_ref::<MemoryDenied>().unwrap().wanted_bytes,
            101
        );
        assert_eq!(guard.memory_bytes, 0);
    }

    #[test]
    fn growth_over_what_the_module_declares_is_raised_too() {
        assert!(guard(1000).memory_growing(10, 30, Some(20)).is_err());
    }

    #[test]
    fn a_deadline_is_never_early() {
        let ticks = |call_ms_max| {
            Limits {
                call_ms_max,
                ..Limits::default()
            }
            .call_ticks()
        };
        assert_eq!(
            (ticks(0), ticks(1), ticks(10), ticks(11), ticks(10_000)),
            (1, 2, 2, 3, 1001)
        );
    }
}
