//! The fuel of a node's plugin at a stated size of calls: a figure of its work that is the same on every machine and at
//! every load. Found by a trial in memory over rows of the log, or over made-up rows where there is no pipeline; what is
//! live is neither read nor touched, and what comes out is what comes out without counting.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use refrain_log::ids::{Sequence, Timestamp};
use refrain_log::schema::{Field, Kind, Schema};
use refrain_plugin::conformance::{options_of, ordinary};
use refrain_plugin::fuel::Burnt;
use refrain_plugin::{About, Digest, Grants, PluginKind};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::host::Project;
use crate::loader::Loader;
use crate::pipeline::{self, Declaration};
use crate::trial::{Excerpt, Outcome, Piece, Trial, needed};

/// Different keys among made-up rows.
const KEYS: usize = 1000;
/// Time between two made-up rows, in microseconds.
const ROW_US: i64 = 10_000;
/// Time of the first, in microseconds.
const FIRST_US: i64 = 1_700_000_000_000_000;
/// Name of the node and of the plugin where there is no pipeline.
const ALONE: &str = "fuel";
/// Fields of made-up rows beside those that the plugin wants.
const KEY: &str = "fuel_key";
const TIME: &str = "fuel_at";

/// What a plugin used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fuel {
    /// The node, or the plugin where there is no node.
    pub of: String,
    /// BLAKE3 of the component.
    pub component: String,
    /// Rows a call.
    pub call_rows: usize,
    /// Rows that it took.
    pub rows: u64,
    /// What each export used, by its name.
    pub exports: BTreeMap<&'static str, Used>,
    /// All of it.
    pub fuel: u64,
    /// All of it by row, in thousandths.
    pub fuel_per_row_milli: u64,
    /// Digest of the view that came out, where it keeps one: that of the same rows without counting.
    pub digest: Option<String>,
}

/// What one export used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Used {
    /// Calls.
    pub calls: u64,
    /// Fuel.
    pub fuel: u64,
    /// Fuel by row that the plugin took, in thousandths.
    pub fuel_per_row_milli: u64,
}

/// The fuel of a node over rows of the log, in calls of so many rows.
///
/// # Errors
/// What the pipeline file or a component is refused for, and what stopped a node.
pub fn of_node(
    project: &Project,
    declaration: &Declaration,
    node: &str,
    rows: &Excerpt,
    call_rows: usize,
    cache: Option<PathBuf>,
) -> Result<Fuel> {
    let mut declaration = declaration.clone();
    let nodes = needed(&declaration, &[node.to_owned()])?;
    let mut components = BTreeMap::new();
    for declared in &mut declaration.nodes {
        let name = declared.plugin.get_ref();
        components.insert(name.clone(), project.read_component(name)?);
        if declared.name.get_ref() == node {
            declared.call_rows = call_rows;
        }
    }
    let trial = Trial {
        project,
        declaration: &declaration,
        components,
        nodes,
        cache,
    };
    let (outcome, burnt) = trial.run_counting(&rows.packed(call_rows)?, node)?;
    let plugin = declaration.nodes.iter().find(|n| n.name.get_ref() == node);
    let plugin = plugin.map(|n| n.plugin.get_ref());
    let component = plugin.and_then(|name| trial.components.get(name));
    let component = component.expect("a node that ran has a component");
    told(node, component, call_rows, (&outcome, node), &burnt)
}

/// The fuel of a component over `rows` made-up rows, the same for the same seed, in calls of so many.
///
/// # Errors
/// What the component is refused for, and what stopped it.
pub fn of_component(
    name: &str,
    bytes: &[u8],
    options: &[(String, String)],
    (rows, seed): (usize, u64),
    call_rows: usize,
    cache: Option<PathBuf>,
) -> Result<Fuel> {
    let plugin = Loader::new(cache.clone()).load(name, bytes, true, &Grants::all())?;
    let about = plugin.about();
    let refused = |what: String| Error::Refused(format!("{name}: {what}"));
    let options = options_of(about, options).map_err(refused)?;
    let text = file(about, &options, !plugin.imports().is_empty(), call_rows);
    let declaration = pipeline::parse("made up", &text, &|_| None).map_err(Error::Pipeline)?;
    let project = Project::new(Path::new("made-up"));
    let trial = Trial {
        project: &project,
        declaration: &declaration,
        components: BTreeMap::from([(ALONE.to_owned(), bytes.to_vec())]),
        nodes: vec![ALONE.to_owned()],
        cache,
    };
    let excerpt = made_up(about, rows, seed)?;
    let (outcome, burnt) = trial.run_counting(&excerpt.packed(call_rows)?, ALONE)?;
    told(name, bytes, call_rows, (&outcome, ALONE), &burnt)
}

fn told(
    of: &str,
    component: &[u8],
    call_rows: usize,
    (outcome, node): (&Outcome, &str),
    burnt: &BTreeMap<&'static str, Burnt>,
) -> Result<Fuel> {
    if let Some((node, why)) = outcome.stopped.first() {
        return Err(Error::Refused(format!("node {node} stopped: {why}")));
    }
    let made = outcome.made.iter().find(|made| made.node == node);
    let rows = made.and_then(|made| made.counts.get("rows").copied());
    let rows = rows.unwrap_or(0);
    let per_row = |fuel: u64| {
        let milli = u128::from(fuel) * 1000 / u128::from(rows.max(1));
        u64::try_from(milli).unwrap_or(u64::MAX)
    };
    let used = |burnt: &Burnt| Used {
        calls: burnt.calls,
        fuel: burnt.fuel,
        fuel_per_row_milli: per_row(burnt.fuel),
    };
    let fuel = burnt.values().map(|burnt| burnt.fuel).sum();
    Ok(Fuel {
        of: of.to_owned(),
        component: Digest::of(component).to_string(),
        call_rows,
        rows,
        exports: burnt
            .iter()
            .map(|(name, burnt)| (*name, used(burnt)))
            .collect(),
        fuel,
        fuel_per_row_milli: per_row(fuel),
        digest: made
            .and_then(|made| made.digest)
            .map(|digest| format!("{digest:032x}")),
    })
}

/// The inputs of a plugin, with their fields: of a process plugin those that it names.
fn inputs(about: &About) -> Vec<(String, Vec<Field>)> {
    match &about.process {
        Some(process) => {
            let inputs = process.inputs.iter();
            inputs.map(|i| (i.name.clone(), i.fields.clone())).collect()
        }
        None => vec![("rows".to_owned(), about.inputs.clone())],
    }
}

/// A pipeline file with nothing but the plugin.
fn file(about: &About, options: &[(String, String)], imports: bool, call_rows: usize) -> String {
    let inputs = inputs(about);
    let mut text = String::new();
    for (name, fields) in &inputs {
        let field = |f: &Field| {
            let null = if f.nullable { "?" } else { "" };
            format!("{} = \"{}{null}\"", quoted(&f.name), f.kind.name())
        };
        let fields: Vec<String> = fields.iter().map(field).collect();
        text.push_str(&format!(
            "[topic.{}]\nschema = {{ {}, {KEY} = \"i64\", {TIME} = \"timestamp\" }}\ntime = \"{TIME}\"\nkey = [\"{KEY}\"]\n",
            quoted(name),
            fields.join(", ")
        ));
    }
    let names: Vec<String> = inputs.iter().map(|(name, _)| quoted(name)).collect();
    let (input, output) = match about.kind {
        PluginKind::Process => {
            let pairs: Vec<String> = names
                .iter()
                .map(|name| format!("{name} = {name}"))
                .collect();
            (format!("{{ {} }}", pairs.join(", ")), "view")
        }
        PluginKind::Fold => (names.concat(), "view"),
        PluginKind::Transform => (names.concat(), "topic"),
    };
    text.push_str(&format!(
        "[node.{ALONE}]\nplugin = \"{ALONE}\"\ninput = {input}\n{output} = \"out\"\ncall_rows = {call_rows}\n"
    ));
    if about.kind.keeps_state() {
        text.push_str(&format!("key = [\"{KEY}\"]\n"));
    }
    if imports {
        text.push_str("grants = [\"wasi\", \"logging\"]\n");
    }
    let setting = |(name, value): &(String, String)| {
        let kind = about
            .settings
            .iter()
            .find(|s| s.name == *name)
            .map(|s| s.kind);
        let bare = matches!(kind, Some(Kind::I64 | Kind::F64 | Kind::Bool));
        let value = if bare { value.clone() } else { quoted(value) };
        format!("{} = {value}", quoted(name))
    };
    let options: Vec<String> = options.iter().map(setting).collect();
    if !options.is_empty() {
        text.push_str(&format!("options = {{ {} }}\n", options.join(", ")));
    }
    text
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Made-up rows for each input.
fn made_up(about: &About, count: usize, seed: u64) -> Result<Excerpt> {
    let inputs = inputs(about);
    let pieces = inputs
        .into_iter()
        .zip(0_u64..)
        .map(|((topic, fields), place)| {
            let mut columns = ordinary(&fields, count, seed.wrapping_add(place));
            let number = |i: usize| i64::try_from(i).unwrap_or(i64::MAX);
            // Neighbours have different keys, and each key comes again and again.
            let key = |i: usize| number(i.wrapping_mul(7919) % KEYS);
            let keys: ArrayRef = Arc::new(Int64Array::from_iter_values((0..count).map(key)));
            let time = |i: usize| FIRST_US + number(i) * ROW_US;
            let times = TimestampMicrosecondArray::from_iter_values((0..count).map(time));
            columns.push(keys);
            columns.push(Arc::new(times.with_data_type(Kind::Timestamp.arrow())));
            let mut fields = fields;
            fields.push(Field::new(KEY, Kind::I64));
            fields.push(Field::new(TIME, Kind::Timestamp));
            let rows = RecordBatch::try_new(Schema::new(fields).arrow(), columns);
            Ok(Piece {
                topic,
                partition: 0,
                sequence: Sequence(place + 1),
                appended: Timestamp(time(count)),
                rows: rows.map_err(|e| Error::Refused(e.to_string()))?,
            })
        });
    Ok(Excerpt::new(pieces.collect::<Result<_>>()?))
}
