//! The host against guests made on the spot: what a good one sees and gives, and every way to be a bad one.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "tests handle files of their own")]

mod bad_calls;
mod bad_files;
mod good;
mod guest;
mod laws;
mod memory;
