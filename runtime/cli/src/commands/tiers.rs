//! `refrain tiers`

use std::io::Write;

use clap::ValueEnum;
use refrain_engine::tiers::words::{span, span_or_dash};
use refrain_engine::tiers::{self, Tiers};
use refrain_engine::{accounts, host};

use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::project;
use crate::show::{self, Sheet, seen_enough};

/// Show how fresh each node, edge and consumer is planned to be
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain tiers
  refrain tiers --format svg > tiers.svg
  refrain tiers --format mermaid        for a page that draws it
  refrain tiers --output json

All ages are worst cases: the longest waits and the time of the work on the stalest way, as measured; of a node that has
not run yet it is assumed (1 s for a pass, 0.1 s for a round of a continuous node) and marked so. See docs/tiers.md.
--output csv: rows of `table` node, edge and consumer.")]
pub(crate) struct TiersArgs {
    /// What to draw
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// What to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Nodes, edges and consumers, a table each; or what --output says
    Table,
    /// A flow chart in mermaid's language
    Mermaid,
    /// A picture
    Svg,
}

pub(crate) fn run(global: &Global, args: &TiersArgs) -> Result<(), Failure> {
    let project = project::find(global)?;
    let declaration = project.declaration()?;
    let mut plan = host::load(&project, &declaration, Some(project::cache()))?.plan;
    let measures = accounts::measures(&project);
    tiers::settle(&mut plan, &measures);
    let tiers = tiers::of(&plan, &measures);
    let sources: Vec<String> = plan.topics.iter().map(|t| t.spec.name.clone()).collect();
    let text = match (args.format, global.output) {
        (Format::Mermaid | Format::Svg, Output::Json | Output::Csv) => {
            let what = "--format mermaid and svg are drawings; leave out --output, or --format";
            return Err(Failure::refused(what));
        }
        (Format::Mermaid, _) => tiers::draw::mermaid(&tiers, &sources),
        (Format::Svg, _) => tiers::svg(&tiers, &sources),
        (Format::Table, Output::Json) => {
            serde_json::to_string_pretty(&tiers).map_err(anyhow::Error::from)? + "\n"
        }
        (Format::Table, output) => return tables(&tiers, output),
    };
    seen_enough(std::io::stdout().write_all(text.as_bytes()))
}

fn tables(tiers: &Tiers, output: Output) -> Result<(), Failure> {
    let mut tables = vec![("node", nodes(tiers)), ("edge", edges(tiers))];
    if !tiers.consumers.is_empty() {
        tables.push(("consumer", consumers(tiers)));
    }
    show::print_tables(tables, output)
}

fn nodes(tiers: &Tiers) -> Sheet {
    let mut sheet = Sheet::new(&[
        "node",
        "rhythm",
        "chosen by",
        "waits",
        "takes",
        "required",
        "achieved",
        "tier",
    ]);
    for node in &tiers.nodes {
        let how = if node.measured { "" } else { " (assumed)" };
        sheet.push(vec![
            Cell::text(&node.name),
            Cell::text(node.rhythm.to_string()),
            Cell::text(if node.auto { "planner" } else { "file" }),
            Cell::text(span_or_dash(node.wait_us)),
            Cell::text(format!("{}{how}", span(node.took_us))),
            Cell::text(span_or_dash(node.required_us)),
            Cell::text(span_or_dash(node.achieved_us)),
            Cell::text(node.tier.as_deref().unwrap_or("-")),
        ]);
    }
    sheet
}

fn edges(tiers: &Tiers) -> Sheet {
    let mut sheet = Sheet::new(&["from", "to", "required", "achieved", "tier"]);
    for edge in &tiers.edges {
        let kind = if edge.consumer { "consumer " } else { "" };
        sheet.push(vec![
            Cell::text(&edge.from),
            Cell::text(format!("{kind}{}", edge.to)),
            Cell::text(span_or_dash(edge.required_us)),
            Cell::text(span_or_dash(edge.achieved_us)),
            Cell::text(edge.tier.as_deref().unwrap_or("-")),
        ]);
    }
    sheet
}

fn consumers(tiers: &Tiers) -> Sheet {
    let mut sheet = Sheet::new(&[
        "consumer",
        "view",
        "need",
        "tier",
        "achieved",
        "slack",
        "the stalest way",
    ]);
    for consumer in &tiers.consumers {
        let steps = consumer.path.iter().map(|s| s.name.as_str());
        let way: Vec<&str> = steps.collect();
        sheet.push(vec![
            Cell::text(&consumer.name),
            Cell::text(&consumer.view),
            Cell::text(span_or_dash(consumer.need_us)),
            Cell::text(consumer.need_tier.as_deref().unwrap_or("-")),
            Cell::text(span_or_dash(consumer.achieved_us)),
            Cell::text(span_or_dash(consumer.slack_us)),
            Cell::text(way.join(" → ")),
        ]);
    }
    sheet
}
