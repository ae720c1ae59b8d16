//! A standard library for guests from Debian's packages `rustc-web` and `rust-web-src`, built once, without network.

use std::path::{Path, PathBuf};

use super::command::Command;
use super::toolchain::TARGET;

const SOURCES: &str = "/usr/lib/rustlib/src/rust/library";
const PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];

/// Debian's compiler.
pub(super) struct Rustc {
    pub(super) path: PathBuf,
    version: String,
}

impl Rustc {
    /// The compiler whose sources are installed.
    pub(super) fn find() -> Option<Self> {
        let path = PathBuf::from("/usr/bin/rustc");
        Path::new(SOURCES)
            .join("std/Cargo.toml")
            .is_file()
            .then_some(())?;
        let about = Command::new(&path, Path::new("/"))
            .clean()
            .args(["-vV"])
            .ask()?;
        let word = |key| about.lines().find_map(|line| line.strip_prefix(key));
        let (release, commit) = (word("release: ")?, word("commit-hash: ")?);
        let version = format!("{release}-{}", commit.get(..9).unwrap_or(commit));
        Some(Self { path, version })
    }

    /// Where its standard library is kept.
    pub(super) fn sysroot(&self, cache: &Path) -> PathBuf {
        cache.join("wasm-sysroot").join(&self.version)
    }
}

/// Whether a build of it ended.
pub(super) fn is_done(sysroot: &Path) -> bool {
    sysroot.join(".done").is_file()
}

/// Finds the compiler and its sources, or has them installed.
pub(super) fn install(say: &mut dyn FnMut(&str)) -> Result<Rustc, String> {
    if let Some(rustc) = Rustc::find() {
        return Ok(rustc);
    }
    let root = Path::new("/");
    if Command::new("apt-get", root)
        .args(["--version"])
        .ask()
        .is_none()
    {
        return Err("no apt-get: not a Debian system".to_string());
    }
    if Command::new("id", root).args(["-u"]).ask().as_deref() != Some("0") {
        return Err(format!(
            "not root: cannot `apt-get install {}`",
            PACKAGES.join(" ")
        ));
    }
    say(&format!("apt-get install {}", PACKAGES.join(" ")));
    let mut install = Command::new("apt-get", root);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    install
        .args(["install", "-yq", "--no-install-recommends"])
        .args(PACKAGES);
    let mut update = Command::new("apt-get", root);
    let ran = update
        .args(["update", "-q"])
        .talk(say)
        .and_then(|_| install.talk(say));
    match (ran, Rustc::find()) {
        (Ok(_), Some(rustc)) => Ok(rustc),
        _ => Err(format!("`apt-get install {}` failed", PACKAGES.join(" "))),
    }
}

/// Builds the standard library unless it is there.
pub(super) fn build(
    rustc: &Rustc,
    cache: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<PathBuf, String> {
    let sysroot = rustc.sysroot(cache);
    if is_done(&sysroot) {
        return Ok(sysroot);
    }
    say(&format!(
        "building std {} for {TARGET}, once, about a minute",
        rustc.version
    ));
    let place = cache.join(format!("std-{}", std::process::id()));
    let built = compile(rustc, &place, say).and_then(|()| collect(&place, &sysroot));
    // a leftover of a failed build is of no use and in nobody's way
    #[expect(clippy::disallowed_methods, reason = "made again at any time")]
    let _ = std::fs::remove_dir_all(&place);
    built.map(|()| sysroot)
}

/// A package that only names std: std's own dev-dependencies, which Debian does not ship, then need no resolving.
fn manifest(library: &Path) -> String {
    let library = library.display();
    format!(
        r#"[package]
name = "sysroot-builder"
version = "0.0.0"
edition = "2021"
[dependencies]
std = {{ path = "{library}/std" }}
[patch.crates-io]
rustc-std-workspace-core = {{ path = "{library}/rustc-std-workspace-core" }}
rustc-std-workspace-alloc = {{ path = "{library}/rustc-std-workspace-alloc" }}
rustc-std-workspace-std = {{ path = "{library}/rustc-std-workspace-std" }}
[profile.release]
debug = 0
[workspace]
"#
    )
}

fn compile(rustc: &Rustc, place: &Path, say: &mut dyn FnMut(&str)) -> Result<(), String> {
    let library = Path::new(SOURCES)
        .canonicalize()
        .map_err(|why| format!("{SOURCES}: {why}"))?;
    write(&place.join("src/lib.rs"), "#![no_std]\n")?;
    write(&place.join("Cargo.toml"), &manifest(&library))?;
    let mut cargo = Command::new("cargo", place);
    cargo
        .clean()
        // the unstable features that std needs are unlocked for this one build
        .env("RUSTC_BOOTSTRAP", "1")
        .env("__CARGO_DEFAULT_LIB_METADATA", "sysroot")
        .env("RUSTC", &rustc.path)
        .env("CARGO_TARGET_DIR", place.join("target"))
        .env(
            "RUSTFLAGS",
            "-Zforce-unstable-if-unmarked -Cembed-bitcode=yes -Cpanic=abort",
        )
        .args([
            "build",
            "--release",
            "--offline",
            "--target",
            TARGET,
            "-p",
            "std",
        ])
        .args(["--config", "source.crates-io.replace-with='debian'"])
        .args([
            "--config",
            &format!("source.debian.directory='{}/vendor'", library.display()),
        ]);
    match cargo.talk(say) {
        Ok(done) if done.success => Ok(()),
        Ok(_) => Err("std does not build from Debian's sources".to_string()),
        Err(why) => Err(why.to_string()),
    }
}

/// Moves the libraries into a sysroot; the mark that it is whole comes last.
#[expect(
    clippy::disallowed_methods,
    reason = "files of a build, made again at any time"
)]
fn collect(place: &Path, sysroot: &Path) -> Result<(), String> {
    let from = place.join("target").join(TARGET).join("release/deps");
    let to = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    let _ = std::fs::remove_dir_all(sysroot);
    std::fs::create_dir_all(&to).map_err(|why| format!("{}: {why}", to.display()))?;
    let entries = std::fs::read_dir(&from).map_err(|why| format!("{}: {why}", from.display()))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let Some(name) = path
            .file_name()
            .filter(|_| path.extension().is_some_and(|e| e == "rlib"))
        else {
            continue;
        };
        std::fs::copy(&path, to.join(name)).map_err(|why| format!("{}: {why}", path.display()))?;
    }
    write(&sysroot.join(".done"), "")
}

#[expect(
    clippy::disallowed_methods,
    reason = "files of a build, made again at any time"
)]
fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().expect("a file has a folder");
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, text))
        .map_err(|why| format!("{}: {why}", path.display()))
}
