//! `refrain plugin inspect`

use std::path::{Path, PathBuf};
use std::time::Instant;

use refrain_log::schema::Field;
use refrain_plugin::{About, Grants, Host, HostOptions, Plugin, PluginKind, grant};

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
  refrain plugin inspect delays --compile       compiles it, whether or not its code is kept, and tells how long it takes
  refrain plugin inspect build/delays.wasm --output json

--output csv: rows of `table` property, field and option.")]
pub(crate) struct InspectArgs {
    /// Name of a plugin of the project, or a .wasm file
    plugin: String,
    /// Compile it anew, to tell how long that takes
    #[arg(long)]
    compile: bool,
}

pub(crate) fn run(global: &Global, args: &InspectArgs) -> Result<(), Failure> {
    let path = match args.plugin.ends_with(".wasm") && Path::new(&args.plugin).is_file() {
        true => PathBuf::from(&args.plugin),
        false => project::find(global)?.component(&args.plugin),
    };
    let bytes = read(&path)?;
    let (plugin, times) = load(&args.plugin, &bytes, args.compile)?;
    let seen = Seen {
        size_bytes: bytes.len(),
        times,
        language: producers::language(&bytes),
        imports: imports(&plugin),
    };
    match global.output {
        Output::Json => print_json(&plugin, &seen),
        output => print_sheets(&plugin, &seen, output),
    }
}

/// How long it takes to make it ready.
struct Times {
    /// To compile it; none: its code was kept from an earlier time, and nobody asked.
    compile_ms: Option<u64>,
    /// To load code that is kept.
    load_ms: u64,
}

/// Loads it, and compiles it before where that has not been done or is asked for.
fn load(name: &str, bytes: &[u8], compile: bool) -> Result<(Plugin, Times), Failure> {
    let host = |cache: Option<PathBuf>| {
        Host::new(HostOptions {
            cache,
            ..HostOptions::default()
        })
    };
    let keeping = host(Some(project::cache()))?;
    let load = |host: &Host| host.load_granting(name, bytes, &Grants::all());
    let compile_ms = match (keeping.is_compiled(bytes), compile) {
        (false, _) => Some(timed(|| load(&keeping))?.1),
        (true, true) => {
            let anew = host(None)?;
            Some(timed(|| load(&anew))?.1)
        }
        (true, false) => None,
    };
    let (plugin, load_ms) = timed(|| load(&keeping))?;
    let times = Times {
        compile_ms,
        load_ms,
    };
    Ok((plugin, times))
}

/// What comes of it, and how many milliseconds it takes.
#[expect(clippy::disallowed_methods, reason = "tells how long loading takes")]
fn timed<T, E>(act: impl FnOnce() -> Result<T, E>) -> Result<(T, u64), E> {
    let began = Instant::now();
    let done = act()?;
    Ok((done, began.elapsed().as_millis() as u64))
}

/// What it can do beside what every plugin of its kind can, and what it wants.
fn traits(about: &About) -> Vec<String> {
    let mut all = Vec::new();
    if about.merges {
        all.push("joins states (merge): fit for session windows".to_owned());
    }
    if about.migrates {
        all.push("takes over states of an older version (migrate)".to_owned());
    }
    if about.wants_keys {
        all.push("wants the keys of what it shows".to_owned());
    }
    if let Some(declared) = &about.process {
        all.push(match declared.timed {
            true => "times, the watermark and timers matter to it".to_owned(),
            false => "times do not matter to it".to_owned(),
        });
        if !declared.view_key.is_empty() {
            all.push(format!(
                "in a view its rows are told apart by {}, behind the node's key",
                declared.view_key.join(", ")
            ));
        }
    }
    if about.kind == PluginKind::Fold && !about.merges {
        all.push("joins no states: not for session windows".to_owned());
    }
    all
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
    times: Times,
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
        "compile_ms": seen.times.compile_ms,
        "load_ms": seen.times.load_ms,
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
    push(
        "compile_ms",
        seen.times.compile_ms.map_or(Cell::Null, Cell::count),
    );
    push("load_ms", Cell::count(seen.times.load_ms));
    push("state_version", Cell::count(about.state_version.into()));
    push("imports", Cell::text(&seen.imports));
    for line in traits(about) {
        push("trait", Cell::text(line));
    }
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
