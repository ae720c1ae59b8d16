//! A fold under test, natively: rows in, state and output out. Every row goes through columns, and the state through
//! its saved bytes before each row, so that a test sees what a host would.

use crate::bindings::Rows;
use crate::fold::{Fold, Keyed, Merge, Slots};
use crate::row::{Row, Writer};

/// One key and window of a fold, without Wasm and without a host. See the [crate]'s example.
pub struct TestFold<F: Fold> {
    fold: F,
    saved: crate::bindings::Spans,
    state: F::State,
    rejects: Vec<String>,
}

impl<F: Fold> TestFold<F> {
    /// Before the first row.
    ///
    /// # Panics
    /// When the initial state cannot be saved.
    pub fn new(fold: F) -> Self {
        let mut slots = Slots::<F>::new();
        let saved = slots.save(&[0]).expect("the initial state is saved");
        Self {
            fold,
            saved,
            state: F::State::default(),
            rejects: Vec::new(),
        }
    }

    /// Takes a row. A row that the plugin refuses changes nothing and is kept in [`rejects`](Self::rejects).
    ///
    /// # Panics
    /// When the state does not survive being saved and restored: its bytes differ afterwards, or cannot be read.
    pub fn row(mut self, row: F::Input<'_>) -> Self {
        let (count, columns) = one_row(row);
        let rows = Rows { count, columns };
        self.take(&rows);
        self
    }

    fn take(&mut self, rows: &Rows) {
        let mut slots = Slots::<F>::new();
        slots
            .restore(&[0], &self.saved)
            .expect("a saved state can be read");
        let again = slots.save(&[0]).expect("a restored state is saved");
        assert_eq!(
            again.bytes, self.saved.bytes,
            "a state saves as other bytes once restored"
        );
        let rejects = slots
            .update(&self.fold, rows, &[], &[0])
            .expect("columns made from the row fit it");
        self.rejects
            .extend(rejects.into_iter().map(|reject| reject.reason));
        self.saved = slots.save(&[0]).expect("the state is saved");
        slots
            .restore(&[0], &self.saved)
            .expect("a saved state can be read");
        self.state = slots.into_first();
    }

    /// Joins the state of a later session into this one.
    ///
    /// # Panics
    /// As [`row`](Self::row).
    pub fn merge(mut self, later: TestFold<F>) -> Self
    where
        F: Merge,
    {
        let mut slots = Slots::<F>::new();
        for (slot, saved) in [(0, &self.saved), (1, &later.saved)] {
            slots
                .restore(&[slot], saved)
                .expect("a saved state can be read");
        }
        slots
            .merge(&self.fold, &[0], &[1])
            .expect("two slots are a pair");
        self.saved = slots.save(&[0]).expect("the state is saved");
        self.state = slots.into_first();
        self.rejects.extend(later.rejects);
        self
    }

    /// The state so far.
    pub fn state(&self) -> &F::State {
        &self.state
    }

    /// What the view would show.
    pub fn output(&self) -> Option<F::Output> {
        self.fold.evaluate(&self.state)
    }

    /// What the view would show of this key and window.
    ///
    /// # Panics
    /// When the key's own columns do not fit it, which is a bug of the SDK.
    pub fn output_of(&self, key: F::Key<'_>) -> Option<F::Output>
    where
        F: Keyed,
    {
        let keys = batch_of_one(key);
        let columns = F::Key::bind(&keys).expect("columns made from the key fit it");
        self.fold
            .with_key(F::Key::read(&columns, 0), self.output()?)
    }

    /// Why rows were refused, in their order.
    pub fn rejects(&self) -> &[String] {
        &self.rejects
    }
}

/// The columns of a batch of one row.
pub(crate) fn one_row<'a, R: Row<'a>>(row: R) -> (u32, Vec<crate::bindings::Column>) {
    let mut writer = Writer::<R>::new();
    writer.push(row);
    let rows = writer.finish();
    (rows.count, rows.columns)
}

/// A batch of one row; called by what `derive(Inputs)` writes.
#[doc(hidden)]
pub fn batch_of_one<'a, R: Row<'a>>(row: R) -> Rows {
    let (count, columns) = one_row(row);
    Rows { count, columns }
}
