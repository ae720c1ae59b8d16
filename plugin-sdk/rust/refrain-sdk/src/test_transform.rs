//! A transform under test, natively.

use crate::bindings::Rows;
use crate::row::Row;
use crate::test_fold::one_row;
use crate::transform::{self, Transform};

/// A transform without Wasm and without a host: one row in, what comes of it out.
pub struct TestTransform<T: Transform> {
    transform: T,
}

impl<T: Transform> TestTransform<T> {
    /// Of a plugin.
    pub fn new(transform: T) -> Self {
        Self { transform }
    }

    /// Gives it a row and looks at what comes of it: the rows emitted, or the reason why it was refused.
    ///
    /// # Panics
    /// When the plugin's own columns do not fit its output, which is a bug of the SDK.
    pub fn row<R>(
        &self,
        row: T::Input<'_>,
        look: impl FnOnce(Result<Vec<T::Output<'_>>, String>) -> R,
    ) -> R {
        let (count, columns) = one_row(row);
        let answer = transform::process(&self.transform, &Rows { count, columns })
            .expect("columns made from the row fit it");
        if let Some(reject) = answer.rejects.into_iter().next() {
            return look(Err(reject.reason));
        }
        let columns = T::Output::bind(&answer.rows).expect("columns made from the output fit it");
        look(Ok((0..answer.rows.count as usize)
            .map(|row| T::Output::read(&columns, row))
            .collect()))
    }
}
