//! The forms of what is printed: every command that reads answers as tables, as one document of JSON, and as one table
//! of CSV.

use refrain_tests::{Done, Home, events_csv, pipeline};
use serde_json::Value;

const READERS: &str = r#"
[consumer.board]
view = "engagement"
freshness = "1h"

[check.busy]
view = "engagement"
rows = { min = 1 }
"#;

/// A project that has something to say on everything: late and refused rows, a consumer, a candidate that differs, a
/// savepoint.
fn home() -> Home {
    let home = Home::new(&(pipeline() + READERS)).with_plugins(&[
        "engagement",
        "engagement_total",
        "views_only",
    ]);
    let events = events_csv(44, 6_000).replacen("\n1", "\nnever", 1);
    home.write("events.csv", events);
    home.append("events", "events.csv", "p").ok();
    home.run().ok();
    home.refrain(&["savepoint", "create", "monday"]).ok();
    home
}

/// Records of CSV: cells of a line; none of what is asked has a line end in a cell.
fn records(text: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| {
        let (mut cells, mut cell, mut inside) = (Vec::new(), String::new(), false);
        for c in line.chars() {
            match c {
                '"' => inside = !inside,
                ',' if !inside => cells.push(std::mem::take(&mut cell)),
                c => cell.push(c),
            }
        }
        cells.push(cell);
        cells
    };
    text.lines().map(cells).collect()
}

/// One table: a header, and rows of as many cells.
#[track_caller]
fn one_table(command: &str, done: &Done) -> Vec<Vec<String>> {
    let records = records(&done.out);
    let header = records
        .first()
        .unwrap_or_else(|| panic!("{command}: nothing is printed"));
    let mut names: Vec<&String> = header.iter().collect();
    names.sort();
    names.dedup();
    assert_eq!(
        names.len(),
        header.len(),
        "{command}: names differ: {header:?}"
    );
    for record in &records[1..] {
        assert_eq!(
            record.len(),
            header.len(),
            "{command}: {record:?} under {header:?}"
        );
        assert_ne!(record, header, "{command}: a second header");
    }
    records
}

fn asked(home: &Home, command: &str, form: &str) -> Done {
    let words = command.split_whitespace();
    let words: Vec<&str> = words.chain(["--output", form]).collect();
    let done = home.refrain(&words);
    // `plan` and `validate` end with 3 where something differs.
    assert!(matches!(done.code, Some(0 | 3)), "{command}: {done:?}");
    done
}

#[test]
fn every_output_has_its_form() {
    let home = home();
    // Lists: JSON has an object for each row of CSV.
    let lists = [
        "topic list",
        "view list",
        "view scan total --limit 3",
        "view get total 1",
        "view digest total",
        "topic read views --limit 3",
        "rejected show events.rejected",
        "savepoint list",
        "retention",
    ];
    // Objects, or lists with lists in them.
    let documents = [
        "status",
        "check",
        "topic describe events",
        "topic verify",
        "plugin inspect engagement",
        "view versions engagement",
        "run --once",
        "rejected list",
        "tiers",
        "freshness",
        "cost",
        "cost --by consumer",
        "cost --what-if board=1s",
        "plan",
        "validate engagement --all-checks",
        "doctor rust",
        "topic append events events.csv --producer p",
        "topic trim events --partition 0 --before 10",
        "view export total total.csv",
    ];
    for command in lists {
        let json = asked(&home, command, "json").json();
        let csv = one_table(command, &asked(&home, command, "csv"));
        let rows = json.as_array().unwrap();
        assert!(!rows.is_empty(), "{command} has something to show");
        assert_eq!(csv.len(), rows.len() + 1, "{command}");
        let names: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
        if command != "retention" && command != "savepoint list" {
            assert!(
                csv[0].iter().all(|name| names.contains(&name)),
                "{command}: {names:?}"
            );
        }
    }
    for command in documents {
        let json = asked(&home, command, "json").json();
        assert!(json.is_object() || json.is_array(), "{command}: {json}");
        let csv = one_table(command, &asked(&home, command, "csv"));
        // A rhythm that is as fast as it can be changes with no need.
        let none = command.contains("--what-if");
        assert!(csv.len() > 1 || none, "{command} has something to show");
    }
    let acts = [
        "run",
        "topic append",
        "topic verify",
        "topic trim",
        "view export",
    ];
    for command in lists.iter().chain(&documents) {
        let table = asked(&home, command, "table").out;
        match acts.iter().any(|act| command.starts_with(act)) {
            // What an act has come to is a sentence.
            true => assert_eq!(table, "", "{command}"),
            false => assert!(table.starts_with('┌'), "{command}: {table}"),
        }
    }
}

/// Three tables were once printed as CSV one after another, each with a header of its own.
#[test]
fn several_tables_are_one_table_of_csv() {
    let home = home();
    let tables = |command: &str| {
        let csv = one_table(command, &asked(&home, command, "csv"));
        assert_eq!(csv[0][0], "table", "{command}");
        let mut tables: Vec<String> = csv[1..].iter().map(|row| row[0].clone()).collect();
        tables.dedup();
        tables
    };
    assert_eq!(
        tables("topic describe events"),
        ["field", "partition", "kept"]
    );
    assert_eq!(tables("plugin inspect engagement"), ["property", "field"]);
    assert_eq!(tables("tiers"), ["node", "edge", "consumer"]);
    assert_eq!(tables("freshness")[0], "consumer");
    assert_eq!(tables("topic verify"), ["read"]);
    // What a component is was once said on stderr alone.
    let csv = asked(&home, "plugin inspect engagement", "csv").out;
    let json = asked(&home, "plugin inspect engagement", "json").json();
    let digest = json["digest"].as_str().unwrap();
    assert!(csv.contains(&format!("property,digest,{digest}")), "{csv}");
}

#[test]
fn a_comparison_is_data_in_every_form() {
    let home = home();
    let pipeline = std::fs::read_to_string(home.path("refrain.toml")).unwrap();
    home.write(
        "refrain.toml",
        pipeline.replace("lateness = \"10s\"", "lateness = \"2m\""),
    );
    home.refrain(&["replay", "engagement", "--output", "csv"])
        .ok();
    let same = asked(&home, "validate engagement", "csv");
    let csv = one_table("validate", &same);
    assert_eq!((same.code, csv[0][0].as_str()), (Some(3), "table"));
    let of = |table: &str| csv.iter().filter(|row| row[0] == table).count();
    assert_eq!(of("compared"), 2);
    assert!(of("field") > 0 && of("row") > 0, "{csv:?}");
    let json = asked(&home, "validate engagement", "json").json();
    let changed = csv[0].iter().position(|name| name == "changed").unwrap();
    assert_eq!(
        Value::from(csv[1][changed].parse::<u64>().unwrap()),
        json["drift"]["changed"]
    );
    let first = asked(&home, "validate engagement --first-divergence", "csv");
    let csv = one_table("validate --first-divergence", &first);
    assert!(csv.iter().any(|row| row[0] == "point"), "{csv:?}");
    let table = asked(&home, "validate engagement --first-divergence", "table").out;
    assert!(table.starts_with('┌'), "{table}");
}
