//! Rows without state: each gives no, one or several rows.

use crate::bindings::{self, Rows};
use crate::plugin::{Plugin, Reject};
use crate::row::{Row, Writer};

/// A plugin that gives rows for each row and keeps nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transform",
    label = "needs `impl Transform for {Self}`",
    note = "a plugin with state is exported with export_fold!"
)]
pub trait Transform: Plugin {
    /// The input fields wanted. No other column is read from disk.
    type Input<'a>: Row<'a>;
    /// The fields of the rows that it gives; they may borrow from the input.
    type Output<'a>: Row<'a>;

    /// Takes a row and pushes what comes of it. What was pushed for a row that is then refused is taken back.
    fn process<'a>(
        &self,
        row: Self::Input<'a>,
        out: &mut Out<'a, Self::Output<'a>>,
    ) -> Result<(), Reject>;
}

/// The rows that a transform gives.
pub struct Out<'a, R: Row<'a>> {
    writer: Writer<'a, R>,
    origins: Vec<u32>,
    row: u32,
}

impl<'a, R: Row<'a>> Out<'a, R> {
    /// Gives a row.
    #[inline]
    pub fn push(&mut self, row: R) {
        self.writer.push(row);
        self.origins.push(self.row);
    }

    fn truncate(&mut self, count: u32) {
        self.writer.truncate(count);
        self.origins.truncate(count as usize);
    }
}

/// Rows out, the input row of each, and the rows refused.
pub(crate) struct Answer {
    pub(crate) rows: Rows,
    pub(crate) origins: Vec<u32>,
    pub(crate) rejects: Vec<bindings::Reject>,
}

pub(crate) fn process<T: Transform>(transform: &T, input: &Rows) -> Result<Answer, String> {
    let columns = T::Input::bind(input)?;
    let mut out = Out::<T::Output<'_>> {
        writer: Writer::new(),
        origins: Vec::new(),
        row: 0,
    };
    let mut rejects = Vec::new();
    for row in 0..input.count {
        let before = out.writer.count();
        out.row = row;
        if let Err(reject) = transform.process(T::Input::read(&columns, row as usize), &mut out) {
            out.truncate(before);
            rejects.push(bindings::Reject {
                row,
                reason: reject.reason,
            });
        }
    }
    if is_identity(&out.origins, input.count) {
        out.origins.clear();
    }
    Ok(Answer {
        rows: out.writer.finish(),
        origins: out.origins,
        rejects,
    })
}

/// Whether each row gave exactly one row, which the contract says with no origins at all.
fn is_identity(origins: &[u32], count: u32) -> bool {
    origins.len() == count as usize && (0..count).eq(origins.iter().copied())
}
