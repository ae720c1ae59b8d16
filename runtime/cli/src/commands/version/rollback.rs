//! `refrain rollback`

use refrain_engine::versions::request::{self as versions, Answer};

use super::{ask, print_moved};
use crate::args::Global;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::project;

/// Let readers of a view read what they read before the last cutover
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain rollback delays                         everybody
  refrain rollback delays --consumer ops-board    one consumer

Old versions go on running until they are retired, so that going back shows nobody the past.")]
pub(crate) struct RollbackArgs {
    /// Name of the view, of its node, or of the topic of a node
    view: String,
    /// Only this consumer [default: everybody]
    #[arg(long, value_name = "CONSUMER")]
    consumer: Option<String>,
}

pub(crate) fn run(global: &Global, args: &RollbackArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let request = versions::Request::Rollback {
        name: args.view.clone(),
        consumer: args.consumer.clone(),
    };
    match ask(&mut link, request)? {
        Answer::Moved(moved) => print_moved(
            global,
            &moved,
            args.consumer.as_deref().unwrap_or("everybody"),
        ),
        _ => Err(unexpected()),
    }
}
