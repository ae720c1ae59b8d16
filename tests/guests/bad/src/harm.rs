//! What one row can do to an instance.

use std::cell::Cell;

use crate::{MAGIC, is};

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
    #[cfg(not(feature = "transform"))]
    static SAVES: Cell<u32> = const { Cell::new(0) };
}

/// Counts a batch. `trap-third-call` is gone in a fresh instance: it does not depend on the row.
pub(crate) fn call() {
    CALLS.set(CALLS.get() + 1);
    if is("trap-third-call") && CALLS.get() == 3 {
        trap();
    }
}

/// How many batches this instance has seen, which no result may depend on.
#[cfg(not(feature = "transform"))]
pub(crate) fn calls() -> u32 {
    CALLS.get()
}

/// Counts a state that is saved.
#[cfg(not(feature = "transform"))]
pub(crate) fn saves() -> u32 {
    SAVES.set(SAVES.get() + 1);
    SAVES.get()
}

/// Does to the instance what was asked for, if this is the row to do it on.
pub(crate) fn row(value: i64) {
    if value != MAGIC {
        return;
    }
    if is("trap") {
        trap();
    }
    if is("panic") {
        panic!("thirteen");
    }
    if is("divide") {
        std::hint::black_box(1 / std::hint::black_box(value - MAGIC));
    }
    if is("access") {
        // SAFETY: none; the sandbox is what is tested
        std::hint::black_box(unsafe {
            std::ptr::read_volatile((u32::MAX - 64) as usize as *const u8)
        });
    }
    if is("loop") {
        endless();
    }
    if is("stack") {
        std::hint::black_box(deeper(1));
    }
    if is("memory") {
        grow();
        trap();
    }
    if is("memory-quiet") {
        grow();
    }
}

fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    panic!("unreachable");
}

fn endless() {
    let mut turns = 0u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "this is what it is for")]
fn deeper(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 8]);
    deeper(depth + 1) + here[(depth % 8) as usize]
}

/// Takes memory until no more is given.
fn grow() {
    #[cfg(target_arch = "wasm32")]
    while core::arch::wasm32::memory_grow(0, 16) != usize::MAX {}
}
