//! The engine: pipeline file, plan, tasks, windows, rhythms, and the host that runs them.

pub mod accounts;
pub mod answer;
pub mod changes;
pub mod cost;
pub mod error;
pub mod graduation;
pub mod histogram;
pub mod host;
pub mod ingest;
pub mod input;
pub mod keys;
mod lineup;
pub mod loader;
pub mod lock;
pub mod meter;
pub mod names;
pub mod node;
pub mod objective;
pub mod pipeline;
pub mod receipt;
pub mod rejected;
pub mod replay;
pub mod request;
pub mod run;
pub mod scans;
pub mod status;
pub mod tap;
pub mod task;
pub mod tiers;
pub mod trial;
pub mod validate;
pub mod versions;
pub mod watermark;
pub mod window;
pub mod workers;

pub use error::{Error, Place, Result};
