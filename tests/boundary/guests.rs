//! Components that misbehave in every way there is: the process lives, the other nodes go on, the message says where, the
//! state is that of the last commit.

use refrain_tests::{Done, Home};

/// One topic, a good node and one that misbehaves. `bad` is `bad` (a fold) or `bad_transform`.
fn home(plugin: &str, behaviour: &str) -> Home {
    let home = Home::new(&pipeline(plugin, behaviour));
    for name in ["bad.wasm", "bad_transform.wasm"] {
        home.write(&format!("plugins/{name}"), crate::guest(name));
    }
    home.write("first.csv", "value,id\n1,1\n0,2\n2,1\n");
    home.write("second.csv", "value,id\n13,2\n3,1\n13,1\n4,3\n");
    home
}

fn pipeline(plugin: &str, behaviour: &str) -> String {
    let key = match plugin {
        "bad" => "key = [\"id\"]",
        _ => "",
    };
    format!(
        r#"[topic.numbers]
schema = {{ value = "i64", id = "i64" }}
key = ["id"]

[node.bad]
plugin = "{plugin}"
input = "numbers"
{key}
view = "bad"
options = {{ behaviour = "{behaviour}" }}
limits = {{ memory = "64MiB", call = "700ms", answer = "8MiB" }}

[node.good]
plugin = "bad"
input = "numbers"
key = ["id"]
view = "good"
"#
    )
}

/// A first run, which goes well unless it misbehaves on every row; then one with the rows that 13 stands in. What the
/// second run said.
fn misbehave(plugin: &str, behaviour: &str) -> (Home, Done) {
    let home = home(plugin, behaviour);
    home.append("numbers", "first.csv", "a").ok();
    home.run();
    let bad = || {
        home.refrain(&["view", "scan", "bad", "--output", "json"])
            .out
    };
    let before = bad();
    home.append("numbers", "second.csv", "b").ok();
    let done = home.run();
    let good = home.view("good");
    assert_eq!(
        (good.len(), &good[0]["sum"]),
        (3, &19.into()),
        "the other node goes on"
    );
    if done.code == Some(4) {
        assert_eq!(
            bad(),
            before,
            "{behaviour}: state is that of the last commit"
        );
    }
    (home, done)
}

#[track_caller]
fn stops(plugin: &str, behaviours: &[&str], parts: &[&str]) {
    for behaviour in behaviours {
        let (_, done) = misbehave(plugin, behaviour);
        assert_eq!(done.code, Some(4), "{behaviour}: {}", done.err);
        let plugin = format!("plugin {plugin}");
        let done = done.says(&["bad stopped: node bad", &plugin, "last commit"]);
        done.says(parts);
    }
}

const WHERE: [&str; 1] = ["topic numbers, partition 0, offsets "];
const SINCE: &str = "rows since the last commit: ";
/// Some of each class end to end; all of them against the host alone: runtime/plugin/tests/misbehaving.rs.
const OF_ANSWERS: [&str; 5] = ["rows-short", "column-type", "null", "ends-beyond", "utf8"];

#[test]
fn limits_stop_the_node_and_lose_no_row() {
    for plugin in ["bad", "bad_transform"] {
        stops(plugin, &["loop"], &["longer than the 700 ms", WHERE[0]]);
        stops(plugin, &["stack"], &["recursed too deeply", WHERE[0]]);
        stops(plugin, &["memory", "memory-quiet"], &["64 MiB", WHERE[0]]);
        stops(plugin, &["fatal"], &["thirteen", WHERE[0]]);
        stops(plugin, &["rejects-beyond"], &WHERE);
    }
}

#[test]
fn malformed_answers_stop_the_node() {
    let evaluate = ["fold.evaluate", SINCE, WHERE[0]];
    stops("bad", &OF_ANSWERS, &evaluate);
    stops("bad", &["huge", "present-short"], &evaluate);
    stops("bad", &["trap-evaluate", "fatal-evaluate"], &evaluate);
    let states = ["save-short", "save-ends-beyond"];
    stops("bad", &states, &["fold.save", SINCE, WHERE[0]]);
    stops(
        "bad_transform",
        &OF_ANSWERS,
        &["transform.process", WHERE[0]],
    );
    stops("bad_transform", &["huge"], &["transform.process", WHERE[0]]);
    let origins = ["origins-beyond", "rejects-kept"];
    stops("bad_transform", &origins, &["transform.process", WHERE[0]]);
}

#[test]
fn rows_that_trap_are_dead_letters_and_leave_no_trace() {
    for plugin in ["bad", "bad_transform"] {
        for behaviour in ["trap", "panic", "divide", "access", "reject"] {
            let (home, done) = misbehave(plugin, behaviour);
            done.ok();
            let rejected = home.topic("bad.rejected");
            let offsets: Vec<_> = rejected.iter().map(|row| row["offset"].as_u64()).collect();
            assert_eq!(offsets, [Some(3), Some(5)], "{plugin} {behaviour}");
            assert!(rejected.iter().all(|row| row["topic"] == "numbers"));
            let trapped = |row: &serde_json::Value| {
                let reason = row["reason"].as_str().unwrap_or_default();
                reason.starts_with("trap: ") && !reason.contains("trapped")
            };
            assert!(behaviour == "reject" || rejected.iter().all(trapped));
            let sums: i64 = home
                .view("bad")
                .iter()
                .filter_map(|row| row["sum"].as_i64())
                .sum();
            assert_eq!(sums, 1 + 2 + 3 + 4, "{plugin} {behaviour}");
        }
    }
}

#[test]
fn a_trap_that_a_fresh_instance_does_not_repeat_rejects_nothing() {
    for plugin in ["bad", "bad_transform"] {
        let (home, done) = misbehave(plugin, "trap-third-call");
        done.ok();
        assert_eq!(home.rows("bad.rejected"), 0);
    }
}

#[test]
fn a_running_host_survives_its_plugins() {
    let home = home("bad", "loop");
    let mut running = home.start();
    home.append("numbers", "first.csv", "a").ok();
    home.append("numbers", "second.csv", "b").ok();
    let scan = ["view", "scan", "good", "--output", "json"];
    refrain_tests::poll("the good node to take all rows", || {
        // Before its first commit there is no view.
        let done = home.refrain(&scan);
        (done.code == Some(0) && done.json().as_array()?.len() == 3).then_some(())
    });
    assert!(running.lives());
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.wait(), Some(4), "{}", running.said());
}

#[test]
fn what_is_no_plugin_is_refused_and_said_why() {
    let folder = refrain_tests::repository().join("tests/guests/bad/load");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let mut said = String::new();
    for name in names {
        let bytes = crate::guest(&format!("load/{name}"));
        let bytes = match name.ends_with(".wat") {
            true => wat::parse_bytes(&bytes).unwrap().into_owned(),
            false => bytes,
        };
        let home = home("bad", "none");
        home.write("plugins/bad.wasm", bytes);
        let done = home.run().code(2);
        let why = done
            .err
            .replace(&home.root().display().to_string(), "PROJECT");
        said.push_str(&format!("== {name}\n{why}\n"));
    }
    insta::assert_snapshot!(said);
}
