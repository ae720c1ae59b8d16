//! As-of join: each row with what a changing table said at the time of the row.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::cell::{Span, Timestamp};
use crate::late::{self, Kept, KeptRow, move_timer};
use crate::plugin::{Plugin, Reject};
use crate::process::{Context, Moment, Process};
use crate::row::Row;
use crate::states::State;
use crate::wrapped::{two_inputs, wrapped};

/// Each row of one input with the version of the table that was in force at the row's event time: of the table's rows with
/// the same key, the last one whose time is not after the row's. Of versions with equal times, the one that came last counts.
/// Exported as `export_process!(AsOf<MyJoin>);`.
///
/// - A row waits until the watermark has passed its time, since an older version may still come; then it is answered, once.
///   Rows of a key are answered in order of their times; those with equal times as they came.
/// - A row is late when its time is before the watermark by more than [`lateness`](AsOfJoin::lateness), as it stands before
///   the row: it is rejected.
/// - A version that is late counts for the rows not yet answered, unless a newer version is in force already: then nothing
///   can come of it, and it is rejected.
/// - A version may say that the table has no row from its time on. The key is forgotten once the watermark has passed that
///   time; a still older version that comes later counts as the first one.
/// - State: the rows that wait, the version in force, and those that are newer than the watermark.
pub trait AsOfJoin: Plugin {
    /// A row to be answered.
    type Row: KeptRow;
    /// A row of the table's topic.
    type Table<'a>: Row<'a>;
    /// What is kept of it.
    type Version: Kept;
    /// What comes of a row.
    type Output: Row<'static>;
    /// Name of the input whose rows are answered.
    const ROWS: &'static str;
    /// Name of the table's input.
    const TABLE: &'static str;

    /// How long after the watermark a row is still waited for. Nothing when left out.
    fn lateness(&self) -> Span {
        Span(0)
    }

    /// What the table says from this row's time on; `None`: it has no row any more.
    fn version(&self, row: Self::Table<'_>) -> Option<Self::Version>;

    /// What comes of a row and the version in force at its time, if there was one; `None`: nothing.
    fn join(&self, row: &Self::Row, version: Option<&Self::Version>) -> Option<Self::Output>;
}

/// An [`AsOfJoin`] as a process.
pub struct AsOf<J: AsOfJoin> {
    join: J,
    lateness: Span,
}

/// A row of either input.
pub enum AsOfInput<'a, J: AsOfJoin> {
    /// To be answered.
    Row(J::Row),
    /// Of the table.
    Table(J::Table<'a>),
}

/// Rows that wait for the watermark, and versions of the table, each in order of time.
#[derive(Serialize, Deserialize)]
#[serde(bound = "R: Kept, V: Kept")]
pub struct Versions<R, V> {
    rows: VecDeque<(i64, R)>,
    versions: VecDeque<(i64, Option<V>)>,
}

impl<R, V> Default for Versions<R, V> {
    fn default() -> Self {
        Self {
            rows: VecDeque::new(),
            versions: VecDeque::new(),
        }
    }
}

impl<R: Kept, V: Kept> State for Versions<R, V> {}

impl<R, V> Versions<R, V> {
    /// The version at a time: the last one that is not after it.
    fn at(&self, time: i64) -> Option<&V> {
        let after = self.versions.partition_point(|(at, _)| *at <= time);
        let (_, version) = self.versions.get(after.checked_sub(1)?)?;
        version.as_ref()
    }

    /// Time of the version in force, when the watermark has passed it.
    fn in_force(&self, horizon: i64) -> Option<i64> {
        let (at, _) = self.versions.front()?;
        (*at <= horizon).then_some(*at)
    }

    /// Forgets the versions that no row in time can ask for.
    fn prune(&mut self, horizon: i64) {
        while self
            .versions
            .get(1)
            .is_some_and(|(next, _)| *next <= horizon)
        {
            self.versions.pop_front();
        }
        self.versions
            .pop_front_if(|(at, version)| version.is_none() && *at <= horizon);
    }

    /// When the watermark is such that something can be answered or forgotten.
    fn due(&self) -> Option<i64> {
        let row = self.rows.front().map(|(at, _)| at.saturating_add(1));
        let gone = match self.versions.front() {
            Some((at, None)) => Some(*at),
            _ => None,
        };
        let replaced = self.versions.get(1).map(|(at, _)| *at);
        row.into_iter().chain(gone).chain(replaced).min()
    }
}

wrapped!(AsOf, AsOfJoin);
two_inputs!(AsOfInput, AsOfJoin, Row: J::Row = J::ROWS, Table: J::Table<'a> = J::TABLE);

impl<J: AsOfJoin> AsOf<J> {
    fn try_new(join: J) -> Result<Self, String> {
        let lateness = join.lateness();
        late::not_negative::<J>("lateness", lateness)?;
        Ok(Self { join, lateness })
    }

    fn due(&self, versions: &Versions<J::Row, J::Version>) -> Option<Timestamp> {
        Some(Timestamp(versions.due()?).plus(self.lateness))
    }
}

impl<J: AsOfJoin> Process for AsOf<J> {
    type Input<'a> = AsOfInput<'a, J>;
    type State = Versions<J::Row, J::Version>;
    type Output = J::Output;

    #[inline]
    fn check(
        &self,
        versions: &Self::State,
        row: &Self::Input<'_>,
        now: Moment,
    ) -> Result<(), Reject> {
        match row {
            AsOfInput::Row(_) => late::check(now, self.lateness),
            AsOfInput::Table(_) => match versions.in_force(late::horizon(now, self.lateness)) {
                Some(at) if at > now.time.0 => Err(Reject::new(format!(
                    "too late: a version that is {} newer is in force",
                    Span(at.saturating_sub(now.time.0)).show()
                ))),
                _ => Ok(()),
            },
        }
    }

    fn process(
        &self,
        versions: &mut Self::State,
        row: Self::Input<'_>,
        context: &mut Context<J::Output>,
    ) {
        let before = self.due(versions);
        let at = context.time().0;
        match row {
            AsOfInput::Row(row) => insert(&mut versions.rows, at, row),
            AsOfInput::Table(row) => {
                insert(&mut versions.versions, at, self.join.version(row));
                versions.prune(late::horizon(context.now(), self.lateness));
            }
        }
        move_timer(context, before, self.due(versions));
    }

    fn fire(&self, versions: &mut Self::State, context: &mut Context<J::Output>) {
        let horizon = late::horizon(context.now(), self.lateness);
        while let Some((at, row)) = versions.rows.pop_front_if(|(at, _)| *at < horizon) {
            if let Some(row) = self.join.join(&row, versions.at(at)) {
                context.emit(row);
            }
        }
        versions.prune(horizon);
        move_timer(context, None, self.due(versions));
    }
}

/// Behind what has the same time, which came before.
fn insert<T>(list: &mut VecDeque<(i64, T)>, at: i64, value: T) {
    match list.back() {
        Some((last, _)) if *last > at => {
            let place = list.partition_point(|(other, _)| *other <= at);
            list.insert(place, (at, value));
        }
        _ => list.push_back((at, value)),
    }
}
