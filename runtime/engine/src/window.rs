//! Windows of event time, [start, end), at multiples of a step since the epoch: tumbling ones, each row in one, and
//! sliding ones, each row in several. Pure.

use crate::watermark::NEVER;

/// The arithmetic of tumbling windows.
#[derive(Clone, Copy, Debug)]
pub struct Tumbling {
    size: i64,
    lateness: i64,
}

/// A window, by its place on the time line: it spans [index × size, (index + 1) × size).
pub type Index = i64;

impl Tumbling {
    /// Windows of `size_us`, kept open for `lateness_us` past their end. The pipeline check has seen to it that the
    /// size is positive and the lateness is not negative.
    pub fn new(size_us: i64, lateness_us: i64) -> Self {
        assert!(
            size_us > 0 && lateness_us >= 0,
            "window sizes are checked with the pipeline file"
        );
        Self {
            size: size_us,
            lateness: lateness_us,
        }
    }

    /// The window of an event time.
    #[inline(always)]
    pub fn of(&self, time: i64) -> Index {
        time.div_euclid(self.size)
    }

    /// Start of a window, in microseconds.
    pub fn start(&self, index: Index) -> i64 {
        index.saturating_mul(self.size)
    }

    /// First event time after the window.
    pub fn end(&self, index: Index) -> i64 {
        index.saturating_add(1).saturating_mul(self.size)
    }

    /// The first window that is still open at this watermark: a row of an earlier one is late.
    /// A window closes when watermark ≥ end + lateness.
    pub fn first_open(&self, watermark: i64) -> Index {
        if watermark == NEVER {
            return Index::MIN;
        }
        watermark
            .saturating_sub(self.lateness)
            .div_euclid(self.size)
    }

    /// The watermark at which the window closes.
    pub fn closes_at(&self, index: Index) -> i64 {
        self.end(index).saturating_add(self.lateness)
    }
}

/// The arithmetic of sliding windows: window i spans [i × every, i × every + size).
#[derive(Clone, Copy, Debug)]
pub struct Sliding {
    size: i64,
    every: i64,
    lateness: i64,
}

impl Sliding {
    /// Windows of `size_us` that begin every `every_us`, kept open for `lateness_us` past their end. The pipeline check
    /// has seen to it that they overlap or touch.
    pub fn new(size_us: i64, every_us: i64, lateness_us: i64) -> Self {
        assert!(
            every_us > 0 && size_us >= every_us && lateness_us >= 0,
            "window sizes are checked with the pipeline file"
        );
        Self {
            size: size_us,
            every: every_us,
            lateness: lateness_us,
        }
    }

    /// The first and the last window of an event time.
    #[inline(always)]
    pub fn of(&self, time: i64) -> (Index, Index) {
        let last = time.div_euclid(self.every);
        let first = time.saturating_sub(self.size).div_euclid(self.every) + 1;
        (first, last)
    }

    /// Start of a window, in microseconds.
    pub fn start(&self, index: Index) -> i64 {
        index.saturating_mul(self.every)
    }

    /// First event time after the window.
    pub fn end(&self, index: Index) -> i64 {
        self.start(index).saturating_add(self.size)
    }

    /// The first window that is still open at this watermark.
    pub fn first_open(&self, watermark: i64) -> Index {
        if watermark == NEVER {
            return Index::MIN;
        }
        let passed = watermark
            .saturating_sub(self.lateness)
            .saturating_sub(self.size);
        passed.div_euclid(self.every) + 1
    }

    /// The watermark at which the window closes.
    pub fn closes_at(&self, index: Index) -> i64 {
        self.end(index).saturating_add(self.lateness)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_all_windows_that_span_it() {
        let windows = Sliding::new(60, 25, 10);
        assert_eq!(windows.of(0), (-2, 0));
        assert_eq!(windows.of(10), (-1, 0));
        assert_eq!(windows.of(59), (0, 2));
        assert_eq!(windows.of(60), (1, 2));
        assert_eq!(windows.first_open(NEVER), Index::MIN);
        assert_eq!(windows.first_open(69), 0);
        assert_eq!(windows.first_open(70), 1);
    }

    #[test]
    fn a_window_is_open_until_the_watermark_reaches_its_end_and_lateness() {
        let windows = Tumbling::new(60, 10);
        assert_eq!(windows.of(-1), -1);
        assert_eq!(windows.of(59), 0);
        assert_eq!(windows.of(60), 1);
        assert_eq!(windows.first_open(NEVER), Index::MIN);
        assert_eq!(windows.first_open(69), 0);
        assert_eq!(windows.first_open(70), 1);
        assert_eq!(windows.closes_at(0), 70);
    }

    proptest::proptest! {
        #[test]
        fn first_open_and_closes_at_say_the_same(size in 1i64..1000, late in 0i64..1000, mark in -5000i64..5000, index in -50i64..50) {
            let windows = Tumbling::new(size, late);
            proptest::prop_assert_eq!(index < windows.first_open(mark), mark >= windows.closes_at(index));
        }

        #[test]
        fn sliding_windows_agree_with_their_spans(every in 1i64..100, more in 0i64..1000, late in 0i64..100, mark in -5000i64..5000, index in -50i64..50) {
            let windows = Sliding::new(every + more, every, late);
            proptest::prop_assert_eq!(index < windows.first_open(mark), mark >= windows.closes_at(index));
            let (first, last) = windows.of(mark);
            let spans = |i: i64| windows.start(i) <= mark && mark < windows.end(i);
            proptest::prop_assert!(spans(first) && spans(last) && !spans(first - 1) && !spans(last + 1));
        }
    }
}
