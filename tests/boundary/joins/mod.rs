//! The joins, de-duplication and top N of the SDK through the real program: what they give is what a model finds that knows
//! all rows at once, and the same at once, in parts, in calls of any size, with any number of workers, and after kill -9.

mod model;
pub(crate) mod rows;

use std::collections::BTreeSet;
use std::time::Duration;

use refrain_tests::{Home, Luck, Running};
use serde_json::Value;

use self::model::Given;
use self::rows::{Row, append, parts, rows};

const ROWS: usize = 600;
const NODES: [&str; 5] = ["led", "priced", "charged", "first", "top"];

fn home(partitions: usize, call_rows: usize) -> Home {
    let topic = |name: &str, key: &str, rest: &str| {
        format!(
            "[topic.{name}]\nschema = {{ at = \"timestamp(ms)\", {key} = \"i64\", {rest} }}\ntime = \"at\"\nkey = [\"{key}\"]\n\
             disorder = \"5s\"\npartitions = {partitions}\n\n"
        )
    };
    let topics = [
        topic("purchases", "user", "order_id = \"i64\", amount = \"i64\""),
        topic("views", "user", "content_id = \"i64\""),
        topic("sales", "product", "sale_id = \"i64\", pieces = \"i64\""),
        topic("prices", "product", "cents = \"i64?\""),
        topic(
            "events",
            "event_id",
            "content_id = \"i64\", watch_ms = \"i64\", kind = \"text\"",
        ),
    ];
    let nodes = format!(
        r#"
[node.led]
plugin = "purchases_with_views"
input = {{ purchases = "purchases", views = "views" }}
key = ["user"]
options = {{ before = "20s" }}
topic = "led"
call_rows = {call_rows}

[node.priced]
plugin = "priced"
input = {{ sales = "sales", prices = "prices" }}
key = ["product"]
topic = "priced"
call_rows = {call_rows}

[node.charged]
plugin = "charged"
input = {{ sales = "sales", prices = "prices" }}
key = ["product"]
topic = "charged"
call_rows = {call_rows}

[node.first]
plugin = "first_seen"
input = "events"
key = ["event_id"]
options = {{ horizon = "30s" }}
topic = "first"
call_rows = {call_rows}

[node.top]
plugin = "top_content"
input = "events"
key = ["kind"]
options = {{ count = 4, horizon = "15s" }}
view = "top"
call_rows = {call_rows}

[run]
commit_interval = "20ms"
"#
    );
    let plugins = [
        "purchases_with_views",
        "priced",
        "charged",
        "first_seen",
        "top_content",
    ];
    Home::new(&(topics.concat() + &nodes)).with_plugins(&plugins)
}

/// All that the nodes have given: the topics as they stand, the view's digest, the rejected rows.
fn outcome(home: &Home) -> Vec<String> {
    let topics = ["led", "priced", "charged", "first"].map(|topic| home.topic_text(topic));
    let rejected = NODES.map(|node| home.topic_text(&format!("{node}.rejected")));
    let mut all = [topics.to_vec(), rejected.to_vec()].concat();
    all.push(home.digest("top"));
    all
}

fn once(partitions: usize, call_rows: usize, rows: &[Row]) -> Vec<String> {
    let home = home(partitions, call_rows);
    append(&home, "all", rows);
    home.run().ok();
    outcome(&home)
}

#[track_caller]
fn same(one: &[String], other: &[String]) {
    for (one, other) in one.iter().zip(other) {
        assert_eq!(one, other);
    }
}

/// These columns of all rows.
fn given(rows: &[Value], columns: &[&str], rejected: u64) -> Given {
    let value = |value: &Value| match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    let all: Vec<_> = rows
        .iter()
        .map(|row| columns.iter().map(|column| value(&row[*column])).collect())
        .collect();
    let count = all.len();
    let rows: BTreeSet<_> = all.into_iter().collect();
    assert_eq!(rows.len(), count, "a row is there twice");
    Given { rows, rejected }
}

#[test]
fn the_joins_give_what_a_model_finds() {
    let mut luck = Luck::printed("joins_model");
    let (mut rejected, mut alone, mut differ) = ([0; 4], [0; 3], false);
    for _ in 0..2 {
        let rows = rows(luck.next(), ROWS);
        let home = home(1, 1 + luck.below(200) as usize);
        append(&home, "all", &rows);
        home.run().ok();
        let of = |node: &str, columns: &[&str]| {
            let shown = match node {
                "top" => home.view(node),
                _ => home.topic(node),
            };
            given(&shown, columns, home.rows(&format!("{node}.rejected")))
        };
        let led = of("led", &["user", "order_id", "amount", "content_id"]);
        assert_eq!(led, model::led(&rows, 20_000));
        let priced = of(
            "priced",
            &["product", "sale_id", "pieces", "cents", "total_cents"],
        );
        assert_eq!(priced, model::priced(&rows));
        let charged = of(
            "charged",
            &["product", "sale_id", "pieces", "cents", "total_cents"],
        );
        assert_eq!(charged, model::charged(&rows));
        differ |= charged.rows != priced.rows;
        let first = of("first", &["event_id", "watch_ms"]);
        assert_eq!(first, model::first_seen(&rows, 30_000));
        let top = of("top", &["kind", "rank", "content_id", "events", "watch_ms"]);
        assert_eq!(top, model::top(&rows, 4, 15_000));
        for (count, given) in rejected.iter_mut().zip([&led, &priced, &first, &top]) {
            *count += given.rejected;
        }
        for (count, given) in alone.iter_mut().zip([&led, &priced, &charged]) {
            *count += given.rows.iter().filter(|row| row[3].is_none()).count();
        }
    }
    assert!(
        !rejected.contains(&0),
        "rows come too late for each: {rejected:?}"
    );
    assert!(
        !alone.contains(&0),
        "some find nobody, some no price: {alone:?}"
    );
    assert!(
        differ,
        "the price of the time is that of the place in the log"
    );
}

#[test]
fn call_sizes_and_workers_change_no_join() {
    let mut luck = Luck::printed("joins_calls");
    let rows = rows(luck.next(), ROWS);
    let wanted = once(3, 4096, &rows);
    same(&once(3, 1, &rows), &wanted);
    let home = home(3, 7);
    append(&home, "all", &rows);
    home.refrain(&["run", "--once", "--workers", "2"]).ok();
    same(&outcome(&home), &wanted);
}

#[test]
fn joins_are_the_same_while_rows_come_in_and_from_time_to_time() {
    let mut luck = Luck::printed("joins_rhythms");
    let rows = rows(luck.next(), ROWS);
    let wanted = once(3, 4096, &rows);
    let parts = || parts(&rows, 4).into_iter().enumerate();

    let in_parts = home(3, 4096);
    for (i, part) in parts() {
        append(&in_parts, &format!("part{i}"), part);
        in_parts.run().ok();
    }
    same(&outcome(&in_parts), &wanted);

    for rhythm in ["continuous", "every 30ms"] {
        let live = home(3, 4096);
        let text = std::fs::read_to_string(live.path("refrain.toml")).unwrap();
        let rhythm = format!("call_rows = 4096\nrhythm = \"{rhythm}\"");
        live.write("refrain.toml", text.replace("call_rows = 4096", &rhythm));
        let running = live.start();
        for (i, part) in parts() {
            append(&live, &format!("part{i}"), part);
        }
        live.wait_until_taken();
        assert_eq!(running.stop(), Some(0));
        same(&outcome(&live), &wanted);
    }
}

#[test]
fn joins_are_the_same_after_kills() {
    let mut luck = Luck::printed("joins_kills");
    let rows = rows(luck.next(), ROWS);
    let wanted = once(3, 4096, &rows);
    let home = home(3, 50);
    for (i, part) in parts(&rows, 6).into_iter().enumerate() {
        let workers = ["1", "2"][luck.below(2) as usize];
        let running: Running = home.start_under(home.command(&["run", "--workers", workers]));
        append(&home, &format!("part{i}"), part);
        luck.pause(Duration::from_millis(60));
        running.kill();
    }
    home.run().ok();
    same(&outcome(&home), &wanted);
}
