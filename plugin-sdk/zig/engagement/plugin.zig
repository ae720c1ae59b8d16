//! Views, likes and completions of content, with the time watched and the share of views that were completed.

const std = @import("std");
const refrain = @import("refrain");

const Event = struct { kind: []const u8, watch_ms: i64 };

const Totals = extern struct { views: i64 = 0, likes: i64 = 0, completes: i64 = 0, watch_ms: i64 = 0 };

const Engagement = struct { views: i64, likes: i64, completes: i64, watch_ms: i64, completion_rate: f64 };

const Plugin = struct {
    pub const name = "engagement";
    pub const doc = "How much a piece of content was viewed, liked, watched and completed.";
    pub const Input = Event;
    pub const State = Totals;
    pub const Output = Engagement;

    pub fn update(totals: *Totals, event: Event) void {
        if (std.mem.eql(u8, event.kind, "view")) {
            totals.views += 1;
        } else if (std.mem.eql(u8, event.kind, "like")) {
            totals.likes += 1;
        } else if (std.mem.eql(u8, event.kind, "complete")) {
            totals.completes += 1;
        }
        totals.watch_ms +%= event.watch_ms;
    }

    pub fn evaluate(totals: *const Totals) ?Engagement {
        const completes: f64 = @floatFromInt(totals.completes);
        const views: f64 = @floatFromInt(totals.views);
        return .{
            .views = totals.views,
            .likes = totals.likes,
            .completes = totals.completes,
            .watch_ms = totals.watch_ms,
            .completion_rate = if (totals.views == 0) 0 else completes / views,
        };
    }
};

comptime {
    refrain.exportFold(Plugin);
}
