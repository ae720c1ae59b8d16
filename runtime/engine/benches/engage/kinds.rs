//! Every kind of node over the same rows, one after another: what windows, the exchange and process plugins cost beside a
//! running total.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use refrain_engine::host::{Host, Project};
use refrain_engine::run::RunOptions;
use refrain_log::log::Append;

use crate::events::Events;
use crate::throughput::{BASE_MS, BATCH_ROWS, append, run, timed};

/// Keys of the rows that are joined.
const KEYS: i64 = 10_000;

/// A node of its own kind.
struct Node {
    name: &'static str,
    plugin: &'static str,
    input: &'static str,
    /// `key = ` and `view = ` or `topic = ` follow from these; empty: no key.
    key: &'static str,
    output: &'static str,
    more: &'static str,
}

const EVENTS: Node = Node {
    name: "",
    plugin: "engagement_total",
    input: "\"events\"",
    key: "content_id",
    output: "view",
    more: "",
};

const NODES: [Node; 12] = [
    Node {
        name: "total",
        ..EVENTS
    },
    // A number of tasks that the topic has not: rows are split by key again.
    Node {
        name: "exchanged",
        more: "partitions = 8",
        ..EVENTS
    },
    Node {
        name: "tumbling",
        plugin: "engagement",
        more: "window = { tumbling = \"1m\", lateness = \"10s\" }",
        ..EVENTS
    },
    Node {
        name: "sliding",
        more: "window = { sliding = \"5m\", every = \"1m\", lateness = \"10s\" }",
        ..EVENTS
    },
    Node {
        name: "session",
        plugin: "sessions",
        more: "window = { session = \"10s\", lateness = \"10s\" }",
        ..EVENTS
    },
    Node {
        name: "count",
        more: "window = { count = 100 }",
        ..EVENTS
    },
    Node {
        name: "first",
        plugin: "first_seen",
        more: "options = { horizon = \"10s\" }",
        ..EVENTS
    },
    Node {
        name: "top",
        plugin: "top_content",
        key: "kind",
        ..EVENTS
    },
    Node {
        name: "views",
        plugin: "views_only",
        key: "",
        output: "topic",
        ..EVENTS
    },
    // Rows of `trades` are their left rows and those of `quotes` their right ones, or their table.
    Node {
        name: "interval",
        plugin: "purchases_with_views",
        input: "{ purchases = \"trades\", views = \"quotes\" }",
        key: "id",
        output: "topic",
        more: "options = { before = \"10s\" }",
    },
    Node {
        name: "as_of",
        plugin: "priced",
        input: "{ sales = \"trades\", prices = \"quotes\" }",
        key: "id",
        output: "topic",
        more: "",
    },
    Node {
        name: "latest",
        plugin: "charged",
        input: "{ sales = \"trades\", prices = \"quotes\" }",
        key: "id",
        output: "topic",
        more: "",
    },
];

/// Prints rows per CPU-second and per second of each.
pub(crate) fn measure(plugins: &Path, rows: u64, workers: u64) {
    println!("{rows} rows, {workers} workers, as many partitions");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let project = project(folder.path(), plugins, workers);
    let host = Host::open(project.clone()).expect("the host opens");
    append(&host, Events::new(rows, BASE_MS));
    append_trades(&host, rows);
    drop(host);
    for Node {
        name: node, plugin, ..
    } in NODES
    {
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

/// Half as many trades as events and as many quotes, in turns, over the same hour.
fn append_trades(host: &Host, rows: u64) {
    let mut random = 7_u64;
    for from in (0..rows / 2).step_by(BATCH_ROWS as usize) {
        let count = BATCH_ROWS.min(rows / 2 - from);
        for topic in ["trades", "quotes"] {
            let append = Append {
                topic: topic.into(),
                rows: trades(topic, from, count, rows / 2, &mut random),
                row_numbers: Vec::new(),
                input: "generated".into(),
                undecoded: Vec::new(),
                producer: None,
            };
            host.log().append(append).expect("the log takes rows");
        }
    }
}

fn trades(topic: &str, from: u64, count: u64, all: u64, random: &mut u64) -> RecordBatch {
    let times = (from..from + count).map(|i| (BASE_MS + (i * 3_600_000 / all) as i64) * 1000);
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    let ids = (0..count).map(|_| {
        *random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (*random >> 33) as i64 % KEYS
    });
    let ids = Int64Array::from_iter_values(ids);
    let numbers = |factor: i64| -> ArrayRef {
        let values = (from..from + count).map(|i| i as i64 % 1000 * factor);
        Arc::new(Int64Array::from_iter_values(values))
    };
    let mut columns: Vec<(&str, ArrayRef)> = vec![("at", Arc::new(times)), ("id", Arc::new(ids))];
    let fields: &[&str] = match topic {
        "trades" => &["order_id", "amount", "sale_id", "pieces"],
        _ => &["content_id", "cents"],
    };
    columns.extend(
        fields
            .iter()
            .zip(1..)
            .map(|(name, factor)| (*name, numbers(factor))),
    );
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, false));
    RecordBatch::try_from_iter_with_nullable(columns).expect("equal lengths")
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

[topic.trades]
schema = {{ at = "timestamp", id = "i64", order_id = "i64", amount = "i64", sale_id = "i64", pieces = "i64" }}
time = "at"
key = ["id"]
partitions = {partitions}

[topic.quotes]
schema = {{ at = "timestamp", id = "i64", content_id = "i64", cents = "i64" }}
time = "at"
key = ["id"]
partitions = {partitions}
"#
    );
    for Node {
        name,
        plugin,
        input,
        key,
        output,
        more,
    } in NODES
    {
        let file = format!("{plugin}.wasm");
        if std::fs::copy(plugins.join(&file), root.join("plugins").join(&file)).is_err() {
            continue;
        }
        let key = match key {
            "" => String::new(),
            key => format!("key = [\"{key}\"]"),
        };
        text += &format!(
            "\n[node.{name}]\nplugin = \"{plugin}\"\ninput = {input}\n{key}\n{output} = \"of_{name}\"\n{more}\n"
        );
    }
    #[expect(clippy::disallowed_methods, reason = "a file of the benchmark")]
    std::fs::write(root.join("refrain.toml"), text).expect("the pipeline file is written");
    Project::new(root)
}
