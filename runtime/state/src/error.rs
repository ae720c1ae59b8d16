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
    #[error(
        "record {offset} of the commit log cannot be used: {what}; open it with the version that wrote it, or move its folder away and run again to rebuild states and views from the topics"
    )]
    Record {
        /// Offset in the commit log.
        offset: refrain_log::ids::Offset,
        /// What is wrong.
        what: String,
    },
    /// Reopen: a write or a sync of the commit log failed earlier. The last commit holds; nothing after it does for sure.
    #[error(
        "the commit log takes no commits until it is opened again ({what}); the last commit holds; run `refrain reopen`"
    )]
    Closed {
        /// What failed.
        what: String,
    },
    /// Rebuild: acknowledged records of the commit log are damaged. Views and states stand at the last commit before the
    /// damage and can be read; no commit is taken.
    #[error(
        "the commit log in {folder} is damaged ({what}); nothing after the damage is served and no commit is taken; the topics have everything: stop the host, move {folder} away, and run again to rebuild states and views"
    )]
    Damaged {
        /// Folder of the commit log.
        folder: String,
        /// What is damaged.
        what: String,
    },
    /// Restart: states on the disk cannot be read or written. The commit log has them; where their content is damaged, they
    /// are loaded from it anew when the host is opened again.
    #[error(
        "the store of states in {folder} cannot be used: {what}; nothing is lost, the commit log has all states: restart the host, and if this comes again, see to the disk or remove the folder while no host is running"
    )]
    Store {
        /// Folder of the store.
        folder: String,
        /// What went wrong.
        what: String,
    },
    /// A request that does not fit, with what to do.
    #[error("{0}")]
    Invalid(String),
}
