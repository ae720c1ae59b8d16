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

/// Hands over the rows of an answer page by page, all as of one commit, at least one page; until `take` wants no more.
pub(crate) fn each_page(
    link: &mut Link,
    request: Request,
    take: &mut dyn FnMut(ViewAnswer) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut page = rows(link, request)?;
    loop {
        let next = page.next;
        let wanted = take(page)?;
        match (next, wanted) {
            (None, _) => return Ok(()),
            (Some(next), true) => page = rows(link, Request::ViewNext(next))?,
            (Some(next), false) => return link.ask(Request::ViewEnough(next)).map(|_| ()),
        }
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
