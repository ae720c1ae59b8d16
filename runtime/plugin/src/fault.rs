//! How a plugin fails, by what the caller must do about it.

/// Why bytes are not a plugin that this host can run.
#[derive(Debug, thiserror::Error)]
#[error("{plugin}: {what}")]
pub struct LoadError {
    /// File or name of the plugin.
    pub plugin: String,
    /// What is wrong and what to do.
    pub what: String,
}

/// What kind of misbehaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A trap that depends on the rows and the states alone: `unreachable`, division by zero, an access out of
    /// bounds, a panic. May be pinned on one row.
    Trap,
    /// Took longer than a call may. Stops the node.
    Deadline,
    /// Asked for more memory than it may have. Stops the node.
    Memory,
    /// Recursed too deeply. Stops the node.
    Stack,
    /// Answered something that the contract rules out. Stops the node.
    Malformed,
    /// Answered `fatal`. Stops the node.
    Fatal,
    /// Refused its options. Refuses the pipeline file.
    Options,
}

/// A failed call. The instance is of no use any more; the states are those of the last commit.
#[derive(Clone, Debug, thiserror::Error)]
#[error("plugin {plugin}, function {function}: {what}")]
pub struct Fault {
    /// Name of the plugin.
    pub plugin: String,
    /// Function that was called.
    pub function: &'static str,
    /// What kind.
    pub kind: FaultKind,
    /// A sentence without addresses, row numbers of the call or slot numbers.
    pub what: String,
}
