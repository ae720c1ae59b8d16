//! `refrain topic describe`

use refrain_engine::request::Request;

use super::topics;
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::Link;
use crate::project;
use crate::show::{Sheet, seen_enough};

/// Show the fields and the partitions of one topic
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  refrain topic describe flights")]
pub(crate) struct DescribeArgs {
    /// Name of the topic
    topic: String,
}

pub(crate) fn run(global: &Global, args: &DescribeArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let topics = topics(&mut link, Request::Topic(args.topic.clone()))?;
    if global.output == Output::Json {
        use std::io::Write;
        let json = serde_json::to_string_pretty(&topics.first()).map_err(anyhow::Error::from)?;
        return seen_enough(writeln!(std::io::stdout(), "{json}"));
    }
    for topic in &topics {
        let mut fields = Sheet::new(&["field", "type", "nullable", "role"]);
        for field in topic.schema.fields() {
            let mut roles = Vec::new();
            if topic.time.as_ref() == Some(&field.name) {
                roles.push("event time");
            }
            if topic.key.contains(&field.name) {
                roles.push("partition key");
            }
            fields.push(vec![
                Cell::text(&field.name),
                Cell::text(field.kind.name()),
                Cell::Bool(field.nullable),
                Cell::text(roles.join(", ")),
            ]);
        }
        fields.print(global.output)?;
        let mut partitions = Sheet::new(&["partition", "first_offset", "end_offset"]);
        for (i, (start, end)) in topic.partitions.iter().enumerate() {
            partitions.push(vec![
                Cell::count(i as u64),
                Cell::count(start.0),
                Cell::count(end.0),
            ]);
        }
        partitions.print(global.output)?;
        let mut kept = Sheet::new(&["retention", "oldest_row", "bytes", "removed_bytes"]);
        kept.push(vec![
            Cell::text(&topic.retention),
            Cell::time(topic.oldest.map(|t| t.0)),
            Cell::count(topic.bytes),
            Cell::count(topic.removed_bytes),
        ]);
        kept.print(global.output)?;
    }
    Ok(())
}
