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
    let missing: Vec<_> = wanted
        .iter()
        .filter(|tool| tool.found(cache).is_none())
        .collect();
    let without: Vec<_> = missing
        .iter()
        .filter(|tool| tool.registry.version().is_none())
        .collect();
    let state = match (missing.is_empty(), without.is_empty()) {
        (true, _) => "",
        (false, true) => ", to be fetched by the first build",
        (false, false) => ", not there",
    };
    Check {
        language: language.name(),
        ready: missing.is_empty(),
        fetches: !missing.is_empty() && without.is_empty(),
        toolchain: format!("{}{state}", names.collect::<Vec<_>>().join(", ")),
        install: without
            .first()
            .map(|tool| tool.registry.advice().to_string()),
    }
}
