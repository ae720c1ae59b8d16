//! What the calling thread has used so far: processor time, bytes, syncs. Counted where the work is done and read as
//! differences by those who want to know what a piece of work took. Never part of a result.

use std::cell::Cell;

use rustix::time::{ClockId, clock_gettime};

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

thread_local! {
    static USED: Cell<Used> = const { Cell::new(Used { cpu_ns: 0, guest_ns: 0, read_bytes: 0, written_bytes: 0, syncs: 0 }) };
}

/// What the calling thread has used until now.
pub fn so_far() -> Used {
    Used {
        cpu_ns: cpu_ns(),
        ..USED.get()
    }
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
    let mut used = USED.get();
    by(&mut used);
    USED.set(used);
}

/// Processor time of the calling thread: a system call of about 0.2 µs, so once a call of many rows, never once a row.
fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

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
