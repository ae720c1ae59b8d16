//! `refrain demo`: real flights as a batch and as a live stream with a crash in its middle, and the same digest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use refrain_engine::host::{PIPELINE_FILE, Project};
use refrain_engine::ingest::{DecodeOptions, Decoder, Format, decode_file};
use refrain_engine::request::Request;
use refrain_log::meter::so_far;
use refrain_plugin::build::{Language, TemplateKind, create_plugin};

use super::topic::feed::Feed;
use super::{day, init, status, view};
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::Link;
use crate::progress::Progress;
use crate::project::source_topic;
use crate::show::{self, Sheet, grouped};
use crate::socket::Client;

/// 200,000 US flights of January 2001, public domain (US Bureau of Transportation Statistics).
const FLIGHTS: &[u8] = include_bytes!("../../data/flights-200k.parquet");
const PLUGIN: &str = include_str!("../../../../plugins/flights/src/lib.rs");
const PIPELINE: &str = include_str!("demo.toml");

const FLIGHTS_COUNT: u64 = 200_000;
const LIVE_ROWS: usize = 4_000;
const LIVE_PAUSE: Duration = Duration::from_millis(15);
const CRASH_AFTER_ROWS: u64 = 100_000;
const WORST: usize = 10;
const WORST_FLIGHTS_MIN: i64 = 500;
const POLL: Duration = Duration::from_millis(20);
const POLLS_MAX: u32 = 3_000;

/// See it work: 200,000 real flights as a batch, then live with a crash
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain demo --dir demo && refrain --project demo view get delays ORD
  refrain demo --day --dir day             a generated day in two ways, and what each costs

DIR is a project to play with afterwards; with --day it has two, day/tier-per-node and day/single-tier. The day is as
long as its work: its clock jumps from one moment to the next. See docs/engagement-day.md.")]
pub(crate) struct DemoArgs {
    /// Folder to make
    #[arg(long, default_value = "refrain-demo")]
    dir: PathBuf,
    /// A day of generated events instead: a rhythm for each reader against one for all
    #[arg(long)]
    day: bool,
    /// Rows of the day
    #[arg(long, default_value_t = 1_000_000, requires = "day")]
    rows: u64,
    /// Hours of it; it ends half an hour after the nightly run
    #[arg(long, default_value_t = 24, requires = "day", value_parser = clap::value_parser!(u32).range(1..=24))]
    hours: u32,
}

pub(crate) fn run(global: &Global, args: &DemoArgs) -> Result<(), Failure> {
    if global.project.is_some() {
        return Err(Failure::refused(
            "the demo makes a project of its own: name its folder with --dir, without --project",
        ));
    }
    if args.dir.join(PIPELINE_FILE).exists() {
        return Err(Failure::refused(format!(
            "{} is a project already: name another folder with --dir, or remove this one",
            args.dir.display()
        )));
    }
    if args.day {
        let size = day::Size {
            rows: args.rows,
            hours: args.hours,
        };
        return day::run(global, &args.dir, size);
    }
    let batch = Project::new(&args.dir);
    let live = Project::new(args.dir.join("live"));
    say("make a project and build its plugin");
    make(&batch)?;
    let file = args.dir.join("flights.parquet");
    say("append the flights, and run once");
    command(
        &batch,
        &["topic", "append", "flights", &file.display().to_string()],
    )?;
    command(&batch, &["run", "--once"])?;
    let batch_digest = digest(&mut Link::open(&batch)?)?;
    let airports = worst(&mut Link::open(&batch)?)?;
    if global.output == Output::Table {
        airports.clone().print(global.output)?;
    }
    say("the same flights live, with kill -9 in the middle");
    make_live(&batch, &live)?;
    let live_digest = stream(&live, &file)?;
    if batch_digest != live_digest {
        return Err(Failure::new(
            1,
            format!("digests differ: batch {batch_digest}, live {live_digest}"),
        ));
    }
    let digests = [
        ("as a batch", batch_digest.as_str()),
        ("as a stream", &live_digest),
    ];
    print(airports, digests, global.output)?;
    eprintln!(
        "The digests are equal: {} flights, two rhythms, one crash, one result.",
        grouped(FLIGHTS_COUNT)
    );
    if global.output == Output::Table {
        eprintln!(
            "Look around: refrain --project {} view get delays ORD",
            args.dir.display()
        );
    }
    Ok(())
}

/// What came of it: airports, which people have seen by now, and the digest of both ways.
fn print(
    airports: Sheet,
    digests: [(&'static str, &str); 2],
    output: Output,
) -> Result<(), Failure> {
    match output {
        Output::Table => {
            eprintln!();
            let mut each = digests.into_iter();
            each.try_for_each(|(way, digest)| show::line(format!("{way:<12} {digest}")))
        }
        Output::Json => {
            let digests: BTreeMap<_, _> = digests.into_iter().collect();
            let airports = airports.values();
            show::json(&serde_json::json!({ "airports": airports, "digests": digests }))
        }
        Output::Csv => {
            let mut sheet = Sheet::new(&["way", "digest"]);
            for (way, digest) in digests {
                sheet.push(vec![Cell::text(way), Cell::text(digest)]);
            }
            show::print_tables(vec![("airport", airports), ("digest", sheet)], output)
        }
    }
}

fn say(what: &str) {
    eprintln!("\n== {what}");
}

#[expect(clippy::disallowed_methods, reason = "the user's own new files")]
fn make(project: &Project) -> Result<(), Failure> {
    let root = project.root();
    init::make(root, PIPELINE)?;
    let package = create_plugin(
        &root.join("plugins"),
        "flights",
        Language::Rust,
        TemplateKind::Fold,
    )?;
    std::fs::write(package.join("src/lib.rs"), PLUGIN)?;
    std::fs::write(root.join("flights.parquet"), FLIGHTS)?;
    super::plugin::build::build(
        project,
        "flights",
        refrain_plugin::build::Talk::Silent,
        &mut |line| eprintln!("{line}"),
    )
}

#[expect(clippy::disallowed_methods, reason = "the user's own new files")]
fn make_live(batch: &Project, live: &Project) -> Result<(), Failure> {
    init::make(live.root(), PIPELINE)?;
    std::fs::write(
        live.component("flights"),
        std::fs::read(batch.component("flights"))?,
    )?;
    Ok(())
}

/// This program again, in a project; its talk is ours.
fn refrain(project: &Project, arguments: &[&str]) -> Result<Command, Failure> {
    let shown = project.root().display();
    eprintln!("$ refrain --project {shown} {}", arguments.join(" "));
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--project").arg(project.root()).args(arguments);
    Ok(command)
}

fn command(project: &Project, arguments: &[&str]) -> Result<(), Failure> {
    let status = refrain(project, arguments)?.status()?;
    if status.success() {
        return Ok(());
    }
    let code = status
        .code()
        .and_then(|c| u8::try_from(c).ok())
        .unwrap_or(1);
    Err(Failure::new(
        code,
        format!("`refrain {}` failed", arguments.join(" ")),
    ))
}

/// A running host that dies with us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(project: &Project) -> Result<(Running, Link), Failure> {
    let mut command = refrain(project, &["run"])?;
    let mut running = Running(command.stdin(Stdio::null()).spawn()?);
    for _ in 0..POLLS_MAX {
        if let Ok(client) = Client::connect(&project.socket()) {
            return Ok((running, Link::Other(client)));
        }
        if let Some(status) = running.0.try_wait()? {
            return Err(Failure::new(
                1,
                format!("`refrain run` ended early: {status}"),
            ));
        }
        std::thread::sleep(POLL);
    }
    Err(Failure::new(
        1,
        "`refrain run` did not open its socket within a minute",
    ))
}

/// Feeds the flights to a running host, kills it half-way, starts it again and feeds all of them again.
fn stream(project: &Project, file: &Path) -> Result<String, Failure> {
    let (mut running, mut link) = start(project)?;
    let sent = feed(project, &mut link, file, CRASH_AFTER_ROWS)?;
    running.0.kill()?;
    running.0.wait()?;
    eprintln!(
        "killed the host after {} flights; again, all of them from the first",
        grouped(sent)
    );
    drop(running);
    let (mut running, mut link) = start(project)?;
    feed(project, &mut link, file, u64::MAX)?;
    wait_until_done(&mut link)?;
    let digest = digest(&mut link)?;
    link.ask(Request::Stop)?;
    running.0.wait()?;
    Ok(digest)
}

/// Sends at most `rows_max` rows, a few thousand at a time.
fn feed(project: &Project, link: &mut Link, file: &Path, rows_max: u64) -> Result<u64, Failure> {
    let topic = source_topic(&project.declaration()?, "flights")?;
    let schema = topic.spec.schema.clone();
    let options = DecodeOptions {
        schema: Arc::new(schema.clone()),
        defaults: topic.spec.defaults.clone(),
        units: topic.units,
        input: "flights.parquet".into(),
        first_row: 1,
    };
    let mut decoder: Box<dyn Decoder> = decode_file(Format::Parquet, file, options)?;
    let mut feed = Feed::new(link, "flights", schema, Some("demo".into()));
    let mut sent = 0;
    let progress = Progress::rows(rows_max.min(FLIGHTS_COUNT));
    while sent < rows_max {
        let before = so_far();
        let Some(decoded) = decoder.next(LIVE_ROWS)? else {
            break;
        };
        let decode_ns = so_far().since(before).cpu_ns;
        sent += decoded.row_numbers.len() as u64;
        feed.send("flights.parquet", decoded, decode_ns)?;
        progress.at(sent);
        std::thread::sleep(LIVE_PAUSE);
    }
    feed.settle()?;
    drop(progress);
    let done = feed.appended;
    eprintln!(
        "{} flights fed: {} new, {} were there already",
        grouped(sent),
        grouped(done.rows),
        grouped(done.duplicates)
    );
    Ok(sent)
}

fn wait_until_done(link: &mut Link) -> Result<(), Failure> {
    for _ in 0..POLLS_MAX {
        let status = status::ask(link)?;
        if status.nodes.iter().all(|n| n.lag_rows == 0) {
            return Ok(());
        }
        std::thread::sleep(POLL);
    }
    Err(Failure::new(
        1,
        "the node did not catch up within a minute; see `refrain status`",
    ))
}

fn digest(link: &mut Link) -> Result<String, Failure> {
    let views = view::views(link)?;
    let view = views.iter().find(|v| v.name == "delays");
    let view = view.ok_or_else(|| Failure::new(1, "the view delays is not there"))?;
    Ok(view::hex(view.state.digest))
}

/// Airports by mean delay, the worst first, from the view's days.
fn worst(link: &mut Link) -> Result<Sheet, Failure> {
    let request = Request::ViewScan {
        view: "delays".into(),
        limit: None,
    };
    let rows = view::rows(link, request)?.table.rows;
    let column = |name: &str| {
        rows.column_by_name(name)
            .ok_or_else(|| Failure::new(1, format!("no field {name}")))
    };
    let origins = column("origin")?.as_string::<i32>();
    let number = |name: &str| Ok::<_, Failure>(column(name)?.as_primitive::<Int64Type>());
    let (flights, delayed, sum) = (number("flights")?, number("delayed")?, number("delay_sum")?);
    let mut airports: BTreeMap<&str, [i64; 3]> = BTreeMap::new();
    for row in 0..rows.num_rows() {
        let totals = airports.entry(origins.value(row)).or_default();
        let day = [flights.value(row), delayed.value(row), sum.value(row)];
        totals
            .iter_mut()
            .zip(day)
            .for_each(|(total, n)| *total += n);
    }
    let mut list: Vec<_> = airports
        .into_iter()
        .filter(|(_, t)| t[0] >= WORST_FLIGHTS_MIN)
        .collect();
    list.sort_by(|(_, a), (_, b)| mean(b).total_cmp(&mean(a)));
    let mut sheet = Sheet::new(&["origin", "flights", "delayed", "mean_delay_minutes"]);
    for (origin, totals) in list.into_iter().take(WORST) {
        let mean = (mean(&totals) * 10.0).round() / 10.0;
        sheet.push(vec![
            Cell::text(origin),
            Cell::Integer(totals[0]),
            Cell::Integer(totals[1]),
            Cell::Float(mean),
        ]);
    }
    Ok(sheet)
}

#[expect(clippy::cast_precision_loss, reason = "minutes for people")]
fn mean(totals: &[i64; 3]) -> f64 {
    totals[2] as f64 / totals[0] as f64
}
