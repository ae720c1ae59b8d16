//! The pages about the contract say what wit/ says: a list of all functions in docs/plugin-contract.md and their core
//! signatures in docs/raw-contract.md are made from it. `REFRAIN_WRITE_DOCS=1` writes them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "pages and files of the contract")]

use std::path::{Path, PathBuf};

use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Function, Interface, Resolve};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn contract() -> Resolve {
    let mut resolve = Resolve::default();
    resolve.push_dir(repository().join("wit")).unwrap();
    resolve
}

/// Interfaces with functions, by name.
fn interfaces(resolve: &Resolve) -> Vec<(String, &Interface)> {
    let all = resolve.interfaces.iter();
    let named = all.filter_map(|(_, interface)| Some((interface.name.clone()?, interface)));
    let mut found: Vec<_> = named.filter(|(_, i)| !i.functions.is_empty()).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// The first sentence of a comment, in one line.
fn first(docs: Option<&str>) -> String {
    let text = docs.unwrap_or_default().split_whitespace();
    let text = text.collect::<Vec<_>>().join(" ");
    let end = text.find(". ").map_or(text.len(), |end| end + 1);
    text[..end].to_owned()
}

/// The declaration of a function as the file has it.
fn declared(interface: &str, function: &Function) -> String {
    let file = repository().join(format!("wit/{interface}.wit"));
    let text = std::fs::read_to_string(file).unwrap();
    let start = format!("    {}: func(", function.name);
    let line = text.lines().find(|line| line.starts_with(&start));
    let line = line.unwrap_or_else(|| panic!("wit/{interface}.wit has no {}", function.name));
    line.trim().trim_end_matches(';').to_owned()
}

fn list(resolve: &Resolve) -> String {
    let mut text = String::new();
    for (name, interface) in interfaces(resolve) {
        let docs = first(interface.docs.contents.as_deref());
        text.push_str(&format!(
            "**{name}** {docs}\n\n| function | what it does |\n| --- | --- |\n"
        ));
        for function in interface.functions.values() {
            let docs = first(function.docs.contents.as_deref());
            let declared = declared(&name, function).replace('|', "\\|");
            text.push_str(&format!("| `{declared}` | {docs} |\n"));
        }
        text.push('\n');
    }
    text
}

/// Parameters and result of each export as core Wasm has them.
fn signatures(resolve: &Resolve) -> String {
    let short = |types: &[WasmType]| -> String {
        let names = types.iter().map(|ty| match ty {
            WasmType::I64 | WasmType::PointerOrI64 => "i64",
            WasmType::F32 => "f32",
            WasmType::F64 => "f64",
            WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        });
        names.collect::<Vec<_>>().join(" ")
    };
    let mut text = String::from("| function | parameters | result |\n| --- | --- | --- |\n");
    for (name, interface) in interfaces(resolve) {
        for function in interface.functions.values() {
            let variant = match name.as_str() {
                "logging" => AbiVariant::GuestImport,
                _ => AbiVariant::GuestExport,
            };
            let core = resolve.wasm_signature(variant, function);
            let (params, results) = (short(&core.params), short(&core.results));
            text.push_str(&format!(
                "| `{name}@0.1.0#{}` | {params} | {results} |\n",
                function.name
            ));
        }
    }
    text
}

#[track_caller]
fn compare(page: &str, made: &str) {
    let path = repository().join("docs").join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- wit: begin -->\n", "<!-- wit: end -->");
    let from = text.find(begin).unwrap() + begin.len();
    let to = text.find(end).unwrap();
    if std::env::var_os("REFRAIN_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{}{made}{}", &text[..from], &text[to..])).unwrap();
        return;
    }
    assert!(
        &text[from..to] == made,
        "{page} is not what wit/ says: run this test with REFRAIN_WRITE_DOCS=1. It should be:\n{made}"
    );
}

#[test]
fn the_list_of_functions_is_that_of_wit() {
    compare("plugin-contract.md", &list(&contract()));
}

#[test]
fn core_signatures_are_those_of_wit() {
    compare("raw-contract.md", &signatures(&contract()));
}

/// What the tables of the page name by hand exists.
#[test]
fn every_export_named_on_the_page_is_one_of_wit() {
    let resolve = contract();
    let text = std::fs::read_to_string(repository().join("docs/raw-contract.md")).unwrap();
    let named = text.match_indices("`refrain:plugin/").map(|(at, _)| {
        let rest = &text[at + "`refrain:plugin/".len()..];
        rest.split('`').next().unwrap()
    });
    let mut count = 0;
    for name in named.filter(|name| name.contains('#')) {
        let (interface, function) = name.split_once("@0.1.0#").unwrap();
        let all = interfaces(&resolve);
        let found = all.iter().find(|(name, _)| name == interface);
        let found = found.unwrap_or_else(|| panic!("wit/ has no interface {interface}"));
        assert!(found.1.functions.contains_key(function), "{name}");
        count += 1;
    }
    assert!(count >= 7, "{count}");
}
