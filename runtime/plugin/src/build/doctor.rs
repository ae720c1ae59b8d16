//! Which toolchains this machine has, asked without changing anything.

use std::path::Path;

use serde::Serialize;

use super::{Language, toolchain, tools};

/// What can be said of one language.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Its name, as it is typed.
    pub language: &'static str,
    /// Whether a plugin can be built now, without network.
    pub ready: bool,
    /// Whether the first build can fetch what is missing.
    pub fetches: bool,
    /// What is there, or what will be fetched.
    pub toolchain: String,
    /// What to install; nothing when a plugin can be built.
    pub install: Option<String>,
}

/// Looks at the toolchain of each language.
pub fn examine(cache: &Path) -> Vec<Check> {
    Language::ALL
        .into_iter()
        .map(|language| match language {
            Language::Rust => rust(cache),
            other => from_registry(other, cache),
        })
        .collect()
}

fn rust(cache: &Path) -> Check {
    let here = std::env::current_dir().unwrap_or_else(|_| cache.to_path_buf());
    let found = toolchain::look(&here, cache);
    Check {
        language: Language::Rust.name(),
        ready: found.is_ok(),
        fetches: false,
        toolchain: found.clone().unwrap_or_else(|why| why),
        install: found.is_err().then(|| toolchain::ADVICE.to_string()),
    }
}

fn from_registry(language: Language, cache: &Path) -> Check {
    let wanted = tools::of(language);
    let names = wanted
        .iter()
        .map(|tool| format!("{} {}", tool.package, tool.version));
    let is_missing = wanted.iter().any(|tool| tool.found(cache).is_none());
    // What can neither be run nor fetched.
    let stuck = wanted.iter().find(|tool| {
        let is_fetched = tool.found(cache).is_some();
        !tool.runs_here() || (!is_fetched && tool.registry.version().is_none())
    });
    let state = match (is_missing, stuck.is_none()) {
        (false, true) => "",
        (true, true) => ", to be fetched by the first build",
        (true, false) => ", not there",
        (false, false) => ", without what runs it",
    };
    Check {
        language: language.name(),
        ready: !is_missing && stuck.is_none(),
        fetches: is_missing && stuck.is_none(),
        toolchain: format!("{}{state}", names.collect::<Vec<_>>().join(", ")),
        install: stuck.map(|tool| tool.registry.advice().to_string()),
    }
}
