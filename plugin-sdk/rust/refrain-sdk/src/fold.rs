//! Keyed state: what an author writes, and the slots that the host sees.

use crate::bindings::{self, Rows, Spans};
use crate::cell::bitmap;
use crate::plugin::{Plugin, Reject};
use crate::row::{Row, Writer};
use crate::states::{State, States};

/// A plugin that keeps a state for each key and window.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a fold",
    label = "needs `impl Fold for {Self}`",
    note = "a plugin without state is exported with export_transform!"
)]
pub trait Fold: Plugin {
    /// The input fields wanted. No other column is read from disk.
    type Input<'a>: Row<'a>;
    /// What is kept for each key and window.
    type State: State;
    /// The fields of the view, beside the key and the window.
    type Output: Row<'static>;

    /// Whether the row is taken. Asked for each row, before [`update`](Fold::update); a row that is refused touches
    /// nothing, because nothing can be touched here. Takes all when left out.
    #[inline(always)]
    fn check(&self, _state: &Self::State, _row: &Self::Input<'_>) -> Result<(), Reject> {
        Ok(())
    }

    /// Takes a row into the state of its key and window.
    fn update(&self, state: &mut Self::State, row: Self::Input<'_>);

    /// What the view shows for this state; `None`: nothing, and a row shown before goes away.
    fn evaluate(&self, state: &Self::State) -> Option<Self::Output>;
}

/// A fold whose states can be joined: what a session window needs, where one row can make one session of two. It is
/// exported with `export_fold!(MyPlugin, merge);`.
///
/// ```
/// # use refrain_sdk::prelude::*;
/// # #[derive(Row)] struct Event { watch_ms: i64 }
/// # #[state] #[derive(Default)] struct Visit { events: i64, watch_ms: i64 }
/// # #[derive(Row)] struct Shown { events: i64, watch_ms: i64 }
/// # /// Visits.
/// # #[derive(Plugin)] struct Sessions;
/// # impl Fold for Sessions {
/// #     type Input<'a> = Event; type State = Visit; type Output = Shown;
/// #     fn update(&self, visit: &mut Visit, event: Event) { visit.events += 1; visit.watch_ms += event.watch_ms; }
/// #     fn evaluate(&self, visit: &Visit) -> Option<Shown> {
/// #         Some(Shown { events: visit.events, watch_ms: visit.watch_ms })
/// #     }
/// # }
/// impl Merge for Sessions {
///     fn merge(&self, earlier: &mut Visit, later: Visit) {
///         earlier.events += later.events;
///         earlier.watch_ms += later.watch_ms;
///     }
/// }
///
/// export_fold!(Sessions, merge);
/// # fn main() {}
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot join two states",
    label = "needs `impl Merge for {Self}`",
    note = "a fold without it is exported with export_fold!(Name); it cannot have session windows"
)]
pub trait Merge: Fold {
    /// Joins the state of a later session into that of an earlier one. What comes out should be what the rows of both
    /// would have made of one session.
    fn merge(&self, earlier: &mut Self::State, later: Self::State);
}

/// Rejects of one call, as the contract wants them.
type Rejects = Vec<bindings::Reject>;

/// A fold's states, and what is done with them.
pub(crate) struct Slots<F: Fold> {
    states: States<F::State>,
}

impl<F: Fold> Slots<F> {
    pub(crate) fn new() -> Self {
        Self {
            states: States::new(),
        }
    }

    #[inline(always)]
    fn state(&mut self, slot: u32) -> &mut F::State {
        self.states.state(slot)
    }

    pub(crate) fn update(
        &mut self,
        fold: &F,
        input: &Rows,
        rows: &[u32],
        slots: &[u32],
    ) -> Result<Rejects, String> {
        let columns = F::Input::bind(input)?;
        let mut rejects = Rejects::new();
        if rows.is_empty() {
            self.update_each(fold, &columns, slots, &mut rejects);
        } else {
            self.update_listed(fold, &columns, rows, slots, &mut rejects)?;
        }
        Ok(rejects)
    }

    /// Row i into slot i: the loop that nearly all rows take.
    fn update_each<'a>(
        &mut self,
        fold: &F,
        columns: &<F::Input<'a> as Row<'a>>::Columns,
        slots: &[u32],
        rejects: &mut Rejects,
    ) {
        for (row, slot) in slots.iter().enumerate() {
            let input = F::Input::read(columns, row);
            let state = self.state(*slot);
            match fold.check(state, &input) {
                Ok(()) => fold.update(state, input),
                Err(reject) => push(rejects, row as u32, reject),
            }
        }
    }

    /// Listed rows, each into its slots: all of them or none.
    fn update_listed<'a>(
        &mut self,
        fold: &F,
        columns: &<F::Input<'a> as Row<'a>>::Columns,
        rows: &[u32],
        slots: &[u32],
        rejects: &mut Rejects,
    ) -> Result<(), String> {
        if rows.len() != slots.len() {
            return Err("the host sent entries with another number of slots than rows".to_string());
        }
        let mut start = 0;
        for group in rows.chunk_by(|a, b| a == b) {
            let row = group[0];
            let slots = &slots[start..start + group.len()];
            start += group.len();
            match self.check_all(fold, &F::Input::read(columns, row as usize), slots) {
                Ok(()) => slots.iter().for_each(|slot| {
                    fold.update(self.state(*slot), F::Input::read(columns, row as usize));
                }),
                Err(reject) => push(rejects, row, reject),
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn check_all(&mut self, fold: &F, row: &F::Input<'_>, slots: &[u32]) -> Result<(), Reject> {
        slots
            .iter()
            .try_for_each(|slot| fold.check(self.state(*slot), row))
    }

    /// One output row a slot, and the bitmap of those that are there.
    pub(crate) fn evaluate(&mut self, fold: &F, slots: &[u32]) -> (Rows, Vec<u8>) {
        let mut writer = Writer::<F::Output>::new();
        let mut present = Vec::with_capacity(slots.len());
        for slot in slots {
            let output = fold.evaluate(self.state(*slot));
            present.push(output.is_some());
            match output {
                Some(row) => writer.push(row),
                None => writer.push_nothing(),
            }
        }
        let present = if present.contains(&false) {
            bitmap(&present)
        } else {
            Vec::new()
        };
        (writer.finish(), present)
    }

    pub(crate) fn save(&mut self, slots: &[u32]) -> Result<Spans, String> {
        self.states.save(slots)
    }

    pub(crate) fn restore(&mut self, slots: &[u32], states: &Spans) -> Result<(), String> {
        self.states.restore(slots, states)
    }

    pub(crate) fn merge(&mut self, fold: &F, into: &[u32], other: &[u32]) -> Result<(), String>
    where
        F: Merge,
    {
        if into.len() != other.len() || into.iter().zip(other).any(|(a, b)| a == b) {
            return Err("the host sent slots to join that are no pairs".to_string());
        }
        for (into, other) in into.iter().zip(other) {
            let later = std::mem::take(self.state(*other));
            fold.merge(self.state(*into), later);
        }
        Ok(())
    }

    /// The state of slot 0.
    pub(crate) fn into_first(self) -> F::State {
        self.states.into_first()
    }

    pub(crate) fn release(&mut self, slots: &[u32]) {
        self.states.release(slots);
    }
}

#[cold]
#[inline(never)]
fn push(rejects: &mut Rejects, row: u32, reject: Reject) {
    rejects.push(bindings::Reject {
        row,
        reason: reject.reason,
    });
}
