//! `refrain view list`

use super::{FRESHNESS, freshness_cells, hex, views};
use crate::args::Global;
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::Link;
use crate::project;
use crate::show::Sheet;

/// List all views as of their last commit
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  refrain view list")]
pub(crate) struct ListArgs {}

pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let mut sheet = Sheet::new(&[
        "view",
        "node",
        "key",
        "rows",
        "final",
        "cut",
        "committed_at",
        "digest",
        FRESHNESS[0],
        FRESHNESS[1],
        FRESHNESS[2],
        FRESHNESS[3],
    ]);
    for view in views(&mut link)? {
        let key: Vec<&str> = view.schema.fields()[..view.key_fields]
            .iter()
            .map(|f| f.name.as_str())
            .collect();
        let committed = (view.state.commit > 0).then_some(view.state.time.0);
        let mut cells = vec![
            Cell::text(&view.name),
            Cell::text(&view.node),
            Cell::text(key.join(", ")),
            Cell::count(view.state.rows),
            Cell::count(view.state.finals),
            Cell::count(view.state.cut.0),
            Cell::time(committed),
            Cell::text(hex(view.state.digest)),
        ];
        cells.extend(freshness_cells(&view));
        sheet.push(cells);
    }
    sheet.print(global.output)
}
