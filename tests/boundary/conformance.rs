//! `refrain plugin test --conformance`: passes on good plugins, and finds each way in which a guest misbehaves.

use refrain_plugin::build::{Language, default_cache, examine};
use refrain_tests::{Done, Home, component, repository};
use serde_json::Value;

fn conformance(file: &std::path::Path, options: &[&str]) -> Done {
    let home = Home::new("");
    let file = file.display().to_string();
    let mut words = vec!["plugin", "test", "--conformance", &file, "--output", "json"];
    for option in options {
        words.extend(["--option", option]);
    }
    home.refrain(&words)
}

/// What was found: names of checks that failed, and their texts.
fn findings(done: &Done) -> Vec<(String, String)> {
    let checks = done.json()["checks"].as_array().unwrap().clone();
    let failed = checks
        .into_iter()
        .filter(|check| check["verdict"] == "failed");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    failed
        .map(|check| (text(&check["name"]), text(&check["text"])))
        .collect()
}

#[test]
fn good_plugins_pass() {
    for name in ["engagement", "engagement_total", "flights", "views_only"] {
        let done = conformance(&component(name), &[]);
        assert_eq!(findings(&done), [], "{name}");
        assert_eq!(done.code, Some(0), "{name}");
    }
    for name in [
        "languages/c.wasm",
        "languages/zig.wasm",
        "c/engagement_c.wasm",
    ] {
        let done = conformance(&repository().join("tests/guests").join(name), &[]);
        assert_eq!(findings(&done), [], "{name}");
    }
}

#[test]
#[ignore = "needs the compilers of all languages"]
fn the_examples_of_all_languages_pass() {
    let folder = tempfile::tempdir().unwrap();
    let cache = default_cache();
    for check in examine(&cache)
        .iter()
        .filter(|check| check.ready || check.fetches)
    {
        let language: Language = check.language.parse().unwrap();
        let example = match language {
            Language::Rust => repository().join("plugins/engagement"),
            other => repository().join(format!("plugin-sdk/{}/engagement", other.name())),
        };
        let out = folder.path().join(format!("{}.wasm", check.language));
        let say = &mut |line: &str| println!("{line}");
        refrain_plugin::build::build_plugin(&example, &out, &cache, say).unwrap();
        let done = conformance(&out, &[]);
        println!("{}: {:?}", check.language, findings(&done));
        assert_eq!(findings(&done), [], "{}", check.language);
    }
}

/// Each behaviour of tests/guests/bad, and a word of what must be found. `good`: nothing may be found.
const FOLD: &[(&str, &str)] = &[
    ("none", "good"),
    ("nan", "good"),
    // It refuses rows that no slot is given for, too.
    ("reject", "it has no entry"),
    ("trap", "trapped"),
    ("panic", "trapped"),
    ("divide", "trapped"),
    ("access", "trapped"),
    ("trap-third-call", "trapped"),
    ("loop", "longer than"),
    ("stack", "recursed too deeply"),
    ("memory", "of memory"),
    ("memory-quiet", "of memory"),
    ("fatal", "gave up: thirteen"),
    ("fatal-evaluate", "gave up: no answer"),
    ("fatal-restore", "gave up: no such state"),
    ("refuse", "this option is refused"),
    ("rejects-twice", "rejects out of order"),
    ("rejects-falling", "rejects out of order"),
    ("rejects-beyond", "not given"),
    ("rejects-huge", "fold.update"),
    ("rows-short", "rows"),
    ("rows-long", "rows"),
    ("column-missing", "columns"),
    ("column-extra", "columns"),
    ("column-short", "values of"),
    ("column-type", "is declared"),
    ("null", "gave null"),
    ("valid-short", "bitmap"),
    ("ends-falling", "fold.evaluate"),
    ("ends-beyond", "fold.evaluate"),
    ("ends-before", "fold.evaluate"),
    ("ends-missing", "fold.evaluate"),
    ("utf8", "UTF-8"),
    ("utf8-split", "UTF-8"),
    ("huge", "fold.evaluate"),
    ("present-short", "bitmap"),
    ("save-short", "states for"),
    ("save-ends-falling", "fold.save"),
    ("save-ends-beyond", "fold.save"),
    ("save-huge", "fold.save"),
    ("hidden", "against one row a call: `count` is"),
];

const TRANSFORM: &[(&str, &str)] = &[
    ("none", "good"),
    ("nan", "good"),
    ("reject", "good"),
    ("trap", "trapped"),
    ("trap-third-call", "trapped"),
    ("loop", "longer than"),
    ("stack", "recursed too deeply"),
    ("memory", "of memory"),
    ("fatal", "gave up: thirteen"),
    ("rejects-twice", "rejects out of order"),
    ("rejects-kept", "one or the other"),
    ("origins-falling", "origins that decrease"),
    ("origins-beyond", "no input row"),
    ("origins-short", "origins for"),
    ("column-type", "is declared"),
    ("null", "gave null"),
    ("ends-falling", "transform.process"),
    ("utf8", "UTF-8"),
    ("huge", "transform.process"),
];

#[track_caller]
fn finds(file: &str, behaviours: &[(&str, &str)]) {
    let path = repository().join("tests/guests/bad").join(file);
    let mut missed = Vec::new();
    for (behaviour, wanted) in behaviours {
        let done = conformance(&path, &[&format!("behaviour={behaviour}")]);
        let found = findings(&done);
        let right = match *wanted {
            "good" => found.is_empty() && done.code == Some(0),
            wanted => found.iter().any(|(_, text)| text.contains(wanted)) && done.code == Some(2),
        };
        if !right {
            missed.push((behaviour, wanted, done.code, found));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn each_fault_of_a_fold_is_found() {
    finds("bad.wasm", FOLD);
}

#[test]
fn each_fault_of_a_transform_is_found() {
    finds("bad_transform.wasm", TRANSFORM);
}

#[test]
fn what_does_not_load_is_a_finding() {
    for name in [
        "text.wasm",
        "unknown_import.wat",
        "wrong_version.wat",
        "no_exports.wat",
    ] {
        let bytes = crate::guest(&format!("load/{name}"));
        let bytes = match name.ends_with(".wat") {
            true => wat::parse_bytes(&bytes).unwrap().into_owned(),
            false => bytes,
        };
        let home = Home::new("");
        let file = home.write("x.wasm", bytes);
        let done = conformance(&file, &[]);
        let found = findings(&done);
        assert_eq!(
            (found.len(), found[0].0.as_str()),
            (1, "loads"),
            "{name}: {found:?}"
        );
    }
}
