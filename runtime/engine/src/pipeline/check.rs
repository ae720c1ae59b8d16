//! [`Declaration`] and what plugins say of themselves to [`Plan`]: names, edges and order. What holds for one node alone
//! is in `node`.

use std::collections::BTreeMap;

use refrain_log::schema::{Field, Kind, Schema};
use refrain_log::topic::{Origin, TopicSpec};
use refrain_plugin::About;
use serde_spanned::Spanned;

use super::declaration::{
    ConsumerDeclaration, Declaration, NodeDeclaration, OutputDeclaration, TopicDeclaration,
};
use super::diagnostic::{Diagnostics, Findings, suggestion};
use super::node::plan_node;
use super::parse::can_be_key;
use super::{Output, Plan, PlannedConsumer, PlannedNode, SourceTopic};

/// A topic that a node can read, as far as planning has got.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    pub(super) schema: Schema,
    pub(super) time: Option<String>,
    pub(super) key: Vec<String>,
    pub(super) partitions: u32,
    pub(super) disorder_us: i64,
    pub(super) idle_us: Option<i64>,
    pub(super) derived: bool,
}

/// An input of a node, as the file names it, and the topic behind it.
pub(super) type Input<'a> = (&'a Spanned<String>, &'a Feed);

/// Checks a pipeline file against its plugins. `load` describes the plugin of that reference, or says in a sentence why
/// it cannot.
///
/// # Errors
/// Everything that is wrong, not only the first.
pub fn check(
    declaration: &Declaration,
    load: &mut dyn FnMut(&str) -> Result<About, String>,
) -> Result<Plan, Diagnostics> {
    let mut findings = Findings::default();
    let topics = sources(declaration, &mut findings);
    let feeds = topics
        .iter()
        .map(|t| (t.spec.name.clone(), feed(t)))
        .collect();
    check_writers(declaration, &mut findings);
    check_inputs(declaration, &mut findings);
    check_cycles(declaration, &mut findings);
    check_consumers(declaration, &mut findings);
    let abouts = load_all(declaration, load, &mut findings);
    let nodes = plan_nodes(declaration, &abouts, feeds, &mut findings);
    super::checks::check_checks(declaration, &nodes, &mut findings);
    accepted(declaration, findings)?;
    let mut plan = Plan {
        topics,
        nodes,
        commit_interval_us: declaration.commit_interval_us,
        stall_after_us: declaration.stall_after_us,
        consumers: declaration.consumers.iter().map(planned_consumer).collect(),
        tiers: declaration.tiers.clone(),
        prices: declaration.prices.clone(),
    };
    crate::tiers::settle(&mut plan, &crate::tiers::Measures::default());
    Ok(plan)
}

fn planned_consumer(consumer: &ConsumerDeclaration) -> PlannedConsumer {
    PlannedConsumer {
        name: consumer.name.get_ref().clone(),
        view: consumer.view.get_ref().clone(),
        freshness_us: consumer.freshness_us.as_ref().map(|us| *us.get_ref()),
        objective_ppm: consumer.objective_ppm,
        window_us: consumer.window_us,
    }
}

/// The source topics alone, checked: what an append needs, without a plugin.
///
/// # Errors
/// Everything that is wrong with a topic.
pub fn source_topics(declaration: &Declaration) -> Result<Vec<SourceTopic>, Diagnostics> {
    let mut findings = Findings::default();
    let topics = sources(declaration, &mut findings);
    accepted(declaration, findings)?;
    Ok(topics)
}

fn sources(declaration: &Declaration, findings: &mut Findings) -> Vec<SourceTopic> {
    let topics = declaration.topics.iter();
    topics.map(|topic| source_topic(topic, findings)).collect()
}

fn accepted(declaration: &Declaration, findings: Findings) -> Result<(), Diagnostics> {
    if !findings.failed() {
        return Ok(());
    }
    Err(Diagnostics {
        file: declaration.file.clone(),
        text: declaration.text.clone(),
        list: findings.placed(&declaration.text),
    })
}

/// Plans nodes in the order of who reads whom; those behind a broken node wait until that is mended.
fn plan_nodes(
    declaration: &Declaration,
    abouts: &BTreeMap<String, Option<About>>,
    mut feeds: BTreeMap<String, Feed>,
    findings: &mut Findings,
) -> Vec<PlannedNode> {
    let mut planned: Vec<PlannedNode> = Vec::new();
    let mut waiting: Vec<&NodeDeclaration> = declaration.nodes.iter().collect();
    while let Some(place) = waiting.iter().position(|n| {
        n.inputs
            .get_ref()
            .iter()
            .all(|i| feeds.contains_key(i.get_ref()))
    }) {
        let node = waiting.remove(place);
        let inputs = node.inputs.get_ref().iter();
        let inputs: Vec<Input> = inputs.map(|i| (i, &feeds[i.get_ref()])).collect();
        let about = abouts.get(node.plugin.get_ref()).and_then(Option::as_ref);
        let Some(node) = about.and_then(|about| plan_node(node, about, &inputs, findings)) else {
            continue;
        };
        if let Some(spec) = &node.output_topic {
            feeds
                .entry(spec.name.clone())
                .or_insert_with(|| derived_feed(spec));
        }
        planned.push(node);
    }
    planned
}

fn source_topic(topic: &TopicDeclaration, findings: &mut Findings) -> SourceTopic {
    check_time(topic, findings);
    check_partition_key(topic, findings);
    check_defaults(topic, findings);
    SourceTopic {
        spec: TopicSpec {
            name: topic.name.get_ref().clone(),
            origin: Origin::Source,
            schema: topic.schema.clone(),
            key: topic.key.iter().map(|k| k.get_ref().clone()).collect(),
            time: topic.time.as_ref().map(|t| t.get_ref().clone()),
            partitions: topic.partitions,
            ahead_us: topic.ahead_us,
            idle_us: topic.idle_us,
            segment_bytes: topic.segment_bytes,
            defaults: topic.defaults.clone(),
        },
        disorder_us: topic.disorder_us,
        units: topic.units.clone(),
        every_us: topic.every.as_ref().map(|us| *us.get_ref()),
    }
}

fn check_time(topic: &TopicDeclaration, findings: &mut Findings) {
    let Some(time) = &topic.time else { return };
    let Some(field) = known_field(&topic.schema, time, topic.name.get_ref(), findings) else {
        return;
    };
    if field.kind != Kind::Timestamp {
        let message = format!(
            "the event time `{}` is {}; it must be a timestamp",
            field.name,
            field.kind.name()
        );
        let help = "declare it as timestamp, or with the unit of its integers: timestamp(ms)";
        findings.error("type-mismatch", time.span(), message, help);
    } else if field.nullable {
        let message = format!("the event time `{}` may be null", field.name);
        findings.error(
            "nullable-field",
            time.span(),
            message,
            "write its type without `?`",
        );
    }
}

fn check_partition_key(topic: &TopicDeclaration, findings: &mut Findings) {
    for (i, key) in topic.key.iter().enumerate() {
        key_field(&topic.schema, key, topic.name.get_ref(), findings);
        if topic.key[..i].iter().any(|k| k.get_ref() == key.get_ref()) {
            let message = format!("`{}` is in the key twice", key.get_ref());
            findings.error("duplicate-field", key.span(), message, "name it once");
        }
    }
}

/// A row is placed by what it says itself.
fn check_defaults(topic: &TopicDeclaration, findings: &mut Findings) {
    for field in topic.key.iter().chain(&topic.time) {
        let name = field.get_ref();
        if topic.defaults.contains_key(name) {
            let message = format!("`{name}` has a default, and is a key or the event time");
            let help = "each row must say it itself: remove the default";
            findings.error("bad-default", field.span(), message, help);
        }
    }
}

/// A field that can be a key, or a finding.
pub(super) fn key_field(
    schema: &Schema,
    key: &Spanned<String>,
    topic: &str,
    findings: &mut Findings,
) -> Option<Field> {
    let field = known_field(schema, key, topic, findings)?;
    if !can_be_key(field.kind) {
        let message = format!("`{}` is f64; an f64 cannot be a key", field.name);
        let help = "use i64 or text: equal numbers may differ in their last bit";
        findings.error("bad-key", key.span(), message, help);
        return None;
    }
    Some(field)
}

fn known_field(
    schema: &Schema,
    name: &Spanned<String>,
    topic: &str,
    findings: &mut Findings,
) -> Option<Field> {
    let field = schema.field(name.get_ref());
    if field.is_none() {
        let message = format!("topic `{topic}` has no field `{}`", name.get_ref());
        let names = schema.fields().iter().map(|f| f.name.as_str());
        let help = suggestion(name.get_ref(), "fields", names);
        findings.error("unknown-field", name.span(), message, help);
    }
    field.cloned()
}

fn feed(source: &SourceTopic) -> Feed {
    Feed {
        disorder_us: source.disorder_us,
        derived: false,
        ..derived_feed(&source.spec)
    }
}

fn derived_feed(spec: &TopicSpec) -> Feed {
    Feed {
        schema: spec.schema.clone(),
        time: spec.time.clone(),
        key: spec.key.clone(),
        partitions: spec.partitions,
        disorder_us: 0,
        idle_us: spec.idle_us,
        derived: true,
    }
}

/// Each view and each topic has one writer, and no node takes the name of a source topic.
fn check_writers(declaration: &Declaration, findings: &mut Findings) {
    let mut writers: BTreeMap<(bool, &str), &str> = BTreeMap::new();
    for node in &declaration.nodes {
        let name = node.name.get_ref().as_str();
        let output = node.output.name();
        let is_view = matches!(node.output, OutputDeclaration::View(_));
        let what = if is_view { "view" } else { "topic" };
        if let Some(other) = writers.insert((is_view, output.get_ref()), name) {
            let message = format!(
                "{what} `{}` is written by the nodes `{other}` and `{name}`",
                output.get_ref()
            );
            findings.error(
                "two-writers",
                output.span(),
                message,
                "give each node an output of its own",
            );
        }
        if !is_view && source(declaration, output.get_ref()).is_some() {
            let message = format!(
                "topic `{}` takes appends; node `{name}` cannot write it too",
                output.get_ref()
            );
            let help = "choose another name for the node's topic; a topic that a node writes needs no [topic.X] section";
            findings.error("two-writers", output.span(), message, help);
        }
        if source(declaration, name).is_some() {
            let message = format!(
                "a topic and a node are both named `{name}`, and `{name}.rejected` would be two things"
            );
            findings.error("name-taken", node.name.span(), message, "rename the node");
        }
    }
}

/// Every input is a topic that someone writes.
fn check_inputs(declaration: &Declaration, findings: &mut Findings) {
    let nodes = declaration.nodes.iter();
    for input in nodes.flat_map(|n| n.inputs.get_ref()) {
        let name = input.get_ref().as_str();
        if source(declaration, name).is_some() || writer(declaration, name).is_some() {
            continue;
        }
        let span = input.span();
        if let Some(keeper) = keeper(declaration, name) {
            let message = format!(
                "`{name}` is a view; in this version a node reads topics only, since a total of totals would depend on when each was made"
            );
            let help = format!(
                "read `{}`, the topic behind node `{}`, or let that node write a topic (a window's row is appended once, when it closes)",
                names(&keeper.inputs, "`, `"),
                keeper.name.get_ref()
            );
            findings.error("view-as-input", span, message, help);
        } else if name.ends_with(".rejected") || name.ends_with(".late") {
            let message =
                format!("`{name}`: nodes cannot read rows that were set aside in this version");
            let help = format!("look at them with `refrain topic read {name}`");
            findings.error("not-in-this-version", span, message, help);
        } else {
            let message = format!("there is no topic `{name}`");
            let help = suggestion(name, "topics", topic_names(declaration));
            findings.error("unknown-topic", span, message, help);
        }
    }
}

fn topic_names(declaration: &Declaration) -> Vec<&str> {
    let sources = declaration.topics.iter().map(|t| t.name.get_ref().as_str());
    let derived = declaration.nodes.iter().filter_map(written_topic);
    sources.chain(derived).collect()
}

fn written_topic(node: &NodeDeclaration) -> Option<&str> {
    match &node.output {
        OutputDeclaration::Topic(name) => Some(name.get_ref()),
        OutputDeclaration::View(_) => None,
    }
}

fn source<'a>(declaration: &'a Declaration, topic: &str) -> Option<&'a TopicDeclaration> {
    declaration
        .topics
        .iter()
        .find(|t| t.name.get_ref() == topic)
}

/// The node that writes this topic.
fn writer<'a>(declaration: &'a Declaration, topic: &str) -> Option<&'a NodeDeclaration> {
    declaration
        .nodes
        .iter()
        .find(|n| written_topic(n) == Some(topic))
}

/// The node that keeps this view.
fn keeper<'a>(declaration: &'a Declaration, view: &str) -> Option<&'a NodeDeclaration> {
    declaration.nodes.iter().find(|n| match &n.output {
        OutputDeclaration::View(name) => name.get_ref() == view,
        OutputDeclaration::Topic(_) => false,
    })
}

/// Each cycle is reported once, at its first node in the file, with its path.
fn check_cycles(declaration: &Declaration, findings: &mut Findings) {
    let mut reported: Vec<&str> = Vec::new();
    for node in &declaration.nodes {
        let mut path = vec![node.name.get_ref().as_str()];
        if !returns(declaration, node, node, &mut path, &mut Vec::new())
            || path.iter().any(|n| reported.contains(n))
        {
            continue;
        }
        reported.extend(&path);
        path.push(node.name.get_ref());
        path.reverse();
        let message = format!("nodes read each other in a circle: {}", path.join(" -> "));
        let help = "a row would go round for ever: let one of them read another topic";
        findings.error("cycle", node.inputs.span(), message, help);
    }
}

/// Whether `start` is upstream of `at`; `path` then has the nodes between, from `at` on upstream.
fn returns<'a>(
    declaration: &'a Declaration,
    start: &NodeDeclaration,
    at: &'a NodeDeclaration,
    path: &mut Vec<&'a str>,
    seen: &mut Vec<&'a str>,
) -> bool {
    for input in at.inputs.get_ref() {
        let name = input.get_ref();
        if source(declaration, name).is_some() {
            continue;
        }
        let Some(next) = writer(declaration, name) else {
            continue;
        };
        let next_name = next.name.get_ref().as_str();
        if next_name == start.name.get_ref() {
            return true;
        }
        if seen.contains(&next_name) {
            continue;
        }
        seen.push(next_name);
        path.push(next_name);
        if returns(declaration, start, next, path, seen) {
            return true;
        }
        path.pop();
    }
    false
}

/// Names one after another.
fn names(list: &Spanned<Vec<Spanned<String>>>, between: &str) -> String {
    let names: Vec<&str> = list
        .get_ref()
        .iter()
        .map(|n| n.get_ref().as_str())
        .collect();
    names.join(between)
}

fn check_consumers(declaration: &Declaration, findings: &mut Findings) {
    for consumer in &declaration.consumers {
        let view = consumer.view.get_ref();
        if keeper(declaration, view).is_some() {
            continue;
        }
        let views = declaration.nodes.iter().filter_map(|n| match &n.output {
            OutputDeclaration::View(name) => Some(name.get_ref().as_str()),
            OutputDeclaration::Topic(_) => None,
        });
        let message = format!("there is no view `{view}`");
        let help = suggestion(view, "views", views.collect::<Vec<_>>());
        findings.error("unknown-view", consumer.view.span(), message, help);
    }
}

/// Every plugin once; a failure is told at each node that names it.
fn load_all(
    declaration: &Declaration,
    load: &mut dyn FnMut(&str) -> Result<About, String>,
    findings: &mut Findings,
) -> BTreeMap<String, Option<About>> {
    let mut loaded: BTreeMap<String, Result<About, String>> = BTreeMap::new();
    for node in &declaration.nodes {
        let plugin = node.plugin.get_ref();
        let answer = loaded.entry(plugin.clone()).or_insert_with(|| load(plugin));
        if let Err(why) = answer {
            let message = format!("plugin `{plugin}`: {why}");
            findings.error("plugin", node.plugin.span(), message, "");
        }
    }
    loaded
        .into_iter()
        .map(|(name, about)| (name, about.ok()))
        .collect()
}

impl Plan {
    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&PlannedNode> {
        self.nodes.iter().find(|n| n.name == name)
    }

    /// The node that keeps the view of that name.
    pub fn keeper(&self, view: &str) -> Option<&PlannedNode> {
        self.nodes
            .iter()
            .find(|n| n.output == Output::View(view.to_owned()))
    }
}
