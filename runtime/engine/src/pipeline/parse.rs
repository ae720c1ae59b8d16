//! Text to [`Declaration`]: syntax, keys, units, names. Every problem is reported, not only the first.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use refrain_log::schema::{Kind, Schema};
use refrain_plugin::Limits;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::declaration::{
    Declaration, NodeDeclaration, OptionValue, OutputDeclaration, TopicDeclaration,
};
use super::diagnostic::{Diagnostics, Findings, suggestion};
use super::field::Fields;
use super::section::{Reader, Section};
use super::store::{self, StateDeclaration};
use super::{OnTrap, Prices, Rhythm, TierNames, checks, need, prices, retention};

/// Longest name of a topic, node, view or consumer: leaves room for `.rejected`.
pub(super) const NAME_BYTES_MAX: usize = 100;
/// Most partitions of a topic.
pub(super) const PARTITIONS_MAX: i64 = 1024;
/// Most rows for one call of a plugin.
pub(super) const CALL_ROWS_MAX: i64 = 65_536;

const COMMIT_INTERVAL_US: i64 = 1_000_000;
const STALL_AFTER_US: i64 = 15_000_000;
const AHEAD_US: i64 = 3_600_000_000;
const SEGMENT_BYTES: u64 = 64 << 20;
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
const SEGMENT_BYTES_MAX: u64 = 4 << 30;
const CALL_ROWS: usize = 4096;
const SECTIONS: [&str; 11] = [
    "topic",
    "node",
    "consumer",
    "check",
    "sink",
    "run",
    "state",
    "retention",
    "tiers",
    "prices",
    "allow",
];

/// Reads a pipeline file. `env` gives the value of an environment variable.
///
/// # Errors
/// Everything that is wrong with the text alone.
pub fn parse(
    file_name: &str,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Declaration, Diagnostics> {
    let mut reader = Reader {
        findings: Findings::default(),
        env,
    };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let message = error.message().replace('\n', ", ");
        reader.findings.error("syntax", span, message, "");
    }
    let mut declaration = Declaration {
        file: file_name.into(),
        text: text.into(),
        topics: Vec::new(),
        nodes: Vec::new(),
        consumers: Vec::new(),
        checks: Vec::new(),
        tiers: TierNames::default(),
        prices: Prices::default(),
        allowances: Vec::new(),
        commit_interval_us: COMMIT_INTERVAL_US,
        stall_after_us: STALL_AFTER_US,
        retention: BTreeMap::new(),
        left_as_appended: BTreeSet::new(),
        state: StateDeclaration::default(),
        warnings: Vec::new(),
    };
    if !reader.findings.failed() {
        root_table(root.get_ref(), &mut declaration, &mut reader);
    }
    let failed = reader.findings.failed();
    let list = reader.findings.placed(text);
    if failed {
        return Err(Diagnostics {
            file: file_name.into(),
            text: text.into(),
            list,
        });
    }
    declaration.warnings = list;
    Ok(declaration)
}

fn root_table(root: &DeTable, declaration: &mut Declaration, reader: &mut Reader) {
    declaration.tiers = need::tiers(root, reader);
    let tiers = declaration.tiers.clone();
    let mut named = BTreeMap::new();
    for (key, value) in root.iter() {
        match key.get_ref().as_ref() {
            "topic" => {
                let kept = (
                    &mut declaration.retention,
                    &mut declaration.left_as_appended,
                );
                let kept = std::cell::RefCell::new(kept);
                declaration.topics = members("topic", value, reader, |name, section, reader| {
                    let found = topic(name.clone(), section, reader);
                    let rule = retention::of_topic(section, reader);
                    let optimize = section.boolean("optimize", reader).unwrap_or(true);
                    let (rules, left_as_appended) = &mut *kept.borrow_mut();
                    if !optimize {
                        left_as_appended.insert(name.get_ref().clone());
                    }
                    if !rule.is_empty() {
                        rules.insert(name.into_inner(), rule);
                    }
                    found
                });
            }
            "retention" => named = retention::by_name(key.span(), value, reader),
            "node" => declaration.nodes = members("node", value, reader, node),
            "consumer" => {
                declaration.consumers =
                    members("consumer", value, reader, |name, section, reader| {
                        need::consumer(name, section, &tiers, reader)
                    });
            }
            "check" => declaration.checks = members("check", value, reader, checks::check),
            "state" => declaration.state = store::state(key.span(), value, reader),
            "run" => run(key.span(), value, declaration, reader),
            "tiers" => {}
            "prices" => declaration.prices = prices::prices(key.span(), value, reader),
            "allow" => declaration.allowances = need::allowances(key.span(), value, reader),
            "sink" => reader.findings.error(
                "not-in-this-version",
                key.span(),
                "sinks are not in this version",
                "remove the section; read the view with `refrain view export`",
            ),
            other => {
                let message = format!("there is no section `{other}`");
                let help = suggestion(other, "sections", SECTIONS);
                reader
                    .findings
                    .error("unknown-key", key.span(), message, help);
            }
        }
    }
    store::warn_of_unused_caches(declaration, reader);
    retention::settle(declaration, named, reader);
    if declaration.topics.is_empty() && !reader.findings.failed() {
        reader.findings.error(
            "no-topic",
            0..0,
            "the file declares no topic",
            "add a section such as [topic.events] with schema = { time = \"timestamp\", id = \"i64\" }",
        );
    }
}

/// Every `[kind.NAME]`, each read by `read`.
fn members<T>(
    kind: &'static str,
    value: &Spanned<DeValue>,
    reader: &mut Reader,
    read: impl Fn(Spanned<String>, &mut Section, &mut Reader) -> Option<T>,
) -> Vec<T> {
    let DeValue::Table(table) = value.get_ref() else {
        reader.wrong_type(
            kind,
            value.span(),
            value.get_ref(),
            &format!("a section [{kind}.NAME]"),
        );
        return Vec::new();
    };
    let mut list = Vec::new();
    for (key, value) in table.iter() {
        let name = Spanned::new(key.span(), key.get_ref().to_string());
        check_name(kind, &name, reader);
        let path = format!("[{kind}.{}]", name.get_ref());
        let Some(mut section) = Section::open(path, key.span(), value, reader) else {
            continue;
        };
        list.extend(read(name, &mut section, reader));
        section.close(reader);
    }
    list
}

/// Names become folder names, so that they are plain.
pub(super) fn check_name(what: &str, name: &Spanned<String>, reader: &mut Reader) {
    let text = name.get_ref().as_str();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let allowed = !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && text.bytes().all(plain)
        && !text.starts_with(['.', '-']);
    if !allowed {
        let message = format!("`{text}` cannot be the name of a {what}");
        let help = format!(
            "use 1 to {NAME_BYTES_MAX} letters, digits, `-`, `_` and `.`, beginning with a letter or digit"
        );
        reader
            .findings
            .error("bad-name", name.span(), message, help);
    }
    if let Some(suffix) = [".rejected", ".late"]
        .into_iter()
        .find(|s| text.ends_with(s))
    {
        let message = format!(
            "`{text}`: names that end in `{suffix}` belong to the rows that Refrain sets aside"
        );
        reader
            .findings
            .error("reserved-name", name.span(), message, "choose another name");
    }
}

fn topic(
    name: Spanned<String>,
    section: &mut Section,
    reader: &mut Reader,
) -> Option<TopicDeclaration> {
    let fields = schema(section, reader);
    let time = section.text("time", reader);
    let key = section
        .texts("key", reader)
        .map(Spanned::into_inner)
        .unwrap_or_default();
    let partitions = section.integer("partitions", 1..=PARTITIONS_MAX, reader);
    let disorder_us = section.duration_us("disorder", reader).unwrap_or(0);
    let ahead_us = section.duration_us("ahead", reader).unwrap_or(AHEAD_US);
    let idle_us = section.duration_us("idle", reader);
    let every = every(section, reader);
    let segment_bytes = segment_bytes(section, reader);
    Some(TopicDeclaration {
        name,
        schema: Schema::new(fields.list),
        units: fields.units,
        defaults: fields.defaults,
        time,
        key,
        partitions: u32::try_from(partitions.unwrap_or(1)).unwrap_or(1),
        disorder_us,
        ahead_us,
        idle_us,
        every,
        segment_bytes,
    })
}

fn schema(section: &mut Section, reader: &mut Reader) -> Fields {
    let mut fields = Fields::default();
    let table = section.table("schema", reader);
    if let Some(table) = &table {
        for (key, value) in table.entries() {
            fields.read(key, value, reader);
        }
    }
    if fields.list.is_empty() && !reader.findings.failed() {
        let message = format!("{} has no schema", section.path());
        let help = "add `schema = { time = \"timestamp\", id = \"i64\", name = \"text?\" }`";
        reader
            .findings
            .error("missing-key", section.span(), message, help);
    }
    fields
}

fn segment_bytes(section: &mut Section, reader: &mut Reader) -> u64 {
    let span = section.get("segment_bytes").map(Spanned::span);
    let bytes = section
        .size_bytes("segment_bytes", reader)
        .unwrap_or(SEGMENT_BYTES);
    if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes) {
        let message = "`segment_bytes` is from 64KiB to 4GiB";
        reader
            .findings
            .error("out-of-range", span.unwrap_or(0..0), message, "");
    }
    bytes
}

fn every(section: &mut Section, reader: &mut Reader) -> Option<Spanned<i64>> {
    let span = section.get("every")?.span();
    let us = section.duration_us("every", reader)?;
    Some(Spanned::new(span, us))
}

fn node(
    name: Spanned<String>,
    section: &mut Section,
    reader: &mut Reader,
) -> Option<NodeDeclaration> {
    let plugin = section.required("plugin", "plugin = \"NAME\"", reader);
    let (inputs, roles) = inputs(section, reader);
    let partitions = node_partitions(section, reader);
    let (key, key_by_role) = super::process::keys(section, reader);
    let timer_step = super::process::timer_step(section, reader);
    let window = super::window::window(section, reader);
    let rhythm_place = section.get("rhythm").map(Spanned::span);
    let rhythm = rhythm(section, reader);
    let due_us = section.duration_us("due", reader);
    let keep_span = section.get("keep").map(Spanned::span);
    let keep_us = section.duration_us("keep", reader);
    let keep = keep_span.zip(keep_us);
    let output = output(section, reader);
    let options = options(section, reader);
    let on_trap = on_trap(section, reader);
    let limits = limits(section, reader);
    let call_rows = section.integer("call_rows", 1..=CALL_ROWS_MAX, reader);
    let canonical_nans = section.boolean("canonical_nans", reader).unwrap_or(true);
    let grants = super::grants::grants(section, reader);
    let cache_span = section.get("cache").map(Spanned::span);
    let cache_bytes = section.size_bytes("cache", reader);
    let cache_bytes = cache_span.zip(cache_bytes);
    Some(NodeDeclaration {
        name,
        plugin: plugin?,
        inputs: inputs?,
        roles,
        partitions,
        key,
        key_by_role,
        timer_step,
        window,
        keep: keep.map(|(span, us)| Spanned::new(span, us)),
        rhythm,
        rhythm_place,
        due_us,
        output: output?,
        options,
        on_trap,
        limits,
        call_rows: call_rows
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(CALL_ROWS),
        canonical_nans,
        grants,
        cache_bytes: cache_bytes.map(|(span, bytes)| Spanned::new(span, bytes)),
    })
}

type Topics = Spanned<Vec<Spanned<String>>>;

/// `input = "t"`, `input = ["a", "b"]` or `input = { left = "a", right = "b" }`.
fn inputs(
    section: &mut Section,
    reader: &mut Reader,
) -> (Option<Topics>, Option<Vec<Spanned<String>>>) {
    match section.get("input").map(Spanned::get_ref) {
        Some(DeValue::Table(_)) => super::process::inputs_by_role(section, reader).unzip(),
        _ => (input_list(section, reader), None),
    }
}

fn input_list(section: &mut Section, reader: &mut Reader) -> Option<Topics> {
    let list = match section.get("input").map(Spanned::get_ref) {
        Some(DeValue::Array(_)) => section.texts("input", reader)?,
        _ => {
            let one = section.required("input", "input = \"TOPIC\"", reader)?;
            Spanned::new(one.span(), vec![one])
        }
    };
    if list.get_ref().is_empty() {
        let help = "name at least one topic: input = \"TOPIC\"";
        reader
            .findings
            .error("missing-key", list.span(), "a node reads something", help);
        return None;
    }
    for (i, input) in list.get_ref().iter().enumerate() {
        if list.get_ref()[..i]
            .iter()
            .any(|other| other.get_ref() == input.get_ref())
        {
            let message = format!("`{}` is an input twice", input.get_ref());
            reader
                .findings
                .error("duplicate-input", input.span(), message, "name it once");
        }
    }
    Some(list)
}

fn node_partitions(section: &mut Section, reader: &mut Reader) -> Option<Spanned<u32>> {
    let span = section.get("partitions")?.span();
    let partitions = section.integer("partitions", 1..=PARTITIONS_MAX, reader)?;
    Some(Spanned::new(span, u32::try_from(partitions).ok()?))
}

fn rhythm(section: &mut Section, reader: &mut Reader) -> Option<Spanned<Rhythm>> {
    let text = section.text("rhythm", reader)?;
    if text.get_ref().trim() == "auto" {
        return None;
    }
    match Rhythm::parse(text.get_ref()) {
        Ok(rhythm) => Some(Spanned::new(text.span(), rhythm)),
        Err(error) => {
            reader
                .findings
                .error("bad-rhythm", text.span(), error.message, error.help);
            None
        }
    }
}

fn output(section: &mut Section, reader: &mut Reader) -> Option<OutputDeclaration> {
    let failed = section.get("view").is_some() || section.get("topic").is_some();
    let view = section.text("view", reader);
    let topic = section.text("topic", reader);
    match (view, topic) {
        (Some(view), None) => {
            check_name("view", &view, reader);
            Some(OutputDeclaration::View(view))
        }
        (None, Some(topic)) => {
            check_name("topic", &topic, reader);
            Some(OutputDeclaration::Topic(topic))
        }
        (Some(_), Some(topic)) => {
            let message = format!("{} has both a `view` and a `topic`", section.path());
            let help = "keep one: totals and tables go to a view, facts for other nodes to a topic";
            reader
                .findings
                .error("two-outputs", topic.span(), message, help);
            None
        }
        (None, None) if failed => None,
        (None, None) => {
            let message = format!("{} has no output", section.path());
            let help = "add `view = \"NAME\"` (a keyed table for readers) or `topic = \"NAME\"` (rows for other nodes)";
            reader
                .findings
                .error("missing-key", section.span(), message, help);
            None
        }
    }
}

fn options(
    section: &mut Section,
    reader: &mut Reader,
) -> Vec<(Spanned<String>, Spanned<OptionValue>)> {
    let Some(table) = section.table("options", reader) else {
        return Vec::new();
    };
    let mut options = Vec::new();
    for (key, value) in table.entries() {
        let name = Spanned::new(key.span(), key.get_ref().to_string());
        if let Some(option) = option_value(name.get_ref(), value, reader) {
            options.push((name, Spanned::new(value.span(), option)));
        }
    }
    options
}

fn option_value(name: &str, value: &Spanned<DeValue>, reader: &mut Reader) -> Option<OptionValue> {
    Some(match value.get_ref() {
        DeValue::String(_) => OptionValue::Text(reader.text(name, value)?.into_inner()),
        DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
            Ok(n) => OptionValue::Integer(n),
            Err(_) => return out_of_range(name, value.span(), reader),
        },
        DeValue::Float(x) => match x.as_str().parse() {
            Ok(x) => OptionValue::Float(x),
            Err(_) => return out_of_range(name, value.span(), reader),
        },
        DeValue::Boolean(b) => OptionValue::Bool(*b),
        DeValue::Datetime(time) => OptionValue::Time(time.to_string()),
        other => {
            reader.wrong_type(name, value.span(), other, "a single value");
            return None;
        }
    })
}

fn out_of_range(name: &str, span: Range<usize>, reader: &mut Reader) -> Option<OptionValue> {
    let message = format!("`{name}` is out of the range of 64 bits");
    reader.findings.error("out-of-range", span, message, "");
    None
}

fn on_trap(section: &mut Section, reader: &mut Reader) -> OnTrap {
    let Some(text) = section.text("on_trap", reader) else {
        return OnTrap::DeadLetter;
    };
    match text.get_ref().as_str() {
        "dead-letter" => OnTrap::DeadLetter,
        "fail" => OnTrap::Fail,
        other => {
            let message = format!("`on_trap` cannot be `{other}`");
            let help = "write \"dead-letter\" (the row goes to <node>.rejected) or \"fail\" (the node stops)";
            reader
                .findings
                .error("bad-value", text.span(), message, help);
            OnTrap::DeadLetter
        }
    }
}

fn limits(section: &mut Section, reader: &mut Reader) -> Limits {
    let mut limits = Limits::default();
    let Some(mut table) = section.table("limits", reader) else {
        return limits;
    };
    if let Some(bytes) = table.size_bytes("memory", reader) {
        limits.memory_bytes_max = bytes;
    }
    if let Some(us) = table.duration_us("call", reader) {
        limits.call_ms_max = u64::try_from(us / 1000).unwrap_or(0).max(1);
    }
    if let Some(bytes) = table.size_bytes("answer", reader) {
        limits.answer_bytes_max = bytes;
    }
    table.close(reader);
    limits
}

fn run(
    span: Range<usize>,
    value: &Spanned<DeValue>,
    declaration: &mut Declaration,
    reader: &mut Reader,
) {
    let Some(mut section) = Section::open("[run]".into(), span, value, reader) else {
        return;
    };
    if let Some(us) = section.duration_us("commit_interval", reader) {
        declaration.commit_interval_us = us.max(1_000);
    }
    if let Some(us) = section.duration_us("stall_after", reader) {
        declaration.stall_after_us = us;
    }
    section.close(reader);
}

/// Whether a field of this kind can be a key.
pub(super) fn can_be_key(kind: Kind) -> bool {
    kind != Kind::F64
}
