//! What a pipeline file says, word by word, each with its place in the file. Nothing here is compared with anything
//! else: that is `check`.

use std::collections::{BTreeMap, BTreeSet};

use refrain_log::schema::Schema;
use refrain_log::schemas::Defaults;
use refrain_plugin::{Grants, Limits};
use serde_spanned::Spanned;

use super::checks::CheckDeclaration;
use super::diagnostic::Diagnostic;
use super::store::StateDeclaration;
use super::window::WindowDeclaration;
use super::{OnTrap, Prices, Rhythm, Rule, TierNames};
use crate::ingest::TimeUnit;

/// A pipeline file, read.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// Name of the file, for messages.
    pub file: String,
    /// Its text, for messages.
    pub text: String,
    /// `[topic.X]`, in the order of the file.
    pub topics: Vec<TopicDeclaration>,
    /// `[node.X]`, in the order of the file.
    pub nodes: Vec<NodeDeclaration>,
    /// `[consumer.X]`, in the order of the file.
    pub consumers: Vec<ConsumerDeclaration>,
    /// `[check.X]`, in the order of the file.
    pub checks: Vec<CheckDeclaration>,
    /// `[tiers]`
    pub tiers: TierNames,
    /// `[prices]`
    pub prices: Prices,
    /// `[allow]`
    pub allowances: Vec<Allowance>,
    /// `[run] commit_interval` in microseconds. Default 1 s.
    pub commit_interval_us: i64,
    /// `[run] stall_after` in microseconds. Default 15 s.
    pub stall_after_us: i64,
    /// What is kept of topics that do not keep everything for ever, by name.
    pub retention: BTreeMap<String, Rule>,
    /// Topics whose segments are not encoded anew by themselves, by name: `optimize = false`.
    pub left_as_appended: BTreeSet<String>,
    /// `[state]`
    pub state: StateDeclaration,
    /// What is accepted and has no effect yet.
    pub warnings: Vec<Diagnostic>,
}

impl Declaration {
    /// What any node grants this plugin.
    pub fn grants_of(&self, plugin: &str) -> Grants {
        let nodes = self.nodes.iter().filter(|n| n.plugin.get_ref() == plugin);
        let words = nodes.flat_map(|n| n.grants.iter().map(String::as_str));
        Grants::parse(words).expect("words that are no grants are left out when they are read")
    }

    /// Names of the nodes, in the order of the file.
    pub fn node_names(&self) -> Vec<String> {
        self.nodes
            .iter()
            .map(|n| n.name.get_ref().clone())
            .collect()
    }

    /// Names of the nodes that read a topic, in the order of the file.
    pub fn readers_of(&self, topic: &str) -> Vec<String> {
        let names = self.node_names().into_iter();
        names
            .filter(|node| self.node_inputs(node).iter().any(|i| i == topic))
            .collect()
    }

    /// The topics that the node of that name reads.
    pub fn node_inputs(&self, node: &str) -> Vec<String> {
        let node = self.nodes.iter().find(|n| n.name.get_ref() == node);
        node.map(|n| {
            n.inputs
                .get_ref()
                .iter()
                .map(|i| i.get_ref().clone())
                .collect()
        })
        .unwrap_or_default()
    }
}

/// `[topic.X]`
#[derive(Clone, Debug)]
pub struct TopicDeclaration {
    /// Its name.
    pub name: Spanned<String>,
    /// Its fields.
    pub schema: Schema,
    /// Units of integer input for timestamp fields.
    pub units: BTreeMap<String, TimeUnit>,
    /// Values of fields that a row is given without.
    pub defaults: Defaults,
    /// Event-time field.
    pub time: Option<Spanned<String>>,
    /// Partition key.
    pub key: Vec<Spanned<String>>,
    /// Default 1.
    pub partitions: u32,
    /// Default 0.
    pub disorder_us: i64,
    /// Default 1 h.
    pub ahead_us: i64,
    /// Default none.
    pub idle_us: Option<i64>,
    /// How often rows are delivered. Default all the time.
    pub every: Option<Spanned<i64>>,
    /// Default 64 MiB.
    pub segment_bytes: u64,
}

/// `[node.X]`
#[derive(Clone, Debug)]
pub struct NodeDeclaration {
    /// Its name.
    pub name: Spanned<String>,
    /// Plugin, as written.
    pub plugin: Spanned<String>,
    /// Topics it reads, at least one, with the place of the whole.
    pub inputs: Spanned<Vec<Spanned<String>>>,
    /// `input = { ROLE = "TOPIC" }`: the plugin's name of each of `inputs`.
    pub roles: Option<Vec<Spanned<String>>>,
    /// Number of tasks of a node with a key, where the file says it.
    pub partitions: Option<Spanned<u32>>,
    /// Key of a fold or process node, with the place of the whole list.
    pub key: Option<Spanned<Vec<Spanned<String>>>>,
    /// `key = { ROLE = ["FIELD"] }`, where the fields of the inputs have other names.
    pub key_by_role: Option<Spanned<Vec<RoleKey>>>,
    /// How far apart the watermarks are at which timers fire, in microseconds.
    pub timer_step: Option<Spanned<i64>>,
    /// Window of a fold.
    pub window: Option<Spanned<WindowDeclaration>>,
    /// How long rows of closed windows stay in the view, in microseconds of event time.
    pub keep: Option<Spanned<i64>>,
    /// None: `auto`, which is the default.
    pub rhythm: Option<Spanned<Rhythm>>,
    /// Where the file says the rhythm, if it does: the value with its quotes.
    pub rhythm_place: Option<std::ops::Range<usize>>,
    /// How often something outside starts a node of `once`. Default unknown.
    pub due_us: Option<i64>,
    /// `view = ...` or `topic = ...`
    pub output: OutputDeclaration,
    /// `options = { .. }`, in the order of the file.
    pub options: Vec<(Spanned<String>, Spanned<OptionValue>)>,
    /// Default dead-letter.
    pub on_trap: OnTrap,
    /// Limits of its instances.
    pub limits: Limits,
    /// Default 4,096.
    pub call_rows: usize,
    /// Default true.
    pub canonical_nans: bool,
    /// What its plugin may import: see [`refrain_plugin::Grant`]. Default nothing.
    pub grants: Vec<String>,
    /// Of a fold whose states are on the disk: bytes of open states that stay in memory. Default 256 MiB.
    pub cache_bytes: Option<Spanned<u64>>,
}

/// The fields of one input that are the node's key.
#[derive(Clone, Debug)]
pub struct RoleKey {
    /// The plugin's name of the input.
    pub role: Spanned<String>,
    /// Its fields.
    pub fields: Vec<Spanned<String>>,
}

/// Where results go.
#[derive(Clone, Debug)]
pub enum OutputDeclaration {
    /// `view = ...`
    View(Spanned<String>),
    /// `topic = ...`
    Topic(Spanned<String>),
}

impl OutputDeclaration {
    /// The name of the view or topic.
    pub fn name(&self) -> &Spanned<String> {
        match self {
            OutputDeclaration::View(name) | OutputDeclaration::Topic(name) => name,
        }
    }
}

/// The value of an option, as TOML has it.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionValue {
    /// A string.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction or exponent.
    Float(f64),
    /// true or false.
    Bool(bool),
    /// A date and time, as text.
    Time(String),
}

/// `[consumer.X]`
#[derive(Clone, Debug)]
pub struct ConsumerDeclaration {
    /// Its name.
    pub name: Spanned<String>,
    /// View it reads.
    pub view: Spanned<String>,
    /// How fresh it needs it, in microseconds.
    pub freshness_us: Option<Spanned<i64>>,
    /// Part of the time in which that is to be so, in millionths. Default 990,000.
    pub objective_ppm: u32,
    /// Span of time over which it is looked at, in microseconds. Default 30 days.
    pub window_us: i64,
}

/// `[allow] LINT = { AT = "reason" }`
#[derive(Clone, Debug)]
pub struct Allowance {
    /// Code of the lint.
    pub lint: String,
    /// Name of the node, view, topic or consumer where it may be found.
    pub at: Spanned<String>,
    /// Why that is meant.
    pub reason: String,
}
