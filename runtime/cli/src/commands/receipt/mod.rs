//! Receipts: what a view was computed from and what came out; computing it again and comparing.

pub(crate) mod make;
pub(crate) mod means;
pub(crate) mod prove;
