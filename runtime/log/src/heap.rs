//! The heap of the process. One room with `unsafe`: a call of the C library.

/// What may stay free in a process that has room: less, and what a batch of rows takes and frees is mapped anew each time.
pub const FREE_BYTES: i32 = 32 << 20;
/// What may stay free where states are on the disk, since there is no room for them in memory.
pub const FREE_BYTES_ON_DISK: i32 = 8 << 20;
/// Blocks of at least so many bytes are mapped for themselves, and go back to the system when they are freed.
#[cfg(target_env = "gnu")]
const MAPPED_BYTES: i32 = 4 << 20;

/// Has memory that is freed go back to the system, but for so many bytes at the end of each heap (glibc has several, which threads
/// share). Holds for the whole process from here on.
///
/// Left to itself, glibc maps blocks for themselves from a size on that grows with each large one that is freed, up to 32 MiB, and
/// keeps what is smaller. Rounds take and free tens of MiB: a host with four nodes and few keys came to 115 to 154 MiB so, and comes
/// to 31 to 41; states of 5 M keys on the disk to 500 MiB, and to 300.
pub fn keep_free(bytes: i32) {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "the room of the heap")]
    // SAFETY: both only set numbers; whether they are taken does not matter to anything but the size of the process.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, bytes);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = bytes;
}
