//! `refrain view scan`

use refrain_engine::request::Request;

use super::{each_page, sheet};
use crate::args::Global;
use crate::commands::version::Which;
use crate::failure::Failure;
use crate::link::Link;
use crate::project;
use crate::show::Stream;

/// Print the rows of a view in the order of their key
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  refrain view scan delays --limit 10 --output csv

`@final` tells whether the row's window is closed.")]
pub(crate) struct ScanArgs {
    /// Name of the view
    view: String,
    #[command(flatten)]
    which: Which,
    /// At most so many rows [default: all]
    #[arg(long)]
    limit: Option<u64>,
}

pub(crate) fn run(global: &Global, args: &ScanArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let request = Request::ViewScan {
        view: args.which.of(&args.view),
        limit: args.limit,
    };
    let mut stream = Stream::new(global.output);
    each_page(global.output, &mut link, request, &mut |page| {
        stream.push(sheet(&page))
    })?;
    stream.finish()
}
