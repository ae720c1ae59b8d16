//! What a plugin says of itself, checked.

use refrain_log::schema::{Field, Kind};
use serde::{Deserialize, Serialize};

use crate::wire;

/// Which interface the component exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginKind {
    /// Exports `transform`.
    Transform,
    /// Exports `fold`.
    Fold,
    /// Exports `process`.
    Process,
}

impl PluginKind {
    /// The kind in a word.
    pub fn name(self) -> &'static str {
        match self {
            PluginKind::Transform => "transform",
            PluginKind::Fold => "fold",
            PluginKind::Process => "process",
        }
    }

    /// Whether it keeps a state for each key.
    pub fn keeps_state(self) -> bool {
        self != PluginKind::Transform
    }
}

/// One input of a process plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredInput {
    /// The name that a pipeline file gives a topic by.
    pub name: String,
    /// For people.
    pub doc: String,
    /// Fields it reads of it.
    pub fields: Vec<Field>,
}

/// What a process plugin declares beside its description: input names are unique, fields of the view's key are outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// At least one.
    pub inputs: Vec<DeclaredInput>,
    /// Outputs that make, behind the node's key, the key of a row of a view.
    pub view_key: Vec<String>,
    /// Whether times, the watermark and timers matter.
    pub timed: bool,
}

/// One option that the plugin takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name in the pipeline file.
    pub name: String,
    /// Type of its value.
    pub kind: Kind,
    /// Its value when the pipeline file gives none; none: it must be given.
    pub default: Option<String>,
    /// For people.
    pub doc: String,
}

/// The plugin's description: names are unique, kinds are known, defaults parse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// For people.
    pub doc: String,
    /// By its exports.
    pub kind: PluginKind,
    /// Fields it reads. Of a process plugin none: see `process`.
    pub inputs: Vec<Field>,
    /// Fields it writes.
    pub outputs: Vec<Field>,
    /// Whether `evaluate` wants keys.
    pub wants_keys: bool,
    /// Fold only: whether two states can be joined, as session windows need. By its exports.
    pub merges: bool,
    /// Fold only: whether states of an older version can be taken over. By its exports.
    #[serde(default)]
    pub migrates: bool,
    /// Version of its saved states.
    pub state_version: u32,
    /// Options it takes.
    pub settings: Vec<Setting>,
    /// Process only: its inputs, and how it goes about time and views.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Declared>,
}

impl Setting {
    /// Whether `text` is a value of this setting; if not, a sentence that says what is wanted.
    pub fn check(&self, text: &str) -> Result<(), String> {
        if parses(self.kind, text) {
            return Ok(());
        }
        Err(format!(
            "option `{}`: `{text}` is not of type {} ({})",
            self.name,
            self.kind.name(),
            form(self.kind)
        ))
    }
}

impl About {
    /// Checks what the plugin answered. The error is a sentence for the plugin's author.
    pub(crate) fn check(said: wire::Description, kind: PluginKind) -> Result<Self, String> {
        if said.name.trim().is_empty() {
            return Err("its name is empty: give it one".into());
        }
        let settings = said
            .settings
            .into_iter()
            .map(setting)
            .collect::<Result<Vec<_>, _>>()?;
        unique("option", settings.iter().map(|s| s.name.as_str()))?;
        Ok(Self {
            name: said.name,
            version: said.version,
            doc: said.doc,
            kind,
            inputs: fields("input", said.inputs)?,
            outputs: fields("output", said.outputs)?,
            wants_keys: said.wants_keys && kind == PluginKind::Fold,
            merges: false,
            migrates: false,
            state_version: said.state_version,
            settings,
            process: None,
        })
    }

    /// The same of a process plugin, with what it declared.
    pub(crate) fn check_process(
        said: wire::Description,
        declaration: wire::Declaration,
    ) -> Result<Self, String> {
        if !said.inputs.is_empty() || said.wants_keys {
            return Err("a process plugin says what it reads by `declare`: leave `inputs` of its description empty, and \
                 `wants-keys` false"
                .into());
        }
        let about = Self::check(said, PluginKind::Process)?;
        let declared = declared(declaration, &about.outputs)?;
        Ok(Self {
            process: Some(declared),
            ..about
        })
    }

    /// What a process plugin declared; none for other kinds.
    pub fn declared_inputs(&self) -> &[DeclaredInput] {
        self.process.as_ref().map_or(&[], |d| &d.inputs)
    }

    /// The fields that it reads of the input of that number.
    pub fn reads(&self, input: usize) -> &[Field] {
        match &self.process {
            Some(declared) => &declared.inputs[input].fields,
            None => &self.inputs,
        }
    }

    /// Places of the outputs in the order of the results: in a view the fields of a row's key come first.
    pub fn output_order(&self, to_view: bool) -> Vec<usize> {
        let view_key = self.process.iter().filter(|_| to_view);
        let view_key: Vec<&String> = view_key.flat_map(|d| &d.view_key).collect();
        let place = |name: &&String| self.outputs.iter().position(|f| f.name == **name);
        let first: Vec<usize> = view_key.iter().filter_map(place).collect();
        let rest = (0..self.outputs.len()).filter(|place| !first.contains(place));
        first.iter().copied().chain(rest).collect()
    }

    /// Whether it is a process plugin for which times matter.
    pub fn timed(&self) -> bool {
        self.process.as_ref().is_some_and(|d| d.timed)
    }
}

fn declared(said: wire::Declaration, outputs: &[Field]) -> Result<Declared, String> {
    if said.inputs.is_empty() {
        return Err("it declares no input: declare one at least".into());
    }
    unique("input", said.inputs.iter().map(|i| i.name.as_str()))?;
    let inputs = said.inputs.into_iter().map(|input| {
        if input.name.trim().is_empty() {
            return Err("an input has an empty name: give it one".to_owned());
        }
        let of_input = |why| format!("input `{}`: {why}", input.name);
        Ok(DeclaredInput {
            fields: fields("input", input.fields).map_err(of_input)?,
            name: input.name,
            doc: input.doc,
        })
    });
    let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
    unique(
        "field of the view's key",
        said.view_key.iter().map(String::as_str),
    )?;
    for name in &said.view_key {
        view_key_field(name, outputs)?;
    }
    Ok(Declared {
        inputs,
        view_key: said.view_key,
        timed: said.timed,
    })
}

fn view_key_field(name: &str, outputs: &[Field]) -> Result<(), String> {
    let field = outputs.iter().find(|f| f.name == name).ok_or_else(|| {
        format!("its view's key has the field `{name}`, which is no output: name outputs only")
    })?;
    match field.kind {
        Kind::F64 => Err(format!(
            "its view's key has the field `{name}`, which is f64: equal numbers may differ in their last bit, use i64 or text"
        )),
        _ => Ok(()),
    }
}

fn fields(role: &str, said: Vec<wire::Field>) -> Result<Vec<Field>, String> {
    let fields = said
        .into_iter()
        .map(|f| {
            let kind = kind_of(&format!("{role} field"), &f.name, &f.kind)?;
            Ok(Field {
                name: f.name,
                kind,
                nullable: f.nullable,
            })
        })
        .collect::<Result<Vec<_>, String>>()?;
    unique(
        &format!("{role} field"),
        fields.iter().map(|f| f.name.as_str()),
    )?;
    Ok(fields)
}

fn setting(said: wire::Setting) -> Result<Setting, String> {
    let setting = Setting {
        kind: kind_of("option", &said.name, &said.kind)?,
        name: said.name,
        default: said.default,
        doc: said.doc,
    };
    if let Some(default) = &setting.default {
        setting
            .check(default)
            .map_err(|why| format!("the default of {why}"))?;
    }
    Ok(setting)
}

fn kind_of(role: &str, name: &str, kind: &str) -> Result<Kind, String> {
    if name.trim().is_empty() {
        return Err(format!("an {role} has an empty name: give it one"));
    }
    Kind::from_name(kind).ok_or_else(|| {
        let nearest = Kind::ALL
            .into_iter()
            .max_by(|a, b| likeness(a.name(), kind).total_cmp(&likeness(b.name(), kind)))
            .map_or("text", Kind::name);
        let all = Kind::ALL.map(Kind::name).join(", ");
        format!(
            "{role} `{name}` has the unknown type `{kind}`: did you mean `{nearest}`? There are {all}"
        )
    })
}

fn likeness(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, &b.to_lowercase())
}

fn unique<'a>(role: &str, names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!(
                "two {role}s are named `{name}`: rename one of them"
            ));
        }
    }
    Ok(())
}

fn parses(kind: Kind, text: &str) -> bool {
    match kind {
        Kind::Bool => text.parse::<bool>().is_ok(),
        Kind::I64 => text.parse::<i64>().is_ok(),
        Kind::F64 => text.parse::<f64>().is_ok(),
        Kind::Text | Kind::Bytes => true,
        Kind::Timestamp => text.parse::<i64>().is_ok() || text.parse::<jiff::Timestamp>().is_ok(),
    }
}

fn form(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true or false",
        Kind::I64 => "a whole number of 64 bits",
        Kind::F64 => "a number",
        Kind::Text | Kind::Bytes => "any text",
        Kind::Timestamp => "like 2026-01-31T12:00:00Z, or microseconds since 1970",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, kind: &str) -> wire::Field {
        wire::Field {
            name: name.into(),
            kind: kind.into(),
            nullable: false,
        }
    }

    fn said() -> wire::Description {
        wire::Description {
            name: "sums".into(),
            version: "1".into(),
            doc: String::new(),
            inputs: vec![field("n", "i64")],
            outputs: vec![field("total", "i64")],
            wants_keys: false,
            state_version: 1,
            settings: vec![],
        }
    }

    fn with_setting(name: &str, kind: &str, default: Option<&str>) -> wire::Description {
        let mut said = said();
        said.settings.push(wire::Setting {
            name: name.into(),
            kind: kind.into(),
            default: default.map(Into::into),
            doc: String::new(),
        });
        said
    }

    fn refusal(said: wire::Description) -> String {
        About::check(said, PluginKind::Fold).unwrap_err()
    }

    #[test]
    fn a_good_description_passes() {
        let about = About::check(said(), PluginKind::Fold).unwrap();
        assert_eq!(about.inputs, [Field::new("n", Kind::I64)]);
    }

    fn declaration(names: &[&str], view_key: &[&str]) -> wire::Declaration {
        let input = |name: &&str| wire::DeclaredInput {
            name: (*name).into(),
            doc: String::new(),
            fields: vec![field("n", "i64")],
        };
        wire::Declaration {
            inputs: names.iter().map(input).collect(),
            view_key: view_key.iter().map(|name| (*name).into()).collect(),
            timed: true,
        }
    }

    #[test]
    fn a_declaration_names_inputs_once_and_keys_views_by_outputs() {
        let bare = || wire::Description {
            inputs: Vec::new(),
            ..said()
        };
        let check = |names: &[&str], key: &[&str]| {
            About::check_process(bare(), declaration(names, key)).map(|about| about.process)
        };
        let good = check(&["left", "right"], &["total"]).unwrap().unwrap();
        assert_eq!(good.inputs[1].fields, [Field::new("n", Kind::I64)]);
        let why = |names: &[&str], key: &[&str]| check(names, key).unwrap_err();
        assert_eq!(why(&[], &[]), "it declares no input: declare one at least");
        assert_eq!(
            why(&["left", "left"], &[]),
            "two inputs are named `left`: rename one of them"
        );
        assert!(why(&["left", ""], &[]).contains("empty name"));
        assert!(why(&["left"], &["n"]).contains("the field `n`, which is no output"));
        let mut float = bare();
        float.outputs = vec![field("x", "f64")];
        let why = About::check_process(float, declaration(&["left"], &["x"])).unwrap_err();
        assert!(why.contains("`x`, which is f64"), "{why}");
        let why = About::check_process(said(), declaration(&["left"], &[])).unwrap_err();
        assert!(why.contains("by `declare`"), "{why}");
    }

    #[test]
    fn an_unknown_type_is_answered_with_the_nearest() {
        let mut said = said();
        said.inputs.push(field("at", "timestmp"));
        assert_eq!(
            refusal(said),
            "input field `at` has the unknown type `timestmp`: did you mean `timestamp`? \
             There are bool, i64, f64, text, bytes, timestamp"
        );
    }

    #[test]
    fn names_are_unique_and_not_empty() {
        let mut twice = said();
        twice.outputs.push(field("total", "f64"));
        assert_eq!(
            refusal(twice),
            "two output fields are named `total`: rename one of them"
        );
        let mut empty = said();
        empty.inputs.push(field("", "i64"));
        assert_eq!(
            refusal(empty),
            "an input field has an empty name: give it one"
        );
        let mut nameless = said();
        nameless.name = " ".into();
        assert_eq!(refusal(nameless), "its name is empty: give it one");
    }

    #[test]
    fn defaults_must_parse() {
        for (kind, good, bad) in [
            ("bool", "true", "yes"),
            ("i64", "-3", "3.5"),
            ("f64", "1e-3", "much"),
            ("timestamp", "2001-01-31T00:00:00Z", "yesterday"),
        ] {
            About::check(with_setting("x", kind, Some(good)), PluginKind::Fold).unwrap();
            let why = refusal(with_setting("x", kind, Some(bad)));
            assert!(
                why.starts_with(&format!(
                    "the default of option `x`: `{bad}` is not of type {kind}"
                )),
                "{why}"
            );
        }
    }
}
