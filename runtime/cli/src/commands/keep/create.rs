//! `refrain savepoint create`

use refrain_engine::keep::request::{Answer, Request};

use super::{ask, print_nodes, tell_bytes};
use crate::args::{Global, Output};
use crate::commands::version::print_json;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::progress::Progress;
use crate::project;

/// Keep the whole project as it is at its last commit
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  refrain savepoint create before-the-migration

Nothing is copied where the file system has hard links, and nothing waits for it: a running host goes on. Retention takes
nothing that the savepoint needs, until it is deleted.")]
pub(crate) struct CreateArgs {
    /// Name of the savepoint
    name: String,
}

pub(crate) fn run(global: &Global, args: &CreateArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let progress = Progress::spinner("keeping");
    let Answer::Saved(savepoint) = ask(&mut link, Request::Save(args.name.clone()))? else {
        return Err(unexpected());
    };
    drop(progress);
    if global.output == Output::Json {
        return print_json(&savepoint);
    }
    print_nodes(global, &savepoint.nodes)?;
    tell_bytes(&savepoint);
    Ok(())
}
