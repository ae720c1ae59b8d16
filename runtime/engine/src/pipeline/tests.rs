//! Pipeline files and what is said of them. Messages are snapshots, so that each change of wording is seen.

use refrain_log::schema::{Field, Kind};
use refrain_log::schemas::Value;
use refrain_plugin::{About, Declared, DeclaredInput, PluginKind, Setting};

use super::*;

mod process;

fn about(name: &str, kind: PluginKind, inputs: Vec<Field>, outputs: Vec<Field>) -> About {
    About {
        name: name.into(),
        version: "1.0.0".into(),
        doc: String::new(),
        kind,
        inputs,
        outputs,
        wants_keys: false,
        merges: false,
        migrates: false,
        state_version: 1,
        settings: Vec::new(),
        process: None,
    }
}

/// The plugins that the tests have.
fn plugin(name: &str) -> Result<About, String> {
    let delay = Field::new("delay", Kind::I64);
    match name {
        "delays" => Ok(about(
            name,
            PluginKind::Fold,
            vec![delay, Field::new("distance", Kind::I64)],
            vec![
                Field::new("flights", Kind::I64),
                Field::new("delay_mean", Kind::F64),
            ],
        )),
        "joining" => Ok(About {
            merges: true,
            ..plugin("delays")?
        }),
        "clean" => Ok(About {
            settings: vec![
                setting("limit", Kind::I64, None),
                setting("share", Kind::F64, Some("0.5")),
            ],
            ..about(
                name,
                PluginKind::Transform,
                vec![delay],
                vec![
                    Field::new("date", Kind::Timestamp),
                    Field::new("delay", Kind::I64),
                ],
            )
        }),
        "pairs" | "marks" => {
            let input = |name: &str, fields| DeclaredInput {
                name: name.into(),
                doc: String::new(),
                fields,
            };
            let outputs = vec![
                Field::new("date", Kind::Timestamp),
                Field::new("leg", Kind::I64),
            ];
            Ok(About {
                process: Some(Declared {
                    inputs: vec![
                        input("out", vec![delay.clone()]),
                        input("back", vec![delay, Field::new("distance", Kind::I64)]),
                    ],
                    view_key: vec!["leg".into()],
                    timed: name == "pairs",
                }),
                ..about(name, PluginKind::Process, Vec::new(), outputs)
            })
        }
        _ => Err("there is no folder plugins/ of that name".into()),
    }
}

fn setting(name: &str, kind: Kind, default: Option<&str>) -> Setting {
    Setting {
        name: name.into(),
        kind,
        default: default.map(str::to_owned),
        doc: format!("the {name}"),
    }
}

fn env(name: &str) -> Option<String> {
    (name == "PARTS").then(|| "3".into())
}

fn planned(text: &str) -> Result<Plan, Diagnostics> {
    check(&parse("refrain.toml", text, &env)?, &mut plugin)
}

fn problems(text: &str) -> String {
    planned(text).expect_err("the file is wrong").to_string()
}

const FLIGHTS: &str = r#"
[topic.flights]
schema = { date = "timestamp", delay = "i64", distance = "i64", origin = "text", score = "f64", note = "text?" }
time   = "date"
key    = ["origin"]
partitions = 4
"#;

fn with_flights(rest: &str) -> String {
    format!("{FLIGHTS}{rest}")
}

#[test]
fn fields_have_defaults_as_text_or_as_a_table() {
    let text = FLIGHTS.replace(
        "note = \"text?\"",
        "note = \"text? = ''\", seats = { type = \"i64\", default = 3 }, at = \"timestamp(s) = 1\", ok = { type = \"bool?\" }",
    );
    let plan = planned(&text).unwrap();
    let spec = &plan.topics[0].spec;
    let defaults: Vec<(&str, Value)> = spec
        .defaults
        .iter()
        .map(|(n, v)| (n.as_str(), v.clone()))
        .collect();
    let wanted = [
        ("at", Value::Timestamp(1_000_000)),
        ("note", Value::Text(String::new())),
        ("seats", Value::I64(3)),
    ];
    assert_eq!(defaults, wanted);
    assert!(
        spec.schema.field("note").unwrap().nullable
            && !spec.schema.field("seats").unwrap().nullable
    );
    for (wrong, says) in [
        ("\"i64 = many\"", "`many` is not an i64"),
        ("{ type = \"i64\", default = 0.5 }", "`0.5` is not an i64"),
        ("{ type = \"i64\", defualt = 1 }", "`default`"),
        ("{ default = 1 }", "has no `type`"),
        ("{ type = \"i64\", default = [1] }", "one value is wanted"),
        ("\"int = 1\"", "did you mean `i64`"),
    ] {
        let said = problems(&FLIGHTS.replace("\"text?\"", wrong));
        assert!(said.contains(says), "{wrong}: {said}");
    }
    let said = problems(&FLIGHTS.replace("origin = \"text\"", "origin = \"text = SFO\""));
    assert!(said.contains("has a default, and is a key"), "{said}");
}

#[test]
fn the_example_of_the_design() {
    let plan = planned(
        r#"
[topic.flights]
schema = { date = "timestamp", delay = "i64", distance = "i64", origin = "text", destination = "text" }
time   = "date"
key    = ["origin"]
partitions = 4
disorder   = "0s"
retention  = "24 months"

[node.delays]
plugin = "delays"
input  = "flights"
key    = ["origin"]
window = { tumbling = "1d", lateness = "1h", as = "day" }
rhythm = "continuous"
view   = "delays"

[consumer.ops-board]
view = "delays"
freshness = "1m"
"#,
    )
    .unwrap();
    let node = plan.node("delays").unwrap();
    let fields: Vec<String> = node
        .output_schema
        .fields()
        .iter()
        .map(Field::to_string)
        .collect();
    assert_eq!(
        fields,
        [
            "origin: text",
            "day: timestamp",
            "flights: i64",
            "delay_mean: f64"
        ]
    );
    assert_eq!(
        (node.output_key_fields, node.tasks, node.partitioned),
        (2, 4, true)
    );
    assert_eq!(plan.commit_interval_us, 1_000_000);
    assert_eq!(plan.stall_after_us, 15_000_000);
    assert_eq!(node.late_topic().unwrap().name, "delays.late");
    insta::assert_snapshot!("configuration", node.configuration());
}

#[test]
fn an_objective_is_taken() {
    let text = with_flights("") + "\n[consumer.board]\nview = \"delays\"\nobjective = \"99%\"\n";
    let declaration = parse("refrain.toml", &text, &env).unwrap();
    assert!(declaration.warnings.is_empty());
    assert_eq!(declaration.consumers[0].objective_ppm, 990_000);
}

#[test]
fn environment_variables() {
    let text = "[topic.t]\nschema = { a = \"${env:KIND:-i64}\" }\npartitions = \"${env:PARTS}\"\n";
    let plan = planned(text).unwrap();
    assert_eq!(plan.topics[0].spec.partitions, 3);
    assert_eq!(plan.topics[0].spec.schema.fields()[0].kind, Kind::I64);
}

#[test]
fn chained_nodes_are_planned_in_order() {
    let plan = planned(&with_flights(
        r#"
[node.totals]
plugin = "clean"
input = "cleaned"
view = "rows"
options = { limit = 1 }

[node.wash]
plugin = "clean"
input = "flights"
topic = "cleaned"
options = { limit = 3, share = 1 }
"#,
    ))
    .unwrap();
    let names: Vec<&str> = plan.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["wash", "totals"]);
    let wash = &plan.nodes[0];
    let topic = wash.output_topic.as_ref().unwrap();
    assert_eq!((topic.time.as_deref(), topic.partitions), (Some("date"), 4));
    assert_eq!(
        wash.options,
        [("limit".into(), "3".into()), ("share".into(), "1.0".into())]
    );
    let totals = &plan.nodes[1];
    assert!(totals.inputs[0].derived);
    assert_eq!((totals.output_key_fields, totals.tasks), (3, 4));
    assert_eq!(totals.output_schema.fields()[2].name, "ordinal");
}

#[test]
fn a_key_across_partitions_is_spread_over_tasks() {
    let node = |line: &str| {
        let text = with_flights(&format!(
            "[node.n]\nplugin = \"delays\"\ninput = \"flights\"\nview = \"v\"\n{line}\n"
        ));
        let plan = planned(&text).unwrap();
        (plan.nodes[0].partitioned, plan.nodes[0].tasks)
    };
    assert_eq!(node("key = [\"note\"]"), (false, 4));
    assert_eq!(node("key = [\"note\"]\npartitions = 7"), (false, 7));
    assert_eq!(node("key = [\"note\"]\npartitions = 1"), (false, 1));
    assert_eq!(node("key = [\"note\", \"origin\"]"), (true, 4));
    assert_eq!(
        node("key = [\"origin\"]\npartitions = 3"),
        (false, 3),
        "another number than the input's"
    );
    assert_eq!(node("window = { tumbling = \"1d\" }"), (false, 1), "no key");
}

/// What a keyed node writes is spread by its key, so that a reader with the same key needs no exchange.
#[test]
fn a_derived_topic_carries_the_key_of_its_node() {
    let text = with_flights(
        "[node.days]\nplugin = \"delays\"\ninput = \"flights\"\nkey = [\"note\", \"origin\"]\npartitions = 3\nwindow = { tumbling = \"1d\" }\ntopic = \"days\"\n",
    );
    let plan = planned(&text).unwrap();
    let topic = plan.nodes[0].output_topic.as_ref().unwrap();
    assert_eq!(
        (topic.partitions, topic.key.as_slice()),
        (3, &["note".to_owned(), "origin".to_owned()][..])
    );
}

#[test]
fn rhythm_does_not_change_the_configuration() {
    let node = |line: &str| {
        let text = with_flights(&format!(
            "[node.n]\nplugin = \"delays\"\ninput = \"flights\"\nkey = [\"origin\"]\nview = \"v\"\n{line}\n"
        ));
        planned(&text).unwrap().nodes[0].configuration()
    };
    let plain = node("");
    assert_eq!(plain, node("rhythm = \"every 1m\""));
    assert_eq!(plain, node("call_rows = 7"));
    assert_eq!(plain, node("cache = \"1MiB\""));
    assert_eq!(
        plain,
        node("limits = { memory = \"1GiB\", call = \"5s\", answer = \"1MiB\" }")
    );
    assert_ne!(plain, node("canonical_nans = false"));
    assert_ne!(plain, node("on_trap = \"fail\""));
}

#[test]
fn every_file_that_is_wrong() {
    let cases = [
        ("syntax", "[topic.flights\nschema = {".to_owned()),
        ("empty", String::new()),
        ("unknown section", "[topics.a]\nschema = { a = \"i64\" }\n".into()),
        ("unknown keys", with_flights("partition = 4\nrentention = \"1d\"\n")),
        (
            "types of values",
            "[topic.t]\nschema = { a = \"i64\" }\npartitions = \"4\"\nkey = \"a\"\ntime = 5\n".into(),
        ),
        (
            "types of fields",
            "[topic.t]\nschema = { a = \"string\", b = \"int?\", c = \"timestamp(m)\", d = \"i46\" }\n".into(),
        ),
        (
            "units",
            with_flights("disorder = \"5\"\nahead = \"soon\"\nsegment_bytes = \"1KiB\"\npartitions2 = 0\n"),
        ),
        (
            "time and key",
            "[topic.t]\nschema = { at = \"i64\", x = \"f64\" }\ntime = \"at\"\nkey = [\"x\", \"y\"]\n".into(),
        ),
        (
            "names",
            "[topic.\"a b\"]\nschema = { a = \"i64\" }\n[topic.\"x.rejected\"]\nschema = { a = \"i64\" }\n".into(),
        ),
        ("variables", "[topic.t]\nschema = { a = \"${env:NONE}\", b = \"${env:X\" }\n".into()),
        (
            "not in this version",
            with_flights(
                "[node.n]\nplugin = \"delays\"\ninput = []\nkeep = \"90d\"\nrhythm = \"0 2 * * *\"\nview = \"v\"\n[sink.s]\nview = \"v\"\n",
            ),
        ),
        (
            "a node without anything",
            with_flights("[node.n]\nrhythm = \"sometimes\"\non_trap = \"ignore\"\n"),
        ),
        (
            "unknown names",
            with_flights(
                "[node.n]\nplugin = \"delay\"\ninput = \"flight\"\nkey = [\"origin\"]\nview = \"v\"\n[consumer.c]\nview = \"w\"\n",
            ),
        ),
        (
            "unknown key and a window without time",
            "[topic.t]\nschema = { delay = \"i64\", distance = \"i64\", origin = \"text\" }\n[node.n]\nplugin = \"delays\"\ninput = \"t\"\nkey = [\"orign\"]\nwindow = { tumbling = \"1d\" }\nview = \"v\"\n".into(),
        ),
        (
            "fields of the plugin",
            "[topic.t]\nschema = { delay = \"text\", dist = \"i64\", origin = \"text\" }\n[node.n]\nplugin = \"delays\"\ninput = \"t\"\nkey = [\"origin\"]\nview = \"v\"\n".into(),
        ),
        (
            "null into a plugin",
            "[topic.t]\nschema = { delay = \"i64?\", distance = \"i64\", origin = \"text\" }\n[node.n]\nplugin = \"delays\"\ninput = \"t\"\nkey = [\"origin\"]\nview = \"v\"\n".into(),
        ),
        (
            "a transform with key and window, wrong options",
            with_flights(
                "[node.n]\nplugin = \"clean\"\ninput = \"flights\"\nkey = [\"origin\"]\nwindow = { tumbling = \"1d\" }\nview = \"v\"\noptions = { limt = 3, share = \"much\" }\n",
            ),
        ),
        (
            "a total into a topic",
            with_flights("[node.n]\nplugin = \"delays\"\ninput = \"flights\"\nkey = [\"origin\"]\ntopic = \"t\"\n"),
        ),
        (
            "a fold without a key",
            with_flights("[node.n]\nplugin = \"delays\"\ninput = \"flights\"\nview = \"v\"\n"),
        ),
        (
            "two fields of one name",
            with_flights(
                "[node.n]\nplugin = \"delays\"\ninput = \"flights\"\nkey = [\"origin\", \"origin\"]\nwindow = { tumbling = \"1d\", as = \"flights\" }\nview = \"v\"\n",
            ),
        ),
        (
            "two writers, and a name taken",
            with_flights(
                "[node.flights]\nplugin = \"clean\"\ninput = \"flights\"\ntopic = \"flights\"\noptions = { limit = 1 }\n[node.a]\nplugin = \"clean\"\ninput = \"flights\"\nview = \"v\"\noptions = { limit = 1 }\n[node.b]\nplugin = \"clean\"\ninput = \"flights\"\nview = \"v\"\noptions = { limit = 1 }\n",
            ),
        ),
        (
            "a cycle",
            with_flights(
                "[node.a]\nplugin = \"clean\"\ninput = \"tb\"\ntopic = \"ta\"\noptions = { limit = 1 }\n[node.b]\nplugin = \"clean\"\ninput = \"ta\"\ntopic = \"tb\"\noptions = { limit = 1 }\n",
            ),
        ),
        (
            "tasks without a key",
            with_flights("[node.n]\nplugin = \"delays\"\ninput = \"flights\"\nwindow = { tumbling = \"1d\" }\npartitions = 4\nview = \"v\"\n[node.m]\nplugin = \"clean\"\ninput = \"flights\"\npartitions = 2\nview = \"w\"\noptions = { limit = 1 }\n"),
        ),
        (
            "an input twice",
            with_flights("[node.n]\nplugin = \"delays\"\ninput = [\"flights\", \"flights\"]\nkey = [\"origin\"]\nview = \"v\"\n"),
        ),
        (
            "several inputs that do not go together",
            with_flights("[topic.other]\nschema = { origin = \"i64\", delay = \"i64\" }\n[node.n]\nplugin = \"delays\"\ninput = [\"flights\", \"other\"]\nkey = [\"origin\"]\nview = \"v\"\n"),
        ),
        (
            "a view as input",
            with_flights(
                "[node.a]\nplugin = \"delays\"\ninput = \"flights\"\nkey = [\"origin\"]\nview = \"v\"\n[node.b]\nplugin = \"clean\"\ninput = \"v\"\ntopic = \"t\"\noptions = { limit = 1 }\n",
            ),
        ),
        (
            "rows set aside as input",
            with_flights("[node.b]\nplugin = \"clean\"\ninput = \"flights.rejected\"\ntopic = \"t\"\noptions = { limit = 1 }\n"),
        ),
    ];
    let report: Vec<String> = cases
        .iter()
        .map(|(name, text)| format!("## {name}\n{}", problems(text)))
        .collect();
    insta::assert_snapshot!("wrong_files", report.join("\n\n"));
}

/// A node with this window and whatever stands behind it.
fn with_window(window: &str, more: &str) -> String {
    with_flights(&format!(
        "[node.n]\nplugin = \"delays\"\ninput = \"flights\"\nkey = [\"origin\"]\nwindow = {{ {window} }}\n{more}\n"
    ))
}

#[test]
fn every_window_that_is_wrong() {
    let cases = [
        ("as = \"x\"", "view = \"v\""),
        ("tumbling = \"1d\", session = \"1h\"", "view = \"v\""),
        ("tumbling = \"0s\"", "view = \"v\""),
        ("tumbling = \"1d\", every = \"1h\"", "view = \"v\""),
        ("sliding = \"1d\"", "view = \"v\""),
        ("sliding = \"1h\", every = \"2h\"", "view = \"v\""),
        ("sliding = \"1d\", every = \"1s\"", "view = \"v\""),
        ("hopping = \"1h\"", "view = \"v\""),
        ("session = \"30m\"", "view = \"v\""),
        ("count = 0", "view = \"v\""),
        ("count = 10, lateness = \"1s\"", "view = \"v\""),
        ("count = 10", "view = \"v\"\nkeep = \"1d\""),
        ("count = 10, as = \"flights\"", "view = \"v\""),
        ("tumbling = \"1d\"", "topic = \"t\"\nkeep = \"1d\""),
        (
            "tumbling = \"1d\", lateness = \"2d\"",
            "view = \"v\"\nkeep = \"1d\"",
        ),
    ];
    let said = cases.map(|(window, more)| {
        let text = with_window(window, more);
        format!(
            "## {window} {}\n{}",
            more.replace('\n', " "),
            problems(&text)
        )
    });
    insta::assert_snapshot!("wrong_windows", said.join("\n\n"));
}

#[test]
fn windows_and_the_fields_of_their_rows() {
    let cases = [
        (
            "tumbling = \"1d\", as = \"day\"",
            "1d",
            "origin day | flights",
        ),
        (
            "sliding = \"1h\", every = \"5m\"",
            "1h every 5m",
            "origin window_start | flights",
        ),
        ("count = 10", "10 rows", "origin window_number | flights"),
        (
            "session = \"30m\", end_as = \"to\"",
            "session 30m",
            "origin window_start | to flights",
        ),
    ];
    for (window, text, fields) in cases {
        let text_of_file = with_window(window, "view = \"v\"").replace("\"delays\"", "\"joining\"");
        let plan = planned(&text_of_file).unwrap_or_else(|e| panic!("{window}: {e:?}"));
        let node = &plan.nodes[0];
        assert_eq!(
            node.window.as_ref().map(Window::text).as_deref(),
            Some(text)
        );
        let names: Vec<&str> = node
            .output_schema
            .fields()
            .iter()
            .map(|f| f.name.as_str())
            .collect();
        let (key, rest) = names.split_at(node.output_key_fields);
        let found = format!("{} | {}", key.join(" "), rest.join(" "));
        assert!(found.starts_with(fields), "{window}: {found}");
    }
}

#[test]
fn any_text_is_answered_without_a_panic() {
    let text = with_flights(
        "[node.n]\nplugin = \"delays\"\ninput = \"flights\"\nkey = [\"origin\"]\nwindow = { tumbling = \"1d\" }\nview = \"v\"\n",
    );
    for cut in 0..text.len() {
        let _ = planned(&text[..cut]);
        let without: String = text
            .chars()
            .enumerate()
            .filter(|(i, _)| *i != cut)
            .map(|(_, c)| c)
            .collect();
        let _ = planned(&without);
    }
}
