//! `refrain rhythm`

use refrain_engine::request::{Request, Response};

use crate::args::Global;
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::project;
use crate::show::Sheet;

/// Give a node another rhythm, in the pipeline file and in the run
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain rhythm delays every 1m
  refrain rhythm delays continuous
  refrain rhythm delays \"0 2 * * *\"
  refrain rhythm delays auto               the planner chooses, from what the consumers need

One word of refrain.toml changes, all else in it stays. A running host takes the rhythm at the node's next commit, with
its state and its positions: no row is lost or taken twice. Results do not change, only when they are there.")]
pub(crate) struct RhythmArgs {
    /// Name of the node
    node: String,
    /// The rhythm: auto, continuous, every 1m, once, or a cron time
    #[arg(required = true, num_args = 1.., trailing_var_arg = true)]
    rhythm: Vec<String>,
}

pub(crate) fn run(global: &Global, args: &RhythmArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let request = Request::Rhythm {
        node: args.node.clone(),
        rhythm: args.rhythm.join(" "),
    };
    let Response::Rhythm(done) = link.ask(request)? else {
        return Err(unexpected());
    };
    let mut sheet = Sheet::new(&["node", "rhythm", "from"]);
    for (node, rhythm) in &done.changed {
        sheet.push(vec![
            Cell::text(node),
            Cell::text(rhythm.to_string()),
            Cell::text("its next commit"),
        ]);
    }
    if !done.running {
        sheet.push(vec![
            Cell::text(&done.node),
            Cell::text(&done.written),
            Cell::text("the next run"),
        ]);
    }
    sheet.print(global.output)?;
    eprintln!(
        "refrain.toml: node {} has rhythm = \"{}\" now",
        done.node, done.written
    );
    Ok(())
}
