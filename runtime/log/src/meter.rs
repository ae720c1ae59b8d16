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
    static LAP: Cell<Option<Lap>> = const { Cell::new(None) };
}

/// What happened since a thread was last asked what it has used. The clock on the wall is read for each call of a plugin,
/// since that costs a tenth of asking the system for processor time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lap {
    /// Processor time of the thread when it began.
    cpu_ns: u64,
    /// Time on the wall when it began.
    wall_ns: u64,
    /// Time on the wall inside plugins since then.
    guest_wall_ns: u64,
}

impl Lap {
    fn begin() -> Lap {
        Lap {
            cpu_ns: cpu_ns(),
            wall_ns: wall_ns(),
            guest_wall_ns: 0,
        }
    }

    /// Processor time inside plugins in a lap that ends now: all of the lap's, shared by time on the wall. A lap is a turn
    /// of work, so where the thread had to wait, for a core or for the disk, both shares lose alike.
    fn guest_ns(self, cpu_ns: u64, wall_ns: u64) -> u64 {
        let cpu = cpu_ns.saturating_sub(self.cpu_ns);
        let wall = wall_ns.saturating_sub(self.wall_ns);
        let share = u128::from(cpu) * u128::from(self.guest_wall_ns) / u128::from(wall.max(1));
        u64::try_from(share)
            .unwrap_or(u64::MAX)
            .min(cpu)
            .min(self.guest_wall_ns)
    }
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

/// What the calling thread has used until now. Of the processor time since the last look the part inside plugins is that
/// of their time on the wall, exact as long as the thread did not have to wait.
pub fn so_far() -> Used {
    if is_paused() {
        return USED.get();
    }
    let now = Lap::begin();
    if let Some(lap) = LAP.replace(Some(now)) {
        change(|used| used.guest_ns += lap.guest_ns(now.cpu_ns, now.wall_ns));
    }
    Used {
        cpu_ns: now.cpu_ns,
        ..USED.get()
    }
}

/// Processor time of the whole process until now, in nanoseconds.
pub fn process_cpu_ns() -> u64 {
    ns(clock_gettime(ClockId::ProcessCPUTime))
}

/// Does work inside a plugin and counts the time that it takes.
pub fn in_guest<T>(work: impl FnOnce() -> T) -> T {
    if is_paused() {
        return work();
    }
    if LAP.get().is_none() {
        LAP.set(Some(Lap::begin()));
    }
    let began = wall_ns();
    let done = work();
    let took = wall_ns().saturating_sub(began);
    // The work may have looked, too, and begun another lap.
    LAP.set(LAP.get().map(|lap| Lap {
        guest_wall_ns: lap.guest_wall_ns + took,
        ..lap
    }));
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

/// Processor time of the calling thread: a system call of some 0.5 µs, so once a turn of work.
fn cpu_ns() -> u64 {
    ns(clock_gettime(ClockId::ThreadCPUTime))
}

/// Time on the wall, from any beginning.
fn wall_ns() -> u64 {
    ns(clock_gettime(ClockId::Monotonic))
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
    fn a_lap_is_shared_by_time_on_the_wall() {
        let lap = |guest_wall_ns| Lap {
            cpu_ns: 1_000,
            wall_ns: 50_000,
            guest_wall_ns,
        };
        let table = [
            // without a wait: as the wall says
            (300, 2_000, 51_000, 300),
            // half of the time somebody else had the core
            (300, 1_500, 51_000, 150),
            // clocks are not read at one moment
            (1_000, 1_990, 51_000, 990),
            (1_001, 3_000, 51_000, 1_001),
            (0, 2_000, 51_000, 0),
            (0, 1_000, 50_000, 0),
        ];
        for (guest_wall_ns, cpu_ns, wall_ns, wanted) in table {
            let guest = lap(guest_wall_ns).guest_ns(cpu_ns, wall_ns);
            assert_eq!(guest, wanted, "{guest_wall_ns} {cpu_ns} {wall_ns}");
        }
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
