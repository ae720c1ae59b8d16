//! `refrain plugin test --conformance`: passes on good plugins, and finds each way in which a guest misbehaves.

use refrain_plugin::build::{Language, default_cache, examine};
use refrain_tests::{Done, Home, component, repository};
use serde_json::Value;

fn conformance(file: &std::path::Path, more: &[&str]) -> Done {
    let home = Home::new("");
    let file = file.display().to_string();
    let words = ["plugin", "test", "--conformance", &file, "--output", "json"];
    home.refrain(&[&words, more].concat())
}

/// The verdict of a promise, and what is said of it.
fn verdict(done: &Done, promise: &str) -> (String, String) {
    let checks = done.json()[0]["checks"].as_array().unwrap().clone();
    let check = checks.iter().find(|check| check["name"] == promise);
    let check = check.unwrap_or_else(|| panic!("no promise {promise}: {checks:?}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&check["verdict"]), text(&check["text"]))
}

/// What was found: names of checks that failed, and their texts.
fn findings(done: &Done) -> Vec<(String, String)> {
    let checks = done.json()[0]["checks"].as_array().unwrap().clone();
    let failed = checks
        .into_iter()
        .filter(|check| check["verdict"] == "failed");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    failed
        .map(|check| (text(&check["name"]), text(&check["text"])))
        .collect()
}

/// All that are shipped, and what they need to be driven.
const OURS: &[(&str, &[&str])] = &[
    ("engagement", &[]),
    ("engagement_total", &[]),
    ("first_seen", &[]),
    ("flights", &[]),
    ("priced", &[]),
    ("charged", &[]),
    ("purchases_with_views", &[]),
    ("sessions", &[]),
    ("settled", &[]),
    (
        "titles",
        &["--key", "content_id:i64", "--key", "window_start:timestamp"],
    ),
    ("top_content", &[]),
    ("views_only", &[]),
];

#[test]
fn good_plugins_pass() {
    for (name, more) in OURS {
        let done = conformance(&component(name), more);
        assert_eq!(findings(&done), [], "{name}");
        assert_eq!(done.code, Some(0), "{name}");
        assert_eq!(verdict(&done, "imports").1, "imports no function");
        let merges = *name == "sessions";
        if ["engagement", "sessions"].contains(name) {
            let wanted = if merges { "passed" } else { "skipped" };
            assert_eq!(verdict(&done, "merge").0, wanted, "{name}");
        }
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
fn a_plugin_that_wants_keys_is_shown_those_that_are_said() {
    let titles = component("titles");
    // What it shows cannot be looked at without them, and is not called wrong.
    let done = conformance(&titles, &[]).code(0);
    let (verdict_said, text) = verdict(&done, "keys");
    assert_eq!(verdict_said, "skipped");
    assert!(text.contains("--key content_id:i64"), "{text}");
    let keys = ["--key", "content_id:i64", "--key", "window_start:timestamp"];
    assert_eq!(verdict(&conformance(&titles, &keys), "keys").0, "passed");
    let wrong = conformance(&titles, &["--key", "content_id:text"]).code(2);
    let found = findings(&wrong);
    assert!(
        found[0]
            .1
            .contains("the node's key is not the plugin's `Key`"),
        "{found:?}"
    );
    conformance(&titles, &["--key", "content_id"])
        .code(2)
        .says(&["write NAME:TYPE"]);
}

#[test]
fn states_of_an_older_version_are_taken_over_as_promised() {
    let guests = repository().join("tests/guests");
    let file = |name: &str| guests.join(name).display().to_string();
    for (prefix, bad) in [("", "bad"), ("process_", "bad_process")] {
        let first = file(&format!("upgrade/{prefix}first.wasm"));
        let second = file(&format!("upgrade/{prefix}second.wasm"));
        let migrate = |of: &str, more: &[&str]| verdict(&conformance(of.as_ref(), more), "migrate");
        assert_eq!(migrate(&second, &["--older", &first]).0, "passed", "{bad}");
        let (said, text) = migrate(&second, &[]);
        assert!(said == "skipped" && text.contains("--older"), "{text}");
        let (said, text) = migrate(&second, &["--older", &second]);
        assert!(
            said == "failed" && text.contains("not older than 2"),
            "{text}"
        );
        for (behaviour, wanted) in [
            ("none", ""),
            ("migrate-short", "states for"),
            ("migrate-hidden", "one by one"),
            ("migrate-any", "refuse it with `fatal`"),
            ("migrate-other", "other bytes"),
        ] {
            let option = format!("behaviour={behaviour}");
            let more = ["--older", &first, "--option", &option];
            let (said, text) = migrate(&file(&format!("bad/{bad}.wasm")), &more);
            let expected = if wanted.is_empty() {
                "passed"
            } else {
                "failed"
            };
            assert!(
                said == expected && text.contains(wanted),
                "{bad}, {behaviour}: {said}, {text}"
            );
        }
    }
    let (fold, process) = (
        file("upgrade/first.wasm"),
        file("upgrade/process_second.wasm"),
    );
    let (said, text) = verdict(
        &conformance(process.as_ref(), &["--older", &fold]),
        "migrate",
    );
    assert!(
        said == "failed" && text.contains("is a fold, not a process"),
        "{text}"
    );
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
    ("reject-touches", "changed the state of a slot"),
    ("release-keeps", "does not save as the initial state"),
    ("save-other", "other bytes"),
    ("merge-first", "with all pairs in one call"),
    ("merge-stale", "with all pairs in one call"),
    ("merge-third", "the state of a third"),
    ("merge-fatal", "gave up: not these two"),
    ("merge-trap", "merge.merge trapped"),
];

/// Of the process plugin.
const PROCESS: &[(&str, &str)] = &[
    ("none", "good"),
    ("reject", "good"),
    ("reject-touches", "changed the state of a slot"),
    ("reject-kept", "one or the other"),
    ("release-keeps", "does not save as the initial state"),
    ("save-other", "other bytes"),
    ("save-short", "states for"),
    ("hidden", "`count` is"),
    ("trap", "trapped"),
    ("trap-fire", "process.fire trapped"),
    ("fatal", "gave up: thirteen"),
    ("fatal-restore", "gave up: no such state"),
    ("origins-falling", "origins that decrease"),
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
        let done = conformance(&path, &["--option", &format!("behaviour={behaviour}")]);
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
fn each_fault_of_a_process_plugin_is_found() {
    finds("bad_process.wasm", PROCESS);
}

/// Another number of rows is asked for as `--rows`; which promise is broken is told by its name.
#[test]
fn a_promise_has_a_name_and_as_many_rows_as_asked_for() {
    let bad = repository().join("tests/guests/bad/bad.wasm");
    for (behaviour, promise) in [
        ("reject-touches", "rejected rows"),
        ("release-keeps", "release"),
        ("merge-first", "merge"),
    ] {
        let option = format!("behaviour={behaviour}");
        let done = conformance(&bad, &["--rows", "60", "--option", &option]);
        assert_eq!(verdict(&done, promise).0, "failed", "{behaviour}");
    }
    conformance(&bad, &["--rows", "1"]).code(2);
}

/// What no grant gives is a finding of its own; what can be granted is told with the line to write.
#[test]
fn a_forbidden_import_is_a_finding_and_another_is_told() {
    let home = Home::new("");
    let forbidden = wat::parse_bytes(&crate::guest("load/forbidden_import.wat"))
        .unwrap()
        .into_owned();
    let done = conformance(&home.write("x.wasm", forbidden), &[]).code(2);
    let (said, text) = verdict(&done, "imports");
    assert!(
        said == "failed" && text.contains("wasi:http/outgoing-handler@0.2.0"),
        "{text}"
    );
    let clock = home.write("clock.wasm", crate::curious::bytes("clock"));
    let clock = conformance(&clock, &[]).code(0);
    let (said, text) = verdict(&clock, "imports");
    assert!(
        said == "passed" && text.contains("grants = [\"clocks\"]"),
        "{text}"
    );
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
