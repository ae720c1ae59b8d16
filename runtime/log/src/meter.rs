//! What the calling thread has used so far: processor time, bytes, syncs. Counted where the work is done and read as
//! differences by those who want to know what a piece of work took. Never part of a result.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// What a thread has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Processor time, in nanoseconds.
    pub cpu_ns: u64,
    /// Of it, inside plugins.
    pub guest_ns: u64,
    /// Bytes of columns read from the log.
    pub read_bytes: u64,
    /// Bytes written to files.
    pub written_bytes: u64,
    /// Syncs of files.
    pub syncs: u64,
}

impl Used {
    /// What was used between an earlier look and this one.
    #[must_use]
    pub fn since(self, earlier: Used) -> Used {
        Used {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            guest_ns: self.guest_ns.saturating_sub(earlier.guest_ns),
            read_bytes: self.read_bytes.saturating_sub(earlier.read_bytes),
            written_bytes: self.written_bytes.saturating_sub(earlier.written_bytes),
            syncs: self.syncs.saturating_sub(earlier.syncs),
        }
    }

    /// Adds another's.
    pub fn add(&mut self, other: Used) {
        self.cpu_ns += other.cpu_ns;
        self.guest_ns += other.guest_ns;
        self.read_bytes += other.read_bytes;
        self.written_bytes += other.written_bytes;
        self.syncs += other.syncs;
    }
}

impl Used {
    /// Parts of it in proportion to these weights, in their order; they sum to it exactly.
    pub fn shared(self, weights: &[u64]) -> Vec<Used> {
        let all: u128 = weights.iter().map(|w| u128::from(*w)).sum();
        let mut given = Used::default();
        let mut weight = 0_u128;
        let part = |w: &u64| {
            weight += u128::from(*w);
            let up_to = |amount: u64| match all {
                0 => amount,
                _ => u64::try_from(u128::from(amount) * weight / all).unwrap_or(amount),
            };
            let until = Used {
                cpu_ns: up_to(self.cpu_ns),
                guest_ns: up_to(self.guest_ns),
                read_bytes: up_to(self.read_bytes),
                written_bytes: up_to(self.written_bytes),
                syncs: up_to(self.syncs),
            };
            let part = until.since(given);
            given = until;
            part
        };
        weights.iter().map(part).collect()
    }
}

thread_local! {
    static USED: Cell<Used> = const { Cell::new(Used { cpu_ns: 0, guest_ns: 0, read_bytes: 0, written_bytes: 0, syncs: 0 }) };
}

/// Whether nothing is counted.
static PAUSED: AtomicBool = AtomicBool::new(false);

/// Counts nothing in the whole process from now on, or counts again. For benchmarks of what counting takes; work that was
/// begun before is told wrongly.
pub fn pause(paused: bool) {
    PAUSED.store(paused, Ordering::Relaxed);
}

/// Whether nothing is counted.
pub fn is_paused() -> bool {
    PAUSED.load(Ordering::Relaxed)
}

/// What the calling thread has used until now.
pub fn so_far() -> Used {
    Used {
        cpu_ns: cpu_ns(),
        ..USED.get()
    }
}

/// Processor time of the whole process until now, in nanoseconds.
pub fn process_cpu_ns() -> u64 {
    ns(clock_gettime(ClockId::ProcessCPUTime))
}

/// Does work inside a plugin and counts the processor time that it takes.
pub fn in_guest<T>(work: impl FnOnce() -> T) -> T {
    let began = cpu_ns();
    let done = work();
    let took = cpu_ns().saturating_sub(began);
    change(|used| used.guest_ns += took);
    done
}

pub(crate) fn read(bytes: usize) {
    change(|used| used.read_bytes += bytes as u64);
}

pub(crate) fn written(bytes: u64) {
    change(|used| used.written_bytes += bytes);
}

pub(crate) fn synced() {
    change(|used| used.syncs += 1);
}

fn change(by: impl FnOnce(&mut Used)) {
    if is_paused() {
        return;
    }
    let mut used = USED.get();
    by(&mut used);
    USED.set(used);
}

/// Processor time of the calling thread: a system call of about 0.2 µs, so once a call of many rows, never once a row.
fn cpu_ns() -> u64 {
    if is_paused() {
        return 0;
    }
    ns(clock_gettime(ClockId::ThreadCPUTime))
}

fn ns(time: Timespec) -> u64 {
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_the_whole() {
        let used = Used {
            cpu_ns: 1_000_001,
            guest_ns: 7,
            read_bytes: 0,
            written_bytes: 12_345,
            syncs: 2,
        };
        for weights in [&[1][..], &[0, 0, 0], &[3, 0, 5, 1], &[u64::MAX, u64::MAX]] {
            let mut sum = Used::default();
            used.shared(weights)
                .into_iter()
                .for_each(|part| sum.add(part));
            assert_eq!(sum, used, "{weights:?}");
        }
        assert_eq!(used.shared(&[1, 3])[0].cpu_ns, 250_000);
    }

    #[test]
    fn a_thread_counts_its_own() {
        let before = so_far();
        read(10);
        synced();
        let other = std::thread::spawn(|| {
            read(1000);
            so_far()
        });
        assert_eq!(other.join().expect("it ends").read_bytes, 1000);
        in_guest(|| std::hint::black_box((0..100_000_u64).fold(0, |a, b| a ^ (b * 3))));
        let used = so_far().since(before);
        assert_eq!((used.read_bytes, used.syncs), (10, 1));
        assert!(
            used.guest_ns > 0 && used.guest_ns <= used.cpu_ns,
            "{used:?}"
        );
    }
}
