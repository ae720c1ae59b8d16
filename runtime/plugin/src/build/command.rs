//! One program run: what it prints on stderr is passed on line by line, what it prints on stdout is the result.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::BuildError;

/// Variables of a build around this one that would change what a guest is.
const OUTER_BUILD: [&str; 10] = [
    "RUSTC",
    "RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
    "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER",
    "CARGO_INCREMENTAL",
];

/// A program about to be run.
pub(super) struct Command {
    program: PathBuf,
    inner: std::process::Command,
}

/// What it left.
pub(super) struct Done {
    pub(super) success: bool,
    pub(super) stdout: String,
}

impl Command {
    /// `program` in folder `place`: rustup chooses a toolchain by folder.
    pub(super) fn new(program: impl AsRef<Path>, place: &Path) -> Self {
        let program = program.as_ref().to_path_buf();
        let mut inner = std::process::Command::new(&program);
        inner.current_dir(place).stdin(Stdio::null());
        Self { program, inner }
    }

    pub(super) fn args<S: AsRef<OsStr>>(
        &mut self,
        words: impl IntoIterator<Item = S>,
    ) -> &mut Self {
        self.inner.args(words);
        self
    }

    pub(super) fn env(&mut self, name: &str, value: impl AsRef<OsStr>) -> &mut Self {
        self.inner.env(name, value);
        self
    }

    /// Forgets the settings of a build around this one.
    pub(super) fn clean(&mut self) -> &mut Self {
        for name in OUTER_BUILD {
            self.inner.env_remove(name);
        }
        self
    }

    /// Runs it and says what it prints on stderr.
    pub(super) fn talk(&mut self, say: &mut dyn FnMut(&str)) -> Result<Done, BuildError> {
        let spawned = self
            .inner
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.map_err(|why| self.fault(why))?;
        let mut stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let reader = std::thread::spawn(move || {
            let mut text = Vec::new();
            stdout.read_to_end(&mut text).map(|_| text)
        });
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            say(String::from_utf8_lossy(&line).trim_end());
        }
        let stdout = reader.join().expect("reading a pipe does not panic");
        let stdout = stdout.map_err(|why| self.fault(why))?;
        let status = child.wait().map_err(|why| self.fault(why))?;
        let stdout = String::from_utf8_lossy(&stdout).into_owned();
        Ok(Done {
            success: status.success(),
            stdout,
        })
    }

    /// Runs it in silence; what it printed on stdout if it is there and succeeded.
    pub(super) fn ask(&mut self) -> Option<String> {
        let done = self.talk(&mut |_| {}).ok()?;
        done.success.then(|| done.stdout.trim().to_string())
    }

    fn fault(&self, why: std::io::Error) -> BuildError {
        BuildError::Program {
            program: self.program.display().to_string(),
            why,
        }
    }
}
