//! Views: list, read, export, compare.

pub(crate) mod digest;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod scan;

use refrain_engine::request::{Request, Response, ViewAnswer, ViewStatus};

use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::show::Sheet;

pub(crate) fn views(link: &mut Link) -> Result<Vec<ViewStatus>, Failure> {
    match link.ask(Request::Views)? {
        Response::Views(views) => Ok(views),
        _ => Err(unexpected()),
    }
}

pub(crate) fn rows(link: &mut Link, request: Request) -> Result<ViewAnswer, Failure> {
    match link.ask(request)? {
        Response::View(answer) => Ok(answer),
        _ => Err(unexpected()),
    }
}

/// The rows, each with whether it is final.
fn sheet(answer: &ViewAnswer) -> Sheet {
    let mut sheet = Sheet::of(&answer.table.rows);
    sheet.put_last("@final", answer.finals.iter().map(|f| Cell::Bool(*f)));
    sheet
}

/// The digest as everyone writes it.
pub(crate) fn hex(digest: u128) -> String {
    format!("{digest:032x}")
}
