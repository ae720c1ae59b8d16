//! Process nodes through the program: two topics joined by a key under two names, with timers, a view and a topic. Call sizes,
//! workers, rhythms and kills change nothing.

use std::fmt::Write;
use std::time::Duration;

use refrain_tests::{Home, Luck, count, repository};

const ROWS: usize = 3_000;
pub(crate) const FILES: usize = 6;
const TOPICS: [&str; 3] = ["written", "written.rejected", "pairs.rejected"];

/// How a project runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) partitions: u32,
    pub(crate) call_rows: usize,
    pub(crate) rhythm: &'static str,
}

fn pipeline(way: Way) -> String {
    let Way {
        partitions,
        call_rows,
        rhythm,
    } = way;
    let node = |name: &str, options: &str, output: &str| {
        format!(
            r#"
[node.{name}]
plugin = "oracle_process"
input = {{ left = "orders", right = "payments" }}
key = {{ left = ["order_id"], right = ["id"] }}
timer_step = "2s"
options = {{ {options} }}
call_rows = {call_rows}
rhythm = "{rhythm}"
{output}
"#
        )
    };
    format!(
        r#"
[topic.orders]
schema = {{ at = "timestamp(ms)", order_id = "i64", number = "i64", name = "text", blob = "bytes?" }}
time = "at"
key = ["order_id"]
partitions = {partitions}
disorder = "3s"

[topic.payments]
schema = {{ paid = "timestamp(ms)", id = "i64", flag = "bool", real = "f64", number = "i64?" }}
time = "paid"
key = ["id"]
partitions = {partitions}
disorder = "1s"
{}{}
[run]
commit_interval = "5ms"
"#,
        node("pairs", "gap = 4000000, view = true", "view = \"pairs\""),
        node("written", "gap = 1500000", "topic = \"written\""),
    )
}

/// Orders and payments by turns, in files: some rows late, some refused, some that trap.
fn write_events(home: &Home) {
    let mut luck = Luck::of(31);
    let mut now_ms = 1_700_000_000_000_i64;
    for file in 0..FILES {
        let (mut orders, mut payments) = (String::new(), String::new());
        for row in 0..ROWS / FILES {
            now_ms += luck.below(400) as i64;
            let time = now_ms - luck.below(3_500) as i64;
            let key = luck.below(40);
            let trap = usize::from(row == 77) * 4242;
            let number = if trap > 0 { 4242 } else { luck.below(2000) };
            let _ = writeln!(
                orders,
                r#"{{"at":{time},"order_id":{key},"number":{number},"name":"order {key}"}}"#
            );
            let (key, number) = (luck.below(40), luck.below(60));
            let _ = writeln!(
                payments,
                r#"{{"paid":{},"id":{key},"flag":{},"real":{}.5,"number":{number}}}"#,
                time + luck.below(2_000) as i64,
                number % 2 == 0,
                luck.below(100)
            );
        }
        home.write(&format!("orders{file}.jsonl"), orders);
        home.write(&format!("payments{file}.jsonl"), payments);
    }
}

#[expect(clippy::disallowed_methods, reason = "files of the test")]
pub(crate) fn home(way: Way) -> Home {
    let home = Home::new(&pipeline(way));
    let guest = repository().join("tests/guests/oracle/oracle_process.wasm");
    let bytes = std::fs::read(guest).unwrap();
    home.write("plugins/oracle_process.wasm", bytes);
    write_events(&home);
    home
}

pub(crate) fn append(home: &Home, files: std::ops::Range<usize>) {
    for file in files {
        for topic in ["orders", "payments"] {
            home.append(
                topic,
                &format!("{topic}{file}.jsonl"),
                &format!("{topic}{file}"),
            )
            .ok();
        }
    }
}

/// Digest of the view, and what topics hold.
pub(crate) fn outcome(home: &Home) -> Vec<String> {
    let topics = TOPICS.map(|topic| home.topic_text(topic));
    std::iter::once(home.digest("pairs"))
        .chain(topics)
        .collect()
}

/// One row a call, one worker, all rows at once.
fn wanted(partitions: u32) -> Vec<String> {
    let home = home(Way {
        partitions,
        call_rows: 1,
        rhythm: "once",
    });
    append(&home, 0..FILES);
    home.refrain(&["run", "--once", "--workers", "1"]).ok();
    let outcome = outcome(&home);
    let view = home.view("pairs");
    let has = |cause: &str| view.iter().any(|row| row["cause"] == cause);
    assert!(has("timer") && has("left") && has("right"), "{view:?}");
    for (topic, text) in TOPICS.iter().zip(&outcome[1..]) {
        assert!(text.lines().count() > 20, "{topic} has rows: {text}");
    }
    assert!(outcome[2].contains("trap: "), "some rows trap");
    outcome
}

#[track_caller]
pub(crate) fn same(found: &[String], wanted: &[String], way: &str) {
    assert_eq!(found[0], wanted[0], "digest of the view, {way}");
    for (topic, (found, wanted)) in TOPICS.iter().zip(found[1..].iter().zip(&wanted[1..])) {
        assert_eq!(
            found.lines().count(),
            wanted.lines().count(),
            "{topic}, {way}"
        );
        assert!(found == wanted, "rows of {topic} differ, {way}");
    }
}

#[test]
fn once_every_and_continuous_agree_on_a_join_whatever_the_calls_and_workers() {
    for partitions in [1, 3] {
        let wanted = wanted(partitions);
        for (rhythm, call_rows, workers) in [
            ("once", 7, "2"),
            ("once", 4096, "4"),
            ("every 20ms", 7, "4"),
            ("continuous", 4096, "1"),
        ] {
            let home = home(Way {
                partitions,
                call_rows,
                rhythm,
            });
            let run = ["run", "--workers", workers];
            match rhythm {
                "once" => {
                    append(&home, 0..FILES);
                    home.refrain(&[run[0], "--once", run[1], run[2]]).ok();
                }
                _ => {
                    let running = home.start_under(home.command(&run));
                    append(&home, 0..FILES);
                    home.wait_until_taken();
                    assert_eq!(running.stop(), Some(0));
                }
            }
            let way = format!("{rhythm}, {call_rows} rows a call, {workers} workers");
            same(&outcome(&home), &wanted, &way);
        }
    }
}

#[test]
fn a_killed_join_ends_in_the_same_results_and_fires_no_timer_twice() {
    let mut luck = Luck::printed("killed_joins");
    let wanted = wanted(3);
    let way = Way {
        partitions: 3,
        call_rows: 64,
        rhythm: "continuous",
    };
    let home = home(way);
    for kill in 0..count("REFRAIN_KILLS", 50).div_ceil(6) {
        let rhythm = ["continuous", "every 10ms"][kill % 2];
        home.write("refrain.toml", pipeline(Way { rhythm, ..way }));
        let workers = ["1", "2", "4"][luck.below(3) as usize];
        let running = home.start_under(home.command(&["run", "--workers", workers]));
        if let Some(file) = Some(kill).filter(|file| *file < FILES) {
            for topic in ["orders", "payments"] {
                home.append(
                    topic,
                    &format!("{topic}{file}.jsonl"),
                    &format!("{topic}{file}"),
                )
                .ok();
            }
        }
        luck.pause(Duration::from_millis(120));
        running.kill();
    }
    append(&home, 0..FILES);
    let running = home.start();
    home.wait_until_taken();
    assert_eq!(running.stop(), Some(0));
    same(&outcome(&home), &wanted, "killed");
}

#[test]
fn the_commands_know_the_kind() {
    let home = home(Way {
        partitions: 1,
        call_rows: 4096,
        rhythm: "once",
    });
    let said = home.refrain(&["plugin", "inspect", "oracle_process"]).ok();
    assert!(
        said.out.contains("reads left") && said.out.contains("reads right"),
        "{}",
        said.out
    );
    home.refrain(&["check"]).ok();
    let test = home.refrain(&["plugin", "test", "oracle_process", "--conformance"]);
    test.ok();
}
