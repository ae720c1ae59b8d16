//! The module `voice` of a plugin that is built with one.

pub const on = true;
