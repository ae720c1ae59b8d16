//! Refrain as its users meet it: the real program, real components, real files. One binary, a theme a module.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "tests handle files of users")]

mod accounts;
mod answers;
mod appenders;
mod assemblyscript;
mod audit;
mod authors;
mod cli;
mod conformance;
mod crash;
mod curious;
mod damage;
mod day;
mod demo;
mod dev;
mod divergence;
mod exports;
mod forms;
mod fuel;
mod fuzz;
mod grants;
mod groups;
mod guests;
mod joins;
mod keep;
mod keyed;
mod kinds;
mod languages;
mod lints;
mod moves;
mod observe;
mod optimize;
mod plugins;
mod process;
mod process_languages;
mod process_scripts;
mod receipts;
mod rejected;
mod reopen;
mod saved;
mod schemas;
mod simulated;
mod slow;
mod stalled;
mod store;
mod story;
mod syscalls;
mod tap;
mod terminal;
mod tiers;
mod times;
mod toolchains;
mod upgrade;
mod values;
mod versions;
mod workspaces;

/// A guest that goes with the tests.
fn guest(name: &str) -> Vec<u8> {
    let path = refrain_tests::repository()
        .join("tests/guests/bad")
        .join(name);
    std::fs::read(path).unwrap()
}
