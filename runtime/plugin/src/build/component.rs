//! From a core module to a component.
//!
//! A module that carries no type section of its own (C, Zig, Go, AssemblyScript) gets that of its world here: authors and their
//! compilers need not know it. WASI of Go's runtime is answered by constants (`world/wasi_constants.wat`).

use std::path::Path;

use wit_component::ComponentEncoder;

use super::{BuildError, Language};

/// What a component starts with; a core module has version 1 and layer 0.
const COMPONENT: [u8; 8] = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];
/// Name of the section that says which world a module is for.
const TYPE_SECTION: &str = "component-type:refrain";
/// The same of what it imports for its voice.
const TALKING_SECTION: &str = "component-type:refrain-talking";

/// The type sections of the three worlds, made from wit/ and compared with it by a test.
pub(super) const FOLD_TYPES: &[u8] = include_bytes!("world/fold.types");
pub(super) const TRANSFORM_TYPES: &[u8] = include_bytes!("world/transform.types");
pub(super) const PROCESS_TYPES: &[u8] = include_bytes!("world/process.types");
/// A function that only modules of a world export, and the type section of that world.
const WORLDS: [(&[u8], &[u8]); 3] = [
    (b"refrain:plugin/fold@0.1.0#update", FOLD_TYPES),
    (b"refrain:plugin/transform@0.1.0#process", TRANSFORM_TYPES),
    (b"refrain:plugin/process@0.1.0#process", PROCESS_TYPES),
];
/// What a module with a voice imports beside.
pub(super) const TALKING_TYPES: &[u8] = include_bytes!("world/talking.types");
/// WASI preview 1 for Go: no clock, no randomness, no files; made from the .wat beside it, compared by a test.
pub(super) const WASI_CONSTANTS: &[u8] = include_bytes!("world/wasi_constants.wasm");

/// Makes the module of `package` a component, with its language noted in it. One that is a component already only gets
/// the note.
pub(super) fn encode(
    package: &Path,
    module: &[u8],
    language: Language,
) -> Result<Vec<u8>, BuildError> {
    let mut component = match module.starts_with(&COMPONENT) {
        true => module.to_vec(),
        false => encoded(package, module, language)?,
    };
    if language != Language::Rust {
        // rustc says so itself.
        push_custom(&mut component, "producers", &producers(language));
    }
    Ok(component)
}

fn encoded(package: &Path, module: &[u8], language: Language) -> Result<Vec<u8>, BuildError> {
    let refused = |why: String| BuildError::NoComponent {
        package: package.to_path_buf(),
        why,
        hint: hint(language),
    };
    let mut module = module.to_vec();
    if !contains(&module, b"component-type") {
        let types = types_of(&module).ok_or_else(|| {
            refused("it exports the functions of no fold, transform or process".into())
        })?;
        let talks = contains(&module, b"refrain:plugin/logging@0.1.0");
        push_custom(&mut module, TYPE_SECTION, types);
        if talks {
            push_custom(&mut module, TALKING_SECTION, TALKING_TYPES);
        }
    }
    let mut encoder = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .map_err(|why| refused(said(&why)))?;
    if language == Language::Go {
        encoder = encoder
            .adapter("wasi_snapshot_preview1", WASI_CONSTANTS)
            .map_err(|why| refused(said(&why)))?;
    }
    encoder.encode().map_err(|why| refused(said(&why)))
}

fn said(why: &(impl std::fmt::Display + ?Sized)) -> String {
    let text = format!("{why:#}");
    match text.contains("wasi_snapshot_preview1") {
        true => format!(
            "it calls the system ({text}); a plugin has no files, clock, console or randomness: leave out what needs one (printf, time, rand)"
        ),
        false => text,
    }
}

/// What a module that is no plugin may lack.
fn hint(language: Language) -> &'static str {
    match language {
        Language::Rust => {
            "is `export_fold!(..)`, `export_transform!(..)` or `export_process!(..)` at the end of src/lib.rs?"
        }
        Language::C => {
            "does plugin.c include refrain_fold.h, refrain_transform.h or refrain_process.h?"
        }
        Language::Zig => {
            "does plugin.zig call `refrain.exportFold`, `exportTransform` or `exportProcess` in `comptime`?"
        }
        Language::Go => "does plugin.go import refrain/fold, refrain/transform or refrain/process?",
        Language::AssemblyScript => {
            "does assembly/index.ts end with `exportFold(..)`, `exportTransform(..)` or `exportProcess(..)`?"
        }
        _ => "is the source as the template has it?",
    }
}

/// The type section of the world whose functions a module exports.
fn types_of(module: &[u8]) -> Option<&'static [u8]> {
    let world = WORLDS.iter().find(|(export, _)| contains(module, export));
    world.map(|(_, types)| *types)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// A `producers` section with one field: the language.
fn producers(language: Language) -> Vec<u8> {
    let mut section = vec![1];
    push_name(&mut section, "language");
    section.push(1);
    push_name(&mut section, language.title());
    push_name(&mut section, "");
    section
}

/// Appends a custom section.
fn push_custom(wasm: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut body = Vec::new();
    push_name(&mut body, name);
    body.extend_from_slice(data);
    wasm.push(0);
    push_leb(wasm, body.len());
    wasm.extend(body);
}

fn push_name(to: &mut Vec<u8>, name: &str) {
    push_leb(to, name.len());
    to.extend_from_slice(name.as_bytes());
}

fn push_leb(to: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        to.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}
