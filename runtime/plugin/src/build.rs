//! Building a plugin written in Rust: a cargo package in, a component without function imports out.
//!
//! Cargo makes a core module for `wasm32-unknown-unknown`, linked by the toolchain's own `rust-lld`; the component is
//! made of it here. Each decision is said through `say`. Nothing is written into the plugin's folder except, by cargo,
//! its `Cargo.lock`; what cargo builds stays in the cache folder, so that a second build takes no time.

mod command;
mod component;
mod sdk;
mod sysroot;
mod template;
mod toolchain;

use std::path::{Path, PathBuf};

pub use sdk::{SDK_FOLDER, unpack_sdk};
pub use template::{TemplateKind, create_plugin, template};

use command::Command;
use toolchain::Toolchain;

/// Why a plugin was not built, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The folder holds no cargo package.
    #[error("{} has no Cargo.toml: it is not a plugin written in Rust; `refrain plugin new NAME` makes one", .0.display())]
    NotAPackage(PathBuf),
    /// A name that cargo would not take.
    #[error(
        "`{0}` cannot be the name of a plugin: use lower-case letters, digits, `_` and `-`, a letter first"
    )]
    BadName(String),
    /// A folder is there already.
    #[error("{} is there already: choose another name or remove it", .0.display())]
    Exists(PathBuf),
    /// No toolchain on this machine can make components.
    #[error(
        "no Rust toolchain on this machine can make components:\n{tried}\nInstall one in one of these ways and build again:\n{}",
        toolchain::ADVICE
    )]
    NoToolchain {
        /// One line for each way that was tried.
        tried: String,
    },
    /// The compiler refused the source; what it said has been passed on.
    #[error("{} does not compile; see what cargo says above", .0.display())]
    Source(PathBuf),
    /// The package compiles to something else.
    #[error("{} builds no Wasm module: its Cargo.toml needs `[lib]` with `crate-type = [\"cdylib\"]`", .0.display())]
    NoModule(PathBuf),
    /// The module is no component.
    #[error("the module of {} does not become a component: {why}. Is `export_fold!(..)` or `export_transform!(..)` at the end of src/lib.rs?", .package.display())]
    NoComponent {
        /// Folder of the plugin.
        package: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A program could not be run.
    #[error("{program} cannot be run: {why}")]
    Program {
        /// Its name.
        program: String,
        /// What the system says.
        why: std::io::Error,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {why}", .path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
}

/// Where things that can be made again are kept: `$XDG_CACHE_HOME/refrain`, or `$HOME/.cache/refrain`.
pub fn default_cache() -> PathBuf {
    let from = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    from("XDG_CACHE_HOME")
        .or_else(|| from("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("refrain")
}

/// Builds the plugin in folder `package` and writes the component to `out`. `cache` is [`default_cache`] or a folder
/// like it. Says what it does, a line at a time, without line ends. Returns the path of the component.
///
/// The file at `out` is replaced as a whole, and left alone when its bytes would not change.
pub fn build_plugin(
    package: &Path,
    out: &Path,
    cache: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<PathBuf, BuildError> {
    let package = &canonical(package)?;
    if !package.join("Cargo.toml").is_file() {
        return Err(BuildError::NotAPackage(package.clone()));
    }
    sdk::restore(package, say)?;
    let toolchain = toolchain::find(package, cache, say)?;
    let module = compile(package, &toolchain, cache, say)?;
    let component = component::encode(package, &read(&module)?)?;
    place(out, &component)?;
    say(&format!(
        "{} ({} KiB)",
        out.display(),
        component.len().div_ceil(1024)
    ));
    Ok(out.to_path_buf())
}

/// Runs cargo; the path of the module that it made.
fn compile(
    package: &Path,
    toolchain: &Toolchain,
    cache: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<PathBuf, BuildError> {
    let mut cargo = Command::new("cargo", package);
    cargo
        .args(["build", "--release", "--target", toolchain::TARGET])
        .args(["--message-format", "json-render-diagnostics"])
        .clean()
        .env("CARGO_TARGET_DIR", target_folder(package, cache));
    toolchain.apply(&mut cargo);
    let done = cargo.talk(say)?;
    if !done.success {
        return Err(BuildError::Source(package.to_path_buf()));
    }
    module_of(&done.stdout, package).ok_or_else(|| BuildError::NoModule(package.to_path_buf()))
}

/// One target folder for each place that plugins are built in, so that two of the same name never meet.
fn target_folder(package: &Path, cache: &Path) -> PathBuf {
    let place = package.parent().unwrap_or(package).to_string_lossy();
    let digest = blake3::hash(place.as_bytes()).to_hex();
    cache.join("guests").join(&digest[..16])
}

/// Finds the module among cargo's messages, one JSON object a line.
fn module_of(messages: &str, package: &Path) -> Option<PathBuf> {
    let manifest = package.join("Cargo.toml");
    let of_package = |message: &serde_json::Value| {
        message["manifest_path"]
            .as_str()
            .is_some_and(|path| Path::new(path) == manifest)
    };
    let files = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(of_package)
        .filter_map(|message| message["filenames"].as_array().cloned())
        .flatten();
    files
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|file| file.extension().is_some_and(|kind| kind == "wasm"))
}

#[expect(clippy::disallowed_methods, reason = "a module that cargo made")]
fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    std::fs::read(path).map_err(|why| file(path, why))
}

/// Puts the component at `out`: beside it first, then over it.
#[expect(
    clippy::disallowed_methods,
    reason = "the user's own file, made again at any time"
)]
fn place(out: &Path, component: &[u8]) -> Result<(), BuildError> {
    if std::fs::read(out).is_ok_and(|there| there == component) {
        return Ok(());
    }
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder).map_err(|why| file(folder, why))?;
    }
    let beside = out.with_extension(format!("new-{}", std::process::id()));
    std::fs::write(&beside, component).map_err(|why| file(&beside, why))?;
    std::fs::rename(&beside, out).map_err(|why| file(out, why))
}

fn canonical(path: &Path) -> Result<PathBuf, BuildError> {
    path.canonicalize().map_err(|why| file(path, why))
}

fn file(path: &Path, why: std::io::Error) -> BuildError {
    BuildError::File {
        path: path.to_path_buf(),
        why,
    }
}

#[cfg(test)]
mod tests;
