//! Counts the rows of each key and sums one of their fields.

const refrain = @import("refrain");

/// The input fields that are wanted, with the names and types that they have in the topic.
const Event = struct { value: i64 };

/// What is kept for each key and window: plain values, no pointers.
const Totals = extern struct { rows: i64 = 0, value_sum: i64 = 0 };

/// The fields of the view, beside the key and the window.
const Summary = struct { rows: i64, value_mean: f64 };

const Plugin = struct {
    pub const name = "NAME";
    pub const doc = "How many rows there were and the mean of their value.";
    pub const Input = Event;
    pub const State = Totals;
    pub const Output = Summary;

    pub fn update(totals: *Totals, event: Event) void {
        totals.rows += 1;
        totals.value_sum +%= event.value;
    }

    pub fn evaluate(totals: *const Totals) ?Summary {
        const rows: f64 = @floatFromInt(totals.rows);
        const sum: f64 = @floatFromInt(totals.value_sum);
        return .{ .rows = totals.rows, .value_mean = sum / rows };
    }
};

comptime {
    refrain.exportFold(Plugin);
}
