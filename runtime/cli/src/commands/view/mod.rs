//! Views: list, read, export, compare.

mod about;
pub(crate) mod digest;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod scan;

use refrain_engine::request::{Request, Response, ViewAnswer, ViewStatus};
use refrain_engine::tiers::words::span;

use crate::args::Output;
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
    output: Output,
    link: &mut Link,
    request: Request,
    take: &mut dyn FnMut(ViewAnswer) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut page = rows(link, request)?;
    loop {
        let (next, status) = (page.next, page.status.clone());
        let wanted = take(page)?;
        match (next, wanted) {
            (None, _) => {
                tell_freshness(output, &status);
                return Ok(());
            }
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

/// How fresh rows are, on stderr: a sentence, or an object where data is asked for as JSON.
fn tell_freshness(output: Output, status: &ViewStatus) {
    let names = ["view", "cut"].into_iter().chain(FRESHNESS);
    let cells = [Cell::text(&status.name), Cell::count(status.state.cut.0)];
    let cells: Vec<Cell> = cells.into_iter().chain(freshness_cells(status)).collect();
    if output == Output::Json {
        let fields = names.zip(&cells);
        let fields: Vec<String> = fields
            .map(|(name, cell)| format!("\"{name}\":{}", cell.json()))
            .collect();
        eprintln!("{{{}}}", fields.join(","));
        return;
    }
    let [_, cut, as_of, watermark, _, tier] = &cells[..] else {
        return;
    };
    let or = |cell: &Cell, none: &str| match cell {
        Cell::Null => none.to_owned(),
        cell => cell.shown(),
    };
    eprintln!(
        "view {} as of {}: {} old, tier {}, cut {}, watermark {}",
        status.name,
        as_of.shown(),
        span(status.freshness.staleness_us),
        or(tier, "none"),
        cut.shown(),
        or(watermark, "none"),
    );
}

/// Names of what [`freshness_cells`] gives.
const FRESHNESS: [&str; 4] = ["as_of", "watermark", "stale_us", "tier"];

fn freshness_cells(status: &ViewStatus) -> [Cell; 4] {
    let freshness = &status.freshness;
    let stale = u64::try_from(freshness.staleness_us).unwrap_or(0);
    [
        Cell::time(Some(freshness.as_of.0)),
        Cell::time(Some(status.state.watermark.0).filter(|w| *w != i64::MIN)),
        Cell::count(stale),
        freshness.tier.as_deref().map_or(Cell::Null, Cell::text),
    ]
}

/// The digest as everyone writes it.
pub(crate) fn hex(digest: u128) -> String {
    format!("{digest:032x}")
}
