//! Lines for the log of the host, and a panic's last words. A release has no voice: it imports nothing, and what is said is
//! dropped by the compiler. `refrain dev` and `refrain plugin build --talk` build it with one (the module `voice`).

const std = @import("std");
const on = @import("voice").on;

const host = struct {
    extern "refrain:plugin/logging@0.1.0" fn log(level: i32, text: [*]const u8, len: usize) void;
};

/// `std.log` of a plugin; a line has at most 1,024 bytes.
pub fn log(comptime level: std.log.Level, comptime scope: @EnumLiteral(), comptime format: []const u8, args: anytype) void {
    if (!on) return;
    const prefix = if (scope == .default) "" else "(" ++ @tagName(scope) ++ ") ";
    var buffer: [1024]u8 = undefined;
    var writer: std.Io.Writer = .fixed(&buffer);
    // What does not fit is left out.
    writer.print(prefix ++ format, args) catch {};
    const said = writer.buffered();
    host.log(switch (level) {
        .debug => 0,
        .info => 1,
        .warn => 2,
        .err => 3,
    }, said.ptr, said.len);
}

/// Says what happened, and ends the instance: the row is refused as one that traps.
fn fall(message: []const u8, _: ?usize) noreturn {
    @branchHint(.cold);
    if (on) host.log(3, message.ptr, message.len);
    @trap();
}

/// `panic` of a plugin: without a voice it has no words.
pub const panic = if (on) std.debug.FullPanic(fall) else std.debug.no_panic;
