//! `refrain check`

use refrain_engine::host;
use refrain_engine::pipeline::units::duration_text;
use refrain_engine::pipeline::{Diagnostics, Output as Target, PlannedNode, Rhythm};

use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::{Failure, tell_diagnostics};
use crate::project;
use crate::show::{Sheet, seen_enough};

/// Check the pipeline file against its plugins, and show the plan
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  refrain check --output json       problems with code, line and column"
)]
pub(crate) struct CheckArgs {}

pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let project = project::find(global)?;
    let declaration = project.declaration()?;
    let file = Diagnostics {
        file: declaration.file.clone(),
        text: declaration.text.clone(),
        list: declaration.warnings.clone(),
    };
    tell_diagnostics(&file, &file.list);
    let plan = host::load(&project, &declaration, Some(project::cache()))?.plan;
    if global.output == Output::Json {
        use std::io::Write;
        let json = serde_json::json!({ "ok": true, "problems": file.list, "plan": plan });
        return seen_enough(writeln!(std::io::stdout(), "{json}"));
    }
    let mut sheet = Sheet::new(&[
        "node", "plugin", "input", "key", "window", "rhythm", "output", "tasks",
    ]);
    for node in &plan.nodes {
        sheet.push(row(node));
    }
    sheet.print(global.output)?;
    let (topics, nodes) = (plan.topics.len(), plan.nodes.len());
    eprintln!(
        "{} is in order: source topics {topics}, nodes {nodes}",
        declaration.file
    );
    Ok(())
}

fn row(node: &PlannedNode) -> Vec<Cell> {
    let window = node
        .window
        .as_ref()
        .map_or(Cell::Null, |w| Cell::text(duration_text(w.size_us)));
    let rhythm = match node.rhythm {
        Rhythm::Once => "once".to_owned(),
        Rhythm::Every(us) => format!("every {}", duration_text(us)),
        Rhythm::Continuous => "continuous".to_owned(),
    };
    let output = match &node.output {
        Target::View(name) => format!("view {name}"),
        Target::Topic(name) => format!("topic {name}"),
    };
    vec![
        Cell::text(&node.name),
        Cell::text(&node.plugin),
        Cell::text(&node.input),
        Cell::text(node.key.join(", ")),
        window,
        Cell::text(rhythm),
        Cell::text(output),
        Cell::count(node.tasks.into()),
    ]
}
