//! Refrain plugins in Zig: rows and states are structs, columns, spans and bitmaps stay in here.
//!
//! A field is bool, i64, f64, []const u8 (text), Bytes or Timestamp, or an optional of one of them. A plugin is a
//! struct of types and functions that `exportFold`, `exportTransform` or `exportProcess` makes the exports of, at
//! compile time. `std.log` says lines, and a panic its message, where the plugin is built with a voice.

const values = @import("values.zig");

pub const Bytes = values.Bytes;
pub const Span = values.Span;
pub const Timestamp = values.Timestamp;
pub const take = @import("memory.zig").take;

pub const exportFold = @import("fold.zig").exportFold;
pub const exportTransform = @import("transform.zig").exportTransform;
pub const Out = @import("transform.zig").Out;
pub const exportProcess = @import("process.zig").exportProcess;
pub const Context = @import("process.zig").Context;
pub const Moment = @import("process.zig").Moment;

/// For main.zig, the root of every plugin.
pub const talk = @import("talk.zig");
