//! `refrain status`

use std::io::{IsTerminal, Write};
use std::time::Duration;

use refrain_engine::histogram::Latency;
use refrain_engine::request::{HostStatus, Request, Response};
use refrain_engine::status::{CacheStatus, NodeStatus, Phase};

use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::project;
use crate::show::{self, Sheet, grouped, seen_enough};
use crate::socket::Client;

/// How often `--watch` looks.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Up to the top left of the terminal, and all behind the cursor away.
const REDRAW: &str = "\x1b[H\x1b[J";

/// Show how far each node has got, and how it goes
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain status
  refrain status -v                  with watermark, cut, frontier and bytes
  refrain status --watch             every second, until ctrl-C
  refrain status --output json       all figures; those ending in _us are microseconds

lag: rows of the input that the node's last commit does not cover, and how far the newest
event time is ahead of what is committed. commit: how long commits take; visible: how long
it takes from the moment when rows are durable to the commit that shows them (95 of 100, in
this run). A node that has input and does not get on is shown as stalled, since when.")]
pub(crate) struct StatusArgs {
    /// Look again every second: redraws on a terminal, one line a node elsewhere
    #[arg(long)]
    watch: bool,
}

pub(crate) fn run(global: &Global, args: &StatusArgs) -> Result<(), Failure> {
    if args.watch {
        return watch(global);
    }
    let status = ask(&mut Link::open(&project::find(global)?)?)?;
    if global.output == Output::Json {
        return show::json(&status);
    }
    let verbose = global.verbose > 0 || global.output == Output::Csv;
    sheet(&status, verbose).print(global.output)?;
    status
        .alerts
        .iter()
        .for_each(|a| eprintln!("{}: {}", a.kind, a.what));
    eprintln!("{}", footer(&status));
    Ok(())
}

fn rhythm(node: &NodeStatus) -> String {
    match (&node.rhythm, node.rhythm_auto) {
        (Some(rhythm), true) => format!("{rhythm} (auto)"),
        (Some(rhythm), false) => rhythm.to_string(),
        (None, _) => "auto".into(),
    }
}

pub(crate) fn ask(link: &mut Link) -> Result<HostStatus, Failure> {
    match link.ask(Request::Status)? {
        Response::Status(status) => Ok(status),
        _ => Err(unexpected()),
    }
}

/// Looks until ctrl-C, or until nobody reads. A host that runs is asked; what one left is read once and let go of, so
/// that the data folder is free for the next.
fn watch(global: &Global) -> Result<(), Failure> {
    let project = project::find(global)?;
    let mut told_resting = false;
    loop {
        let running = Client::connect(&project.socket()).is_ok();
        if running || !told_resting {
            let status = ask(&mut Link::open(&project)?)?;
            told_resting = !status.running;
            if !tell(global, &status)? {
                return Ok(());
            }
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

/// Shows one look; whether anyone still reads.
fn tell(global: &Global, status: &HostStatus) -> Result<bool, Failure> {
    let mut stdout = std::io::stdout();
    let redraws = stdout.is_terminal() && global.output == Output::Table;
    let text = match global.output {
        Output::Json => serde_json::to_string(status).map_err(anyhow::Error::from)?,
        _ if redraws => format!(
            "{REDRAW}{}\n{}",
            sheet(status, global.verbose > 0).text(),
            footer(status)
        ),
        _ => status.nodes.iter().map(line).collect::<Vec<_>>().join("\n"),
    };
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    let reads = !matches!(&written, Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe);
    seen_enough(written)?;
    Ok(reads)
}

fn count(node: &NodeStatus, name: &str) -> u64 {
    node.counts.get(name).copied().unwrap_or(0)
}

type Column = (&'static str, fn(&NodeStatus) -> Cell);

/// What is shown always.
const COLUMNS: [Column; 11] = [
    ("node", |n| Cell::text(&n.name)),
    ("phase", |n| Cell::text(n.phase.to_string())),
    ("rhythm", |n| Cell::text(rhythm(n))),
    ("lag_rows", |n| Cell::count(n.lag_rows)),
    ("lag_event", |n| {
        n.lag_event_us.map_or(Cell::Null, |us| Cell::text(span(us)))
    }),
    ("rows/s", |n| Cell::count(n.rows_per_second)),
    ("late", |n| Cell::count(count(n, "late"))),
    ("rejected", |n| Cell::count(count(n, "rejected"))),
    ("commit_p95", |n| measured(&n.commit)),
    ("visible_p95", |n| measured(&n.visible)),
    ("last_commit", |n| {
        let ago = |us| Cell::text(format!("{} ago", span(us)));
        n.commit_age_us.map_or(Cell::Null, ago)
    }),
];
/// What `-v` shows beside it.
const MORE: [Column; 8] = [
    ("rows", |n| Cell::count(count(n, "rows"))),
    ("watermark", |n| Cell::time(n.watermark.map(|t| t.0))),
    ("cut", |n| Cell::count(n.cut.0)),
    ("frontier", |n| Cell::count(n.frontier.0)),
    ("state_bytes", |n| Cell::count(n.state_bytes)),
    ("view_bytes", |n| Cell::count(n.view_bytes)),
    ("in_memory", |n| {
        n.cache.map_or(Cell::Null, |cache| Cell::count(cache.slots))
    }),
    ("hits", |n| n.cache.map_or(Cell::Null, hits)),
];

/// How often a row's state was in memory.
fn hits(cache: CacheStatus) -> Cell {
    match cache.hits + cache.fetched {
        0 => Cell::Null,
        all => Cell::text(format!("{:.1} %", 100.0 * cache.hits as f64 / all as f64)),
    }
}

fn measured(latency: &Latency) -> Cell {
    match latency.count {
        0 => Cell::Null,
        _ => Cell::text(span(latency.p95_us)),
    }
}

fn sheet(status: &HostStatus, verbose: bool) -> Sheet {
    let more = if verbose { &MORE[..] } else { &[] };
    let columns: Vec<&Column> = COLUMNS.iter().chain(more).collect();
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut sheet = Sheet::new(&names);
    for node in &status.nodes {
        sheet.push(columns.iter().map(|(_, cell)| cell(node)).collect());
    }
    sheet
}

/// One node in one line.
fn line(node: &NodeStatus) -> String {
    let event = node.lag_event_us.map_or("?".into(), span);
    format!(
        "{}: {}; lag {} rows, {event}; {} rows/s; {} rows, {} late, {} rejected; frontier {}",
        node.name,
        node.phase,
        grouped(node.lag_rows),
        grouped(node.rows_per_second),
        grouped(count(node, "rows")),
        grouped(count(node, "late")),
        grouped(count(node, "rejected")),
        node.frontier,
    )
}

fn footer(status: &HostStatus) -> String {
    let running = match status.running {
        true => "a host is running",
        false => "no host is running",
    };
    let bad = |n: &&NodeStatus| {
        matches!(
            n.phase,
            Phase::Stalled(_) | Phase::Stopped(_) | Phase::Waiting(_)
        )
    };
    let bad: Vec<&str> = status
        .nodes
        .iter()
        .filter(bad)
        .map(|n| n.name.as_str())
        .collect();
    let bad = match bad.is_empty() {
        true => String::new(),
        false => format!("; needs you: {} (see docs/operations.md)", bad.join(", ")),
    };
    let damaged = status.findings.iter().filter(|f| f.acknowledged).count();
    let damaged = match damaged {
        0 => String::new(),
        n => format!("; {n} finding(s) of damage"),
    };
    let shut: Vec<String> = status
        .shut
        .iter()
        .map(|shut| format!("{} ({})", shut.place, shut.why))
        .collect();
    let shut = match shut.is_empty() {
        true => String::new(),
        false => format!(
            "; takes no writes until `refrain reopen`: {}",
            shut.join(", ")
        ),
    };
    let failed = status
        .audits
        .iter()
        .filter(|audit| audit.is_failed())
        .count();
    let alerts = match status.alerts.len() - failed {
        0 => String::new(),
        n => format!("; {n} alert(s): see refrain freshness"),
    };
    let audits = match failed {
        0 => String::new(),
        n => format!("; {n} failed audit(s): see docs/operations.md"),
    };
    format!(
        "{running}; the log is durable up to sequence {}{bad}{shut}{damaged}{alerts}{audits}",
        status.durable
    )
}

/// A span of time for people.
pub(crate) fn span(us: u64) -> String {
    let of = |unit: u64, name: &str| format!("{:.1} {name}", us as f64 / unit as f64);
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => of(1_000, "ms"),
        1_000_000..120_000_000 => of(1_000_000, "s"),
        120_000_000..7_200_000_000 => of(60_000_000, "min"),
        7_200_000_000..172_800_000_000 => of(3_600_000_000, "h"),
        _ => of(86_400_000_000, "d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_fitting_unit() {
        let cases = [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_500, "1.5 ms"),
            (90_000_000, "90.0 s"),
            (600_000_000, "10.0 min"),
            (10_800_000_000, "3.0 h"),
            (1_728_000_000_000, "20.0 d"),
        ];
        for (us, wanted) in cases {
            assert_eq!(span(us), wanted);
        }
    }
}
