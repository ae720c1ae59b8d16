//! What an operator sees of a run: the result line, the status, figures for Prometheus.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use refrain_tests::{Home, Running, events_csv, poll};

fn home() -> Home {
    let home = Home::engagement();
    home.write("events.csv", events_csv(71, 20_000));
    home
}

/// Appends some rows that are taken, then all: what was there when a run began does not count as arriving.
fn append_while_running(home: &Home) {
    home.write("first.csv", events_csv(72, 10));
    home.append("events", "first.csv", "q").ok();
    home.wait_until_taken();
    home.append("events", "events.csv", "p").ok();
    home.wait_until_taken();
}

/// The address that a run with `--metrics 0` says.
pub(crate) fn address(running: &Running) -> String {
    poll("the address of the figures", || {
        let said = running.said();
        let (_, rest) = said.split_once("figures at http://")?;
        Some(rest.split_once("/metrics")?.0.to_string())
    })
}

/// Status line and body.
pub(crate) fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_string(), body.to_string())
}

/// The value of one figure.
pub(crate) fn figure(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(' '))
    })?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[test]
fn a_run_once_says_what_it_took() {
    let home = home();
    home.append("events", "events.csv", "p").ok();
    let done = home.refrain(&["run", "--once", "--output", "json"]).ok();
    let result = done.json();
    assert_eq!(result["rows"], 60_000, "three nodes");
    assert!(result["duration_s"].as_f64() > Some(0.0) && result["cpu_s"].as_f64() > Some(0.0));
    assert!(result["rows_per_s"].as_u64() > Some(0));
    assert_eq!(result["stopped"], serde_json::json!([]));
    done.says(&["60,000 rows taken in", "rows/s", "CPU s"]);
    let csv = home.refrain(&["run", "--once", "--output", "csv"]).ok();
    assert!(
        csv.out
            .starts_with("rows,commits,cut,duration_s,rows_per_s,cpu_s,cost\n0,"),
        "{}",
        csv.out
    );
}

#[test]
fn the_status_of_a_running_host_tells_how_nodes_go() {
    let home = home();
    let running = home.start();
    append_while_running(&home);
    let status = home.refrain(&["status", "--output", "json"]).ok().json();
    for node in status["nodes"].as_array().unwrap() {
        assert_eq!(node["phase"], "running", "{node}");
        assert_eq!(
            (&node["lag_rows"], &node["lag_event_us"]),
            (&0.into(), &0.into())
        );
        assert!(node["commits"].as_u64() > Some(0), "{node}");
        for latency in ["commit", "visible"] {
            let latency = &node[latency];
            assert!(latency["count"].as_u64() > Some(0), "{node}");
            assert!(latency["p50_us"].as_u64() <= latency["p95_us"].as_u64());
            assert!(latency["p95_us"].as_u64() <= latency["p99_us"].as_u64());
            assert!(latency["p99_us"].as_u64() <= latency["max_us"].as_u64());
        }
        assert!(node["frontier"].as_u64() >= node["cut"].as_u64());
        assert!(node["commit_age_us"].is_u64(), "{node}");
    }
    let total = &status["nodes"][2];
    assert!(total["state_bytes"].as_u64() > Some(0) && total["view_bytes"].as_u64() > Some(0));
    home.refrain(&["status"]).ok().says(&["a host is running"]);
    assert_eq!(running.stop(), Some(0));
    let resting = home.refrain(&["status", "--output", "json"]).ok().json();
    assert_eq!(resting["nodes"][0]["phase"], "resting");
}

/// A total has no watermark, and a node may stand behind a topic without one: the lag was unknown to both.
#[test]
fn how_far_events_are_ahead_is_told_of_every_kind_of_node() {
    let home = home();
    home.append("events", "events.csv", "p").ok();
    home.run().ok();
    let newest = |status: &serde_json::Value, node: usize| {
        let lag = &status["nodes"][node]["lag_event_us"];
        lag.as_i64().unwrap()
    };
    let row = "event_time,content_id,user_id,kind,watch_ms\n";
    let last = home
        .topic("events")
        .iter()
        .map(|e| e["event_time"].as_str().unwrap().to_owned())
        .max();
    let last: String = last.unwrap();
    let minutes_later = format!("{row}{},1,1,view,1\n", last.replace("T22:", "T23:"));
    home.write("later.csv", minutes_later);
    home.append("events", "later.csv", "q").ok();
    let status = home.refrain(&["status", "--output", "json"]).ok().json();
    for node in 0..3 {
        assert_eq!(newest(&status, node), 3_600_000_000, "{status}");
    }
    home.run().ok();
    let status = home.refrain(&["status", "--output", "json"]).ok().json();
    (0..3).for_each(|node| assert_eq!(newest(&status, node), 0, "{status}"));
}

#[test]
fn a_watch_looks_again_and_leaves_the_folder_free() {
    let home = home();
    let mut watch = home.command(&["status", "--watch"]);
    let mut watch = watch
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut line = move || lines.next().unwrap().unwrap();
    assert!(line().starts_with("engagement: resting"));
    // Another may have the data folder meanwhile.
    let running = home.start();
    home.append("events", "events.csv", "p").ok();
    loop {
        let line = line();
        if line.starts_with("total: running; lag 0 rows") && line.contains("20,000 rows, ") {
            break;
        }
    }
    assert_eq!(running.stop(), Some(0));
    loop {
        if line().starts_with("total: resting") {
            break;
        }
    }
    // Nobody reads any more: it ends by itself once it has something to say.
    drop(line);
    let running = home.start();
    let code = poll("the watch to end", || watch.try_wait().unwrap());
    assert_eq!(code.code(), Some(0));
    assert_eq!(running.stop(), Some(0));
}

/// Each figure has its help and its type, and is in the documentation.
fn all_documented(text: &str) {
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = ["_total", "_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(name);
        for kind in ["HELP", "TYPE"] {
            assert!(
                text.contains(&format!("# {kind} {family} ")),
                "{kind} of {name}"
            );
        }
        let documented =
            std::fs::read_to_string(refrain_tests::repository().join("docs/operations.md"))
                .unwrap();
        assert!(
            documented.contains(&format!("`{name}`"))
                || documented.contains(&format!("`{family}`")),
            "{name} is not in docs/operations.md"
        );
    }
}

/// A node that keeps a view of totals.
fn totals(name: &str, rhythm: &str) -> String {
    format!(
        "[node.{name}]\nplugin = \"engagement_total\"\ninput = \"events\"\nkey = [\"content_id\"]\nview = \"{name}\"\n\
         rhythm = \"{rhythm}\"\n"
    )
}

#[test]
fn figures_of_consumers_nodes_and_alerts_are_served() {
    let file = "[topic.events]\nschema = { event_time = \"timestamp(ms)\", content_id = \"i64\", user_id = \"i64\", \
                kind = \"text\", watch_ms = \"i64\" }\ntime = \"event_time\"\nkey = [\"content_id\"]\n"
        .to_owned()
        + &totals("live", "every 1s")
        + &totals("yearly", "0 2 1 1 *")
        + "[consumer.board]\nview = \"live\"\nfreshness = \"now\"\n\
           [consumer.exec]\nview = \"yearly\"\nfreshness = \"1ms\"\nobjective = \"99.9999%\"\nwindow = \"1h\"\n\
           [tiers]\n1 = { name = \"at once\", freshness = \"1us\" }\n2 = { name = \"now\", freshness = \"1h\" }\n";
    let home = Home::new(&file).with_plugins(&["engagement_total"]);
    home.write("events.csv", events_csv(71, 2_000));
    let running = home.start_under(home.command(&["run", "--metrics", "0"]));
    let address = address(&running);
    home.append("events", "events.csv", "p").ok();
    // Rows wait for the next year, and for nothing else.
    let text = poll("the live node to take the rows", || {
        let (_, text) = get(&address, "/metrics");
        let taken = figure(&text, "refrain_node_taken_rows_total{node=\"live\"}");
        (taken == Some(2_000.0)).then_some(text)
    });
    let is = |name: &str| figure(&text, name).unwrap_or_else(|| panic!("no {name} in:\n{text}"));
    for (name, wanted) in [
        ("refrain_consumer_need_seconds{consumer=\"board\"}", 3_600.0),
        ("refrain_consumer_need_seconds{consumer=\"exec\"}", 0.001),
        (
            "refrain_consumer_staleness_seconds{consumer=\"board\"}",
            0.0,
        ),
        (
            "refrain_consumer_objective_ratios{consumer=\"board\"}",
            0.99,
        ),
        (
            "refrain_consumer_objective_ratios{consumer=\"exec\"}",
            0.999_999,
        ),
        ("refrain_consumer_achieved_ratios{consumer=\"board\"}", 1.0),
        (
            "refrain_consumer_budget_left_seconds{consumer=\"board\"}",
            25_920.0,
        ),
        (
            "refrain_consumer_budget_burn_ratios{consumer=\"board\"}",
            0.0,
        ),
        ("refrain_alert{kind=\"late\",at=\"exec\"}", 1.0),
        ("refrain_alert{kind=\"budget-spent\",at=\"exec\"}", 1.0),
        ("refrain_alert{kind=\"lagging\",at=\"\"}", 0.0),
        ("refrain_alert{kind=\"missed-run\",at=\"\"}", 0.0),
        (
            "refrain_node_info{node=\"live\",rhythm=\"every 1s\",tier=\"now\"}",
            1.0,
        ),
        (
            "refrain_node_info{node=\"yearly\",rhythm=\"0 2 1 1 *\",tier=\"\"}",
            1.0,
        ),
        ("refrain_node_missed_runs{node=\"yearly\"}", 0.0),
    ] {
        assert_eq!(is(name), wanted, "{name} in:\n{text}");
    }
    assert!(is("refrain_consumer_staleness_seconds{consumer=\"exec\"}") > 0.001);
    assert!(is("refrain_consumer_achieved_ratios{consumer=\"exec\"}") < 1.0);
    assert!(is("refrain_consumer_budget_left_seconds{consumer=\"exec\"}") < 0.0);
    assert!(is("refrain_consumer_budget_burn_ratios{consumer=\"exec\"}") > 1.0);
    assert!(is("refrain_ingest_cpu_seconds_total{topic=\"events\"}") > 0.0);
    assert!(is("refrain_rest_cpu_seconds_total") > 0.0);
    all_documented(&text);
    // The same in words, with the tiers' own names.
    let told = home.refrain(&["freshness", "--output", "json"]).ok().json();
    let tier = |consumer: usize| told["consumers"][consumer]["now"]["tier"].clone();
    assert_eq!(
        (tier(0), tier(1)),
        ("at once".into(), "now".into()),
        "{told}"
    );
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn figures_are_served_while_a_run_goes_on() {
    let home = home();
    let running = home.start_under(home.command(&["run", "--metrics", "0"]));
    let address = address(&running);
    append_while_running(&home);
    let (head, text) = get(&address, "/metrics");
    assert_eq!(head, "HTTP/1.1 200 OK");
    assert!(text.ends_with("# EOF\n"), "{text}");
    for (name, wanted) in [
        ("refrain_running", 1.0),
        ("refrain_node_lag_rows{node=\"total\"}", 0.0),
        ("refrain_node_lag_event_seconds{node=\"total\"}", 0.0),
        ("refrain_node_taken_rows_total{node=\"total\"}", 20_010.0),
        ("refrain_node_phase{node=\"total\",phase=\"running\"}", 1.0),
        ("refrain_node_phase{node=\"total\",phase=\"stalled\"}", 0.0),
        ("refrain_topic_rows{topic=\"events\"}", 20_010.0),
        ("refrain_findings_damage", 0.0),
    ] {
        assert_eq!(figure(&text, name), Some(wanted), "{name} in:\n{text}");
    }
    for name in [
        "refrain_node_commit_seconds",
        "refrain_node_visible_seconds",
    ] {
        let count = figure(&text, &format!("{name}_count{{node=\"total\"}}")).unwrap();
        let all = figure(
            &text,
            &format!("{name}_bucket{{le=\"+Inf\",node=\"total\"}}"),
        )
        .unwrap();
        assert!(count > 0.0 && count == all, "{name}");
    }
    all_documented(&text);
    assert_eq!(
        get(&address, "/healthz"),
        ("HTTP/1.1 200 OK".into(), "ok\n".into())
    );
    assert_eq!(get(&address, "/nothing").0, "HTTP/1.1 404 Not Found");
    let other = Home::engagement();
    other
        .refrain(&["run", "--metrics", &address])
        .code(2)
        .says(&[&address, "taken by another process", "--metrics"]);
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_stopped_node_is_no_good_health() {
    let file = "[topic.numbers]\nschema = { value = \"i64\", id = \"i64\" }\nkey = [\"id\"]\n\
        [node.bad]\nplugin = \"bad\"\ninput = \"numbers\"\nkey = [\"id\"]\nview = \"bad\"\noptions = { behaviour = \"fatal\" }\n\
        [node.good]\nplugin = \"bad\"\ninput = \"numbers\"\nkey = [\"id\"]\nview = \"good\"\n";
    let home = Home::new(file);
    home.write("plugins/bad.wasm", crate::guest("bad.wasm"));
    home.write("numbers.csv", "value,id\n13,1\n");
    let running = home.start_under(home.command(&["run", "--metrics", "127.0.0.1:0"]));
    let address = address(&running);
    home.append("numbers", "numbers.csv", "p").ok();
    let (head, body) = poll("the node to stop", || {
        let answer = get(&address, "/healthz");
        answer.1.contains("node bad").then_some(answer)
    });
    assert!(
        head.contains("503") && body.starts_with("node bad stopped"),
        "{body}"
    );
    home.refrain(&["status"]).ok().says(&["needs you: bad"]);
    assert_eq!(running.stop(), Some(4));
}
