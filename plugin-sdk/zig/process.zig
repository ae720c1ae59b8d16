//! A process: a state for each key over the rows of several inputs, timers in event time, rows out.

const std = @import("std");
const About = @import("about.zig").About;
const memory = @import("memory.zig");
const rows = @import("rows.zig");
const states = @import("states.zig");
const Timestamp = @import("values.zig").Timestamp;
const wire = @import("wire.zig");
const Column = wire.Column;
const List = wire.List;

/// When a row or timer comes. Without times both are the least timestamp.
pub const Moment = struct {
    /// Event time of the row; the time that the timer was set for.
    time: Timestamp,
    /// The node's, rounded down to a step: no row that is older is expected.
    watermark: Timestamp,
};

/// What a process gives for a row or timer of one key.
pub fn Context(comptime Plugin: type) type {
    return struct {
        now: Moment,
        slot: u32 = 0,
        origin: u32 = 0,
        writer: rows.Writer(Plugin.Output) = .{},
        origins: std.ArrayList(u32) = .empty,
        deleted: std.ArrayList(u8) = .empty,
        slots: std.ArrayList(u32) = .empty,
        times: std.ArrayList(i64) = .empty,
        cleared: std.ArrayList(u8) = .empty,

        const Self = @This();

        /// Gives a row: the next one of a topic, or the view's row of its key.
        pub fn emit(self: *Self, row: Plugin.Output) void {
            self.give(row, false);
        }

        /// Takes the view's row of this key away; only the fields of `view_key` matter. Not for a node that writes a topic.
        pub fn delete(self: *Self, row: Plugin.Output) void {
            self.give(row, true);
        }

        /// Asks for `fire` when the watermark reaches this time; a key has one timer for each time.
        pub fn setTimer(self: *Self, at: Timestamp) void {
            self.timer(at, false);
        }

        /// Forgets the timer of this time. Nothing changes when there is none.
        pub fn clearTimer(self: *Self, at: Timestamp) void {
            self.timer(at, true);
        }

        fn give(self: *Self, row: Plugin.Output, deleted: bool) void {
            self.writer.push(row);
            memory.push(&self.origins, self.origin);
            memory.push(&self.deleted, @intFromBool(deleted));
        }

        fn timer(self: *Self, at: Timestamp, cleared: bool) void {
            if (!comptime timed(Plugin)) @compileError("a process that is not timed has no timers");
            memory.push(&self.slots, self.slot);
            memory.push(&self.times, at.us);
            memory.push(&self.cleared, @intFromBool(cleared));
        }

        fn done(self: *Self, rejects: []const wire.RejectRow) Done {
            return .{
                .rows = self.writer.finish(),
                .origins = .of(self.origins.items),
                .deleted = rows.marks(self.deleted.items),
                .rejects = .of(rejects),
                .slots = .of(self.slots.items),
                .times = .of(self.times.items),
                .cleared = rows.marks(self.cleared.items),
            };
        }
    };
}

const Done = extern struct {
    rows: wire.Rows,
    origins: List(u32),
    deleted: List(u8),
    rejects: List(wire.RejectRow),
    slots: List(u32),
    times: List(i64),
    cleared: List(u8),
};
const Part = extern struct { count: u32, columns: List(Column), slots: List(u32), times: List(i64) };
const Declared = extern struct { name: wire.Text, doc: wire.Text, fields: List(wire.Field) };
const Declaration = extern struct { inputs: List(Declared), view_key: List(wire.Text), timed: bool };

fn timed(comptime Plugin: type) bool {
    return !@hasDecl(Plugin, "timed") or Plugin.timed;
}

/// Exports a process: types Input (a tagged union, a case for each input), State (a struct of plain values with defaults,
/// no pointers) and Output, functions `process(*State, Input, *Context) void`, `fire(*State, *Context) void` where there
/// are timers and, if it refuses rows, `check(*const State, Input, Moment) ?[]const u8`, which says why not.
///
/// `pub const view_key = .{"rank"};` names the fields of Output that make, behind the node's key, the key of a view's row.
/// `pub const timed = false;` does without times and timers, for larger calls. A state that is the initial one is
/// forgotten, unless its key has timers.
pub fn exportProcess(comptime Plugin: type) void {
    const prefix = "refrain:plugin/process@0.1.0#";
    const process = Process(Plugin);
    About(Plugin, &.{}, states.version(Plugin)).exportAll();
    process.States.exportAll(prefix);
    @export(&process.declare, .{ .name = prefix ++ "declare" });
    @export(&process.process, .{ .name = prefix ++ "process" });
    @export(&process.fire, .{ .name = prefix ++ "fire" });
    for (.{ "declare", "process", "fire" }) |name| @export(&memory.after, .{ .name = "cabi_post_" ++ prefix ++ name });
}

fn Process(comptime Plugin: type) type {
    const inputs = @typeInfo(Plugin.Input).@"union";
    return struct {
        const States = states.States(Plugin.State, true);
        var said: Declaration = undefined;
        var processed: wire.Answer(Done) = undefined;

        fn declare() callconv(.c) *const Declaration {
            const declared = memory.take(Declared, inputs.field_names.len);
            inline for (inputs.field_names, inputs.field_types, 0..) |name, Row, i| {
                declared[i] = .{ .name = .of(name), .doc = .{}, .fields = .of(comptime rows.fieldsOf(Row)) };
            }
            const names: []const []const u8 = if (@hasDecl(Plugin, "view_key")) &Plugin.view_key else &.{};
            const view_key = memory.take(wire.Text, names.len);
            for (view_key, names) |*to, name| to.* = .of(name);
            said = .{ .inputs = .of(declared), .view_key = .of(view_key), .timed = timed(Plugin) };
            return &said;
        }

        fn process(parts_at: ?[*]const Part, parts_len: usize, order_at: ?[*]const u32, order_len: usize, watermark: i64) callconv(.c) *const anyopaque {
            const parts = wire.slice(Part, parts_at, parts_len);
            if (!fit(parts)) return processed.fatal("the host sent other columns than declared");
            const order = wire.slice(u32, order_at, order_len);
            var context: Context(Plugin) = .{ .now = .{ .time = .{ .us = std.math.minInt(i64) }, .watermark = .{ .us = watermark } } };
            var rejects: std.ArrayList(wire.RejectRow) = .empty;
            var next: [inputs.field_names.len]u32 = @splat(0);
            const count = if (order.len == 0 and parts.len == 1) parts[0].count else order.len;
            for (0..count) |place| {
                const input = if (order.len == 0) 0 else order[place];
                const part = &parts[input];
                const at = next[input];
                next[input] += 1;
                context.origin = @intCast(place);
                context.slot = part.slots.ptr.?[at];
                if (comptime timed(Plugin)) context.now.time.us = part.times.ptr.?[at];
                const state = States.of(context.slot);
                const row = read(input, part, at);
                if (refused(state, row, context.now)) |reason| {
                    wire.refuse(&rejects, context.origin, reason);
                } else Plugin.process(state, row, &context);
            }
            processed = .{ .is = .{ .done = context.done(rejects.items) } };
            return &processed;
        }

        inline fn refused(state: *const Plugin.State, row: Plugin.Input, now: Moment) ?[]const u8 {
            return if (@hasDecl(Plugin, "check")) Plugin.check(state, row, now) else null;
        }

        fn fit(parts: []const Part) bool {
            if (parts.len != inputs.field_names.len) return false;
            inline for (inputs.field_types, 0..) |Row, i| {
                if (!rows.fit(Row, parts[i].columns.slice())) return false;
            }
            return true;
        }

        inline fn read(input: u32, part: *const Part, at: u32) Plugin.Input {
            inline for (inputs.field_names, inputs.field_types, 0..) |name, Row, i| {
                if (input == i) {
                    const columns = part.columns.slice();
                    return @unionInit(Plugin.Input, name, rows.readRow(Row, columns[0..comptime rows.width(Row)], at));
                }
            }
            unreachable;
        }

        fn fire(slots: ?[*]const u32, len: usize, times: ?[*]const i64, times_len: usize, watermark: i64) callconv(.c) *const anyopaque {
            _ = times_len;
            var context: Context(Plugin) = .{ .now = .{ .time = .{ .us = std.math.minInt(i64) }, .watermark = .{ .us = watermark } } };
            if (@hasDecl(Plugin, "fire")) for (0..len) |place| {
                context.origin = @intCast(place);
                context.slot = slots.?[place];
                context.now.time.us = times.?[place];
                Plugin.fire(States.of(context.slot), &context);
            };
            processed = .{ .is = .{ .done = context.done(&.{}) } };
            return &processed;
        }
    };
}
