//! `refrain plugin fuel`

use std::path::Path;

use refrain_engine::fuel::{self, Fuel};
use refrain_engine::host::Project;
use refrain_engine::trial::{needed, sources};

use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::commands::dev::excerpt;
use crate::failure::Failure;
use crate::link::Link;
use crate::project;
use crate::show::{Sheet, seen_enough};

/// Count the fuel that a plugin uses: a figure of its work that is the same on every machine
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Fuel is the engine's count of a guest's instructions. The same component, rows and size of calls use the same fuel
anywhere and at any load; another size of calls uses another. A node of the pipeline is fed the newest rows of its source
topics, in a trial in memory; a plugin or a file is fed rows that are made up from its description.

Examples:
  refrain plugin fuel delays                        the node, or the plugin where no node is named so
  refrain plugin fuel delays --call-rows 256
  refrain plugin fuel other.wasm --rows 100000 --seed 7
  refrain plugin fuel delays --output json"
)]
pub(crate) struct FuelArgs {
    /// A node of the pipeline, a plugin of the project, or a .wasm file
    of: String,
    /// Rows a call
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    call_rows: u32,
    /// Rows of each source topic, or made-up rows; what is over whole calls is left out
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rows: u64,
    /// Seed of made-up rows
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Option of a plugin or file, beside its defaults; a node has its own
    #[arg(long = "option", value_name = "NAME=VALUE")]
    options: Vec<String>,
}

pub(crate) fn run(global: &Global, args: &FuelArgs) -> Result<(), Failure> {
    let file = args.of.ends_with(".wasm") && Path::new(&args.of).is_file();
    let fuel = match file {
        true => of_component(args, Path::new(&args.of))?,
        false => {
            let project = project::find(global)?;
            let declaration = project.declaration();
            match declaration {
                Ok(file) if file.node_names().contains(&args.of) => of_node(args, &project)?,
                _ => of_component(args, &project.component(&args.of))?,
            }
        }
    };
    if global.output == Output::Json {
        use std::io::Write;
        let json = serde_json::to_string_pretty(&fuel).map_err(anyhow::Error::from)?;
        return seen_enough(writeln!(std::io::stdout(), "{json}"));
    }
    sheet(&fuel).print(global.output)?;
    eprintln!(
        "{} of fuel a row: {} took {} rows in calls of {}",
        milli(fuel.fuel_per_row_milli),
        fuel.of,
        fuel.rows,
        fuel.call_rows
    );
    Ok(())
}

fn of_node(args: &FuelArgs, project: &Project) -> Result<Fuel, Failure> {
    let declaration = project.declaration()?;
    let topics = sources(
        &declaration,
        &needed(&declaration, std::slice::from_ref(&args.of))?,
    );
    let rows = {
        let mut link = Link::open(project)?;
        excerpt::take(&mut link, &topics, &excerpt::Span::last(args.rows))?
    };
    if rows.rows() == 0 {
        let topics = topics.join(", ");
        return Err(Failure::refused(format!(
            "there are no rows in {topics} for node {}: append some, or name its plugin's .wasm file for made-up rows",
            args.of
        )));
    }
    let calls = args.call_rows as usize;
    Ok(fuel::of_node(
        project,
        &declaration,
        &args.of,
        &rows,
        calls,
        Some(project::cache()),
    )?)
}

fn of_component(args: &FuelArgs, path: &Path) -> Result<Fuel, Failure> {
    let bytes = super::test::read(path)?;
    let options = super::test::pairs(&args.options)?;
    let rows = (usize::try_from(args.rows).unwrap_or(usize::MAX), args.seed);
    let calls = args.call_rows as usize;
    let cache = Some(project::cache());
    Ok(fuel::of_component(
        &args.of, &bytes, &options, rows, calls, cache,
    )?)
}

fn sheet(fuel: &Fuel) -> Sheet {
    let mut sheet = Sheet::new(&["export", "calls", "fuel", "fuel a row"]);
    for (export, used) in &fuel.exports {
        sheet.push(vec![
            Cell::text(*export),
            Cell::count(used.calls),
            Cell::count(used.fuel),
            Cell::text(milli(used.fuel_per_row_milli)),
        ]);
    }
    sheet
}

/// Thousandths with their point.
fn milli(milli: u64) -> String {
    format!("{}.{:03}", milli / 1000, milli % 1000)
}
