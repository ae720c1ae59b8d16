//! `refrain freshness`

use refrain_engine::objective::ObjectiveReport;
use refrain_engine::request::{Request, Response};
use refrain_engine::tiers::words::{span, span_or_dash};

use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::project;
use crate::show::{self, Sheet};

/// A consumer did not get what it needs, or a run did not happen.
const MISSED: u8 = 8;

/// Show how fresh consumers are served, measured, against what they need
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain freshness
  refrain freshness --fail-if-missed      exit code 8 when something is wrong: for a monitor

`achieved` is the part of the observed time in which the view was as fresh as needed; `budget` what may be missed of the
window of the objective, `left` what is left of that, `burn` how fast the last hour spent it: at 1 a window spends all.
Alerts: of consumers `late` (older than needed now) and `budget-spent` (the objective is missed); of nodes that run at
times `missed-run` (a run was due and did not happen); of nodes that run all the time, or every so often, `lagging`.
--output csv: rows of `table` consumer and node.")]
pub(crate) struct FreshnessArgs {
    /// End with exit code 8 when there is an alert
    #[arg(long)]
    fail_if_missed: bool,
}

pub(crate) fn run(global: &Global, args: &FreshnessArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let Response::Freshness(report) = link.ask(Request::Freshness)? else {
        return Err(unexpected());
    };
    match global.output {
        Output::Json => show::json(&report)?,
        output => {
            let mut tables = vec![("consumer", consumers(&report))];
            if !report.runs.is_empty() {
                tables.push(("node", runs(&report)));
            }
            show::print_tables(tables, output)?;
        }
    }
    let alerts = report.alerts();
    let told: Vec<&str> = alerts.iter().map(|alert| alert.what.as_str()).collect();
    match (args.fail_if_missed, told.is_empty()) {
        (_, true) => Ok(()),
        (true, false) => Err(Failure::new(MISSED, told.join("\n"))),
        (false, false) => {
            told.iter().for_each(|what| eprintln!("{what}"));
            Ok(())
        }
    }
}

fn consumers(report: &ObjectiveReport) -> Sheet {
    let mut sheet = Sheet::new(&[
        "consumer",
        "view",
        "need",
        "stale now",
        "as of",
        "tier",
        "objective",
        "achieved",
        "observed",
        "budget",
        "left",
        "burn",
        "alert",
    ]);
    for consumer in &report.consumers {
        sheet.push(vec![
            Cell::text(&consumer.consumer),
            Cell::text(&consumer.view),
            Cell::text(span_or_dash(consumer.need_us)),
            Cell::text(span(consumer.now.staleness_us)),
            Cell::time(Some(consumer.now.as_of.0)),
            Cell::text(consumer.now.tier.as_deref().unwrap_or("-")),
            Cell::text(percent(Some(consumer.objective_ppm))),
            Cell::text(percent(consumer.achieved_ppm)),
            Cell::text(span(consumer.observed_us)),
            Cell::text(span(consumer.budget_us)),
            Cell::text(span(consumer.budget_left_us)),
            Cell::text(burn(consumer.burn_milli)),
            Cell::text(consumer.alerts.join(", ")),
        ]);
    }
    sheet
}

fn runs(report: &ObjectiveReport) -> Sheet {
    let mut sheet = Sheet::new(&[
        "node",
        "rhythm",
        "last run",
        "due",
        "missed in 30d",
        "alert",
    ]);
    for run in &report.runs {
        sheet.push(vec![
            Cell::text(&run.node),
            Cell::text(run.rhythm.to_string()),
            Cell::time(run.last.map(|t| t.0)),
            Cell::time(run.due.map(|t| t.0)),
            Cell::count(run.missed),
            Cell::text(run.alerts.join(", ")),
        ]);
    }
    sheet
}

/// A tenth of it is the least that is told.
fn burn(milli: Option<u64>) -> String {
    milli.map_or("-".into(), |milli| {
        format!("{}.{}", milli / 1000, milli % 1000 / 100)
    })
}

fn percent(ppm: Option<u32>) -> String {
    ppm.map_or("-".into(), |ppm| {
        format!("{}.{:02}%", ppm / 10_000, ppm % 10_000 / 100)
    })
}
