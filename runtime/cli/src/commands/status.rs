//! `refrain status`

use refrain_engine::request::{HostStatus, Request, Response};
use refrain_engine::status::NodeStatus;

use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::project;
use crate::show::{Sheet, seen_enough};

/// Show how far each node has got
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  refrain status

`lag_rows` are rows of the input that the node's last commit does not cover.")]
pub(crate) struct StatusArgs {}

pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let status = ask(&mut link)?;
    if global.output == Output::Json {
        use std::io::Write;
        let json = serde_json::to_string_pretty(&status).map_err(anyhow::Error::from)?;
        return seen_enough(writeln!(std::io::stdout(), "{json}"));
    }
    let mut sheet = Sheet::new(&[
        "node",
        "phase",
        "rhythm",
        "lag_rows",
        "cut",
        "watermark",
        "committed_at",
        "counts",
    ]);
    for node in &status.nodes {
        let counts: Vec<String> = node
            .counts
            .iter()
            .map(|(name, n)| format!("{name} {n}"))
            .collect();
        sheet.push(vec![
            Cell::text(&node.name),
            Cell::text(node.phase.to_string()),
            Cell::text(rhythm(node)),
            Cell::count(node.lag_rows),
            Cell::count(node.cut.0),
            Cell::time(node.watermark.map(|t| t.0)),
            Cell::time(node.committed_at.map(|t| t.0)),
            Cell::text(counts.join(", ")),
        ]);
    }
    sheet.print(global.output)?;
    let running = if status.running {
        "a host is running"
    } else {
        "no host is running"
    };
    eprintln!(
        "{running}; the log is durable up to sequence {}",
        status.durable
    );
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
