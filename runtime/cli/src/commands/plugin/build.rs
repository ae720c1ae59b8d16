//! `refrain plugin build`

use std::path::Path;

use refrain_engine::host::Project;
use refrain_plugin::build::{Language, build_plugin, default_cache};

use super::folder;
use crate::args::Global;
use crate::failure::Failure;
use crate::project;

/// Build a plugin in plugins/ into a component, or all of them
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  refrain plugin build delays       makes plugins/delays.wasm of plugins/delays/"
)]
pub(crate) struct BuildArgs {
    /// Name of the plugin [default: all in plugins/]
    name: Option<String>,
}

pub(crate) fn run(global: &Global, args: &BuildArgs) -> Result<(), Failure> {
    let project = project::find(global)?;
    let names = match &args.name {
        Some(name) => vec![name.clone()],
        None => all(&folder(&project))?,
    };
    for name in names {
        build(&project, &name, &mut |line| eprintln!("{line}"))?;
    }
    Ok(())
}

/// Builds one plugin of a project.
pub(crate) fn build(
    project: &Project,
    name: &str,
    say: &mut dyn FnMut(&str),
) -> Result<(), Failure> {
    let package = folder(project).join(name);
    build_plugin(&package, &project.component(name), &default_cache(), say)?;
    Ok(())
}

/// Every folder in `plugins` that holds the source of a plugin.
fn all(plugins: &Path) -> Result<Vec<String>, Failure> {
    let none = || {
        Failure::refused(format!(
            "{} holds no plugin; make one with `refrain plugin new NAME`",
            plugins.display()
        ))
    };
    let entries = std::fs::read_dir(plugins).map_err(|_| none())?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|e| is_plugin(&e.path()))
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    if names.is_empty() {
        Err(none())
    } else {
        Ok(names)
    }
}

/// A workspace manifest alone, and what is hidden, is no plugin.
fn is_plugin(folder: &Path) -> bool {
    let hidden = folder
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let language = Language::of(folder).ok();
    !hidden && language.is_some_and(|language| folder.join(language.source()).is_file())
}
