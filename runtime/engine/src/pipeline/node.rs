//! One node: what its plugin wants against what its input has, and what comes out of it.

use refrain_log::schema::{Field, Kind, Schema};
use refrain_log::schemas::Defaults;
use refrain_log::topic::{Origin, TopicSpec};
use refrain_plugin::{About, PluginKind};
use serde::Serialize;
use serde_spanned::Spanned;

use super::check::{Input, key_field};
use super::declaration::{NodeDeclaration, OutputDeclaration};
use super::diagnostic::{Findings, suggestion};
use super::options::node_options;
use super::process;
use super::{OnTrap, Output, PlannedInput, PlannedNode, Rhythm, Window};
use crate::input::Lanes;

const DERIVED_SEGMENT_BYTES: u64 = 64 << 20;
const DERIVED_AHEAD_US: i64 = 3_600_000_000;
/// The key of a view of rows: where the input row stands, and which of its results this is.
const ROW_KEY: [&str; 3] = ["partition", "offset", "ordinal"];

/// Comes before them where a node has several inputs: the topic of the input row.
const ROW_INPUT: &str = "input";

/// Tasks of a node that does not say how many and whose key does not follow its input: the input's partitions, up to this.
const TASKS_MAX: u32 = 64;

/// Plans one node, or says why it cannot be.
pub(super) fn plan_node(
    node: &NodeDeclaration,
    about: &About,
    inputs: &[Input],
    findings: &mut Findings,
) -> Option<PlannedNode> {
    let mut own = Findings::default();
    let Some(inputs) = process::arranged(node, about, inputs, &mut own) else {
        findings.absorb(own);
        return None;
    };
    let inputs = inputs.as_slice();
    for (place, input) in inputs.iter().enumerate() {
        check_input(node, about.reads(place), *input, &mut own);
    }
    let options = node_options(node, about, &mut own);
    process::refuse_elsewhere(node, about, &mut own);
    let keyed = match about.kind {
        PluginKind::Fold => Keyed::shared(fold_key(node, inputs, &mut own)),
        PluginKind::Transform => {
            check_transform(node, about, &mut own);
            Keyed::default()
        }
        PluginKind::Process => {
            process::check_process(node, about, inputs, &mut own);
            process::process_key(node, about, inputs, &mut own)
        }
    };
    let key = keyed.fields.clone();
    if about.kind.keeps_state() {
        check_partitions(node, &key, &mut own);
    }
    let window = fold_window(node, about, inputs, &mut own);
    let keep_us = match about.kind {
        PluginKind::Fold => fold_keep(node, window.as_ref(), &mut own),
        PluginKind::Transform | PluginKind::Process => None,
    };
    let (schema, key_fields) = output_schema(node, about, &key, window.as_ref(), &mut own);
    check_law_six(node, about, &mut own);
    if own.failed() {
        findings.absorb(own);
        return None;
    }
    let (partitioned, tasks) = placement(node, about, inputs, &keyed);
    let output = match &node.output {
        OutputDeclaration::View(name) => Output::View(name.get_ref().clone()),
        OutputDeclaration::Topic(name) => Output::Topic(name.get_ref().clone()),
    };
    let output_topic = output_topic(about, &output, &schema, inputs, window.as_ref(), tasks);
    let spread_by = spread_by(about, inputs, &keyed, partitioned);
    let output_topic = output_topic.map(|spec| TopicSpec {
        key: spread_by,
        ..spec
    });
    Some(PlannedNode {
        name: node.name.get_ref().clone(),
        plugin: node.plugin.get_ref().clone(),
        about: about.clone(),
        options,
        inputs: process::named(about, &keyed, inputs.iter().map(planned_input).collect()),
        key: key.iter().map(|f| f.name.clone()).collect(),
        key_fields: key,
        window,
        keep_us,
        timer_step_us: process::planned_step(node, about),
        partitioned,
        tasks,
        output,
        output_schema: schema,
        output_key_fields: key_fields,
        output_topic,
        rhythm: rhythm_of(node),
        rhythm_auto: node.rhythm.is_none(),
        due_us: node.due_us,
        on_trap: node.on_trap,
        limits: node.limits,
        call_rows: node.call_rows,
        canonical_nans: node.canonical_nans,
        grants: node.grants.clone(),
        cache_bytes: node
            .cache_bytes
            .as_ref()
            .map_or_else(super::store::node_cache_bytes, |bytes| *bytes.get_ref()),
    })
}

/// As stated; an `auto` one is continuous until the planner has chosen.
fn rhythm_of(node: &NodeDeclaration) -> Rhythm {
    let stated = node.rhythm.as_ref().map(|r| r.get_ref().clone());
    stated.unwrap_or(Rhythm::Continuous)
}

fn planned_input((name, feed): &Input) -> PlannedInput {
    PlannedInput {
        topic: name.get_ref().clone(),
        derived: feed.derived,
        schema: feed.schema.clone(),
        partitions: feed.partitions,
        key: feed.key.clone(),
        time: feed.time.clone(),
        disorder_us: feed.disorder_us,
        idle_us: feed.idle_us,
        role: None,
        node_key: Vec::new(),
    }
}

/// The key of a node: its fields, and what each input calls them.
#[derive(Default)]
pub(super) struct Keyed {
    pub(super) fields: Vec<Field>,
    /// Names in each input; none: the fields' own.
    pub(super) names: Vec<Vec<String>>,
}

impl Keyed {
    fn shared(fields: Vec<Field>) -> Keyed {
        Keyed {
            fields,
            names: Vec::new(),
        }
    }

    /// Which field of the key an input calls this.
    fn place(&self, input: usize, name: &str) -> Option<usize> {
        match self.names.get(input) {
            Some(names) => names.iter().position(|n| n == name),
            None => self.fields.iter().position(|f| f.name == name),
        }
    }
}

/// Every field that the plugin reads is there, of its type, and null only where the plugin takes null.
fn check_input(
    node: &NodeDeclaration,
    fields: &[Field],
    (name, input): Input,
    findings: &mut Findings,
) {
    let (plugin, topic) = (node.plugin.get_ref(), name.get_ref());
    for wanted in fields {
        let Some(found) = input.schema.field(&wanted.name) else {
            let message = format!(
                "plugin `{plugin}` reads the field `{wanted}`, which topic `{topic}` does not have"
            );
            let names = input.schema.fields().iter().map(|f| f.name.as_str());
            let help = suggestion(&wanted.name, "fields", names);
            findings.error("missing-field", name.span(), message, help);
            continue;
        };
        if found.kind != wanted.kind {
            let message = format!(
                "plugin `{plugin}` reads `{}` as {}; topic `{topic}` has it as {}",
                wanted.name,
                wanted.kind.name(),
                found.kind.name()
            );
            let help = format!(
                "declare it as {} in the topic, or change the plugin",
                wanted.kind.name()
            );
            findings.error("type-mismatch", name.span(), message, help);
        } else if found.nullable && !wanted.nullable {
            let message = format!(
                "`{}` may be null in topic `{topic}`; plugin `{plugin}` does not take null",
                found.name
            );
            let help = format!(
                "write `{}` without `?` in the topic's schema, or let the plugin take it as optional",
                found.kind.name()
            );
            findings.error("nullable-field", name.span(), message, help);
        }
    }
}

fn check_transform(node: &NodeDeclaration, about: &About, findings: &mut Findings) {
    let parts = [
        ("key", node.key.as_ref().map(Spanned::span)),
        ("window", node.window.as_ref().map(Spanned::span)),
        ("keep", node.keep.as_ref().map(Spanned::span)),
        ("partitions", node.partitions.as_ref().map(Spanned::span)),
        ("cache", node.cache_bytes.as_ref().map(Spanned::span)),
    ];
    for (what, span) in parts {
        let Some(span) = span else { continue };
        let message = format!(
            "plugin `{}` is a transform: it takes rows one by one and has no {what}",
            about.name
        );
        findings.error(
            "not-for-transform",
            span,
            message,
            format!("remove `{what}`, or use a fold"),
        );
    }
}

/// The fields of a fold's key: those of each input must be of one kind, and may be null where they may be in one.
fn fold_key(node: &NodeDeclaration, inputs: &[Input], findings: &mut Findings) -> Vec<Field> {
    let Some(keys) = node.key.as_ref().filter(|k| !k.get_ref().is_empty()) else {
        if node.window.is_none() {
            let message = format!(
                "node `{}` keeps a total for each key and has no `key`",
                node.name.get_ref()
            );
            let fields = inputs[0].1.schema.fields().iter();
            let names: Vec<&str> = fields.map(|f| f.name.as_str()).collect();
            let help = format!("add `key = [\"FIELD\"]`; fields: {}", names.join(", "));
            findings.error("missing-key", node.name.span(), message, help);
        }
        return Vec::new();
    };
    let keys = keys.get_ref().iter();
    keys.filter_map(|key| merged_key(key, inputs, findings))
        .collect()
}

pub(super) fn merged_key(
    key: &Spanned<String>,
    inputs: &[Input],
    findings: &mut Findings,
) -> Option<Field> {
    let mut merged: Option<Field> = None;
    for (name, feed) in inputs {
        let found = key_field(&feed.schema, key, name.get_ref(), findings)?;
        match &mut merged {
            None => merged = Some(found),
            Some(field) if field.kind == found.kind => field.nullable |= found.nullable,
            Some(field) => {
                let message = format!(
                    "key `{}` is {} in topic `{}`, and {} in topic `{}`",
                    field.name,
                    field.kind.name(),
                    inputs[0].0.get_ref(),
                    found.kind.name(),
                    name.get_ref()
                );
                let help =
                    "equal keys must be of one type: let a node before this one make them so";
                findings.error("type-mismatch", key.span(), message, help);
                return None;
            }
        }
    }
    merged
}

fn fold_window(
    node: &NodeDeclaration,
    about: &About,
    inputs: &[Input],
    findings: &mut Findings,
) -> Option<Window> {
    let declared = node.window.as_ref()?;
    if about.kind == PluginKind::Process {
        return None;
    }
    let window = &declared.get_ref().window;
    let timed = about.kind == PluginKind::Fold && window.timed();
    let untimed = inputs.iter().filter(|(_, feed)| feed.time.is_none());
    for (name, input) in untimed.filter(|_| timed) {
        let topic = name.get_ref();
        let message = format!(
            "node `{}` has a window, and topic `{topic}` has no event time",
            node.name.get_ref()
        );
        let help = if input.derived {
            "let the node that writes the topic pass on the event-time field of its input, or count rows: window = { count = 100 }".into()
        } else {
            format!(
                "name the event-time field in [topic.{topic}]: time = \"FIELD\", or count rows: window = {{ count = 100 }}"
            )
        };
        findings.error("no-event-time", declared.span(), message, help);
    }
    let session = matches!(window, Window::Session { .. });
    if about.kind == PluginKind::Fold && session && !about.merges {
        let message = format!(
            "plugin `{}` exports no `merge`: it cannot join two sessions when a row comes that belongs to both",
            node.plugin.get_ref()
        );
        let help = "give the plugin a `merge` (Rust: impl Merge, and export_fold!(Name, merge)), or use another kind of window";
        findings.error("no-merge", declared.span(), message, help);
    }
    Some(window.clone())
}

/// How long rows of closed windows stay: for views of windows that time ends.
fn fold_keep(
    node: &NodeDeclaration,
    window: Option<&Window>,
    findings: &mut Findings,
) -> Option<i64> {
    let keep = node.keep.as_ref()?;
    let lateness_us = window.and_then(Window::lateness_us);
    let (message, help) = match (lateness_us, &node.output) {
        (None, _) if window.is_some() => (
            "`keep` removes windows that are older than the watermark, and a count window has no time",
            "remove it",
        ),
        (None, _) => (
            "`keep` removes rows of windows that are older than the watermark, and this node has none",
            "remove it, or give the node a window",
        ),
        (_, OutputDeclaration::Topic(_)) => (
            "`keep` removes rows of a view, and this node writes a topic, which is never rewritten",
            "remove it",
        ),
        (Some(lateness_us), _) if *keep.get_ref() < lateness_us => (
            "`keep` is shorter than the window's `lateness`: rows would go before their window is closed",
            "make it as long as `lateness` at least",
        ),
        _ => return Some(*keep.get_ref()),
    };
    findings.error("bad-keep", keep.span(), message, help);
    None
}

/// Fields of the result and how many of them are the key; every name once.
fn output_schema(
    node: &NodeDeclaration,
    about: &About,
    key: &[Field],
    window: Option<&Window>,
    findings: &mut Findings,
) -> (Schema, usize) {
    let mut fields: Vec<Field> = match (about.kind, &node.output) {
        (PluginKind::Fold | PluginKind::Process, _) => key.to_vec(),
        (PluginKind::Transform, OutputDeclaration::Topic(_)) => Vec::new(),
        (PluginKind::Transform, OutputDeclaration::View(_)) => {
            let several = node.inputs.get_ref().len() > 1;
            let input = several.then(|| Field::new(ROW_INPUT, Kind::Text));
            let place = ROW_KEY.map(|name| Field::new(name, Kind::I64));
            input.into_iter().chain(place).collect()
        }
    };
    if about.kind == PluginKind::Fold {
        fields.extend(window.map(Window::key_field));
    }
    let to_view = matches!(node.output, OutputDeclaration::View(_));
    let view_key = about.process.as_ref().filter(|_| to_view);
    let key_fields = fields.len() + view_key.map_or(0, |declared| declared.view_key.len());
    if about.kind == PluginKind::Fold {
        fields.extend(window.and_then(Window::end_field));
    }
    let order = about.output_order(to_view).into_iter();
    fields.extend(order.map(|place| about.outputs[place].clone()));
    for (i, field) in fields.iter().enumerate() {
        if fields[..i].iter().any(|f| f.name == field.name) {
            let (span, help) = duplicate_place(node, i, key_fields, window.is_some());
            let message = format!(
                "the results of node `{}` would have two fields `{}`",
                node.name.get_ref(),
                field.name
            );
            findings.error("duplicate-field", span, message, help);
        }
    }
    (Schema::new(fields), key_fields)
}

/// Where to look when field `i` of the result has a name that an earlier one has.
fn duplicate_place(
    node: &NodeDeclaration,
    i: usize,
    key_fields: usize,
    windowed: bool,
) -> (std::ops::Range<usize>, &'static str) {
    let session_end = node
        .window
        .as_ref()
        .filter(|w| i == key_fields && w.get_ref().window.end_field().is_some());
    if let Some(window) = session_end {
        return (
            window.get_ref().end_name_span.clone(),
            "name the session's end with `end_as = \"...\"`",
        );
    }
    if i >= key_fields {
        let help =
            "rename the output field in the plugin; key, window start and outputs stand in one row";
        return (node.plugin.span(), help);
    }
    match &node.window {
        Some(window) if windowed && i + 1 == key_fields => (
            window.get_ref().name_span.clone(),
            match window.get_ref().window.timed() {
                true => "name the window's start with `as = \"...\"`",
                false => "name the window's number with `as = \"...\"`",
            },
        ),
        _ => (
            node.key.as_ref().map_or(node.name.span(), Spanned::span),
            "name each key field once",
        ),
    }
}

/// Totals go to views, facts go to topics.
fn check_law_six(node: &NodeDeclaration, about: &About, findings: &mut Findings) {
    let OutputDeclaration::Topic(topic) = &node.output else {
        return;
    };
    if about.kind == PluginKind::Fold && node.window.is_none() {
        let message = "a running total is never finished, so it cannot go to a topic";
        let help = format!(
            "write `view = \"{}\"`, or give the node a window: its row is appended once, when it closes",
            topic.get_ref()
        );
        findings.error("total-to-topic", topic.span(), message, help);
    }
}

/// Whether task i reads partition i of each input, and how many tasks there are.
fn placement(
    node: &NodeDeclaration,
    about: &About,
    inputs: &[Input],
    keyed: &Keyed,
) -> (bool, u32) {
    let widest = inputs.iter().map(|(_, feed)| feed.partitions).max();
    let widest = widest.unwrap_or(1);
    if about.kind == PluginKind::Transform {
        return (true, widest);
    }
    let follows = widest == 1 || follows_key(inputs, keyed);
    let wanted = node.partitions.as_ref().map(|n| *n.get_ref());
    match wanted {
        None if follows => (true, widest),
        Some(tasks) if follows && tasks == widest => (true, tasks),
        _ if keyed.fields.is_empty() => (false, 1),
        _ => (false, wanted.unwrap_or(widest.min(TASKS_MAX))),
    }
}

/// Whether rows of equal keys are always in partitions of one number.
fn follows_key(inputs: &[Input], keyed: &Keyed) -> bool {
    let spread_by = |place: usize| -> Option<Vec<usize>> {
        let names = inputs[place].1.key.iter();
        names.map(|name| keyed.place(place, name)).collect()
    };
    let Some(first) = spread_by(0) else {
        return false;
    };
    let alike = |place: usize| {
        inputs[place].1.partitions == inputs[0].1.partitions
            && spread_by(place).as_ref() == Some(&first)
    };
    !first.is_empty() && (1..inputs.len()).all(alike)
}

/// Fields by whose hash the rows that a node writes are spread over its tasks: of a node whose results have its key.
fn spread_by(about: &About, inputs: &[Input], keyed: &Keyed, partitioned: bool) -> Vec<String> {
    match about.kind.keeps_state() {
        false => Vec::new(),
        true if partitioned && follows_key(inputs, keyed) => inputs[0].1.key.clone(),
        true => keyed.fields.iter().map(|f| f.name.clone()).collect(),
    }
}

/// A node without a key is one task.
fn check_partitions(node: &NodeDeclaration, key: &[Field], findings: &mut Findings) {
    let several = node.partitions.as_ref().filter(|n| *n.get_ref() > 1);
    let Some(partitions) = several.filter(|_| key.is_empty()) else {
        return;
    };
    let message = format!(
        "node `{}` has no key: all its rows are of one task",
        node.name.get_ref()
    );
    let help = "remove `partitions`, or give the node a key by which rows are spread";
    findings.error("no-key-to-spread-by", partitions.span(), message, help);
}

fn output_topic(
    about: &About,
    output: &Output,
    schema: &Schema,
    inputs: &[Input],
    window: Option<&Window>,
    tasks: u32,
) -> Option<TopicSpec> {
    let Output::Topic(name) = output else {
        return None;
    };
    let time = match window {
        Some(window) => window.time_field(),
        None if about.kind == PluginKind::Process => process::passed_on_time(schema, inputs),
        None => passed_on_time(schema, inputs),
    };
    Some(TopicSpec {
        idle_us: idle_us(inputs),
        ..derived_spec(name.clone(), schema.clone(), time, tasks)
    })
}

/// The event time of the inputs, where it has one name and the results have it too.
fn passed_on_time(schema: &Schema, inputs: &[Input]) -> Option<String> {
    let time = inputs[0].1.time.clone()?;
    let shared = inputs
        .iter()
        .all(|(_, feed)| feed.time.as_ref() == Some(&time));
    let field = schema.field(&time)?;
    (shared && field.kind == Kind::Timestamp && !field.nullable).then_some(time)
}

/// A partition that is idle in the sources is idle in what is made of them: where one is never idle, this is not either.
fn idle_us(inputs: &[Input]) -> Option<i64> {
    let idle: Option<Vec<i64>> = inputs.iter().map(|(_, feed)| feed.idle_us).collect();
    idle?.into_iter().max()
}

fn derived_spec(name: String, schema: Schema, time: Option<String>, partitions: u32) -> TopicSpec {
    TopicSpec {
        name,
        origin: Origin::Derived,
        schema,
        key: Vec::new(),
        time,
        partitions,
        ahead_us: DERIVED_AHEAD_US,
        idle_us: None,
        segment_bytes: DERIVED_SEGMENT_BYTES,
        defaults: Defaults::new(),
    }
}

/// Fields of `<node>.rejected` and `<node>.late`: where the row stands in the node's input, and why it was set aside.
pub fn dead_letter_schema() -> Schema {
    Schema::new(vec![
        Field::new("topic", Kind::Text),
        Field::new("partition", Kind::I64),
        Field::new("offset", Kind::I64),
        Field::new("reason", Kind::Text),
    ])
}

/// What [`PlannedNode::configuration`] is made of.
#[derive(Serialize)]
struct Configuration<'a> {
    inputs: Vec<ConfiguredInput<'a>>,
    tasks: u32,
    key: &'a [String],
    window: Option<&'a Window>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_us: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timer_step_us: Option<i64>,
    options: &'a [(String, String)],
    on_trap: OnTrap,
    canonical_nans: bool,
    output: &'a Output,
    output_schema: &'a Schema,
}

#[derive(Serialize)]
struct ConfiguredInput<'a> {
    topic: &'a str,
    partitions: u32,
    key: &'a [String],
    time: Option<&'a str>,
    disorder_us: i64,
    idle_us: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    node_key: &'a [String],
}

fn configured_input(input: &PlannedInput) -> ConfiguredInput<'_> {
    ConfiguredInput {
        topic: &input.topic,
        partitions: input.partitions,
        key: &input.key,
        time: input.time.as_deref(),
        disorder_us: input.disorder_us,
        idle_us: input.idle_us,
        role: input.role.as_deref(),
        node_key: &input.node_key,
    }
}

impl PlannedNode {
    /// Names of the topics that it reads, for messages.
    pub fn input_names(&self) -> String {
        let names: Vec<&str> = self.inputs.iter().map(|i| i.topic.as_str()).collect();
        names.join(", ")
    }

    /// Whether its rows go to its tasks through an exchange.
    pub fn is_spread(&self) -> bool {
        !self.partitioned && self.tasks > 1
    }

    /// How many watermarks a task takes the least of.
    pub fn marks(&self, lanes: &Lanes) -> usize {
        if self.is_spread() { 1 } else { lanes.len() }
    }

    /// Whether event times decide anything.
    pub fn needs_time(&self) -> bool {
        self.window.is_some() || self.about.timed() || matches!(self.output, Output::Topic(_))
    }

    /// Fields of an input that are the node's key.
    pub fn key_of<'a>(&'a self, input: &'a PlannedInput) -> &'a [String] {
        match input.node_key.as_slice() {
            [] => &self.key,
            names => names,
        }
    }

    /// Whether it reads this topic.
    pub fn reads(&self, topic: &str) -> bool {
        self.inputs.iter().any(|input| input.topic == topic)
    }

    /// Canonical text of everything in the configuration that changes results. Rhythm, call size and limits do not.
    pub fn configuration(&self) -> String {
        let configuration = Configuration {
            inputs: self.inputs.iter().map(configured_input).collect(),
            tasks: self.tasks,
            key: &self.key,
            window: self.window.as_ref(),
            keep_us: self.keep_us,
            timer_step_us: self.timer_step_us,
            options: &self.options,
            on_trap: self.on_trap,
            canonical_nans: self.canonical_nans,
            output: &self.output,
            output_schema: &self.output_schema,
        };
        serde_json::to_string(&configuration).expect("names, numbers and flags are always JSON")
    }

    /// Declaration of `<node>.rejected`: the rows that the plugin refused.
    pub fn rejected_topic(&self) -> TopicSpec {
        let name = format!("{}.rejected", self.name);
        derived_spec(name, dead_letter_schema(), None, self.tasks)
    }

    /// Declaration of `<node>.late`: the rows that came after their window had closed. `None` without a window that time
    /// ends.
    pub fn late_topic(&self) -> Option<TopicSpec> {
        self.window.as_ref().filter(|w| w.timed())?;
        let name = format!("{}.late", self.name);
        Some(derived_spec(name, dead_letter_schema(), None, self.tasks))
    }
}
