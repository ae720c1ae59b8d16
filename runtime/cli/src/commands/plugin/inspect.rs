//! `refrain plugin inspect`

use std::path::{Path, PathBuf};

use refrain_log::schema::Field;
use refrain_plugin::{Grants, Host, HostOptions, Plugin, grant};

use super::producers;
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::project;
use crate::show::{Sheet, seen_enough};

/// Show what a plugin says of itself
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain plugin inspect delays
  refrain plugin inspect build/delays.wasm --output json")]
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
    use std::io::Write;
    let json = serde_json::json!({
        "digest": plugin.digest().to_string(),
        "size_bytes": seen.size_bytes,
        "load_ms": seen.load_ms,
        "language": seen.language,
        "imports": seen.imports,
        "about": plugin.about(),
    });
    let text = serde_json::to_string_pretty(&json).map_err(anyhow::Error::from)?;
    seen_enough(writeln!(std::io::stdout(), "{text}"))
}

fn print_sheets(plugin: &Plugin, seen: &Seen, output: Output) -> Result<(), Failure> {
    let about = plugin.about();
    eprintln!(
        "{} {} ({}), {}",
        about.name,
        about.version,
        about.kind.name(),
        plugin.digest()
    );
    eprintln!(
        "{}, {} KiB, loaded in {} ms, state version {}, {}",
        seen.language.as_deref().unwrap_or("language unknown"),
        seen.size_bytes.div_ceil(1024),
        seen.load_ms,
        about.state_version,
        seen.imports
    );
    if !about.doc.is_empty() {
        eprintln!("{}", about.doc);
    }
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
    fields.print(output)?;
    if about.settings.is_empty() {
        return Ok(());
    }
    let mut options = Sheet::new(&["option", "type", "default", "meaning"]);
    for setting in &about.settings {
        options.push(vec![
            Cell::text(&setting.name),
            Cell::text(setting.kind.name()),
            setting.default.as_ref().map_or(Cell::Null, Cell::text),
            Cell::text(&setting.doc),
        ]);
    }
    options.print(output)
}
