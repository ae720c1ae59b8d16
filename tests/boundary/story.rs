//! docs/lambda-to-kappa.md, command by command, as a reader would run it.

use std::process::Command;

use refrain_tests::{Home, program, repository};
use serde_json::Value;

/// A fenced block of a page: what stands behind the fence, and its lines.
struct Block {
    head: String,
    lines: Vec<String>,
}

fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(repository().join("docs").join(page)).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(_), true) => open = false,
            (Some(head), false) => {
                open = true;
                blocks.push(Block {
                    head: head.to_owned(),
                    lines: Vec::new(),
                });
            }
            (None, true) => blocks.last_mut().unwrap().lines.push(line.to_owned()),
            (None, false) => {}
        }
    }
    blocks
}

/// One command in the project, by the shell; what it printed and said. It ends as the page says.
fn run(home: &Home, command: &str) -> String {
    let path = std::env::var("PATH").unwrap();
    let folder = program().parent().unwrap().display().to_string();
    let done = Command::new("sh")
        .args(["-c", command])
        .current_dir(home.root())
        .env("PATH", format!("{folder}:{path}"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    let code = command.split_once("# exit code ").map_or("0", |(_, c)| c);
    assert_eq!(
        done.status.code(),
        Some(code.trim().parse().unwrap()),
        "{command}\n{said}"
    );
    said.into_owned()
}

#[test]
fn the_story_runs_as_it_is_told() {
    let home = Home::new("").with_plugins(&["flights"]);
    let mut said = Vec::new();
    for block in blocks("lambda-to-kappa.md") {
        if let Some((_, file)) = block.head.split_once("file=") {
            home.write(file, block.lines.join("\n") + "\n");
        }
        if block.head == "console" {
            for line in &block.lines {
                let command = line.strip_prefix("$ ").unwrap();
                said.push((command.to_owned(), run(&home, command)));
            }
        }
        // What the page shows is what was said last, but for the time and the breaks of lines.
        if block.head == "text" {
            let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let last = flat(&said.last().unwrap().1);
            for part in flat(&block.lines.join("\n")).split("...") {
                assert!(last.contains(part.trim()), "{part}\n{last}");
            }
        }
    }
    let of = |beginning: &str| {
        let found = said
            .iter()
            .find(|(command, _)| command.starts_with(beginning));
        found.map(|(_, said)| said.as_str()).unwrap()
    };
    // The deliberate drift: one row in 250 after the first day is late.
    let drift = of("refrain validate delays --against nightly.csv  ");
    assert!(
        drift.contains("only in the first, 0 only in the second"),
        "{drift}"
    );
    let parts = of("refrain validate delays --candidate 2 --first-divergence");
    assert!(parts.contains("version 1: taken"), "{parts}");
    assert!(parts.contains("version 2: late"), "{parts}");
    let row = |text: &str| {
        let line = text.lines().find(|line| line.trim().starts_with("date: "));
        line.unwrap().to_owned()
    };
    let explained = of("refrain validate delays --against nightly.csv --first-divergence");
    assert_eq!(row(explained), row(parts), "both name the same row");
    // A year of days, the last one with its late rows: in months, bytes and money.
    let kept = home.refrain(&["retention", "--output", "json"]).ok().json();
    let mut its = kept
        .as_array()
        .unwrap()
        .iter()
        .filter(|t| t["topic"] == "flights");
    let flights = its.next().unwrap();
    let number = |name: &str| flights[name].as_f64().unwrap();
    let near = |a: f64, b: f64| (a - b).abs() < b * 1e-9;
    assert_eq!(number("months_needed"), 367.5 / 30.0);
    assert_eq!(flights["needed_by"], "node delays");
    assert_eq!(flights["short"], false);
    // One a minute, the last of them reported late.
    assert!(
        near(number("months"), 19_998.0 / (30.0 * 1440.0)),
        "{flights}"
    );
    assert!(near(
        number("bytes_per_month"),
        number("bytes") / number("months")
    ));
    assert!(near(
        number("bytes_needed"),
        number("bytes_per_month") * 12.25
    ));
    assert!(near(
        number("cost_needed_per_month"),
        number("bytes_needed") * 0.1e-9
    ));
    assert!(near(
        number("cost_kept_per_month"),
        number("bytes_per_month") * 24.0 * 0.1e-9
    ));
    let told = of("refrain retention");
    assert!(
        told.contains("all topics: EUR ") && told.contains("12.25"),
        "{told}"
    );
    // Readers are where the page leaves them, and nothing is left of the batch.
    let versions = home.refrain(&["view", "versions", "delays", "--output", "json"]);
    let versions = versions.ok().json();
    assert_eq!(
        (
            &versions["live"],
            versions["versions"].as_array().unwrap().len()
        ),
        (&1.into(), 1)
    );
}

/// A rule that keeps less than it takes to compute anew what is live is told, by `check` and by `retention`.
#[test]
fn a_rule_that_keeps_too_little_is_told() {
    let file = |more: &str| {
        let block = blocks("lambda-to-kappa.md").into_iter();
        let mut block = block.filter(|b| b.head == "toml file=refrain.toml");
        block
            .next()
            .unwrap()
            .lines
            .join("\n")
            .replace("24 months", "30d")
            + more
    };
    let home = Home::new(&file("")).with_plugins(&["flights"]);
    let told =
        "topic `flights` is kept for 30d, and node delays needs 367d 12h to be computed anew";
    home.refrain(&["check"])
        .ok()
        .says(&["short-retention", told]);
    home.write("flights.csv", crate::versions::flights_csv(0, 4_000));
    home.append("flights", "flights.csv", "p").ok();
    home.run().ok();
    home.refrain(&["retention"])
        .ok()
        .says(&["topic flights is kept for 30d: node delays needs 12.25 months"]);
    // What begins with the first row needs everything, which is priced by what is there.
    let text = file("").replace("keep   = \"365d\"\n", "");
    home.write("refrain.toml", &text);
    home.refrain(&["check"])
        .ok()
        .says(&["node delays needs all of it"]);
    home.refrain(&["run", "--once", "--rebuild", "delays"]).ok();
    let list = home.refrain(&["retention", "--output", "json"]).ok().json();
    let flights = list
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["topic"] == "flights");
    let flights = flights.unwrap();
    assert_eq!(
        (&flights["months_needed"], &flights["short"]),
        (&Value::Null, &true.into())
    );
    assert_eq!(flights["bytes_needed"].as_f64(), flights["bytes"].as_f64());
    let shown = home.refrain(&["retention"]).ok();
    assert!(shown.out.contains("for ever"), "{}", shown.out);
    // What is meant so is allowed with its reason.
    let allowed = "\n[allow]\nshort-retention = { flights = \"what is older than a month is never corrected\" }\n";
    home.write("refrain.toml", file(allowed));
    let checked = home.refrain(&["check"]).ok();
    assert!(!checked.err.contains("is kept for"), "{}", checked.err);
}

/// A check is judged on the rows that readers are about to get, and nobody is moved when it does not hold.
#[test]
fn a_cutover_is_refused_when_a_check_does_not_hold() {
    const PIPELINE: &str = r#"[topic.flights]
schema = { date = "timestamp", delay = "i64", distance = "i64", origin = "text" }
time = "date"
key = ["origin"]

[node.delays]
plugin = "flights"
input = "flights"
key = ["origin"]
window = { tumbling = "1d", as = "day" }
view = "delays"

[check.sane]
view = "delays"
not_null = ["delay_mean"]
accepted_range = { delayed = { min = 1 } }
same_sum = { flights = "0%" }

[check.few]
view = "delays"
rows = { max = 3 }
"#;
    let home = Home::new(PIPELINE).with_plugins(&["flights"]);
    home.write("flights.csv", crate::versions::flights_csv(0, 4_000));
    home.append("flights", "flights.csv", "p").ok();
    home.run().ok();
    home.refrain(&["replay", "delays", "--set", "delayed_above=1000"])
        .ok()
        .says(&["to take: 4,000 rows", "cost: ", "by default prices"]);
    let refused = home.refrain(&["cutover", "delays", "--require", "check:sane"]);
    refused.code(2).says(&[
        "check sane does not hold for version 2",
        "accepted_range delayed 1 or more: not in",
        "nobody was moved",
    ]);
    let report = home.refrain(&[
        "validate", "delays", "--check", "sane", "--check", "few", "--output", "json",
    ]);
    let report = report.code(3).json();
    let holds = |condition: &str| {
        let results = report["results"].as_array().unwrap().iter();
        let mut its = results.filter(|r| r["condition"].as_str().unwrap().starts_with(condition));
        its.next().unwrap()["holds"].as_bool().unwrap()
    };
    assert!(holds("not_null delay_mean") && holds("same_sum flights 0%"));
    assert!(!holds("accepted_range delayed") && !holds("rows 3 or less"));
    home.refrain(&["validate", "delays", "--candidate", "1", "--check", "sane"])
        .ok();
    home.refrain(&["replay", "delays", "--set", "delayed_above=2"])
        .ok();
    home.refrain(&["cutover", "delays", "--require", "check:sane"])
        .ok();
    home.refrain(&[
        "cutover",
        "delays",
        "--candidate",
        "1",
        "--require",
        "check:none",
    ])
    .code(2)
    .says(&["no check", "sane"]);
    home.write(
        "refrain.toml",
        PIPELINE.replace("[\"delay_mean\"]", "[\"delay_men\"]"),
    );
    home.refrain(&["check"]).code(2);
}
