//! What a plugin says of itself, checked.

use refrain_log::schema::{Field, Kind};
use serde::Serialize;

/// Which interface the component exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginKind {
    /// Exports `transform`.
    Transform,
    /// Exports `fold`.
    Fold,
}

/// One option that the plugin takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    /// Version of its saved states.
    pub state_version: u32,
    /// Options it takes.
    pub settings: Vec<Setting>,
}
