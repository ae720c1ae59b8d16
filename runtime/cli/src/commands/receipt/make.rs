//! `refrain receipt`

use std::io::Write;
use std::path::PathBuf;

use refrain_engine::receipt::Receipt;
use refrain_engine::versions::request::{self as versions, Answer};

use crate::args::Global;
use crate::commands::version::ask;
use crate::failure::Failure;
use crate::file::write_whole;
use crate::link::{Link, unexpected};
use crate::project;
use crate::show::{grouped, seen_enough};

/// Write down what a view was computed from and what came out
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain receipt delays -o delays.receipt
  refrain receipt delays --version 2 | jq .output

The receipt is of the last commit of the version: the part of the log up to its cut with its hash, components and
configurations, number, digest and hash of the rows. It is JSON, and the same bytes for the same log, cut and lineage.
`refrain prove delays.receipt` computes it again.")]
pub(crate) struct ReceiptArgs {
    /// Name of the view, or of its node
    view: String,
    /// This version [default: the one that is live]
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    /// Write it to this file [default: stdout]
    #[arg(short, long = "out", value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(global: &Global, args: &ReceiptArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let receipt = receipt_of(&mut link, &args.view, args.version)?;
    let text = receipt.text();
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
    let rows: u64 = receipt.log.iter().map(|r| r.end.0 - r.first.0).sum();
    eprintln!(
        "version {} of view {} at cut {}: {} rows, from {} rows of the log",
        receipt.version,
        receipt.view,
        receipt.cut,
        grouped(receipt.output.rows),
        grouped(rows)
    );
    Ok(())
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
