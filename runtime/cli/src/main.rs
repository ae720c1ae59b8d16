//! The `refrain` binary: what was typed becomes a command, a command becomes requests, and how it ended becomes an exit
//! code. Data goes to stdout, talk to stderr.

#[macro_use]
mod talk;

mod args;
mod cells;
mod commands;
mod cpu;
mod failure;
mod file;
mod link;
mod metrics;
mod progress;
mod project;
mod show;
mod socket;
mod wire;

use std::io::IsTerminal;
use std::process::ExitCode;

use refrain_log::heap;
use tracing_subscriber::EnvFilter;

use args::{
    Args, Command, PluginCommand, RejectedCommand, SavepointCommand, TopicCommand, ViewCommand,
};
use failure::Failure;

fn main() -> ExitCode {
    heap::keep_free(heap::FREE_BYTES);
    let args = Args::typed();
    start_tracing(args.global.verbose);
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell(&args.global);
            ExitCode::from(failure.code)
        }
    }
}

/// `-v` tells what happens, `-vv` in detail, `-vvv` everything; `RUST_LOG` says more exactly.
fn start_tracing(verbose: u8) {
    let level = ["warn", "info", "debug", "trace"][usize::from(verbose.min(3))];
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| progress::Notes)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false)
        .init();
}

fn run(args: &Args) -> Result<(), Failure> {
    let global = &args.global;
    match &args.command {
        Command::Init(args) => commands::init::run(global, args),
        Command::Check(_) => commands::check::run(global),
        Command::Status(args) => commands::status::run(global, args),
        Command::Run(args) => commands::run::run(global, args),
        Command::Tap(args) => commands::tap::run(global, args),
        Command::Tiers(args) => commands::tiers::run(global, args),
        Command::Freshness(args) => commands::freshness::run(global, args),
        Command::Cost(args) => commands::cost::run(global, args),
        Command::Reopen(args) => commands::reopen::run(global, args),
        Command::Rhythm(args) => commands::rhythm::run(global, args),
        Command::Savepoint(SavepointCommand::Create(args)) => {
            commands::keep::create::run(global, args)
        }
        Command::Savepoint(SavepointCommand::List(_)) => commands::keep::list::run(global),
        Command::Savepoint(SavepointCommand::Restore(args)) => {
            commands::keep::restore::run(global, args)
        }
        Command::Savepoint(SavepointCommand::Delete(args)) => {
            commands::keep::delete::run(global, args)
        }
        Command::Retention(_) => commands::keep::retention::run(global),
        Command::Plan(_) => commands::version::plan::run(global),
        Command::Validate(args) => commands::version::validate::run(global, args),
        Command::Replay(args) => commands::version::replay::run(global, args),
        Command::Cutover(args) => commands::version::cutover::run(global, args),
        Command::Rollback(args) => commands::version::rollback::run(global, args),
        Command::Retire(args) => commands::version::retire::run(global, args),
        Command::Upgrade(args) => commands::version::upgrade::run(global, args),
        Command::Receipt(args) => commands::receipt::make::run(global, args),
        Command::Prove(args) => commands::receipt::prove::run(global, args),
        Command::Audit(args) => commands::receipt::audit::run(global, args),
        Command::Demo(args) => commands::demo::run(global, args),
        Command::Dev(args) => commands::dev::run(global, args),
        Command::Doctor(args) => commands::doctor::run(global, args),
        Command::Plugin(PluginCommand::New(args)) => commands::plugin::new::run(global, args),
        Command::Plugin(PluginCommand::Build(args)) => commands::plugin::build::run(global, args),
        Command::Plugin(PluginCommand::Inspect(args)) => {
            commands::plugin::inspect::run(global, args)
        }
        Command::Plugin(PluginCommand::Fuel(args)) => commands::plugin::fuel::run(global, args),
        Command::Plugin(PluginCommand::Add(args)) => commands::plugin::add::run(global, args),
        Command::Plugin(PluginCommand::Lock(args)) => commands::plugin::lock::run(global, args),
        Command::Plugin(PluginCommand::Test(args)) => commands::plugin::test::run(global, args),
        Command::Topic(TopicCommand::List(_)) => commands::topic::list::run(global),
        Command::Topic(TopicCommand::Describe(args)) => {
            commands::topic::describe::run(global, args)
        }
        Command::Topic(TopicCommand::Append(args)) => commands::topic::append::run(global, args),
        Command::Topic(TopicCommand::Alter(args)) => commands::topic::alter::run(global, args),
        Command::Topic(TopicCommand::Trim(args)) => commands::topic::trim::run(global, args),
        Command::Topic(TopicCommand::Optimize(args)) => {
            commands::topic::optimize::run(global, args)
        }
        Command::Topic(TopicCommand::Verify(args)) => commands::topic::verify::run(global, args),
        Command::Topic(TopicCommand::Read(args)) => commands::topic::read::run(global, args),
        Command::Rejected(RejectedCommand::List(_)) => commands::rejected::list::run(global),
        Command::Rejected(RejectedCommand::Show(args)) => {
            commands::rejected::show::run(global, args)
        }
        Command::Rejected(RejectedCommand::Resubmit(args)) => {
            commands::rejected::resubmit::run(global, args)
        }
        Command::View(ViewCommand::List(_)) => commands::view::list::run(global),
        Command::View(ViewCommand::Get(args)) => commands::view::get::run(global, args),
        Command::View(ViewCommand::Scan(args)) => commands::view::scan::run(global, args),
        Command::View(ViewCommand::Export(args)) => commands::view::export::run(global, args),
        Command::View(ViewCommand::Versions(args)) => commands::version::list::run(global, args),
        Command::View(ViewCommand::Digest(args)) => commands::view::digest::run(global, args),
    }
}
