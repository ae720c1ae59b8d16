//! CPU time of this process, as the system counts it.

/// Ticks that Linux counts a second for programs, on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time that this process has taken, all its threads together; 0 where the system does not say.
#[expect(
    clippy::disallowed_methods,
    reason = "the system's own file, read to tell people; decides nothing"
)]
pub(crate) fn seconds() -> f64 {
    let stat = std::fs::read("/proc/self/stat").unwrap_or_default();
    ticks(&String::from_utf8_lossy(&stat)).map_or(0.0, |ticks| ticks as f64 / TICKS_PER_SECOND)
}

/// Time in the program and in the system for it: the 14th and the 15th field; the second, in brackets, may have spaces.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_with_spaces_and_brackets_does_no_harm() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0";
        assert_eq!(super::ticks(stat), Some(300));
        assert_eq!(super::ticks(""), None);
    }
}
