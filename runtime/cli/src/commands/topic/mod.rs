//! Topics: append, read, look at.

pub(crate) mod alter;
pub(crate) mod append;
pub(crate) mod describe;
pub(crate) mod feed;
pub(crate) mod list;
pub(crate) mod optimize;
pub(crate) mod read;
pub(crate) mod trim;
pub(crate) mod verify;

use refrain_engine::request::{Request, Response, TopicStatus};

use crate::failure::Failure;
use crate::link::{Link, unexpected};

/// How many partitions a topic has.
pub(crate) fn partitions(link: &mut Link, name: &str) -> Result<u32, Failure> {
    let found = topics(link, Request::Topic(name.to_owned()))?;
    Ok(found
        .first()
        .map_or(0, |topic| topic.partitions.len() as u32))
}

/// What topics are at.
pub(crate) fn topics(link: &mut Link, request: Request) -> Result<Vec<TopicStatus>, Failure> {
    match link.ask(request)? {
        Response::Topics(topics) => Ok(topics),
        _ => Err(unexpected()),
    }
}
