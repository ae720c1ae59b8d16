//! Building a plugin: a folder with its source in, a component without function imports out.
//!
//! What language a folder is in, its source file says ([`Language::of`]). Each decision is said through `say`. Nothing is
//! written into the plugin's folder except, by cargo, its `Cargo.lock`; SDKs are unpacked beside it, compilers and what
//! they build stay in the cache folder.

mod command;
mod compile;
mod component;
mod doctor;
mod language;
mod lines;
mod remap;
mod rust;
mod sdk;
mod sysroot;
mod template;
mod toolchain;
mod tools;

use std::path::{Path, PathBuf};

pub use doctor::{Check, examine};
pub use language::Language;
pub use sdk::{SDK_FOLDER, unpack_sdk};
pub use template::{TemplateKind, create_plugin, template};

/// Why a plugin was not built, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The folder holds the source of no plugin.
    #[error("{} has neither a Cargo.toml nor a plugin.c, .py, .js, .ts, .zig, .go nor an assembly/index.ts: `refrain plugin new NAME --language L` makes one", .0.display())]
    NotAPackage(PathBuf),
    /// The folder holds sources in two languages.
    #[error("{} has a {one} and a {other}: keep the one that it is built from", .package.display())]
    TwoLanguages {
        /// Folder of the plugin.
        package: PathBuf,
        /// One source.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// The source does not say whether it is a fold or a transform.
    #[error("{} calls neither export_fold nor export_transform, or both (in JavaScript exportFold, exportTransform): end it with one of them", .0.display())]
    NoKind(PathBuf),
    /// A compiler from a package registry is not there, or cannot be run.
    #[error("{tool} of {} cannot be used: {why}; `refrain doctor` shows all toolchains", .folder.display())]
    NoTool {
        /// Package and version.
        tool: String,
        /// Where it is kept.
        folder: PathBuf,
        /// What to do.
        why: String,
    },
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
    #[error("{} does not compile; see what the compiler says above", .0.display())]
    Source(PathBuf),
    /// The package compiles to something else.
    #[error("{} builds no Wasm module: its Cargo.toml needs `[lib]` with `crate-type = [\"cdylib\"]`", .0.display())]
    NoModule(PathBuf),
    /// The module is no component.
    #[error("the module of {} does not become a component: {why}; {hint}", .package.display())]
    NoComponent {
        /// Folder of the plugin.
        package: PathBuf,
        /// What is wrong.
        why: String,
        /// What it may lack.
        hint: &'static str,
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
    build_plugin_with(package, out, Talk::Silent, cache, say)
}

/// The same, with or without a voice.
pub fn build_plugin_with(
    package: &Path,
    out: &Path,
    talk: Talk,
    cache: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<PathBuf, BuildError> {
    let component = build_component(package, talk, cache, say)?;
    place(out, &component)?;
    say(&format!(
        "{} ({} KiB)",
        out.display(),
        component.len().div_ceil(1024)
    ));
    Ok(out.to_path_buf())
}

/// Whether a plugin is built with a voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    /// It imports nothing: for use.
    Silent,
    /// What it says, and the last words of a panic, are heard, by the import `logging`, which has to be granted: for its
    /// author.
    Talking,
}

/// Builds the plugin in folder `package`, and hands over the component without writing it anywhere.
pub fn build_component(
    package: &Path,
    talk: Talk,
    cache: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<u8>, BuildError> {
    let package = &canonical(package)?;
    let language = Language::of(package)?;
    let job = compile::Job {
        package,
        cache,
        language,
        talk,
    };
    let module = job.compile(say)?;
    component::encode(package, &module, language)
}

/// One target folder for each place that plugins are built in, so that two of the same name never meet.
fn target_folder(package: &Path, cache: &Path) -> PathBuf {
    let place = package.parent().unwrap_or(package).to_string_lossy();
    let digest = blake3::hash(place.as_bytes()).to_hex();
    cache.join("guests").join(&digest[..16])
}

#[expect(
    clippy::disallowed_methods,
    reason = "a source, or what a compiler made"
)]
fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    std::fs::read(path).map_err(|why| file(path, why))
}

/// Puts a file at `out`: beside it first, then over it.
#[expect(
    clippy::disallowed_methods,
    reason = "a file that is made again at any time"
)]
fn place(out: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    if std::fs::read(out).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder).map_err(|why| file(folder, why))?;
    }
    let beside = out.with_extension(format!("new-{}", std::process::id()));
    std::fs::write(&beside, bytes).map_err(|why| file(&beside, why))?;
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
