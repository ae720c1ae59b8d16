//! `refrain retire`

use refrain_engine::versions::request::{self as versions, Answer};

use super::{ask, print_json};
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::project;
use crate::show::{Sheet, grouped};

/// Take a version away that nobody reads, and free what it holds
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain retire delays 1              says what would go
  refrain retire delays 1 --confirm    lets it go

A version that is live, or that a consumer reads, is never taken away. The log is not touched: the same version can be built
again with `refrain replay`.")]
pub(crate) struct RetireArgs {
    /// Name of the view, of its node, or of the topic of a node
    view: String,
    /// Number of the version
    version: u32,
    /// Do it
    #[arg(long)]
    confirm: bool,
}

pub(crate) fn run(global: &Global, args: &RetireArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let request = versions::Request::Retire {
        name: args.view.clone(),
        version: args.version,
        confirm: args.confirm,
    };
    let Answer::Retired(retired) = ask(&mut link, request)? else {
        return Err(unexpected());
    };
    if global.output == Output::Json {
        return print_json(&retired);
    }
    let mut deed = Sheet::new(&["version", "done", "rows", "bytes"]);
    deed.push(vec![
        Cell::text(&retired.name),
        Cell::Bool(retired.done),
        Cell::count(retired.rows),
        Cell::count(retired.bytes),
    ]);
    deed.print_deed(global.output)?;
    let what = match retired.done {
        true => "is gone",
        false => "would go",
    };
    eprintln!(
        "version {} of {} {what}: {} rows of its view, {} bytes in all",
        args.version,
        args.view,
        grouped(retired.rows),
        grouped(retired.bytes)
    );
    for (topic, rows) in &retired.topics {
        eprintln!("  topic {topic} with {} rows", grouped(*rows));
    }
    if !retired.done {
        eprintln!("nothing has been changed; do it with --confirm");
    }
    Ok(())
}
