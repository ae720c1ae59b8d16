//! Process nodes in pipeline files.

use super::*;

const RETURNS: &str = r#"
[topic.returns]
schema = { date = "timestamp", delay = "i64", distance = "i64", from = "text", gate = "i64" }
time   = "date"
key    = ["from"]
partitions = 4

[topic.untimed]
schema = { delay = "i64", distance = "i64", origin = "text" }
"#;

fn with_node(node: &str) -> String {
    with_flights(&format!("{RETURNS}\n[node.pairs]\n{node}\n"))
}

const PAIRS: &str = r#"plugin = "pairs"
input = { back = "returns", out = "flights" }
key = { out = ["origin"], back = ["from"] }"#;

#[test]
fn inputs_stand_in_the_order_of_the_plugin_and_keys_under_their_own_names() {
    let text = with_node(&format!("{PAIRS}\ntimer_step = \"5s\"\nview = \"pairs\""));
    let plan = planned(&text).unwrap();
    let node = plan.node("pairs").unwrap();
    let inputs: Vec<_> = node
        .inputs
        .iter()
        .map(|i| (i.role.as_deref().unwrap(), &*i.topic, i.node_key.join(" ")))
        .collect();
    assert_eq!(
        inputs,
        [
            ("out", "flights", "origin".to_owned()),
            ("back", "returns", "from".to_owned())
        ]
    );
    assert_eq!(node.key, ["origin"]);
    assert!(node.partitioned, "both are spread by what is the key");
    assert_eq!((node.tasks, node.timer_step_us), (4, Some(5_000_000)));
    let names: Vec<&str> = node
        .output_schema
        .fields()
        .iter()
        .map(|f| &*f.name)
        .collect();
    assert_eq!(names, ["origin", "leg", "date"], "the view's key first");
    assert_eq!(node.output_key_fields, 2);
}

#[test]
fn a_topic_of_a_process_node_has_its_key_its_partitions_and_a_time_that_it_passes_on() {
    let text = with_node(&format!("{PAIRS}\npartitions = 3\ntopic = \"paired\""));
    let plan = planned(&text).unwrap();
    let node = plan.node("pairs").unwrap();
    assert!(!node.partitioned);
    let topic = node.output_topic.as_ref().unwrap();
    assert_eq!(
        (topic.partitions, topic.key.join(" ")),
        (3, "origin".into())
    );
    assert_eq!(topic.time.as_deref(), Some("date"));
    let names: Vec<&str> = topic.schema.fields().iter().map(|f| &*f.name).collect();
    assert_eq!(names, ["origin", "date", "leg"]);
    assert_eq!(node.timer_step_us, Some(1_000_000), "by default");
}

#[test]
fn a_plugin_without_timers_reads_topics_without_times() {
    let node = "plugin = \"marks\"\ninput = { out = \"untimed\", back = \"untimed\" }\nkey = []\nview = \"v\"";
    let plan = planned(&with_node(node)).unwrap();
    let node = plan.node("pairs").unwrap();
    assert_eq!((node.timer_step_us, node.tasks), (None, 1));
    assert!(!node.needs_time());
}

#[test]
fn wrong_process_nodes() {
    let key = "key = { out = [\"origin\"], back = [\"from\"] }";
    let input = "input = { out = \"flights\", back = \"returns\" }";
    let nodes = [
        "plugin = \"pairs\"\ninput = \"flights\"\nkey = [\"origin\"]\nview = \"v\"".into(),
        "plugin = \"pairs\"\ninput = [\"flights\", \"returns\"]\nkey = [\"delay\"]\nview = \"v\"".into(),
        format!("plugin = \"pairs\"\ninput = {{ out = \"flights\", bak = \"returns\" }}\n{key}\nview = \"v\""),
        format!("plugin = \"pairs\"\n{input}\nview = \"v\""),
        format!("plugin = \"pairs\"\n{input}\nkey = [\"origin\"]\nview = \"v\""),
        format!("plugin = \"pairs\"\n{input}\nkey = {{ out = [\"origin\"] }}\nview = \"v\""),
        format!("plugin = \"pairs\"\n{input}\nkey = {{ out = [\"origin\"], back = [\"gate\"] }}\nview = \"v\""),
        format!("plugin = \"pairs\"\n{input}\nkey = {{ out = [\"origin\"], bakc = [\"from\", \"gate\"] }}\nview = \"v\""),
        format!("plugin = \"pairs\"\n{input}\nkey = {{ out = [\"origin\"], back = [\"from\", \"gate\"] }}\nview = \"v\""),
        format!("plugin = \"pairs\"\n{input}\n{key}\nwindow = {{ tumbling = \"1m\" }}\nkeep = \"1d\"\nview = \"v\""),
        format!("plugin = \"pairs\"\n{input}\n{key}\ntimer_step = \"0s\"\nview = \"v\""),
        format!("plugin = \"marks\"\n{input}\n{key}\ntimer_step = \"1s\"\nview = \"v\""),
        "plugin = \"pairs\"\ninput = { out = \"flights\", back = \"untimed\" }\nkey = [\"origin\"]\nview = \"v\"".into(),
        "plugin = \"pairs\"\ninput = { out = \"flights\", back = \"nowhere\" }\nkey = [\"origin\"]\nview = \"v\"".into(),
        "plugin = \"pairs\"\ninput = { }\nkey = [\"origin\"]\nview = \"v\"".into(),
        format!("plugin = \"delays\"\n{input}\n{key}\ntimer_step = \"1s\"\nview = \"v\""),
    ];
    let said: Vec<String> = nodes
        .iter()
        .map(|node| format!("{node}\n\n{}", problems(&with_node(node))))
        .collect();
    insta::assert_snapshot!("wrong_process_nodes", said.join("\n\n---\n\n"));
}
