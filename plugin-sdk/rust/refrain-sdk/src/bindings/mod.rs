//! The contract as Rust: one generated file a world of wit/, written by `refrain-sdk-generate`, never by hand.

#![allow(missing_docs, unsafe_code, unreachable_pub)]

#[rustfmt::skip]
pub mod fold_plugin;
#[rustfmt::skip]
pub mod migrate_plugin;
#[rustfmt::skip]
pub mod process_plugin;
#[rustfmt::skip]
pub mod session_plugin;
#[cfg(feature = "talk")]
#[rustfmt::skip]
pub mod talking_plugin;
#[rustfmt::skip]
pub mod transform_plugin;

pub use fold_plugin::refrain::plugin::types::{Column, Failure, Reject, Rows, Spans, Values};
