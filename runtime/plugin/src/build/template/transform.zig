//! Keeps the rows whose value is not negative.

const refrain = @import("refrain");

/// The fields that are read and written, with the names and types that they have in the topic.
const Event = struct { name: []const u8, value: i64 };

const Plugin = struct {
    pub const name = "NAME";
    pub const doc = "Rows with a value of at least 0.";
    pub const Input = Event;
    pub const Output = Event;

    /// Gives rows to `out`; a text refuses the row.
    pub fn process(event: Event, out: *refrain.Out(Plugin)) ?[]const u8 {
        if (event.name.len == 0) return "the name is empty";
        if (event.value >= 0) out.emit(event);
        return null;
    }
};

comptime {
    refrain.exportTransform(Plugin);
}
