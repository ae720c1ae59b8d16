//! A plugin author's day: fixtures, what a component is, which one may run.

use std::fs;

use refrain_tests::{Done, Home, component, repository};

/// A project with a plugin of the repository and its fixtures, without its source.
fn home(plugin: &str) -> Home {
    let home = Home::new("");
    let fixtures = repository().join("plugins").join(plugin).join("fixtures");
    for case in fs::read_dir(fixtures).unwrap() {
        let case = case.unwrap();
        for file in fs::read_dir(case.path()).unwrap() {
            let file = file.unwrap();
            let (case, name) = (case.file_name(), file.file_name());
            let path = format!(
                "plugins/{plugin}/fixtures/{}/{}",
                case.display(),
                name.display()
            );
            home.write(&path, fs::read(file.path()).unwrap());
        }
    }
    home.with_plugins(&[plugin])
}

fn test(home: &Home, arguments: &[&str]) -> Done {
    home.refrain(&[&["plugin", "test"], arguments].concat())
}

#[test]
fn the_fixtures_of_our_plugins_pass() {
    for plugin in ["engagement", "flights", "views_only"] {
        test(&home(plugin), &[plugin]).ok();
    }
}

#[test]
fn a_fixture_that_differs_is_told_by_line_and_can_be_updated() {
    let home = home("engagement");
    let expected = "plugins/engagement/fixtures/totals/expected.jsonl";
    let right = fs::read_to_string(home.path(expected)).unwrap();
    home.write(expected, right.replace("\"likes\": 1", "\"likes\": 2"));
    let done = test(&home, &["engagement", "--junit", "report.xml"]).code(2);
    done.says(&["totals: FAILED", "line 1", "expected: ", "came out: "]);
    let report = fs::read_to_string(home.path("report.xml")).unwrap();
    assert!(report.contains("tests=\"2\" failures=\"1\""), "{report}");
    test(&home, &["engagement", "--update"]).ok();
    assert_eq!(fs::read_to_string(home.path(expected)).unwrap(), right);
}

#[test]
fn a_fixture_finds_a_plugin_that_counts_its_calls() {
    let home = Home::new("");
    home.write("plugins/bad.wasm", crate::guest("bad.wasm"));
    let case = "plugins/bad/fixtures/hidden";
    home.write(
        &format!("{case}/input.jsonl"),
        "{\"value\": 1}\n{\"value\": 2}\n",
    );
    home.write(
        &format!("{case}/fixture.json"),
        "{\"options\": {\"behaviour\": \"hidden\"}}",
    );
    let done = test(&home, &["bad", "--update"]).code(2);
    done.says(&["call sizes change the result"]);
}

#[test]
fn inspect_tells_what_a_component_is() {
    let home = Home::new("");
    let file = repository()
        .join("tests/guests/languages/c.wasm")
        .display()
        .to_string();
    let json = home
        .refrain(&["plugin", "inspect", &file, "--output", "json"])
        .ok()
        .json();
    assert_eq!(json["language"], "C");
    assert_eq!(json["imports"], "no function imports, so deterministic");
    assert_eq!(json["about"]["kind"], "fold");
    assert_eq!(json["size_bytes"], fs::metadata(file).unwrap().len());
    let rust = component("engagement").display().to_string();
    let json = home
        .refrain(&["plugin", "inspect", &rust, "--output", "json"])
        .ok()
        .json();
    assert_eq!(json["language"], "Rust");
}

#[test]
fn a_pinned_plugin_runs_as_pinned_or_not_at_all() {
    let home = Home::engagement();
    let add = |file: &str| {
        let file = repository().join(file).display().to_string();
        let words = ["plugin", "add", &file, "--name", "engagement"];
        home.refrain(&[&words[..], &["--replace"]].concat())
    };
    add("tests/guests/languages/c.wasm").ok();
    home.refrain(&["check"]).ok();
    // Someone puts other bytes in its place.
    let zig = fs::read(repository().join("tests/guests/languages/zig.wasm")).unwrap();
    home.write("plugins/engagement.wasm", zig);
    let said = ["refrain.lock pins", "refrain plugin lock engagement"];
    home.refrain(&["check"]).code(2).says(&said);
    home.refrain(&["plugin", "lock", "engagement"]).ok();
    home.refrain(&["check"]).ok();
    add("tests/guests/bad/load/text.wasm").code(2);
    home.refrain(&["check"]).ok();
}

#[test]
fn doctor_answers_for_each_language() {
    let home = Home::new("");
    let json = home.refrain(&["doctor", "--output", "json"]).ok().json();
    assert_eq!(json.as_array().unwrap().len(), 7);
    home.refrain(&["doctor", "cobol"])
        .code(2)
        .says(&["there is no SDK for `cobol`"]);
}

#[test]
fn a_plugin_by_digest_is_those_bytes_and_no_others() {
    let home = Home::engagement();
    home.write("events.csv", refrain_tests::events_csv(1, 1_000));
    home.append("events", "events.csv", "p").ok();
    home.run().ok();
    let wanted = home.digest("total");
    let inspect = ["plugin", "inspect", "engagement_total", "--output", "json"];
    let digest = home.refrain(&inspect).ok().json()["digest"].clone();
    let file = fs::read_to_string(home.path("refrain.toml")).unwrap();
    let by_digest = format!("plugin = \"blake3:{}\"", digest.as_str().unwrap());
    let file = file.replace("plugin = \"engagement_total\"", &by_digest);
    let other = Home::new(&file).with_plugins(&["engagement", "views_only", "engagement_total"]);
    fs::rename(
        other.path("plugins/engagement_total.wasm"),
        other.path("plugins/any.wasm"),
    )
    .unwrap();
    other.write("events.csv", refrain_tests::events_csv(1, 1_000));
    other.append("events", "events.csv", "p").ok();
    other.run().ok();
    assert_eq!(other.digest("total"), wanted);
    // The host keeps the bytes: the file may go.
    fs::remove_file(other.path("plugins/any.wasm")).unwrap();
    other.refrain(&["check"]).ok();
    let wrong = file.replace(&by_digest, "plugin = \"blake3:00ff\"");
    other.write("refrain.toml", wrong);
    let said = other.refrain(&["check"]).code(2).err.replace("\n  │ ", " ");
    assert!(said.contains("there is no component blake3:00ff"), "{said}");
}
