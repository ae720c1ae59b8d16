//! `refrain plugin build`

use std::path::Path;

use refrain_engine::host::Project;
use refrain_plugin::build::{Language, Talk, build_plugin_with, default_cache};

use super::folder;
use crate::args::Global;
use crate::failure::Failure;
use crate::project;

/// Build a plugin in plugins/ into a component, or all of them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain plugin build delays              makes plugins/delays.wasm of plugins/delays/
  refrain plugin build delays --talk       one that says lines and the last words of a panic: its node needs grants")]
pub(crate) struct BuildArgs {
    /// Name of the plugin [default: all in plugins/]
    name: Option<String>,
    /// With a voice: lines and panics go to the log of the host, by imports that the node has to grant
    #[arg(long)]
    talk: bool,
}

pub(crate) fn run(global: &Global, args: &BuildArgs) -> Result<(), Failure> {
    let project = project::find(global)?;
    let names = match &args.name {
        Some(name) => vec![name.clone()],
        None => all(&folder(&project))?,
    };
    let talk = match args.talk {
        true => Talk::Talking,
        false => Talk::Silent,
    };
    for name in names {
        build(&project, &name, talk, &mut |line| eprintln!("{line}"))?;
    }
    Ok(())
}

/// Builds one plugin of a project.
pub(crate) fn build(
    project: &Project,
    name: &str,
    talk: Talk,
    say: &mut dyn FnMut(&str),
) -> Result<(), Failure> {
    let package = folder(project).join(name);
    let out = project.component(name);
    build_plugin_with(&package, &out, talk, &default_cache(), say)?;
    Ok(())
}

/// Every folder in `plugins` that holds the source of a plugin; at least one.
fn all(plugins: &Path) -> Result<Vec<String>, Failure> {
    let names = sources(plugins);
    match names.is_empty() {
        false => Ok(names),
        true => Err(Failure::refused(format!(
            "{} holds no plugin; make one with `refrain plugin new NAME`",
            plugins.display()
        ))),
    }
}

/// Names of the folders in `plugins` that hold the source of a plugin.
#[expect(clippy::disallowed_methods, reason = "the user's own folder is read")]
pub(super) fn sources(plugins: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(plugins).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|e| is_plugin(&e.path()))
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A workspace manifest alone, and what is hidden, is no plugin.
fn is_plugin(folder: &Path) -> bool {
    let hidden = folder
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let language = Language::of(folder).ok();
    !hidden && language.is_some_and(|language| folder.join(language.source()).is_file())
}
