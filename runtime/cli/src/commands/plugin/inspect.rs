//! `refrain plugin inspect`

use std::path::{Path, PathBuf};

use refrain_log::schema::Field;
use refrain_plugin::{Grants, Host, HostOptions, Plugin, grant};

use super::producers;
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::project;
use crate::show::{self, Sheet};

/// Show what a plugin says of itself
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain plugin inspect delays
  refrain plugin inspect build/delays.wasm --output json

--output csv: rows of `table` property, field and option.")]
pub(crate) struct InspectArgs {
    /// Name of a plugin of the project, or a .wasm file
    plugin: String,
}

#[expect(clippy::disallowed_methods, reason = "tells how long loading takes")]
pub(crate) fn run(global: &Global, args: &InspectArgs) -> Result<(), Failure> {
    let path = match args.plugin.ends_with(".wasm") && Path::new(&args.plugin).is_file() {
        true => PathBuf::from(&args.plugin),
        false => project::find(global)?.component(&args.plugin),
    };
    let host = Host::new(HostOptions {
        cache: Some(project::cache()),
        ..HostOptions::default()
    })?;
    let bytes = read(&path)?;
    let began = std::time::Instant::now();
    let plugin = host.load_granting(&args.plugin, &bytes, &Grants::all())?;
    let seen = Seen {
        size_bytes: bytes.len(),
        load_ms: began.elapsed().as_millis() as u64,
        language: producers::language(&bytes),
        imports: imports(&plugin),
    };
    match global.output {
        Output::Json => print_json(&plugin, &seen),
        output => print_sheets(&plugin, &seen, output),
    }
}

/// What it wants from outside, with the verdict.
fn imports(plugin: &Plugin) -> String {
    match grant::told(plugin.imports()) {
        None => "no function imports, so deterministic".to_owned(),
        Some(told) => {
            format!("imports {told}, whose answers are constants, so deterministic")
        }
    }
}

/// What is seen from outside.
struct Seen {
    size_bytes: usize,
    /// Time to compile it, or to take it from the cache.
    load_ms: u64,
    language: Option<String>,
    imports: String,
}

#[expect(clippy::disallowed_methods, reason = "a user's own file is read")]
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| {
        Failure::refused(format!(
            "{}: {e}; build it with `refrain plugin build`, or give the path of a .wasm file",
            path.display()
        ))
    })
}

fn print_json(plugin: &Plugin, seen: &Seen) -> Result<(), Failure> {
    show::json(&serde_json::json!({
        "digest": plugin.digest().to_string(),
        "size_bytes": seen.size_bytes,
        "load_ms": seen.load_ms,
        "language": seen.language,
        "imports": seen.imports,
        "about": plugin.about(),
    }))
}

fn print_sheets(plugin: &Plugin, seen: &Seen, output: Output) -> Result<(), Failure> {
    let mut tables = vec![
        ("property", properties(plugin, seen)),
        ("field", fields(plugin)),
    ];
    if !plugin.about().settings.is_empty() {
        tables.push(("option", options(plugin)));
    }
    show::print_tables(tables, output)
}

/// What it is as a whole.
fn properties(plugin: &Plugin, seen: &Seen) -> Sheet {
    let about = plugin.about();
    let mut sheet = Sheet::new(&["property", "value"]);
    let mut push = |name: &str, value: Cell| sheet.push(vec![Cell::text(name), value]);
    push("name", Cell::text(&about.name));
    push("version", Cell::text(&about.version));
    push("kind", Cell::text(about.kind.name()));
    push("digest", Cell::text(plugin.digest().to_string()));
    push(
        "language",
        seen.language.as_ref().map_or(Cell::Null, Cell::text),
    );
    push("size_bytes", Cell::count(seen.size_bytes as u64));
    push("load_ms", Cell::count(seen.load_ms));
    push("state_version", Cell::count(about.state_version.into()));
    push("imports", Cell::text(&seen.imports));
    if !about.doc.is_empty() {
        push("doc", Cell::text(&about.doc));
    }
    sheet
}

/// What it reads and writes.
fn fields(plugin: &Plugin) -> Sheet {
    let about = plugin.about();
    let mut fields = Sheet::new(&["direction", "field", "type", "nullable"]);
    let inputs = about.declared_inputs().iter();
    let named = inputs.map(|input| (format!("reads {}", input.name), &input.fields));
    let lists = [
        ("reads".to_owned(), &about.inputs),
        ("writes".to_owned(), &about.outputs),
    ];
    for (direction, list) in named.chain(lists) {
        for Field {
            name,
            kind,
            nullable,
        } in list
        {
            fields.push(vec![
                Cell::text(&direction),
                Cell::text(name),
                Cell::text(kind.name()),
                Cell::Bool(*nullable),
            ]);
        }
    }
    fields
}

fn options(plugin: &Plugin) -> Sheet {
    let mut options = Sheet::new(&["option", "type", "default", "meaning"]);
    for setting in &plugin.about().settings {
        options.push(vec![
            Cell::text(&setting.name),
            Cell::text(setting.kind.name()),
            setting.default.as_ref().map_or(Cell::Null, Cell::text),
            Cell::text(&setting.doc),
        ]);
    }
    options
}
