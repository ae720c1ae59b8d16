//! The report of the conformance suite, for people and for programs.

use refrain_plugin::Host;
use refrain_plugin::conformance::{Report, Settings, Verdict, examine};

use super::{Case, Outcome};
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::show::{Sheet, seen_enough};

/// Runs the suite on one component and prints what it found.
pub(super) fn run(
    global: &Global,
    host: &Host,
    name: &str,
    bytes: &[u8],
    seed: u64,
    options: &[(String, String)],
) -> Result<Vec<Case>, Failure> {
    let settings = Settings {
        seed,
        options: options.to_vec(),
        ..Settings::default()
    };
    let report = examine(host, name, bytes, &settings);
    print(global, &report)?;
    Ok(report
        .checks
        .into_iter()
        .map(|check| Case {
            suite: format!("{name} conformance"),
            name: check.name.to_owned(),
            outcome: match check.verdict {
                Verdict::Passed => Outcome::Passed,
                Verdict::Failed => Outcome::Failed(check.text),
                Verdict::Skipped => Outcome::Skipped(check.text),
            },
        })
        .collect())
}

fn print(global: &Global, report: &Report) -> Result<(), Failure> {
    use std::io::Write;
    if global.output == Output::Json {
        let text = serde_json::to_string_pretty(report).map_err(anyhow::Error::from)?;
        return seen_enough(writeln!(std::io::stdout(), "{text}"));
    }
    eprintln!("{}, seed {}", report.plugin, report.seed);
    let mut sheet = Sheet::new(&["promise", "verdict", "what"]);
    for check in &report.checks {
        let verdict = match check.verdict {
            Verdict::Passed => "kept",
            Verdict::Failed => "BROKEN",
            Verdict::Skipped => "skipped",
        };
        sheet.push(vec![
            Cell::text(check.name),
            Cell::text(verdict),
            Cell::text(&check.text),
        ]);
    }
    sheet.print(global.output)
}
