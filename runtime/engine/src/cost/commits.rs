//! The commit log as nodes would fill it in other rounds: how high it stands on average, and what their commits write for
//! bases. Pure.

use refrain_state::height::Height;

/// So many commits are played at most.
const COMMITS_MAX: usize = 4_000_000;

/// A commit that comes to the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coming {
    /// When, in microseconds.
    pub time_us: i64,
    /// The place of its node.
    pub node: usize,
    /// Bytes of it.
    pub bytes: f64,
}

/// The time that is looked at, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Until when.
    pub until_us: i64,
    /// How long before that it begins.
    pub us: i64,
    /// How long what comes goes on; it comes again and again when that is shorter.
    pub laid_us: i64,
}

/// What became of the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filled {
    /// Bytes of it, on average.
    pub mean_bytes: f64,
    /// What each node's commits wrote for bases, in bytes.
    pub base_bytes: Vec<f64>,
}

/// Lets commits of so many nodes come to a log in that time.
pub fn fill(mut height: Height, mut coming: Vec<Coming>, nodes: usize, span: Span) -> Filled {
    coming.sort_by_key(|commit| commit.time_us);
    let mut filled = Filled {
        mean_bytes: height.bytes() as f64,
        base_bytes: vec![0.0; nodes],
    };
    let times = times(coming.len(), span);
    let us = if times > 1 {
        times * span.laid_us
    } else {
        span.us
    };
    if us <= 0 {
        return filled;
    }
    let from_us = span.until_us - us;
    let (mut at, mut byte_us) = (from_us, 0.0);
    for again in (0..times).rev() {
        for commit in &coming {
            let time_us = commit.time_us - again * span.laid_us;
            if time_us < from_us || time_us > span.until_us {
                continue;
            }
            byte_us += height.bytes() as f64 * (time_us - at) as f64;
            at = time_us;
            filled.base_bytes[commit.node] += height.commit(commit.bytes as u64) as f64;
        }
    }
    byte_us += height.bytes() as f64 * (span.until_us - at) as f64;
    filled.mean_bytes = byte_us / us as f64;
    // What was played stands for all of the time.
    let part = span.us as f64 / us as f64;
    filled
        .base_bytes
        .iter_mut()
        .for_each(|bytes| *bytes *= part);
    filled
}

/// How often what comes is played.
fn times(commits: usize, span: Span) -> i64 {
    let fit = (COMMITS_MAX / commits.max(1)).max(1) as i64;
    let whole = (span.us + span.laid_us / 2) / span.laid_us.max(1);
    whole.clamp(1, fit)
}

#[cfg(test)]
mod tests {
    use refrain_state::commit::StateOptions;

    use super::*;

    const MIB: u64 = 1 << 20;
    const HOUR_US: i64 = 3_600_000_000;

    fn filled(commits: i64, bytes: f64, span: Span) -> Filled {
        let coming = (1..=commits).map(|i| Coming {
            time_us: i * HOUR_US / commits,
            node: (i % 2) as usize,
            bytes,
        });
        let height = Height::new(&StateOptions::default(), 0, MIB);
        fill(height, coming.collect(), 2, span)
    }

    const HOUR: Span = Span {
        until_us: HOUR_US,
        us: HOUR_US,
        laid_us: HOUR_US,
    };

    #[test]
    fn a_log_that_grows_stands_at_half_of_it_on_average() {
        let found = filled(3_600, 1_000.0, HOUR);
        assert!(
            (found.mean_bytes / 1_800_000.0 - 1.0).abs() < 0.01,
            "{found:?}"
        );
        assert_eq!(found.base_bytes, [0.0, 0.0]);
        // One commit at the end was there for no time.
        assert_eq!(filled(1, 1e6, HOUR).mean_bytes, 0.0);
    }

    #[test]
    fn a_log_of_many_days_is_as_high_as_its_bases_let_it_be() {
        let day = Span {
            us: 24 * HOUR_US,
            ..HOUR
        };
        let found = filled(3_600, 100_000.0, day);
        let mib = found.mean_bytes / MIB as f64;
        assert!((50.0..90.0).contains(&mib), "{mib} MiB");
        // A base of 1 MiB for 64 MiB and a bit of commits.
        let bases = found.base_bytes.iter().sum::<f64>() / MIB as f64;
        let expected = 24.0 * 360.0 / 1.048_576 / 65.3;
        assert!(
            (bases / expected - 1.0).abs() < 0.1,
            "{bases} of {expected}"
        );
    }
}
