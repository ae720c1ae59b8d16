//! The root of every plugin: what Zig asks of a root (where panics and lines of `std.log` go), and the plugin itself.

const std = @import("std");
const talk = @import("refrain").talk;

pub const panic = talk.panic;
pub const std_options: std.Options = .{ .logFn = talk.log, .log_level = .debug };

comptime {
    _ = @import("plugin");
}
