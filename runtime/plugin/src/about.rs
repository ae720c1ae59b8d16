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
    /// Fields it reads.
    pub inputs: Vec<Field>,
    /// Fields it writes.
    pub outputs: Vec<Field>,
    /// Whether `evaluate` wants keys.
    pub wants_keys: bool,
    /// Fold only: whether two states can be joined, as session windows need. By its exports.
    pub merges: bool,
    /// Version of its saved states.
    pub state_version: u32,
    /// Options it takes.
    pub settings: Vec<Setting>,
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
            state_version: said.state_version,
            settings,
        })
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
