//! A new plugin: a package that builds and whose tests pass, to be changed. Plugins of a kind are the same in every language,
//! and so is the fixture that comes with them.

use std::path::{Path, PathBuf};

use super::sdk::{SDK_FOLDER, Sdk, unpack};
use super::{BuildError, Language, file};

/// Which kind of plugin to start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateKind {
    /// Keyed state.
    Fold,
    /// Rows to rows.
    Transform,
    /// Keyed state over several inputs, with timers.
    Process,
}

/// The files of a new plugin, by their path in its folder.
pub fn template(name: &str, language: Language, kind: TemplateKind) -> Vec<(PathBuf, String)> {
    let source = source(language, kind);
    let fill = |text: &str| {
        text.replace("\"NAME\"", &format!("\"{name}\""))
            .replace("SDK/", &format!("../{SDK_FOLDER}/"))
    };
    let mut files = vec![(PathBuf::from(language.source()), fill(source))];
    match language {
        Language::Rust => files.push((
            "Cargo.toml".into(),
            fill(include_str!("template/package.toml")),
        )),
        Language::Go => files.push(("go.mod".into(), fill(include_str!("template/go.mod")))),
        _ => {}
    }
    let fixture = fixture(kind).iter();
    files.extend(fixture.map(|(file, text)| {
        let path = Path::new("fixtures/first").join(file);
        (path, (*text).to_owned())
    }));
    files
}

macro_rules! fixture {
    ($kind:literal, $($file:literal),*) => {
        &[$(($file, include_str!(concat!("template/fixtures/", $kind, "/", $file)))),*]
    };
}

/// Rows for a plugin of this kind, and what it makes of them.
fn fixture(kind: TemplateKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        TemplateKind::Fold => fixture!("fold", "fixture.json", "input.jsonl", "expected.jsonl"),
        TemplateKind::Transform => fixture!("transform", "input.jsonl", "expected.jsonl"),
        TemplateKind::Process => {
            fixture!("process", "fixture.json", "input.jsonl", "expected.jsonl")
        }
    }
}

/// What a plugin of this kind looks like.
fn source(language: Language, kind: TemplateKind) -> &'static str {
    use TemplateKind::{Fold, Process, Transform};
    match (language, kind) {
        (Language::Rust, Fold) => include_str!("template/fold.rs"),
        (Language::Rust, Transform) => include_str!("template/transform.rs"),
        (Language::Rust, Process) => include_str!("template/process.rs"),
        (Language::C, Fold) => include_str!("template/fold.c"),
        (Language::C, Transform) => include_str!("template/transform.c"),
        (Language::C, Process) => include_str!("template/process.c"),
        (Language::Zig, Fold) => include_str!("template/fold.zig"),
        (Language::Zig, Transform) => include_str!("template/transform.zig"),
        (Language::Zig, Process) => include_str!("template/process.zig"),
        (Language::Python, Fold) => include_str!("template/fold.py"),
        (Language::Python, Transform) => include_str!("template/transform.py"),
        (Language::Python, Process) => include_str!("template/process.py"),
        (Language::JavaScript, Fold) => include_str!("template/fold.js"),
        (Language::JavaScript, Transform) => include_str!("template/transform.js"),
        (Language::JavaScript, Process) => include_str!("template/process.js"),
        (Language::TypeScript, Fold) => include_str!("template/fold.ts"),
        (Language::TypeScript, Transform) => include_str!("template/transform.ts"),
        (Language::TypeScript, Process) => include_str!("template/process.ts"),
        (Language::Go, Fold) => include_str!("template/fold.go"),
        (Language::Go, Transform) => include_str!("template/transform.go"),
        (Language::Go, Process) => include_str!("template/process.go"),
        (Language::AssemblyScript, Fold) => include_str!("template/fold.as.ts"),
        (Language::AssemblyScript, Transform) => include_str!("template/transform.as.ts"),
        (Language::AssemblyScript, Process) => include_str!("template/process.as.ts"),
    }
}

/// Makes plugin `name` in folder `plugins`, and the SDK of its language beside it. Returns the plugin's folder.
pub fn create_plugin(
    plugins: &Path,
    name: &str,
    language: Language,
    kind: TemplateKind,
) -> Result<PathBuf, BuildError> {
    if !is_name(name) {
        return Err(BuildError::BadName(name.to_string()));
    }
    let folder = plugins.join(name);
    if folder.exists() {
        return Err(BuildError::Exists(folder));
    }
    for sdk in sdk_of(language) {
        unpack(*sdk, plugins)?;
    }
    for (path, text) in template(name, language, kind) {
        write(&folder.join(path), &text)?;
    }
    Ok(folder)
}

/// What an author's editor reads.
fn sdk_of(language: Language) -> &'static [Sdk] {
    match language {
        Language::Rust => &[Sdk::Rust],
        Language::C => &[Sdk::C],
        Language::Zig => &[Sdk::Zig],
        Language::Python => &[Sdk::Python],
        Language::JavaScript | Language::TypeScript => &[Sdk::JavaScript],
        Language::Go => &[Sdk::Go],
        Language::AssemblyScript => &[Sdk::AssemblyScript],
    }
}

/// Whether cargo and a pipeline file take it as a name.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
        && name != "test"
}

#[expect(clippy::disallowed_methods, reason = "the user's own new files")]
fn write(path: &Path, text: &str) -> Result<(), BuildError> {
    let folder = path.parent().expect("a file has a folder");
    std::fs::create_dir_all(folder).map_err(|why| file(folder, why))?;
    std::fs::write(path, text).map_err(|why| file(path, why))
}
