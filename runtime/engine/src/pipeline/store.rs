//! Where states are kept, as a pipeline file says it: `[state]`. It changes what a run needs, never what it comes to.

use std::ops::Range;

use serde_spanned::Spanned;
use toml::de::DeValue;

use super::declaration::Declaration;
use super::diagnostic::suggestion;
use super::section::{Reader, Section};
use super::units::size_text;

const CACHE_BYTES: u64 = 256 << 20;
const CACHE_BYTES_MIN: u64 = 1 << 20;
/// Of one node's open states.
const NODE_CACHE_BYTES: u64 = 256 << 20;
const STORES: [&str; 2] = ["memory", "disk"];

/// `[state]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateDeclaration {
    /// States are kept on the disk, and need not fit into memory. Default: in memory.
    pub on_disk: bool,
    /// Bytes of the disk store's cache. Default 256 MiB, at least 1 MiB.
    pub cache_bytes: u64,
}

impl Default for StateDeclaration {
    fn default() -> Self {
        StateDeclaration {
            on_disk: false,
            cache_bytes: CACHE_BYTES,
        }
    }
}

impl std::fmt::Display for StateDeclaration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.on_disk {
            false => write!(f, "in memory"),
            true => write!(f, "on the disk, cache {}", size_text(self.cache_bytes)),
        }
    }
}

/// Bytes of a node's open states that stay in memory, where the file says nothing.
pub(super) fn node_cache_bytes() -> u64 {
    NODE_CACHE_BYTES
}

/// Reads `[state]`.
pub(super) fn state(
    span: Range<usize>,
    value: &Spanned<DeValue>,
    reader: &mut Reader,
) -> StateDeclaration {
    let mut state = StateDeclaration::default();
    let Some(mut section) = Section::open("[state]".into(), span, value, reader) else {
        return state;
    };
    if let Some(store) = section.text("store", reader) {
        state.on_disk = store.get_ref() == "disk";
        if !STORES.contains(&store.get_ref().as_str()) {
            let message = format!("there is no store `{}`", store.get_ref());
            let help = suggestion(store.get_ref(), "stores", STORES);
            reader
                .findings
                .error("unknown-store", store.span(), message, help);
        }
    }
    if let Some(bytes) = section.size_bytes("cache", reader) {
        state.cache_bytes = bytes.max(CACHE_BYTES_MIN);
    }
    section.close(reader);
    state
}

/// A node's cache is for states on the disk.
pub(super) fn warn_of_unused_caches(declaration: &Declaration, reader: &mut Reader) {
    if declaration.state.on_disk {
        return;
    }
    for node in &declaration.nodes {
        if let Some(cache) = &node.cache_bytes {
            let message = format!(
                "`cache` of node `{}` has no effect: all states are in memory",
                node.name.get_ref()
            );
            let help = "add [state] with store = \"disk\", or remove it";
            reader
                .findings
                .warning("unused-cache", cache.span(), message, help);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const TOPIC: &str = "[topic.t]\nschema = { a = \"i64\" }\n";

    #[test]
    fn a_store_is_chosen_by_name_and_misspelt_ones_are_errors() {
        let read = |text: &str| parse("refrain.toml", &format!("{TOPIC}{text}"), &|_| None);
        assert_eq!(read("").unwrap().state, StateDeclaration::default());
        let disk = read("[state]\nstore = \"disk\"\ncache = \"64 MiB\"\n").unwrap();
        let expected = StateDeclaration {
            on_disk: true,
            cache_bytes: 64 << 20,
        };
        assert_eq!(disk.state, expected);
        let wrong = read("[state]\nstore = \"disc\"\n").unwrap_err().to_string();
        assert!(
            wrong.contains("there is no store `disc`") && wrong.contains("disk"),
            "{wrong}"
        );
        assert!(read("[state]\nsize = 1\n").is_err());
        let node = "[node.n]\nplugin = \"p\"\ninput = \"t\"\nview = \"v\"\ncache = \"1MiB\"\n";
        let warnings = |text: &str| read(&format!("{node}{text}")).unwrap().warnings.len();
        assert_eq!(
            (warnings(""), warnings("[state]\nstore = \"disk\"\n")),
            (1, 0)
        );
    }
}
