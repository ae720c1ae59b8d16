//! Good inputs for the fuzzer to begin with: written where `FUZZ_SEEDS` says, before it reads them.

use std::path::PathBuf;

/// Writes them, each under its name; nothing when nobody asks.
pub(crate) fn write(seeds: &[(&str, Vec<u8>)]) {
    let Some(folder) = std::env::var_os("FUZZ_SEEDS").map(PathBuf::from) else {
        return;
    };
    std::fs::create_dir_all(&folder).expect("a folder for seeds");
    for (name, bytes) in seeds {
        std::fs::write(folder.join(name), bytes).expect("room for a seed");
    }
}
