//! What was used and what was reached: counted while nodes run, kept by the hour in `data/ledger.json`, bounded. Beside
//! the commit log and never in it: no digest, no lineage and no result knows of it.

pub mod books;
mod chain;
pub mod commits;
pub mod freshness;
pub mod gauge;
mod held;
pub mod ledger;
pub mod measures;
mod outside;
pub mod parts;
pub mod runs;

pub use books::{Books, Held, Kept, RunBook, Stood, Work};
pub use chain::Chain;
pub use commits::{CommitFigures, Commits};
pub use freshness::Freshness;
pub use gauge::{Gauge, Watched};
pub use ledger::Ledger;
pub use measures::measures;
pub use parts::{Growth, Parts};

/// Name of the file in the data folder.
pub const LEDGER_FILE: &str = "ledger.json";
