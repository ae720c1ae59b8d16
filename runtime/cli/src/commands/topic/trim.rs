//! `refrain topic trim`

use refrain_engine::ingest;
use refrain_engine::keep::request::{Answer, Before, Request, TrimOrder};
use refrain_log::ids::{Offset, Timestamp};

use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::commands::keep::ask;
use crate::commands::version::print_json;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::project;
use crate::show::{Sheet, grouped};

/// Remove the oldest rows of a topic by hand
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain topic trim flights --before 2001-03-01              says what would go
  refrain topic trim flights --before 2001-03-01 --confirm    lets it go
  refrain topic trim flights --partition 2 --before 100000

Whole segments go, those that end before the point; a time is one of appending. Rows that a version of a node, a candidate or
a savepoint has still to read stay, whatever is asked.")]
pub(crate) struct TrimArgs {
    /// Name of the topic
    topic: String,
    /// Rows before this offset of a partition, or appended before this time (ISO 8601)
    #[arg(long, value_name = "OFFSET|TIME", value_parser = parse_before)]
    before: Before,
    /// Only this partition [default: all]
    #[arg(long)]
    partition: Option<u32>,
    /// Only say what would go, which is the default
    #[arg(long, conflicts_with = "confirm")]
    dry_run: bool,
    /// Do it
    #[arg(long)]
    confirm: bool,
}

fn parse_before(text: &str) -> Result<Before, String> {
    if let Ok(offset) = text.parse() {
        return Ok(Before::Offset(Offset(offset)));
    }
    let time = ingest::parse_timestamp(text);
    time.map(|us| Before::Time(Timestamp(us))).ok_or_else(|| {
        "write an offset such as 1000, or a time such as 2001-01-06T00:00:00Z".into()
    })
}

pub(crate) fn run(global: &Global, args: &TrimArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let order = TrimOrder {
        topic: args.topic.clone(),
        partition: args.partition,
        before: args.before,
        confirm: args.confirm,
    };
    let Answer::Trimmed(trimmed) = ask(&mut link, Request::Trim(order))? else {
        return Err(unexpected());
    };
    if global.output == Output::Json {
        return print_json(&trimmed);
    }
    let mut deed = Sheet::new(&["topic", "done", "rows", "bytes", "held_bytes", "held_by"]);
    deed.push(vec![
        Cell::text(&trimmed.topic),
        Cell::Bool(trimmed.done),
        Cell::count(trimmed.rows),
        Cell::count(trimmed.bytes),
        Cell::count(trimmed.held_bytes),
        trimmed.held_by.as_ref().map_or(Cell::Null, Cell::text),
    ]);
    deed.print_deed(global.output)?;
    let what = match trimmed.done {
        true => "are gone",
        false => "would go",
    };
    eprintln!(
        "{}: {} rows, {} bytes {what}",
        trimmed.topic,
        grouped(trimmed.rows),
        grouped(trimmed.bytes)
    );
    for (partition, first) in &trimmed.firsts {
        eprintln!("  partition {partition} begins at offset {first}");
    }
    if let Some(who) = trimmed.held_by.filter(|_| trimmed.held_bytes > 0) {
        eprintln!(
            "  {} bytes more stay: {who} has still to read them",
            grouped(trimmed.held_bytes)
        );
    }
    if !trimmed.done {
        eprintln!("nothing has been changed; do it with --confirm");
    }
    Ok(())
}
