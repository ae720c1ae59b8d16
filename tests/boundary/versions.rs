//! Versions: a replay beside the live view, cutover, rollback, retiring, with readers and with kill -9.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use refrain_tests::{Home, Luck, poll};
use serde_json::Value;

const PIPELINE: &str = r#"[topic.flights]
schema = { date = "timestamp", delay = "i64", distance = "i64", origin = "text" }
time = "date"
key = ["origin"]
partitions = 2
disorder = "1h"

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

/// `rows` flights from row `from` on, a minute apart, at 30 airports, up to two hours late.
pub(crate) fn flights_csv(from: usize, rows: usize) -> String {
    let mut text = "date,delay,distance,origin\n".to_owned();
    for i in from..from + rows {
        let mut luck = Luck::of(i as u64);
        let minutes = i as i64
            - if luck.below(50) == 0 {
                luck.below(120) as i64
            } else {
                0
            };
        let us = 978_307_200_000_000 + minutes.max(0) * 60_000_000;
        let seconds = us / 1_000_000;
        let (day, rest) = (seconds / 86_400 - 11_323, seconds % 86_400);
        let date = format!(
            "2001-01-{:02}T{:02}:{:02}:00Z",
            1 + day,
            rest / 3600,
            rest % 3600 / 60
        );
        let (delay, distance) = (luck.below(90) as i64 - 20, 100 + luck.below(2000));
        text += &format!("{date},{delay},{distance},A{}\n", luck.below(30));
    }
    text
}

pub(crate) fn home(rows: usize) -> Home {
    let home = Home::new(PIPELINE).with_plugins(&["flights"]);
    home.write("flights.csv", flights_csv(0, rows));
    home.append("flights", "flights.csv", "p").ok();
    home
}

fn digest_of(home: &Home, which: &[&str]) -> String {
    let arguments = [&["view", "digest", "delays", "--output", "json"], which].concat();
    let rows = home.refrain(&arguments).ok().json();
    rows[0]["digest"].as_str().unwrap().to_owned()
}

fn versions(home: &Home, node: &str) -> Value {
    home.refrain(&["view", "versions", node, "--output", "json"])
        .ok()
        .json()
}

/// The digest of a life in which the option was there from the beginning.
fn wanted(rows: usize, delayed_above: i64) -> String {
    let pipeline = PIPELINE.replace(
        "view = \"delays\"\n\n[node",
        &format!("view = \"delays\"\noptions = {{ delayed_above = {delayed_above} }}\n\n[node"),
    );
    let home = Home::new(&pipeline).with_plugins(&["flights"]);
    home.write("flights.csv", flights_csv(0, rows));
    home.append("flights", "flights.csv", "p").ok();
    home.run().ok();
    home.digest("delays")
}

#[test]
fn a_candidate_is_built_read_by_name_made_live_and_gone_back_from() {
    let home = home(8_000);
    home.run().ok();
    let live = home.digest("delays");
    home.refrain(&["replay", "delays", "--set", "delayed_above=30"])
        .ok()
        .says(&["8,000 rows", "delays@2"]);
    assert_eq!(home.digest("delays"), live, "a replay moves no reader");
    let new = digest_of(&home, &["--version", "2"]);
    assert_eq!(new, wanted(8_000, 30));
    assert_ne!(new, live);

    home.refrain(&["cutover", "delays", "--consumer", "board"])
        .ok();
    assert_eq!(digest_of(&home, &["--consumer", "board"]), new);
    assert_eq!(digest_of(&home, &["--consumer", "report"]), live);
    assert_eq!(home.digest("delays"), live);
    home.refrain(&["retire", "delays", "2", "--confirm"])
        .code(2)
        .says(&["read by board"]);

    home.refrain(&["cutover", "delays", "--candidate", "2"])
        .ok();
    assert_eq!(home.digest("delays"), new);
    assert_eq!(digest_of(&home, &["--consumer", "report"]), new);
    home.refrain(&["rollback", "delays"]).ok();
    assert_eq!(home.digest("delays"), live);
    assert_eq!(
        digest_of(&home, &["--consumer", "board"]),
        new,
        "as before the last cutover"
    );
    home.refrain(&["rollback", "delays", "--consumer", "board"])
        .ok();
    assert_eq!(digest_of(&home, &["--consumer", "board"]), live);

    let list = versions(&home, "delays");
    assert_eq!(list["live"], 1);
    assert_eq!(list["versions"][1]["standing"], "old");
    home.refrain(&["retire", "delays", "2"])
        .ok()
        .says(&["would go", "--confirm"]);
    assert_eq!(digest_of(&home, &["--version", "2"]), new);
    home.refrain(&["retire", "delays", "2", "--confirm"]).ok();
    home.refrain(&["view", "digest", "delays", "--version", "2"])
        .code(2);
    assert_eq!(home.digest("delays"), live);
    home.refrain(&["view", "scan", "delays", "--consumer", "nobody"])
        .code(2)
        .says(&["no consumer nobody", "board, report"]);
}

/// A rebuilt component, a changed option: what runs goes on with the bytes and the options that it was built from.
#[test]
fn versions_go_on_as_they_were_built() {
    let home = home(3_000);
    home.run().ok();
    let live = home.digest("delays");
    home.refrain(&["replay", "delays", "--set", "delayed_above=30"])
        .ok();
    home.write("plugins/flights.wasm", b"\0asm nonsense".as_slice());
    home.write(
        "refrain.toml",
        PIPELINE.replace("lateness = \"1h\"", "lateness = \"3h\""),
    );
    home.write("more.csv", flights_csv(3_000, 2_000));
    home.append("flights", "more.csv", "q").ok();
    // The file does not even load now: nothing runs, and everything is served.
    home.run().code(2);
    assert_eq!(home.digest("delays"), live);
    let home = home.with_plugins(&["flights"]);
    home.run()
        .ok()
        .says(&["version 1 goes on as it was built", "refrain replay delays"]);
    assert_eq!(home.digest("delays"), wanted(5_000, 15));
    assert_eq!(digest_of(&home, &["--version", "2"]), wanted(5_000, 30));
    // What the file says now is built on request.
    home.refrain(&["replay", "delays"]).ok();
    let newest = &versions(&home, "delays")["versions"][2];
    let configuration = newest["configuration"].as_str().unwrap();
    assert!(configuration.contains("\"lateness_us\":10800000000"));
}

/// Readers at full speed while versions change hands: every answer is a whole version, and cuts never go back.
#[test]
fn readers_never_see_a_mixture_or_the_past() {
    let home = Arc::new(home(4_000));
    let running = home.start();
    home.wait_until_taken();
    home.refrain(&["replay", "delays", "--set", "delayed_above=-100"])
        .ok();
    let (over, answers) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (home, over, answers) = (home.clone(), over.clone(), answers.clone());
            std::thread::spawn(move || {
                let mut last = 0;
                while !over.load(Ordering::Relaxed) {
                    let json = home.refrain(&["view", "digest", "delays", "--output", "json"]);
                    let cut = json.ok().json()[0]["cut"].as_u64().unwrap();
                    assert!(cut >= last, "cut {cut} after cut {last}");
                    last = cut;
                    let rows = home.view("delays");
                    let all_delayed = rows.iter().filter(|r| r["flights"] == r["delayed"]).count();
                    let none = rows.len() - all_delayed;
                    // With delays above -100 minutes every flight is delayed; with 15 hardly any day is so.
                    assert!(
                        all_delayed == rows.len() || none > rows.len() / 2,
                        "a mixture"
                    );
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..6 {
        let file = format!("more-{round}.csv");
        home.write(&file, flights_csv(4_000 + round * 500, 500));
        home.append("flights", &file, &file).ok();
        match round % 2 {
            0 => home
                .refrain(&["cutover", "delays", "--candidate", "2"])
                .ok(),
            _ => home.refrain(&["rollback", "delays"]).ok(),
        };
        let seen = answers.load(Ordering::Relaxed);
        poll("readers to look", || {
            (answers.load(Ordering::Relaxed) > seen + 3).then_some(())
        });
    }
    over.store(true, Ordering::Relaxed);
    readers.into_iter().for_each(|r| r.join().unwrap());
    assert_eq!(running.stop(), Some(0));
}

/// kill -9 in the middle of a replay: the same command goes on, and ends where a life without accidents ends.
#[test]
fn a_killed_replay_goes_on_where_it_stood() {
    let mut luck = Luck::printed("killed_replay");
    let home = home(30_000);
    home.run().ok();
    let wanted = wanted(30_000, 40);
    let replay = [
        "replay",
        "delays",
        "--set",
        "delayed_above=40",
        "--rate",
        "60000",
    ];
    for _ in 0..4 {
        let mut child = home
            .command(&replay)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        luck.pause(Duration::from_millis(1500));
        child.kill().ok();
        child.wait().unwrap();
    }
    home.refrain(&replay).ok();
    home.refrain(&replay[..4])
        .ok()
        .says(&["goes on where it stood"]);
    assert_eq!(digest_of(&home, &["--version", "2"]), wanted);
    assert_eq!(
        versions(&home, "delays")["versions"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

/// kill -9 during cutovers: readers read the one or the other, and what was answered holds.
#[test]
fn a_killed_cutover_is_done_or_not_done() {
    let mut luck = Luck::printed("killed_cutover");
    let home = home(3_000);
    home.run().ok();
    home.refrain(&["replay", "delays", "--set", "delayed_above=40"])
        .ok();
    let digests = [
        digest_of(&home, &["--version", "1"]),
        digest_of(&home, &["--version", "2"]),
    ];
    for round in 0..12 {
        let before = versions(&home, "delays")["live"].as_u64().unwrap();
        let to = (3 - before).to_string();
        let cutover = ["cutover", "delays", "--candidate", &to];
        let mut child = home
            .command(&cutover)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        luck.pause(Duration::from_millis(120));
        let ended = child.try_wait().unwrap();
        child.kill().ok();
        child.wait().unwrap();
        let live = versions(&home, "delays")["live"].as_u64().unwrap();
        if ended.is_some_and(|e| e.success()) {
            assert_eq!(
                live.to_string(),
                to,
                "round {round}: what was answered holds"
            );
        }
        assert_eq!(
            home.digest("delays"),
            digests[live as usize - 1],
            "round {round}"
        );
    }
}

/// The same flights, in ten appends.
fn in_parts() -> Home {
    let home = Home::new(PIPELINE).with_plugins(&["flights"]);
    for part in 0..10 {
        let file = format!("part-{part}.csv");
        home.write(&file, flights_csv(part * 1_000, 1_000));
        home.append("flights", &file, &file).ok();
    }
    home.run().ok();
    home
}

/// How many rows of the live version were compared, and how many of both were left out.
fn compared(home: &Home, node: &str) -> (u64, u64) {
    let report = home.refrain(&["validate", node, "--output", "json"]);
    let report = report.ok().json();
    let count = |what: &str, side: usize| report["drift"][what][side].as_u64().unwrap();
    (count("rows", 0), count("skipped", 0) + count("skipped", 1))
}

#[test]
fn windows_that_begin_later_are_compared_where_they_are_whole() {
    let home = in_parts();
    for from in ["2001-01-03T00:00:00Z", "1500"] {
        home.refrain(&["replay", "delays", "--from", from])
            .ok()
            .says(&["begins after sequence", "windows before are not whole"]);
        let (rows, skipped) = compared(&home, "delays");
        assert!(rows > 50 && skipped > 50, "{from}: {rows}, {skipped}");
    }
    let list = versions(&home, "delays");
    let after = |version: usize| {
        list["versions"][version]["start"]["after"]
            .as_u64()
            .unwrap()
    };
    assert!(after(1) > 0 && after(2) > 0, "{list}");
    home.refrain(&["validate", "delays", "--first-divergence"])
        .ok()
        .says(&["equal"]);
    let receipt = home.refrain(&["receipt", "delays", "--version", "2"]).ok();
    home.write("later.receipt", &receipt.out);
    assert_eq!(receipt.json()["lineage"][0]["after"], after(1));
    home.refrain(&["prove", "later.receipt"])
        .ok()
        .says(&["equal"]);
    home.refrain(&["cutover", "delays", "--candidate", "2"])
        .ok()
        .says(&["begins after sequence", "what came before is not in it"]);
    // The version that is read begins later than the one that is looked at: the same rows are compared.
    home.refrain(&["replay", "delays"]).ok();
    assert!(compared(&home, "delays").1 > 50);
}

/// What counts from where it begins is built all the same, says so, and is compared with a table of the same rows alone.
#[test]
fn a_total_that_begins_later_says_so_and_is_compared_with_a_table() {
    let home = in_parts();
    let from = "2001-01-03T00:00:00Z";
    home.refrain(&["replay", "total", "--from", from])
        .ok()
        .says(&["total begins after sequence", "a running total"]);
    for more in [&[][..], &["--first-divergence"]] {
        home.refrain(&[&["validate", "total"][..], more].concat())
            .code(2)
            .says(&[
                "no row of version 2 of node total can be compared with version 1",
                "keeps a running total, which lacks what came before",
                "--against FILE",
            ]);
    }
    home.refrain(&["cutover", "total", "--require", "validated"])
        .code(2)
        .says(&["was not validated"]);
    let export = ["view", "export", "total", "total.csv", "--version", "2"];
    home.refrain(&export).ok();
    let against = ["validate", "total", "--candidate", "2", "--against"];
    home.refrain(&[&against[..], &["total.csv"]].concat()).ok();
    let rows = home.refrain(&[
        "view",
        "scan",
        "total",
        "--version",
        "2",
        "--output",
        "json",
    ]);
    let rows = rows.ok().json();
    let flights = |rows: &Value| -> i64 {
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["flights"].as_i64().unwrap()).sum()
    };
    let list = versions(&home, "total");
    let taken = list["versions"][1]["rows_taken"].as_i64().unwrap();
    assert!(taken > 1_000 && taken < 10_000, "{list}");
    assert_eq!(flights(&rows), taken);
    // Another one from the same point lacks the same: all of it is compared.
    home.refrain(&["cutover", "total"]).ok();
    home.refrain(&[
        "replay",
        "total",
        "--from",
        from,
        "--set",
        "delayed_above=30",
    ])
    .ok();
    home.refrain(&["validate", "total"]).code(3);
    home.refrain(&["replay", "total", "--from", "2001-02-01T00:00:00Z"])
        .code(2)
        .says(&["flights has no rows from that time on"]);
    home.refrain(&["replay", "total", "--from", "999999"])
        .code(2)
        .says(&["flights has no rows from that offset on"]);
    home.refrain(&["replay", "nothing"])
        .code(2)
        .says(&["no node, view or topic"]);
    home.refrain(&["replay", "delays", "--set", "delayed_abov=1"])
        .code(2);
}

#[test]
fn validation_finds_what_differs_and_notes_what_does_not() {
    let home = home(6_000);
    home.run().ok();
    home.refrain(&["replay", "delays", "--set", "delayed_above=30"])
        .ok();
    home.refrain(&["cutover", "delays", "--require", "validated"])
        .code(2)
        .says(&["was not validated"]);
    let report = home
        .refrain(&["validate", "delays", "--output", "json"])
        .code(3)
        .json();
    assert_eq!(report["equal"], false);
    let drift = &report["drift"];
    assert_eq!((&drift["added"], &drift["removed"]), (&0.into(), &0.into()));
    let fields = drift["fields"].as_array().unwrap();
    let changed = |name: &str| {
        let field = fields.iter().find(|f| f["field"] == name).unwrap();
        field["changed"].as_u64().unwrap()
    };
    assert!(changed("delayed") > 10 && changed("flights") == 0);
    home.refrain(&["validate", "delays", "--tolerance", "delayed=100%"])
        .ok();
    // The same again, on what is there by now, beside a running host.
    let running = home.start();
    home.write("more.csv", flights_csv(6_000, 1_000));
    home.append("flights", "more.csv", "q").ok();
    home.refrain(&["replay", "delays"]).ok();
    home.refrain(&["validate", "delays"]).ok().says(&["digest"]);
    home.refrain(&["cutover", "delays", "--require", "validated,lag<1h"])
        .ok();
    assert_eq!(versions(&home, "delays")["live"], 3);
    assert_eq!(running.stop(), Some(0));
    home.run().ok();
}

/// A nightly batch that drops rows which come late, compared with the view: the drift is found, and only it.
#[test]
fn an_outside_table_is_compared_by_its_key() {
    let home = home(6_000);
    home.run().ok();
    home.refrain(&["view", "export", "delays", "batch.csv"])
        .ok();
    home.refrain(&["validate", "delays", "--against", "batch.csv"])
        .ok();
    home.refrain(&["view", "export", "delays", "batch.parquet"])
        .ok();
    home.refrain(&["validate", "delays", "--against", "batch.parquet"])
        .ok();
    let text = std::fs::read_to_string(home.path("batch.csv")).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let cells: Vec<&str> = lines[3].split(',').collect();
    let fewer = cells[2].parse::<i64>().unwrap() - 1;
    let key = cells[0].to_owned();
    lines[3] = [&[cells[0], cells[1], &fewer.to_string()], &cells[3..]]
        .concat()
        .join(",");
    lines.remove(5);
    home.write("batch.csv", lines.join("\n") + "\n");
    let report = home
        .refrain(&[
            "validate",
            "delays",
            "--against",
            "batch.csv",
            "--output",
            "json",
        ])
        .code(3)
        .json();
    let drift = &report["drift"];
    assert_eq!(
        (&drift["removed"], &drift["changed"]),
        (&1.into(), &1.into())
    );
    assert_eq!(drift["shown"][0]["key"][0], key.as_str());
    assert_eq!(drift["shown"][0]["fields"][0][0], "flights");
}

#[test]
fn a_plan_says_what_differs_and_why() {
    let home = home(3_000);
    let plan = home.refrain(&["plan", "--output", "json"]).code(3).json();
    assert_eq!(plan["nodes"][0]["need"], "new");
    home.run().ok();
    home.refrain(&["plan"]).ok().says(&["nothing differs"]);
    let changed = PIPELINE.replacen(
        "view = \"delays\"\n",
        "view = \"delays\"\noptions = { delayed_above = 20 }\n",
        1,
    );
    home.write("refrain.toml", changed);
    let plan = home.refrain(&["plan", "--output", "json"]).code(3).json();
    assert_eq!(plan["nodes"][0]["need"], "replay");
    assert_eq!(plan["nodes"][0]["reasons"][0]["what"], "options");
    assert_eq!(plan["nodes"][0]["rows"], 3_000);
    assert_eq!(plan["nodes"][1]["need"], "same");
    home.refrain(&["replay", "delays"]).ok();
    let plan = home.refrain(&["plan", "--output", "json"]).code(3).json();
    assert_eq!(
        (&plan["nodes"][0]["need"], &plan["nodes"][0]["version"]),
        (&"cutover".into(), &2.into())
    );
    home.refrain(&["cutover", "delays"]).ok();
    home.refrain(&["plan"]).ok();
}
