//! De-duplication: of rows with the same key within a horizon, the first one.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::cell::{Span, Timestamp};
use crate::late::{self, move_timer};
use crate::plugin::{Plugin, Reject};
use crate::process::{Context, Moment, Process};
use crate::row::Row;
use crate::states::State;
use crate::wrapped::{one_input, wrapped};

/// Lets a row through unless one with its key was let through before, in log order, whose time is less than
/// [`horizon`](Dedup::horizon) away, earlier or later. The node's key says what a duplicate is. Exported as
/// `export_process!(First<MyDedup>);`.
///
/// - A row is let through at once. A duplicate is dropped without a trace.
/// - A row is late when its time is before the watermark by more than [`lateness`](Dedup::lateness), as it stands before the
///   row: it is rejected, since nobody knows any more whether it is a duplicate.
/// - State: the times let through that a row in time can still be near to; nearly always one. A key is forgotten the horizon
///   after its last row was let through.
pub trait Dedup: Plugin {
    /// A row.
    type Row<'a>: Row<'a>;
    /// What comes of one that is let through.
    type Output: Row<'static>;
    /// Name of the input.
    const INPUT: &'static str;

    /// How far from a row that was let through others with its key are duplicates. Longer than zero.
    fn horizon(&self) -> Span;

    /// How long after the watermark a row is still taken. Nothing when left out.
    fn lateness(&self) -> Span {
        Span(0)
    }

    /// What comes of a row that is let through.
    fn first(&self, row: Self::Row<'_>) -> Self::Output;
}

/// A [`Dedup`] as a process.
pub struct First<J: Dedup> {
    dedup: J,
    horizon: Span,
    lateness: Span,
}

/// A row.
pub struct DedupInput<'a, J: Dedup>(pub J::Row<'a>);

/// The times let through, in order.
#[derive(Default, Serialize, Deserialize)]
pub struct Passed(VecDeque<i64>);

impl State for Passed {}

wrapped!(First, Dedup);
one_input!(DedupInput, Dedup, J::INPUT);

impl<J: Dedup> First<J> {
    fn try_new(dedup: J) -> Result<Self, String> {
        let (horizon, lateness) = (dedup.horizon(), dedup.lateness());
        late::not_negative::<J>("lateness", lateness)?;
        if horizon.0 <= 0 {
            return Err(format!(
                "{}: the horizon is {}, and has to be longer than zero",
                J::NAME,
                horizon.show()
            ));
        }
        Ok(Self {
            dedup,
            horizon,
            lateness,
        })
    }

    fn due(&self, passed: &Passed) -> Option<Timestamp> {
        let first = Timestamp(*passed.0.front()?);
        Some(first.plus(self.horizon).plus(self.lateness))
    }

    /// Whether a row of this time is a duplicate.
    fn is_near(&self, passed: &Passed, at: i64) -> bool {
        let near = |other: &i64| other.abs_diff(at) < self.horizon.0.unsigned_abs();
        passed.0.iter().any(near)
    }
}

impl<J: Dedup> Process for First<J> {
    type Input<'a> = DedupInput<'a, J>;
    type State = Passed;
    type Output = J::Output;

    #[inline]
    fn check(&self, _: &Passed, _: &Self::Input<'_>, now: Moment) -> Result<(), Reject> {
        late::check(now, self.lateness)
    }

    #[inline]
    fn process(&self, passed: &mut Passed, row: Self::Input<'_>, context: &mut Context<J::Output>) {
        let at = context.time().0;
        if self.is_near(passed, at) {
            return;
        }
        let before = self.due(passed);
        let place = passed.0.partition_point(|other| *other <= at);
        passed.0.insert(place, at);
        context.emit(self.dedup.first(row.0));
        move_timer(context, before, self.due(passed));
    }

    fn fire(&self, passed: &mut Passed, context: &mut Context<J::Output>) {
        let horizon = late::horizon(context.now(), self.lateness);
        let over = |at: &i64| at.saturating_add(self.horizon.0) <= horizon;
        while passed.0.pop_front_if(|at| over(at)).is_some() {}
        move_timer(context, None, self.due(passed));
    }
}

#[cfg(test)]
mod tests;
