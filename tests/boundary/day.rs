//! The worked example, literally: a few hours of the day in both ways, small enough for the gate.

use std::collections::BTreeMap;

use refrain_tests::{Done, Home, program};
use serde_json::Value;

const ROWS: u64 = 50_000;
const HOURS: i64 = 2;

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("a number: {value}"))
}

fn by_name<'a>(list: &'a Value, name: &str) -> BTreeMap<&'a str, &'a Value> {
    let list = list.as_array().unwrap().iter();
    list.map(|entry| (entry[name].as_str().unwrap(), entry))
        .collect()
}

#[test]
fn a_rhythm_for_each_reader_costs_less_and_gives_the_same() {
    let place = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(program());
    let (rows, hours) = (ROWS.to_string(), HOURS.to_string());
    command
        .args(["demo", "--day", "--rows", &rows, "--hours", &hours])
        .args(["--dir", "day", "--output", "json"])
        .current_dir(place.path());
    let day = Done::of(command).ok().json();

    // The same results, and all that came is in them.
    let digests = day["digests"].as_object().unwrap();
    assert_eq!(digests.len(), 3, "{day}");
    for (view, digests) in digests {
        assert_eq!(digests[0], digests[1], "{view}");
    }
    assert_eq!(day["generated"]["rows"], ROWS);
    assert!(number(&day["generated"]["senseless"]) > 0.0, "{day}");
    let [tiered, single] = [&day["ways"][0], &day["ways"][1]];
    for way in [tiered, single] {
        assert_eq!(way["found"], day["generated"], "{way}");
        for (name, consumer) in by_name(&way["consumers"], "name") {
            assert!(
                number(&consumer["slack_us"]) >= 0.0,
                "{name} is served in time: {consumer}"
            );
            assert!(
                number(&consumer["worst_us"]) > 0.0,
                "{name} was looked at: {consumer}"
            );
            assert_eq!(consumer["achieved_ppm"], 1_000_000, "{consumer}");
        }
    }

    // Each node of the one as often as its readers need, of the other as often as the strictest needs.
    let rhythm = |way: &Value, node: &str| by_name(&way["nodes"], "name")[node]["rhythm"].clone();
    let commits =
        |way: &Value, node: &str| number(&by_name(&way["nodes"], "name")[node]["commits"]);
    assert_eq!(rhythm(tiered, "features"), "every 1h");
    assert_eq!(rhythm(tiered, "exec"), "30 2 * * *");
    let passes = HOURS as f64 * 180.0;
    for node in ["clean", "by_minute", "features", "exec"] {
        assert_eq!(rhythm(single, node), "every 20s");
        let made = commits(single, node);
        assert!(
            (passes - 2.0..=passes + 2.0).contains(&made),
            "{node}: {made}"
        );
    }
    assert!(
        commits(tiered, "features") <= 8.0 && commits(tiered, "exec") <= 4.0,
        "{tiered}"
    );
    for what in ["commits", "syncs", "written_bytes"] {
        assert!(
            number(&tiered[what]) < number(&single[what]),
            "{what}: {tiered} {single}"
        );
    }

    what_was_foretold_came(&day["foretold"]);
    both_projects_go_on(&place.path().join("day"));
}

/// What either bill foretold of the other is within a quarter of what then happened, of each node, in all that no clock has a
/// say in.
fn what_was_foretold_came(foretold: &Value) {
    let clocked = ["cpu-seconds", "money"];
    let mut held = 0;
    for foretold in foretold.as_array().unwrap() {
        let lines = foretold["lines"].as_array().unwrap();
        for line in lines {
            if clocked.iter().any(|clocked| line["figure"] == *clocked) {
                continue;
            }
            assert_eq!(line["good"], true, "{}: {line}", foretold["of"]);
            let (foretold, happened) = (number(&line["foretold"]), number(&line["happened"]));
            let off = (foretold - happened).abs();
            assert!(off <= (happened / 4.0).max(2.0), "{line}");
            held += 1;
        }
    }
    // Two ways, four nodes: commits, passes, syncs, rows, bytes read and written, and those of the topic of one of them.
    assert_eq!(held, 2 * (4 * 6 + 1), "{foretold}");
}

/// The projects are there to be looked at: what `check` says of each, and views that can be read.
fn both_projects_go_on(folder: &std::path::Path) {
    let [tiered, single] =
        ["tier-per-node", "single-tier"].map(|name| Home::at(&folder.join(name)));
    let problems =
        |home: &Home| home.refrain(&["check", "--output", "json"]).ok().json()["problems"].clone();
    assert_eq!(
        problems(&tiered).as_array().unwrap().len(),
        0,
        "{}",
        problems(&tiered)
    );
    let found = problems(&single);
    let found = by_name(&found, "at");
    assert_eq!(
        found.keys().copied().collect::<Vec<_>>(),
        ["exec", "features"]
    );
    for problem in found.values() {
        assert_eq!(problem["code"], "fresher-than-read");
        assert!(
            problem["per_month"].as_str().unwrap().ends_with("USD"),
            "{problem}"
        );
    }
    tiered.refrain(&["tiers"]).ok();
    let parts = tiered.refrain(&["cost", "--by", "part"]).ok().out;
    for said in ["exec-dashboard", "1/3 of", "the only reader"] {
        assert!(parts.contains(said), "{said}: {parts}");
    }
    for view in ["by_minute", "features", "exec"] {
        assert_eq!(tiered.digest(view), single.digest(view), "{view}");
    }
}
