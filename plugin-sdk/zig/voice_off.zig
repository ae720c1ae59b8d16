//! The module `voice` of a plugin that is built without one.

pub const on = false;
