//! A row as a plain struct: which fields it has, and how it moves between columns and struct.

use crate::bindings::{Column, Rows};
use crate::cell::{Builder, Cell, Kind};

/// One field of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in the schema.
    pub name: &'static str,
    /// Its logical type.
    pub kind: Kind,
    /// Whether it may be null.
    pub nullable: bool,
}

/// A struct whose fields are fields of a schema, by name. Comes from `#[derive(Row)]`; the types a field may have are
/// those of [`Cell`](crate::Cell). `#[field(name = "type")]` gives a field a name that Rust does not allow.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a row",
    label = "needs `#[derive(Row)]`",
    note = "put #[derive(Row)] on a struct whose fields have the names and types of the schema's fields"
)]
pub trait Row<'a>: Sized {
    /// Its fields, in the order of the struct.
    const FIELDS: &'static [Field];
    /// The columns of a batch, ready to be read.
    #[doc(hidden)]
    type Columns;
    /// The columns of an answer, being written.
    #[doc(hidden)]
    type Builders: Default;
    #[doc(hidden)]
    fn bind(rows: &'a Rows) -> Result<Self::Columns, String>;
    #[doc(hidden)]
    fn first(columns: &Self::Columns, count: usize) -> Self::Columns;
    #[doc(hidden)]
    fn read(columns: &Self::Columns, row: usize) -> Self;
    #[doc(hidden)]
    fn write(self, builders: &mut Self::Builders);
    #[doc(hidden)]
    fn write_nothing(builders: &mut Self::Builders);
    #[doc(hidden)]
    fn truncate(builders: &mut Self::Builders, count: usize);
    #[doc(hidden)]
    fn finish(builders: Self::Builders) -> Vec<Column>;
}

/// Finds the values of one field; called by what `derive(Row)` writes.
#[doc(hidden)]
pub fn bind_cell<'a, C: Cell<'a>>(
    rows: &'a Rows,
    place: usize,
    field: &Field,
) -> Result<C::Column, String> {
    let wrong = |what: &str| format!("input field `{}`: {what}", field.name);
    let column = rows
        .columns
        .get(place)
        .ok_or_else(|| wrong("the host sent no column for it"))?;
    if !C::NULLABLE && has_nulls(column, rows.count as usize) {
        return Err(wrong("the host sent a null, and the plugin declares none"));
    }
    let bound = C::bind(column).ok_or_else(|| {
        wrong(&format!(
            "the host sent a column that is not {}",
            field.kind.name()
        ))
    })?;
    match C::count(&bound) == rows.count as usize {
        true => Ok(bound),
        false => Err(wrong(
            "the host sent a column of another length than the batch",
        )),
    }
}

fn has_nulls(column: &Column, count: usize) -> bool {
    !column.valid.is_empty() && (0..count).any(|row| !crate::cell::bit(&column.valid, row))
}

/// Columns being written, with the number of rows so far.
pub(crate) struct Writer<'a, R: Row<'a>> {
    builders: R::Builders,
    count: u32,
}

impl<'a, R: Row<'a>> Writer<'a, R> {
    pub(crate) fn new() -> Self {
        Self {
            builders: R::Builders::default(),
            count: 0,
        }
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    #[inline]
    pub(crate) fn push(&mut self, row: R) {
        row.write(&mut self.builders);
        self.count += 1;
    }

    /// A place without a row.
    pub(crate) fn push_nothing(&mut self) {
        R::write_nothing(&mut self.builders);
        self.count += 1;
    }

    pub(crate) fn truncate(&mut self, count: u32) {
        R::truncate(&mut self.builders, count as usize);
        self.count = count;
    }

    pub(crate) fn finish(self) -> Rows {
        Rows {
            count: self.count,
            columns: R::finish(self.builders),
        }
    }
}

#[doc(hidden)]
pub type CellBuilder<'a, C> = Builder<<C as Cell<'a>>::Builder>;
