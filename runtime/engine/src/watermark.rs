//! Watermarks: how far event time has come, as the log says it. Pure.
//!
//! Each partition of an input has one: at a row, the largest event time of the earlier rows of that partition less the
//! topic's disorder. A task that is fed by several partitions takes the minimum at each row in log order. A partition
//! without rows for longer than `idle`, measured in append times, holds nobody back.

use refrain_log::ids::Timestamp;
use serde::{Deserialize, Serialize};

/// Before every event time.
pub const NEVER: i64 = i64::MIN;

/// What a task knows of one partition of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lane {
    /// Its watermark.
    watermark: i64,
    /// Append time of its last frame with rows, or of the first frame that the task saw.
    last_data: i64,
}

/// The watermark of a task, as it stands after the rows taken so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    lanes: Vec<Lane>,
    /// The task's own; never goes back.
    current: i64,
    /// Whether a frame has been seen.
    begun: bool,
}

/// The part of a watermark that moves row by row within one frame: all but one partition stand still there.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// Watermark of the frame's own partition.
    own: i64,
    /// Minimum over the others that count; `i64::MAX` when none does.
    others: i64,
    /// The task's.
    pub current: i64,
}

impl Running {
    /// Takes the partition's watermark after a row; the task's watermark moves with it.
    #[inline(always)]
    pub fn advance(&mut self, own: i64) {
        if own > self.own {
            self.own = own;
            let least = own.min(self.others);
            if least > self.current {
                self.current = least;
            }
        }
    }
}

impl Watermark {
    /// At the beginning of an input with so many partitions.
    pub fn new(partitions: usize) -> Self {
        let lane = Lane {
            watermark: NEVER,
            last_data: NEVER,
        };
        Self {
            lanes: vec![lane; partitions],
            current: NEVER,
            begun: false,
        }
    }

    /// The task's watermark.
    pub fn current(&self) -> Timestamp {
        Timestamp(self.current)
    }

    /// The watermark of one partition.
    pub fn lane(&self, partition: usize) -> i64 {
        self.lanes[partition].watermark
    }

    /// A frame is about to begin in this partition: `data` says whether it has rows. To be said of all partitions that it
    /// begins in before any [`Watermark::begin`].
    pub fn hear(&mut self, partition: usize, append_time: Timestamp, data: bool) {
        if !self.begun {
            self.begun = true;
            for lane in &mut self.lanes {
                lane.last_data = append_time.0;
            }
        }
        if data {
            self.lanes[partition].last_data = append_time.0;
        }
    }

    /// Begins a frame, or goes on in it. The idleness of every partition is decided here; `idle_us` says from when on a
    /// partition without rows is idle.
    pub fn begin(
        &mut self,
        partition: usize,
        append_time: Timestamp,
        idle_us: impl Fn(usize) -> Option<i64>,
    ) -> Running {
        let counts = |(i, lane): (usize, &Lane)| {
            idle_us(i).is_none_or(|idle| append_time.0.saturating_sub(lane.last_data) <= idle)
        };
        let least = |skip: Option<usize>| {
            let all = self.lanes.iter().enumerate();
            all.filter(|(i, lane)| Some(*i) != skip && counts((*i, lane)))
                .map(|(_, lane)| lane.watermark)
                .min()
        };
        // When all are idle none holds the others back: the furthest counts.
        let now = least(None).or_else(|| self.lanes.iter().map(|lane| lane.watermark).max());
        self.current = self.current.max(now.unwrap_or(NEVER));
        let others = least(Some(partition)).unwrap_or(i64::MAX);
        let own = self.lanes[partition].watermark;
        Running {
            own,
            others,
            current: self.current,
        }
    }

    /// Goes on where it stands, for a task whose rows bring the watermark along that all partitions have made.
    pub fn resume(&self) -> Running {
        Running {
            own: self.lanes[0].watermark,
            others: i64::MAX,
            current: self.current,
        }
    }

    /// Ends the frame that [`Watermark::begin`] began.
    pub fn end(&mut self, partition: usize, running: Running) {
        self.lanes[partition].watermark = running.own;
        self.current = running.current;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(
        mark: &mut Watermark,
        partition: usize,
        at: i64,
        own: &[i64],
        idle: Option<i64>,
    ) -> i64 {
        mark.hear(partition, Timestamp(at), !own.is_empty());
        let mut running = mark.begin(partition, Timestamp(at), |_| idle);
        own.iter().for_each(|w| running.advance(*w));
        mark.end(partition, running);
        mark.current().0
    }

    #[test]
    fn one_partition_follows_its_rows_and_never_goes_back() {
        let mut mark = Watermark::new(1);
        assert_eq!(frame(&mut mark, 0, 1, &[5, 3, 9], None), 9);
        assert_eq!(frame(&mut mark, 0, 2, &[4], None), 9);
    }

    #[test]
    fn the_slowest_of_several_holds_back_the_others() {
        let mut mark = Watermark::new(2);
        assert_eq!(frame(&mut mark, 0, 1, &[50], None), NEVER);
        assert_eq!(frame(&mut mark, 1, 2, &[20], None), 20);
        assert_eq!(frame(&mut mark, 1, 3, &[70], None), 50);
    }

    #[test]
    fn an_idle_partition_holds_nobody_back_and_its_later_rows_do_not_turn_time_back() {
        let mut mark = Watermark::new(2);
        frame(&mut mark, 1, 0, &[20], Some(10));
        assert_eq!(frame(&mut mark, 0, 5, &[50], Some(10)), 20, "not idle yet");
        assert_eq!(frame(&mut mark, 0, 11, &[60], Some(10)), 60, "idle now");
        assert_eq!(frame(&mut mark, 1, 12, &[30], Some(10)), 60);
    }

    #[test]
    fn when_all_are_idle_a_tick_takes_the_furthest() {
        let mut mark = Watermark::new(2);
        frame(&mut mark, 1, 0, &[20], Some(10));
        frame(&mut mark, 0, 5, &[50], Some(10));
        assert_eq!(frame(&mut mark, 1, 16, &[], Some(10)), 50);
    }

    #[test]
    fn a_partition_that_never_had_rows_is_idle_from_the_first_frame_on() {
        let mut mark = Watermark::new(2);
        assert_eq!(frame(&mut mark, 0, 100, &[7], Some(10)), NEVER);
        assert_eq!(frame(&mut mark, 0, 111, &[8], Some(10)), 8);
    }
}
