//! What a plugin says of itself, and its options.

const std = @import("std");
const memory = @import("memory.zig");
const rows = @import("rows.zig");
const Span = @import("values.zig").Span;
const wire = @import("wire.zig");
const List = wire.List;
const Text = wire.Text;

/// `pub const Options = struct { least: i64 = 0 };` and `pub var options: Options = .{};` in the plugin: bool, i64,
/// f64, text and Span, each with a default. `inputs` are the fields read; a process declares its own.
pub fn About(comptime Plugin: type, comptime inputs: []const wire.Field, comptime state_version: u32) type {
    return struct {
        var said: wire.Description = undefined;
        var configured: extern struct { failed: bool, text: Text } = undefined;

        fn describe() callconv(.c) *const wire.Description {
            said = .{
                .name = .of(Plugin.name),
                .version = .of(if (@hasDecl(Plugin, "version")) Plugin.version else "0.1.0"),
                .doc = .of(if (@hasDecl(Plugin, "doc")) Plugin.doc else ""),
                .inputs = .of(inputs),
                .outputs = .of(comptime rows.fieldsOf(Plugin.Output)),
                .wants_keys = false,
                .state_version = state_version,
                .settings = settings(),
            };
            return &said;
        }

        fn settings() List(wire.Setting) {
            if (!@hasDecl(Plugin, "Options")) return .{};
            const info = @typeInfo(Plugin.Options).@"struct";
            const all = memory.take(wire.Setting, info.field_names.len);
            const initial: Plugin.Options = .{};
            inline for (info.field_names, info.field_types, 0..) |name, T, i| {
                const value = @field(initial, name);
                const text = switch (T) {
                    []const u8 => value,
                    Span => comptime Span.show(value),
                    else => std.fmt.allocPrint(memory.call, "{}", .{value}) catch @trap(),
                };
                const kind = if (T == Span) "text" else comptime rows.kindOf(T);
                all[i] = .{ .name = .of(name), .kind = .of(kind), .has_default = true, .default = .of(text), .doc = .{} };
            }
            return .of(all);
        }

        fn configure(given: ?[*]const [2]Text, len: usize) callconv(.c) *const anyopaque {
            configured = .{ .failed = false, .text = .{} };
            for (wire.slice([2]Text, given, len)) |option| choose(option[0].slice(), option[1].slice());
            return &configured;
        }

        fn choose(chosen: []const u8, text: []const u8) void {
            if (!@hasDecl(Plugin, "Options")) return;
            const info = @typeInfo(Plugin.Options).@"struct";
            inline for (info.field_names, info.field_types) |name, T| {
                if (std.mem.eql(u8, name, chosen)) {
                    if (parse(T, text)) |value| {
                        @field(Plugin.options, name) = value;
                    } else {
                        const why = std.fmt.allocPrint(memory.call, "option `{s}`: `{s}` is not a length of time, as in \"90s\"", .{ name, text });
                        configured = .{ .failed = true, .text = .of(why catch @trap()) };
                    }
                }
            }
        }

        /// The host has checked that the text is a value of the type; null: it is no span.
        fn parse(comptime T: type, text: []const u8) ?T {
            return switch (T) {
                bool => text.len == 4,
                i64 => std.fmt.parseInt(i64, text, 10) catch @trap(),
                f64 => std.fmt.parseFloat(f64, text) catch @trap(),
                Span => Span.parse(text),
                else => memory.heap.dupe(u8, text) catch @trap(),
            };
        }

        pub fn exportAll() void {
            const prefix = "refrain:plugin/about@0.1.0#";
            @export(&memory.realloc, .{ .name = "cabi_realloc" });
            @export(&describe, .{ .name = prefix ++ "describe" });
            @export(&configure, .{ .name = prefix ++ "configure" });
            for (.{ "describe", "configure" }) |name| @export(&memory.after, .{ .name = "cabi_post_" ++ prefix ++ name });
        }
    };
}
