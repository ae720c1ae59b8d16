//! Refrain plugins in Zig: rows and states are structs, columns, spans and bitmaps stay in here.
//!
//! A field is bool, i64, f64, []const u8 (text), Bytes or Timestamp, or an optional of one of them. A plugin is a
//! struct of types and functions that `exportFold` or `exportTransform` makes the exports of, at compile time. The
//! layout of the boundary is drawn in docs/raw-contract.md.

const std = @import("std");

/// Microseconds since 1970, UTC.
pub const Timestamp = struct { us: i64 };
/// Opaque bytes, where []const u8 is text.
pub const Bytes = struct { value: []const u8 };

// ---- the memory of one call ----------------------------------------------------------------------

const heap = std.heap.wasm_allocator;
var arena: std.heap.ArenaAllocator = .init(heap);

/// Memory until the end of the call, for texts that are made.
pub fn take(comptime T: type, len: usize) []T {
    return arena.allocator().alloc(T, len) catch @trap();
}

fn forget() void {
    _ = arena.reset(.retain_capacity);
}

fn realloc(old: ?[*]u8, old_len: usize, alignment: usize, len: usize) callconv(.c) ?[*]u8 {
    const new = arena.allocator().rawAlloc(len, .fromByteUnits(alignment), 0) orelse @trap();
    if (old) |from| @memcpy(new[0..@min(old_len, len)], from[0..@min(old_len, len)]);
    return new;
}

fn after(_: *anyopaque) callconv(.c) void {
    forget();
}

// ---- as it lies in memory on the boundary --------------------------------------------------------

fn List(comptime T: type) type {
    return extern struct {
        ptr: ?[*]const T = null,
        len: u32 = 0,

        fn of(all: []const T) @This() {
            // What an empty slice points to is anywhere, and the host wants it in memory.
            return .{ .ptr = if (all.len == 0) null else all.ptr, .len = @intCast(all.len) };
        }

        fn slice(self: @This()) []const T {
            return if (self.len == 0) &.{} else self.ptr.?[0..self.len];
        }
    };
}

const Text = List(u8);
const Spans = extern struct { ends: List(u32) = .{}, bytes: List(u8) = .{} };
const Tag = enum(u8) { bools, ints, floats, spans };
const Column = extern struct {
    tag: Tag,
    values: extern union { any: List(u8), bools: List(bool), ints: List(i64), floats: List(f64), spans: Spans },
    valid: List(u8) = .{},
};
const Rows = extern struct { count: u32 = 0, columns: List(Column) = .{} };
const RejectRow = extern struct { row: u32, reason: Text };
const Field = extern struct { name: Text, kind: Text, nullable: bool };
const Setting = extern struct { name: Text, kind: Text, has_default: bool, default: Text, doc: Text };
const Description = extern struct {
    name: Text,
    version: Text,
    doc: Text,
    inputs: List(Field),
    outputs: List(Field),
    wants_keys: bool,
    state_version: u32,
    settings: List(Setting),
};
fn Answer(comptime T: type) type {
    return extern struct {
        failed: bool = false,
        is: extern union { done: T, failure: extern struct { tag: u8, text: Text } },

        fn fatal(self: *@This(), text: []const u8) *@This() {
            self.* = .{ .failed = true, .is = .{ .failure = .{ .tag = 0, .text = .of(text) } } };
            return self;
        }
    };
}

// ---- fields --------------------------------------------------------------------------------------

fn Inner(comptime T: type) type {
    return switch (@typeInfo(T)) {
        .optional => |optional| optional.child,
        else => T,
    };
}

fn tagOf(comptime T: type) Tag {
    return switch (Inner(T)) {
        bool => .bools,
        i64, Timestamp => .ints,
        f64 => .floats,
        []const u8, Bytes => .spans,
        else => @compileError("a field is bool, i64, f64, []const u8, Bytes or Timestamp, not " ++ @typeName(T)),
    };
}

fn kindOf(comptime T: type) []const u8 {
    return switch (Inner(T)) {
        bool => "bool",
        i64 => "i64",
        f64 => "f64",
        []const u8 => "text",
        Bytes => "bytes",
        Timestamp => "timestamp",
        else => @compileError("a field is bool, i64, f64, []const u8, Bytes or Timestamp, not " ++ @typeName(T)),
    };
}

fn fieldsOf(comptime Row: type) []const Field {
    const row = @typeInfo(Row).@"struct";
    comptime var fields: [row.field_names.len]Field = undefined;
    inline for (row.field_names, row.field_types, 0..) |name, T, i| {
        fields[i] = .{ .name = .of(name), .kind = .of(kindOf(T)), .nullable = @typeInfo(T) == .optional };
    }
    const done = fields;
    return &done;
}

fn fit(comptime Row: type, columns: []const Column) bool {
    const row = @typeInfo(Row).@"struct";
    if (columns.len != row.field_names.len) return false;
    inline for (row.field_types, 0..) |T, i| {
        if (columns[i].tag != tagOf(T)) return false;
    }
    return true;
}

inline fn span(spans: Spans, row: usize) []const u8 {
    const ends = spans.ends.ptr.?;
    const start = if (row == 0) 0 else ends[row - 1];
    return if (spans.bytes.ptr) |bytes| bytes[start..ends[row]] else &.{};
}

inline fn read(comptime T: type, column: *const Column, row: usize) T {
    if (@typeInfo(T) == .optional) {
        if (column.valid.len != 0 and column.valid.ptr.?[row / 8] >> @intCast(row % 8) & 1 == 0) return null;
    }
    return switch (Inner(T)) {
        bool => column.values.bools.ptr.?[row],
        i64 => column.values.ints.ptr.?[row],
        Timestamp => .{ .us = column.values.ints.ptr.?[row] },
        f64 => column.values.floats.ptr.?[row],
        []const u8 => span(column.values.spans, row),
        else => .{ .value = span(column.values.spans, row) },
    };
}

inline fn readRow(comptime Row: type, columns: *const [width(Row)]Column, row: usize) Row {
    const info = @typeInfo(Row).@"struct";
    var made: Row = undefined;
    inline for (info.field_names, info.field_types, 0..) |name, T, i| {
        @field(made, name) = read(T, &columns[i], row);
    }
    return made;
}

fn width(comptime Row: type) usize {
    return @typeInfo(Row).@"struct".field_names.len;
}

// ---- rows being written --------------------------------------------------------------------------

const Builder = struct {
    numbers: std.ArrayList(u64) = .empty,
    flags: std.ArrayList(u8) = .empty,
    ends: std.ArrayList(u32) = .empty,
    bytes: std.ArrayList(u8) = .empty,
    there: std.ArrayList(u8) = .empty,

    fn put(self: *Builder, comptime T: type, value: T) void {
        const all = arena.allocator();
        if (@typeInfo(T) == .optional) {
            self.there.append(all, @intFromBool(value != null)) catch @trap();
            return self.putInner(Inner(T), value orelse nothing(Inner(T)));
        }
        self.putInner(T, value);
    }

    fn putInner(self: *Builder, comptime T: type, value: T) void {
        const all = arena.allocator();
        switch (T) {
            bool => self.flags.append(all, @intFromBool(value)) catch @trap(),
            i64 => self.numbers.append(all, @bitCast(value)) catch @trap(),
            Timestamp => self.numbers.append(all, @bitCast(value.us)) catch @trap(),
            f64 => self.numbers.append(all, @bitCast(value)) catch @trap(),
            else => {
                self.bytes.appendSlice(all, if (T == Bytes) value.value else value) catch @trap();
                self.ends.append(all, @intCast(self.bytes.items.len)) catch @trap();
            },
        }
    }

    fn truncate(self: *Builder, len: usize) void {
        if (self.numbers.items.len > len) self.numbers.shrinkRetainingCapacity(len);
        if (self.flags.items.len > len) self.flags.shrinkRetainingCapacity(len);
        if (self.there.items.len > len) self.there.shrinkRetainingCapacity(len);
        if (self.ends.items.len > len) {
            self.ends.shrinkRetainingCapacity(len);
            self.bytes.shrinkRetainingCapacity(if (len == 0) 0 else self.ends.items[len - 1]);
        }
    }

    fn finish(self: *Builder, tag: Tag) Column {
        const numbers = self.numbers.items;
        return .{
            .tag = tag,
            .values = switch (tag) {
                .bools => .{ .any = .of(self.flags.items) },
                .ints, .floats => .{ .ints = .of(@ptrCast(numbers)) },
                .spans => .{ .spans = .{ .ends = .of(self.ends.items), .bytes = .of(self.bytes.items) } },
            },
            .valid = bitmap(self.there.items),
        };
    }
};

fn nothing(comptime T: type) T {
    return switch (T) {
        bool => false,
        i64 => 0,
        f64 => 0,
        Timestamp => .{ .us = 0 },
        Bytes => .{ .value = "" },
        else => "",
    };
}

/// A bitmap; empty when every flag is set.
fn bitmap(flags: []const u8) List(u8) {
    if (std.mem.indexOfScalar(u8, flags, 0) == null) return .{};
    const bits = take(u8, (flags.len + 7) / 8);
    @memset(bits, 0);
    for (flags, 0..) |flag, i| bits[i / 8] |= flag << @intCast(i % 8);
    return .of(bits);
}

fn Writer(comptime Row: type) type {
    const info = @typeInfo(Row).@"struct";
    return struct {
        columns: [info.field_names.len]Builder = @splat(.{}),
        len: u32 = 0,

        fn push(self: *@This(), row: Row) void {
            inline for (info.field_names, info.field_types, 0..) |name, T, i| self.columns[i].put(T, @field(row, name));
            self.len += 1;
        }

        fn pushNothing(self: *@This()) void {
            inline for (info.field_types, 0..) |T, i| {
                if (@typeInfo(T) == .optional) self.columns[i].put(T, null) else self.columns[i].put(T, nothing(T));
            }
            self.len += 1;
        }

        fn truncate(self: *@This(), len: u32) void {
            for (&self.columns) |*column| column.truncate(len);
            self.len = len;
        }

        fn finish(self: *@This()) Rows {
            const columns = take(Column, info.field_names.len);
            inline for (info.field_types, 0..) |T, i| columns[i] = self.columns[i].finish(tagOf(T));
            return .{ .count = self.len, .columns = .of(columns) };
        }
    };
}

// ---- the description and the options -------------------------------------------------------------

/// `pub const Options = struct { least: i64 = 0 };` and `pub var options: Options = .{};` in the plugin: bool, i64,
/// f64 and text, each with a default.
fn About(comptime Plugin: type, comptime fold: bool) type {
    return struct {
        var said: Description = undefined;
        var configured: extern struct { failed: bool, text: Text } = .{ .failed = false, .text = .{} };

        fn describe() callconv(.c) *const Description {
            said = .{
                .name = .of(Plugin.name),
                .version = .of(if (@hasDecl(Plugin, "version")) Plugin.version else "0.1.0"),
                .doc = .of(if (@hasDecl(Plugin, "doc")) Plugin.doc else ""),
                .inputs = .of(comptime fieldsOf(Plugin.Input)),
                .outputs = .of(comptime fieldsOf(Plugin.Output)),
                .wants_keys = false,
                .state_version = if (!fold) 0 else if (@hasDecl(Plugin, "state_version")) Plugin.state_version else 1,
                .settings = settings(),
            };
            return &said;
        }

        fn settings() List(Setting) {
            if (!@hasDecl(Plugin, "Options")) return .{};
            const info = @typeInfo(Plugin.Options).@"struct";
            const all = take(Setting, info.field_names.len);
            const initial: Plugin.Options = .{};
            inline for (info.field_names, info.field_types, 0..) |name, T, i| {
                const value = @field(initial, name);
                const text = if (T == []const u8) value else std.fmt.allocPrint(arena.allocator(), "{}", .{value}) catch @trap();
                all[i] = .{ .name = .of(name), .kind = .of(kindOf(T)), .has_default = true, .default = .of(text), .doc = .{} };
            }
            return .of(all);
        }

        fn configure(given: ?[*]const [2]Text, len: usize) callconv(.c) *const anyopaque {
            if (@hasDecl(Plugin, "Options") and len > 0) {
                const info = @typeInfo(Plugin.Options).@"struct";
                for (given.?[0..len]) |option| {
                    inline for (info.field_names, info.field_types) |name, T| {
                        if (std.mem.eql(u8, name, option[0].slice())) @field(Plugin.options, name) = parse(T, option[1].slice());
                    }
                }
            }
            forget();
            return &configured;
        }

        /// The host has checked that the text is a value of the type.
        fn parse(comptime T: type, text: []const u8) T {
            return switch (T) {
                bool => text.len == 4,
                i64 => std.fmt.parseInt(i64, text, 10) catch @trap(),
                f64 => std.fmt.parseFloat(f64, text) catch @trap(),
                else => heap.dupe(u8, text) catch @trap(),
            };
        }

        fn exportAll() void {
            @export(&realloc, .{ .name = "cabi_realloc" });
            @export(&describe, .{ .name = "refrain:plugin/about@0.1.0#describe" });
            @export(&after, .{ .name = "cabi_post_refrain:plugin/about@0.1.0#describe" });
            @export(&configure, .{ .name = "refrain:plugin/about@0.1.0#configure" });
        }
    };
}

// ---- fold ----------------------------------------------------------------------------------------

/// Exports a fold: types Input, State (an extern struct with defaults, no pointers) and Output, functions
/// `update(*State, Input) void`, `evaluate(*const State) ?Output` and, if it refuses rows,
/// `check(*const State, Input) ?[]const u8`, which says why not.
pub fn exportFold(comptime Plugin: type) void {
    About(Plugin, true).exportAll();
    const fold = Fold(Plugin);
    const prefix = "refrain:plugin/fold@0.1.0#";
    @export(&fold.update, .{ .name = prefix ++ "update" });
    @export(&fold.evaluate, .{ .name = prefix ++ "evaluate" });
    @export(&fold.save, .{ .name = prefix ++ "save" });
    @export(&fold.restore, .{ .name = prefix ++ "restore" });
    @export(&fold.release, .{ .name = prefix ++ "release" });
    for (.{ "update", "evaluate", "save", "restore" }) |name| @export(&after, .{ .name = "cabi_post_" ++ prefix ++ name });
}

fn Fold(comptime Plugin: type) type {
    const State = Plugin.State;
    const Input = Plugin.Input;
    return struct {
        var states: []State = &.{};
        var updated: Answer(List(RejectRow)) = undefined;
        var evaluated: Answer(extern struct { rows: Rows, present: List(u8) }) = undefined;
        var saved: Answer(Spans) = undefined;
        var restored: Answer(extern struct { nothing: u32 = 0 }) = undefined;

        fn widen(slot: usize) void {
            @branchHint(.cold);
            const before = states.len;
            states = heap.realloc(states, @max(64, std.math.ceilPowerOfTwoAssert(usize, slot + 1))) catch @trap();
            for (states[before..]) |*state| state.* = .{};
        }

        inline fn stateOf(slot: u32) *State {
            if (slot >= states.len) widen(slot);
            return &states[slot];
        }

        fn update(count: u32, columns: ?[*]const Column, columns_len: usize, rows: ?[*]const u32, rows_len: usize, slots: ?[*]const u32, slots_len: usize) callconv(.c) *const anyopaque {
            _ = count;
            const given: []const Column = if (columns_len == 0) &.{} else columns.?[0..columns_len];
            if (!fit(Input, given)) return updated.fatal("the host sent other columns than declared");
            var own: [width(Input)]Column = undefined;
            @memcpy(&own, given);
            var rejects: std.ArrayList(RejectRow) = .empty;
            var i: usize = 0;
            while (i < slots_len) {
                const row: u32 = if (rows_len == 0) @intCast(i) else rows.?[i];
                const event = readRow(Input, &own, row);
                // The entries of a row stand together: all of its states are asked before any is touched.
                var end = i + 1;
                if (rows_len != 0) while (end < rows_len and rows.?[end] == row) : (end += 1) {};
                if (refused(event, slots.?[i..end])) |reason| {
                    const copy = arena.allocator().dupe(u8, reason) catch @trap();
                    rejects.append(arena.allocator(), .{ .row = row, .reason = .of(copy) }) catch @trap();
                } else for (slots.?[i..end]) |slot| Plugin.update(stateOf(slot), event);
                i = end;
            }
            updated = .{ .is = .{ .done = .of(rejects.items) } };
            return &updated;
        }

        inline fn refused(event: Input, slots: []const u32) ?[]const u8 {
            if (!@hasDecl(Plugin, "check")) return null;
            for (slots) |slot| {
                if (Plugin.check(stateOf(slot), event)) |reason| return reason;
            }
            return null;
        }

        fn evaluate(slots: ?[*]const u32, len: usize, keys_count: u32, keys: ?*const anyopaque, keys_len: usize) callconv(.c) *const anyopaque {
            _ = .{ keys_count, keys, keys_len };
            var writer: Writer(Plugin.Output) = .{};
            const present = take(u8, len);
            for (present, 0..) |*flag, i| {
                const shown = Plugin.evaluate(stateOf(slots.?[i]));
                flag.* = @intFromBool(shown != null);
                if (shown) |row| writer.push(row) else writer.pushNothing();
            }
            evaluated = .{ .is = .{ .done = .{ .rows = writer.finish(), .present = bitmap(present) } } };
            return &evaluated;
        }

        fn save(slots: ?[*]const u32, len: usize) callconv(.c) *const anyopaque {
            const ends = take(u32, len);
            const bytes = take(State, len);
            for (ends, bytes, 0..) |*end, *state, i| {
                state.* = stateOf(slots.?[i]).*;
                end.* = @intCast((i + 1) * @sizeOf(State));
            }
            saved = .{ .is = .{ .done = .{ .ends = .of(ends), .bytes = .of(std.mem.sliceAsBytes(bytes)) } } };
            return &saved;
        }

        fn restore(slots: ?[*]const u32, len: usize, ends: ?[*]const u32, ends_len: usize, bytes: ?[*]const u8, bytes_len: usize) callconv(.c) *const anyopaque {
            if (ends_len != len or bytes_len != len * @sizeOf(State)) return restored.fatal("a saved state is of another size: raise state_version");
            for (0..len) |i| {
                if (ends.?[i] != (i + 1) * @sizeOf(State)) return restored.fatal("a saved state is of another size: raise state_version");
                @memcpy(std.mem.asBytes(stateOf(slots.?[i])), bytes.?[i * @sizeOf(State) ..][0..@sizeOf(State)]);
            }
            restored = .{ .is = .{ .done = .{} } };
            return &restored;
        }

        fn release(slots: ?[*]const u32, len: usize) callconv(.c) void {
            for (0..len) |i| stateOf(slots.?[i]).* = .{};
            forget();
        }
    };
}

// ---- transform -----------------------------------------------------------------------------------

/// Takes the rows that a transform gives.
pub fn Out(comptime Plugin: type) type {
    return struct {
        writer: Writer(Plugin.Output) = .{},
        origins: std.ArrayList(u32) = .empty,
        row: u32 = 0,

        pub fn emit(self: *@This(), row: Plugin.Output) void {
            self.writer.push(row);
            self.origins.append(arena.allocator(), self.row) catch @trap();
        }
    };
}

/// Exports a transform: types Input and Output and a function `process(Input, *Out) ?[]const u8`, which says why a row
/// is refused.
pub fn exportTransform(comptime Plugin: type) void {
    About(Plugin, false).exportAll();
    @export(&Transform(Plugin).process, .{ .name = "refrain:plugin/transform@0.1.0#process" });
    @export(&after, .{ .name = "cabi_post_refrain:plugin/transform@0.1.0#process" });
}

fn Transform(comptime Plugin: type) type {
    return struct {
        const Done = extern struct { rows: Rows, origins: List(u32), rejects: List(RejectRow) };
        var transformed: Answer(Done) = undefined;

        fn process(count: u32, columns: ?[*]const Column, columns_len: usize) callconv(.c) *const anyopaque {
            const given: []const Column = if (columns_len == 0) &.{} else columns.?[0..columns_len];
            if (!fit(Plugin.Input, given)) return transformed.fatal("the host sent other columns than declared");
            var own: [width(Plugin.Input)]Column = undefined;
            @memcpy(&own, given);
            var out: Out(Plugin) = .{};
            var rejects: std.ArrayList(RejectRow) = .empty;
            for (0..count) |row| {
                out.row = @intCast(row);
                const before = out.writer.len;
                if (Plugin.process(readRow(Plugin.Input, &own, row), &out)) |reason| {
                    out.writer.truncate(before);
                    out.origins.shrinkRetainingCapacity(before);
                    const copy = arena.allocator().dupe(u8, reason) catch @trap();
                    rejects.append(arena.allocator(), .{ .row = out.row, .reason = .of(copy) }) catch @trap();
                }
            }
            transformed = .{ .is = .{ .done = .{ .rows = out.writer.finish(), .origins = .of(out.origins.items), .rejects = .of(rejects.items) } } };
            return &transformed;
        }
    };
}
