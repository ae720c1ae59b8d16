//! How high the commit log stands: it grows with commits and falls with bases. Laid out by the rules by which it is written
//! (`base`, `committer`) and without writing it, for who wants to know what other commits would make of it. Pure.

use std::collections::VecDeque;

use crate::base::{Owed, is_due, owed_bytes};
use crate::commit::StateOptions;
use crate::committer::SEGMENT_BYTES;

/// A commit log that is not written.
#[derive(Clone, Debug)]
pub struct Height {
    free_bytes: u64,
    live_bytes: u64,
    /// Where segments begin that are there, counted in bytes since this was made; the last one takes what comes.
    segments: VecDeque<u64>,
    end: u64,
    /// Bytes of commits since the last base.
    grown_bytes: u64,
    round: Option<Round>,
    /// Everything before this is not needed any more.
    droppable: Option<u64>,
}

/// A base under way.
#[derive(Clone, Debug)]
struct Round {
    from: u64,
    left_bytes: u64,
    owed: Owed,
}

impl Height {
    /// A log of so many bytes, of which a base of what is held would take so many.
    pub fn new(options: &StateOptions, log_bytes: u64, live_bytes: u64) -> Height {
        let full = (0..log_bytes).step_by(SEGMENT_BYTES as usize);
        let mut segments: VecDeque<u64> = full.collect();
        if segments.is_empty() {
            segments.push_back(0);
        }
        Height {
            free_bytes: options.growth_bytes,
            live_bytes,
            segments,
            end: log_bytes,
            grown_bytes: log_bytes.saturating_sub(live_bytes),
            round: None,
            droppable: None,
        }
    }

    /// Bytes of it.
    pub fn bytes(&self) -> u64 {
        self.end - self.segments[0]
    }

    /// A commit of so many bytes is made. Bytes that it owes to a base under way.
    pub fn commit(&mut self, bytes: u64) -> u64 {
        if self.round.is_none() && is_due(self.grown_bytes, self.live_bytes, self.free_bytes) {
            self.round = Some(Round {
                from: self.end,
                left_bytes: self.live_bytes,
                owed: Owed::new(self.free_bytes),
            });
        }
        self.grown_bytes += bytes;
        let (mut slice_bytes, mut owes_bytes) = (0, 0);
        match self.round.take() {
            Some(round) if round.left_bytes == 0 => {
                self.grown_bytes = 0;
                self.droppable = Some(round.from);
            }
            Some(mut round) => {
                owes_bytes = owed_bytes(bytes);
                slice_bytes = round.owed.owe(bytes).min(round.left_bytes);
                if slice_bytes > 0 {
                    round.left_bytes -= slice_bytes;
                    round.owed.paid();
                }
                self.round = Some(round);
            }
            None => {}
        }
        self.write(slice_bytes + bytes);
        self.drop_old();
        owes_bytes
    }

    fn write(&mut self, bytes: u64) {
        let begun = self.segments.back().copied().unwrap_or_default();
        if self.end > begun && self.end + bytes - begun > SEGMENT_BYTES {
            self.segments.push_back(self.end);
        }
        self.end += bytes;
    }

    fn drop_old(&mut self) {
        let second = self.segments.get(1);
        match self.droppable.zip(second) {
            Some((droppable, second)) if *second <= droppable => {
                self.segments.pop_front();
            }
            _ => self.droppable = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Little is held: the log goes up and down between what a segment and what segment and growth take.
    #[test]
    fn a_log_of_little_goes_up_and_down() {
        let mut height = Height::new(&StateOptions::default(), 0, MIB);
        let (mut highest, mut lowest, mut sum, mut count) = (0, u64::MAX, 0, 0);
        for commit in 0..10_000 {
            height.commit(MIB / 10);
            if commit > 2_000 {
                highest = highest.max(height.bytes());
                lowest = lowest.min(height.bytes());
                sum += height.bytes();
                count += 1;
            }
        }
        assert!(highest < 140 * MIB, "{highest}");
        assert!(lowest < 40 * MIB, "{lowest}");
        let mean = sum / count / MIB;
        assert!((45..=85).contains(&mean), "{mean} MiB");
    }

    /// What a base takes is written bit by bit, in all once a round.
    #[test]
    fn a_base_is_written_once_a_round() {
        let live = 100 * MIB;
        let mut height = Height::new(&StateOptions::default(), live, live);
        let (mut owed, mut commits) = (0, 0);
        while owed < 10 * live {
            owed += height.commit(MIB);
            commits += 1;
        }
        // Each takes 150 MiB of commits before it is due, and 133 while it is under way.
        let rounds = commits as f64 / (150.0 + 133.0);
        assert!((9.5..10.5).contains(&rounds), "{rounds}");
    }
}
