//! `refrain view get`

use refrain_engine::request::Request;

use super::{rows, sheet};
use crate::args::Global;
use crate::failure::{Failure, REFUSED};
use crate::link::Link;
use crate::project;

/// Print the rows of a view that have this key
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain view get delays ORD 2001-01-06
  refrain view get delays ORD                all rows whose first key field is ORD

`@final` tells whether the row's window is closed. Exit code 2 when there is no such row.")]
pub(crate) struct GetArgs {
    /// Name of the view
    view: String,
    /// Values of the key fields, or of the first of them
    #[arg(required = true)]
    key: Vec<String>,
}

pub(crate) fn run(global: &Global, args: &GetArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let request = Request::ViewGet {
        view: args.view.clone(),
        key: args.key.clone(),
    };
    let answer = rows(&mut link, request)?;
    sheet(&answer).print(global.output)?;
    if answer.table.rows.num_rows() == 0 {
        let message = format!(
            "view {} has no row with the key {}",
            args.view,
            args.key.join(" ")
        );
        return Err(Failure::new(REFUSED, message));
    }
    Ok(())
}
