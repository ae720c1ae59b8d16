//! The first row of the log after which two versions of a view differ, against what the test knows of its rows.

use refrain_tests::{Home, Luck, repository};
use serde_json::Value;

use crate::versions::flights_csv;

const PIPELINE: &str = r#"[topic.flights]
schema = { date = "timestamp", delay = "i64", distance = "i64", origin = "text" }
time = "date"
key = ["origin"]
partitions = 1
disorder = "10m"

[node.delays]
plugin = "flights"
input = "flights"
key = ["origin"]
window = { tumbling = "1d", lateness = "3h", as = "day" }
view = "delays"

[run]
commit_interval = "20ms"
"#;

/// So many appends of so many rows.
fn home(appends: usize, rows: usize) -> Home {
    let home = Home::new(PIPELINE).with_plugins(&["flights"]);
    for part in 0..appends {
        let file = format!("flights-{part}.csv");
        home.write(&file, flights_csv(part * rows, rows));
        home.append("flights", &file, &file).ok();
    }
    home
}

fn search(home: &Home, more: &[&str]) -> Value {
    let arguments = [
        "validate",
        "delays",
        "--first-divergence",
        "--output",
        "json",
    ];
    let done = home.refrain(&[&arguments, more].concat()).code(3);
    done.json()["first_divergence"].clone()
}

fn field<'a>(row: &'a Value, name: &str) -> &'a str {
    let fields = row.as_array().unwrap().iter();
    let mut its = fields.filter(|field| field[0] == name);
    its.next().unwrap()[1].as_str().unwrap()
}

/// With one partition, rows by offset are rows in log order.
#[test]
fn the_first_row_that_an_option_tells_apart() {
    let home = home(12, 500);
    home.run().ok();
    home.refrain(&["replay", "delays", "--set", "delayed_above=67"])
        .ok();
    home.refrain(&[
        "replay",
        "delays",
        "--set",
        "delayed_above=15",
        "--rate",
        "1000000",
    ])
    .ok();
    let rows = home.topic("flights");
    let parts = |row: &&Value| (16..=67).contains(&row["delay"].as_i64().unwrap());
    let wanted = rows.iter().find(parts).unwrap();
    let found = search(&home, &["--candidate", "2"]);
    let point = &found["outcome"]["found"];
    assert_eq!(point["row"]["offset"], wanted["@offset"]);
    assert_eq!(field(&point["row"]["fields"], "date"), wanted["date"]);
    let view = &point["views"][0];
    assert_eq!(view["fields"][0], "delayed");
    assert_eq!(field(&view["left_after"], "delayed"), "1");
    assert_eq!(field(&view["right_after"], "delayed"), "0");
    assert_eq!(view["left_before"], view["right_before"]);
    assert_eq!(point["left"]["what"], "taken");
    assert_ne!(
        point["left"]["states"][0]["after"],
        point["right"]["states"][0]["after"]
    );
    // Nothing is searched for where nothing differs; a limit is kept.
    home.refrain(&[
        "validate",
        "delays",
        "--candidate",
        "3",
        "--first-divergence",
    ])
    .ok()
    .says(&["equal, row by row"]);
    let tolerance = [
        "--tolerance",
        "delayed=0.5%",
        "--candidate",
        "2",
        "--limit",
        "1",
    ];
    let found = search(&home, &tolerance);
    assert!(found["outcome"]["gave_up"].is_u64(), "{found}");
}

/// The first row that only one of two versions takes, among many appends, beside a running host that goes on appending.
#[test]
fn the_first_row_that_is_late_for_one_of_them() {
    let home = home(40, 200);
    let running = home.start();
    home.wait_until_taken();
    home.write(
        "refrain.toml",
        PIPELINE.replace("lateness = \"3h\"", "lateness = \"0s\""),
    );
    home.refrain(&["replay", "delays"]).ok();
    let offsets = |topic: &str| -> Vec<u64> {
        let rows = home.topic(topic);
        rows.iter().map(|r| r["offset"].as_u64().unwrap()).collect()
    };
    let (was, is) = (offsets("delays.late"), offsets("delays@2.late"));
    let wanted = is.iter().filter(|offset| !was.contains(offset)).min();
    let before = home.digest("delays");
    let found = search(&home, &[]);
    let point = &found["outcome"]["found"];
    assert_eq!(point["row"]["offset"], *wanted.unwrap());
    assert_eq!(
        (&point["left"]["what"], &point["right"]["what"]),
        (&"taken".into(), &"late".into())
    );
    let reason = point["right"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("late: event time"), "{reason}");
    let view = &point["views"][0];
    assert_eq!(view["left_before"], view["right_before"]);
    assert_eq!(view["right_before"], view["right_after"]);
    assert_eq!(
        home.digest("delays"),
        before,
        "nothing that is read was touched"
    );
    assert_eq!(running.stop(), Some(0));
}

/// Behind a transform that gives some rows several times, spread over tasks by another key than the topic's.
#[test]
fn the_row_of_the_source_behind_a_derived_topic() {
    const CHAIN: &str = r#"[topic.events]
schema = { at = "timestamp", ka = "text?", kb = "i64?", kc = "bool?", kd = "timestamp?", ke = "bytes?", flag = "bool?", number = "i64?", real = "f64?", name = "text?", blob = "bytes?", moment = "timestamp?" }
time = "at"
key = ["ka"]
partitions = 3

[node.clean]
plugin = "oracle_transform"
input = "events"
topic = "cleaned"

[node.delays]
plugin = "oracle"
input = "cleaned"
key = ["kb"]
partitions = 4
view = "delays"
"#;
    let mut luck = Luck::printed("derived_divergence");
    let home = Home::new(CHAIN);
    for name in ["oracle", "oracle_transform"] {
        let guest = repository().join(format!("tests/guests/oracle/{name}.wasm"));
        let bytes = std::fs::read(guest);
        home.write(&format!("plugins/{name}.wasm"), bytes.unwrap());
    }
    // Thirteens are refused; multiples of eleven may be.
    let fine = |n: &u64| (*n..n + 4).all(|n| n != 13 && n % 11 != 0);
    let refused = 7 + luck.below(20);
    for append in 0..40 {
        let mut text = String::new();
        for row in 0..25 {
            let number = match append == refused || append == refused + 5 {
                true if row == 11 => 13,
                _ => loop {
                    let number = luck.below(1000);
                    if fine(&number) {
                        break number;
                    }
                },
            };
            text += &format!(
                "{{\"at\":\"2020-01-01T00:{append:02}:{row:02}Z\",\"ka\":\"k{}\",\"kb\":{},\"number\":{number},\"name\":\"n\"}}\n",
                luck.below(9),
                luck.below(9)
            );
        }
        let file = format!("events-{append}.jsonl");
        home.write(&file, text);
        home.append("events", &file, &file).ok();
    }
    home.run().ok();
    home.refrain(&["replay", "delays", "--set", "refuse=false"])
        .ok();
    let found = search(&home, &[]);
    let point = &found["outcome"]["found"];
    assert_eq!(point["topic"], "events");
    let fields = &point["row"]["fields"];
    assert_eq!(field(fields, "number"), "13");
    assert_eq!(
        field(fields, "at"),
        format!("2020-01-01T00:{refused:02}:11Z")
    );
    assert_eq!(
        (&point["left"]["what"], &point["left"]["reason"]),
        (&"rejected".into(), &"thirteen".into())
    );
    assert_eq!(point["right"]["what"], "taken");
}
