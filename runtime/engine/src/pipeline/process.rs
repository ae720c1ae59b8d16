//! What a pipeline file says of a process node alone: topics by the plugin's names for its inputs, keys by input, and the
//! step of its timers.

use refrain_log::schema::{Field, Kind, Schema};
use refrain_plugin::{About, PluginKind};
use serde_spanned::Spanned;
use toml::de::DeValue;

use super::PlannedInput;
use super::check::{Input, key_field};
use super::declaration::{NodeDeclaration, OutputDeclaration, RoleKey};
use super::diagnostic::{Findings, suggestion};
use super::node::{Keyed, merged_key};
use super::section::{Reader, Section};

/// Step of timers where the file says none.
const TIMER_STEP_US: i64 = 1_000_000;
/// Least step of timers.
const TIMER_STEP_US_MIN: i64 = 1_000;

type Names = Spanned<Vec<Spanned<String>>>;

/// `input = { left = "orders", right = "payments" }`: the topics, and the plugin's name for each.
pub(super) fn inputs_by_role(
    section: &mut Section,
    reader: &mut Reader,
) -> Option<(Names, Vec<Spanned<String>>)> {
    let table = section.table("input", reader)?;
    let (mut topics, mut roles) = (Vec::new(), Vec::new());
    for (role, topic) in table.entries() {
        let topic = reader.text(role.get_ref(), topic)?;
        roles.push(Spanned::new(role.span(), role.get_ref().to_string()));
        topics.push(topic);
    }
    if topics.is_empty() {
        let help = "name a topic for each input of the plugin: input = { left = \"TOPIC\", right = \"TOPIC\" }";
        reader
            .findings
            .error("missing-key", table.span(), "a node reads something", help);
        return None;
    }
    Some((Spanned::new(table.span(), topics), roles))
}

/// `key = ["order"]`, or `key = { left = ["order"], right = ["id"] }`.
pub(super) fn keys(
    section: &mut Section,
    reader: &mut Reader,
) -> (Option<Names>, Option<Spanned<Vec<RoleKey>>>) {
    match section.get("key").map(Spanned::get_ref) {
        Some(DeValue::Table(_)) => (None, keys_by_role(section, reader)),
        _ => (section.texts("key", reader), None),
    }
}

fn keys_by_role(section: &mut Section, reader: &mut Reader) -> Option<Spanned<Vec<RoleKey>>> {
    let table = section.table("key", reader)?;
    let mut keys = Vec::new();
    for (role, value) in table.entries() {
        let DeValue::Array(items) = value.get_ref() else {
            let wanted = "a list of texts such as [\"origin\"]";
            reader.wrong_type(role.get_ref(), value.span(), value.get_ref(), wanted);
            continue;
        };
        let fields = items.iter();
        keys.push(RoleKey {
            role: Spanned::new(role.span(), role.get_ref().to_string()),
            fields: fields
                .filter_map(|item| reader.text(role.get_ref(), item))
                .collect(),
        });
    }
    Some(Spanned::new(table.span(), keys))
}

pub(super) fn timer_step(section: &mut Section, reader: &mut Reader) -> Option<Spanned<i64>> {
    let span = section.get("timer_step")?.span();
    let us = section.duration_us("timer_step", reader)?;
    if us < TIMER_STEP_US_MIN {
        let help =
            "timers fire where the watermark passes a multiple of it: write at least \"1ms\"";
        reader
            .findings
            .error("out-of-range", span, "`timer_step` is too short", help);
        return None;
    }
    Some(Spanned::new(span, us))
}

/// The inputs in the order in which tasks take them: of a process node that of the plugin's inputs, else that of the file.
pub(super) fn arranged<'a>(
    node: &NodeDeclaration,
    about: &About,
    inputs: &[Input<'a>],
    findings: &mut Findings,
) -> Option<Vec<Input<'a>>> {
    if about.kind != PluginKind::Process {
        return Some(inputs.to_vec());
    }
    let names: Vec<&str> = about.declared_inputs().iter().map(|i| &*i.name).collect();
    let Some(roles) = &node.roles else {
        return only_input(node, inputs, &names, findings);
    };
    let mut known = true;
    for role in roles {
        if !names.contains(&role.get_ref().as_str()) {
            unknown_role(node, role, &names, findings);
            known = false;
        }
    }
    let of_name = |name: &&str| {
        let place = roles.iter().position(|role| role.get_ref() == name);
        if place.is_none() {
            missing_role(node, name, findings);
        }
        place.map(|place| inputs[place])
    };
    // All of them, so that each missing one is told.
    let arranged: Vec<Option<Input<'a>>> = names.iter().map(of_name).collect();
    let arranged: Option<Vec<Input<'a>>> = arranged.into_iter().collect();
    arranged.filter(|_| known)
}

fn only_input<'a>(
    node: &NodeDeclaration,
    inputs: &[Input<'a>],
    names: &[&str],
    findings: &mut Findings,
) -> Option<Vec<Input<'a>>> {
    if inputs.len() == 1 && names.len() == 1 {
        return Some(inputs.to_vec());
    }
    let message = format!(
        "plugin `{}` declares the inputs {}: say which topic each is",
        node.plugin.get_ref(),
        names.join(", ")
    );
    let entries: Vec<String> = names.iter().map(|n| format!("{n} = \"TOPIC\"")).collect();
    let help = format!("write `input = {{ {} }}`", entries.join(", "));
    findings.error("input-names", node.inputs.span(), message, help);
    None
}

fn unknown_role(
    node: &NodeDeclaration,
    role: &Spanned<String>,
    names: &[&str],
    findings: &mut Findings,
) {
    let message = format!(
        "plugin `{}` has no input `{}`",
        node.plugin.get_ref(),
        role.get_ref()
    );
    let help = suggestion(role.get_ref(), "inputs", names.iter().copied());
    findings.error("unknown-input", role.span(), message, help);
}

fn missing_role(node: &NodeDeclaration, name: &str, findings: &mut Findings) {
    let message = format!(
        "input `{name}` of plugin `{}` is given no topic",
        node.plugin.get_ref()
    );
    let help = format!("add `{name} = \"TOPIC\"`");
    findings.error("missing-input", node.inputs.span(), message, help);
}

/// What only a process node has, in a node of another kind.
pub(super) fn refuse_elsewhere(node: &NodeDeclaration, about: &About, findings: &mut Findings) {
    if about.kind == PluginKind::Process {
        return;
    }
    let kind = about.kind.name();
    let roles = node.roles.as_ref().map(|_| node.inputs.span());
    let key = node.key_by_role.as_ref().map(Spanned::span);
    let step = node.timer_step.as_ref().map(Spanned::span);
    let parts = [
        (
            roles,
            "its inputs have no names",
            "list the topics: input = [\"TOPIC\", \"TOPIC\"]",
        ),
        (
            key,
            "its inputs have no names to give each a key",
            "list fields that all inputs have: key = [\"FIELD\"]",
        ),
        (step, "it has no timers", "remove `timer_step`"),
    ];
    for (span, what, help) in parts {
        let Some(span) = span else { continue };
        let message = format!("plugin `{}` is a {kind}: {what}", about.name);
        findings.error("only-for-process", span, message, help);
    }
}

/// What a process node has not, and that its inputs have times where these matter.
pub(super) fn check_process(
    node: &NodeDeclaration,
    about: &About,
    inputs: &[Input],
    findings: &mut Findings,
) {
    let parts = [
        ("window", node.window.as_ref().map(Spanned::span)),
        ("keep", node.keep.as_ref().map(Spanned::span)),
    ];
    for (what, span) in parts {
        let Some(span) = span else { continue };
        let message = format!(
            "plugin `{}` is a process plugin: what belongs together is its own to say, by its state and its timers, and it \
             has no `{what}`",
            about.name
        );
        let help = format!("remove `{what}`, or use a fold");
        findings.error("not-for-process", span, message, help);
    }
    if let Some(step) = node.timer_step.as_ref().filter(|_| !about.timed()) {
        let message = format!("plugin `{}` sets no timers", about.name);
        findings.error("not-timed", step.span(), message, "remove `timer_step`");
    }
    let untimed = inputs.iter().filter(|(_, feed)| feed.time.is_none());
    for (name, feed) in untimed.filter(|_| about.timed()) {
        let topic = name.get_ref();
        let message = format!(
            "event times matter to plugin `{}`, and topic `{topic}` has none",
            about.name
        );
        let help = match feed.derived {
            true => "let the node that writes the topic pass on the event-time field of its input"
                .into(),
            false => {
                format!("name the event-time field in [topic.{topic}]: time = \"FIELD\"")
            }
        };
        findings.error("no-event-time", name.span(), message, help);
    }
}

/// The key of a process node.
pub(super) fn process_key(
    node: &NodeDeclaration,
    about: &About,
    inputs: &[Input],
    findings: &mut Findings,
) -> Keyed {
    let keyed = match (&node.key, &node.key_by_role) {
        (_, Some(keys)) => key_by_role(keys, about, inputs, findings),
        (Some(keys), None) => {
            let keys = keys.get_ref();
            let names: Vec<String> = keys.iter().map(|k| k.get_ref().clone()).collect();
            let fields = keys.iter();
            Keyed {
                fields: fields
                    .filter_map(|key| merged_key(key, inputs, findings))
                    .collect(),
                names: vec![names; inputs.len()],
            }
        }
        (None, None) => {
            let message = format!(
                "node `{}` keeps a state for each key and has no `key`",
                node.name.get_ref()
            );
            let help = "add `key = [\"FIELD\"]`, or `key = []` where all rows share one state";
            findings.error("missing-key", node.name.span(), message, help);
            return Keyed::default();
        }
    };
    refuse_keyless_view(node, about, &keyed, findings);
    keyed
}

/// A row of a view needs a key of its own.
fn refuse_keyless_view(
    node: &NodeDeclaration,
    about: &About,
    keyed: &Keyed,
    findings: &mut Findings,
) {
    let OutputDeclaration::View(view) = &node.output else {
        return;
    };
    let view_key = about.process.as_ref().map_or(0, |d| d.view_key.len());
    if keyed.fields.is_empty() && view_key == 0 && !findings.failed() {
        let message = format!("view `{}` would have no key", view.get_ref());
        let help = "give the node a key, let the plugin declare a view key, or write a topic";
        findings.error("missing-key", view.span(), message, help);
    }
}

fn key_by_role(
    keys: &Spanned<Vec<RoleKey>>,
    about: &About,
    inputs: &[Input],
    findings: &mut Findings,
) -> Keyed {
    let declared = about.declared_inputs();
    let names: Vec<&str> = declared.iter().map(|i| &*i.name).collect();
    for key in keys.get_ref() {
        if !names.contains(&key.role.get_ref().as_str()) {
            let message = format!(
                "plugin `{}` has no input `{}`",
                about.name,
                key.role.get_ref()
            );
            let help = suggestion(key.role.get_ref(), "inputs", names.iter().copied());
            findings.error("unknown-input", key.role.span(), message, help);
        }
    }
    let mut keyed = Keyed::default();
    for (name, input) in names.iter().zip(inputs) {
        let Some(key) = keys.get_ref().iter().find(|k| k.role.get_ref() == name) else {
            let message = format!("input `{name}` is given no key");
            let help = format!("add `{name} = [\"FIELD\"]`, as many fields as the others have");
            findings.error("missing-key", keys.span(), message, help);
            continue;
        };
        add_key(key, *input, &mut keyed, findings);
    }
    keyed
}

/// The key of one more input: as many fields as the earlier ones have, of the same types.
fn add_key(key: &RoleKey, (topic, feed): Input, keyed: &mut Keyed, findings: &mut Findings) {
    let fields = key.fields.iter();
    let fields: Option<Vec<Field>> = fields
        .map(|field| key_field(&feed.schema, field, topic.get_ref(), findings))
        .collect();
    let Some(fields) = fields else { return };
    let names = fields.iter().map(|f| f.name.clone()).collect();
    if keyed.names.is_empty() {
        keyed.fields = fields;
        keyed.names.push(names);
        return;
    }
    keyed.names.push(names);
    if keyed.fields.len() != fields.len() {
        let message = format!(
            "the key of input `{}` has {} fields; that of the first input has {}",
            key.role.get_ref(),
            fields.len(),
            keyed.fields.len()
        );
        let help = "equal keys have as many fields, of the same types, in the same order";
        findings.error("type-mismatch", key.role.span(), message, help);
        return;
    }
    for ((first, field), written) in keyed.fields.iter_mut().zip(&fields).zip(&key.fields) {
        first.nullable |= field.nullable;
        if first.kind != field.kind {
            let message = format!(
                "key `{}` is {} in topic `{}`, and `{}` of the first input is {}",
                field.name,
                field.kind.name(),
                topic.get_ref(),
                first.name,
                first.kind.name()
            );
            let help = "equal keys must be of one type: let a node before this one make them so";
            findings.error("type-mismatch", written.span(), message, help);
        }
    }
}

/// Step of the node's timers, where times matter.
pub(super) fn planned_step(node: &NodeDeclaration, about: &About) -> Option<i64> {
    let step = node.timer_step.as_ref().map(|step| *step.get_ref());
    about.timed().then(|| step.unwrap_or(TIMER_STEP_US))
}

/// The inputs with the plugin's names for them, and their fields that are the key.
pub(super) fn named(
    about: &About,
    keyed: &Keyed,
    mut inputs: Vec<PlannedInput>,
) -> Vec<PlannedInput> {
    let roles = about.declared_inputs().iter().map(|i| &i.name);
    for (input, (role, names)) in inputs.iter_mut().zip(roles.zip(&keyed.names)) {
        input.role = Some(role.clone());
        input.node_key.clone_from(names);
    }
    inputs
}

/// The event time of rows written to a topic: the first event-time field of an input that the results have.
pub(super) fn passed_on_time(schema: &Schema, inputs: &[Input]) -> Option<String> {
    let is_time = |name: &&String| {
        let field = schema.field(name);
        field.is_some_and(|f| f.kind == Kind::Timestamp && !f.nullable)
    };
    let times = inputs.iter().filter_map(|(_, feed)| feed.time.as_ref());
    times.into_iter().find(is_time).cloned()
}
