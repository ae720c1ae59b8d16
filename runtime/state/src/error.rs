//! What can go wrong with state and commits.

/// The result of most calls of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the commit log or a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log below failed.
    #[error(transparent)]
    Log(#[from] refrain_log::Error),
    /// A commit record does not decode though its checks hold: written by another version, or a bug.
    #[error("commit record at offset {offset}: {what}")]
    Record {
        /// Offset in the commit log.
        offset: refrain_log::ids::Offset,
        /// What is wrong.
        what: String,
    },
    /// A request that does not fit, with what to do.
    #[error("{0}")]
    Invalid(String),
}
