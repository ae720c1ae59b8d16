//! What a pipeline of the oracle declares: one source topic, some nodes. Written as a pipeline file for the engine, read
//! as it stands by the model.

use refrain_log::schema::{Field, Kind, Schema};

use crate::guests::FoldOptions;
use crate::process::{AT, CAUSE, ProcessOptions};

/// The source topic `events`; its fields are those of the transform guest.
#[derive(Clone, Debug)]
pub struct Source {
    pub fields: Vec<Field>,
    pub key: Vec<String>,
    pub partitions: u32,
    pub disorder_us: i64,
    pub idle_us: Option<i64>,
    pub ahead_us: i64,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    pub inputs: Vec<String>,
    /// Tasks of a fold that its key's rows are spread over, when the file says so.
    pub partitions: Option<u32>,
    pub work: Work,
    pub to_topic: bool,
    pub call_rows: usize,
    pub rhythm: String,
}

#[derive(Clone, Debug)]
pub enum Work {
    Transform {
        shift: i64,
    },
    Fold {
        key: Vec<String>,
        window: Option<Window>,
        /// Of a view: how long rows of closed windows stay.
        keep_us: Option<i64>,
        options: FoldOptions,
    },
    /// Two inputs, left and right.
    Process {
        key: Vec<String>,
        options: ProcessOptions,
    },
}

/// A window; `name` is that of its start or number.
#[derive(Clone, Debug)]
pub struct Window {
    pub kind: Kinds,
    pub lateness_us: i64,
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kinds {
    Tumbling { size_us: i64 },
    Sliding { size_us: i64, every_us: i64 },
    Session { gap_us: i64 },
    Count { rows: i64 },
}

/// Name of a session's end.
pub const END: &str = "ended";

impl Window {
    /// Fields that a row has of its window, the first of them in the key.
    pub fn fields(&self) -> Vec<Field> {
        match self.kind {
            Kinds::Count { .. } => vec![Field::new(&self.name, Kind::I64)],
            Kinds::Session { .. } => vec![
                Field::new(&self.name, Kind::Timestamp),
                Field::new(END, Kind::Timestamp),
            ],
            _ => vec![Field::new(&self.name, Kind::Timestamp)],
        }
    }

    pub fn timed(&self) -> bool {
        !matches!(self.kind, Kinds::Count { .. })
    }

    fn text(&self) -> String {
        let (name, lateness) = (&self.name, self.lateness_us);
        match self.kind {
            Kinds::Tumbling { size_us } => {
                format!("tumbling = \"{size_us}us\", lateness = \"{lateness}us\", as = \"{name}\"")
            }
            Kinds::Sliding { size_us, every_us } => format!(
                "sliding = \"{size_us}us\", every = \"{every_us}us\", lateness = \"{lateness}us\", as = \"{name}\""
            ),
            Kinds::Session { gap_us } => format!(
                "session = \"{gap_us}us\", lateness = \"{lateness}us\", as = \"{name}\", end_as = \"{END}\""
            ),
            Kinds::Count { rows } => format!("count = {rows}, as = \"{name}\""),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Graph {
    pub source: Source,
    pub nodes: Vec<Node>,
    /// States are on the disk, and so many bytes of each node's open ones in memory.
    pub cache: Option<u64>,
}

impl Source {
    pub fn schema(&self) -> Schema {
        Schema::new(self.fields.clone())
    }
}

impl Node {
    /// Its window, if it is a fold with one.
    pub fn window(&self) -> Option<&Window> {
        match &self.work {
            Work::Fold { window, .. } => window.as_ref(),
            Work::Transform { .. } | Work::Process { .. } => None,
        }
    }

    /// The key of a node that keeps states.
    pub fn key(&self) -> Option<&[String]> {
        match &self.work {
            Work::Fold { key, .. } | Work::Process { key, .. } => Some(key),
            Work::Transform { .. } => None,
        }
    }

    /// Name of what it writes.
    pub fn output(&self) -> String {
        let prefix = if self.to_topic { "t" } else { "v" };
        format!("{prefix}_{}", self.name)
    }
}

impl Graph {
    /// With states in memory.
    pub fn new(source: Source, nodes: Vec<Node>) -> Graph {
        Graph {
            source,
            nodes,
            cache: None,
        }
    }

    /// The pipeline file.
    pub fn text(&self) -> String {
        let source = &self.source;
        let mut text =
            String::from("[run]\ncommit_interval = \"1ms\"\n\n[topic.events]\nschema = { ");
        let fields = source.fields.iter().map(|f| {
            let mark = if f.nullable { "?" } else { "" };
            format!("{} = \"{}{mark}\"", f.name, f.kind.name())
        });
        text += &fields.collect::<Vec<_>>().join(", ");
        text += &format!(" }}\ntime = \"at\"\nkey = {:?}\n", source.key);
        text += &format!(
            "partitions = {}\ndisorder = \"{}us\"\nahead = \"{}us\"\nsegment_bytes = \"64KiB\"\n",
            source.partitions, source.disorder_us, source.ahead_us
        );
        if let Some(idle) = source.idle_us {
            text += &format!("idle = \"{idle}us\"\n");
        }
        for node in &self.nodes {
            text += &node.text();
            if let (Some(bytes), Some(_)) = (self.cache, node.key()) {
                text += &format!("cache = \"{bytes}B\"\n");
            }
        }
        if self.cache.is_some() {
            text += "\n[state]\nstore = \"disk\"\ncache = \"1MiB\"\n";
        }
        text
    }
}

impl Node {
    fn text(&self) -> String {
        let mut text = format!("\n[node.{}]\n", self.name);
        let process = matches!(self.work, Work::Process { .. });
        text += &match self.inputs.as_slice() {
            [left, right] if process => {
                // The order of the plugin counts, not that of the file.
                format!("input = {{ right = {right:?}, left = {left:?} }}\n")
            }
            [one] => format!("input = {one:?}\n"),
            several => format!("input = {several:?}\n"),
        };
        if let Some(partitions) = self.partitions {
            text += &format!("partitions = {partitions}\n");
        }
        match &self.work {
            Work::Transform { shift } => {
                text += "plugin = \"oracle_transform\"\n";
                text += &format!("options = {{ shift = {shift} }}\n");
            }
            Work::Fold {
                key,
                window,
                keep_us,
                options,
            } => {
                text += "plugin = \"oracle\"\n";
                text += &format!(
                    "options = {{ hide = {}, refuse = {} }}\n",
                    options.hide, options.refuse
                );
                if !key.is_empty() {
                    text += &format!("key = {key:?}\n");
                }
                if let Some(window) = window {
                    text += &format!("window = {{ {} }}\n", window.text());
                }
                if let Some(keep) = keep_us {
                    text += &format!("keep = \"{keep}us\"\n");
                }
            }
            Work::Process { .. } => {}
        }
        if let Work::Process { key, options } = &self.work {
            text += "plugin = \"oracle_process\"\n";
            text += &format!("key = {key:?}\ntimer_step = \"{}us\"\n", options.step_us);
            text += &format!(
                "options = {{ gap = {}, view = {} }}\n",
                options.gap_us, !self.to_topic
            );
        }
        let kind = if self.to_topic { "topic" } else { "view" };
        text += &format!(
            "{kind} = \"{}\"\ncall_rows = {}\nrhythm = \"{}\"\n",
            self.output(),
            self.call_rows,
            self.rhythm
        );
        text
    }
}

/// Fields that the transform writes.
pub fn transformed_fields() -> Vec<Field> {
    let kinds = [
        Kind::Timestamp,
        Kind::Text,
        Kind::I64,
        Kind::Bool,
        Kind::Timestamp,
        Kind::Bytes,
    ];
    let names = crate::guests::ALL.iter().zip(kinds);
    let mut fields: Vec<Field> = names
        .map(|(name, kind)| Field::new(*name, kind).nullable())
        .collect();
    fields[0].nullable = false;
    fields.extend(payload_fields());
    fields
}

/// The nullable fields of every kind.
pub fn payload_fields() -> Vec<Field> {
    let kinds = [
        Kind::Bool,
        Kind::I64,
        Kind::F64,
        Kind::Text,
        Kind::Bytes,
        Kind::Timestamp,
    ];
    let names = crate::guests::PAYLOAD.iter().zip(kinds);
    names
        .map(|(name, kind)| Field::new(*name, kind).nullable())
        .collect()
}

/// Fields that the process guest writes, behind the key.
pub fn processed_fields() -> Vec<Field> {
    let head = [
        Field::new(AT, Kind::Timestamp),
        Field::new(CAUSE, Kind::Text),
    ];
    head.into_iter().chain(payload_fields()).collect()
}
