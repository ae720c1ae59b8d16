//! The engine: pipeline file, plan, tasks, windows, rhythms, and the host that runs them.

pub mod ingest;
pub mod pipeline;
