//! Which runs are merged: a decision over their sizes alone.
//!
//! Merging everything into the oldest run waits until the younger ones have come to as much as it has; until then, runs of about
//! one size are merged into one. So an entry is written once a size, and twice at the end, however large all of it
//! becomes; and what is deleted or replaced never takes more room than what lives, merges under way not counted.

use std::ops::Range;

/// So many runs of about one size are merged.
const RUNS_MERGED: usize = 4;
/// Runs in memory are merged while they come to less than this: a commit waits for it.
const WAITED_BYTES: u64 = 8 << 20;

/// What of the runs in files, the oldest first, is to be merged now; none: nothing.
pub(super) fn merge(sizes: &[u64]) -> Option<Range<usize>> {
    let (oldest, younger) = sizes.split_first()?;
    if !younger.is_empty() && younger.iter().sum::<u64>() >= *oldest {
        return Some(0..sizes.len());
    }
    let mut from = sizes.len();
    let mut sum = 0;
    // Those that are not larger than all younger ones together.
    while from > 1 && (sum == 0 || sizes[from - 1] <= sum) {
        from -= 1;
        sum += sizes[from];
    }
    (sizes.len() - from >= RUNS_MERGED).then_some(from..sizes.len())
}

/// How many of the runs in memory, from the youngest on, are to be merged now.
pub(super) fn merge_in_memory(sizes: &[u64]) -> usize {
    let mut sizes = sizes.iter().rev();
    let Some(mut sum) = sizes.next().copied() else {
        return 0;
    };
    let mut merged = 1;
    for size in sizes {
        if *size >= 2 * sum || sum + size > WAITED_BYTES {
            break;
        }
        sum += size;
        merged += 1;
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written in all when so many runs of one size come, of keys that are all new or all the same.
    fn written(runs: u64, size: u64, replaced_by: u64) -> (u64, usize, u64) {
        let (mut sizes, mut written, mut most, mut room) = (Vec::new(), 0, 0, 0);
        for _ in 0..runs {
            sizes.push(size);
            written += size;
            while let Some(range) = merge(&sizes) {
                let all = range.len() == sizes.len();
                let mut sum: u64 = sizes.drain(range.clone()).sum();
                if all {
                    sum = sum.min(replaced_by);
                }
                written += sum;
                sizes.insert(range.start, sum);
            }
            most = most.max(sizes.len());
            room = room.max(sizes.iter().sum());
        }
        (written / (runs * size), most, room)
    }

    #[test]
    fn little_is_written_again_and_again() {
        // All keys are new: each doubling writes all.
        let (times, most, _) = written(1000, 10, u64::MAX);
        assert!(times <= 7 && most <= 12, "{times} times, {most} runs");
        // A thousand runs that replace what a hundred of them hold.
        let (times, most, room) = written(1000, 10, 1000);
        assert!(times <= 5 && most <= 12, "{times} times, {most} runs");
        assert!(room <= 2000, "{room} bytes for 1000");
    }

    #[test]
    fn runs_are_merged_with_their_like() {
        assert_eq!(merge(&[]), None);
        assert_eq!(merge(&[5]), None);
        assert_eq!(merge(&[5, 5]), Some(0..2));
        assert_eq!(merge(&[100, 40, 10, 10, 10]), None);
        assert_eq!(merge(&[100, 40, 10, 10, 10, 10]), Some(1..6));
        assert_eq!(merge(&[200, 60, 10, 10, 10, 10]), Some(2..6));
        assert_eq!(merge_in_memory(&[]), 0);
        assert_eq!(merge_in_memory(&[8, 4, 2, 1]), 1);
        assert_eq!(merge_in_memory(&[8, 4, 2, 2]), 4);
        assert_eq!(merge_in_memory(&[8 << 20, 5 << 20]), 1);
    }
}
