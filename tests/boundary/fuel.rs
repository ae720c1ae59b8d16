//! Fuel through the real program: a figure of a plugin's work that is the same every time, at a stated size of calls.

use refrain_tests::{Home, events_csv};
use serde_json::Value;

const EVENTS: &str = r#"[topic.events]
schema = { event_time = "timestamp(ms)", content_id = "i64", user_id = "i64", kind = "text", watch_ms = "i64" }
time = "event_time"
key = ["content_id"]
"#;

const ROWS: usize = 6_000;

fn home() -> Home {
    let nodes = "[node.sums]\nplugin = \"engagement_total\"\ninput = \"events\"\nkey = [\"content_id\"]\nview = \"sums\"\n\
                 [node.minutes]\nplugin = \"engagement\"\ninput = \"events\"\nkey = [\"content_id\"]\n\
                 window = { tumbling = \"1m\" }\nview = \"minutes\"\n";
    let home = Home::new(&format!("{EVENTS}{nodes}")).with_plugins(&[
        "engagement",
        "engagement_total",
        "views_only",
        "first_seen",
    ]);
    for seed in 0..3 {
        let name = format!("events{seed}.csv");
        home.write(&name, events_csv(seed, ROWS / 3));
        home.append("events", &name, &format!("p{seed}")).ok();
    }
    home
}

fn fuel(home: &Home, of: &str, more: &[&str]) -> Value {
    let words = [&["plugin", "fuel", of, "--output", "json"], more].concat();
    home.refrain(&words).ok().json()
}

fn figure(fuel: &Value) -> u64 {
    fuel["fuel"].as_u64().unwrap()
}

#[test]
fn a_node_uses_the_same_fuel_each_time_and_another_in_calls_of_another_size() {
    let home = home();
    let calls = |rows: &str| fuel(&home, "sums", &["--call-rows", rows]);
    let first = calls("500");
    assert_eq!(
        (&first["rows"], &first["call_rows"]),
        (&6_000.into(), &500.into()),
        "{first}"
    );
    assert_eq!(
        first["exports"]["fold.update"]["calls"], 12,
        "calls of exactly 500: {first}"
    );
    for export in ["fold.update", "fold.evaluate", "fold.save"] {
        assert!(
            first["exports"][export]["fuel"].as_u64().unwrap() > 0,
            "{export}: {first}"
        );
    }
    let sum: u64 = first["exports"]
        .as_object()
        .unwrap()
        .values()
        .map(figure)
        .sum();
    assert_eq!(sum, figure(&first), "{first}");
    assert_eq!(
        first["fuel_per_row_milli"],
        figure(&first) * 1000 / 6_000,
        "{first}"
    );
    assert_eq!(calls("500"), first);
    assert_ne!(figure(&calls("50")), figure(&first));
    // Rows that do not fill a call are left out, so that a figure does not hang on how rows came.
    assert_eq!(calls("4096")["rows"], 4_096);
    assert_eq!(fuel(&home, "minutes", &[]), fuel(&home, "minutes", &[]));
}

/// Counting is another engine with other code, and changes nothing of what comes out; beside a host it changes nothing of
/// what that does.
#[test]
fn fuel_never_enters_a_digest() {
    let home = home();
    let before = fuel(&home, "sums", &["--call-rows", "500"]);
    let running = home.start();
    home.wait_until_taken();
    let digest = home.digest("sums");
    let beside = fuel(&home, "sums", &["--call-rows", "500"]);
    assert_eq!(beside, before);
    assert_eq!(before["digest"], digest);
    assert_ne!(
        fuel(&home, "sums", &["--call-rows", "600"])["fuel"],
        before["fuel"]
    );
    assert_eq!(
        fuel(&home, "sums", &["--call-rows", "600"])["digest"],
        digest
    );
    assert_eq!(home.digest("sums"), digest);
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_plugin_without_a_pipeline_is_fed_made_up_rows() {
    let home = home();
    let few = ["--rows", "2000", "--call-rows", "250"];
    for (plugin, export) in [
        ("engagement_total", "fold.update"),
        ("views_only", "transform.process"),
        ("first_seen", "process.process"),
    ] {
        let first = fuel(&home, plugin, &few);
        assert_eq!(first["rows"], 2_000, "{plugin}: {first}");
        let used = &first["exports"][export];
        assert!(used["calls"].as_u64().unwrap() >= 8, "{plugin}: {first}");
        assert!(used["fuel"].as_u64().unwrap() > 0, "{plugin}: {first}");
        assert_eq!(fuel(&home, plugin, &few), first, "{plugin}");
        let other = fuel(&home, plugin, &[&few[..], &["--seed", "2"]].concat());
        assert_ne!(figure(&other), figure(&first), "{plugin}");
    }
    let file = home.path("plugins/views_only.wasm");
    let by_file = fuel(&home, &file.display().to_string(), &few);
    assert_eq!(by_file["fuel"], fuel(&home, "views_only", &few)["fuel"]);
    let shown = home
        .refrain(&["plugin", "fuel", "views_only", "--rows", "1000"])
        .ok();
    assert!(shown.out.contains("transform.process"), "{}", shown.out);
    shown.says(&["of fuel a row"]);
    home.refrain(&["plugin", "fuel", "nothing"])
        .code(2)
        .says(&["nothing.wasm"]);
}

/// Rows that begin sessions, prolong them and make one of several, and sessions that close: those of all keys share calls.
#[test]
fn sessions_of_many_keys_share_calls() {
    let home = Home::new(&format!(
        "{EVENTS}disorder = \"1s\"\n[node.visits]\nplugin = \"sessions\"\ninput = \"events\"\nkey = [\"content_id\"]\n\
         window = {{ session = \"3s\", lateness = \"4s\" }}\nview = \"visits\"\n"
    ))
    .with_plugins(&["sessions"]);
    home.write("events.csv", events_csv(1, ROWS));
    home.append("events", "events.csv", "p").ok();
    let of = |rows: &str| fuel(&home, "visits", &["--call-rows", rows]);
    let shared = of("4096");
    let exports = shared["exports"].as_object().unwrap();
    for (export, used) in exports {
        let calls = used["calls"].as_u64().unwrap();
        assert!(calls < 60, "{export}: {shared}");
    }
    assert!(exports.contains_key("merge.merge"), "{shared}");
    assert_eq!(of("4")["digest"], of("1")["digest"]);
}

#[test]
fn a_node_without_rows_says_so() {
    let home = Home::new(&format!(
        "{EVENTS}[node.sums]\nplugin = \"engagement_total\"\ninput = \"events\"\nkey = [\"content_id\"]\nview = \"sums\"\n"
    ))
    .with_plugins(&["engagement_total"]);
    home.refrain(&["plugin", "fuel", "sums"])
        .code(2)
        .says(&["there are no rows in events"]);
}
