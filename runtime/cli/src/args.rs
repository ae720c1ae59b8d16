//! What can be typed. One definition gives the help texts; what it means is in `commands`.

use std::error::Error;
use std::num::{IntErrorKind, ParseIntError};
use std::path::PathBuf;

use clap::error::{ContextKind, ErrorKind};
use clap::{Parser, Subcommand, ValueEnum};

use crate::commands;

/// How many exit codes there are, for people.
const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    an error that no one expected
  2    wrong usage, or the pipeline file or the input was refused
  3    two versions of a view differ, or something was found other than expected
  4    a plugin stopped a node
  5    acknowledged data is damaged
  6    the data folder is in use by another process
  7    no space left
  8    a consumer did not get the freshness that it needs, or a run that was due did not happen
  9    a write or a sync failed: see `refrain reopen --help`
  130  interrupted

Example:
  refrain demo --dir demo        see it work, on 200,000 real flights";

/// One log, plugins in Wasm, any rhythm, exactly once.
#[derive(Debug, Parser)]
#[command(name = "refrain", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// What was typed. Where it cannot be understood, that is said, and the process ends with 2; after help, with 0.
    pub(crate) fn typed() -> Args {
        Args::try_parse().unwrap_or_else(|error| in_words(error).exit())
    }
}

/// A number that cannot be read, in words that say what to write.
fn in_words(error: clap::Error) -> clap::Error {
    let Some(cause) = error
        .source()
        .and_then(|s| s.downcast_ref::<ParseIntError>())
    else {
        return error;
    };
    let said = |kind| {
        error
            .get(kind)
            .map_or(String::new(), |value| value.to_string())
    };
    let wanted = match cause.kind() {
        IntErrorKind::PosOverflow => "that is too large",
        _ => "write a whole number",
    };
    let (value, of) = (
        said(ContextKind::InvalidValue),
        said(ContextKind::InvalidArg),
    );
    let more = "For more information, try '--help'.";
    let what = format!("invalid value '{value}' for '{of}': {wanted}\n\n{more}\n");
    clap::Error::raw(ErrorKind::ValueValidation, what)
}

/// What every command takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Global {
    /// Folder of the project [default: the nearest parent with a refrain.toml]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) project: Option<PathBuf>,
    /// Form of what is printed on stdout
    #[arg(long, global = true, value_enum, default_value = "table")]
    pub(crate) output: Output,
    /// Say more on stderr; twice and three times for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// Form of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// CSV with a header line
    Csv,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(commands::init::InitArgs),
    Check(commands::check::CheckArgs),
    Status(commands::status::StatusArgs),
    /// Make, build and look at plugins
    #[command(
        subcommand,
        after_help = "Example:
  refrain plugin new delays && refrain plugin build delays && refrain plugin test delays"
    )]
    Plugin(PluginCommand),
    /// Append to topics and read them
    #[command(
        subcommand,
        after_help = "Example:
  refrain topic append flights flights.parquet && refrain topic read flights --limit 5"
    )]
    Topic(TopicCommand),
    /// Rows that were set aside: count, look at, append again
    #[command(
        subcommand,
        after_help = "Example:
  refrain rejected list && refrain rejected show flights.rejected"
    )]
    Rejected(RejectedCommand),
    Run(commands::run::RunArgs),
    Tap(commands::tap::TapArgs),
    Tiers(commands::tiers::TiersArgs),
    Rhythm(commands::rhythm::RhythmArgs),
    Reopen(commands::reopen::ReopenArgs),
    Freshness(commands::freshness::FreshnessArgs),
    Cost(commands::cost::CostArgs),
    /// Read views
    #[command(
        subcommand,
        after_help = "Example:
  refrain view list && refrain view get delays ORD 2001-01-06"
    )]
    View(ViewCommand),
    /// The whole project at one moment: keep it, go back to it
    #[command(
        subcommand,
        after_help = "Example:
  refrain savepoint create monday && refrain savepoint restore monday --into ../copy"
    )]
    Savepoint(SavepointCommand),
    Retention(commands::keep::retention::RetentionArgs),
    Plan(commands::version::plan::PlanArgs),
    Replay(commands::version::replay::ReplayArgs),
    Validate(commands::version::validate::ValidateArgs),
    Cutover(commands::version::cutover::CutoverArgs),
    Rollback(commands::version::rollback::RollbackArgs),
    Retire(commands::version::retire::RetireArgs),
    Upgrade(commands::version::upgrade::UpgradeArgs),
    Receipt(commands::receipt::make::ReceiptArgs),
    Prove(commands::receipt::prove::ProveArgs),
    Audit(commands::receipt::audit::AuditArgs),
    Demo(commands::demo::DemoArgs),
    Dev(commands::dev::DevArgs),
    Doctor(commands::doctor::DoctorArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    New(commands::plugin::new::NewArgs),
    Build(commands::plugin::build::BuildArgs),
    Inspect(commands::plugin::inspect::InspectArgs),
    Test(commands::plugin::test::TestArgs),
    Fuel(commands::plugin::fuel::FuelArgs),
    Add(commands::plugin::add::AddArgs),
    Lock(commands::plugin::lock::LockArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    List(commands::topic::list::ListArgs),
    Describe(commands::topic::describe::DescribeArgs),
    Append(commands::topic::append::AppendArgs),
    Alter(commands::topic::alter::AlterArgs),
    Read(commands::topic::read::ReadArgs),
    Trim(commands::topic::trim::TrimArgs),
    Optimize(commands::topic::optimize::OptimizeArgs),
    Verify(commands::topic::verify::VerifyArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum SavepointCommand {
    Create(commands::keep::create::CreateArgs),
    List(commands::keep::list::ListArgs),
    Restore(commands::keep::restore::RestoreArgs),
    Delete(commands::keep::delete::DeleteArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RejectedCommand {
    List(commands::rejected::list::ListArgs),
    Show(commands::rejected::show::ShowArgs),
    Resubmit(commands::rejected::resubmit::ResubmitArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ViewCommand {
    List(commands::view::list::ListArgs),
    Get(commands::view::get::GetArgs),
    Scan(commands::view::scan::ScanArgs),
    Export(commands::view::export::ExportArgs),
    Digest(commands::view::digest::DigestArgs),
    Versions(commands::version::list::VersionsArgs),
}
