//! Every kind of node over the same rows, one after another: what windows, the exchange and process plugins cost beside a
//! running total.

use std::path::{Path, PathBuf};

use refrain_engine::host::{Host, Project};
use refrain_engine::run::RunOptions;

use crate::events::Events;
use crate::throughput::{BASE_MS, append, run, timed};

/// Name, plugin, output, and the rest of the declaration.
const NODES: [(&str, &str, &str, &str); 9] = [
    ("total", "engagement_total", "view", ""),
    // A number of tasks that the topic has not: rows are split by key again.
    ("exchanged", "engagement_total", "view", "partitions = 8"),
    (
        "tumbling",
        "engagement",
        "view",
        "window = { tumbling = \"1m\", lateness = \"10s\" }",
    ),
    (
        "sliding",
        "engagement_total",
        "view",
        "window = { sliding = \"5m\", every = \"1m\", lateness = \"10s\" }",
    ),
    (
        "session",
        "sessions",
        "view",
        "window = { session = \"10s\", lateness = \"10s\" }",
    ),
    (
        "count",
        "engagement_total",
        "view",
        "window = { count = 100 }",
    ),
    (
        "first",
        "first_seen",
        "view",
        "options = { horizon = \"10s\" }",
    ),
    ("top", "top_content", "view", ""),
    ("views", "views_only", "topic", ""),
];

/// Prints rows per CPU-second and per second of each.
pub(crate) fn measure(plugins: &Path, rows: u64, workers: u64) {
    println!("{rows} rows, {workers} workers, as many partitions");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let project = project(folder.path(), plugins, workers);
    let host = Host::open(project.clone()).expect("the host opens");
    append(&host, Events::new(rows, BASE_MS));
    drop(host);
    for (node, plugin, ..) in NODES {
        let host = Host::open(project.clone()).expect("the host opens");
        if !host
            .declaration()
            .nodes
            .iter()
            .any(|n| n.name.get_ref() == node)
        {
            println!("{node}: no {plugin}.wasm there");
            continue;
        }
        let options = RunOptions {
            once: true,
            workers: workers as usize,
            nodes: vec![node.into()],
            ..RunOptions::default()
        };
        timed(node, rows, || run(&host, &options, folder.path(), rows));
        host.state().forget(node).expect("the node is forgotten");
    }
}

fn project(folder: &Path, plugins: &Path, partitions: u64) -> Project {
    let root: PathBuf = folder.join("project");
    std::fs::create_dir_all(root.join("plugins")).expect("a folder");
    let mut text = format!(
        r#"
[topic.events]
schema = {{ event_time = "timestamp(ms)", content_id = "i64", user_id = "i64", kind = "text", watch_ms = "i64" }}
time = "event_time"
key = ["content_id"]
partitions = {partitions}
disorder = "5s"
"#
    );
    for (node, plugin, output, more) in NODES {
        let file = format!("{plugin}.wasm");
        if std::fs::copy(plugins.join(&file), root.join("plugins").join(&file)).is_err() {
            continue;
        }
        let key = match plugin {
            "views_only" => "",
            "top_content" => "key = [\"kind\"]",
            _ => "key = [\"content_id\"]",
        };
        text += &format!(
            "\n[node.{node}]\nplugin = \"{plugin}\"\ninput = \"events\"\n{key}\n{output} = \"of_{node}\"\n{more}\n"
        );
    }
    #[expect(clippy::disallowed_methods, reason = "a file of the benchmark")]
    std::fs::write(root.join("refrain.toml"), text).expect("the pipeline file is written");
    Project::new(root)
}
