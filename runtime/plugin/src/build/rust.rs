//! Rust: cargo makes a core module for `wasm32-unknown-unknown`, linked by the toolchain's own `rust-lld`.

use std::path::{Path, PathBuf};

use super::command::Command;
use super::toolchain::{self, Toolchain};
use super::{BuildError, Talk, read, remap, sdk, target_folder};

/// The module of a cargo package.
pub(super) fn compile(
    package: &Path,
    talk: Talk,
    cache: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<u8>, BuildError> {
    sdk::restore(package, say)?;
    let toolchain = toolchain::find(package, cache, say)?;
    read(&cargo(package, talk, &toolchain, cache, say)?)
}

/// Runs cargo; the path of the module that it made.
pub(super) fn cargo(
    package: &Path,
    talk: Talk,
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
    if talk == Talk::Talking && uses_sdk(package)? {
        cargo.args(["--features", "refrain-sdk/talk"]);
    }
    toolchain.apply(&mut cargo, remap::flags(package));
    let done = cargo.talk(say)?;
    if !done.success {
        return Err(BuildError::Source(package.to_path_buf()));
    }
    module_of(&done.stdout, package).ok_or_else(|| BuildError::NoModule(package.to_path_buf()))
}

/// Whether the package is written with the SDK, which has the voice.
fn uses_sdk(package: &Path) -> Result<bool, BuildError> {
    let manifest = read(&package.join("Cargo.toml"))?;
    Ok(String::from_utf8_lossy(&manifest).contains("refrain-sdk"))
}

/// Finds the module among cargo's messages, one JSON object a line.
pub(super) fn module_of(messages: &str, package: &Path) -> Option<PathBuf> {
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
