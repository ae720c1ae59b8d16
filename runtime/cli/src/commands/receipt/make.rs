//! `refrain receipt`

use std::io::Write;
use std::path::PathBuf;

use refrain_engine::host::Project;
use refrain_engine::receipt::earlier::receipt;
use refrain_engine::receipt::{Receipt, components_of};
use refrain_engine::versions::request::{self as versions, Answer};
use refrain_log::ids::Sequence;

use super::means::MeansArgs;
use crate::args::Global;
use crate::commands::version::ask;
use crate::failure::Failure;
use crate::file::write_whole;
use crate::link::{Link, unexpected};
use crate::progress::Progress;
use crate::project;
use crate::show::{grouped, seen_enough};

/// Write down what a view was computed from and what came out
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain receipt delays -o delays.receipt
  refrain receipt delays --version 2 | jq .output
  refrain receipt delays --cut 1700 -o then.receipt

The receipt is of the last commit of the version: the part of the log up to its cut with its hash, components and
configurations, number, digest and hash of the rows. It is JSON, and the same bytes for the same log, cut and lineage.
`refrain prove delays.receipt` computes it again. Rows of earlier commits are not kept: --cut computes them from the log, as
`prove` does, with what the version was at that cut.")]
pub(crate) struct ReceiptArgs {
    /// Name of the view, or of its node
    view: String,
    /// This version [default: the one that is live]
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    /// Of the commit at this cut, computed again from the log [default: the last commit]
    #[arg(long, value_name = "SEQUENCE")]
    cut: Option<u64>,
    /// Write it to this file [default: stdout]
    #[arg(short, long = "out", value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    means: MeansArgs,
}

pub(crate) fn run(global: &Global, args: &ReceiptArgs) -> Result<(), Failure> {
    let project = project::find(global)?;
    let progress = Progress::spinner("reading the log");
    let made = match args.cut {
        Some(cut) => earlier(&project, args, Sequence(cut))?,
        None => receipt_of(&mut Link::open(&project)?, &args.view, args.version)?,
    };
    drop(progress);
    let text = made.text();
    match &args.out {
        None => seen_enough(std::io::stdout().write_all(text.as_bytes()))?,
        Some(path) => {
            let written = write_whole(path, |mut file| {
                file.write_all(text.as_bytes())?;
                Ok(file)
            });
            written.map_err(|failure| failure.about(path))?;
        }
    }
    let rows: u64 = made.log.iter().map(|r| r.end.0 - r.first.0).sum();
    eprintln!(
        "version {} of view {} at cut {}: {} rows, from {} rows of the log",
        made.version,
        made.view,
        made.cut,
        grouped(made.output.rows),
        grouped(rows)
    );
    Ok(())
}

/// The receipt of an earlier commit, computed here.
fn earlier(project: &Project, args: &ReceiptArgs, cut: Sequence) -> Result<Receipt, Failure> {
    let request = versions::Request::Earlier {
        name: args.view.clone(),
        version: args.version,
        cut,
    };
    // The owner of the data folder is let go of before the work begins.
    let earlier = match ask(&mut Link::open(project)?, request)? {
        Answer::Earlier(earlier) => *earlier,
        _ => return Err(unexpected()),
    };
    let lineage = earlier.lineage.clone();
    args.means
        .with(project.root(), &components_of(&lineage), |means| {
            Ok(receipt(earlier, means)?)
        })
}

/// The receipt of the last commit of a version.
pub(crate) fn receipt_of(
    link: &mut Link,
    name: &str,
    version: Option<u32>,
) -> Result<Receipt, Failure> {
    let request = versions::Request::Receipt {
        name: name.to_owned(),
        version,
    };
    match ask(link, request)? {
        Answer::Receipt(receipt) => Ok(*receipt),
        _ => Err(unexpected()),
    }
}
