//! `refrain plugin test`

mod conformance;
mod fixtures;
mod junit;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use refrain_engine::host::Project;
use refrain_plugin::build::{Language, Talk, build_component, default_cache};
use refrain_plugin::{Grants, Host, HostOptions};

use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::project;
use crate::show::Sheet;

/// Test a plugin: its fixtures, or whether it keeps the contract
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 2 when anything failed. A plugin without fixtures is skipped, and that is said.

A fixture is a folder plugins/NAME/fixtures/CASE with input.jsonl and expected.jsonl; see docs/languages.md.

Examples:
  refrain plugin test delays               builds it, plays its fixtures
  refrain plugin test delays --update      writes what came out as what is expected
  refrain plugin test --conformance delays
  refrain plugin test --conformance other.wasm --seed 7 --output json
  refrain plugin test --conformance titles --key content_id:i64 --key window_start:timestamp"
)]
pub(crate) struct TestArgs {
    /// Name of a plugin of the project, or a .wasm file [default: all in plugins/]
    plugin: Option<String>,
    /// Send made-up rows through it in many ways that must come to the same
    #[arg(long)]
    conformance: bool,
    /// Write what the fixtures give as what is expected
    #[arg(long, conflicts_with = "conformance")]
    update: bool,
    #[command(flatten)]
    suite: conformance::SuiteArgs,
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
    let mut reports = Vec::new();
    for (name, path) in plugins(global, args)? {
        let found = match args.conformance {
            true => read(&path)
                .and_then(|bytes| {
                    conformance::run(global, &host, &name, &bytes, &args.suite, &options)
                })
                .map(|report| {
                    let found = conformance::cases(&report).collect();
                    reports.push(report);
                    found
                }),
            false => with_fixtures(global, args, &host, &name),
        };
        // The others are tested, too, and the report has them all.
        cases.extend(found.unwrap_or_else(|why| vec![broken(&name, &why)]));
    }
    if let Some(path) = &args.junit {
        junit::write(path, &cases)?;
    }
    match args.conformance {
        true => conformance::print(global, &reports)?,
        false if global.output == Output::Table => {}
        false => sheet(&cases).print(global.output)?,
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

/// A plugin that cannot be tested: it does not build, or its component is none.
fn broken(name: &str, why: &Failure) -> Case {
    eprintln!("{name}: FAILED\n{}", why.message);
    Case {
        suite: name.to_owned(),
        name: "build".into(),
        outcome: Outcome::Failed(why.message.clone()),
    }
}

/// A plugin that nothing is played for.
fn without_fixtures(name: &str, folder: &Path) -> Case {
    let why = format!(
        "no fixtures: make a folder {}/CASE with an input.jsonl, then run with --update; or test with --conformance",
        folder.display()
    );
    eprintln!("{name}: {why}");
    Case {
        suite: format!("{name} fixtures"),
        name: "fixtures".into(),
        outcome: Outcome::Skipped(why),
    }
}

/// The cases as data.
fn sheet(cases: &[Case]) -> Sheet {
    let mut sheet = Sheet::new(&["suite", "case", "outcome", "why"]);
    for case in cases {
        let (outcome, why) = match &case.outcome {
            Outcome::Passed => ("passed", None),
            Outcome::Failed(why) => ("failed", Some(why)),
            Outcome::Skipped(why) => ("skipped", Some(why)),
        };
        sheet.push(vec![
            Cell::text(&case.suite),
            Cell::text(&case.name),
            Cell::text(outcome),
            why.map_or(Cell::Null, Cell::text),
        ]);
    }
    sheet
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
    let source = Language::of(&folder).is_ok();
    if source {
        super::build::build(&project, name, Talk::Silent, &mut |line| {
            eprintln!("{line}")
        })?;
    }
    let bytes = read(&project.component(name))?;
    let talking = || {
        let built = source.then(|| {
            let say = &mut |line: &str| eprintln!("{line}");
            build_component(&folder, Talk::Talking, &default_cache(), say)
        });
        Ok(built.transpose()?)
    };
    let fixtures = folder.join("fixtures");
    let cases = match fixtures.is_dir() {
        true => fixtures::run(host, name, &bytes, &fixtures, args.update, &talking)?,
        false => {
            // What is no component is none without fixtures, too.
            host.load_granting(name, &bytes, &Grants::all())?;
            Vec::new()
        }
    };
    match cases.is_empty() {
        false => Ok(cases),
        true => Ok(vec![without_fixtures(name, &fixtures)]),
    }
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
            match args.conformance {
                true => Ok(vec![(file.clone(), PathBuf::from(file))]),
                false => Err(Failure::refused(format!(
                    "{file} is a component, and fixtures belong to a plugin of a project: give its name, or test the \
                     component with --conformance"
                ))),
            }
        }
        Some(name) => {
            let path = project::find(global)?.component(name);
            Ok(vec![(name.clone(), path)])
        }
        None => all(&project::find(global)?),
    }
}

/// Every plugin in plugins/: what has a source there, built or not, and components without one.
#[expect(clippy::disallowed_methods, reason = "the user's own folder is read")]
fn all(project: &Project) -> Result<Vec<(String, PathBuf)>, Failure> {
    let folder = super::folder(project);
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let components = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "wasm"))
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    let sources = super::build::sources(&folder);
    let names: BTreeSet<String> = components.chain(sources).collect();
    match names.is_empty() {
        true => Err(Failure::refused(format!(
            "{} holds no plugin; make one with `refrain plugin new NAME`",
            folder.display()
        ))),
        false => Ok(names
            .into_iter()
            .map(|name| (name.clone(), project.component(&name)))
            .collect()),
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
