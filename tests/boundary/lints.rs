//! Findings of `check` about freshness, through the real program: which ones, at what, what they cost, and what a file
//! allows; tiers with names of their own.

use refrain_tests::{Home, events_csv};
use serde_json::Value;

const EVENTS: &str = r#"[topic.events]
schema = { event_time = "timestamp(ms)", content_id = "i64", user_id = "i64", kind = "text", watch_ms = "i64" }
time = "event_time"
key = ["content_id"]
"#;

/// Purchases of users, and how often they are delivered.
fn purchases(more: &str) -> String {
    format!(
        "[topic.purchases]\nschema = {{ at = \"timestamp\", user_id = \"i64\", order_id = \"i64\", amount = \"i64\" }}\n\
         time = \"at\"\nkey = [\"user_id\"]\n{more}\n"
    )
}

fn home(rest: &str) -> Home {
    Home::new(rest).with_plugins(&["engagement_total", "views_only", "purchases_with_views"])
}

fn node(name: &str, more: &str) -> String {
    format!(
        "[node.{name}]\nplugin = \"engagement_total\"\ninput = \"events\"\nkey = [\"content_id\"]\nview = \"{name}\"\n{more}\n"
    )
}

/// A node that writes a topic of views.
fn views(more: &str) -> String {
    format!(
        "[node.views]\nplugin = \"views_only\"\ninput = \"events\"\ntopic = \"views\"\n{more}\n"
    )
}

/// A node that keeps a view of the last order of each user, by joining purchases with views.
fn led(more: &str) -> String {
    format!(
        "[node.led]\nplugin = \"purchases_with_views\"\ninput = {{ purchases = \"purchases\", views = \"views\" }}\n\
         key = [\"user_id\"]\nview = \"led\"\n{more}\n"
    )
}

fn consumer(name: &str, view: &str, freshness: &str) -> String {
    format!("[consumer.{name}]\nview = \"{view}\"\nfreshness = \"{freshness}\"\n")
}

fn report(home: &Home) -> Value {
    home.refrain(&["check", "--output", "json"]).json()
}

/// The finding of that code.
fn finding(home: &Home, code: &str) -> Value {
    let report = report(home);
    let problems = report["problems"].as_array().unwrap();
    let found = problems.iter().find(|p| p["code"] == code);
    found
        .unwrap_or_else(|| panic!("no {code}: {report}"))
        .clone()
}

/// Code and name of all findings.
fn found(home: &Home) -> Vec<String> {
    let report = report(home);
    let problems = report["problems"].as_array().unwrap().iter();
    problems
        .map(|p| {
            format!(
                "{} {}",
                p["code"].as_str().unwrap(),
                p["at"].as_str().unwrap_or("-")
            )
        })
        .collect()
}

/// An amount a month, in millionths.
fn amount(found: &Value) -> i64 {
    let text = found["per_month"].as_str().unwrap();
    let number: f64 = text.split(' ').next().unwrap().parse().unwrap();
    (number * 1e6).round() as i64
}

/// A join of a node that runs nightly with one that runs all the time: the latter's rows wait.
#[test]
fn a_fast_input_that_waits_for_a_slow_node_is_found() {
    let file = EVENTS.to_owned()
        + &purchases("")
        + &views("rhythm = \"0 2 * * *\"")
        + &led("")
        + &consumer("crm", "led", "2d");
    let found = finding(&home(&file), "fast-with-slow");
    assert_eq!(found["at"], "led");
    let message = found["message"].as_str().unwrap();
    assert!(
        message.contains("joins `purchases`") && message.contains("with `views`"),
        "{found}"
    );
    assert!(message.contains("wait for it in the log"), "{found}");
    assert!(amount(&found) > 0 && found["assumed"] == true, "{found}");
    // Both of a tier: nothing to say.
    let even =
        EVENTS.to_owned() + &purchases("") + &views("") + &led("") + &consumer("crm", "led", "1m");
    assert_eq!(self::found(&home(&even)), Vec::<String>::new());
}

/// A slow topic once was passed over: only nodes were looked at.
#[test]
fn a_fast_input_joined_with_a_slow_topic_is_found() {
    let file = EVENTS.to_owned()
        + &purchases("every = \"24h\"")
        + &views("rhythm = \"continuous\"")
        + &led("rhythm = \"continuous\"")
        + &consumer("crm", "led", "2d");
    let found = finding(&home(&file), "fast-with-slow");
    assert_eq!(found["at"], "led");
    let message = found["message"].as_str().unwrap();
    assert!(
        message.contains("`purchases` (delivered every 24h)"),
        "{found}"
    );
    assert!(
        message.contains("its results are as old as `purchases`"),
        "{found}"
    );
    assert_eq!(found["path"][0], "purchases (waits 24h, takes 0s)");
    assert!(
        found["help"]
            .as_str()
            .unwrap()
            .contains("`rhythm = \"every 1d\"`"),
        "{found}"
    );
    assert!(amount(&found) > 0, "{found}");
}

/// Only readers of one view once were compared.
#[test]
fn needs_differ_through_a_topic_too() {
    let live = "[node.live]\nplugin = \"purchases_with_views\"\ninput = { purchases = \"purchases\", views = \"views\" }\n\
                key = [\"user_id\"]\nview = \"live\"\n";
    let file = EVENTS.to_owned()
        + &purchases("")
        + &views("")
        + &led("")
        + live
        + &consumer("crm", "led", "26h")
        + &consumer("board", "live", "1m");
    let found = finding(&home(&file), "needs-differ");
    assert_eq!(found["at"], "views");
    let message = found["message"].as_str().unwrap();
    for part in [
        "topic of node `views`",
        "`board` (through `live`) within 1m",
        "`crm` (through `led`) within 26h",
    ] {
        assert!(message.contains(part), "{found}");
    }
    let allowed = file + "[allow]\nneeds-differ = { views = \"one cleaning for all\" }\n";
    assert_eq!(self::found(&home(&allowed)), Vec::<String>::new());
}

/// What was metered is priced by all prices of the sheet, and a split by all that its second node would do. It once was a
/// fixed cost of a pass alone, at the price of a core-hour alone.
#[test]
fn findings_are_priced_from_what_was_metered() {
    let file = |prices: &str| {
        EVENTS.to_owned()
            + &node("sums", "rhythm = \"continuous\"")
            + &node("other", "rhythm = \"continuous\"")
            + &consumer("board", "sums", "1m")
            + &consumer("exec", "sums", "26h")
            + "[run]\ncommit_interval = \"50ms\"\n[prices]\n"
            + prices
    };
    let nothing = "core_hour = 0\ngb_month_hot = 0\n";
    let home = home(&file(nothing));
    let both = |home: &Home| ["needs-differ", "unread-view"].map(|code| finding(home, code));
    assert!(
        both(&home).iter().all(|f| f["assumed"] == true),
        "nothing has run"
    );
    let running = home.start();
    for seed in 0..4 {
        let name = format!("events{seed}.csv");
        home.write(&name, events_csv(seed, 5_000));
        home.append("events", &name, &format!("p{seed}")).ok();
        home.wait_until_taken();
    }
    assert_eq!(running.stop(), Some(0));
    assert!(
        both(&home)
            .iter()
            .all(|f| amount(f) == 0 && f["assumed"].is_null())
    );
    for price in [
        "core_hour = 1000",
        "gb_read = 1000",
        "request = 1",
        "gb_month_hot = 1000000",
    ] {
        let key = price.split(' ').next().unwrap();
        let others = nothing.lines().filter(|line| !line.starts_with(key));
        let sheet = others.collect::<Vec<_>>().join("\n") + "\n" + price + "\n";
        home.write("refrain.toml", file(&sheet));
        let before = billed(&home, "other");
        let [split, unread] = both(&home);
        assert!(amount(&split) > 0, "{price}: {split}");
        // As much as the bill says of that node; amounts a month only fall while nothing is done.
        let range = billed(&home, "other") - 1..=before + 1;
        assert!(
            range.contains(&amount(&unread)),
            "{price}: {unread} {range:?}"
        );
    }
    // All rows are read once more, whatever the rhythm.
    home.write(
        "refrain.toml",
        file(&(nothing.to_owned() + "gb_read = 1000\n")),
    );
    let [split, unread] = both(&home);
    let off = amount(&split) as f64 / amount(&unread) as f64 - 1.0;
    assert!(off.abs() < 0.3, "{split} {unread}");
    home.refrain(&["check"])
        .ok()
        .says(&["reading", "all rows once more", "a month"]);
}

/// What the bill says that a node takes in a month, in millionths.
fn billed(home: &Home, node: &str) -> i64 {
    let bill = home
        .refrain(&["cost", "--per", "month", "--output", "json"])
        .ok()
        .json();
    let items = bill["items"].as_array().unwrap();
    let item = items.iter().find(|i| i["name"] == node).unwrap();
    item["total"].as_i64().unwrap()
}

#[test]
fn an_allowance_needs_a_lint_and_a_reason() {
    let file = |allow: &str| {
        EVENTS.to_owned()
            + &node("sums", "")
            + &node("other", "")
            + &consumer("board", "sums", "1m")
            + allow
    };
    let home = home(&file(
        "[allow]\nunread-view = { other = \"read by hand\" }\n",
    ));
    let report = report(&home);
    assert_eq!(report["problems"], serde_json::json!([]));
    assert_eq!(report["allowed"][0]["reason"], "read by hand");
    assert_eq!(report["allowed"][0]["problem"]["code"], "unread-view");
    assert_eq!(report["allowed"][0]["problem"]["at"], "other");
    home.refrain(&["check"]).ok().says(&["findings allowed 1"]);
    home.write(
        "refrain.toml",
        file("[allow]\nunread-view = { other = \" \" }\n"),
    );
    home.refrain(&["check"])
        .code(2)
        .says(&["an allowance needs its reason", "why this is meant"]);
    home.write(
        "refrain.toml",
        file("[allow]\nunread-veiw = { other = \"read by hand\" }\n"),
    );
    home.refrain(&["check"]).code(2).says(&[
        "there is no lint `unread-veiw`",
        "did you mean `unread-view`?",
    ]);
}

#[test]
fn tiers_have_names_of_their_own() {
    let tiers = "[tiers]\n1 = { name = \"live\", freshness = \"10s\" }\n2 = \"20m\"\n4 = { name = \"nightly\", freshness = \"30h\" }\n";
    let file = EVENTS.to_owned()
        + &node("sums", "")
        + &node("slow", "")
        + &node("third", "")
        + &consumer("board", "sums", "live")
        + &consumer("exec", "slow", "nightly")
        + &consumer("ml", "third", "tier 2")
        + tiers;
    let home = home(&file);
    assert_eq!(found(&home), Vec::<String>::new());
    let planned = home.refrain(&["tiers", "--output", "json"]).ok().json();
    let of = |name: &str| {
        let consumers = planned["consumers"].as_array().unwrap();
        let consumer = consumers.iter().find(|c| c["name"] == name).unwrap();
        let text = |key: &str| consumer[key].as_str().unwrap().to_owned();
        (
            consumer["need_us"].as_i64().unwrap() / 1_000_000,
            text("need_tier"),
            text("tier"),
        )
    };
    assert_eq!(of("board"), (10, "live".into(), "live".into()));
    assert_eq!(of("exec"), (108_000, "nightly".into(), "nightly".into()));
    assert_eq!(of("ml"), (1_200, "2".into(), "2".into()));
    let drawn = home.refrain(&["tiers", "--format", "mermaid"]).ok().out;
    assert!(drawn.contains("tier live; needed 10s"), "{drawn}");
    // Answers carry it, of rows that wait and of rows that do not.
    home.write("events.csv", events_csv(1, 100));
    home.append("events", "events.csv", "p").ok();
    home.run().ok();
    home.refrain(&["view", "scan", "sums"])
        .ok()
        .says(&["tier live"]);
    let freshness = home.refrain(&["freshness", "--output", "json"]).ok().json();
    assert_eq!(
        freshness["consumers"][0]["now"]["tier"], "live",
        "{freshness}"
    );
    let by_tier = home
        .refrain(&["cost", "--by", "tier", "--output", "csv"])
        .ok()
        .out;
    for tier in ["\nlive,", "\nnightly,", "\n2,"] {
        assert!(by_tier.contains(tier), "{by_tier}");
    }
    home.refrain(&["cost", "--what-if", "exec=live"]).ok();
}

#[test]
fn tiers_that_cannot_be_are_refused() {
    let with = |tiers: &str, need: &str| {
        EVENTS.to_owned()
            + &node("sums", "")
            + &consumer("board", "sums", need)
            + "[tiers]\n"
            + tiers
            + "\n"
    };
    let table = [
        (
            "2 = \"3h\"",
            "1m",
            vec!["tiers-order", "freshest to the stalest"],
        ),
        (
            "1 = { name = \"live\" }",
            "lvie",
            vec![
                "bad-freshness",
                "did you mean `live`?",
                "tiers: live, 2, 3, 4",
            ],
        ),
        (
            "1 = { name = \"a\" }\n2 = { name = \"a\" }",
            "1m",
            vec!["tier-name", "tier 1 is named `a` already"],
        ),
        (
            "3 = { name = \"2\" }",
            "1m",
            vec!["tier-name", "as the number of a tier"],
        ),
        (
            "3 = { name = \"tier 1\" }",
            "1m",
            vec!["tier-name", "as the number of a tier"],
        ),
        (
            "3 = { name = \"10m\" }",
            "1m",
            vec!["tier-name", "as a duration"],
        ),
        ("3 = { name = \"\" }", "1m", vec!["tier-name", "is empty"]),
        ("5 = \"3d\"", "1m", vec!["unknown-key", "`5`"]),
    ];
    for (tiers, need, says) in table {
        let done = home(&with(tiers, need)).refrain(&["check"]).code(2);
        // Long lines are broken for people.
        let said = done.err.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in says {
            assert!(said.contains(part), "{part}: {}", done.err);
        }
    }
}
