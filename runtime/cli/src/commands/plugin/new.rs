//! `refrain plugin new`

use clap::ValueEnum;
use refrain_plugin::build::{TemplateKind, create_plugin};

use super::folder;
use crate::args::Global;
use crate::failure::Failure;
use crate::project;

/// Make a plugin in Rust that builds, with a test, to be changed
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  refrain plugin new totals && refrain plugin build totals")]
pub(crate) struct NewArgs {
    /// Name of the plugin
    name: String,
    /// What it does: keep state for each key, or turn rows into rows
    #[arg(long, value_enum, default_value = "fold")]
    kind: Kind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Fold,
    Transform,
}

pub(crate) fn run(global: &Global, args: &NewArgs) -> Result<(), Failure> {
    let project = project::find(global)?;
    let kind = match args.kind {
        Kind::Fold => TemplateKind::Fold,
        Kind::Transform => TemplateKind::Transform,
    };
    let made = create_plugin(&folder(&project), &args.name, kind)?;
    eprintln!("made {}", made.display());
    eprintln!(
        "change src/lib.rs, then `refrain plugin build {}`",
        args.name
    );
    Ok(())
}
