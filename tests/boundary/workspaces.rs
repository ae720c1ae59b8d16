//! The workspaces of their own, which are compiled for plugins: their tests, natively, by cargo. They are built beside
//! this build, once; the gate builds them in the same place.

use std::process::Command;

use refrain_tests::{Done, program, repository};

/// `cargo test ARGUMENTS` in a folder; how many tests passed.
fn native(folder: &str, arguments: &[&str]) -> usize {
    let target = program().ancestors().nth(2).unwrap().join(folder);
    let mut command = Command::new("cargo");
    command
        .arg("test")
        .args(arguments)
        .current_dir(repository().join(folder))
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_TERM_COLOR", "never");
    let done = Done::of(command).ok();
    let results = done.out.lines();
    let passed = results.filter_map(|line| line.strip_prefix("test result: ok. "));
    let counts = passed.filter_map(|rest| rest.split(' ').next()?.parse::<usize>().ok());
    counts.sum()
}

#[test]
fn the_tests_of_the_rust_sdk_pass() {
    assert!(native("plugin-sdk/rust", &[]) > 40);
}

#[test]
fn the_tests_of_the_plugins_pass() {
    assert!(native("plugins", &["--workspace"]) > 10);
}
