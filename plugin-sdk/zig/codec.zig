//! States as bytes, the same for equal states: each field as it lies in memory, without what lies between them.
//!
//! An optional is a byte, 0 or 1, and room for its value; a bool is a byte, an enum its number, little-endian like all
//! numbers; floats keep their bits.

const std = @import("std");

/// How many bytes a state has.
pub fn size(comptime T: type) usize {
    return switch (@typeInfo(T)) {
        .bool => 1,
        .int, .float => @divExact(@bitSizeOf(Whole(T)), 8),
        .@"enum" => |info| size(info.tag_type),
        .optional => |info| 1 + size(info.child),
        .array => |info| info.len * size(info.child),
        .@"struct" => |info| sum: {
            comptime var all: usize = 0;
            inline for (info.field_types) |Field| all += comptime size(Field);
            break :sum all;
        },
        else => @compileError("a state holds plain values (bool, numbers, enums, optionals, arrays and structs of them), not " ++ @typeName(T)),
    };
}

/// The bytes of a state.
pub fn encoded(comptime T: type, state: *const T) [size(T)]u8 {
    var bytes: [size(T)]u8 = undefined;
    put(T, state, &bytes);
    return bytes;
}

/// A state of its bytes.
pub fn decoded(comptime T: type, bytes: *const [size(T)]u8) T {
    return get(T, bytes);
}

/// An integer of whole bytes.
fn Whole(comptime T: type) type {
    return if (@typeInfo(T) == .float) @Int(.unsigned, @bitSizeOf(T)) else std.math.ByteAlignedInt(T);
}

fn put(comptime T: type, value: *const T, to: *[size(T)]u8) void {
    switch (@typeInfo(T)) {
        .bool => to[0] = @intFromBool(value.*),
        .int => std.mem.writeInt(Whole(T), to, value.*, .little),
        .float => std.mem.writeInt(Whole(T), to, @bitCast(value.*), .little),
        .@"enum" => |info| put(info.tag_type, &@backingInt(value.*), to),
        .optional => |info| {
            @memset(to, 0);
            if (value.*) |*there| {
                to[0] = 1;
                put(info.child, there, to[1..]);
            }
        },
        .array => |info| for (value, 0..) |*each, i| put(info.child, each, to[i * size(info.child) ..][0..comptime size(info.child)]),
        .@"struct" => |info| {
            comptime var at: usize = 0;
            inline for (info.field_names, info.field_types) |name, Field| {
                put(Field, &@field(value, name), to[at..][0..comptime size(Field)]);
                at += comptime size(Field);
            }
        },
        else => comptime unreachable,
    }
}

fn get(comptime T: type, from: *const [size(T)]u8) T {
    switch (@typeInfo(T)) {
        .bool => return from[0] != 0,
        .int => return @truncate(std.mem.readInt(Whole(T), from, .little)),
        .float => return @bitCast(std.mem.readInt(Whole(T), from, .little)),
        .@"enum" => |info| return @fromBackingInt(@intCast(get(info.tag_type, from))),
        .optional => |info| return if (from[0] == 0) null else get(info.child, from[1..]),
        .array => |info| {
            var made: T = undefined;
            for (&made, 0..) |*each, i| each.* = get(info.child, from[i * size(info.child) ..][0..comptime size(info.child)]);
            return made;
        },
        .@"struct" => |info| {
            var made: T = undefined;
            comptime var at: usize = 0;
            inline for (info.field_names, info.field_types) |name, Field| {
                @field(made, name) = get(Field, from[at..][0..comptime size(Field)]);
                at += comptime size(Field);
            }
            return made;
        },
        else => comptime unreachable,
    }
}

test "a state comes back whole, and equal states have equal bytes" {
    const State = struct {
        flag: bool = false,
        small: u7 = 0,
        count: i64 = 0,
        real: f64 = 0,
        kind: enum(u16) { none, one } = .none,
        maybe: ?i32 = null,
        pairs: [2]struct { a: i16 = 0, b: ?bool = null } = .{ .{}, .{} },
    };
    const full: State = .{
        .flag = true,
        .small = 127,
        .count = std.math.minInt(i64),
        .real = std.math.nan(f64),
        .kind = .one,
        .maybe = -1,
        .pairs = .{ .{ .a = -2, .b = false }, .{ .a = 3, .b = true } },
    };
    const bytes = encoded(State, &full);
    const back = decoded(State, &bytes);
    try std.testing.expectEqualSlices(u8, &bytes, &encoded(State, &back));
    try std.testing.expect(back.flag and back.small == 127 and back.kind == .one and std.math.isNan(back.real));
    try std.testing.expectEqual(full.pairs, back.pairs);
    // What lies where a value is not says nothing.
    var empty = full;
    empty.maybe = null;
    var other: State = full;
    other.maybe = 77;
    other.maybe = null;
    try std.testing.expectEqualSlices(u8, &encoded(State, &empty), &encoded(State, &other));
}
