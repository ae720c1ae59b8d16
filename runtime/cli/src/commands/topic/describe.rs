//! `refrain topic describe`

use refrain_engine::request::{Request, TopicStatus};
use refrain_log::difference::{of_fields, sentence};
use refrain_log::schemas::SchemaVersion;

use super::topics;
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::Link;
use crate::project;
use crate::show::{self, Sheet};

/// Show the fields and the partitions of one topic
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  refrain topic describe flights

--output csv: rows of `table` field, partition and kept.")]
pub(crate) struct DescribeArgs {
    /// Name of the topic
    topic: String,
}

pub(crate) fn run(global: &Global, args: &DescribeArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let topics = topics(&mut link, Request::Topic(args.topic.clone()))?;
    if global.output == Output::Json {
        return show::json(&topics.first());
    }
    let tables = topics.iter().flat_map(tables).collect();
    show::print_tables(tables, global.output)
}

fn tables(topic: &TopicStatus) -> Vec<(&'static str, Sheet)> {
    let mut fields = Sheet::new(&["field", "type", "nullable", "default", "role"]);
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
            topic
                .defaults
                .get(&field.name)
                .map_or(Cell::Null, |value| Cell::text(value.to_string())),
            Cell::text(roles.join(", ")),
        ]);
    }
    let mut partitions = Sheet::new(&["partition", "first_offset", "end_offset"]);
    for (i, (start, end)) in topic.partitions.iter().enumerate() {
        partitions.push(vec![
            Cell::count(i as u64),
            Cell::count(start.0),
            Cell::count(end.0),
        ]);
    }
    let mut kept = Sheet::new(&["retention", "oldest_row", "bytes", "removed_bytes"]);
    kept.push(vec![
        Cell::text(&topic.retention),
        Cell::time(topic.oldest.map(|t| t.0)),
        Cell::count(topic.bytes),
        Cell::count(topic.removed_bytes),
    ]);
    let mut tables = vec![("field", fields)];
    if topic.versions.len() > 1 {
        tables.push(("version", versions(&topic.versions)));
    }
    tables.extend([("partition", partitions), ("kept", kept)]);
    tables
}

/// What each version of a schema changed.
fn versions(versions: &[SchemaVersion]) -> Sheet {
    let mut sheet = Sheet::new(&["schema_version", "after_sequence", "change"]);
    for (i, version) in versions.iter().enumerate() {
        let changes = match i.checked_sub(1) {
            None => Vec::new(),
            Some(before) => of_fields(&versions[before].schema, &version.schema),
        };
        sheet.push(vec![
            Cell::count(version.version.into()),
            Cell::count(version.since.0),
            Cell::text(sentence(&changes)),
        ]);
    }
    sheet
}
