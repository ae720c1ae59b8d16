//! What a plugin may import: nothing, unless its node is granted it by name. Everything that can be granted answers with
//! constants or takes what it is told, so that a plugin stays a function of its rows and states: see `wasi` and `voice`.

use std::collections::BTreeSet;
use std::fmt;

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::{ComponentInstance, ComponentItem};

/// A group of interfaces that is granted as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// `refrain:plugin/logging`: lines for the log of the host.
    Logging,
    /// `wasi:clocks`: clocks that stand still.
    Clocks,
    /// `wasi:random`: the same bytes at every call.
    Random,
    /// `wasi:cli`: no arguments, no environment, an empty input, and output that goes to the log of the host.
    Cli,
    /// `wasi:io`: the streams of the others.
    Io,
    /// `wasi:filesystem`: no folder at all.
    Filesystem,
    /// `wasi:sockets`: refused when it is used.
    Sockets,
}

impl Grant {
    /// All of them, in the order in which they are told.
    pub const ALL: [Grant; 7] = [
        Grant::Logging,
        Grant::Clocks,
        Grant::Random,
        Grant::Cli,
        Grant::Io,
        Grant::Filesystem,
        Grant::Sockets,
    ];

    /// As a pipeline file writes it.
    pub fn name(self) -> &'static str {
        match self {
            Grant::Logging => "logging",
            Grant::Clocks => "clocks",
            Grant::Random => "random",
            Grant::Cli => "cli",
            Grant::Io => "io",
            Grant::Filesystem => "filesystem",
            Grant::Sockets => "sockets",
        }
    }

    /// The grant that an import needs; none: it can not be granted.
    pub(crate) fn of(import: &str) -> Option<Grant> {
        let (interface, version) = import.split_once('@')?;
        if interface == "refrain:plugin/logging" {
            return (version == crate::contract::WIT_VERSION).then_some(Grant::Logging);
        }
        let (package, _) = interface.strip_prefix("wasi:")?.split_once('/')?;
        let known = version.starts_with("0.2.");
        let mut all = Grant::ALL.into_iter().skip(1);
        all.find(|grant| known && grant.name() == package)
    }
}

/// What a node grants its plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(BTreeSet<Grant>);

impl Grants {
    /// Every grant there is: to look at a component, not to run it.
    pub fn all() -> Grants {
        Grants(Grant::ALL.into())
    }

    /// The grants of these words; `wasi` is all of WASI.
    ///
    /// # Errors
    /// A word that is none, with those that are.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Grants, String> {
        let mut grants = BTreeSet::new();
        for word in words {
            let named = Grant::ALL.into_iter().find(|grant| grant.name() == word);
            match (word, named) {
                ("wasi", _) => grants.extend(Grant::ALL.into_iter().skip(1)),
                (_, Some(grant)) => {
                    grants.insert(grant);
                }
                _ => {
                    let all = Grant::ALL.map(Grant::name).join(", ");
                    return Err(format!(
                        "`{word}` cannot be granted; what can is {all}, and wasi for all but the first"
                    ));
                }
            }
        }
        Ok(Grants(grants))
    }

    /// Whether this is granted.
    pub fn has(&self, grant: Grant) -> bool {
        self.0.contains(&grant)
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|grant| grant.name()).collect();
        f.write_str(&names.join(", "))
    }
}

/// An interface with functions that a component imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its name, as `wasi:clocks/wall-clock@0.2.3`.
    pub name: String,
    /// The grant that it needs; none: no grant helps.
    pub grant: Option<Grant>,
}

/// What a component imports, types apart.
pub(crate) fn imports(engine: &Engine, component: &Component) -> Vec<Import> {
    let ty = component.component_type();
    let wanted = ty.imports(engine);
    let wanted = wanted.filter(|(_, import)| wants_something(engine, &import.ty));
    wanted
        .map(|(name, _)| Import {
            name: name.to_owned(),
            grant: Grant::of(name),
        })
        .collect()
}

/// Refuses imports that are not granted, and says what to do.
pub(crate) fn refuse(imports: &[Import], grants: &Grants) -> Result<(), String> {
    let refused = |import: &&Import| import.grant.is_none_or(|grant| !grants.has(grant));
    let names = |list: &[&Import]| -> String {
        let names: Vec<&str> = list.iter().map(|import| import.name.as_str()).collect();
        names.join(", ")
    };
    let refused: Vec<&Import> = imports.iter().filter(refused).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let all = names(&refused);
    if refused.iter().any(|import| import.grant.is_none()) {
        return Err(format!(
            "imports {all}: a plugin has no function imports, it gets no clock, randomness, files or network; \
             build it for a target without WASI (Rust: wasm32-unknown-unknown) or with WASI stubbed out"
        ));
    }
    let refused: Vec<Import> = refused.into_iter().cloned().collect();
    Err(format!(
        "imports {all}: build it for a target without WASI (Rust: wasm32-unknown-unknown) or with WASI stubbed out, or \
         grant what stands in for it with grants = [{}] in its node: clocks that stand still, no files, no network",
        needed(&refused)
    ))
}

/// What is imported and which grants a node needs for it; none: nothing is.
pub fn told(imports: &[Import]) -> Option<String> {
    if imports.is_empty() {
        return None;
    }
    let names: Vec<&str> = imports.iter().map(|import| import.name.as_str()).collect();
    Some(format!(
        "{}; it needs grants = [{}]",
        names.join(", "),
        needed(imports)
    ))
}

/// The grants of imports, as a pipeline file writes them.
fn needed(imports: &[Import]) -> String {
    let wanted: BTreeSet<Grant> = imports.iter().filter_map(|import| import.grant).collect();
    let wanted: Vec<String> = wanted
        .iter()
        .map(|grant| format!("\"{}\"", grant.name()))
        .collect();
    wanted.join(", ")
}

fn wants_something(engine: &Engine, item: &ComponentItem) -> bool {
    match item {
        ComponentItem::Type(_) => false,
        ComponentItem::ComponentInstance(instance) => !only_types(engine, instance),
        _ => true,
    }
}

fn only_types(engine: &Engine, instance: &ComponentInstance) -> bool {
    instance
        .exports(engine)
        .all(|(_, export)| matches!(export.ty, ComponentItem::Type(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_needs_the_grant_of_its_package() {
        assert_eq!(
            Grant::of("wasi:clocks/wall-clock@0.2.3"),
            Some(Grant::Clocks)
        );
        assert_eq!(Grant::of("wasi:io/streams@0.2.0"), Some(Grant::Io));
        assert_eq!(
            Grant::of("refrain:plugin/logging@0.1.0"),
            Some(Grant::Logging)
        );
        for other in [
            "wasi:clocks/wall-clock@0.3.0",
            "wasi:http/outgoing-handler@0.2.0",
            "refrain:plugin/logging@0.2.0",
            "wasi:logging/logging@0.2.0",
            "strange",
        ] {
            assert_eq!(Grant::of(other), None, "{other}");
        }
    }

    #[test]
    fn words_are_grants_and_what_is_refused_says_which_it_needs() {
        let grants = Grants::parse(["clocks", "io"]).unwrap();
        assert_eq!(grants.to_string(), "clocks, io");
        assert_eq!(Grants::parse(["wasi", "logging"]).unwrap(), Grants::all());
        assert!(
            Grants::parse(["clock"])
                .unwrap_err()
                .contains("`clock` cannot be granted")
        );
        let import = |name: &str| Import {
            name: name.into(),
            grant: Grant::of(name),
        };
        let clock = import("wasi:clocks/wall-clock@0.2.3");
        let random = import("wasi:random/random@0.2.3");
        assert!(refuse(std::slice::from_ref(&clock), &grants).is_ok());
        let why = refuse(&[clock, random], &grants).unwrap_err();
        assert!(
            why.starts_with("imports wasi:random/random@0.2.3:"),
            "{why}"
        );
        assert!(why.contains("grants = [\"random\"]"), "{why}");
        let why = refuse(&[import("wasi:http/types@0.2.0")], &Grants::all()).unwrap_err();
        assert!(!why.contains("grants ="), "{why}");
    }
}
