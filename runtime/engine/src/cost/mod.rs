//! What work costs: a price sheet turns what was metered into money.

pub mod money;

pub use money::Money;
