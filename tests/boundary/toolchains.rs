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

/// `refrain ARGUMENTS` where nothing but this folder is in the PATH, and nothing was fetched but what the home's cache has.
fn bare(home: &Home, arguments: &[&str]) -> Done {
    std::fs::create_dir_all(home.path("tools")).unwrap();
    let mut command = home.command(arguments);
    command
        .env("PATH", home.path("tools"))
        .env("XDG_CACHE_HOME", home.path("cache"));
    Done::of(command)
}

const PYTHON: &str = "install Python 3 with pip (Debian: apt-get install python3-pip)";
const NODE: &str = "install Node with npm (Debian: apt-get install nodejs npm)";

#[test]
fn without_what_runs_a_compiler_it_is_said_what_to_install() {
    for (language, advice, tool) in [
        ("c", PYTHON, "zig"),
        ("zig", PYTHON, "zig"),
        ("go", PYTHON, "go"),
        ("python", PYTHON, "componentize-py"),
        ("javascript", NODE, "componentize-qjs"),
        ("typescript", NODE, "typescript"),
    ] {
        let home = Home::new("");
        let new = ["plugin", "new", "clicks", "--language", language];
        home.refrain(&new).ok();
        let done = bare(&home, &["plugin", "build", "clicks"]).code(2);
        done.says(&[advice, tool, "is not here", "refrain doctor"]);
        assert!(!home.path("plugins/clicks.wasm").exists());
        let done = bare(&home, &["doctor", language]).code(2);
        done.says(&[advice, &format!("no plugin can be built in {language}")]);
    }
}

/// What was fetched once did count as ready, on a machine that has nothing to run it any more.
#[test]
fn a_compiler_that_nothing_here_can_run_is_not_ready() {
    let home = Home::new("");
    let program = "cache/refrain/tools/componentize-qjs-0.4.5/node_modules/.bin/componentize-qjs";
    home.write(program, "");
    let asked = |home: &Home| {
        let done = bare(home, &["doctor", "javascript", "--output", "json"]);
        let check = done.json()[0].clone();
        (
            done.code,
            check["ready"] == true,
            check["install"].to_string(),
        )
    };
    let (code, ready, install) = asked(&home);
    assert!(install.contains(NODE), "{install}");
    assert_eq!((code, ready), (Some(2), false));
    home.write("tools/node", "");
    assert_eq!(asked(&home), (Some(0), true, "null".to_string()));
}
