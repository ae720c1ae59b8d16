//! States by slot, of folds and processes: a slice that grows, saved field by field.

const std = @import("std");
const codec = @import("codec.zig");
const memory = @import("memory.zig");
const wire = @import("wire.zig");

/// `forgetful`: a state that is the initial one is saved as no bytes, so that the host can forget its key.
pub fn States(comptime State: type, comptime forgetful: bool) type {
    const size = codec.size(State);
    return struct {
        var all: []State = &.{};
        var saved: wire.Answer(wire.Spans) = undefined;
        var restored: wire.Answer(extern struct { nothing: u32 = 0 }) = undefined;

        fn widen(slot: usize) void {
            @branchHint(.cold);
            const before = all.len;
            all = memory.heap.realloc(all, @max(64, std.math.ceilPowerOfTwoAssert(usize, slot + 1))) catch @trap();
            for (all[before..]) |*state| state.* = .{};
        }

        pub inline fn of(slot: u32) *State {
            if (slot >= all.len) widen(slot);
            return &all[slot];
        }

        fn save(slots: ?[*]const u32, len: usize) callconv(.c) *const anyopaque {
            const ends = memory.take(u32, len);
            const bytes = memory.take(u8, len * size);
            const initial = codec.encoded(State, &.{});
            var end_of: usize = 0;
            for (ends, 0..) |*end, i| {
                const to = bytes[end_of..][0..size];
                to.* = codec.encoded(State, of(slots.?[i]));
                if (!forgetful or !std.mem.eql(u8, to, &initial)) end_of += size;
                end.* = @intCast(end_of);
            }
            saved = .{ .is = .{ .done = .{ .ends = .of(ends), .bytes = .of(bytes[0..end_of]) } } };
            return &saved;
        }

        fn restore(slots: ?[*]const u32, len: usize, ends: ?[*]const u32, ends_len: usize, bytes: ?[*]const u8, bytes_len: usize) callconv(.c) *const anyopaque {
            if (ends_len != len or bytes_len != len * size) return restored.fatal("a saved state is of another size: raise state_version");
            for (0..len) |i| {
                if (ends.?[i] != (i + 1) * size) return restored.fatal("a saved state is of another size: raise state_version");
                of(slots.?[i]).* = codec.decoded(State, bytes.?[i * size ..][0..size]);
            }
            restored = .{ .is = .{ .done = .{} } };
            return &restored;
        }

        fn release(slots: ?[*]const u32, len: usize) callconv(.c) void {
            for (wire.slice(u32, slots, len)) |slot| of(slot).* = .{};
            memory.forget();
        }

        pub fn exportAll(comptime prefix: []const u8) void {
            @export(&save, .{ .name = prefix ++ "save" });
            @export(&restore, .{ .name = prefix ++ "restore" });
            @export(&release, .{ .name = prefix ++ "release" });
            for (.{ "save", "restore" }) |name| @export(&memory.after, .{ .name = "cabi_post_" ++ prefix ++ name });
        }
    };
}

/// What the description says of it.
pub fn version(comptime Plugin: type) u32 {
    return if (@hasDecl(Plugin, "state_version")) Plugin.state_version else 1;
}
