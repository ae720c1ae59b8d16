//! Join with the latest row: each row with what a table says when the row comes, in the order of the log.

use serde::{Deserialize, Serialize};

use crate::late::Kept;
use crate::plugin::{Plugin, Reject};
use crate::process::{Context, Moment, Process};
use crate::row::Row;
use crate::states::State;
use crate::wrapped::{two_inputs, wrapped};

/// Each row of one input with the last row of the table's topic that came before it in log order and has the same key.
/// Exported as `export_process!(Latest<MyJoin>);`.
///
/// - A row is answered at once, and never again: a row of the table that comes later changes nothing that was given. Event
///   times play no part, so nothing is late and nothing waits.
/// - The log's order is that of the host's appends. A replay gives the same answers; the same rows appended in another order
///   give others. Where that matters, use [`AsOfJoin`](super::AsOfJoin).
/// - State: the table, one row a key, until it is deleted.
pub trait LatestJoin: Plugin {
    /// A row to be answered.
    type Row<'a>: Row<'a>;
    /// A row of the table's topic.
    type Table<'a>: Row<'a>;
    /// What is kept of it.
    type Entry: Kept;
    /// What comes of a row.
    type Output: Row<'static>;
    /// Name of the input whose rows are answered.
    const ROWS: &'static str;
    /// Name of the table's input.
    const TABLE: &'static str;

    /// What the table says after this row; `None`: it has no row any more.
    fn entry(&self, row: Self::Table<'_>) -> Option<Self::Entry>;

    /// Whether a row is taken. Takes all when left out.
    fn check(&self, _row: &Self::Row<'_>, _entry: Option<&Self::Entry>) -> Result<(), Reject> {
        Ok(())
    }

    /// What comes of a row and the table's row, if there is one; `None`: nothing.
    fn join(&self, row: Self::Row<'_>, entry: Option<&Self::Entry>) -> Option<Self::Output>;
}

/// A [`LatestJoin`] as a process.
pub struct Latest<J: LatestJoin> {
    join: J,
}

/// A row of either input.
pub enum LatestInput<'a, J: LatestJoin> {
    /// To be answered.
    Row(J::Row<'a>),
    /// Of the table.
    Table(J::Table<'a>),
}

/// The table's row of a key.
#[derive(Serialize, Deserialize)]
#[serde(bound = "E: Kept")]
pub struct Now<E> {
    entry: Option<E>,
}

impl<E> Default for Now<E> {
    fn default() -> Self {
        Self { entry: None }
    }
}

impl<E: Kept> State for Now<E> {}

wrapped!(Latest, LatestJoin);
two_inputs!(LatestInput, LatestJoin, Row: J::Row<'a> = J::ROWS, Table: J::Table<'a> = J::TABLE);

impl<J: LatestJoin> Latest<J> {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "a process around a plugin may refuse it; this one does not"
    )]
    fn try_new(join: J) -> Result<Self, String> {
        Ok(Self { join })
    }
}

impl<J: LatestJoin> Process for Latest<J> {
    type Input<'a> = LatestInput<'a, J>;
    type State = Now<J::Entry>;
    type Output = J::Output;
    const TIMED: bool = false;

    #[inline]
    fn check(&self, now: &Self::State, row: &Self::Input<'_>, _: Moment) -> Result<(), Reject> {
        match row {
            LatestInput::Row(row) => self.join.check(row, now.entry.as_ref()),
            LatestInput::Table(_) => Ok(()),
        }
    }

    #[inline]
    fn process(
        &self,
        now: &mut Self::State,
        row: Self::Input<'_>,
        context: &mut Context<J::Output>,
    ) {
        match row {
            LatestInput::Table(row) => now.entry = self.join.entry(row),
            LatestInput::Row(row) => {
                if let Some(row) = self.join.join(row, now.entry.as_ref()) {
                    context.emit(row);
                }
            }
        }
    }
}
