//! Frames: a log of a few of them with bytes changed at chosen places, some checksums forged to fit, is opened, read and
//! written to.
//!
//! Input: edits of four bytes each, where (two), what, and whether the frame's checksum is made to fit afterwards.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use refrain_log::storage::Storage;

#[path = "../frames.rs"]
mod frames;
#[path = "../seeds.rs"]
mod seeds;

fn begin() {
    let edits: [(&str, &[u8]); 3] = [
        ("untouched", &[]),
        ("one-byte", &[200, 0, 1, 0]),
        ("forged", &[80, 0, 1, 1]),
    ];
    seeds::write(&edits.map(|(name, edits)| (name, edits.to_vec())));
}

fuzz_target!(init: begin(), |edits: &[u8]| {
    let (storage, all) = frames::written();
    let mut bytes = storage
        .read(Path::new(frames::SEGMENT))
        .expect("just written");
    let places = frames::places(&bytes);
    let end = *places.last().expect("there are frames");
    let mut forged = false;
    for edit in edits.chunks_exact(4) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % end;
        bytes[at] = edit[2];
        if edit[3] % 2 == 1 && at >= places[0] {
            forged = true;
            let frame = places.partition_point(|place| *place <= at) - 1;
            frames::forge(&mut bytes, places[frame]);
        }
    }
    frames::examine(&storage, &bytes, (!forged).then_some(&all));
});
