//! What a move between versions requires, and what a plan says of nodes that need no replay: against what a user could
//! take for granted.

use refrain_tests::{Home, poll, repository};
use serde_json::Value;

use crate::versions::flights_csv;

const PIPELINE: &str = r#"[topic.flights]
schema = { date = "timestamp", delay = "i64", distance = "i64", origin = "text" }
time = "date"
key = ["origin"]

[topic.noise]
schema = { text = "text" }

[node.delays]
plugin = "flights"
input = "flights"
key = ["origin"]
window = { tumbling = "1d", lateness = "1h", as = "day" }
view = "delays"

[node.total]
plugin = "flights"
input = "flights"
key = ["origin"]
view = "total"

[consumer.board]
view = "delays"
freshness = "1m"

[consumer.report]
view = "delays"

[run]
commit_interval = "20ms"
"#;

fn home(rows: usize) -> Home {
    let home = Home::new(PIPELINE).with_plugins(&["flights"]);
    home.write("flights.csv", flights_csv(0, rows));
    home.append("flights", "flights.csv", "p").ok();
    home.run().ok();
    home
}

/// One flight of that delay.
fn flight(home: &Home, origin: &str, delay: i64) {
    let text = format!("date,delay,distance,origin\n2001-01-03T00:00:00Z,{delay},100,{origin}\n");
    home.write("one.csv", text);
    home.refrain(&["topic", "append", "flights", "one.csv"])
        .ok();
}

fn live(home: &Home, node: &str) -> u64 {
    let list = home.refrain(&["view", "versions", node, "--output", "json"]);
    list.ok().json()["live"].as_u64().unwrap()
}

/// What `refrain plan` says of a node.
fn planned(home: &Home, node: &str, code: i32) -> Value {
    let plan = home.refrain(&["plan", "--output", "json"]);
    let plan = plan.code(code).json();
    let mut its = plan["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["node"] == node);
    its.next().unwrap().clone()
}

fn reasons(change: &Value) -> Vec<&str> {
    let reasons = change["reasons"].as_array().unwrap().iter();
    reasons.map(|r| r["what"].as_str().unwrap()).collect()
}

/// A topic that the version does not read grows without end, and is none of its business.
#[test]
fn a_lag_is_that_of_what_a_version_reads() {
    let home = home(3_000);
    home.refrain(&["replay", "delays", "--set", "delayed_above=30"])
        .ok();
    home.write("noise.csv", "text\na\n");
    home.append("noise", "noise.csv", "n").ok();
    home.refrain(&["cutover", "delays", "--require", "lag<1ms"])
        .ok();
    flight(&home, "A1", 5);
    home.refrain(&[
        "cutover",
        "delays",
        "--candidate",
        "1",
        "--require",
        "lag<1ms",
    ])
    .code(2)
    .says(&["behind, which is not less than 1ms"]);
    assert_eq!(live(&home, "delays"), 2);
}

/// Rows of which nothing comes to a node make no commit of it; it has got past them all the same.
#[test]
fn a_lag_is_not_of_rows_that_come_to_nothing() {
    const CHAIN: &str = r#"[topic.events]
schema = { at = "timestamp", ka = "text?", kb = "i64?", kc = "bool?", kd = "timestamp?", ke = "bytes?", flag = "bool?", number = "i64?", real = "f64?", name = "text?", blob = "bytes?", moment = "timestamp?" }
time = "at"

[node.clean]
plugin = "oracle_transform"
input = "events"
topic = "cleaned"

[node.near]
plugin = "oracle"
input = "cleaned"
key = ["kb"]
view = "near"
"#;
    let home = Home::new(CHAIN);
    for name in ["oracle", "oracle_transform"] {
        let guest = repository().join(format!("tests/guests/oracle/{name}.wasm"));
        home.write(
            &format!("plugins/{name}.wasm"),
            std::fs::read(guest).unwrap(),
        );
    }
    let append = |name: &str, number: u64| {
        let row = format!("{{\"at\":\"2020-01-01T00:00:00Z\",\"kb\":1,\"number\":{number}}}\n");
        home.write(name, row);
        home.append("events", name, name).ok();
    };
    append("one.jsonl", 1);
    let running = home.start();
    home.wait_until_taken();
    home.refrain(&["replay", "near", "--set", "hide=3"]).ok();
    // A number that four divides comes to no row.
    append("none.jsonl", 4);
    poll(
        "the candidate to get past a row of which nothing comes",
        || {
            let move_to = ["cutover", "near", "--require", "lag<1ms"];
            (home.refrain(&move_to).code == Some(0)).then_some(())
        },
    );
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_consumer_that_nobody_declared_is_not_moved() {
    let home = home(2_000);
    home.refrain(&["replay", "delays", "--set", "delayed_above=30"])
        .ok();
    for verb in ["cutover", "rollback"] {
        home.refrain(&[verb, "delays", "--consumer", "bord"])
            .code(2)
            .says(&["no consumer bord; did you mean board?", "board, report"]);
    }
    let other = [
        "cutover",
        "total",
        "--candidate",
        "1",
        "--consumer",
        "board",
    ];
    home.refrain(&other)
        .code(2)
        .says(&["view total has no consumer board", "[consumer.board]"]);
    let list = home.refrain(&["view", "versions", "delays", "--output", "json"]);
    let consumers = list.ok().json()["consumers"].clone();
    assert_eq!(consumers, serde_json::json!([["board", 1], ["report", 1]]));
}

/// What was found equal once is judged again on the rows that readers are about to get.
#[test]
fn a_validation_holds_at_the_cut_of_the_move() {
    let home = home(0);
    (0..20).for_each(|i| flight(&home, &format!("A{i}"), 5));
    home.refrain(&["replay", "delays", "--set", "delayed_above=30"])
        .ok();
    home.refrain(&["cutover", "delays", "--require", "validated"])
        .code(2)
        .says(&["was not validated against version 1"]);
    home.refrain(&["validate", "delays"]).ok().says(&["digest"]);
    // Delayed by 20 minutes is late for the one and not for the other.
    flight(&home, "A1", 20);
    let refused = home.refrain(&["cutover", "delays", "--require", "validated"]);
    refused
        .code(2)
        .says(&["was found equal to version 1 at cut", "nobody was moved"]);
    assert_eq!(live(&home, "delays"), 1);
    // Within the tolerance that the validation had it still holds, beyond it no more.
    home.refrain(&["validate", "delays", "--tolerance", "delayed=1"])
        .ok();
    flight(&home, "A2", 20);
    let running = home.start();
    home.wait_until_taken();
    home.refrain(&["cutover", "delays", "--require", "validated"])
        .ok();
    assert_eq!(live(&home, "delays"), 2);
    home.refrain(&["rollback", "delays"]).ok();
    flight(&home, "A2", 20);
    let again = [
        "cutover",
        "delays",
        "--candidate",
        "2",
        "--require",
        "validated",
    ];
    home.refrain(&again).code(2).says(&["nobody was moved"]);
    assert_eq!(running.stop(), Some(0));
}

/// What changes how a node works and not what comes out is told beside a running host, and nothing when none runs.
#[test]
fn a_plan_says_what_a_restart_would_change() {
    let home = home(1_000);
    let running = home.start();
    home.refrain(&["plan"]).ok();
    let changed = PIPELINE
        .replacen(
            "view = \"delays\"\n",
            "view = \"delays\"\nrhythm = \"every 1m\"\ncall_rows = 512\n",
            1,
        )
        .replace("[run]\n", "[state]\nstore = \"disk\"\n\n[run]\n");
    home.write("refrain.toml", &changed);
    let change = planned(&home, "delays", 3);
    assert_eq!(change["need"], "restart");
    assert_eq!(reasons(&change), ["rhythm", "call rows", "state"]);
    assert_eq!(change["reasons"][1]["is"], "512");
    assert_eq!(reasons(&planned(&home, "total", 3)), ["state"]);
    assert_eq!(running.stop(), Some(0));
    home.refrain(&["plan"]).ok().says(&["nothing differs"]);
    let running = home.start();
    home.refrain(&["plan"]).ok();
    assert_eq!(running.stop(), Some(0));
}

/// A node that is taken out of the file rests: the plan says so, retention keeps what it has not read, and when nobody
/// wants it any more it is retired, the live version last.
#[test]
fn a_node_taken_out_of_the_file_rests_until_it_is_retired() {
    let home = home(1_000);
    home.refrain(&["replay", "total", "--set", "delayed_above=30"])
        .ok();
    let start = PIPELINE.find("[node.total]").unwrap();
    let end = PIPELINE.find("[consumer.board]").unwrap();
    let without = PIPELINE.replace(&PIPELINE[start..end], "");
    home.write("refrain.toml", &without);
    let change = planned(&home, "total", 3);
    assert_eq!(
        (&change["need"], &change["live"]),
        (&"removed".into(), &1.into())
    );
    let told = home.refrain(&["plan"]).code(3).out;
    assert!(
        told.contains("removed") && told.contains("refrain retire total 1"),
        "{told}"
    );
    flight(&home, "A1", 5);
    home.run().ok();
    let trim = ["topic", "trim", "flights", "--before", "2100-01-01"];
    home.refrain(&trim).ok().says(&["nothing has been changed"]);
    let slowest = home.refrain(&["retention", "--output", "json"]).ok().json();
    let flights = slowest
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["topic"] == "flights");
    assert_eq!(flights.unwrap()["slowest"], "node total");
    home.refrain(&["retire", "total", "1", "--confirm"])
        .code(2)
        .says(&["retire these first: 2"]);
    home.refrain(&["retire", "total", "2", "--confirm"]).ok();
    home.refrain(&["retire", "total", "1"])
        .ok()
        .says(&["would go"]);
    home.refrain(&["retire", "total", "1", "--confirm"]).ok();
    home.refrain(&["plan"]).ok();
    home.refrain(&["retire", "total", "1"])
        .code(2)
        .says(&["no node"]);
    // Put back, it begins anew.
    home.write("refrain.toml", PIPELINE);
    home.run().ok();
    let rows: i64 = home
        .view("total")
        .iter()
        .map(|r| r["flights"].as_i64().unwrap())
        .sum();
    assert_eq!(rows, 1_001);
}
