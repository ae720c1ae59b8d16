//! System calls of the real program, seen and disturbed through strace: which calls a command makes on its data folder,
//! and one of them failed, shortened or made deadly. A disturbance counts only when strace says that it happened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::luck::poll;
use crate::skip::skipped;

/// The calls by which anything under a data folder changes, or is opened.
pub const CALLS: [&str; 13] = [
    "openat",
    "mkdir",
    "ftruncate",
    "fallocate",
    "write",
    "pwrite64",
    "pwritev",
    "fdatasync",
    "fsync",
    "rename",
    "unlink",
    "unlinkat",
    "rmdir",
];

/// One system call of one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// The file or folder, as a path below the data folder; none: somewhere else.
    pub path: Option<String>,
    /// Which call of that name on that file this is in its thread, from 1. Strace counts that way too.
    pub nth: usize,
    /// Strace answered it, not the system.
    pub injected: bool,
}

/// The part of a data folder that a call meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// The lock, the socket, the folder itself.
    Folder,
    /// Source topics: what is appended.
    Source,
    /// Derived topics: what nodes write.
    Derived,
    /// The commit log.
    Commits,
}

impl Call {
    /// Where in the data folder; none: somewhere else.
    pub fn area(&self, source: &str) -> Option<Area> {
        let path = self.path.as_deref()?;
        Some(match path.split('/').collect::<Vec<_>>()[..] {
            ["commits", ..] => Area::Commits,
            ["topics", topic, ..] if topic.strip_suffix(".rejected") == Some(source) => {
                Area::Source
            }
            ["topics", topic, ..] if topic == source => Area::Source,
            ["topics", _, ..] => Area::Derived,
            _ => Area::Folder,
        })
    }
}

/// What happens to a call.
#[derive(Clone, Debug)]
pub struct Accident {
    /// The call.
    pub name: String,
    /// In strace's words: `error=EIO`, `retval=0`, `signal=KILL`.
    pub how: String,
    /// In strace's words: `3`, the third such call of a thread; `1+2`, every second one.
    pub when: String,
    /// Only calls on this file count, a path below the data folder; none: all do.
    pub path: Option<String>,
}

/// Whether strace is there; a word about it when not.
pub fn strace_is_there() -> bool {
    let quiet = Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let there = quiet.is_ok_and(|status| status.success());
    if !there {
        skipped("strace", "install strace, to test failing system calls");
    }
    there
}

/// A trace that a command leaves in a file beside its project's data.
#[derive(Debug)]
pub struct Strace {
    file: PathBuf,
    data: String,
}

impl Strace {
    /// For a project in this folder.
    pub fn of(root: &Path) -> Strace {
        let root = root.canonicalize().expect("the project is there");
        Strace {
            file: root.join("trace"),
            data: format!("{}/data", root.display()),
        }
    }

    /// What to put before a command so that it is traced, and disturbed. The tracer stays in the background (`-D`), so
    /// that the process is the program itself, with its own signals and exit code.
    pub fn prefix(&self, accident: Option<&Accident>) -> Vec<String> {
        let mut words: Vec<String> = ["strace", "-D", "-f", "-y", "-s", "0"]
            .map(String::from)
            .to_vec();
        words.extend(["-o".into(), self.file.display().to_string()]);
        let Some(accident) = accident else {
            words.extend(["-e".into(), format!("trace={}", CALLS.join(","))]);
            return words;
        };
        let Accident {
            name, how, when, ..
        } = accident;
        words.extend(["-e".into(), format!("trace={name}")]);
        words.extend(["-e".into(), format!("inject={name}:{how}:when={when}")]);
        if let Some(path) = &accident.path {
            let path = format!("{}/{path}", self.data);
            words.extend(["-P".into(), path.trim_end_matches('/').into()]);
        }
        words
    }

    /// The calls that were made, once the tracer has written the last of process `pid`, or of the one whose output was
    /// read to its end.
    pub fn calls(&self, pid: Option<u32>) -> Vec<Call> {
        let text = poll("the end of the trace", || {
            let text = std::fs::read_to_string(&self.file).unwrap_or_default();
            let ended = |line: &str, pid: u32| {
                let (thread, rest) = line.split_once(' ').unwrap_or_default();
                thread.parse() == Ok(pid) && rest.trim_start().starts_with("+++")
            };
            let whole = pid.is_none_or(|pid| text.lines().any(|line| ended(line, pid)));
            whole.then_some(text)
        });
        parse(&text, &self.data)
    }
}

fn parse(text: &str, data: &str) -> Vec<Call> {
    let mut counts: BTreeMap<(&str, &str, Option<String>), usize> = BTreeMap::new();
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    let mut calls: Vec<Call> = Vec::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        let injected = rest.ends_with("(INJECTED)");
        if rest.starts_with("<... ") {
            if let (Some(call), true) = (last.get(thread), injected) {
                calls[*call].injected = true;
            }
        } else if let Some((name, arguments)) = rest.split_once('(')
            && CALLS.contains(&name)
        {
            let path = path_below(arguments, data);
            let count = counts.entry((thread, name, path.clone())).or_default();
            *count += 1;
            last.insert(thread, calls.len());
            calls.push(Call {
                name: name.into(),
                path,
                nth: *count,
                injected,
            });
        }
    }
    calls
}

/// The first path below the data folder among the arguments.
fn path_below(arguments: &str, data: &str) -> Option<String> {
    let (_, after) = arguments.split_once(data)?;
    let path = after.split(['>', '"']).next().unwrap_or_default();
    let below = path.is_empty() || path.starts_with('/');
    below.then(|| path.trim_start_matches('/').to_string())
}

#[test]
fn calls_are_read_with_their_threads_and_files() {
    let text = "\
7  openat(AT_FDCWD</p>, \"/p/data/topics/a/0\", O_RDONLY) = 3</p/data/topics/a/0>
8 pwritev(4</p/data/commits/0.segment>, [...], 2, 64 <unfinished ...>
7 openat(AT_FDCWD</p>, \"/p/database\", O_RDONLY) = 3
8 <... pwritev resumed>) = -1 EIO (Input/output error) (INJECTED)
7 +++ exited with 0 +++
";
    let calls = parse(text, "/p/data");
    let seen: Vec<_> = calls
        .iter()
        .map(|c| (&*c.name, c.area("a"), c.nth, c.injected))
        .collect();
    assert_eq!(
        seen,
        [
            ("openat", Some(Area::Source), 1, false),
            ("pwritev", Some(Area::Commits), 1, true),
            ("openat", None, 1, false),
        ]
    );
}
