//! The report of the conformance suite, for people and for programs.

use std::path::PathBuf;

use refrain_log::schema::{Field, Kind};
use refrain_plugin::Host;
use refrain_plugin::conformance::{Check, Older, Report, Settings, Verdict, examine};

use super::{Case, Outcome, read};
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::show::{Sheet, seen_enough};

/// What the suite is run with.
#[derive(Debug, clap::Args)]
pub(super) struct SuiteArgs {
    /// Seed of the made-up rows
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Made-up rows of each promise
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(2..=100_000))]
    rows: u64,
    /// A key that `evaluate` is shown, where it wants some: the key fields of a node in their order, then the one of its
    /// window
    #[arg(long = "key", value_name = "NAME:TYPE", value_parser = key)]
    keys: Vec<Field>,
    /// An older version of the plugin, whose states `migrate` is given
    #[arg(long, value_name = "FILE")]
    older: Option<PathBuf>,
}

/// `content_id:i64`, `name:text?`.
pub(super) fn key(text: &str) -> Result<Field, String> {
    let wanted = "write NAME:TYPE, as content_id:i64";
    let (name, kind) = text.split_once(':').ok_or(wanted)?;
    let (kind, nullable) = match kind.trim().strip_suffix('?') {
        Some(kind) => (kind, true),
        None => (kind.trim(), false),
    };
    let all = Kind::ALL.map(Kind::name).join(", ");
    let kind = Kind::from_name(kind).ok_or_else(|| format!("there are the types {all}"))?;
    Ok(Field {
        name: name.trim().to_owned(),
        kind,
        nullable,
    })
}

/// Runs the suite on one component, and tells people what it found.
pub(super) fn run(
    global: &Global,
    host: &Host,
    name: &str,
    bytes: &[u8],
    args: &SuiteArgs,
    options: &[(String, String)],
) -> Result<Report, Failure> {
    let older = args.older.as_ref().map(|path| {
        Ok::<_, Failure>(Older {
            name: path.display().to_string(),
            bytes: read(path)?,
        })
    });
    let settings = Settings {
        seed: args.seed,
        rows: args.rows as usize,
        keys: args.keys.clone(),
        older: older.transpose()?,
        options: options.to_vec(),
        ..Settings::default()
    };
    let report = examine(host, name, bytes, &settings);
    if global.output == Output::Table {
        eprintln!("{}, seed {}", report.plugin, report.seed);
        let mut sheet = Sheet::new(COLUMNS);
        report
            .checks
            .iter()
            .for_each(|check| sheet.push(row(check)));
        sheet.print(global.output)?;
    }
    Ok(report)
}

/// The promises, each as a case.
pub(super) fn cases(report: &Report) -> impl Iterator<Item = Case> + '_ {
    report.checks.iter().map(|check| Case {
        suite: format!("{} conformance", report.plugin),
        name: check.name.to_owned(),
        outcome: match check.verdict {
            Verdict::Passed => Outcome::Passed,
            Verdict::Failed => Outcome::Failed(check.text.clone()),
            Verdict::Skipped => Outcome::Skipped(check.text.clone()),
        },
    })
}

/// All reports for programs: one array of JSON, or one table of CSV.
pub(super) fn print(global: &Global, reports: &[Report]) -> Result<(), Failure> {
    use std::io::Write;
    match global.output {
        Output::Table => Ok(()),
        Output::Json => {
            let text = serde_json::to_string_pretty(reports).map_err(anyhow::Error::from)?;
            seen_enough(writeln!(std::io::stdout(), "{text}"))
        }
        Output::Csv => {
            let mut sheet = Sheet::new(&[&["plugin"][..], COLUMNS].concat());
            for report in reports {
                for check in &report.checks {
                    let plugin = std::iter::once(Cell::text(&report.plugin));
                    sheet.push(plugin.chain(row(check)).collect());
                }
            }
            sheet.print(global.output)
        }
    }
}

const COLUMNS: &[&str] = &["promise", "verdict", "what"];

fn row(check: &Check) -> Vec<Cell> {
    let verdict = match check.verdict {
        Verdict::Passed => "kept",
        Verdict::Failed => "BROKEN",
        Verdict::Skipped => "skipped",
    };
    vec![
        Cell::text(check.name),
        Cell::text(verdict),
        Cell::text(&check.text),
    ]
}
