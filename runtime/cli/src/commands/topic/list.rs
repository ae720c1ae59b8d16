//! `refrain topic list`

use refrain_engine::request::Request;
use refrain_log::topic::Origin;

use super::topics;
use crate::args::Global;
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::Link;
use crate::project;
use crate::show::Sheet;

/// List all topics with what is in them
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  refrain topic list --output json")]
pub(crate) struct ListArgs {}

pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let mut sheet = Sheet::new(&[
        "topic",
        "origin",
        "partitions",
        "rows",
        "bytes",
        "newest_event",
    ]);
    for topic in topics(&mut link, Request::Topics)? {
        let rows = topic
            .partitions
            .iter()
            .map(|(start, end)| end.0 - start.0)
            .sum();
        sheet.push(vec![
            Cell::text(topic.name),
            Cell::text(if topic.origin == Origin::Source {
                "source"
            } else {
                "derived"
            }),
            Cell::count(topic.partitions.len() as u64),
            Cell::count(rows),
            Cell::count(topic.bytes),
            Cell::time(topic.time_max.map(|t| t.0)),
        ]);
    }
    sheet.print(global.output)
}
