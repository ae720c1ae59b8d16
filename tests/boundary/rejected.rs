//! Rows that were set aside: counted, looked at, mended, and appended again exactly once.

use std::process::Stdio;
use std::time::Duration;

use refrain_tests::{EVENTS, Home, Luck, count, events_csv};
use serde_json::Value;

const BAD: &str = "event_time,content_id,user_id,kind,watch_ms
1700000000000,1,1,view,5
1700000000001,one,1,view,5
not a time,1,1,view,5
1700000000002,1,1
1700000000003,two,1,\"a, b\",5
";
const HEADER: &str = "event_time,content_id,user_id,kind,watch_ms";

fn home() -> Home {
    let home = Home::new(&format!("{EVENTS}2\n"));
    home.write("bad.csv", BAD);
    home.append("events", "bad.csv", "p").ok();
    home
}

fn list(home: &Home, name: &str) -> Value {
    let list = home
        .refrain(&["rejected", "list", "--output", "json"])
        .ok()
        .json();
    let found = list.as_array().unwrap().iter().find(|s| s["name"] == name);
    found.unwrap().clone()
}

fn resubmit(home: &Home, arguments: &[&str]) -> Value {
    let command = ["rejected", "resubmit"];
    let json = ["--output", "json"];
    let all: Vec<&str> = command
        .iter()
        .chain(arguments)
        .chain(&json)
        .copied()
        .collect();
    home.refrain(&all).ok().json()
}

#[test]
fn rejects_of_an_input_are_listed_shown_mended_and_appended_once() {
    let home = home();
    let listed = list(&home, "events.rejected");
    assert_eq!(
        (&listed["rows"], &listed["kind"]),
        (&4.into(), &"input".into())
    );
    assert_eq!(
        listed["reasons"][0],
        serde_json::json!({ "reason": "field `content_id` (i64): `…` is not an i64", "rows": 2 })
    );
    assert!(listed["first"].as_str() <= listed["last"].as_str());

    let shown = [
        "rejected",
        "show",
        "events.rejected",
        "--reason",
        "content_id",
        "--output",
        "json",
    ];
    let shown = home.refrain(&shown).ok().json();
    assert_eq!(shown.as_array().unwrap().len(), 2);
    assert_eq!(shown[0]["text"], "1700000000001,one,1,view,5");
    assert_eq!(
        (&shown[0]["line"], &shown[0]["input"]),
        (&3.into(), &"bad.csv".into())
    );

    // Nothing happens without --confirm.
    let plan = resubmit(&home, &["events.rejected", "--header", HEADER]);
    assert_eq!(
        (&plan["confirmed"], &plan["left"]),
        (&false.into(), &4.into())
    );
    assert_eq!(home.rows("events"), 1);

    home.refrain(&[
        "rejected",
        "show",
        "events.rejected",
        "--out",
        "mend.jsonl",
        "--header",
        HEADER,
    ])
    .ok()
    .says(&[
        "4 rows",
        "rejected resubmit events.rejected --edit mend.jsonl",
    ]);
    let text = std::fs::read_to_string(home.path("mend.jsonl")).unwrap();
    assert!(
        text.contains("\"content_id\": \"one\", \"user_id\": 1"),
        "{text}"
    );
    assert!(text.contains("\"@text\": \"1700000000002,1,1\""), "{text}");
    let mended = text.replace("\"one\"", "11").replace("\"two\"", "12");
    home.write("mend.jsonl", &mended);
    let mend = ["events.rejected", "--edit", "mend.jsonl", "--confirm"];
    let done = resubmit(&home, &mend);
    assert_eq!((&done["rows"], &done["left"]), (&2.into(), &2.into()));
    let again = resubmit(&home, &mend);
    assert_eq!((&again["rows"], &again["already"]), (&0.into(), &2.into()));
    let rows = home.topic_text("events");
    assert_eq!(rows.lines().count(), 4, "{rows}");
    assert!(
        rows.contains(",11,1,view,5") && rows.contains(",12,1,\"a, b\",5"),
        "{rows}"
    );
    assert_eq!(list(&home, "events.rejected")["resubmitted"], 2);
    assert_eq!(
        home.rows("events.rejected"),
        4,
        "what could not be mended is not set aside again"
    );

    // The next selection overlaps with the first: only what is new is appended.
    let mended = mended
        .replace("not a time", "2023-11-14T22:13:20Z")
        .replace(
            "\"@text\": \"1700000000002,1,1\"",
            "\"@text\": \"1700000000002,1,1,like,0\"",
        );
    home.write("mend.jsonl", mended);
    let done = resubmit(
        &home,
        &[
            "events.rejected",
            "--edit",
            "mend.jsonl",
            "--header",
            HEADER,
            "--confirm",
        ],
    );
    assert_eq!(
        (&done["rows"], &done["already"], &done["left"]),
        (&2.into(), &2.into(), &0.into())
    );
    assert_eq!(home.rows("events"), 5);
}

#[test]
fn what_an_editor_can_do_wrong_is_told() {
    let home = home();
    for (text, part) in [
        ("{\"@reject\": \"0/0\"}\n", "line 1: has no fields"),
        ("\n{\"a\": 1}\n", "line 2: has no @reject"),
        (
            "{\"@reject\": \"0/0\", \"a\": 1}\n{\"@reject\": \"0/0\", \"a\": 1}\n",
            "line 2: is about the same row as line 1",
        ),
        ("{\"@reject\": \"0/77\", \"a\": 1}\n", "no row 0/77"),
        ("{\"@reject\": \"5/0\", \"a\": 1}\n", "partition"),
        ("nonsense\n", "line 1: is no line"),
    ] {
        home.write("mend.jsonl", text);
        let command = [
            "rejected",
            "resubmit",
            "events.rejected",
            "--edit",
            "mend.jsonl",
            "--confirm",
        ];
        home.refrain(&command).code(2).says(&[part]);
    }
    home.refrain(&[
        "rejected",
        "resubmit",
        "events.rejected",
        "--edit",
        "no.jsonl",
    ])
    .code(2)
    .says(&["no.jsonl"]);
    home.refrain(&["rejected", "show", "events.rejcted"])
        .code(2)
        .says(&["did you mean events.rejected?"]);
    home.refrain(&["rejected", "show", "events"]).code(2);
    assert_eq!(home.rows("events"), 1);
}

#[test]
fn rows_that_a_node_refused_are_read_from_the_log_and_appended_again() {
    let file = "[topic.numbers]\nschema = { value = \"i64\", id = \"i64\" }\nkey = [\"id\"]\npartitions = 3\n\
        [topic.mended]\nschema = { value = \"i64\", id = \"i64\" }\n\
        [node.bad]\nplugin = \"bad\"\ninput = \"numbers\"\nkey = [\"id\"]\nview = \"bad\"\noptions = { behaviour = \"trap\" }\n\
        [node.good]\nplugin = \"bad\"\ninput = \"numbers\"\nkey = [\"id\"]\nview = \"good\"\n";
    let home = Home::new(file);
    home.write("plugins/bad.wasm", crate::guest("bad.wasm"));
    let mut rows = "value,id\n".to_string();
    for i in 0..300 {
        rows.push_str(&format!("{},{i}\n", if i % 10 == 3 { 13 } else { i }));
    }
    home.write("numbers.csv", rows);
    home.append("numbers", "numbers.csv", "p").ok();
    home.run().ok();
    let refused = home.rows("bad.rejected");
    assert!(refused >= 30, "{refused}");
    let shown = home
        .refrain(&[
            "rejected",
            "show",
            "bad.rejected",
            "--limit",
            "1000",
            "--output",
            "json",
        ])
        .ok()
        .json();
    let shown = shown.as_array().unwrap();
    assert_eq!(shown.len() as u64, refused);
    for row in shown {
        assert_eq!(row["row"]["value"], 13, "{row}");
        assert_eq!(row["topic"], "numbers");
    }
    let plan = home.refrain(&["rejected", "resubmit", "bad.rejected"]).ok();
    plan.says(&["numbers is also read by good", "--confirm"]);
    let done = resubmit(&home, &["bad.rejected", "--to", "mended", "--confirm"]);
    assert_eq!(done["rows"].as_u64(), Some(refused));
    assert_eq!(home.rows("mended"), refused);
    assert_eq!(
        resubmit(&home, &["bad.rejected", "--to", "mended", "--confirm"])["rows"],
        0
    );
    home.refrain(&["rejected", "resubmit", "bad.rejected", "--to", "nowhere"])
        .code(2)
        .says(&["no source topic nowhere", "--to"]);
}

/// Three windows late, by turns through the socket and without a host.
#[test]
fn late_rows_need_a_topic_to_go_to() {
    let file = format!(
        "{}\n[topic.corrections]\n{}",
        refrain_tests::pipeline(),
        EVENTS.lines().skip(1).take(1).collect::<String>()
    );
    let home = Home::new(&file).with_plugins(&["engagement", "engagement_total", "views_only"]);
    home.write("events.csv", events_csv(61, 30_000));
    home.append("events", "events.csv", "p").ok();
    home.run().ok();
    let late = list(&home, "engagement.late");
    let rows = late["rows"].as_u64().unwrap();
    assert!(rows > 0);
    assert_eq!(late["reasons"].as_array().unwrap().len(), 1, "{late}");
    home.refrain(&["rejected", "resubmit", "engagement.late", "--confirm"])
        .code(2)
        .says(&["late again", "--to"]);
    let running = home.start();
    let done = resubmit(
        &home,
        &["engagement.late", "--to", "corrections", "--confirm"],
    );
    assert_eq!(done["rows"].as_u64(), Some(rows));
    assert_eq!(running.stop(), Some(0));
    assert_eq!(
        resubmit(
            &home,
            &["engagement.late", "--to", "corrections", "--confirm"]
        )["rows"],
        0
    );
    assert_eq!(home.rows("corrections"), rows);
}

#[test]
fn killed_resubmits_append_each_row_once() {
    let mut luck = Luck::printed("killed_resubmits");
    const ROWS: u64 = 20_000;
    let mut text = String::new();
    for i in 0..ROWS {
        text.push_str(&format!(
            "{{\"event_time\":1700000000000,\"content_id\":\"{i}\",\"user_id\":{i},\"kind\":\"view\",\"watch_ms\":1}}\n"
        ));
    }
    let mut kills = count("REFRAIN_KILLS", 50).div_ceil(5);
    while kills > 0 {
        let home = Home::new(&format!("{EVENTS}3\n"));
        home.write("bad.jsonl", &text);
        home.append("events", "bad.jsonl", "p").ok();
        assert_eq!(home.rows("events.rejected"), ROWS);
        home.refrain(&["rejected", "show", "events.rejected", "--out", "mend.jsonl"])
            .ok();
        let mended = std::fs::read_to_string(home.path("mend.jsonl")).unwrap();
        let mended: String = mended
            .lines()
            .map(|line| {
                let mut row: Value = serde_json::from_str(line).unwrap();
                row["content_id"] = row["user_id"].clone();
                format!("{row}\n")
            })
            .collect();
        // Other selections, so that each act finds notes of others.
        let half: String = mended
            .lines()
            .step_by(2)
            .map(|line| format!("{line}\n"))
            .collect();
        home.write("half.jsonl", half);
        home.write("mend.jsonl", mended);
        for file in ["half.jsonl", "mend.jsonl", "half.jsonl", "mend.jsonl"] {
            let mut command = home.command(&[
                "rejected",
                "resubmit",
                "events.rejected",
                "--edit",
                file,
                "--confirm",
            ]);
            let mut child = command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            luck.pause(Duration::from_millis(400));
            let _ = child.kill();
            if child.wait().unwrap().code().is_none() {
                kills = kills.saturating_sub(1);
            }
        }
        resubmit(
            &home,
            &["events.rejected", "--edit", "mend.jsonl", "--confirm"],
        );
        assert_eq!(home.rows("events"), ROWS);
        let mut users: Vec<u64> = home
            .topic("events")
            .iter()
            .map(|row| row["user_id"].as_u64().unwrap())
            .collect();
        users.sort_unstable();
        assert!(users.into_iter().eq(0..ROWS), "each row is there once");
        let listed = list(&home, "events.rejected");
        assert_eq!(
            (&listed["resubmitted"], &listed["unfinished"]),
            (&ROWS.into(), &false.into())
        );
    }
}
