//! What befalls plugin authors: plugins that do not build, have no fixtures or a bad name, components that would take the
//! place of others.

use std::fs;

use refrain_tests::{Home, component, events_csv, repository};

/// A plugin that was never built, or that does not build, was once left out of a test of all.
#[test]
fn a_test_of_all_plugins_leaves_none_out() {
    let home = Home::new("").with_plugins(&["views_only"]);
    home.refrain(&["plugin", "new", "broken"]).ok();
    home.write(
        "plugins/broken/src/lib.rs",
        "use refrain_sdk::prelude::*;\nnonsense\n",
    );
    home.refrain(&["plugin", "new", "fresh", "--kind", "map"])
        .ok();
    home.write("plugins/text.wasm", "no component");
    let case = "plugins/views_only/fixtures/views";
    let theirs = repository().join("plugins/views_only/fixtures");
    let theirs = fs::read_dir(theirs).unwrap().next().unwrap().unwrap();
    for file in fs::read_dir(theirs.path()).unwrap().flatten() {
        let name = file.file_name();
        home.write(
            &format!("{case}/{}", name.display()),
            fs::read(file.path()).unwrap(),
        );
    }
    let words = ["plugin", "test", "--junit", "report.xml", "--output", "csv"];
    let done = home.refrain(&words).code(2);
    let done = done.says(&["broken: FAILED", "views_only/views: passed"]);
    let outcome = |suite: &str| {
        let line = done.out.lines().find(|line| line.starts_with(suite));
        line.unwrap_or_else(|| panic!("{suite}: {}", done.out))
            .split(',')
            .nth(2)
            .unwrap()
            .to_owned()
    };
    assert_eq!(outcome("broken"), "failed");
    assert_eq!(outcome("text"), "failed");
    assert_eq!(outcome("views_only"), "passed");
    assert!(["passed", "skipped"].contains(&outcome("fresh").as_str()));
    assert!(home.path("plugins/fresh.wasm").is_file(), "it was built");
    let report = fs::read_to_string(home.path("report.xml")).unwrap();
    assert!(
        report.contains(r#"<testsuite name="broken" tests="1" failures="1""#),
        "{report}"
    );
}

#[test]
fn a_plugin_without_fixtures_is_skipped_and_that_is_said() {
    let home = Home::new("").with_plugins(&["flights"]);
    let done = home.refrain(&["plugin", "test", "flights"]).ok();
    done.says(&["flights: no fixtures: make a folder"]);
    let file = home.path("plugins/flights.wasm").display().to_string();
    home.refrain(&["plugin", "test", &file])
        .code(2)
        .says(&["fixtures belong to a plugin of a project", "--conformance"]);
}

#[test]
fn a_map_is_a_transform() {
    let home = Home::new("");
    home.refrain(&["plugin", "new", "one", "--kind", "map"])
        .ok();
    home.refrain(&["plugin", "new", "two", "--kind", "transform"])
        .ok();
    let source =
        |name: &str| fs::read_to_string(home.path(&format!("plugins/{name}/src/lib.rs"))).unwrap();
    assert!(source("one").contains("export_transform!"));
    let (one, two) = (source("one"), source("two"));
    assert_eq!(one.lines().count(), two.lines().count());
    let help = home.refrain(&["plugin", "new", "--help"]).ok().out;
    assert!(help.contains("`map` is the same"), "{help}");
}

/// A name with `../` once put a component outside of plugins/, and another one was overwritten without a word.
#[test]
fn a_component_takes_no_other_place_than_its_own() {
    let home = Home::engagement();
    let guest = |name: &str| repository().join(format!("tests/guests/languages/{name}.wasm"));
    let add = |name: &str, more: &[&str]| {
        let file = guest("c").display().to_string();
        home.refrain(&[&["plugin", "add", &file, "--name", name], more].concat())
    };
    for name in ["../x", "a/b", "", ".hidden", "x.wasm", "/x"] {
        add(name, &[])
            .code(2)
            .says(&["is no name of a plugin", "--name"]);
    }
    assert!(!home.path("x.wasm").exists());
    let before = fs::read(home.path("plugins/engagement.wasm")).unwrap();
    add("engagement", &[])
        .code(2)
        .says(&["is another component", "--replace", "--name"]);
    assert_eq!(
        fs::read(home.path("plugins/engagement.wasm")).unwrap(),
        before
    );
    home.refrain(&["plugin", "new", "mine"]).ok();
    add("mine", &[])
        .code(2)
        .says(&["is the folder of a plugin", "plugin build", "--name"]);
    assert!(!home.path("plugins/mine.wasm").exists());
    // What is replaced is kept, and its digest still names it.
    home.write("events.csv", events_csv(9, 1_000));
    home.append("events", "events.csv", "p").ok();
    home.run().ok();
    let wanted = home.digest("engagement");
    add("engagement", &["--replace"])
        .ok()
        .says(&["is kept as", ".kept"]);
    let inspect = |file: &str| {
        let words = ["plugin", "inspect", file, "--output", "json"];
        home.refrain(&words).ok().json()["digest"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let digest = inspect(&component("engagement").display().to_string());
    let kept = home.path(&format!("plugins/.kept/{digest}.wasm"));
    assert_eq!(fs::read(kept).unwrap(), before);
    assert_ne!(inspect("engagement"), digest);
    let file = fs::read_to_string(home.path("refrain.toml")).unwrap();
    let by_digest = format!("plugin = \"blake3:{digest}\"");
    let other = Home::new(&file.replace("plugin = \"engagement\"", &by_digest));
    for path in [
        format!(".kept/{digest}"),
        "engagement_total".into(),
        "views_only".into(),
    ] {
        let path = format!("plugins/{path}.wasm");
        other.write(&path, fs::read(home.path(&path)).unwrap());
    }
    other.write("events.csv", events_csv(9, 1_000));
    other.append("events", "events.csv", "p").ok();
    other.run().ok();
    assert_eq!(other.digest("engagement"), wanted);
    // The same bytes again are no other component.
    add("engagement", &[]).ok();
}

#[test]
fn a_new_project_is_where_it_is_asked_for() {
    let place = Home::new("");
    place
        .refrain(&["--project", "one", "init"])
        .ok()
        .says(&["made one"]);
    place.refrain(&["init", "two"]).ok().says(&["made two"]);
    assert!(place.path("one/refrain.toml").is_file() && place.path("two/refrain.toml").is_file());
    place
        .refrain(&["--project", "three", "init", "four"])
        .code(2)
        .says(&["two folders are named"]);
    place.refrain(&["init"]).code(2).says(&["which folder?"]);
    assert!(!place.path("three").exists() && !place.path("four").exists());
    place
        .refrain(&["demo", "--project", "one"])
        .code(2)
        .says(&["--dir"]);
}
