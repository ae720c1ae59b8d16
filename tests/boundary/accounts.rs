//! What was used and reached, through the real program: freshness against objectives, runs that did not happen, the bill.

use refrain_tests::{Home, events_csv};
use serde_json::Value;

const TOPIC: &str = r#"[topic.events]
schema = { event_time = "timestamp(ms)", content_id = "i64", user_id = "i64", kind = "text", watch_ms = "i64" }
time = "event_time"
key = ["content_id"]
partitions = 2
"#;

fn home(rest: &str) -> Home {
    Home::new(&format!("{TOPIC}{rest}")).with_plugins(&["engagement_total"])
}

fn node(name: &str, more: &str) -> String {
    format!(
        "[node.{name}]\nplugin = \"engagement_total\"\ninput = \"events\"\nkey = [\"content_id\"]\nview = \"{name}\"\n{more}\n"
    )
}

fn consumer(name: &str, view: &str, more: &str) -> String {
    format!("[consumer.{name}]\nview = \"{view}\"\n{more}\n")
}

fn append(home: &Home, seed: u64, rows: usize) {
    let name = format!("events{seed}.csv");
    home.write(&name, events_csv(seed, rows));
    home.append("events", &name, &format!("p{seed}")).ok();
}

fn json(home: &Home, arguments: &[&str]) -> Value {
    home.refrain(&[arguments, &["--output", "json"]].concat())
        .ok()
        .json()
}

fn names(alerts: &Value) -> Vec<&str> {
    let alerts = alerts.as_array().unwrap().iter();
    alerts.filter_map(Value::as_str).collect()
}

#[test]
fn freshness_is_measured_and_told() {
    let home = home(
        &(node("sums", "")
            + &consumer("board", "sums", "freshness = \"1ms\"\nobjective = \"50%\"")),
    );
    append(&home, 1, 500);
    // Rows wait, and nobody runs: the reader is served late.
    let late = &json(&home, &["freshness"])["consumers"][0];
    assert!(
        late["now"]["staleness_us"].as_i64().unwrap() > 1_000,
        "{late}"
    );
    assert_eq!(names(&late["alerts"]), ["late"]);
    home.refrain(&["freshness", "--fail-if-missed"])
        .code(8)
        .says(&["consumer board", "needed within 1ms"]);
    home.refrain(&["status"])
        .ok()
        .says(&["late: consumer board", "1 alert(s)"]);
    home.run().ok();
    let met = &json(&home, &["freshness"])["consumers"][0];
    assert_eq!(met["now"]["staleness_us"], 0, "{met}");
    assert!(!names(&met["alerts"]).contains(&"late"), "{met}");
    assert!(met["observed_us"].as_i64().unwrap() > 0, "{met}");
    // Every answer carries it.
    let view = &json(&home, &["view", "list"])[0];
    assert_eq!((&view["stale_us"], &view["tier"]), (&0.into(), &"1".into()));
    let digest = &json(&home, &["view", "digest", "sums"])[0];
    assert!(
        digest["as_of"].is_string() && digest["cut"].as_u64().unwrap() > 0,
        "{digest}"
    );
    home.refrain(&["view", "scan", "sums"]).ok().says(&[
        "view sums as of",
        "tier 1",
        "cut",
        "watermark",
    ]);
    home.refrain(&["view", "scan", "sums", "--output", "json"])
        .ok()
        .says(&["\"as_of\":", "\"stale_us\":0"]);
    home.refrain(&["view", "export", "sums", "sums.csv"])
        .ok()
        .says(&["view sums as of"]);
}

/// An objective once was a figure that nothing was measured against.
#[test]
fn an_objective_that_is_missed_spends_its_budget() {
    let needs = "freshness = \"1ms\"\nobjective = \"99.9999%\"\nwindow = \"1h\"";
    let home = home(&(node("sums", "") + &consumer("board", "sums", needs)));
    append(&home, 1, 500);
    home.run().ok();
    append(&home, 2, 500);
    home.run().ok();
    let told = json(&home, &["freshness"]);
    let board = &told["consumers"][0];
    assert!(names(&board["alerts"]).contains(&"budget-spent"), "{board}");
    assert_eq!(board["budget_us"], 3_600, "a millionth of the hour");
    let figure = |name: &str| board[name].as_i64().unwrap();
    assert!(figure("budget_left_us") < 0, "{board}");
    assert!(figure("burn_milli") > 1_000, "{board}");
    assert!(figure("missed_us") <= figure("observed_us"), "{board}");
    assert_eq!(
        figure("budget_left_us"),
        figure("budget_us") - figure("missed_us")
    );
}

/// A budget once was a part of the time looked at: a new installation with a backlog had spent it after a second.
#[test]
fn a_backlog_at_the_beginning_does_not_spend_the_budget_of_a_month() {
    let needs = "freshness = \"1ms\"\nobjective = \"99%\"";
    let home = home(&(node("sums", "") + &consumer("board", "sums", needs)));
    append(&home, 1, 500);
    home.run().ok();
    append(&home, 2, 500);
    home.run().ok();
    let told = json(&home, &["freshness"]);
    let board = &told["consumers"][0];
    assert!(board["missed_us"].as_i64().unwrap() > 0, "{board}");
    assert!(board["achieved_ppm"].as_u64().unwrap() < 990_000, "{board}");
    assert!(
        !names(&board["alerts"]).contains(&"budget-spent"),
        "{board}"
    );
    assert_eq!(board["budget_us"], 25_920_000_000_i64, "1 % of 30 days");
}

#[test]
fn a_run_that_did_not_happen_is_an_alert_of_its_own() {
    let home = home(&node("sums", "rhythm = \"once\"\ndue = \"1s\""));
    append(&home, 1, 10);
    home.run().ok();
    let runs = |home: &Home| json(home, &["freshness"])["runs"][0].clone();
    assert_eq!(runs(&home)["missed"], 0);
    // Found without a host, when its time has passed.
    let overdue = refrain_tests::poll("a run is due", || {
        let run = runs(&home);
        (!names(&run["alerts"]).is_empty()).then_some(run)
    });
    assert_eq!(names(&overdue["alerts"]), ["missed-run"]);
    home.refrain(&["status"])
        .ok()
        .says(&["missed-run: node sums"]);
    home.refrain(&["freshness", "--fail-if-missed"])
        .code(8)
        .says(&["node sums: a run (once) did not happen"]);
    // And told as one that was missed when one has come.
    home.run().ok();
    assert!(runs(&home)["missed"].as_u64().unwrap() > 0);
}

/// A calendar whose node has never run: rows that wait for longer than a day make it overdue, and others do not.
#[test]
fn a_calendar_is_not_missed_before_its_time() {
    let home = home(&node("sums", "rhythm = \"0 2 1 1 *\""));
    append(&home, 1, 10);
    let run = &json(&home, &["freshness"])["runs"][0];
    assert!(
        run["due"].is_number() && names(&run["alerts"]).is_empty(),
        "{run}"
    );
    home.refrain(&["freshness", "--fail-if-missed"]).ok();
}

fn amount(value: &Value) -> i64 {
    value.as_i64().unwrap()
}

#[test]
fn the_bill_is_shared_out_to_the_last_millionth() {
    let file = node("sums", "")
        + &node("slow", "")
        + &consumer("board", "sums", "freshness = \"1m\"")
        + &consumer("exec", "sums", "freshness = \"tier 4\"")
        + &consumer("ml", "slow", "freshness = \"1h\"")
        + "[prices]\ncurrency = \"EUR\"\ncore_hour = 1000\ngb_month_hot = 3.5\ngb_read = 7\nrequest = 0.001\n";
    let home = home(&file);
    append(&home, 1, 20_000);
    home.run().ok().says(&[" EUR"]);
    let bill = json(&home, &["cost", "--per", "month"]);
    let parts = bill["parts"].as_array().unwrap();
    let sum: i64 = parts.iter().map(|p| amount(&p["amount"])).sum();
    assert_eq!(sum, amount(&bill["total"]), "{bill}");
    assert!(sum > 0 && bill["currency"] == "EUR");
    let of = |consumer: &str| {
        let own = parts
            .iter()
            .filter(|p| p["consumer"] == consumer && p["item"] == "sums");
        own.map(|p| amount(&p["amount"])).sum::<i64>()
    };
    assert!(of("board") >= of("exec") && of("exec") > 0, "{bill}");
    let items = bill["items"].as_array().unwrap();
    let sums = items.iter().find(|i| i["name"] == "sums").unwrap();
    assert_eq!(sums["work"]["rows"], 20_000);
    for used in [
        "guest_ns",
        "host_ns",
        "read_bytes",
        "written_bytes",
        "syncs",
    ] {
        assert!(sums["work"][used].as_u64().unwrap() > 0, "{used}: {sums}");
    }
    let strict = json(&home, &["cost", "--what-if", "ml=1s"]);
    let slow = &strict["changes"][0];
    assert_eq!(slow["node"], "slow", "{strict}");
    assert_eq!(slow["would_be"], "continuous", "{strict}");
    let csv = home
        .refrain(&["cost", "--by", "consumer", "--output", "csv"])
        .ok()
        .out;
    assert!(csv.starts_with("consumer,amount,of\nboard,"), "{csv}");
    home.refrain(&["cost", "--what-if", "nobody=1s"])
        .code(2)
        .says(&["there is no consumer nobody", "board"]);
    home.write(
        "other.toml",
        format!("{TOPIC}{}", file.replace("\"1h\"", "\"26h\"")),
    );
    let other = json(&home, &["cost", "--file", "other.toml"]);
    assert_eq!(other["changes"][0]["node"], "slow", "{other}");
}

/// A consumer that reads a version of its own is held against that one, and pays for it.
#[test]
fn a_consumer_on_its_own_version_is_told_of_that_one() {
    let home = crate::versions::home(2_000);
    home.run().ok();
    home.refrain(&["replay", "delays", "--set", "delayed_above=30"])
        .ok();
    let before = json(&home, &["cost"]);
    let paid = |bill: &Value, item: &str, consumer: &str| {
        let parts = bill["parts"].as_array().unwrap().iter();
        let own =
            parts.filter(|p| p["kind"] == "node" && p["item"] == item && p["consumer"] == consumer);
        own.count()
    };
    assert_eq!(
        (
            paid(&before, "delays", "board"),
            paid(&before, "delays@2", "board")
        ),
        (1, 0)
    );
    home.refrain(&["cutover", "delays", "--consumer", "board"])
        .ok();
    let after = json(&home, &["cost"]);
    assert_eq!(
        (
            paid(&after, "delays", "board"),
            paid(&after, "delays@2", "board")
        ),
        (0, 1)
    );
    assert_eq!(paid(&after, "delays", "report"), 1);
    // Held against it, too: what it reads goes on being taken, and rows that wait make it stale.
    home.write("more.csv", crate::versions::flights_csv(2_000, 500));
    home.append("flights", "more.csv", "p2").ok();
    let stale = || json(&home, &["freshness"])["consumers"][0]["now"]["staleness_us"].as_i64();
    assert!(stale() > Some(0));
    home.run().ok();
    assert_eq!(stale(), Some(0));
}

fn item<'a>(bill: &'a Value, kind: &str, name: &str) -> &'a Value {
    let items = bill["items"].as_array().unwrap();
    let found = items
        .iter()
        .find(|i| i["kind"] == kind && i["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}: {bill}"))
}

/// Rows that are written, what is held by kind, and work that is no node's once were in nobody's account.
#[test]
fn everything_that_works_has_an_account() {
    let views = "[node.views]\nplugin = \"views_only\"\ninput = \"events\"\ntopic = \"views\"\n";
    let file = node("sums", "rhythm = \"continuous\"")
        + views
        + &consumer("board", "sums", "freshness = \"1m\"")
        + &consumer("exec", "sums", "freshness = \"tier 4\"")
        + "[prices]\ncore_hour = 100000\nrequest = 0.01\n";
    let home = home(&file).with_plugins(&["views_only"]);
    append(&home, 1, 20_000);
    // An append without a host is in the books as well.
    let alone = json(&home, &["cost"]);
    let ingest = item(&alone, "ingest", "events");
    for used in ["host_ns", "written_bytes", "syncs"] {
        assert!(
            ingest["work"][used].as_u64().unwrap() > 0,
            "{used}: {ingest}"
        );
    }
    let running = home.start();
    append(&home, 2, 20_000);
    home.wait_until_taken();
    assert_eq!(running.stop(), Some(0));
    let bill = json(&home, &["cost"]);
    let cpu = |item: &Value| item["work"]["host_ns"].as_u64().unwrap();
    assert!(cpu(item(&bill, "ingest", "events")) > cpu(ingest), "{bill}");
    assert!(cpu(item(&bill, "host", "host")) > 0, "{bill}");
    let (sums, views) = (item(&bill, "node", "sums"), item(&bill, "node", "views"));
    assert!(sums["work"]["view_rows"].as_u64().unwrap() > 0, "{sums}");
    let written = views["work"]["out_rows"].as_u64().unwrap();
    assert_eq!(written, home.rows("views"), "{views}");
    let held = |item: &Value, what: &str| item["held"][what].as_u64().unwrap();
    assert!(
        held(sums, "state_bytes") > 0 && held(sums, "view_bytes") > 0,
        "{sums}"
    );
    assert!(
        held(views, "topic_bytes") > 0 && held(views, "view_bytes") == 0,
        "{views}"
    );
    let all = ["state_bytes", "view_bytes", "topic_bytes"].map(|what| held(sums, what));
    assert_eq!(sums["held_bytes"], all.iter().sum::<u64>());
    // Shared out exactly: appends to those who read what came, the rest of the process to all.
    let parts = bill["parts"].as_array().unwrap();
    for (kind, name) in [("ingest", "events"), ("host", "host")] {
        let own = parts
            .iter()
            .filter(|p| p["kind"] == kind && p["item"] == name);
        let amounts: Vec<i64> = own.clone().map(|p| amount(&p["amount"])).collect();
        let whole = amount(&item(&bill, kind, name)["total"]);
        assert_eq!(
            (amounts.len(), amounts.iter().sum::<i64>()),
            (2, whole),
            "{bill}"
        );
        assert!(amounts[0].abs_diff(amounts[1]) <= 1 && whole > 0, "{bill}");
    }
    let sum: i64 = parts.iter().map(|p| amount(&p["amount"])).sum();
    assert_eq!(sum, amount(&bill["total"]));
    let shown = home.refrain(&["cost"]).ok().out;
    for item in ["ingest events", "host"] {
        assert!(shown.contains(item), "{shown}");
    }
}

/// Figures once were sums of an hour: no single commit could be looked at.
#[test]
fn single_commits_can_be_looked_at() {
    let home = home(&(node("sums", "") + "[run]\ncommit_interval = \"20ms\"\n"));
    let running = home.start();
    for seed in 1..4 {
        append(&home, seed, 500 * seed as usize);
        home.wait_until_taken();
    }
    let commits = json(&home, &["cost", "--commits", "sums"]);
    assert_eq!(running.stop(), Some(0));
    let commits = commits.as_array().unwrap();
    let rows: Vec<u64> = commits
        .iter()
        .map(|c| c["rows"].as_u64().unwrap())
        .filter(|r| *r > 0)
        .collect();
    assert_eq!(rows.iter().sum::<u64>(), 3_000, "{commits:?}");
    assert!(rows.len() >= 3, "{commits:?}");
    let cuts: Vec<u64> = commits.iter().map(|c| c["cut"].as_u64().unwrap()).collect();
    assert!(cuts.is_sorted(), "{cuts:?}");
    for commit in commits.iter().filter(|c| c["rows"] != 0) {
        for used in [
            "host_ns",
            "guest_ns",
            "read_bytes",
            "written_bytes",
            "syncs",
            "view_rows",
        ] {
            assert!(commit[used].as_u64().unwrap() > 0, "{used}: {commit}");
        }
    }
    // Kept over the end of the host.
    let shown = home.refrain(&["cost", "--commits", "sums"]).ok().out;
    for part in ["cpu in plugin", "1500"] {
        assert!(shown.contains(part), "{shown}");
    }
    home.refrain(&["cost", "--commits", "summs"])
        .code(2)
        .says(&["there is no node summs", "sums"]);
}

#[test]
fn a_price_without_effect_is_told() {
    let home = home(&(node("sums", "") + "[prices]\ngb_month_cold = 0.01\n"));
    home.refrain(&["check"])
        .ok()
        .says(&["unused-price", "there is no cold tier"]);
}

/// A changed file once was its rhythms alone: nodes that are new cost nothing, nodes that are gone went on costing, prices
/// stayed what they were.
#[test]
fn a_changed_file_is_priced_as_a_whole() {
    let prices = |core_hour: u32| format!("[prices]\ncore_hour = {core_hour}\ngb_month_hot = 0\n");
    let users = "[node.users]\nplugin = \"engagement_total\"\ninput = \"events\"\nkey = [\"user_id\"]\nview = \"users\"\n";
    let file = node("sums", "")
        + &node("slow", "")
        + &consumer("board", "sums", "freshness = \"1m\"")
        + &consumer("ml", "slow", "freshness = \"1h\"");
    let home = home(&(file + &prices(1000)));
    append(&home, 1, 20_000);
    home.run().ok();
    let other = node("sums", "")
        + users
        + &consumer("board", "sums", "freshness = \"1m\"")
        + &consumer("ml", "users", "freshness = \"1h\"")
        + &prices(2000);
    let retention = TOPIC.to_owned() + "retention = \"30d\"\n";
    home.write("other.toml", format!("{retention}{other}"));
    let bill = json(&home, &["cost", "--file", "other.toml"]);
    let change = |name: &str| {
        let all = bill["changes"].as_array().unwrap();
        all.iter()
            .find(|c| c["node"] == name)
            .unwrap_or_else(|| panic!("{name}: {bill}"))
            .clone()
    };
    let (slow, users) = (change("slow"), change("users"));
    assert_eq!(
        (&slow["kind"], &slow["then"]),
        (&"removed".into(), &0.into())
    );
    assert!(amount(&slow["now"]) > 0, "{slow}");
    assert_eq!((&users["kind"], &users["now"]), (&"new".into(), &0.into()));
    assert!(
        amount(&users["then"]) > 0 && users["tried_rounds"].as_u64().unwrap() > 0,
        "{users}"
    );
    let then = &bill["then"];
    let item = |bill: &Value, name: &str| {
        let items = bill["items"].as_array().unwrap();
        items
            .iter()
            .find(|i| i["name"] == name)
            .map(|i| amount(&i["cpu"]))
    };
    assert_eq!(item(then, "slow"), None);
    let twice = item(then, "sums").unwrap() - 2 * item(&bill, "sums").unwrap();
    assert!(
        twice.abs() <= 1,
        "twice the price for the same work: {bill}"
    );
    let parts = then["parts"].as_array().unwrap();
    assert_eq!(
        parts.iter().map(|p| amount(&p["amount"])).sum::<i64>(),
        amount(&then["total"])
    );
    assert_eq!(then["total"], bill["what_if"]);
    let ml = parts.iter().find(|p| p["item"] == "users").unwrap();
    assert_eq!(
        (&ml["consumer"], &ml["why"]),
        (&"ml".into(), &"the only reader".into())
    );
    let told = bill["unpriced"].to_string();
    assert!(
        told.contains("retention of events") && told.contains("node users is new"),
        "{told}"
    );
    home.refrain(&["cost", "--file", "other.toml", "--by", "consumer"])
        .ok()
        .says(&["retention of events would change"]);
}

/// Another key is another node: it is tried out anew. Other commits of the same node are tried out in both ways.
#[test]
fn a_changed_node_is_tried_out() {
    let text = |key: &str, interval: &str| {
        format!(
            "{TOPIC}[node.sums]\nplugin = \"engagement_total\"\ninput = \"events\"\nkey = [\"{key}\"]\nview = \"sums\"\n\
             [run]\ncommit_interval = \"{interval}\"\n"
        )
    };
    let home = Home::new(&text("content_id", "1ms")).with_plugins(&["engagement_total"]);
    for seed in 0..6 {
        append(&home, seed, 2_000);
    }
    home.run().ok();
    home.write("key.toml", text("user_id", "1ms"));
    home.write("interval.toml", text("content_id", "1h"));
    let changed = &json(&home, &["cost", "--file", "key.toml"])["changes"][0];
    assert_eq!(changed["kind"], "changed", "{changed}");
    assert!(changed["tried_rounds"].as_u64().unwrap() > 0, "{changed}");
    let slower = &json(&home, &["cost", "--file", "interval.toml"])["changes"][0];
    assert_eq!(
        (&slower["kind"], &slower["commits_now"]),
        (&"rhythm".into(), &6.into()),
        "{slower}"
    );
    assert!(slower["commits_then"].as_u64().unwrap() <= 2, "{slower}");
    assert!(slower["tried_rounds"].as_u64().unwrap() >= 7, "{slower}");
    assert!(!home.path("data/dry").exists(), "nothing is left of it");
}

/// What makes no sense is refused with what is wrong, and where.
#[test]
fn questions_about_cost_that_make_no_sense_are_refused() {
    let home = home(&(node("sums", "") + &consumer("board", "sums", "freshness = \"1m\"")));
    append(&home, 1, 100);
    home.run().ok();
    let broken = "[node.sums]\nrhythm = \"evry 1m\"\n";
    home.write("broken.toml", broken);
    home.write("unknown.toml", broken.replace("[node", "[nodes"));
    let table: [(&[&str], &[&str]); 8] = [
        (&["--what-if", "board"], &["CONSUMER=FRESHNESS"]),
        (&["--what-if", "board="], &["CONSUMER=FRESHNESS"]),
        (&["--what-if", "=1s"], &["CONSUMER=FRESHNESS"]),
        (
            &["--what-if", "board=soon"],
            &["soon is neither a duration"],
        ),
        (
            &["--what-if", "board=1s", "--what-if", "board=1h"],
            &["board two needs"],
        ),
        (&["--file", "broken.toml"], &["evry 1m", "broken.toml"]),
        (&["--file", "unknown.toml"], &["nodes", "unknown.toml"]),
        (&["--commits", "sums", "--by", "node"], &["--by"]),
    ];
    for (arguments, said) in table {
        let arguments = [&["cost"], arguments].concat();
        home.refrain(&arguments).code(2).says(said);
    }
    let drawing = ["tiers", "--format", "svg", "--output", "json"];
    home.refrain(&drawing).code(2).says(&["drawings"]);
}

/// Lines are about what was asked for in every form, and what is paid is paid by the tier of who pays.
#[test]
fn a_bill_is_told_by_what_was_asked_for() {
    let file = node("sums", "")
        + &consumer("board", "sums", "freshness = \"1m\"")
        + &consumer("exec", "sums", "freshness = \"tier 4\"")
        + "[prices]\ncore_hour = 1000\ngb_month_hot = 3.5\n";
    let home = home(&file);
    append(&home, 1, 20_000);
    home.run().ok();
    let lines = |by: &str| json(&home, &["cost", "--per", "month", "--by", by]);
    let names = |lines: &Value, of: &str| {
        let all = lines.as_array().unwrap().iter();
        all.map(|l| l[of].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&lines("consumer"), "consumer"), ["board", "exec"]);
    assert_eq!(
        names(&lines("tier"), "tier"),
        ["1", "4"],
        "those of the payers, and nothing of no tier"
    );
    let parts = lines("part");
    let whys = names(&parts, "why");
    assert!(
        whys.iter().any(|why| why.starts_with("1/2 of ")),
        "{whys:?}"
    );
    let what_if = json(
        &home,
        &["cost", "--what-if", "board=26h", "--by", "consumer"],
    );
    assert_eq!(names(&what_if, "consumer"), ["board", "exec"]);
    assert!(
        what_if[0]["now"].is_string() && what_if[0]["difference"].is_string(),
        "{what_if}"
    );
}

/// Work of the exchange and of several workers is the node's, whoever does it, and the books outlive the host.
#[test]
fn workers_and_restarts_lose_no_figures() {
    let node = "[node.users]\nplugin = \"engagement_total\"\ninput = \"events\"\nkey = [\"user_id\"]\npartitions = 3\nview = \"users\"\n";
    let home = home(node);
    for seed in 1..4 {
        append(&home, seed, 5_000);
        home.refrain(&["run", "--once", "--workers", "3"]).ok();
    }
    let bill = json(&home, &["cost"]);
    let items = bill["items"].as_array().unwrap();
    let work = &items.iter().find(|i| i["name"] == "users").unwrap()["work"];
    assert_eq!(
        (&work["rows"], &work["openings"]),
        (&15_000.into(), &3.into()),
        "{work}"
    );
    assert!(work["guest_ns"].as_u64().unwrap() > 0, "{work}");
}
