//! The heap of the process. One room with `unsafe`: a call of the C library.

/// Blocks of at least so many bytes are mapped for themselves, and go back to the system when they are freed.
#[cfg(target_env = "gnu")]
const MAPPED_BYTES: i32 = 4 << 20;
/// So much may be free at the end of the heap of a thread before it goes back.
#[cfg(target_env = "gnu")]
const FREE_BYTES: i32 = 8 << 20;

/// Has memory that is freed go back to the system. Called once, when a process begins.
///
/// Left to itself, glibc maps blocks for themselves from a size on that grows with each large one that is freed, up to 32 MiB;
/// what is smaller stays with the thread that took it. Rounds take and free tens of MiB in threads that come and go: states of
/// 5 M keys on the disk came to 500 MiB so, of which less than 300 were used.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "the room of the heap")]
    // SAFETY: both only set numbers; whether they are taken does not matter to anything but the size of the process.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, FREE_BYTES);
    }
}
