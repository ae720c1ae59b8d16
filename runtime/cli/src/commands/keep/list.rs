//! `refrain savepoint list`

use refrain_engine::keep::request::{Answer, Request};

use super::ask;
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::commands::version::print_json;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::project;
use crate::show::Sheet;

/// List savepoints, the oldest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  refrain savepoint list

`own_bytes` are those that nothing but the savepoint has any more: what deleting it frees.")]
pub(crate) struct ListArgs {}

pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let Answer::Savepoints(savepoints) = ask(&mut link, Request::Savepoints)? else {
        return Err(unexpected());
    };
    if global.output == Output::Json {
        return print_json(&savepoints);
    }
    let mut sheet = Sheet::new(&[
        "savepoint",
        "kind",
        "made",
        "up_to",
        "nodes",
        "bytes",
        "own_bytes",
    ]);
    for savepoint in savepoints {
        sheet.push(vec![
            Cell::text(savepoint.name),
            Cell::text(if savepoint.base { "base" } else { "kept" }),
            Cell::time(Some(savepoint.made.0)),
            Cell::count(savepoint.durable.0),
            Cell::count(savepoint.nodes.len() as u64),
            Cell::count(savepoint.bytes),
            Cell::count(savepoint.own_bytes),
        ]);
    }
    sheet.print(global.output)
}
