//! Chance from a printed seed, sizes from the environment, and waiting for something to become true.

use std::time::{Duration, Instant, SystemTime};

/// Numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Luck(u64);

impl Luck {
    /// The same numbers every time.
    pub fn of(seed: u64) -> Self {
        Luck(seed)
    }

    /// From `REFRAIN_SEED`, or another seed every time; printed, so that a failure can be had again.
    #[expect(
        clippy::disallowed_methods,
        reason = "a new seed for each run of the tests"
    )]
    pub fn printed(test: &str) -> Self {
        let given = std::env::var("REFRAIN_SEED").ok();
        let seed = given.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            since.map_or(0, |d| d.as_micros() as u64)
        });
        println!("{test}: REFRAIN_SEED={seed}");
        Luck(seed)
    }

    /// The next number.
    #[expect(
        clippy::should_implement_trait,
        reason = "numbers without an end are no iterator"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Waits for a random time below `longest`.
    pub fn pause(&mut self, longest: Duration) {
        std::thread::sleep(Duration::from_micros(
            self.below(longest.as_micros() as u64),
        ));
    }
}

/// A size from the environment, such as `REFRAIN_KILLS`.
pub fn count(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// The longest that anything in these tests may take before it counts as hanging.
pub fn patience() -> Duration {
    Duration::from_secs(60)
}

/// Waits until `probe` gives something; panics with `what` when it never does.
#[expect(
    clippy::disallowed_methods,
    reason = "a bound on waiting decides no result"
)]
pub fn poll<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < patience(), "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
