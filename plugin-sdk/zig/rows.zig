//! Rows as structs: columns are read into them and written from them, by their fields, at compile time.

const std = @import("std");
const memory = @import("memory.zig");
const values = @import("values.zig");
const wire = @import("wire.zig");

const Bytes = values.Bytes;
const Column = wire.Column;
const Field = wire.Field;
const List = wire.List;
const Rows = wire.Rows;
const Spans = wire.Spans;
const Tag = wire.Tag;
const Timestamp = values.Timestamp;
const take = memory.take;

pub fn Inner(comptime T: type) type {
    return switch (@typeInfo(T)) {
        .optional => |optional| optional.child,
        else => T,
    };
}

pub fn tagOf(comptime T: type) Tag {
    return switch (Inner(T)) {
        bool => .bools,
        i64, Timestamp => .ints,
        f64 => .floats,
        []const u8, Bytes => .spans,
        else => @compileError("a field is bool, i64, f64, []const u8, Bytes or Timestamp, not " ++ @typeName(T)),
    };
}

pub fn kindOf(comptime T: type) []const u8 {
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

pub fn fieldsOf(comptime Row: type) []const Field {
    const row = @typeInfo(Row).@"struct";
    comptime var fields: [row.field_names.len]Field = undefined;
    inline for (row.field_names, row.field_types, 0..) |name, T, i| {
        fields[i] = .{ .name = .of(name), .kind = .of(kindOf(T)), .nullable = @typeInfo(T) == .optional };
    }
    const done = fields;
    return &done;
}

/// Whether the host sent the columns that were declared.
pub fn fit(comptime Row: type, columns: []const Column) bool {
    const row = @typeInfo(Row).@"struct";
    if (columns.len != row.field_names.len) return false;
    inline for (row.field_types, 0..) |T, i| {
        if (columns[i].tag != tagOf(T)) return false;
    }
    return true;
}

pub inline fn span(spans: Spans, row: usize) []const u8 {
    const ends = spans.ends.ptr.?;
    const start = if (row == 0) 0 else ends[row - 1];
    return if (spans.bytes.ptr) |bytes| bytes[start..ends[row]] else &.{};
}

pub inline fn read(comptime T: type, column: *const Column, row: usize) T {
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

pub inline fn readRow(comptime Row: type, columns: *const [width(Row)]Column, row: usize) Row {
    const info = @typeInfo(Row).@"struct";
    var made: Row = undefined;
    inline for (info.field_names, info.field_types, 0..) |name, T, i| {
        @field(made, name) = read(T, &columns[i], row);
    }
    return made;
}

pub fn width(comptime Row: type) usize {
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
        const all = memory.call;
        if (@typeInfo(T) == .optional) {
            self.there.append(all, @intFromBool(value != null)) catch @trap();
            return self.putInner(Inner(T), value orelse nothing(Inner(T)));
        }
        self.putInner(T, value);
    }

    fn putInner(self: *Builder, comptime T: type, value: T) void {
        const all = memory.call;
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
pub fn bitmap(flags: []const u8) List(u8) {
    return if (std.mem.indexOfScalar(u8, flags, 0) == null) .{} else bitsOf(flags);
}

/// A bitmap; empty when no flag is set.
pub fn marks(flags: []const u8) List(u8) {
    return if (std.mem.indexOfScalar(u8, flags, 1) == null) .{} else bitsOf(flags);
}

fn bitsOf(flags: []const u8) List(u8) {
    const bits = take(u8, (flags.len + 7) / 8);
    @memset(bits, 0);
    for (flags, 0..) |flag, i| bits[i / 8] |= flag << @intCast(i % 8);
    return .of(bits);
}

pub fn Writer(comptime Row: type) type {
    const info = @typeInfo(Row).@"struct";
    return struct {
        columns: [info.field_names.len]Builder = @splat(.{}),
        len: u32 = 0,

        pub fn push(self: *@This(), row: Row) void {
            inline for (info.field_names, info.field_types, 0..) |name, T, i| self.columns[i].put(T, @field(row, name));
            self.len += 1;
        }

        pub fn pushNothing(self: *@This()) void {
            inline for (info.field_types, 0..) |T, i| {
                if (@typeInfo(T) == .optional) self.columns[i].put(T, null) else self.columns[i].put(T, nothing(T));
            }
            self.len += 1;
        }

        pub fn truncate(self: *@This(), len: u32) void {
            for (&self.columns) |*column| column.truncate(len);
            self.len = len;
        }

        pub fn finish(self: *@This()) Rows {
            const columns = take(Column, info.field_names.len);
            inline for (info.field_types, 0..) |T, i| columns[i] = self.columns[i].finish(tagOf(T));
            return .{ .count = self.len, .columns = .of(columns) };
        }
    };
}
