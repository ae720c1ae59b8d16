//! `refrain view versions`

use refrain_engine::status::Phase;
use refrain_engine::versions::Standing;
use refrain_engine::versions::request::VersionStatus;

use super::{list_of, print_json};
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::commands::view::hex;
use crate::failure::Failure;
use crate::link::Link;
use crate::project;
use crate::show::Sheet;

/// Show the versions of a view, and who reads which
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  refrain view versions delays

A version is live (read), a candidate (never read), old (read once, kept to go back to) or failed (stopped by an error).")]
pub(crate) struct VersionsArgs {
    /// Name of the view, of its node, or of the topic of a node
    view: String,
}

pub(crate) fn run(global: &Global, args: &VersionsArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let list = list_of(&mut link, &args.view)?;
    if global.output == Output::Json {
        return print_json(&list);
    }
    let mut sheet = Sheet::new(&[
        "version",
        "state",
        "read_by",
        "plugin",
        "component",
        "options",
        "from",
        "cut",
        "lag_rows",
        "rows",
        "digest",
        "validated",
    ]);
    for version in &list.versions {
        let mut readers: Vec<&str> = Vec::new();
        if version.version == list.live {
            readers.push("everybody");
        }
        let own = list.consumers.iter().filter(|(_, v)| *v == version.version);
        let own = own.filter(|_| version.version != list.live);
        readers.extend(own.map(|(name, _)| name.as_str()));
        sheet.push(row(version, &readers));
    }
    sheet.print(global.output)?;
    let elsewhere = list
        .consumers
        .iter()
        .filter(|(_, v)| *v != list.live)
        .count();
    eprintln!(
        "node {}: version {} is live; {elsewhere} of {} consumers read another one",
        list.node,
        list.live,
        list.consumers.len()
    );
    Ok(())
}

fn row(version: &VersionStatus, readers: &[&str]) -> Vec<Cell> {
    let options: Vec<String> = version
        .options
        .iter()
        .map(|(n, v)| format!("{n}={v}"))
        .collect();
    let from = match version.start.after.0 {
        0 => "earliest".to_owned(),
        after => format!("sequence {}", after + 1),
    };
    let validated = version.validated;
    vec![
        Cell::count(version.version.into()),
        Cell::text(state(version)),
        Cell::text(readers.join(", ")),
        Cell::text(&version.plugin),
        Cell::text(&version.component[..version.component.len().min(12)]),
        Cell::text(options.join(", ")),
        Cell::text(from),
        Cell::count(version.cut.0),
        Cell::count(version.lag_rows),
        version
            .view
            .map_or(Cell::Null, |(rows, _)| Cell::count(rows)),
        version
            .view
            .map_or(Cell::Null, |(_, digest)| Cell::text(hex(digest))),
        validated.map_or(Cell::Null, |(with, cut)| {
            Cell::text(format!("like {with} at {cut}"))
        }),
    ]
}

fn state(version: &VersionStatus) -> String {
    match (&version.phase, version.standing) {
        (Phase::Stopped(why), Standing::Candidate) => format!("failed: {why}"),
        (_, Standing::Candidate) => "candidate".into(),
        (_, Standing::Live) => "live".into(),
        (_, Standing::Old) => "old".into(),
    }
}
