//! `refrain rejected list`

use refrain_engine::rejected::RejectedStatus;

use super::statuses;
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::Link;
use crate::project;
use crate::show::{self, Sheet, grouped};

/// Count rows that were set aside, with the most frequent reasons
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  refrain rejected list --output json

TOPIC.rejected has rows that did not decode or that the topic refused, NODE.rejected rows
that a plugin refused, NODE.late rows that came after their window had closed. In reasons,
# stands for a number and … for a value. Topics without rows are left out of the table.")]
pub(crate) struct ListArgs {}

pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let all = statuses(&mut link, None)?;
    for status in &all {
        tell(status);
    }
    if global.output == Output::Json {
        return show::json(&all.iter().map(json).collect::<Vec<_>>());
    }
    let mut sheet = Sheet::new(&[
        "name",
        "kind",
        "rows",
        "resubmitted",
        "first",
        "last",
        "most_frequent_reason",
    ]);
    for status in all.iter().filter(|s| s.rows > 0) {
        let reason = status.reasons.first();
        sheet.push(vec![
            Cell::text(&status.name),
            Cell::text(status.kind.name()),
            Cell::count(status.rows),
            Cell::count(status.resubmitted_rows),
            Cell::time(status.first.map(|t| t.0)),
            Cell::time(status.last.map(|t| t.0)),
            reason.map_or(Cell::Null, |r| {
                Cell::text(format!("{} rows: {}", grouped(r.rows), r.reason))
            }),
        ]);
    }
    sheet.print(global.output)
}

/// What an operator should know beside the figures.
fn tell(status: &RejectedStatus) {
    if let Some(damage) = &status.damage {
        eprintln!("damage: {damage}; rows behind it are not counted");
    }
    if status.unfinished {
        eprintln!(
            "note: appending rows of {} again was interrupted; `refrain rejected resubmit {} --confirm` finishes it",
            status.name, status.name
        );
    }
}

pub(super) fn json(status: &RejectedStatus) -> serde_json::Value {
    let time =
        |t: Option<refrain_log::ids::Timestamp>| t.map(|t| refrain_engine::ingest::time::text(t.0));
    serde_json::json!({
        "name": status.name,
        "kind": status.kind,
        "rows": status.rows,
        "resubmitted": status.resubmitted_rows,
        "unfinished": status.unfinished,
        "first": time(status.first),
        "last": time(status.last),
        "reasons": status.reasons,
        "other_rows": status.other_rows,
        "damage": status.damage,
    })
}
