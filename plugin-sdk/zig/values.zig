//! Values that are not Zig's own.

const std = @import("std");

/// Microseconds since 1970, UTC.
pub const Timestamp = struct {
    us: i64,

    /// So much later, or earlier; at the end of time, the end.
    pub fn plus(self: Timestamp, span: Span) Timestamp {
        return .{ .us = self.us +| span.us };
    }
};

/// Opaque bytes, where []const u8 is text.
pub const Bytes = struct { value: []const u8 };

/// A length of time in microseconds, may be negative. An option as text: a number and one of us, ms, s, m, h, d.
pub const Span = struct {
    us: i64,

    const Unit = struct { name: []const u8, us: i64 };
    const units = [_]Unit{
        .{ .name = "d", .us = 86_400_000_000 },
        .{ .name = "h", .us = 3_600_000_000 },
        .{ .name = "m", .us = 60_000_000 },
        .{ .name = "s", .us = 1_000_000 },
        .{ .name = "ms", .us = 1_000 },
        .{ .name = "us", .us = 1 },
    };

    /// Of a constant.
    pub fn of(comptime text: []const u8) Span {
        return comptime parse(text) orelse @compileError("a span is a number and one of us, ms, s, m, h, d, not " ++ text);
    }

    /// From text; null when it is no span.
    pub fn parse(text: []const u8) ?Span {
        const end = std.mem.indexOfAny(u8, text, "dhmsu") orelse return null;
        const count = std.fmt.parseInt(i64, std.mem.trim(u8, text[0..end], " "), 10) catch return null;
        for (units) |unit| {
            if (!std.mem.eql(u8, unit.name, text[end..])) continue;
            return .{ .us = std.math.mul(i64, count, unit.us) catch return null };
        }
        return null;
    }

    /// As text, in the largest unit that fits; of a constant.
    pub fn show(comptime self: Span) []const u8 {
        inline for (units) |unit| {
            if (self.us != 0 and @rem(self.us, unit.us) == 0) return std.fmt.comptimePrint("{d}{s}", .{ @divExact(self.us, unit.us), unit.name });
        }
        return "0s";
    }
};
