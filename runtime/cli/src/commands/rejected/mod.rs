//! Rows that were set aside: list, show, append again.

pub(crate) mod entry;
pub(crate) mod line;
pub(crate) mod list;
pub(crate) mod pages;
pub(crate) mod resubmit;
pub(crate) mod show;

use refrain_engine::rejected::RejectedStatus;
use refrain_engine::request::{Request, Response};

use crate::failure::Failure;
use crate::link::{Link, unexpected};

fn statuses(link: &mut Link, name: Option<&str>) -> Result<Vec<RejectedStatus>, Failure> {
    match link.ask(Request::Rejected(name.map(str::to_owned)))? {
        Response::Rejected(statuses) => Ok(statuses),
        _ => Err(unexpected()),
    }
}

/// The one of that name.
fn status(link: &mut Link, name: &str) -> Result<RejectedStatus, Failure> {
    let mut statuses = statuses(link, Some(name))?;
    statuses.pop().ok_or_else(unexpected)
}
