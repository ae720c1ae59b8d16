//! Gives back each row as it is.

const refrain = @import("refrain");

const Row = struct {
    id: i64,
    flag: bool,
    count: i64,
    real: f64,
    word: []const u8,
    blob: refrain.Bytes,
    at: refrain.Timestamp,
    flag_or: ?bool,
    count_or: ?i64,
    real_or: ?f64,
    word_or: ?[]const u8,
    blob_or: ?refrain.Bytes,
    at_or: ?refrain.Timestamp,
};

const Plugin = struct {
    pub const name = "echo";
    pub const Input = Row;
    pub const Output = Row;

    pub fn process(row: Row, out: *refrain.Out(Plugin)) ?[]const u8 {
        out.emit(row);
        return null;
    }
};

comptime {
    refrain.exportTransform(Plugin);
}
