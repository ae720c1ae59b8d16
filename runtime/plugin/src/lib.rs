//! The Wasm host: loads components, calls them, limits them, and turns every way in which they can misbehave into a
//! typed error. It knows wit/ and columns; it knows no topic, offset, key or window.

pub mod about;
mod answer;
pub mod build;
mod compiled;
pub mod conformance;
pub mod contract;
pub mod fault;
pub mod fuel;
mod given;
pub mod grant;
pub mod host;
pub mod instance;
pub mod limits;
mod lines;
mod voice;
mod wasi;
mod wire;

pub use about::{About, Declared, DeclaredInput, PluginKind, Setting};
pub use fault::{Fault, FaultKind, LoadError};
pub use grant::{Grant, Grants, Import};
pub use host::{Digest, Host, HostOptions, Plugin};
pub use instance::{
    Entries, Evaluated, Input, Instance, Limits, Part, Processed, Reject, States, Timers,
    Transformed,
};
