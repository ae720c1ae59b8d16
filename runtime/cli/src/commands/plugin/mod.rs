//! Plugins: make, build, look at.

pub(crate) mod add;
pub(crate) mod build;
pub(crate) mod fuel;
pub(crate) mod inspect;
pub(crate) mod lock;
pub(crate) mod new;
mod producers;
pub(crate) mod test;

use refrain_engine::host::Project;

/// Folder of a project with its plugins.
fn folder(project: &Project) -> std::path::PathBuf {
    project.root().join("plugins")
}
