//! Which compiler can make a guest on this machine: the installed one when it has the target, one to which rustup adds
//! it, or Debian's with a standard library built from Debian's sources.

use std::path::{Path, PathBuf};

use super::command::Command;
use super::{BuildError, sysroot};

/// What guests are compiled for.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// Jump tables only where at least half of their places are of use. LLVM makes one for any two values on Wasm, so that a
/// comparison of text by its length becomes a jump that processors guess badly: 0.6 of 8 ns a row of `engagement`.
const SPARSE: &str = "-Cllvm-args=-jump-table-density=50";

/// What to install when nothing works.
pub(super) const ADVICE: &str =
    "  * with rustup (https://rustup.rs):  rustup target add wasm32-unknown-unknown
  * on Debian, as root:               apt-get install rustc-web rust-web-src
    (and cargo and rust-lld from a rustup toolchain, or apt-get install cargo lld)";

/// A compiler that can make guests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Toolchain {
    /// Cargo's own compiler has the target.
    Installed,
    /// Another compiler, a standard library that was built for it, and a linker.
    Debian {
        rustc: PathBuf,
        sysroot: PathBuf,
        linker: PathBuf,
    },
}

impl Toolchain {
    /// Makes cargo use it, with these flags for the compiler.
    pub(super) fn apply(&self, cargo: &mut Command, flags: Vec<String>) {
        let mut flags = flags;
        flags.push(SPARSE.to_string());
        if let Toolchain::Debian {
            rustc,
            sysroot,
            linker,
        } = self
        {
            cargo.env("RUSTC", rustc);
            flags.push(format!("--sysroot={}", sysroot.display()));
            flags.push(format!("-Clinker={}", linker.display()));
        }
        // A setting, not a variable: it is joined with what the plugin's own .cargo/config.toml says.
        cargo.args([
            "--config".to_string(),
            format!("target.{TARGET}.rustflags={}", toml_strings(&flags)),
        ]);
    }
}

/// An array of TOML. JSON's strings are strings of TOML too.
fn toml_strings(values: &[String]) -> String {
    serde_json::to_string(values).expect("strings are always JSON")
}

/// What cargo's own compiler is.
struct Compiler {
    sysroot: PathBuf,
    host: String,
}

impl Compiler {
    fn find(package: &Path) -> Option<Self> {
        let sysroot = Command::new("rustc", package)
            .clean()
            .args(["--print", "sysroot"])
            .ask()?;
        let version = Command::new("rustc", package).clean().args(["-vV"]).ask()?;
        let host = version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))?
            .to_string();
        Some(Self {
            sysroot: PathBuf::from(sysroot),
            host,
        })
    }

    fn has_target(&self) -> bool {
        has_std(&self.sysroot)
    }

    /// The linker that every rustup toolchain ships.
    fn linker(&self) -> Option<PathBuf> {
        let place = self
            .sysroot
            .join("lib/rustlib")
            .join(&self.host)
            .join("bin/rust-lld");
        place.is_file().then_some(place)
    }
}

/// Whether a sysroot has the standard library of the target.
#[expect(clippy::disallowed_methods, reason = "a toolchain is looked at")]
fn has_std(sysroot: &Path) -> bool {
    let folder = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    let is_std =
        |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libstd-");
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(is_std)))
}

/// Finds a toolchain, or makes one: what is there already first, then what rustup can add, then what Debian has.
pub(super) fn find(
    package: &Path,
    cache: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<Toolchain, BuildError> {
    if Command::new("cargo", package)
        .args(["--version"])
        .ask()
        .is_none()
    {
        let tried = "  * no cargo in the PATH".to_string();
        return Err(BuildError::NoToolchain { tried });
    }
    let mut tried = Vec::new();
    let compiler = Compiler::find(package);
    match &compiler {
        Some(compiler) if compiler.has_target() => return Ok(Toolchain::Installed),
        Some(compiler) => tried.push(format!(
            "{} has no std for {TARGET}",
            compiler.sysroot.display()
        )),
        None => tried.push("no rustc in the PATH".to_string()),
    }
    let linker = compiler
        .as_ref()
        .and_then(Compiler::linker)
        .or_else(system_linker);
    if let Some(ready) = debian_ready(cache, &linker) {
        return Ok(ready);
    }
    match add_target(package, say) {
        Ok(()) => return Ok(Toolchain::Installed),
        Err(why) => tried.push(why),
    }
    match debian(cache, linker, say) {
        Ok(toolchain) => Ok(toolchain),
        Err(why) => {
            tried.push(why);
            let tried = tried
                .iter()
                .map(|line| format!("  * {line}"))
                .collect::<Vec<_>>()
                .join("\n");
            Err(BuildError::NoToolchain { tried })
        }
    }
}

/// What [`find`] would use now, in words; otherwise why there is nothing. Installs nothing.
pub(super) fn look(package: &Path, cache: &Path) -> Result<String, String> {
    let cargo = Command::new("cargo", package).args(["--version"]).ask();
    let cargo = cargo.ok_or("no cargo in the PATH")?;
    let compiler = Compiler::find(package);
    if compiler.as_ref().is_some_and(Compiler::has_target) {
        return Ok(format!("{cargo}, with {TARGET}"));
    }
    let linker = compiler
        .and_then(|compiler| compiler.linker())
        .or_else(system_linker);
    match debian_ready(cache, &linker) {
        Some(Toolchain::Debian { sysroot, .. }) => {
            Ok(format!("{cargo}, with std of {}", sysroot.display()))
        }
        _ if sysroot::Rustc::find().is_some() && linker.is_some() => Ok(format!(
            "{cargo}, with Debian's rustc-web, whose std the first build makes"
        )),
        _ => Err(format!("{cargo}, without {TARGET}")),
    }
}

/// Asks rustup for the target, and believes only what is there afterwards.
fn add_target(package: &Path, say: &mut dyn FnMut(&str)) -> Result<(), String> {
    if Command::new("rustup", package)
        .args(["--version"])
        .ask()
        .is_none()
    {
        return Err("no rustup in the PATH".to_string());
    }
    say(&format!("rustup target add {TARGET}"));
    let added = Command::new("rustup", package)
        .args(["target", "add", TARGET])
        .talk(say);
    let there = Compiler::find(package).is_some_and(|compiler| compiler.has_target());
    match (added, there) {
        (Ok(_), true) => Ok(()),
        _ => Err(format!("`rustup target add {TARGET}` failed")),
    }
}

/// What an earlier build left.
fn debian_ready(cache: &Path, linker: &Option<PathBuf>) -> Option<Toolchain> {
    let rustc = sysroot::Rustc::find()?;
    let sysroot = rustc.sysroot(cache);
    sysroot::is_done(&sysroot).then_some(())?;
    Some(Toolchain::Debian {
        rustc: rustc.path,
        sysroot,
        linker: linker.clone()?,
    })
}

fn debian(
    cache: &Path,
    linker: Option<PathBuf>,
    say: &mut dyn FnMut(&str),
) -> Result<Toolchain, String> {
    let rustc = sysroot::install(say)?;
    let linker = linker.or_else(system_linker).ok_or(
        "no linker for Wasm: neither rust-lld in a rustup toolchain nor wasm-ld in the PATH",
    )?;
    let sysroot = sysroot::build(&rustc, cache, say)?;
    Ok(Toolchain::Debian {
        rustc: rustc.path,
        sysroot,
        linker,
    })
}

/// `wasm-ld` of a system package.
fn system_linker() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("wasm-ld"))
        .find(|place| place.is_file())
}

/// Debian's compiler with a standard library in this cache; none where its packages are not installed.
#[cfg(test)]
pub(super) fn debian_of_this_machine(
    package: &Path,
    cache: &Path,
    say: &mut dyn FnMut(&str),
) -> Option<Result<Toolchain, String>> {
    sysroot::Rustc::find()?;
    let linker = Compiler::find(package).and_then(|compiler| compiler.linker());
    Some(debian(cache, linker, say))
}
