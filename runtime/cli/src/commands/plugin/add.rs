//! `refrain plugin add`

use std::path::{Path, PathBuf};

use refrain_engine::lock::Lock;
use refrain_plugin::{Digest, Grants, Host, HostOptions, grant};

use super::folder;
use crate::args::Global;
use crate::failure::Failure;
use crate::project;

/// Take a component into the project, and pin its digest in refrain.lock
#[derive(Debug, clap::Args)]
#[command(after_help = "A running host keeps the component that it started with.

Examples:
  refrain plugin add ~/Downloads/delays.wasm
  refrain plugin add build/out.wasm --name delays")]
pub(crate) struct AddArgs {
    /// The component
    file: PathBuf,
    /// Name in the project [default: that of the file]
    #[arg(long)]
    name: Option<String>,
}

pub(crate) fn run(global: &Global, args: &AddArgs) -> Result<(), Failure> {
    let project = project::find(global)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => stem(&args.file)?,
    };
    let told = |why: std::io::Error| Failure::refused(format!("{}: {why}", args.file.display()));
    let bytes = read(&args.file).map_err(told)?;
    let host = Host::new(HostOptions {
        cache: Some(project::cache()),
        ..HostOptions::default()
    })?;
    let plugin = host.load_granting(&name, &bytes, &Grants::all())?;
    place(&folder(&project), &name, &bytes)?;
    let digest = Digest::of(&bytes).to_string();
    let mut lock = Lock::read(project.root())?;
    lock.pin(&name, &digest);
    lock.write(project.root())?;
    eprintln!("{name} is {digest}, pinned in refrain.lock");
    if let Some(told) = grant::told(plugin.imports()) {
        eprintln!("it imports {told} in its node");
    }
    Ok(())
}

fn stem(file: &Path) -> Result<String, Failure> {
    let stem = file
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    stem.ok_or_else(|| Failure::refused("give the plugin a name with --name"))
}

#[expect(clippy::disallowed_methods, reason = "a user's own file is read")]
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    std::fs::read(path)
}

/// Puts the component in its place whole or not at all.
#[expect(clippy::disallowed_methods, reason = "the user's own file")]
fn place(plugins: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::create_dir_all(plugins)?;
    let path = plugins.join(format!("{name}.wasm"));
    let beside = plugins.join(format!("{name}.new-{}", std::process::id()));
    std::fs::write(&beside, bytes)?;
    Ok(std::fs::rename(&beside, path)?)
}
