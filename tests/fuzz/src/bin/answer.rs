//! Answers of a guest: a guest whose memory the fuzzer writes answers with it. Taken whole and sound, or a fault.
//!
//! Input: one byte that says which function is called, then the bytes at the address that the guest answers with.
#![no_main]

use std::sync::{Arc, LazyLock};

use arrow_array::{Array, ArrayRef, Int64Array};
use libfuzzer_sys::fuzz_target;
use refrain_plugin::{Entries, Host, HostOptions, Input, Instance, Limits, Plugin, States};

#[expect(dead_code, reason = "shared with the tests of the plugin host")]
#[path = "../../../../runtime/plugin/tests/guests/guest.rs"]
mod guest;
#[expect(dead_code, reason = "shared with the tests of the plugin host")]
#[path = "../../../../runtime/plugin/tests/guests/memory.rs"]
mod memory;
#[path = "../parrot.rs"]
mod parrot;
#[path = "../seeds.rs"]
mod seeds;

static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| {
    let host = Host::new(HostOptions::default()).expect("a host starts");
    let bytes = guest::parrot(&parrot::said()).build();
    host.load("parrot", &bytes).expect("the guest is sound")
});

fn instance() -> Instance {
    let limits = Limits {
        memory_bytes_max: 16 << 20,
        call_ms_max: 10_000,
        answer_bytes_max: 1 << 20,
    };
    PLUGIN.instantiate(&[], limits).expect("the guest is sound")
}

fn call(which: u8, fold: &mut Instance) {
    let columns: [ArrayRef; 1] = [Arc::new(Int64Array::from(vec![1, 2, 3]))];
    let slots = parrot::SLOTS;
    let rows = Input {
        columns: &columns,
        start: 0,
        count: 3,
    };
    let none = Input {
        columns: &[],
        start: 0,
        count: slots.len(),
    };
    match which % 3 {
        0 => {
            let entries = Entries {
                rows: &[],
                slots: &slots,
            };
            let rejects = fold.update(rows, entries).unwrap_or_default();
            assert!(rejects.iter().all(|reject| (reject.row as usize) < 3));
        }
        1 => {
            let Ok(rows) = fold.evaluate(&slots, none) else {
                return;
            };
            for column in &rows.columns {
                assert_eq!(column.len(), slots.len());
                column.to_data().validate_full().expect("a sound array");
            }
        }
        _ => {
            let Ok(states) = fold.save(&slots) else {
                return;
            };
            assert_eq!(states.ends.len(), slots.len());
            assert!(states.ends.is_sorted());
            assert_eq!(
                states.ends.last().map(|end| *end as usize),
                Some(states.bytes.len())
            );
        }
    }
}

fuzz_target!(init: parrot::begin(), |said: &[u8]| {
    let Some((which, said)) = said.split_first() else {
        return;
    };
    let mut fold = instance();
    let mut image = States::default();
    image.push(said);
    if fold.restore(&[0], &image).is_ok() {
        call(*which, &mut fold);
    }
});
