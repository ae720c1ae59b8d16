//! What a round takes of the process beside its node: it is handed to a worker that sleeps, and comes back to a thread that
//! sleeps meanwhile. Tried out, since it is another amount on each machine.

use std::time::Duration;

use crossbeam::channel::unbounded;
use refrain_log::meter::so_far;

use crate::run::time::stopwatch;

/// Rounds that are handed over.
const ROUNDS: usize = 64;
/// How long each side works meanwhile, so that the other one falls asleep.
const WORK: Duration = Duration::from_micros(200);

/// Processor time for one round, in nanoseconds: the median of some.
pub(super) fn round_ns() -> f64 {
    let (hand, handed) = unbounded::<()>();
    let (tell, told) = unbounded::<u64>();
    let mut rounds = Vec::with_capacity(ROUNDS);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut before = so_far();
            for () in &handed {
                let waited = so_far().since(before);
                work();
                before = so_far();
                if tell.send(waited.cpu_ns).is_err() {
                    return;
                }
            }
        });
        for _ in 0..ROUNDS {
            work();
            let before = so_far();
            // The worker is there until it is told nothing more.
            let answer = hand.send(()).ok().and_then(|()| told.recv().ok());
            rounds.push(answer.unwrap_or(0) + so_far().since(before).cpu_ns);
        }
        drop(hand);
    });
    rounds.sort_unstable();
    rounds[ROUNDS / 2] as f64
}

fn work() {
    let began = stopwatch();
    while stopwatch().saturating_duration_since(began) < WORK {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_round_takes_something_of_the_process() {
        assert!(super::round_ns() > 0.0);
    }
}
