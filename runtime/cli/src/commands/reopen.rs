//! `refrain reopen`

use refrain_engine::request::{Request, Response};

use crate::args::Global;
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::{Link, tell, unexpected};
use crate::project;
use crate::show::Sheet;

/// Open again what takes no writes since a write or a sync of it failed
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  refrain reopen

A write or a sync that fails is never tried again by itself: nobody knows what the disk holds of it. The partition of the
topic, or the commit log, takes nothing more, readers and all others go on, and appends end with exit code 9. See to the disk
first (`dmesg`, its cables, its space), then run this: files are opened anew, what was refused is taken back, nodes that
stopped go on at their last commit. Appends that were refused are to be sent again. Nothing that was acknowledged is lost.

It works in the host that runs, without a restart; with no host running there is nothing to reopen, since starting one does
the same. `refrain status` names what takes no writes.")]
pub(crate) struct ReopenArgs {}

pub(crate) fn run(global: &Global, _: &ReopenArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let Response::Reopened(done) = link.ask(Request::Reopen)? else {
        return Err(unexpected());
    };
    tell(&done.findings);
    let mut sheet = Sheet::new(&["reopened", "what_had_failed"]);
    for shut in &done.places {
        sheet.push(vec![Cell::text(&shut.place), Cell::text(&shut.why)]);
    }
    sheet.print(global.output)?;
    if done.places.is_empty() {
        eprintln!("nothing was shut: all topics and the commit log take writes");
    }
    if !done.nodes.is_empty() {
        eprintln!("these nodes go on: {}", done.nodes.join(", "));
    }
    Ok(())
}
