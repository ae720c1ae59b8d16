//! The README, literally, on a copy of the checkout's layout: the demo and what it shows, the plugin of 20 lines, the node
//! that runs it, and a change from plan to rollback. What sets up and what tests is what the gate runs.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use refrain_tests::{Done, Home, program, repository};

/// The blocks of the README in this language.
fn blocks(language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let fence = format!("```{language}\n");
    let parts = text.split(&fence).skip(1);
    let blocks = parts.map(|part| part.split("```").next().unwrap().to_owned());
    blocks.collect()
}

/// A block of a console: what is typed first, and what it shows.
fn typed(block: &str) -> (&str, Vec<&str>) {
    let mut lines = block.lines();
    let first = lines.next().unwrap();
    (first.strip_prefix("$ ").unwrap(), lines.collect())
}

/// A line as it is typed, in this folder; both kinds of output in the order in which a terminal has them.
fn shell(folder: &Path, line: &str) -> Done {
    let mut command = Command::new("sh");
    let tools = program().parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .args(["-c", &format!("{{ {line}\n}} 2>&1")])
        .current_dir(folder)
        .env("PATH", format!("{tools}:{path}"))
        .env("COLUMNS", "100")
        .stdin(Stdio::null());
    Done::of(command)
}

/// Every line that is shown is one of those that came, in their order and next to each other; `...` stands for any lines.
#[track_caller]
fn shows(shown: &[&str], came: &str) {
    let mut rest = came.lines();
    let mut anywhere = true;
    for line in shown {
        if *line == "..." {
            anywhere = true;
            continue;
        }
        let found = match anywhere {
            true => rest.any(|came| came == *line),
            false => rest.next() == Some(*line),
        };
        assert!(
            found,
            "{line:?} is shown, and did not come there in:\n{came}"
        );
        anywhere = false;
    }
}

#[test]
fn what_sets_up_and_what_tests_is_what_the_gate_runs() {
    let consoles = blocks("console");
    let text = |path: &str| std::fs::read_to_string(repository().join(path)).unwrap();
    let setup: Vec<&str> = consoles[0].lines().collect();
    let build = "cargo build --release --workspace --all-targets";
    assert_eq!(setup, ["$ .ci/setup", &format!("$ {build}")]);
    assert!(text(".ci/run").lines().any(|line| line == build));
    let (test, shown) = typed(&consoles[2]);
    assert!(
        text(".ci/steps.sh").lines().any(|line| line.trim() == test),
        "{test}"
    );
    assert!(shown[0].trim_start().starts_with("Summary ["), "{shown:?}");
    // All that it asks for is here: it says so and installs nothing.
    let done = shell(&repository(), ".ci/setup").ok();
    assert!(done.out.contains("cargo-nextest "), "{}", done.out);
}

#[test]
fn what_the_readme_types_comes_to_what_it_shows() {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(place.path().join("target/release")).unwrap();
    symlink(program(), place.path().join("target/release/refrain")).unwrap();
    let consoles = blocks("console");
    let (demo, shown) = typed(&consoles[1]);
    let done = shell(place.path(), demo).ok();
    shows(&shown, &done.out);
    let again = shell(place.path(), demo).code(2);
    assert!(
        again.out.contains("name another folder with --dir"),
        "{}",
        again.out
    );

    let home = Home::at(&place.path().join("refrain-demo"));
    let digest = home.digest("delays");
    let says = |way: &str| format!("{way:<12} {digest}");
    assert!(done.out.contains(&says("as a batch")), "{}", done.out);
    assert!(done.out.contains(&says("as a stream")), "{}", done.out);
    assert_eq!(home.rows("flights"), 200_000);
    a_plugin_and_a_change(&home, &consoles[3]);
    home.append("flights", "flights.parquet", "again").ok();
    home.run().ok();
    assert_eq!(home.rows("flights"), 400_000);
    home.refrain(&["check"]).ok();
}

/// The plugin of the README takes the place of the demo's, and readers go to it and back.
fn a_plugin_and_a_change(home: &Home, console: &str) {
    let day = |consumer: &[&str]| {
        let words = [
            "view",
            "get",
            "delays",
            "ORD",
            "2001-01-06",
            "--output",
            "json",
        ];
        home.refrain(&[&words, consumer].concat()).ok().json()[0].clone()
    };
    let before = day(&[]);
    home.refrain(&["plugin", "new", "delays"]).ok();
    home.write("plugins/delays/src/lib.rs", &blocks("rust")[0]);
    home.refrain(&["plugin", "build", "delays"]).ok();
    let file = std::fs::read_to_string(home.path("refrain.toml")).unwrap();
    let (head, rest) = file.split_once("[node.delays]").unwrap();
    let (_, tail) = rest.split_once("[consumer").unwrap();
    let node = &blocks("toml")[0];
    home.write("refrain.toml", format!("{head}{node}\n[consumer{tail}"));
    let lines: Vec<&str> = console
        .lines()
        .map(|line| line.strip_prefix("$ ").unwrap())
        .collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    for line in lines {
        // `plan` says so when something is to be done.
        let code = if line.starts_with("refrain plan") {
            3
        } else {
            0
        };
        let done = shell(home.root(), line).code(code);
        if line.starts_with("refrain cutover") {
            let (now, mean) = (day(&["--consumer", "ops-board"]), "delay_mean");
            assert_eq!(now["flights"], before["flights"], "{}", done.out);
            assert_eq!(now[mean], before[mean]);
            assert_eq!(now["distance_sum"], serde_json::Value::Null);
        }
    }
    assert_eq!(day(&["--consumer", "ops-board"]), before);
}

/// A demo for programs: its digests were once told on stderr alone.
#[test]
fn the_demo_is_data_where_data_is_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let done = Done::of({
        let mut command = Command::new(program());
        command.current_dir(place.path());
        command.args(["demo", "--dir", "demo", "--output", "json"]);
        command
    });
    let json = done.ok().json();
    let digests = &json["digests"];
    assert_eq!(digests["as a batch"], digests["as a stream"]);
    assert_eq!(json["airports"].as_array().unwrap().len(), 10);
    let home = Home::at(&place.path().join("demo"));
    assert_eq!(digests["as a batch"], home.digest("delays"));
}
