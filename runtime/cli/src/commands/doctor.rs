//! `refrain doctor`

use refrain_plugin::build::{Check, Language, default_cache, examine};

use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::show::{Sheet, seen_enough};

/// Show which languages plugins can be built in on this machine, and what to install
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 2 when a language that was asked for cannot be built.

Examples:
  refrain doctor
  refrain doctor c python"
)]
pub(crate) struct DoctorArgs {
    /// Languages that must work [default: all are shown, none must]
    languages: Vec<Language>,
}

pub(crate) fn run(global: &Global, args: &DoctorArgs) -> Result<(), Failure> {
    let asked: Vec<&str> = args.languages.iter().map(|l| l.name()).collect();
    let mut checks = examine(&default_cache());
    if !asked.is_empty() {
        checks.retain(|check| asked.contains(&check.language));
    }
    print(global, &checks)?;
    let missing: Vec<&str> = checks
        .iter()
        .filter(|check| !check.ready && !check.fetches)
        .map(|check| check.language)
        .collect();
    match asked.is_empty() || missing.is_empty() {
        true => Ok(()),
        false => Err(Failure::refused(format!(
            "no plugin can be built in {} on this machine; install what is said above",
            missing.join(", ")
        ))),
    }
}

fn print(global: &Global, checks: &[Check]) -> Result<(), Failure> {
    use std::io::Write;
    if global.output == Output::Json {
        let text = serde_json::to_string_pretty(checks).map_err(anyhow::Error::from)?;
        return seen_enough(writeln!(std::io::stdout(), "{text}"));
    }
    let data = global.output == Output::Csv;
    let names = ["language", "builds", "toolchain", "install"];
    let mut sheet = Sheet::new(&names[..if data { 4 } else { 3 }]);
    for check in checks {
        let builds = match (check.ready, check.fetches) {
            (true, _) => "yes",
            (false, true) => "after fetching",
            (false, false) => "no",
        };
        let mut row = vec![
            Cell::text(check.language),
            Cell::text(builds),
            Cell::text(&check.toolchain),
        ];
        if data {
            row.push(check.install.as_ref().map_or(Cell::Null, Cell::text));
        }
        sheet.push(row);
    }
    sheet.print(global.output)?;
    for check in checks {
        if let Some(install) = &check.install {
            eprintln!("{}:\n{install}", check.language);
        }
    }
    Ok(())
}
