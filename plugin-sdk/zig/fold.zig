//! A fold: a state for each key and window.

const std = @import("std");
const About = @import("about.zig").About;
const memory = @import("memory.zig");
const rows = @import("rows.zig");
const states = @import("states.zig");
const wire = @import("wire.zig");
const Column = wire.Column;

/// Exports a fold: types Input, State (a struct of plain values with defaults, no pointers) and Output, functions
/// `update(*State, Input) void`, `evaluate(*const State) ?Output` and, if it refuses rows,
/// `check(*const State, Input) ?[]const u8`, which says why not.
pub fn exportFold(comptime Plugin: type) void {
    const prefix = "refrain:plugin/fold@0.1.0#";
    const fold = Fold(Plugin);
    About(Plugin, rows.fieldsOf(Plugin.Input), states.version(Plugin)).exportAll();
    fold.States.exportAll(prefix);
    @export(&fold.update, .{ .name = prefix ++ "update" });
    @export(&fold.evaluate, .{ .name = prefix ++ "evaluate" });
    for (.{ "update", "evaluate" }) |name| @export(&memory.after, .{ .name = "cabi_post_" ++ prefix ++ name });
}

fn Fold(comptime Plugin: type) type {
    const Input = Plugin.Input;
    return struct {
        const States = states.States(Plugin.State, false);
        var updated: wire.Answer(wire.List(wire.RejectRow)) = undefined;
        var evaluated: wire.Answer(extern struct { rows: wire.Rows, present: wire.List(u8) }) = undefined;

        fn update(count: u32, columns: ?[*]const Column, columns_len: usize, rows_of: ?[*]const u32, rows_len: usize, slots: ?[*]const u32, slots_len: usize) callconv(.c) *const anyopaque {
            _ = count;
            const given = wire.slice(Column, columns, columns_len);
            if (!rows.fit(Input, given)) return updated.fatal("the host sent other columns than declared");
            var own: [rows.width(Input)]Column = undefined;
            @memcpy(&own, given);
            var rejects: std.ArrayList(wire.RejectRow) = .empty;
            var i: usize = 0;
            while (i < slots_len) {
                const row: u32 = if (rows_len == 0) @intCast(i) else rows_of.?[i];
                const event = rows.readRow(Input, &own, row);
                // The entries of a row stand together: all of its states are asked before any is touched.
                var end = i + 1;
                if (rows_len != 0) while (end < rows_len and rows_of.?[end] == row) : (end += 1) {};
                if (refused(event, slots.?[i..end])) |reason| {
                    wire.refuse(&rejects, row, reason);
                } else for (slots.?[i..end]) |slot| Plugin.update(States.of(slot), event);
                i = end;
            }
            updated = .{ .is = .{ .done = .of(rejects.items) } };
            return &updated;
        }

        inline fn refused(event: Input, slots: []const u32) ?[]const u8 {
            if (!@hasDecl(Plugin, "check")) return null;
            for (slots) |slot| {
                if (Plugin.check(States.of(slot), event)) |reason| return reason;
            }
            return null;
        }

        fn evaluate(slots: ?[*]const u32, len: usize, keys_count: u32, keys: ?*const anyopaque, keys_len: usize) callconv(.c) *const anyopaque {
            _ = .{ keys_count, keys, keys_len };
            var writer: rows.Writer(Plugin.Output) = .{};
            const present = memory.take(u8, len);
            for (present, 0..) |*flag, i| {
                const shown = Plugin.evaluate(States.of(slots.?[i]));
                flag.* = @intFromBool(shown != null);
                if (shown) |row| writer.push(row) else writer.pushNothing();
            }
            evaluated = .{ .is = .{ .done = .{ .rows = writer.finish(), .present = rows.bitmap(present) } } };
            return &evaluated;
        }
    };
}
