//! `refrain prove`

use std::path::PathBuf;

use refrain_engine::receipt::Receipt;
use refrain_engine::receipt::prove::Proof;

use super::means::{MeansArgs, root};
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::commands::version::print_json;
use crate::failure::Failure;
use crate::file::read_text;
use crate::progress::Progress;
use crate::show::{self, Sheet, grouped};

/// What a receipt says is not what comes out.
pub(crate) const DIFFERS: u8 = 3;

/// Compute again what a receipt says, from the log, and compare
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain prove delays.receipt
  refrain prove delays.receipt --project /copies/flights --component old/flights.wasm
  refrain prove delays.receipt --base monday      where retention has taken what came before the savepoint

Reads the log and the components (of the project, by digest, or the files given) and nothing else, on any machine that has
them, beside a running host or without one; the project is not touched. Exit code 0 when everything is equal, 3 when the log
or the result differs, 2 when it cannot be decided (changed receipt, component or rows that are not there), 5 when rows
of the log are damaged.")]
pub(crate) struct ProveArgs {
    /// The receipt; `-` is stdin
    receipt: PathBuf,
    /// Execute from what this savepoint of the project has, where the log does not begin early enough; `base` is the one
    /// that retention makes
    #[arg(long, value_name = "SAVEPOINT")]
    base: Option<String>,
    #[command(flatten)]
    means: MeansArgs,
}

pub(crate) fn run(global: &Global, args: &ProveArgs) -> Result<(), Failure> {
    let text = read_text(&args.receipt)?;
    let receipt = Receipt::read(&text).map_err(|e| Failure::from(e).about(&args.receipt))?;
    let progress = Progress::spinner("computing again");
    let proof = args
        .means
        .prove(&root(global)?, &receipt, args.base.as_deref())?;
    drop(progress);
    print(global, &proof)?;
    verdict(&proof)
}

/// What proving came to, as data.
fn print(global: &Global, proof: &Proof) -> Result<(), Failure> {
    if global.output == Output::Json {
        return print_json(proof);
    }
    let mut sheet = Sheet::new(&[
        "view", "version", "cut", "equal", "log_rows", "rows", "digest",
    ]);
    let output = proof.output.as_ref();
    sheet.push(vec![
        Cell::text(&proof.view),
        Cell::count(proof.version.into()),
        Cell::count(proof.cut.0),
        Cell::text(if proof.equal { "yes" } else { "no" }),
        Cell::count(proof.rows_taken),
        output.map_or(Cell::Null, |o| Cell::count(o.rows)),
        output.map_or(Cell::Null, |o| Cell::text(&o.digest)),
    ]);
    let mut tables = vec![("proof", sheet)];
    // Where results part, the rows that came out from there on.
    tables.extend(proof.rows.iter().map(|rows| ("row", Sheet::of(&rows.rows))));
    show::print_tables(tables, global.output)
}

/// Equal, or a failure that says where not.
pub(crate) fn verdict(proof: &Proof) -> Result<(), Failure> {
    for sentence in &proof.unchecked {
        eprintln!("note: {sentence}");
    }
    if proof.equal {
        let base = match &proof.base {
            None => String::new(),
            Some(name) => format!("savepoint {name}, "),
        };
        eprintln!(
            "equal: version {} of view {} at cut {} is what {base}{} rows of the log and its lineage give",
            proof.version,
            proof.view,
            proof.cut,
            grouped(proof.rows_taken)
        );
        return Ok(());
    }
    Err(Failure::new(
        DIFFERS,
        format!(
            "version {} of view {} at cut {} is not proven: {}",
            proof.version,
            proof.view,
            proof.cut,
            proof.differs.join("; ")
        ),
    ))
}
