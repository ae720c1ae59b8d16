//! One plugin in every language: the same digest over the same log, at once and while rows come in. Rust, C and Zig
//! always; the others where their compilers are (`--run-ignored`, as .ci/full does).

use std::path::{Path, PathBuf};

use refrain_plugin::build::{Language, build_plugin, default_cache, examine};
use refrain_tests::{EVENTS, Home, component, events_csv, repository};

const ROWS: usize = 3_000;

fn home(component: &[u8]) -> Home {
    let home = Home::new(&format!(
        r#"{EVENTS}2

[node.engagement]
plugin = "engagement"
input = "events"
key = ["content_id"]
window = {{ tumbling = "1m", lateness = "10s" }}
view = "engagement"

[run]
commit_interval = "20ms"
"#
    ));
    home.write("plugins/engagement.wasm", component);
    home
}

/// All rows, then one run.
fn once(component: &[u8]) -> String {
    let home = home(component);
    home.write("all.csv", events_csv(7, ROWS));
    home.append("events", "all.csv", "one").ok();
    home.run().ok();
    home.digest("engagement")
}

/// A host that runs while the same rows come in three parts.
fn continuous(component: &[u8]) -> String {
    let home = home(component);
    let all = events_csv(7, ROWS);
    let mut lines = all.lines();
    let head = lines.next().unwrap().to_owned();
    let lines: Vec<&str> = lines.collect();
    let running = home.start();
    for (i, part) in lines.chunks(ROWS / 3 + 1).enumerate() {
        let name = format!("part{i}.csv");
        home.write(&name, format!("{head}\n{}\n", part.join("\n")));
        home.append("events", &name, &name).ok();
    }
    home.wait_until_taken();
    let digest = home.digest("engagement");
    assert_eq!(running.stop(), Some(0));
    digest
}

fn fixture(language: &str) -> PathBuf {
    repository().join(format!("tests/guests/languages/{language}.wasm"))
}

fn example(language: Language) -> PathBuf {
    match language {
        Language::Rust => repository().join("plugins/engagement"),
        other => repository().join(format!("plugin-sdk/{}/engagement", other.name())),
    }
}

fn built(language: Language, folder: &Path) -> Vec<u8> {
    let out = folder.join(format!("{}.wasm", language.name()));
    build_plugin(&example(language), &out, &default_cache(), &mut |line| {
        println!("{line}")
    })
    .unwrap();
    std::fs::read(out).unwrap()
}

#[test]
fn rust_c_and_zig_come_to_the_same_digest() {
    let rust = std::fs::read(component("engagement")).unwrap();
    let wanted = once(&rust);
    for language in ["c", "zig"] {
        let bytes = std::fs::read(fixture(language)).unwrap();
        assert_eq!(once(&bytes), wanted, "{language}, at once");
        assert_eq!(continuous(&bytes), wanted, "{language}, while rows come in");
    }
}

#[test]
#[ignore = "needs the compilers of all languages"]
fn all_languages_come_to_the_same_digest() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = once(&std::fs::read(component("engagement")).unwrap());
    for check in examine(&default_cache())
        .iter()
        .filter(|check| check.ready || check.fetches)
    {
        let language: Language = check.language.parse().unwrap();
        let bytes = built(language, folder.path());
        assert_eq!(once(&bytes), wanted, "{}, at once", check.language);
        assert_eq!(
            continuous(&bytes),
            wanted,
            "{}, while rows come in",
            check.language
        );
    }
}

/// The committed components are what their sources make, where the compiler is.
#[test]
#[ignore = "needs the compiler of C and Zig"]
fn the_committed_components_are_those_of_their_sources() {
    let folder = tempfile::tempdir().unwrap();
    for language in [Language::C, Language::Zig] {
        let made = built(language, folder.path());
        if std::env::var_os("REFRAIN_WRITE_GUESTS").is_some() {
            std::fs::write(fixture(language.name()), &made).unwrap();
        }
        let kept = std::fs::read(fixture(language.name())).unwrap();
        assert!(
            made == kept,
            "run with REFRAIN_WRITE_GUESTS=1 and commit {}",
            language.name()
        );
    }
}
