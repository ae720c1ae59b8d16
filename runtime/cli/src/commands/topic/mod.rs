//! Topics: append, read, look at.

pub(crate) mod append;
pub(crate) mod describe;
pub(crate) mod feed;
pub(crate) mod list;
pub(crate) mod read;

use refrain_engine::request::{Request, Response, TopicStatus};

use crate::failure::Failure;
use crate::link::{Link, unexpected};

fn topics(link: &mut Link, request: Request) -> Result<Vec<TopicStatus>, Failure> {
    match link.ask(request)? {
        Response::Topics(topics) => Ok(topics),
        _ => Err(unexpected()),
    }
}
