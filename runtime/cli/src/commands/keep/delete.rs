//! `refrain savepoint delete`

use refrain_engine::keep::request::{Answer, Request};

use super::ask;
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::commands::version::print_json;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::project;
use crate::show::{Sheet, grouped};

/// Remove a savepoint, and free what nothing else has any more
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain savepoint delete monday              says what would go
  refrain savepoint delete monday --confirm    lets it go")]
pub(crate) struct DeleteArgs {
    /// Name of the savepoint
    name: String,
    /// Do it
    #[arg(long)]
    confirm: bool,
}

pub(crate) fn run(global: &Global, args: &DeleteArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let request = Request::Unsave {
        name: args.name.clone(),
        confirm: args.confirm,
    };
    let Answer::Unsaved(savepoint, gone) = ask(&mut link, request)? else {
        return Err(unexpected());
    };
    if global.output == Output::Json {
        return print_json(&savepoint);
    }
    let mut deed = Sheet::new(&["savepoint", "done", "bytes", "own_bytes"]);
    deed.push(vec![
        Cell::text(&savepoint.name),
        Cell::Bool(gone),
        Cell::count(savepoint.bytes),
        Cell::count(savepoint.own_bytes),
    ]);
    deed.print_deed(global.output)?;
    let what = match gone {
        true => "is gone",
        false => "would go",
    };
    eprintln!(
        "savepoint {} {what}: {} bytes that nothing else has",
        savepoint.name,
        grouped(savepoint.own_bytes)
    );
    if !gone {
        eprintln!("nothing has been changed; do it with --confirm");
    }
    Ok(())
}
