//! `refrain savepoint restore`

use std::path::PathBuf;

use refrain_engine::keep::restore::{restore, restore_into};

use super::print_nodes;
use crate::args::{Global, Output};
use crate::commands::version::print_json;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::project;

/// Go back to a savepoint, in a new project folder or in place
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain savepoint restore monday --into ../copy    a project of its own, which goes on from there
  refrain savepoint restore monday --confirm         this project's results go back; its topics stay

Every byte of the savepoint is read and checked first. In place no host may run; what came into the topics after the savepoint
is read again by the next run, and counts once.")]
pub(crate) struct RestoreArgs {
    /// Name of the savepoint
    name: String,
    /// Make a new project in this folder, which is not there yet
    #[arg(long, value_name = "DIR", conflicts_with = "confirm")]
    into: Option<PathBuf>,
    /// Set this project's results back; without it, it is shown what they would be
    #[arg(long)]
    confirm: bool,
}

pub(crate) fn run(global: &Global, args: &RestoreArgs) -> Result<(), Failure> {
    let project = project::find(global)?;
    let progress = Progress::spinner("reading the savepoint");
    let restored = match &args.into {
        Some(into) => restore_into(&project, &args.name, into)?,
        None => restore(&project, &args.name, args.confirm)?,
    };
    drop(progress);
    if global.output == Output::Json {
        return print_json(&restored);
    }
    print_nodes(global, &restored.nodes)?;
    let into = restored.into.display();
    match restored.done {
        true => eprintln!(
            "savepoint {} is restored in {into}; `refrain run` goes on from there",
            restored.name
        ),
        false => {
            eprintln!(
                "savepoint {} is whole; the results in {into} would go back to it",
                restored.name
            );
            eprintln!(
                "nothing has been changed; do it with --confirm, or make a new project with --into DIR"
            );
        }
    }
    Ok(())
}
