//! The fields of a topic: the pipeline file edited beside a running host, and topics that are altered.

use std::time::Duration;

use refrain_tests::{Home, Luck, count, repository};
use serde_json::{Value, json};

use crate::versions::{flights_csv, home};

fn edit(home: &Home, from: &str, to: &str) {
    let path = home.path("refrain.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    home.write("refrain.toml", text.replace(from, to));
}

/// A replay read `distance` as `delay` once, when the file named them in another order than the log.
#[test]
fn fields_in_another_order_are_the_same_fields() {
    let home = home(2_000);
    let running = home.start();
    home.wait_until_taken();
    let live = home.digest("delays");
    edit(
        &home,
        "delay = \"i64\", distance = \"i64\"",
        "distance = \"i64\", delay = \"i64\"",
    );
    home.refrain(&["replay", "delays"]).ok();
    let candidate = [
        "view",
        "digest",
        "delays",
        "--version",
        "2",
        "--output",
        "json",
    ];
    let candidate = home.refrain(&candidate).ok().json();
    assert_eq!(candidate[0]["digest"], live);
    home.refrain(&["plan"]).ok();
    home.write("more.csv", flights_csv(2_000, 500));
    home.append("flights", "more.csv", "q").ok();
    home.wait_until_taken();
    let live = home.digest("delays");
    assert_eq!(running.stop(), Some(0));
    home.run().ok();
    assert_eq!(home.digest("delays"), live);
    assert_eq!(home.rows("flights"), 2_500);
}

/// They read the log by places in the file's schema once.
#[test]
fn nothing_is_planned_for_rows_that_the_log_does_not_have() {
    let home = home(1_000);
    let running = home.start();
    home.wait_until_taken();
    edit(&home, "delay = \"i64\"", "taxi = \"i64?\", delay = \"i64\"");
    let says = [
        "refrain topic alter flights",
        "the field `taxi: i64?` is new",
    ];
    home.refrain(&["replay", "delays"]).code(2).says(&says);
    let plan = home.refrain(&["plan", "--output", "json"]).code(3).json();
    assert_eq!(plan["topics"][0]["need"], "alter");
    assert_eq!(plan["topics"][0]["reasons"][0], says[1]);
    home.refrain(&["upgrade", "delays"]).code(2).says(&says);
    assert_eq!(running.stop(), Some(0));
}

/// It was dropped once, and nobody was told.
#[test]
fn a_column_that_the_topic_does_not_have_is_not_dropped() {
    let home = home(1_000);
    let running = home.start();
    edit(&home, "delay = \"i64\"", "taxi = \"i64?\", delay = \"i64\"");
    home.write(
        "new.csv",
        "date,delay,distance,origin,taxi\n2001-01-02T00:00:00Z,1,2,A1,7\n",
    );
    home.append("flights", "new.csv", "new").code(2).says(&[
        "topic flights has another schema in the log",
        "the field `taxi: i64?` is new",
        "refrain topic alter flights",
    ]);
    assert_eq!(home.rows("flights"), 1_000);
    assert_eq!(running.stop(), Some(0));
}

const EVENTS: &str = r#"[topic.events]
schema = { at = "timestamp", id = "i64", amount = "i64", flag = "bool?" }
time = "at"
key = ["id"]
partitions = 2
disorder = "1m"

[node.total]
plugin = "first"
input = "events"
key = ["id"]
view = "total"

[run]
commit_interval = "10ms"
"#;

const OLD: &str = "at = \"timestamp\"";
const NEW: &str = "note = \"text?\", delay = \"i64 = 5\", distance = { type = \"i64\", default = 100 }, at = \"timestamp\"";

/// A project whose topic has what `first` reads, and lacks what `flights` reads.
fn events(pipeline: &str) -> Home {
    let home = Home::new(pipeline).with_plugins(&["flights"]);
    let first = repository().join("tests/guests/upgrade/first.wasm");
    home.write("plugins/first.wasm", std::fs::read(first).unwrap());
    home
}

/// `rows` events of 10 ids from number `from` on; with a note, by one who knows the new schema.
fn rows_csv(from: usize, rows: usize, noted: bool) -> String {
    let mut text = format!("at,id,amount,flag{}\n", if noted { ",note" } else { "" });
    for i in from..from + rows {
        let (hour, minute) = (i / 60, i % 60);
        let flag = ["true", "false", ""][i % 3];
        text += &format!(
            "2001-01-01T{hour:02}:{minute:02}:00Z,{},{},{flag}",
            i % 10,
            i * 3
        );
        text += if noted { ",n\n" } else { "\n" };
    }
    text
}

fn append(home: &Home, from: usize, rows: usize, noted: bool) {
    let name = format!("{from}.csv");
    home.write(&name, rows_csv(from, rows, noted));
    home.append("events", &name, &name).ok();
}

fn version(home: &Home) -> u64 {
    let topic = home.refrain(&["topic", "describe", "events", "--output", "json"]);
    let topic = topic.ok().json();
    topic["versions"].as_array().unwrap().len() as u64
}

#[test]
fn a_topic_is_altered_beside_a_running_host() {
    let home = events(EVENTS);
    append(&home, 0, 300, false);
    let running = home.start();
    home.wait_until_taken();
    let live = home.digest("total");
    home.refrain(&["receipt", "total", "-o", "before.receipt"])
        .ok();

    edit(&home, OLD, NEW);
    home.write("300.csv", rows_csv(300, 100, true));
    home.append("events", "300.csv", "300").code(2).says(&[
        "the field `note: text?` is new",
        "refrain topic alter events",
    ]);
    home.refrain(&["topic", "alter", "events"]).ok().says(&[
        "the field `delay: i64` is new",
        "300 rows would be read as it",
        "--confirm",
    ]);
    assert_eq!(version(&home), 1);
    let done = home.refrain(&["topic", "alter", "events", "--confirm", "--output", "json"]);
    let done = done.ok().json();
    assert_eq!((&done["version"], &done["done"]), (&json!(2), &json!(true)));
    home.refrain(&["topic", "alter", "events", "--confirm"])
        .ok()
        .says(&["has the schema of the pipeline file already"]);
    assert_eq!(home.digest("total"), live);

    // A receipt of a cut is the same before and after, and holds.
    home.refrain(&["receipt", "total", "-o", "after.receipt"])
        .ok();
    let read = |name: &str| std::fs::read_to_string(home.path(name)).unwrap();
    assert_eq!(read("before.receipt"), read("after.receipt"));
    home.refrain(&["prove", "before.receipt"])
        .ok()
        .says(&["equal"]);

    // Rows of those who know the new fields and of those who do not.
    append(&home, 300, 100, true);
    append(&home, 400, 50, false);
    home.write(
        "one.jsonl",
        "{\"at\":\"2001-01-01T09:00:00Z\",\"id\":1,\"amount\":1,\"delay\":60}\n",
    );
    home.append("events", "one.jsonl", "one").ok();
    home.wait_until_taken();
    let plan = home.refrain(&["plan", "--output", "json"]).ok().json();
    assert_eq!(
        (&plan["topics"][0]["need"], &plan["nodes"][0]["need"]),
        (&json!("same"), &json!("same"))
    );
    home.refrain(&["receipt", "total", "-o", "later.receipt"])
        .ok();

    // A plugin that reads the new fields, over all rows.
    home.refrain(&["replay", "total", "--plugin", "flights"])
        .ok();
    let scan = [
        "view",
        "scan",
        "total",
        "--version",
        "2",
        "--output",
        "json",
    ];
    let rows = home.refrain(&scan).ok().json();
    let sum = |field: &str| -> i64 {
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row[field].as_i64().unwrap()).sum()
    };
    assert_eq!((sum("flights"), sum("distance_sum")), (451, 45_100));
    assert_eq!((sum("delay_sum"), sum("delayed")), (450 * 5 + 60, 1));
    let candidate = ["receipt", "total", "--version", "2", "-o", "new.receipt"];
    home.refrain(&candidate).ok();

    let live = home.digest("total");
    assert_eq!(running.stop(), Some(0));
    home.run().ok();
    assert_eq!(home.digest("total"), live);
    for receipt in ["before.receipt", "later.receipt", "new.receipt"] {
        home.refrain(&["prove", receipt]).ok().says(&["equal"]);
    }
    let last = home.topic("events");
    assert!(last.iter().all(|row| row["distance"] == 100));
    let noted = last.iter().filter(|row| row["note"] == "n");
    assert_eq!(noted.count(), 100);

    // As if the fields had been there from the beginning.
    let other = events(&EVENTS.replace(OLD, NEW));
    append(&other, 0, 300, false);
    append(&other, 300, 100, true);
    append(&other, 400, 50, false);
    other.write("one.jsonl", read("one.jsonl"));
    other.append("events", "one.jsonl", "one").ok();
    other.run().ok();
    assert_eq!(other.digest("total"), live);
}

#[test]
fn until_a_topic_is_altered_everything_is_read_and_nothing_runs() {
    let home = events(EVENTS);
    append(&home, 0, 100, false);
    home.run().ok();
    let live = home.digest("total");
    edit(&home, OLD, NEW);
    let says = ["topic events", "refrain topic alter events"];
    home.run().code(2).says(&says);
    home.refrain(&["status"]).ok();
    home.refrain(&["plan"])
        .code(3)
        .says(&["another schema", "events"]);
    assert_eq!(home.digest("total"), live);
    assert_eq!(home.topic("events")[0].get("note"), None);
    home.write("x.csv", rows_csv(100, 1, false));
    home.append("events", "x.csv", "x").code(2).says(&says);
    home.refrain(&["replay", "total"]).code(2).says(&says);
    home.refrain(&["topic", "alter", "events", "--confirm"])
        .ok();
    home.append("events", "x.csv", "x").ok();
    home.run().ok();
    assert_eq!(home.rows("events"), 101);

    // What cannot be is refused with what to do, everywhere.
    let file = std::fs::read_to_string(home.path("refrain.toml")).unwrap();
    for (from, to, says) in [
        (", amount = \"i64\"", "", "declare it again"),
        ("amount = \"i64\"", "amount = \"f64\"", "2^53"),
        (
            "amount = \"i64\"",
            "amount = \"i64\", more = \"i64\"",
            "`i64?`",
        ),
        ("id = \"i64\"", "id = \"i64?\"", "it is a key"),
        ("partitions = 2", "partitions = 3", "number of partitions"),
    ] {
        home.write("refrain.toml", file.replace(from, to));
        let alter = home.refrain(&["topic", "alter", "events", "--confirm"]);
        alter.code(2).says(&[says, "declare a new topic"]);
    }
    home.run().code(2).says(&["number of partitions"]);
    home.write("refrain.toml", file);
    home.run().ok();
    assert_eq!(version(&home), 2);
}

/// What any version of a node reads as it was stays as it is.
#[test]
fn what_a_version_reads_is_not_changed_under_it() {
    let home = events(EVENTS);
    append(&home, 0, 100, false);
    home.run().ok();
    let file = std::fs::read_to_string(home.path("refrain.toml")).unwrap();
    home.write(
        "refrain.toml",
        file.replace("amount = \"i64\"", "amount = \"i64?\""),
    );
    home.refrain(&["topic", "alter", "events", "--confirm"])
        .code(2)
        .says(&[
            "node total (plugin first) reads `amount` as i64",
            "does not take null",
        ]);
    // Nobody reads the flag.
    home.write(
        "refrain.toml",
        file.replace("flag = \"bool?\"", "flag = \"i64?\""),
    );
    home.refrain(&["topic", "alter", "events", "--confirm"])
        .ok();
    let flags: Vec<Value> = home
        .topic("events")
        .iter()
        .map(|row| row["flag"].clone())
        .collect();
    let seen = |flag: Value| flags.iter().filter(|f| **f == flag).count();
    assert_eq!(
        (seen(json!(1)), seen(json!(0)), seen(Value::Null)),
        (34, 33, 33)
    );
    home.run().ok();
}

#[test]
fn a_savepoint_from_before_is_restored_and_altered_again() {
    let home = events(EVENTS);
    append(&home, 0, 100, false);
    home.run().ok();
    home.refrain(&["savepoint", "create", "before"]).ok();
    let before = home.digest("total");
    edit(&home, OLD, NEW);
    home.refrain(&["topic", "alter", "events", "--confirm"])
        .ok();
    append(&home, 100, 50, true);
    home.run().ok();
    let after = home.digest("total");
    home.refrain(&["savepoint", "create", "after"]).ok();
    // In place the results go back and the topics stay: what came since is read again, as it is now.
    home.refrain(&["savepoint", "restore", "before", "--confirm"])
        .ok();
    let restored = (version(&home), home.digest("total"));
    assert_eq!(restored, (2, before.clone()));
    home.run().ok();
    assert_eq!(home.digest("total"), after);
    // A project of its own has the topic as it was.
    let into = home.path("copy");
    let restore = |name: &str| {
        let into = into.to_str().unwrap();
        home.refrain(&["savepoint", "restore", name, "--into", into])
            .ok();
        Home::at(&home.path("copy"))
    };
    let copy = restore("before");
    assert_eq!((version(&copy), copy.digest("total")), (1, before));
    edit(&copy, OLD, NEW);
    copy.run().code(2).says(&["refrain topic alter events"]);
    copy.refrain(&["topic", "alter", "events", "--confirm"])
        .ok();
    append(&copy, 100, 50, true);
    copy.run().ok();
    assert_eq!(copy.digest("total"), after);
    std::fs::remove_dir_all(copy.root()).unwrap();
    let copy = restore("after");
    assert_eq!((version(&copy), copy.digest("total")), (2, after));
    copy.run().ok();
}

#[test]
fn rows_rejected_before_are_appended_after() {
    let home = events(EVENTS);
    home.write(
        "bad.jsonl",
        "{\"at\":\"2001-01-01T00:00:00Z\",\"id\":1,\"amount\":1,\"flag\":7}\n{\"at\":\"2001-01-01T00:00:00Z\",\"id\":2,\"amount\":1,\"flag\":\"?\"}\n",
    );
    home.append("events", "bad.jsonl", "bad").ok();
    assert_eq!(home.rows("events.rejected"), 2);
    append(&home, 0, 3, false);
    edit(
        &home,
        "flag = \"bool?\"",
        "flag = \"i64?\", delay = \"i64 = 5\"",
    );
    let resubmit = ["rejected", "resubmit", "events.rejected", "--confirm"];
    home.refrain(&["topic", "alter", "events", "--confirm"])
        .ok();
    home.refrain(&resubmit).ok();
    assert_eq!(home.rows("events"), 4, "one of them still does not decode");
    let rows = home.topic("events");
    let flags: Vec<&Value> = rows
        .iter()
        .filter(|r| r["id"] == 1)
        .map(|r| &r["flag"])
        .collect();
    assert!(flags.contains(&&json!(7)), "{rows:?}");
    assert!(rows.iter().all(|row| row["delay"] == 5));
}

/// Whoever is killed while a topic is altered, it is as it was or as it is to be.
#[test]
fn kill_9_leaves_one_version_or_the_other() {
    let mut luck = Luck::printed("alter_kills");
    for _ in 0..count("REFRAIN_KILLS", 50).div_ceil(12) {
        let home = events(EVENTS);
        append(&home, 0, 100, false);
        let running = home.start();
        home.wait_until_taken();
        let live = home.digest("total");
        edit(&home, OLD, NEW);
        let mut alter = home.command(&["topic", "alter", "events", "--confirm"]);
        let mut alter = alter.stderr(std::process::Stdio::null()).spawn().unwrap();
        luck.pause(Duration::from_millis(25));
        running.kill();
        let told = alter.wait().unwrap().success();
        assert!(version(&home) == 2 || !told);
        assert_eq!(home.digest("total"), live);
        home.refrain(&["topic", "alter", "events", "--confirm"])
            .ok();
        append(&home, 100, 20, true);
        home.run().ok();
        assert_eq!(home.topic("events").len(), 120);
    }
}

/// A plugin that asks for the wider type is refused while the topic has the narrower one, and taken once it is altered: rows
/// from before come to it as the wider type.
#[test]
fn a_plugin_that_asks_for_the_wider_type_is_taken_once_the_topic_has_it() {
    let topic = |amount: &str| {
        format!(
            "[topic.events]\nschema = {{ at = \"timestamp\", id = \"i64\", amount = \"{amount}\" }}\ntime = \"at\"\n"
        )
    };
    let node =
        "\n[node.total]\nplugin = \"up\"\ninput = \"events\"\nkey = [\"id\"]\nview = \"total\"\n";
    let home = Home::new(&topic("bool"));
    let guest = refrain_tests::repository().join("tests/guests/upgrade/first.wasm");
    home.write("plugins/up.wasm", std::fs::read(guest).unwrap());
    home.write(
        "before.csv",
        "at,id,amount\n2001-01-01T00:00:00Z,1,true\n2001-01-01T00:00:01Z,1,false\n2001-01-01T00:00:02Z,1,true\n",
    );
    home.append("events", "before.csv", "before").ok();
    home.write("refrain.toml", topic("bool") + node);
    home.refrain(&["check"]).code(2).says(&[
        "reads `amount` as i64; topic `events` has it as bool",
        "declare it as i64 in the topic",
    ]);
    home.write("refrain.toml", topic("i64") + node);
    home.refrain(&["check"]).ok();
    home.refrain(&["run", "--once"])
        .code(2)
        .says(&["refrain topic alter events"]);
    home.refrain(&["topic", "alter", "events", "--confirm"])
        .ok();
    home.write("after.csv", "at,id,amount\n2001-01-01T00:00:03Z,1,40\n");
    home.append("events", "after.csv", "after").ok();
    home.run().ok();
    let row = &home.view("total")[0];
    assert_eq!((&row["rows"], &row["sum"]), (&4.into(), &42.into()));
}
