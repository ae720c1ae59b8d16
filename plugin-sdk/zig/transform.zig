//! A transform: each row gives no, one or several rows, or is refused.

const std = @import("std");
const About = @import("about.zig").About;
const memory = @import("memory.zig");
const rows = @import("rows.zig");
const wire = @import("wire.zig");
const Column = wire.Column;

/// Takes the rows that a transform gives.
pub fn Out(comptime Plugin: type) type {
    return struct {
        writer: rows.Writer(Plugin.Output) = .{},
        origins: std.ArrayList(u32) = .empty,
        row: u32 = 0,

        pub fn emit(self: *@This(), row: Plugin.Output) void {
            self.writer.push(row);
            memory.push(&self.origins, self.row);
        }
    };
}

/// Exports a transform: types Input and Output and a function `process(Input, *Out) ?[]const u8`, which says why a row
/// is refused.
pub fn exportTransform(comptime Plugin: type) void {
    const name = "refrain:plugin/transform@0.1.0#process";
    About(Plugin, rows.fieldsOf(Plugin.Input), 0).exportAll();
    @export(&Transform(Plugin).process, .{ .name = name });
    @export(&memory.after, .{ .name = "cabi_post_" ++ name });
}

fn Transform(comptime Plugin: type) type {
    return struct {
        const Done = extern struct { rows: wire.Rows, origins: wire.List(u32), rejects: wire.List(wire.RejectRow) };
        var transformed: wire.Answer(Done) = undefined;

        fn process(count: u32, columns: ?[*]const Column, columns_len: usize) callconv(.c) *const anyopaque {
            const given = wire.slice(Column, columns, columns_len);
            if (!rows.fit(Plugin.Input, given)) return transformed.fatal("the host sent other columns than declared");
            var own: [rows.width(Plugin.Input)]Column = undefined;
            @memcpy(&own, given);
            var out: Out(Plugin) = .{};
            var rejects: std.ArrayList(wire.RejectRow) = .empty;
            for (0..count) |row| {
                out.row = @intCast(row);
                const before = out.writer.len;
                if (Plugin.process(rows.readRow(Plugin.Input, &own, row), &out)) |reason| {
                    out.writer.truncate(before);
                    out.origins.shrinkRetainingCapacity(before);
                    wire.refuse(&rejects, out.row, reason);
                }
            }
            transformed = .{ .is = .{ .done = .{ .rows = out.writer.finish(), .origins = .of(out.origins.items), .rejects = .of(rejects.items) } } };
            return &transformed;
        }
    };
}
