//! The pipeline file: what it says (`declaration`), how it is read (`parse`), and what it means together with what its
//! plugins say of themselves (`check`). All of it pure: text and descriptions in, a plan or diagnostics out.

mod check;
pub mod checks;
mod cron;
pub mod declaration;
pub mod diagnostic;
pub mod edit;
mod field;
mod grants;
mod need;
mod node;
mod options;
mod parse;
mod prices;
mod process;
mod retention;
mod rhythm;
mod section;
mod store;
#[cfg(test)]
mod tests;
pub mod units;
pub mod window;

use std::collections::BTreeMap;

use refrain_log::schema::{Field, Schema};
use refrain_log::topic::TopicSpec;
use refrain_plugin::{About, Limits};
use serde::{Deserialize, Serialize};

pub use check::{check, source_topics};
pub use checks::{CheckDeclaration, Condition, Range};
pub use cron::Cron;
pub use declaration::Declaration;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use need::{Tier, TierNames};
pub use node::dead_letter_schema;
pub use parse::parse;
pub use prices::{Nanos, Prices};
pub use retention::Rule;
pub use rhythm::{RHYTHM_HELP, Rhythm, RhythmError};
pub use store::StateDeclaration;
pub use window::Window;

use crate::ingest::TimeUnit;

/// What happens to a row that traps again in a fresh instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnTrap {
    /// It goes to `<node>.rejected`.
    DeadLetter,
    /// The node stops.
    Fail,
}

/// Where a node's results go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Into a view of this name.
    View(String),
    /// Into a derived topic of this name.
    Topic(String),
}

/// A source topic as planned.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceTopic {
    /// Its declaration for the log.
    pub spec: TopicSpec,
    /// How far event times may run behind the newest seen, in microseconds.
    pub disorder_us: i64,
    /// Units of integer input for timestamp fields.
    pub units: BTreeMap<String, TimeUnit>,
    /// How often rows are delivered, when that is declared, in microseconds; none: all the time.
    pub every_us: Option<i64>,
}

/// A topic that a node reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedInput {
    /// Its name.
    pub topic: String,
    /// Whether a node writes it.
    pub derived: bool,
    /// Its fields.
    pub schema: Schema,
    /// How many partitions it has.
    pub partitions: u32,
    /// Fields by which its rows are spread over the partitions; empty: by nothing that a reader could know.
    pub key: Vec<String>,
    /// Event-time field; none: append time.
    pub time: Option<String>,
    /// How far event times may run behind the newest seen, in microseconds; 0 for a derived topic, which carries its
    /// node's watermark.
    pub disorder_us: i64,
    /// A partition without rows for longer than this is idle, in microseconds; none: never.
    pub idle_us: Option<i64>,
    /// Of a process node: the plugin's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Of a process node: its fields that are the node's key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_key: Vec<String>,
}

/// A node as planned: everything resolved and checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedNode {
    /// Its name.
    pub name: String,
    /// Plugin as the file names it.
    pub plugin: String,
    /// What the plugin says.
    pub about: About,
    /// Options, all settings with defaults filled in.
    pub options: Vec<(String, String)>,
    /// Topics it reads, in the order of the pipeline file; of a process node in the order in which its plugin declares its
    /// inputs. At least one.
    pub inputs: Vec<PlannedInput>,
    /// Key fields of a fold or process node, by their names in the first input; empty for a transform.
    pub key: Vec<String>,
    /// The same as fields: nullable when the field is so in one of the inputs.
    pub key_fields: Vec<Field>,
    /// Window of a fold; none: a running total.
    pub window: Option<Window>,
    /// How long after its end the row of a closed window stays in the view, in microseconds of event time; none: for
    /// ever.
    pub keep_us: Option<i64>,
    /// Of a process node for which times matter: timers fire where the watermark passes a multiple of this, in
    /// microseconds. Default 1 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer_step_us: Option<i64>,
    /// Whether rows of one key are all in partitions of one number, so that task i reads partition i of each input.
    /// Else all partitions are read as one, in log order, and rows go to tasks by the node's key.
    pub partitioned: bool,
    /// How many tasks: the inputs' partitions when `partitioned` (always for a transform), else what the file says.
    pub tasks: u32,
    /// Where results go.
    pub output: Output,
    /// Schema of the results: for a fold key fields, then the window's start (of a session its end too, of a count window
    /// its number), then the plugin's outputs; for a process node key fields, then the plugin's outputs, those of the
    /// view's key first when it keeps a view; for a transform
    /// to a topic the plugin's outputs; for a transform to a view `partition: i64`, `offset: i64`, `ordinal: i64` of the
    /// input row, then the plugin's outputs.
    pub output_schema: Schema,
    /// How many of the first fields are the key of the view.
    pub output_key_fields: usize,
    /// Declaration of the derived topic written, if one is.
    pub output_topic: Option<TopicSpec>,
    /// When it runs; of an `auto` one what the planner chose.
    pub rhythm: Rhythm,
    /// Whether the planner chose the rhythm.
    pub rhythm_auto: bool,
    /// How often something outside starts a node of `once`, when that is declared, in microseconds.
    pub due_us: Option<i64>,
    /// What a trapping row does.
    pub on_trap: OnTrap,
    /// Limits of its instances.
    pub limits: Limits,
    /// Rows for one call at most. Default 4,096.
    pub call_rows: usize,
    /// Whether guest NaNs are made canonical. Default true.
    pub canonical_nans: bool,
    /// What its plugin may import. Default nothing.
    #[serde(default)]
    pub grants: Vec<String>,
    /// Bytes of open states that stay in memory, about, where states are kept on the disk. Default 256 MiB.
    #[serde(default = "store::node_cache_bytes")]
    pub cache_bytes: u64,
}

/// A checked pipeline: nodes in an order in which each comes after what it reads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Source topics.
    pub topics: Vec<SourceTopic>,
    /// Nodes.
    pub nodes: Vec<PlannedNode>,
    /// Microseconds between commits of continuous nodes. Default 1 s.
    pub commit_interval_us: i64,
    /// Microseconds beyond that after which a node that has input and does not get on is said to be stalled. Default 15 s.
    pub stall_after_us: i64,
    /// Who reads which view, and how fresh.
    pub consumers: Vec<PlannedConsumer>,
    /// Names and bounds of the tiers.
    pub tiers: TierNames,
    /// The price sheet.
    pub prices: Prices,
}

/// A reader of a view, as planned.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedConsumer {
    /// Its name.
    pub name: String,
    /// The view it reads.
    pub view: String,
    /// How fresh it needs it, in microseconds; none: it does not say.
    pub freshness_us: Option<i64>,
    /// Part of the time, in millionths, in which the need is to be met. Default 990,000.
    pub objective_ppm: u32,
    /// Span of time over which that is looked at, in microseconds. Default 30 days.
    pub window_us: i64,
}
