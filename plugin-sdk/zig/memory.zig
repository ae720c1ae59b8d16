//! The memory of one call: arguments, answers and what `take` gives live in an arena that is emptied when the host has read
//! the answer.

const std = @import("std");

/// What stays longer than a call.
pub const heap = std.heap.wasm_allocator;
var arena: std.heap.ArenaAllocator = .init(heap);

/// Memory of the call.
pub const call = arena.allocator();

/// Memory until the end of the call, for texts that are made.
pub fn take(comptime T: type, len: usize) []T {
    return call.alloc(T, len) catch @trap();
}

/// Adds to a list of the call.
pub fn push(list: anytype, item: std.meta.Child(@TypeOf(list.items))) void {
    list.append(call, item) catch @trap();
}

/// Ends the call.
pub fn forget() void {
    _ = arena.reset(.retain_capacity);
}

/// `cabi_realloc`.
pub fn realloc(old: ?[*]u8, old_len: usize, alignment: usize, len: usize) callconv(.c) ?[*]u8 {
    const new = call.rawAlloc(len, .fromByteUnits(alignment), 0) orelse @trap();
    if (old) |from| @memcpy(new[0..@min(old_len, len)], from[0..@min(old_len, len)]);
    return new;
}

/// `cabi_post_` of any function.
pub fn after(_: *anyopaque) callconv(.c) void {
    forget();
}
