//! Columns: any bytes as a payload with its directory decode to sound arrays or to an error; as they are, and with
//! checksums that fit.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[expect(dead_code, reason = "the log is the other target's")]
#[path = "../frames.rs"]
mod frames;
#[path = "../seeds.rs"]
mod seeds;

fn begin() {
    let values = [
        (1, "one".into(), 1.0, true),
        (2, String::new(), f64::NAN, false),
    ];
    let batch = frames::rows(&values);
    let bytes = refrain_log::columns::to_bytes(&batch, &frames::schema()).expect("good rows");
    seeds::write(&[("rows", bytes)]);
}

/// Makes length and checksums fit, so that the fuzzer gets behind them.
fn forge(bytes: &mut [u8]) {
    const COLUMNS_AT: usize = 128;
    if bytes.len() < COLUMNS_AT {
        return;
    }
    let length = bytes.len() as u64;
    bytes[..8].copy_from_slice(&length.to_le_bytes());
    for entry in (64..COLUMNS_AT).step_by(16) {
        let word = |at: usize| {
            let word = bytes[entry + at..entry + at + 4]
                .try_into()
                .expect("four bytes");
            u32::from_le_bytes(word) as usize
        };
        let (from, length) = (COLUMNS_AT.saturating_add(word(0)), word(4));
        if let Some(region) = bytes.get(from..from.saturating_add(length)) {
            let check = frames::crc32c(region).to_le_bytes();
            bytes[entry + 12..entry + 16].copy_from_slice(&check);
        }
    }
    bytes[60..64].fill(0);
    let check = frames::crc32c(&bytes[..COLUMNS_AT]).to_le_bytes();
    bytes[60..64].copy_from_slice(&check);
}

fuzz_target!(init: begin(), |bytes: &[u8]| {
    let schema = frames::schema();
    let mut forged = bytes.to_vec();
    forge(&mut forged);
    for bytes in [bytes, &forged] {
        if let Ok(batch) = refrain_log::columns::from_bytes(bytes, &schema) {
            frames::touch(&batch);
        }
    }
});
