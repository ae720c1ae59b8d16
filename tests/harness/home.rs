//! A user's project, and what a user does in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::built::{component, program};
use crate::luck::poll;

/// A project in a folder that goes when the test ends.
#[derive(Debug)]
pub struct Home {
    root: PathBuf,
    _folder: Option<TempDir>,
}

impl Home {
    /// A project with this pipeline file.
    pub fn new(pipeline: &str) -> Home {
        let folder = tempfile::tempdir().expect("the temp folder takes files");
        let home = Home {
            root: folder.path().to_path_buf(),
            _folder: Some(folder),
        };
        home.write("refrain.toml", pipeline);
        home
    }

    /// A project in a folder that someone else made and removes.
    pub fn at(root: &Path) -> Home {
        Home {
            root: root.to_path_buf(),
            _folder: None,
        }
    }

    /// A project on engagement events, with its three plugins.
    pub fn engagement() -> Home {
        Home::new(&crate::events::pipeline()).with_plugins(&[
            "engagement",
            "engagement_total",
            "views_only",
        ])
    }

    /// Puts components of plugins/ in the project.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "files of the test")]
    pub fn with_plugins(self, names: &[&str]) -> Home {
        for name in names {
            let bytes = fs::read(component(name)).expect("the component was built");
            self.write(&format!("plugins/{name}.wasm"), bytes);
        }
        self
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a file.
    #[expect(clippy::disallowed_methods, reason = "files of the test")]
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("in a folder")).expect("folders can be made");
        fs::write(&path, content).expect("files can be written");
        path
    }

    /// `refrain ARGUMENTS` in the project, not started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(Command::new(program()), arguments)
    }

    /// `PREFIX refrain ARGUMENTS`, for tools that run a program, such as strace.
    pub fn command_under(&self, prefix: &[String], arguments: &[&str]) -> Command {
        let mut command = Command::new(&prefix[0]);
        command.args(&prefix[1..]).arg(program());
        self.command_of(command, arguments)
    }

    fn command_of(&self, mut command: Command, arguments: &[&str]) -> Command {
        command
            .args(arguments)
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .env("COLUMNS", "100")
            .env_remove("RUST_LOG");
        command
    }

    /// `refrain ARGUMENTS`, to its end.
    pub fn refrain(&self, arguments: &[&str]) -> Done {
        Done::of(self.command(arguments))
    }

    /// Appends a file under a producer's name, so that it may be repeated.
    pub fn append(&self, topic: &str, file: &str, producer: &str) -> Done {
        self.refrain(&["topic", "append", topic, file, "--producer", producer])
    }

    /// `refrain run --once`.
    pub fn run(&self) -> Done {
        self.refrain(&["run", "--once"])
    }

    /// `refrain run`, once it answers on its socket.
    pub fn start(&self) -> Running {
        self.start_under(self.command(&["run"]))
    }

    /// The same for a command that has been made.
    #[expect(clippy::disallowed_methods, reason = "files of the test")]
    pub fn start_under(&self, mut command: Command) -> Running {
        let talk = self.path("run.err");
        let err = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&talk)
            .expect("files can be written");
        let child = command
            .stdout(Stdio::null())
            .stderr(err)
            .spawn()
            .expect("the program starts");
        let mut running = Running { child, talk };
        let socket = self.path("data/control.sock");
        poll("the socket of `refrain run`", || {
            let ended = running.child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "run ended early:\n{}", running.said());
            std::os::unix::net::UnixStream::connect(&socket).ok()
        });
        running
    }

    /// A host that someone else started, with its talk in `run.err`.
    pub fn adopt(&self, child: Child) -> Running {
        let talk = self.path("run.err");
        Running { child, talk }
    }

    /// The digest of a view.
    pub fn digest(&self, view: &str) -> String {
        let rows = self
            .refrain(&["view", "digest", view, "--output", "json"])
            .ok()
            .json();
        text(&rows[0]["digest"])
    }

    /// The rows of a view.
    pub fn view(&self, view: &str) -> Vec<Value> {
        rows(
            self.refrain(&[
                "view", "scan", view, "--limit", "1000000", "--output", "json",
            ])
            .ok()
            .json(),
        )
    }

    /// The rows of a topic, partition after partition.
    pub fn topic(&self, topic: &str) -> Vec<Value> {
        rows(
            self.refrain(&[
                "topic", "read", topic, "--limit", "10000000", "--output", "json",
            ])
            .ok()
            .json(),
        )
    }

    /// The same as text, to compare the whole.
    pub fn topic_text(&self, topic: &str) -> String {
        let arguments = [
            "topic", "read", topic, "--limit", "10000000", "--output", "csv",
        ];
        self.refrain(&arguments).ok().out
    }

    /// How many rows a topic has.
    pub fn rows(&self, topic: &str) -> u64 {
        let list = rows(
            self.refrain(&["topic", "list", "--output", "json"])
                .ok()
                .json(),
        );
        let found = list.iter().find(|row| row["topic"] == topic);
        found.and_then(|row| row["rows"].as_u64()).unwrap_or(0)
    }

    /// Waits until a running host has taken all there is.
    pub fn wait_until_taken(&self) {
        poll("all nodes to take all rows", || {
            let status = self.refrain(&["status", "--output", "json"]).ok().json();
            let nodes = status["nodes"].as_array().expect("a list of nodes");
            nodes.iter().all(|node| node["lag_rows"] == 0).then_some(())
        });
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_string()
}

fn rows(value: Value) -> Vec<Value> {
    match value {
        Value::Array(rows) => rows,
        other => panic!("not a list of rows: {other}"),
    }
}

/// A command that ended.
#[derive(Debug)]
pub struct Done {
    /// Its exit code; none: it was killed.
    pub code: Option<i32>,
    /// What it printed as data.
    pub out: String,
    /// What it said.
    pub err: String,
}

impl Done {
    /// Runs a command to its end.
    pub fn of(mut command: Command) -> Done {
        Done::from(command.output().expect("the program starts"))
    }

    /// Panics unless it ended well.
    #[track_caller]
    pub fn ok(self) -> Done {
        self.code(0)
    }

    /// Panics unless it ended with this exit code.
    #[track_caller]
    pub fn code(self, code: i32) -> Done {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    /// Panics unless it said all of this.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Done {
        for part in parts {
            assert!(
                self.err.contains(part),
                "{part:?} is not said in:\n{}",
                self.err
            );
        }
        self
    }

    /// Its data as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}:\n{}", self.out))
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Done {
        Done {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A running host; it dies with the test.
#[derive(Debug)]
pub struct Running {
    child: Child,
    talk: PathBuf,
}

impl Running {
    /// What it and hosts before it said.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.talk).unwrap_or_default()
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process has an id");
        // It may be gone already.
        let _ = kill_process(pid, signal);
    }

    /// Waits for its end; its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let status = poll("`refrain run` to end", || {
            self.child.try_wait().expect("a child can be asked")
        });
        status.code()
    }

    /// SIGTERM, and its exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Whether it still lives.
    pub fn lives(&mut self) -> bool {
        let ended = self.child.try_wait().expect("a child can be asked");
        ended.is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
