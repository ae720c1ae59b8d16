//! The oracle's guests: a fold and a transform that touch every kind of value, refuse rows, hide rows and trap, all on
//! conditions that the model in tests/oracle repeats.

#[cfg(not(feature = "transform"))]
mod fold;
#[cfg(feature = "transform")]
mod transform;

/// A row with this number traps.
pub(crate) const TRAP: i64 = 4242;
