//! `refrain plugin new`

use clap::ValueEnum;
use refrain_plugin::build::{Language, TemplateKind, create_plugin};

use super::folder;
use crate::args::Global;
use crate::failure::Failure;
use crate::project;

/// Make a plugin that builds, to be changed
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain plugin new totals && refrain plugin build totals
  refrain plugin new clean --language python --kind transform
  refrain plugin new likes --kind map                 the same as transform
  refrain plugin new unpaid --kind process")]
pub(crate) struct NewArgs {
    /// Name of the plugin
    name: String,
    /// rust, c, python, javascript, typescript, zig, go or assemblyscript; `refrain doctor` shows what works here
    #[arg(long, default_value = "rust")]
    language: Language,
    /// What it does: keep state for each key, turn rows into rows, or read several inputs and set timers
    #[arg(long, value_enum, default_value = "fold")]
    kind: Kind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Keeps state for each key
    Fold,
    /// Turns rows into rows; `map` is the same
    #[value(alias = "map")]
    Transform,
    /// Reads several inputs, sets timers
    Process,
}

pub(crate) fn run(global: &Global, args: &NewArgs) -> Result<(), Failure> {
    let project = project::find(global)?;
    let kind = match args.kind {
        Kind::Fold => TemplateKind::Fold,
        Kind::Transform => TemplateKind::Transform,
        Kind::Process => TemplateKind::Process,
    };
    let made = create_plugin(&folder(&project), &args.name, args.language, kind)?;
    eprintln!("made {}", made.display());
    eprintln!(
        "change {}, then `refrain plugin build {}`",
        args.language.source(),
        args.name
    );
    Ok(())
}
