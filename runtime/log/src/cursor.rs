//! Reading one partition, frame by frame, in order.

use crate::Result;
use crate::frame::Frame;
use crate::ids::{Offset, Sequence};

/// A place in a partition. Holds its segment's map open; cheap to keep.
#[derive(Debug)]
pub struct Cursor {
    _private: (),
}

impl Cursor {
    /// The next published frame whose sequence is at most `limit` and move past it; `None` when there is none now.
    /// Marks are passed over; ticks are returned. A frame is returned whole even if the cursor was opened in its
    /// middle: the caller skips rows before its offset.
    pub fn next(&mut self, _limit: Sequence) -> Result<Option<Frame>> {
        todo!()
    }

    /// Sequence of the frame that [`Cursor::next`] would return with no limit, without moving.
    pub fn peek(&mut self) -> Result<Option<Sequence>> {
        todo!()
    }

    /// Offset of the next row.
    pub fn offset(&self) -> Offset {
        todo!()
    }
}
