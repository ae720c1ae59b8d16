//! `refrain plugin test`

mod conformance;
mod fixtures;
mod junit;

use std::path::{Path, PathBuf};

use refrain_engine::host::Project;
use refrain_plugin::build::Language;
use refrain_plugin::{Host, HostOptions};

use crate::args::Global;
use crate::failure::Failure;
use crate::project;

/// Test a plugin: its fixtures, or whether it keeps the contract
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code 2 when anything failed.

A fixture is a folder plugins/NAME/fixtures/CASE with input.jsonl and expected.jsonl; see docs/languages.md.

Examples:
  refrain plugin test delays               builds it, plays its fixtures
  refrain plugin test delays --update      writes what came out as what is expected
  refrain plugin test --conformance delays
  refrain plugin test --conformance other.wasm --seed 7 --output json")]
pub(crate) struct TestArgs {
    /// Name of a plugin of the project, or a .wasm file [default: all in plugins/]
    plugin: Option<String>,
    /// Send made-up rows through it in many ways that must come to the same
    #[arg(long)]
    conformance: bool,
    /// Write what the fixtures give as what is expected
    #[arg(long, conflicts_with = "conformance")]
    update: bool,
    /// Seed of the made-up rows
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Option of the plugin, beside its defaults
    #[arg(long = "option", value_name = "NAME=VALUE")]
    options: Vec<String>,
    /// Also write the report as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// One thing that was tested, in any kind of test.
struct Case {
    suite: String,
    name: String,
    outcome: Outcome,
}

/// How it went.
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

pub(crate) fn run(global: &Global, args: &TestArgs) -> Result<(), Failure> {
    let host = Host::new(HostOptions {
        cache: Some(project::cache()),
        ..HostOptions::default()
    })?;
    let options = pairs(&args.options)?;
    let mut cases = Vec::new();
    for (name, path) in plugins(global, args)? {
        if args.conformance {
            let bytes = read(&path)?;
            let found = conformance::run(global, &host, &name, &bytes, args.seed, &options)?;
            cases.extend(found);
        } else {
            cases.extend(with_fixtures(global, args, &host, &name)?);
        }
    }
    if let Some(path) = &args.junit {
        junit::write(path, &cases)?;
    }
    let failed = cases
        .iter()
        .filter(|c| matches!(c.outcome, Outcome::Failed(_)))
        .count();
    match failed {
        0 => Ok(()),
        _ => Err(Failure::refused(format!(
            "{failed} of {} failed",
            cases.len()
        ))),
    }
}

/// Builds the plugin where its source is there, then plays its fixtures.
fn with_fixtures(
    global: &Global,
    args: &TestArgs,
    host: &Host,
    name: &str,
) -> Result<Vec<Case>, Failure> {
    let project = project::find(global)?;
    let folder = super::folder(&project).join(name);
    if Language::of(&folder).is_ok() {
        super::build::build(&project, name, &mut |line| eprintln!("{line}"))?;
    }
    let bytes = read(&project.component(name))?;
    fixtures::run(host, name, &bytes, &folder.join("fixtures"), args.update)
}

/// Options as they were typed.
pub(super) fn pairs(options: &[String]) -> Result<Vec<(String, String)>, Failure> {
    options.iter().map(|option| pair(option)).collect()
}

fn pair(option: &str) -> Result<(String, String), Failure> {
    let (name, value) = option
        .split_once('=')
        .ok_or_else(|| Failure::refused(format!("--option {option}: write NAME=VALUE")))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What is tested, each with its component.
fn plugins(global: &Global, args: &TestArgs) -> Result<Vec<(String, PathBuf)>, Failure> {
    match &args.plugin {
        Some(file) if file.ends_with(".wasm") && Path::new(file).is_file() => {
            Ok(vec![(file.clone(), PathBuf::from(file))])
        }
        Some(name) => {
            let path = project::find(global)?.component(name);
            Ok(vec![(name.clone(), path)])
        }
        None => built(&project::find(global)?),
    }
}

/// Every component in plugins/.
fn built(project: &Project) -> Result<Vec<(String, PathBuf)>, Failure> {
    let folder = super::folder(project);
    let none = || {
        Failure::refused(format!(
            "{} holds no component; make them with `refrain plugin build`",
            folder.display()
        ))
    };
    let entries = std::fs::read_dir(&folder).map_err(|_| none())?;
    let mut found: Vec<(String, PathBuf)> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "wasm"))
        .filter_map(|path| {
            Some((
                path.file_stem()?.to_string_lossy().into_owned(),
                path.clone(),
            ))
        })
        .collect();
    found.sort();
    match found.is_empty() {
        true => Err(none()),
        false => Ok(found),
    }
}

#[expect(clippy::disallowed_methods, reason = "a user's own file is read")]
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| {
        Failure::refused(format!(
            "{}: {e}; build it with `refrain plugin build`, or give the path of a .wasm file",
            path.display()
        ))
    })
}
