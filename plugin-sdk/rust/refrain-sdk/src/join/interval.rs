//! Interval join: rows of two inputs with the same key that happened near each other.

use std::collections::VecDeque;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::cell::{Span, Timestamp};
use crate::late::{self, Kept, KeptRow, move_timer};
use crate::plugin::{Plugin, Reject};
use crate::process::{Context, Moment, Process};
use crate::row::Row;
use crate::states::State;
use crate::wrapped::{two_inputs, wrapped};

/// Pairs of rows of two inputs with the same key, where `lower <= right's time - left's time <= upper`; both ends belong to
/// it. Exported as `export_process!(Interval<MyJoin>);`.
///
/// - A pair is given when the later of its rows comes, in log order. Rows that a new one pairs with come in order of their
///   times; those with equal times as they came.
/// - A row is late when its time is before the watermark by more than [`lateness`](IntervalJoin::lateness), as it stands
///   before the row: it is rejected. So a pair is given exactly when both of its rows were in time.
/// - A row is kept until the watermark says that no partner in time can come any more; one that found none is then given to
///   [`left_alone`](IntervalJoin::left_alone) or [`right_alone`](IntervalJoin::right_alone). With both an outer join, with
///   one a left or right join, with none an inner join. Rows that still wait at the end of the input are not alone yet.
/// - State: the rows of a key whose partners can still come.
pub trait IntervalJoin: Plugin {
    /// A row of the first input.
    type Left: KeptRow;
    /// A row of the second input.
    type Right: KeptRow;
    /// What comes of a pair.
    type Output: Row<'static>;
    /// Name of the first input.
    const LEFT: &'static str;
    /// Name of the second input.
    const RIGHT: &'static str;

    /// The right row's time less the left row's: the least and the most that it can be.
    fn within(&self) -> (Span, Span);

    /// How long after the watermark a row is still taken. Nothing when left out: the disorder of the topics is what the
    /// watermark waits for already.
    fn lateness(&self) -> Span {
        Span(0)
    }

    /// What comes of two rows; `None`: they are no pair after all.
    fn pair(&self, left: &Self::Left, right: &Self::Right) -> Option<Self::Output>;

    /// What comes of a left row that found no right one.
    fn left_alone(&self, _left: &Self::Left) -> Option<Self::Output> {
        None
    }

    /// What comes of a right row that found no left one.
    fn right_alone(&self, _right: &Self::Right) -> Option<Self::Output> {
        None
    }
}

/// An [`IntervalJoin`] as a process.
pub struct Interval<J: IntervalJoin> {
    join: J,
    lower: Span,
    upper: Span,
    lateness: Span,
}

/// A row of either input.
pub enum IntervalInput<'a, J: IntervalJoin> {
    /// Of the first.
    Left(J::Left),
    /// Of the second.
    Right(J::Right),
    #[doc(hidden)]
    Never(std::convert::Infallible, PhantomData<&'a ()>),
}

/// The rows of a key whose partners can still come, each input's in order of time.
#[derive(Serialize, Deserialize)]
#[serde(bound = "L: Kept, R: Kept")]
pub struct Waiting<L, R> {
    left: VecDeque<Waiter<L>>,
    right: VecDeque<Waiter<R>>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "T: Kept")]
struct Waiter<T> {
    at: i64,
    paired: bool,
    row: T,
}

impl<L, R> Default for Waiting<L, R> {
    fn default() -> Self {
        Self {
            left: VecDeque::new(),
            right: VecDeque::new(),
        }
    }
}

impl<L: Kept, R: Kept> State for Waiting<L, R> {}

wrapped!(Interval, IntervalJoin);
two_inputs!(IntervalInput, IntervalJoin, Left: J::Left = J::LEFT, Right: J::Right = J::RIGHT);

impl<J: IntervalJoin> Interval<J> {
    fn try_new(join: J) -> Result<Self, String> {
        let (lower, upper) = join.within();
        let lateness = join.lateness();
        late::not_negative::<J>("lateness", lateness)?;
        if lower > upper {
            return Err(format!(
                "{}: no time is both after {} and before {}",
                J::NAME,
                lower.show(),
                upper.show()
            ));
        }
        Ok(Self {
            join,
            lower,
            upper,
            lateness,
        })
    }

    /// From when on no partner of a left row comes in time.
    fn left_ends(&self, at: i64) -> i64 {
        at.saturating_add(self.upper.0).saturating_add(1)
    }

    fn right_ends(&self, at: i64) -> i64 {
        at.saturating_sub(self.lower.0).saturating_add(1)
    }

    /// When the first row of the key stops waiting.
    fn due(&self, waiting: &Waiting<J::Left, J::Right>) -> Option<Timestamp> {
        let left = waiting.left.front().map(|left| self.left_ends(left.at));
        let right = waiting.right.front().map(|right| self.right_ends(right.at));
        let first = left.into_iter().chain(right).min()?;
        Some(Timestamp(first).plus(self.lateness))
    }

    fn left(
        &self,
        waiting: &mut Waiting<J::Left, J::Right>,
        row: J::Left,
        context: &mut Context<J::Output>,
    ) {
        let at = context.time().0;
        let mut paired = false;
        let (from, to) = (
            at.saturating_add(self.lower.0),
            at.saturating_add(self.upper.0),
        );
        for right in among(&mut waiting.right, from, to) {
            if let Some(pair) = self.join.pair(&row, &right.row) {
                context.emit(pair);
                right.paired = true;
                paired = true;
            }
        }
        if self.left_ends(at) > late::horizon(context.now(), self.lateness) {
            insert(&mut waiting.left, Waiter { at, paired, row });
        } else if !paired {
            give(self.join.left_alone(&row), context);
        }
    }

    fn right(
        &self,
        waiting: &mut Waiting<J::Left, J::Right>,
        row: J::Right,
        context: &mut Context<J::Output>,
    ) {
        let at = context.time().0;
        let mut paired = false;
        let (from, to) = (
            at.saturating_sub(self.upper.0),
            at.saturating_sub(self.lower.0),
        );
        for left in among(&mut waiting.left, from, to) {
            if let Some(pair) = self.join.pair(&left.row, &row) {
                context.emit(pair);
                left.paired = true;
                paired = true;
            }
        }
        if self.right_ends(at) > late::horizon(context.now(), self.lateness) {
            insert(&mut waiting.right, Waiter { at, paired, row });
        } else if !paired {
            give(self.join.right_alone(&row), context);
        }
    }
}

impl<J: IntervalJoin> Process for Interval<J> {
    type Input<'a> = IntervalInput<'a, J>;
    type State = Waiting<J::Left, J::Right>;
    type Output = J::Output;

    #[inline]
    fn check(&self, _: &Self::State, _: &Self::Input<'_>, now: Moment) -> Result<(), Reject> {
        late::check(now, self.lateness)
    }

    fn process(
        &self,
        waiting: &mut Self::State,
        row: Self::Input<'_>,
        context: &mut Context<J::Output>,
    ) {
        let before = self.due(waiting);
        match row {
            IntervalInput::Left(row) => self.left(waiting, row, context),
            IntervalInput::Right(row) => self.right(waiting, row, context),
            IntervalInput::Never(never, _) => match never {},
        }
        move_timer(context, before, self.due(waiting));
    }

    fn fire(&self, waiting: &mut Self::State, context: &mut Context<J::Output>) {
        let horizon = late::horizon(context.now(), self.lateness);
        while let Some(left) = waiting
            .left
            .pop_front_if(|left| self.left_ends(left.at) <= horizon)
        {
            if !left.paired {
                give(self.join.left_alone(&left.row), context);
            }
        }
        while let Some(right) = waiting
            .right
            .pop_front_if(|right| self.right_ends(right.at) <= horizon)
        {
            if !right.paired {
                give(self.join.right_alone(&right.row), context);
            }
        }
        move_timer(context, None, self.due(waiting));
    }
}

fn give<O: Row<'static>>(row: Option<O>, context: &mut Context<O>) {
    if let Some(row) = row {
        context.emit(row);
    }
}

/// The rows of these times, both ends included.
fn among<T>(
    rows: &mut VecDeque<Waiter<T>>,
    from: i64,
    to: i64,
) -> impl Iterator<Item = &mut Waiter<T>> {
    let start = rows.partition_point(|row| row.at < from);
    let end = rows.partition_point(|row| row.at <= to);
    rows.range_mut(start..end)
}

/// Behind the rows of the same time, which came before.
fn insert<T>(rows: &mut VecDeque<Waiter<T>>, row: Waiter<T>) {
    match rows.back() {
        Some(last) if last.at > row.at => {
            let place = rows.partition_point(|other| other.at <= row.at);
            rows.insert(place, row);
        }
        _ => rows.push_back(row),
    }
}
