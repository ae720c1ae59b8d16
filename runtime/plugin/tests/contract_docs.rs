//! The pages about the contract say what wit/ says: docs/wit.md is made from it as a whole, a list of all functions in
//! docs/plugin-contract.md, and in docs/raw-contract.md their core signatures and what is promised since when.
//! `REFRAIN_WRITE_DOCS=1` writes them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "pages and files of the contract")]

use std::path::{Path, PathBuf};

use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{
    Docs, Function, Handle, Interface, Resolve, Stability, Type, TypeDef, TypeDefKind, TypeOwner,
    World, WorldItem,
};

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

/// Interfaces in the order in which they are read.
const READ: [&str; 8] = [
    "types",
    "about",
    "transform",
    "fold",
    "merge",
    "migrate",
    "process",
    "logging",
];

/// A comment as paragraphs, without the line ends of the file. Tables and lists keep theirs.
fn prose(docs: &Docs) -> String {
    let text = docs.contents.as_deref().unwrap_or_default();
    let mut out = String::new();
    for paragraph in text.trim().split("\n\n").filter(|p| !p.is_empty()) {
        let kept = paragraph.trim_start().starts_with(['|', '-', '*']);
        let joined = match kept {
            true => paragraph.to_owned(),
            false => paragraph.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        out.push_str(&joined);
        out.push_str("\n\n");
    }
    out
}

/// A comment in one line.
fn line(docs: &Docs) -> String {
    let text = docs.contents.as_deref().unwrap_or_default();
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

/// A type as a file of wit/ writes it.
fn ty(resolve: &Resolve, of: &Type) -> String {
    let id = match of {
        Type::Id(id) => *id,
        Type::Bool => return "bool".into(),
        Type::U8 => return "u8".into(),
        Type::U16 => return "u16".into(),
        Type::U32 => return "u32".into(),
        Type::U64 => return "u64".into(),
        Type::S8 => return "s8".into(),
        Type::S16 => return "s16".into(),
        Type::S32 => return "s32".into(),
        Type::S64 => return "s64".into(),
        Type::F32 => return "f32".into(),
        Type::F64 => return "f64".into(),
        Type::Char => return "char".into(),
        Type::String => return "string".into(),
        other => panic!("no name for {other:?}"),
    };
    let def = &resolve.types[id];
    if let Some(name) = &def.name {
        return name.clone();
    }
    let or_none = |of: &Option<Type>| of.as_ref().map_or("_".into(), |of| ty(resolve, of));
    match &def.kind {
        TypeDefKind::List(of) => format!("list<{}>", ty(resolve, of)),
        TypeDefKind::Option(of) => format!("option<{}>", ty(resolve, of)),
        TypeDefKind::Tuple(all) => {
            let all: Vec<String> = all.types.iter().map(|of| ty(resolve, of)).collect();
            format!("tuple<{}>", all.join(", "))
        }
        TypeDefKind::Result(result) => match (&result.ok, &result.err) {
            (Some(ok), None) => format!("result<{}>", ty(resolve, ok)),
            (ok, err) => format!("result<{}, {}>", or_none(ok), or_none(err)),
        },
        TypeDefKind::Handle(Handle::Own(_) | Handle::Borrow(_)) => {
            panic!("the contract has no resources")
        }
        other => panic!("no name for {other:?}"),
    }
}

/// Rows of what a type is made of: name, type, comment.
fn parts(resolve: &Resolve, def: &TypeDef) -> (String, Vec<[String; 3]>) {
    let code = |text: String| format!("`{text}`");
    match &def.kind {
        TypeDefKind::Record(record) => {
            let field = |f: &wit_parser::Field| {
                [
                    code(f.name.clone()),
                    code(ty(resolve, &f.ty)),
                    line(&f.docs),
                ]
            };
            ("record".into(), record.fields.iter().map(field).collect())
        }
        TypeDefKind::Variant(variant) => {
            let case = |c: &wit_parser::Case| {
                let of = c.ty.as_ref().map(|of| code(ty(resolve, of)));
                [code(c.name.clone()), of.unwrap_or_default(), line(&c.docs)]
            };
            ("variant".into(), variant.cases.iter().map(case).collect())
        }
        TypeDefKind::Enum(cases) => {
            let case =
                |c: &wit_parser::EnumCase| [code(c.name.clone()), String::new(), line(&c.docs)];
            ("enum".into(), cases.cases.iter().map(case).collect())
        }
        TypeDefKind::Type(of) => (format!("type, a `{}`", ty(resolve, of)), Vec::new()),
        other => panic!("no words for {other:?}"),
    }
}

fn types(resolve: &Resolve, interface: &Interface, into: &mut String) {
    for (name, id) in &interface.types {
        let def = &resolve.types[*id];
        if let TypeDefKind::Type(Type::Id(of)) = def.kind
            && resolve.types[of].owner != def.owner
        {
            // Taken from another interface by `use`.
            assert!(matches!(resolve.types[of].owner, TypeOwner::Interface(_)));
            continue;
        }
        let (what, rows) = parts(resolve, def);
        into.push_str(&format!("### `{name}` ({what})\n\n{}", prose(&def.docs)));
        if rows.is_empty() {
            continue;
        }
        into.push_str("| | type | |\n| --- | --- | --- |\n");
        for [name, of, docs] in rows {
            into.push_str(&format!("| {name} | {of} | {docs} |\n"));
        }
        into.push('\n');
    }
}

/// All of wit/: types with their fields, functions with their whole comments, worlds.
fn whole(resolve: &Resolve) -> String {
    let mut text = String::new();
    let named = |name: &str| {
        let mut all = resolve.interfaces.iter();
        let found = all.find(|(_, interface)| interface.name.as_deref() == Some(name));
        found
            .unwrap_or_else(|| panic!("wit/ has no interface {name}"))
            .1
    };
    assert_eq!(resolve.interfaces.len(), READ.len(), "name each in READ");
    for name in READ {
        let interface = named(name);
        let since = since(&interface.stability);
        text.push_str(&format!(
            "## {name}\n\nSince {since}.\n\n{}",
            prose(&interface.docs)
        ));
        types(resolve, interface, &mut text);
        for function in interface.functions.values() {
            text.push_str(&format!(
                "### `{}`\n\n{}",
                declared(name, function),
                prose(&function.docs)
            ));
            assert!(
                function.docs.contents.is_some(),
                "{name}.{} is told",
                function.name
            );
        }
    }
    text.push_str("## Worlds\n\n| world | imports | exports | |\n| --- | --- | --- | --- |\n");
    for (_, world) in &resolve.worlds {
        text.push_str(&world_row(resolve, world));
    }
    text
}

fn world_row(resolve: &Resolve, world: &World) -> String {
    let names = |items: &mut dyn Iterator<Item = &WorldItem>| -> String {
        let name = |item: &WorldItem| match item {
            WorldItem::Interface { id, .. } => {
                let interface = &resolve.interfaces[*id];
                let name = interface.name.clone().expect("interfaces have names");
                // Types alone need nothing.
                (name != "types").then(|| format!("`{name}`"))
            }
            other => panic!("no words for {other:?}"),
        };
        items.filter_map(name).collect::<Vec<_>>().join(", ")
    };
    let mut imports = world.imports.values();
    let mut exports = world.exports.values();
    format!(
        "| `{}` | {} | {} | {} |\n",
        world.name,
        names(&mut imports),
        names(&mut exports),
        line(&world.docs)
    )
}

/// The version that something is there since; each part of the contract says one.
fn since(stability: &Stability) -> String {
    match stability {
        Stability::Stable { since, .. } => since.to_string(),
        other => panic!("write @since above it: {other:?}"),
    }
}

/// What is promised of each interface, and since when; what came later than its interface is named.
fn promises(resolve: &Resolve) -> String {
    let mut text = String::from("| interface | since | later |\n| --- | --- | --- |\n");
    for name in READ {
        let mut all = resolve.interfaces.iter();
        let (_, interface) = all
            .find(|(_, i)| i.name.as_deref() == Some(name))
            .expect("it was found before");
        let own = since(&interface.stability);
        let functions = interface.functions.values();
        let functions = functions.map(|f| (f.name.clone(), since(&f.stability)));
        let types = interface.types.iter().filter_map(|(name, id)| {
            let def = &resolve.types[*id];
            let used = matches!(def.kind, TypeDefKind::Type(Type::Id(_)));
            (!used).then(|| (name.clone(), since(&def.stability)))
        });
        let later = functions.chain(types).filter(|(_, since)| *since != own);
        let later: Vec<String> = later
            .map(|(name, since)| format!("`{name}` ({since})"))
            .collect();
        text.push_str(&format!("| `{name}` | {own} | {} |\n", later.join(", ")));
    }
    text
}

#[track_caller]
fn compare(page: &str, part: &str, made: &str) {
    let path = repository().join("docs").join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (
        format!("<!-- {part}: begin -->\n"),
        format!("<!-- {part}: end -->"),
    );
    let from = text.find(&begin).unwrap() + begin.len();
    let to = text.find(&end).unwrap();
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
fn the_whole_contract_is_that_of_wit() {
    compare("wit.md", "wit", &whole(&contract()));
}

#[test]
fn what_is_promised_since_when_is_what_wit_says() {
    compare("raw-contract.md", "since", &promises(&contract()));
}

#[test]
fn the_list_of_functions_is_that_of_wit() {
    compare("plugin-contract.md", "wit", &list(&contract()));
}

#[test]
fn core_signatures_are_those_of_wit() {
    compare("raw-contract.md", "wit", &signatures(&contract()));
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
