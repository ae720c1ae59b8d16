//! `refrain topic read`

use refrain_engine::ingest;
use refrain_engine::request::{From, Request, Response, TopicRows};
use refrain_log::ids::{Offset, Timestamp};

use super::partitions;
use crate::args::Global;
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::project;
use crate::show::{Sheet, Stream};

/// Rows asked for at a time.
const READ_ROWS: u64 = 10_000;

/// Print rows of a topic with their partition and offset
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain topic read flights --limit 5
  refrain topic read flights --partition 2 --from 1000
  refrain topic read flights --from 2001-01-06 --limit 100
  refrain topic read flights.rejected --output json

Rows stand in the order of their partition; partitions follow one another. --from with a time begins, in each partition,
at the first row whose event time is that or later. What follows it in the log is shown as it stands: rows that came late,
with earlier times, too. Of a topic without an event time, such as TOPIC.rejected, it is the time of appending.")]
pub(crate) struct ReadArgs {
    /// Name of the topic
    topic: String,
    /// Only this partition [default: all, one after another]
    #[arg(long)]
    partition: Option<u32>,
    /// Begin at this offset, or at the first row of this time or later (ISO 8601) [default: the first row]
    #[arg(long, value_name = "OFFSET|TIME", value_parser = parse_from)]
    from: Option<From>,
    /// At most so many rows
    #[arg(long, default_value_t = 20)]
    limit: u64,
}

fn parse_from(text: &str) -> Result<From, String> {
    if let Ok(offset) = text.parse() {
        return Ok(From::Offset(Offset(offset)));
    }
    let time = ingest::parse_timestamp(text);
    time.map(|us| From::Time(Timestamp(us))).ok_or_else(|| {
        "write an offset such as 1000, or a time such as 2001-01-06T00:00:00Z".into()
    })
}

pub(crate) fn run(global: &Global, args: &ReadArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let count = partitions(&mut link, &args.topic)?;
    let partitions = args.partition.map_or(0..count, |p| p..p + 1);
    let mut stream = Stream::new(global.output);
    let mut left = args.limit;
    for partition in partitions {
        let mut from = args.from.unwrap_or(From::Earliest);
        loop {
            // Without rows, too: the columns are told in any case.
            let rows = read(&mut link, &args.topic, partition, from, left.min(READ_ROWS))?;
            let taken = rows.offsets.len() as u64;
            let wanted = stream.push(sheet_of(&rows, partition))?;
            left = left.saturating_sub(taken);
            if !wanted || left == 0 {
                return stream.finish();
            }
            if taken == 0 {
                break;
            }
            from = From::Offset(rows.next);
        }
    }
    stream.finish()
}

/// Rows of one partition.
pub(crate) fn read(
    link: &mut Link,
    topic: &str,
    partition: u32,
    from: From,
    limit: u64,
) -> Result<TopicRows, Failure> {
    let topic = topic.to_owned();
    match link.ask(Request::Read {
        topic,
        partition,
        from,
        limit,
    })? {
        Response::Read(rows) => Ok(rows),
        _ => Err(unexpected()),
    }
}

/// The rows with `@partition` and `@offset` before their fields.
fn sheet_of(rows: &TopicRows, partition: u32) -> Sheet {
    let mut sheet = Sheet::of(&rows.table.rows);
    sheet.put_first("@offset", rows.offsets.iter().map(|o| Cell::count(*o)));
    sheet.put_first(
        "@partition",
        rows.offsets.iter().map(|_| Cell::count(partition.into())),
    );
    sheet
}
