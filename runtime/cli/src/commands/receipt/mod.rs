//! Receipts: what a view was computed from and what came out; computing it again, once or on and
//! on, and comparing.

pub(crate) mod audit;
pub(crate) mod make;
pub(crate) mod means;
pub(crate) mod prove;
