//! The inputs of a process: an enum with one variant an input.

use crate::bindings::Rows;
use crate::row::Field;

/// One input, as a process declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name: the pipeline file says which topic it is.
    pub name: &'static str,
    /// For people.
    pub doc: &'static str,
    /// The fields wanted. No other column is read from disk.
    pub fields: &'static [Field],
}

/// The rows of all inputs, as an enum with one variant an input. Comes from `#[derive(Inputs)]`: a variant's name in
/// `snake_case` is the input's, its doc comment the input's doc; `#[input(name = "type")]` gives it another name.
///
/// ```
/// # use refrain_sdk::prelude::*;
/// #[derive(Row)]
/// struct View<'a> { content: &'a str }
///
/// #[derive(Row)]
/// struct Purchase { amount: i64 }
///
/// #[derive(Inputs)]
/// enum Activity<'a> {
///     /// What users look at.
///     Views(View<'a>),
///     /// What they buy.
///     Purchases(Purchase),
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the inputs of a process",
    label = "needs `#[derive(Inputs)]`",
    note = "put #[derive(Inputs)] on an enum with one variant an input: enum Activity<'a> {{ Views(View<'a>), Purchases(Purchase) }}"
)]
pub trait Inputs<'a>: Sized {
    /// The inputs, in the order of the variants.
    const INPUTS: &'static [Input];
    /// The columns of one batch of each input, ready to be read.
    #[doc(hidden)]
    type Columns;
    #[doc(hidden)]
    fn bind(parts: &[&'a Rows]) -> Result<Self::Columns, String>;
    #[doc(hidden)]
    fn read(columns: &Self::Columns, input: usize, row: usize) -> Self;
    /// Which input it is of, and the row as a batch.
    #[doc(hidden)]
    fn write(self) -> (usize, Rows);
}

/// The rows of one input among those of a call.
#[doc(hidden)]
pub fn part<'a>(parts: &[&'a Rows], input: usize) -> Result<&'a Rows, String> {
    parts
        .get(input)
        .copied()
        .ok_or_else(|| format!("the host sent no rows for input {input}"))
}
