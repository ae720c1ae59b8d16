//! `refrain upgrade`

use std::path::PathBuf;

use refrain_engine::receipt::How;
use refrain_engine::upgrade::{UpgradeOrder, Upgraded};
use refrain_engine::versions::request::{self as versions, Answer};

use super::{ask, print_json};
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::progress::Progress;
use crate::project;
use crate::show::{Sheet, grouped};

/// Let another component take over a node at a commit, with its states
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain upgrade delays                           the component that the pipeline file names, as it is now
  refrain upgrade delays --plugin new/flights.wasm
  refrain upgrade delays --back                    the component before

Results up to the commit stay as they are; rows from there on are the new component's. With the same state version it
takes the states as they are; with a higher one its `migrate` brings them along, and without `migrate` the upgrade is
refused. When it fails, the node goes on as it was. Lineage and receipts say which component applied from which cut.
`refrain replay` computes everything anew instead.")]
pub(crate) struct UpgradeArgs {
    /// The node, its view or its topic
    node: String,
    /// Another component than the pipeline file names
    #[arg(long, value_name = "FILE", conflicts_with = "back")]
    plugin: Option<PathBuf>,
    /// Back to the component before the last upgrade, with the states as they are
    #[arg(long)]
    back: bool,
}

pub(crate) fn run(global: &Global, args: &UpgradeArgs) -> Result<(), Failure> {
    let component = match &args.plugin {
        Some(path) => Some((path.display().to_string(), read(path)?)),
        None => None,
    };
    let order = UpgradeOrder {
        name: args.node.clone(),
        component,
        back: args.back,
    };
    let mut link = Link::open(&project::find(global)?)?;
    let progress = Progress::spinner("handing over the states");
    let Answer::Upgraded(done) = ask(&mut link, versions::Request::Upgrade(order))? else {
        return Err(unexpected());
    };
    drop(progress);
    print(global, &done)
}

fn print(global: &Global, done: &Upgraded) -> Result<(), Failure> {
    if global.output == Output::Json {
        return print_json(done);
    }
    let mut sheet = Sheet::new(&["node", "cut", "was", "is", "states", "pause_ms"]);
    let short = |digest: &str| Cell::text(&digest[..digest.len().min(12)]);
    sheet.push(vec![
        Cell::text(&done.node),
        Cell::count(done.cut.0),
        short(&done.was),
        short(&done.is),
        Cell::count(done.states),
        done.pause_us
            .map_or(Cell::Null, |us| Cell::Float(us as f64 / 1000.0)),
    ]);
    sheet.print(global.output)?;
    let states = grouped(done.states);
    let (old, new) = done.state_versions;
    match done.how {
        How::Migrate => eprintln!(
            "{}: {states} states migrated from version {old} to {new} at cut {}",
            done.node, done.cut
        ),
        How::Begin | How::Replace => eprintln!(
            "{}: {states} states taken over as they are at cut {}; `refrain upgrade {} --back` goes back",
            done.node, done.cut, done.node
        ),
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a user's own file is read")]
fn read(path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| Failure::refused(format!("{}: {e}", path.display())))
}
