//! What can go wrong in the engine, by what the caller must do about it.

use refrain_log::ids::Offset;
use refrain_plugin::{Fault, LoadError};

use crate::pipeline::{Diagnostics, Severity};

/// The result of most calls of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Which rows a [`Place`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Those of the call.
    Call,
    /// All that the task took since its last commit: the call itself was about states.
    SinceCommit,
}

/// Rows concerned by a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Topic read.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// First of the rows.
    pub first: Offset,
    /// Last of the rows.
    pub last: Offset,
    /// Which rows.
    pub of: Extent,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.of == Extent::SinceCommit {
            f.write_str("rows since the last commit: ")?;
        }
        write!(
            f,
            "topic {}, partition {}, offsets {} to {}",
            self.topic, self.partition, self.first, self.last
        )
    }
}

impl Error {
    /// Whether a write or a sync failed, so that something is shut until it is reopened.
    pub fn is_failed_write(&self) -> bool {
        use refrain_log::Error as Log;
        use refrain_state::Error as State;
        matches!(
            self,
            Error::Log(Log::Failed { .. } | Log::Stopped)
                | Error::State(
                    State::Log(Log::Failed { .. } | Log::Stopped) | State::Closed { .. }
                )
        )
    }
}

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log below.
    #[error(transparent)]
    Log(#[from] refrain_log::Error),
    /// The commit log or a store below.
    #[error(transparent)]
    State(#[from] refrain_state::Error),
    /// A plugin misbehaved: the node stops, its state is that of its last commit.
    #[error("node {node}: {fault}{}; the node's state is that of its last commit", place.as_ref().map(|p| format!(" ({p})")).unwrap_or_default())]
    Fault {
        /// Node.
        node: String,
        /// Rows of the failed call, or those that the task took since its last commit, when there are any.
        place: Option<Box<Place>>,
        /// What the plugin did.
        fault: Box<Fault>,
    },
    /// A component cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The pipeline file is wrong.
    #[error("{}", problems(.0))]
    Pipeline(Diagnostics),
    /// The request does not fit, with what to do.
    #[error("{0}")]
    Refused(String),
    /// A savepoint cannot be used as it is.
    #[error(
        "savepoint {name} is damaged ({what}); nothing was changed: restore its files from a copy, or use another savepoint"
    )]
    Savepoint {
        /// Its name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file of the project cannot be read or written.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
}

/// Problems of a pipeline file, for those who cannot see it with line and caret: what was ordered beside it may be what is wrong.
fn problems(found: &Diagnostics) -> String {
    let errors = found.list.iter().filter(|d| d.severity == Severity::Error);
    let told = errors.map(|problem| match &problem.help {
        Some(help) => format!("{}: {help}", problem.message),
        None => problem.message.clone(),
    });
    let told: Vec<String> = told.collect();
    format!(
        "{} (with what the command asks for): {}",
        found.file,
        told.join("; ")
    )
}
