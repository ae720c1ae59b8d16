//! Tiers through the real program: what is found in a pipeline file, what is drawn of it, rhythms that change while a
//! host runs.

use refrain_tests::{Home, events_csv};
use serde_json::Value;

const TOPIC: &str = r#"[topic.events]
schema = { event_time = "timestamp(ms)", content_id = "i64", user_id = "i64", kind = "text", watch_ms = "i64" }
time = "event_time"
key = ["content_id"]
"#;

fn home(rest: &str) -> Home {
    Home::new(&format!("{TOPIC}{rest}")).with_plugins(&[
        "engagement",
        "engagement_total",
        "views_only",
    ])
}

fn node(name: &str, more: &str) -> String {
    format!(
        "[node.{name}]\nplugin = \"engagement_total\"\ninput = \"events\"\nkey = [\"content_id\"]\nview = \"{name}\"\n{more}\n"
    )
}

fn consumer(name: &str, view: &str, more: &str) -> String {
    format!("[consumer.{name}]\nview = \"{view}\"\n{more}\n")
}

/// What `check` finds: code, what it is at, and the line; and how it ended.
fn findings(home: &Home) -> (Vec<String>, i32) {
    let done = home.refrain(&["check", "--output", "json"]);
    let report = done.json();
    let problems = report["problems"].as_array().unwrap();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let list = problems.iter().map(|p| {
        assert!(!text(&p["help"]).is_empty(), "{p}");
        assert!(p["line"].as_u64().unwrap() > 0, "{p}");
        format!(
            "{} {} {}",
            text(&p["severity"]),
            text(&p["code"]),
            text(&p["at"])
        )
    });
    (list.collect(), done.code.unwrap())
}

#[test]
fn each_finding_has_its_code() {
    let table = [
        (
            node("sums", "rhythm = \"0 2 * * *\"")
                + &consumer("board", "sums", "freshness = \"1m\""),
            vec!["error stale-view board"],
            2,
        ),
        (
            node("sums", "rhythm = \"every 1s\"")
                + &consumer("board", "sums", "freshness = \"tier 4\""),
            vec!["warning fresher-than-read sums"],
            0,
        ),
        (
            node("sums", "")
                + &consumer("board", "sums", "freshness = \"1m\"")
                + &consumer("exec", "sums", "freshness = \"26h\""),
            vec!["warning needs-differ sums"],
            0,
        ),
        (
            node("sums", "")
                + &node("other", "")
                + &consumer("board", "sums", "freshness = \"1m\""),
            vec!["warning unread-view other"],
            0,
        ),
        (
            node("sums", "") + &consumer("board", "sums", ""),
            vec!["warning unlabelled-consumer board"],
            0,
        ),
        (
            node("sums", "rhythm = \"once\"") + &consumer("board", "sums", "freshness = \"1d\""),
            vec!["warning unknown-freshness board"],
            0,
        ),
        (
            node("sums", "rhythm = \"once\"\ndue = \"12h\"")
                + &consumer("board", "sums", "freshness = \"1d\""),
            vec![],
            0,
        ),
        (
            "every = \"1h\"\n".to_owned()
                + &node("sums", "")
                + &consumer("board", "sums", "freshness = \"1m\""),
            vec!["error slow-source board"],
            2,
        ),
        (node("sums", ""), vec![], 0),
        (
            node("sums", "")
                + &node("other", "")
                + &consumer("board", "sums", "freshness = \"1m\"")
                + "[allow]\nunread-view = { other = \"read by hand\" }\n",
            vec![],
            0,
        ),
        (
            node("sums", "")
                + &consumer("board", "sums", "freshness = \"1m\"")
                + "[allow]\nunread-view = { sums = \"read by hand\" }\n",
            vec!["warning unused-allowance sums"],
            0,
        ),
    ];
    for (rest, wanted, code) in table {
        assert_eq!(
            findings(&home(&rest)),
            (wanted.iter().map(ToString::to_string).collect(), code),
            "{rest}"
        );
    }
}

#[test]
fn findings_carry_path_and_cost() {
    let home = home(
        &(node("sums", "rhythm = \"0 2 * * *\"")
            + &consumer("board", "sums", "freshness = \"1m\"")),
    );
    let report = home.refrain(&["check", "--output", "json"]).code(2).json();
    let found = &report["problems"][0];
    assert_eq!(found["path"][0], "events");
    assert_eq!(found["path"][1], "sums (waits 24h, takes 1s)");
    assert!(
        found["per_month"].as_str().unwrap().ends_with("USD"),
        "{found}"
    );
    let told = home.refrain(&["check"]).code(2);
    told.says(&[
        "stale-view",
        "needs view `sums` within 1m and gets it up to 24h old",
        "every 45s",
    ]);
}

#[test]
fn the_graph_is_drawn() {
    let home = home(&(node("sums", "") + &consumer("board", "sums", "freshness = \"1h\"")));
    let tiers = home.refrain(&["tiers", "--output", "json"]).ok().json();
    assert_eq!(tiers["nodes"][0]["rhythm"], "every 45m");
    assert_eq!(tiers["consumers"][0]["need_us"], 3_600_000_000_i64);
    assert_eq!(tiers["consumers"][0]["slack_us"], 899_000_000_i64);
    let mermaid = home.refrain(&["tiers", "--format", "mermaid"]).ok().out;
    assert!(mermaid.starts_with("flowchart LR\n"), "{mermaid}");
    assert_eq!(mermaid.matches("-->").count(), 2, "{mermaid}");
    assert!(
        mermaid.contains("≤ 45m old, tier 3; needed 1h"),
        "{mermaid}"
    );
    let svg = home.refrain(&["tiers", "--format", "svg"]).ok().out;
    assert!(
        svg.starts_with("<svg") && svg.ends_with("</svg>\n"),
        "{svg}"
    );
    assert!(svg.contains("≤ 45m old · tier 3"), "{svg}");
}

/// The rhythm of a node, as status tells it.
fn rhythm(home: &Home) -> String {
    let status = home.refrain(&["status", "--output", "json"]).ok().json();
    status["nodes"][0]["rhythm"]
        .as_str()
        .unwrap_or("none")
        .to_owned()
}

/// Through every rhythm and back, with rows coming all the time: nothing is lost, nothing is taken twice, and the result
/// at a cut is that of a host that never changed its rhythm.
#[test]
fn a_node_graduates_while_it_runs() {
    const STEPS: [&str; 7] = [
        "once",
        "every 100ms",
        "continuous",
        "every 50ms",
        "* * * * *",
        "auto",
        "continuous",
    ];
    let file =
        node("sums", "# how often\nrhythm = \"once\"") + "[run]\ncommit_interval = \"20ms\"\n";
    let home = home(&file);
    let plain = self::home(&file);
    let running = home.start();
    for (i, step) in STEPS.into_iter().enumerate() {
        let (name, producer) = (format!("events{i}.csv"), format!("p{i}"));
        for home in [&home, &plain] {
            home.write(&name, events_csv(i as u64, 2_000));
            home.append("events", &name, &producer).ok();
        }
        let words: Vec<&str> = ["rhythm", "sums"]
            .into_iter()
            .chain(step.split(' '))
            .collect();
        home.refrain(&words).ok().says(&["node sums has rhythm"]);
        let shown = if step == "auto" { "continuous" } else { step };
        assert_eq!(rhythm(&home), shown);
        if !step.starts_with('*') {
            home.wait_until_taken();
        }
    }
    home.wait_until_taken();
    assert_eq!(running.stop(), Some(0));
    plain.run().ok();
    assert_eq!(home.digest("sums"), plain.digest("sums"));
    let status = home.refrain(&["status", "--output", "json"]).ok().json();
    assert_eq!(status["nodes"][0]["counts"]["rows"], 2_000 * STEPS.len());
    let text = std::fs::read_to_string(home.path("refrain.toml")).unwrap();
    let wanted = format!("{TOPIC}{file}").replace("\"once\"", "\"continuous\"");
    assert_eq!(text, wanted, "one word of the file has changed");
}

#[test]
fn a_rhythm_that_is_none_changes_nothing() {
    let home = home(&node("sums", ""));
    let before = std::fs::read_to_string(home.path("refrain.toml")).unwrap();
    home.refrain(&["rhythm", "sums", "sometimes"])
        .code(2)
        .says(&["no rhythm", "every 1m"]);
    home.refrain(&["rhythm", "summs", "once"])
        .code(2)
        .says(&["there is no node summs", "sums"]);
    assert_eq!(
        std::fs::read_to_string(home.path("refrain.toml")).unwrap(),
        before
    );
    home.refrain(&["rhythm", "sums", "every", "1h"]).ok();
    assert_eq!(rhythm(&home), "every 1h");
}

/// The cut of the node's last commit, looked at without a host.
fn cut(home: &Home) -> u64 {
    let status = home.refrain(&["status", "--output", "json"]).ok().json();
    status["nodes"][0]["cut"].as_u64().unwrap()
}

/// kill -9 after a rhythm was changed and before the commit with which it takes effect: the file says the new one, the
/// state is that of the commit before, and the next host goes on from there.
#[test]
fn a_kill_between_a_rhythm_and_its_commit_loses_no_row() {
    let file = node("sums", "rhythm = \"0 2 1 1 *\"") + "[run]\ncommit_interval = \"10s\"\n";
    let home = home(&file);
    let plain = self::home(&file.replace("0 2 1 1 *", "once"));
    let mut between = 0;
    for (i, rhythm) in ["once", "every 1h", "continuous", "every 2h", "once"]
        .into_iter()
        .enumerate()
    {
        let (name, producer) = (format!("events{i}.csv"), format!("p{i}"));
        // The host stands still until its rhythm is another.
        home.refrain(&["rhythm", "sums", "0", "2", "1", "1", "*"])
            .ok();
        let running = home.start();
        for home in [&home, &plain] {
            home.write(&name, events_csv(i as u64, 60_000));
            home.append("events", &name, &producer).ok();
        }
        let words: Vec<&str> = ["rhythm", "sums"]
            .into_iter()
            .chain(rhythm.split(' '))
            .collect();
        home.refrain(&words).ok();
        running.kill();
        let before = cut(&home);
        let text = std::fs::read_to_string(home.path("refrain.toml")).unwrap();
        assert!(text.contains(&format!("rhythm = \"{rhythm}\"")), "{text}");
        let running = home.start();
        home.wait_until_taken();
        assert_eq!(running.stop(), Some(0));
        between += u32::from(cut(&home) > before);
        plain.run().ok();
        assert_eq!(home.digest("sums"), plain.digest("sums"), "{rhythm}");
    }
    assert!(between > 0, "no kill came before its commit");
    let status = home.refrain(&["status", "--output", "json"]).ok().json();
    assert_eq!(status["nodes"][0]["counts"]["rows"], 5 * 60_000);
}
