//! `refrain rejected show`

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use refrain_engine::ingest::base64;
use refrain_engine::rejected::Aside;

use super::entry::{Reading, object};
use super::pages::{About, Aparted, Selection, each_page};
use super::status;
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::commands::topic::partitions;
use crate::failure::Failure;
use crate::file::write_whole;
use crate::link::Link;
use crate::project;
use crate::show::{Sheet, Stream, grouped};

/// Show rows that were set aside, with the reason and what they are about
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain rejected show flights.rejected --reason delay
  refrain rejected show delays.late --limit 5 --output json
  refrain rejected show flights.rejected --out mend.jsonl --header date,delay,distance,origin,destination

Of a row that a node refused or that came too late, the row itself is read from the log.
--out writes one JSON object a line, to be edited and given to `rejected resubmit --edit`:
keys that begin with @ say which row it is and why it was set aside, the others are the
fields of the row. A line of CSV becomes fields when --header names its columns.")]
pub(crate) struct ShowArgs {
    /// TOPIC.rejected, NODE.rejected or NODE.late
    name: String,
    #[command(flatten)]
    selection: Selection,
    /// At most so many rows [default: 20; with --out: all]
    #[arg(long)]
    limit: Option<u64>,
    /// Write them to this file, to be edited
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Names of the columns of lines of CSV, as in the first line of their input
    #[arg(long, value_name = "A,B,C")]
    header: Option<String>,
}

pub(crate) fn run(global: &Global, args: &ShowArgs) -> Result<(), Failure> {
    let project = project::find(global)?;
    let mut link = Link::open(&project)?;
    let status = status(&mut link, &args.name)?;
    let partitions = partitions(&mut link, &args.name)?;
    let topic = args.name.trim_end_matches(".rejected");
    let source = project::source_topic(&project.declaration()?, topic).ok();
    let reading = Reading {
        header: args.header.as_deref(),
        schema: source.as_ref().map(|topic| &topic.spec.schema),
    };
    let mut left = args.limit.unwrap_or(match args.out {
        Some(_) => u64::MAX,
        None => 20,
    });
    let mut each = |take: &mut Take| {
        if left == 0 {
            return Ok(());
        }
        let mut some = |_: &mut Link, mut rows: Vec<Aparted>| {
            rows.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= rows.len() as u64;
            Ok(take(rows)? && left > 0)
        };
        each_page(&mut link, &status, partitions, &args.selection, &mut some)
    };
    if let Some(out) = &args.out {
        return to_file(&args.name, out, &reading, &mut each);
    }
    let mut stream = Stream::new(global.output);
    let done = |row: &Aparted| status.is_resubmitted(&row.spot(&args.name));
    let sheet = |rows: Vec<Aparted>| match status.kind {
        Aside::Input => inputs(rows, done, global.output),
        Aside::Node | Aside::Late => rows_of_log(rows, done),
    };
    stream.push(sheet(Vec::new()))?;
    each(&mut |rows| stream.push(sheet(rows)))?;
    stream.finish()
}

/// Takes a page of rows; whether more are wanted.
type Take<'a> = dyn FnMut(Vec<Aparted>) -> Result<bool, Failure> + 'a;

/// Writes rows to a file, to be edited.
fn to_file(
    name: &str,
    out: &Path,
    reading: &Reading,
    each: &mut dyn FnMut(&mut Take) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut count = 0;
    let written = write_whole(out, |file| {
        let mut file = BufWriter::new(file);
        each(&mut |rows| {
            count += rows.len() as u64;
            for row in &rows {
                writeln!(file, "{}", reading.line(row))?;
            }
            Ok(true)
        })?;
        file.flush()?;
        Ok(file
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)?)
    });
    written.map_err(|failure| failure.about(out))?;
    let (out, count) = (out.display(), grouped(count));
    eprintln!(
        "{out}: {count} rows of {name}; mend them there, then `refrain rejected resubmit {name} --edit {out}`"
    );
    Ok(())
}

fn inputs(rows: Vec<Aparted>, done: impl Fn(&Aparted) -> bool, output: Output) -> Sheet {
    let mut names = vec![
        "@partition",
        "@offset",
        "producer",
        "input",
        "line",
        "resubmitted",
        "reason",
        "text",
    ];
    if output == Output::Json {
        names.push("bytes");
    }
    let mut sheet = Sheet::new(&names);
    for row in rows {
        let resubmitted = done(&row);
        let About::Input {
            producer,
            input,
            line,
            bytes,
        } = row.about
        else {
            continue;
        };
        let text = String::from_utf8(bytes.clone());
        let mut cells = vec![
            Cell::count(row.partition.into()),
            Cell::count(row.offset),
            Cell::Text(producer),
            Cell::Text(input),
            Cell::Integer(line),
            Cell::Bool(resubmitted),
            Cell::Text(row.reason),
        ];
        cells.push(match text {
            Ok(text) => Cell::Text(text),
            Err(_) if output == Output::Json => Cell::Null,
            Err(_) => Cell::text(String::from_utf8_lossy(&bytes)),
        });
        if output == Output::Json {
            cells.push(Cell::Text(base64::encode(&bytes)));
        }
        sheet.push(cells);
    }
    sheet
}

fn rows_of_log(rows: Vec<Aparted>, done: impl Fn(&Aparted) -> bool) -> Sheet {
    let mut sheet = Sheet::new(&[
        "@partition",
        "@offset",
        "topic",
        "partition",
        "offset",
        "resubmitted",
        "reason",
        "row",
    ]);
    for row in rows {
        let resubmitted = done(&row);
        let About::Row { spot, row: content } = row.about else {
            continue;
        };
        sheet.push(vec![
            Cell::count(row.partition.into()),
            Cell::count(row.offset),
            Cell::Text(spot.topic),
            Cell::count(spot.partition.into()),
            Cell::count(spot.offset.0),
            Cell::Bool(resubmitted),
            Cell::Text(row.reason),
            match content {
                Ok(fields) => Cell::Json(object(&fields)),
                Err(why) => Cell::Json(serde_json::json!({ "@gone": why }).to_string()),
            },
        ]);
    }
    sheet
}
