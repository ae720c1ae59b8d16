//! `refrain check`

use refrain_engine::pipeline::{Diagnostics, Output as Target, PlannedNode};
use refrain_engine::tiers;
use refrain_engine::tiers::lint::lint;
use refrain_engine::{accounts, cost, host};

use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::{Failure, tell_diagnostics};
use crate::project;
use crate::show::{Sheet, seen_enough};

/// Check the pipeline file against its plugins, and show the plan
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  refrain check --output json       problems with code, line, column, path and cost

Also tells where consumers get less than they need (an error, exit code 2) and where work is done that no one reads (a
warning). What is meant so can be allowed in the file, with its reason: see docs/tiers.md.")]
pub(crate) struct CheckArgs {}

pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let project = project::find(global)?;
    let declaration = project.declaration()?;
    let mut file = Diagnostics {
        file: declaration.file.clone(),
        text: declaration.text.clone(),
        list: declaration.warnings.clone(),
    };
    let mut plan = host::load(&project, &declaration, Some(project::cache()))
        .inspect_err(|_| tell_diagnostics(&file, &file.list))?
        .plan;
    let measures = accounts::measures(&project);
    tiers::settle(&mut plan, &measures);
    let lints = lint(&declaration, &plan, &measures, &cost::of_project(&project));
    file.list.extend(lints.list);
    tell_diagnostics(&file, &file.list);
    let errors = file.len();
    if global.output == Output::Json {
        use std::io::Write;
        let allowed: Vec<serde_json::Value> = lints
            .allowed
            .iter()
            .map(|(problem, reason)| serde_json::json!({ "problem": problem, "reason": reason }))
            .collect();
        let json = serde_json::json!({
            "ok": errors == 0, "problems": file.list, "allowed": allowed, "plan": plan,
        });
        seen_enough(writeln!(std::io::stdout(), "{json}"))?;
    } else {
        let mut sheet = Sheet::new(&[
            "node", "plugin", "input", "key", "window", "rhythm", "output", "tasks",
        ]);
        for node in &plan.nodes {
            sheet.push(row(node));
        }
        sheet.print(global.output)?;
    }
    if errors > 0 {
        let problems = if errors == 1 { "problem" } else { "problems" };
        return Err(Failure::refused(format!(
            "{}: {errors} {problems} with the freshness that its consumers need",
            declaration.file
        )));
    }
    let (topics, nodes) = (plan.topics.len(), plan.nodes.len());
    let allowed = match lints.allowed.len() {
        0 => String::new(),
        n => format!(", findings allowed {n}"),
    };
    eprintln!(
        "{} is in order: source topics {topics}, nodes {nodes}{allowed}",
        declaration.file
    );
    Ok(())
}

fn row(node: &PlannedNode) -> Vec<Cell> {
    let window = node
        .window
        .as_ref()
        .map_or(Cell::Null, |w| Cell::text(w.text()));
    let auto = if node.rhythm_auto { " (auto)" } else { "" };
    let rhythm = format!("{}{auto}", node.rhythm);
    let output = match &node.output {
        Target::View(name) => format!("view {name}"),
        Target::Topic(name) => format!("topic {name}"),
    };
    vec![
        Cell::text(&node.name),
        Cell::text(&node.plugin),
        Cell::text(node.input_names()),
        Cell::text(node.key.join(", ")),
        window,
        Cell::text(rhythm),
        Cell::text(output),
        Cell::count(node.tasks.into()),
    ]
}
