//! `refrain view get`

use refrain_engine::request::Request;

use super::{each_page, sheet};
use crate::args::Global;
use crate::commands::version::Which;
use crate::failure::{Failure, REFUSED};
use crate::link::Link;
use crate::project;
use crate::show::Stream;

/// Print the rows of a view that have this key
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain view get delays ORD 2001-01-06
  refrain view get delays ORD                all rows whose first key field is ORD

`@final` tells whether the row's window is closed. Exit code 2 when there is no such row.")]
pub(crate) struct GetArgs {
    /// Name of the view
    view: String,
    #[command(flatten)]
    which: Which,
    /// Values of the key fields, or of the first of them
    #[arg(required = true)]
    key: Vec<String>,
}

pub(crate) fn run(global: &Global, args: &GetArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let request = Request::ViewGet {
        view: args.which.of(&args.view),
        key: args.key.clone(),
    };
    let mut stream = Stream::new(global.output);
    let mut count = 0;
    each_page(global.output, &mut link, request, &mut |page| {
        count += page.table.rows.num_rows();
        stream.push(sheet(&page))
    })?;
    stream.finish()?;
    if count == 0 {
        let message = format!(
            "view {} has no row with the key {}",
            args.view,
            args.key.join(" ")
        );
        return Err(Failure::new(REFUSED, message));
    }
    Ok(())
}
