//! Machines that cannot build plugins: what is tried, and what to install.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use refrain_tests::{Done, Home};

/// The cargo of a toolchain itself, which is no proxy of rustup.
fn cargo() -> PathBuf {
    std::env::var_os("CARGO")
        .expect("a test runs under cargo")
        .into()
}

/// A build where nothing but this folder is in the PATH, and nothing was built before.
fn build(home: &Home, tools: &Path) -> Done {
    home.refrain(&["plugin", "new", "clicks"]).ok();
    let mut command = home.command(&["plugin", "build", "clicks"]);
    command
        .env("PATH", tools)
        .env("XDG_CACHE_HOME", home.path("cache"));
    Done::of(command)
}

const ADVICE: [&str; 3] = [
    "no Rust toolchain on this machine can make components",
    "rustup target add wasm32-unknown-unknown",
    "apt-get install rustc-web rust-web-src",
];

#[test]
fn without_cargo_it_is_said_what_to_install() {
    let home = Home::new("");
    std::fs::create_dir(home.path("tools")).unwrap();
    let done = build(&home, &home.path("tools")).code(2);
    done.says(&ADVICE).says(&["no cargo in the PATH"]);
    assert!(!home.path("plugins/clicks.wasm").exists());
}

#[test]
fn with_cargo_alone_each_way_that_was_tried_is_told() {
    let home = Home::new("");
    std::fs::create_dir(home.path("tools")).unwrap();
    symlink(cargo(), home.path("tools/cargo")).unwrap();
    let done = build(&home, &home.path("tools")).code(2);
    done.says(&ADVICE)
        .says(&["no rustc in the PATH", "no rustup in the PATH"]);
    // What cannot be built is not promised either.
    let mut doctor = home.command(&["doctor", "rust"]);
    doctor
        .env("PATH", home.path("tools"))
        .env("XDG_CACHE_HOME", home.path("cache"));
    Done::of(doctor)
        .code(2)
        .says(&["no plugin can be built in rust"]);
}
