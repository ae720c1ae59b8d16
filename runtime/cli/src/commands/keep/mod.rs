//! What is kept: retention, and savepoints of the whole project.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod restore;
pub(crate) mod retention;

use refrain_engine::keep::request as keep;
use refrain_engine::keep::savepoint::{NodeSaved, SavepointStatus};
use refrain_engine::request::{Request, Response};

use crate::args::Global;
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::show::{Sheet, grouped};

pub(crate) fn ask(link: &mut Link, request: keep::Request) -> Result<keep::Answer, Failure> {
    match link.ask(Request::Keep(request))? {
        Response::Kept(answer) => Ok(*answer),
        _ => Err(unexpected()),
    }
}

/// Nodes of a savepoint, one a line.
fn print_nodes(global: &Global, nodes: &[NodeSaved]) -> Result<(), Failure> {
    let mut sheet = Sheet::new(&["node", "cut", "view", "rows", "digest"]);
    for node in nodes {
        let view = node.view.as_ref();
        sheet.push(vec![
            Cell::text(&node.node),
            Cell::count(node.cut.0),
            view.map_or(Cell::Null, |(name, _, _)| Cell::text(name)),
            view.map_or(Cell::Null, |(_, rows, _)| Cell::count(*rows)),
            view.map_or(Cell::Null, |(_, _, digest)| Cell::text(digest)),
        ]);
    }
    sheet.print(global.output)
}

/// What a savepoint holds, as a line for people.
fn tell_bytes(savepoint: &SavepointStatus) {
    eprintln!(
        "{}: {} bytes, {} of them its own",
        savepoint.name,
        grouped(savepoint.bytes),
        grouped(savepoint.own_bytes)
    );
}
