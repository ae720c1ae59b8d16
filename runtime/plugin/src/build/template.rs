//! A new plugin: a package that builds and whose test passes, to be changed.

use std::path::{Path, PathBuf};

use super::sdk::{SDK_FOLDER, unpack_sdk};
use super::{BuildError, file};

/// Which kind of plugin to start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateKind {
    /// Keyed state.
    Fold,
    /// Rows to rows.
    Transform,
}

/// The files of a new plugin, by their path in its folder.
pub fn template(name: &str, kind: TemplateKind) -> Vec<(PathBuf, String)> {
    let source = match kind {
        TemplateKind::Fold => include_str!("template/fold.rs"),
        TemplateKind::Transform => include_str!("template/transform.rs"),
    };
    let manifest = include_str!("template/package.toml");
    let fill = |text: &str| {
        text.replace("NAME", name)
            .replace("SDK", &format!("../{SDK_FOLDER}"))
    };
    vec![
        (PathBuf::from("Cargo.toml"), fill(manifest)),
        (PathBuf::from("src/lib.rs"), source.to_string()),
    ]
}

/// Makes plugin `name` in folder `plugins`, and the SDK beside it. Returns the plugin's folder.
pub fn create_plugin(
    plugins: &Path,
    name: &str,
    kind: TemplateKind,
) -> Result<PathBuf, BuildError> {
    if !is_name(name) {
        return Err(BuildError::BadName(name.to_string()));
    }
    let folder = plugins.join(name);
    if folder.exists() {
        return Err(BuildError::Exists(folder));
    }
    unpack_sdk(&plugins.join(SDK_FOLDER))?;
    for (path, text) in template(name, kind) {
        write(&folder.join(path), &text)?;
    }
    Ok(folder)
}

/// Whether cargo and a pipeline file take it as a name.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
        && name != "test"
}

#[expect(clippy::disallowed_methods, reason = "the user's own new files")]
fn write(path: &Path, text: &str) -> Result<(), BuildError> {
    let folder = path.parent().expect("a file has a folder");
    std::fs::create_dir_all(folder).map_err(|why| file(folder, why))?;
    std::fs::write(path, text).map_err(|why| file(path, why))
}
