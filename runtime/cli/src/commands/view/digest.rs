//! `refrain view digest`

use refrain_engine::names;
use refrain_engine::request::{Request, ViewStatus};

use super::{FRESHNESS, freshness_cells, hex, rows, views};
use crate::args::Global;
use crate::cells::Cell;
use crate::commands::version::Which;
use crate::failure::Failure;
use crate::link::Link;
use crate::project;
use crate::show::Sheet;

/// Print the digest of a view: equal digests, equal rows
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  refrain view digest delays --output json")]
pub(crate) struct DigestArgs {
    /// Name of the view
    view: String,
    #[command(flatten)]
    which: Which,
}

pub(crate) fn run(global: &Global, args: &DigestArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    if args.which.is_named() {
        let view = args.which.of(&args.view);
        let limit = Some(0);
        let answer = rows(&mut link, Request::ViewScan { view, limit })?;
        return sheet(&answer.status).print(global.output);
    }
    let views = views(&mut link)?;
    let Some(view) = views.iter().find(|v| v.name == args.view) else {
        let all = views.iter().map(|v| v.name.as_str());
        let message = names::unknown("view", &args.view, all, names::NO_VIEWS);
        return Err(Failure::refused(message));
    };
    sheet(view).print(global.output)
}

fn sheet(view: &ViewStatus) -> Sheet {
    let names = ["view", "digest", "rows", "final", "cut"];
    let mut sheet = Sheet::new(&[&names[..], &FRESHNESS[..]].concat());
    let mut cells = vec![
        Cell::text(&view.name),
        Cell::text(hex(view.state.digest)),
        Cell::count(view.state.rows),
        Cell::count(view.state.finals),
        Cell::count(view.state.cut.0),
    ];
    cells.extend(freshness_cells(view));
    sheet.push(cells);
    sheet
}
