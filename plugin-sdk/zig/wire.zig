//! What crosses the boundary, as it lies in memory: docs/raw-contract.md draws it.

const std = @import("std");
const memory = @import("memory.zig");

/// A list, and a text.
pub fn List(comptime T: type) type {
    return extern struct {
        ptr: ?[*]const T = null,
        len: u32 = 0,

        pub fn of(all: []const T) @This() {
            // What an empty slice points to is anywhere, and the host wants it in memory.
            return .{ .ptr = if (all.len == 0) null else all.ptr, .len = @intCast(all.len) };
        }

        pub fn slice(self: @This()) []const T {
            return if (self.len == 0) &.{} else self.ptr.?[0..self.len];
        }
    };
}

pub const Text = List(u8);

pub const Spans = extern struct { ends: List(u32) = .{}, bytes: List(u8) = .{} };
pub const Tag = enum(u8) { bools, ints, floats, spans };
pub const Column = extern struct {
    tag: Tag,
    values: extern union { any: List(u8), bools: List(bool), ints: List(i64), floats: List(f64), spans: Spans },
    valid: List(u8) = .{},
};
pub const Rows = extern struct { count: u32 = 0, columns: List(Column) = .{} };
pub const RejectRow = extern struct { row: u32, reason: Text };
pub const Field = extern struct { name: Text, kind: Text, nullable: bool };
pub const Setting = extern struct { name: Text, kind: Text, has_default: bool, default: Text, doc: Text };
pub const Description = extern struct {
    name: Text,
    version: Text,
    doc: Text,
    inputs: List(Field),
    outputs: List(Field),
    wants_keys: bool,
    state_version: u32,
    settings: List(Setting),
};

/// Of any function: what it answers, or `fatal`.
pub fn Answer(comptime T: type) type {
    return extern struct {
        failed: bool = false,
        is: extern union { done: T, failure: extern struct { tag: u8, text: Text } },

        pub fn fatal(self: *@This(), text: []const u8) *@This() {
            self.* = .{ .failed = true, .is = .{ .failure = .{ .tag = 0, .text = .of(text) } } };
            return self;
        }
    };
}

/// A slice of arguments.
pub fn slice(comptime T: type, ptr: ?[*]const T, len: usize) []const T {
    return if (len == 0) &.{} else ptr.?[0..len];
}

/// Adds a refused row.
pub fn refuse(rejects: *std.ArrayList(RejectRow), row: u32, reason: []const u8) void {
    const copy = memory.call.dupe(u8, reason) catch @trap();
    memory.push(rejects, .{ .row = row, .reason = .of(copy) });
}
