//! The fold of `engagement`, to the line, under a name of its own: for running totals, which have no window. The name is
//! that of the package.

#[path = "../../engagement/src/lib.rs"]
mod engagement;
