//! What is too late for a process already written, and the rows that it keeps.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cell::Span;
use crate::plugin::{Plugin, Reject};
use crate::process::{Context, Moment};
use crate::row::Row;

/// What can be kept in a state: anything with `#[state]`.
pub trait Kept: Serialize + DeserializeOwned + 'static {}

impl<T: Serialize + DeserializeOwned + 'static> Kept for T {}

/// A row that can be kept in a state: a struct that owns its fields, with `#[state]` and `#[derive(Row, Default)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a row that can be kept",
    label = "needs `#[state]` and `#[derive(Row, Default)]`, and fields that own what they have",
    note = "put #[state] and #[derive(Row, Default)] on it; for text write String instead of &'a str"
)]
pub trait KeptRow: for<'a> Row<'a> + Kept {}

impl<T: for<'a> Row<'a> + Kept> KeptRow for T {}

/// The watermark before a row, as late as rows may be.
pub(crate) fn horizon(now: Moment, lateness: Span) -> i64 {
    now.watermark.plus(-lateness).0
}

/// Whether a row comes in time.
pub(crate) fn check(now: Moment, lateness: Span) -> Result<(), Reject> {
    let behind = horizon(now, lateness).saturating_sub(now.time.0);
    match behind > 0 {
        true => Err(too_late(behind)),
        false => Ok(()),
    }
}

#[cold]
pub(crate) fn too_late(behind: i64) -> Reject {
    Reject::new(format!(
        "too late: {} behind the watermark and what is waited for",
        Span(behind).show()
    ))
}

/// A length of time that cannot be negative.
pub(crate) fn not_negative<P: Plugin>(what: &str, span: Span) -> Result<(), String> {
    match span.0 < 0 {
        true => Err(format!(
            "{}: {what} is {}, less than nothing",
            P::NAME,
            span.show()
        )),
        false => Ok(()),
    }
}

/// Puts the one timer of a key where it is due now.
pub(crate) fn move_timer<O: Row<'static>>(
    context: &mut Context<O>,
    from: Option<crate::Timestamp>,
    to: Option<crate::Timestamp>,
) {
    if from == to {
        return;
    }
    if let Some(from) = from {
        context.clear_timer(from);
    }
    if let Some(to) = to {
        context.set_timer(to);
    }
}
