//! The one room of this crate with `unsafe`: a file mapped into memory, and Arrow buffers over it.
//!
//! The contract. A page of the map may be read only when (1) blocks are allocated behind it, since a read past the end
//! of the file is a SIGBUS, and (2) its bytes will never be written again, since Rust and Arrow take them for constant.
//! Published frames satisfy both: a segment is allocated before it is written, its published prefix is never rewritten,
//! and no file is truncated, recycled or punched below that prefix while the log has it open or a map of it lives
//! ([`Maps`]). So do runs of a disk store: they are whole before they are mapped, and never written again. The map itself
//! may reach past the end of the file; those pages are not touched. Another process that writes to the file breaks the
//! contract; the folder's lock keeps it out.

use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow_buffer::Buffer;
use memmap2::{Mmap, MmapOptions};

/// A read-only map over the first `len` bytes of a file, whether they exist yet or not.
#[derive(Clone, Debug)]
pub(crate) struct Map(Arc<Mapped>);

/// What buffers keep alive.
#[derive(Debug)]
struct Mapped {
    map: Mmap,
    _maps: Maps,
}

/// Counts the maps of one file that are looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Maps(Arc<()>);

impl Maps {
    /// Whether there is none.
    pub(crate) fn is_none(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl Map {
    /// Maps `len` bytes.
    #[expect(unsafe_code, reason = "the room of the map")]
    pub(crate) fn new(file: &File, len: usize, maps: &Maps) -> io::Result<Map> {
        // SAFETY: only `view` reads through the map, and its callers keep the contract above.
        let map = unsafe { MmapOptions::new().len(len).map(file)? };
        let _maps = maps.clone();
        Ok(Map(Arc::new(Mapped { map, _maps })))
    }

    /// What is read from the disk at a look is what is looked at, and nothing around it.
    pub(crate) fn scattered(&self) -> io::Result<()> {
        self.0.map.advise(memmap2::Advice::Random)
    }

    /// How many bytes are mapped.
    pub(crate) fn len(&self) -> usize {
        self.0.map.len()
    }

    /// A buffer over `len` bytes from `position`, which keeps the map alive. The caller has seen to it that they are
    /// published.
    #[expect(unsafe_code, reason = "the room of the map")]
    pub(crate) fn view(&self, position: usize, len: usize) -> Buffer {
        assert!(
            position
                .checked_add(len)
                .is_some_and(|end| end <= self.len()),
            "a view lies inside its map"
        );
        // `as_ptr` makes no reference to bytes that may not exist yet.
        let start = self.0.map.as_ptr().wrapping_add(position).cast_mut();
        let start = NonNull::new(start).expect("a map never lies at address 0");
        // SAFETY: start..start + len lies inside the map (asserted), which the buffer owns a share of; the bytes exist
        // and are constant by the contract of this module.
        unsafe { Buffer::from_custom_allocation(start, len, self.0.clone()) }
    }
}
