//! `refrain topic optimize`

use std::time::Duration;

use refrain_engine::keep::request::{Answer, OptimizeOrder, Request};
use refrain_log::ids::Offset;
use refrain_log::optimize::Optimized;

use super::topics;
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::commands::keep::ask;
use crate::commands::version::print_json;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::progress::Progress;
use crate::project;
use crate::show::{Sheet, grouped};

/// The log rests so long after each segment, that others have the disk.
const REST: Duration = Duration::from_millis(20);

/// Merge the small frames of a topic into large ones, which are read faster and take less room
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain topic optimize flights --dry-run   says what would become of each segment
  refrain topic optimize flights

Rows, offsets and everything else that a reader sees stay as they are. Segments that take appends are left alone. A running host
does the same by itself, unless the topic says `optimize = false`.")]
pub(crate) struct OptimizeArgs {
    /// Name of the topic
    topic: String,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// One segment of the answer.
#[derive(Debug, serde::Serialize)]
struct Row {
    partition: u32,
    #[serde(flatten)]
    segment: Optimized,
}

pub(crate) fn run(global: &Global, args: &OptimizeArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let request = refrain_engine::request::Request::Topic(args.topic.clone());
    let mut rows = Vec::new();
    for topic in topics(&mut link, request)? {
        let progress = Progress::bytes(topic.bytes);
        for partition in 0..topic.partitions.len() as u32 {
            one(&mut link, args, partition, &mut rows, &progress)?;
        }
    }
    match global.output {
        Output::Json => print_json(&rows)?,
        _ => sheet(&rows).print(global.output)?,
    }
    let sum = |of: fn(&Optimized) -> u64| grouped(rows.iter().map(|r| of(&r.segment)).sum());
    let what = match args.dry_run {
        true => "would be",
        false => "are now",
    };
    eprintln!(
        "{}: {} segments, {} frames of {} bytes {what} {} of {}",
        args.topic,
        grouped(rows.len() as u64),
        sum(|s| s.frames),
        sum(|s| s.bytes),
        sum(|s| s.frames_after),
        sum(|s| s.bytes_after),
    );
    Ok(())
}

/// One partition, segment after segment.
fn one(
    link: &mut Link,
    args: &OptimizeArgs,
    partition: u32,
    rows: &mut Vec<Row>,
    progress: &Progress,
) -> Result<(), Failure> {
    let mut from = Some(Offset(0));
    while let Some(offset) = from {
        let order = OptimizeOrder {
            topic: args.topic.clone(),
            partition,
            from: offset,
            dry_run: args.dry_run,
        };
        let Answer::Optimized(told) = ask(link, Request::Optimize(order))? else {
            return Err(unexpected());
        };
        let Some(segment) = told else {
            return Ok(());
        };
        from = segment.next;
        rows.push(Row { partition, segment });
        progress.at(rows.iter().map(|row| row.segment.bytes).sum());
        std::thread::sleep(REST);
    }
    Ok(())
}

fn sheet(rows: &[Row]) -> Sheet {
    let mut sheet = Sheet::new(&[
        "partition",
        "file",
        "rows",
        "frames",
        "frames_after",
        "bytes",
        "bytes_after",
        "done",
    ]);
    for Row { partition, segment } in rows {
        sheet.push(vec![
            Cell::count((*partition).into()),
            Cell::text(&segment.file),
            Cell::count(segment.rows),
            Cell::count(segment.frames),
            Cell::count(segment.frames_after),
            Cell::count(segment.bytes),
            Cell::count(segment.bytes_after),
            Cell::Bool(segment.done),
        ]);
    }
    sheet
}
