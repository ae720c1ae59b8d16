//! `refrain plugin add`

use std::io::Write;
use std::path::{Path, PathBuf};

use refrain_engine::host::Project;
use refrain_engine::lock::Lock;
use refrain_plugin::{Digest, Grants, Host, HostOptions, grant};

use super::folder;
use crate::args::Global;
use crate::cells::Cell;
use crate::failure::Failure;
use crate::file::write_whole;
use crate::project;
use crate::show::Sheet;

/// Longest name of a plugin.
const NAME_BYTES_MAX: usize = 100;

/// Take a component into the project, and pin its digest in refrain.lock
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A running host keeps the component that it started with. With --replace the component that was there is kept as
plugins/.kept/DIGEST.wasm, where `plugin = \"blake3:DIGEST\"` finds it.

Examples:
  refrain plugin add ~/Downloads/delays.wasm
  refrain plugin add build/out.wasm --name delays
  refrain plugin add new/delays.wasm --replace"
)]
pub(crate) struct AddArgs {
    /// The component
    file: PathBuf,
    /// Name in the project [default: that of the file]
    #[arg(long)]
    name: Option<String>,
    /// In the place of another component of that name
    #[arg(long)]
    replace: bool,
}

pub(crate) fn run(global: &Global, args: &AddArgs) -> Result<(), Failure> {
    let project = project::find(global)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => stem(&args.file)?,
    };
    check_name(&name)?;
    let bytes = read(&args.file)?;
    let earlier = place_for(&project, &name, &bytes, args.replace)?;
    let host = Host::new(HostOptions {
        cache: Some(project::cache()),
        ..HostOptions::default()
    })?;
    let plugin = host.load_granting(&name, &bytes, &Grants::all())?;
    if let Some(earlier) = earlier {
        let digest = Digest::of(&earlier).to_string();
        let kept = place(&project.kept_components(), &digest, &earlier)?;
        eprintln!("the component before is kept as {}", kept.display());
    }
    place(&folder(&project), &name, &bytes)?;
    let digest = Digest::of(&bytes).to_string();
    let mut lock = Lock::read(project.root())?;
    lock.pin(&name, &digest);
    lock.write(project.root())?;
    let mut deed = Sheet::new(&["plugin", "digest"]);
    deed.push(vec![Cell::text(&name), Cell::text(&digest)]);
    deed.print_deed(global.output)?;
    eprintln!("{name} is {digest}, pinned in refrain.lock");
    if let Some(told) = grant::told(plugin.imports()) {
        eprintln!("it imports {told} in its node");
    }
    Ok(())
}

/// A name is one of a file in `plugins/`, and of nothing else.
fn check_name(name: &str) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let good = name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.len() <= NAME_BYTES_MAX
        && name.chars().all(plain)
        && !name.ends_with(".wasm");
    match good {
        true => Ok(()),
        false => Err(Failure::refused(format!(
            "`{name}` is no name of a plugin: give one with --name, of letters, digits, `-`, `_` and `.`, that begins with \
             a letter or a digit and does not end in .wasm"
        ))),
    }
}

/// Refuses to put a component where it would be lost or would lose another; the one that is to be replaced.
fn place_for(
    project: &Project,
    name: &str,
    bytes: &[u8],
    replace: bool,
) -> Result<Option<Vec<u8>>, Failure> {
    let source = folder(project).join(name);
    if source.is_dir() {
        return Err(Failure::refused(format!(
            "{} is the folder of a plugin, and the next `refrain plugin build` would put what it builds in the place of \
             this component: give another name with --name, or move the folder away",
            source.display()
        )));
    }
    let path = project.component(name);
    if !path.exists() {
        return Ok(None);
    }
    let there = read(&path)?;
    match (there == bytes, replace) {
        (true, _) => Ok(None),
        (false, true) => Ok(Some(there)),
        (false, false) => Err(Failure::refused(format!(
            "{} is another component, {}: put this one in its place with --replace (that one is kept), or give another \
             name with --name",
            path.display(),
            Digest::of(&there)
        ))),
    }
}

fn stem(file: &Path) -> Result<String, Failure> {
    let stem = file
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    stem.ok_or_else(|| Failure::refused("give the plugin a name with --name"))
}

#[expect(clippy::disallowed_methods, reason = "a user's own file is read")]
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|why| Failure::refused(format!("{}: {why}", path.display())))
}

/// Puts a component in its place, whole or not at all; its path.
#[expect(clippy::disallowed_methods, reason = "the user's own file")]
fn place(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
    let path = folder.join(format!("{name}.wasm"));
    let told = |why: std::io::Error| Failure::from(why).about(&path);
    std::fs::create_dir_all(folder).map_err(told)?;
    write_whole(&path, |mut file| {
        file.write_all(bytes)?;
        Ok(file)
    })
    .map_err(|failure| failure.about(&path))?;
    Ok(path)
}
