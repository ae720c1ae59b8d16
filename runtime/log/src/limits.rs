//! Every limit and every fixed size of the log, in one place.

/// Alignment of frames and of columns within them: a cache line, and what Arrow buffers like best.
pub(crate) const ALIGN_BYTES: u64 = 64;
/// Size of a segment's header.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 64;
/// Size of a frame's header.
pub(crate) const FRAME_HEADER_BYTES: u64 = 128;
/// Size of one entry of the column directory.
pub(crate) const ENTRY_BYTES: usize = 16;
/// Columns of one frame, the three of origins included.
pub(crate) const REGIONS_MAX: usize = 1024;
/// Largest frame. Arrow's 32-bit offsets end at 2 GiB.
pub(crate) const FRAME_BYTES_MAX: u64 = 1 << 30;
/// Rows of one frame.
pub(crate) const FRAME_ROWS_MAX: usize = 1 << 24;
/// Runs of a merged frame that are read.
pub(crate) const RUNS_MAX: usize = 1 << 16;
/// Frames are merged up to this many rows: a few calls of a plugin.
pub(crate) const MERGED_ROWS_MAX: usize = 16 << 10;
/// Frames are merged up to this many bytes of columns.
pub(crate) const MERGED_BYTES_MAX: u64 = 4 << 20;
/// A segment that is encoded anew is made durable in steps of so many bytes, so that no other sync waits for long.
pub(crate) const OPTIMIZE_STEP_BYTES: u64 = 2 << 20;
/// A segment's file grows by doubling from here ...
pub(crate) const ALLOCATE_BYTES_MIN: u64 = 256 << 10;
/// ... in steps of at most this.
pub(crate) const ALLOCATE_BYTES_MAX: u64 = 16 << 20;
/// A group commit takes no more appends once it holds this many bytes.
pub(crate) const GROUP_BYTES_MAX: u64 = 1 << 20;
/// Bytes that may wait for the writer before `submit` blocks.
pub(crate) const QUEUE_BYTES_MAX: u64 = 64 << 20;
/// One entry of the sparse index covers at least this many bytes of frames.
pub(crate) const INDEX_BLOCK_BYTES: u64 = 64 << 10;
/// Rows without a key go to partitions in blocks of this many.
pub const KEYLESS_BLOCK_ROWS: u64 = 4096;
/// The writer writes marks when it has been idle for this long.
pub(crate) const MARK_AFTER_MS: u64 = 100;
/// How often the writer looks at the clock for ticks, at most.
pub(crate) const TICK_POLL_MS: u64 = 100;
/// Blobs that the codec takes.
pub(crate) const CODEC_BYTES_MAX: usize = 256 << 20;
/// Length of a topic's name.
pub(crate) const TOPIC_NAME_BYTES_MAX: usize = 120;
/// Partitions of a topic.
pub(crate) const PARTITIONS_MAX: u32 = 4096;
/// Smallest segment.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 4 << 10;
/// First and last event time that a topic takes: years 1 to 9999.
pub(crate) const EVENT_TIME_US_MIN: i64 = -62_135_596_800_000_000;
/// See [`EVENT_TIME_US_MIN`].
pub(crate) const EVENT_TIME_US_MAX: i64 = 253_402_300_799_999_999;

const _: () = assert!(SEGMENT_HEADER_BYTES.is_multiple_of(ALIGN_BYTES));
const _: () = assert!(FRAME_HEADER_BYTES.is_multiple_of(ALIGN_BYTES));
const _: () = assert!(FRAME_BYTES_MAX < i32::MAX as u64);
const _: () = assert!(GROUP_BYTES_MAX < QUEUE_BYTES_MAX);
const _: () = assert!(ALLOCATE_BYTES_MIN <= ALLOCATE_BYTES_MAX);
const _: () = assert!(REGIONS_MAX <= u16::MAX as usize);
const _: () = assert!(MERGED_ROWS_MAX <= RUNS_MAX && MERGED_ROWS_MAX <= FRAME_ROWS_MAX);
const _: () = assert!(MERGED_BYTES_MAX < FRAME_BYTES_MAX);

/// The next multiple of [`ALIGN_BYTES`].
pub(crate) const fn aligned(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGN_BYTES)
}
