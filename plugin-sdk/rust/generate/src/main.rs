//! Writes the committed bindings of the Rust SDK and of the C guest from wit/, or checks that they are still right.
//!
//! `cargo run -p refrain-sdk-generate` writes, `cargo run -p refrain-sdk-generate -- --check` compares.
//! Run it again after every change in wit/.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wit_bindgen_core::wit_parser::{PackageId, Resolve};
use wit_bindgen_core::{Files, WorldGenerator};
use wit_bindgen_rust::WithOption;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Where the types that all worlds share live in the SDK.
const TYPES: &str = "crate::bindings::fold_plugin::refrain::plugin::types";

fn main() -> ExitCode {
    let check = std::env::args()
        .nth(1)
        .is_some_and(|word| word == "--check");
    match generate().and_then(|files| {
        if check {
            compare(&files)
        } else {
            write(&files)
        }
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// The repository that this generator is part of.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// All generated files, by their place in the repository.
fn generate() -> Outcome<Vec<(PathBuf, Vec<u8>)>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root().join("wit"))?;
    let sdk = Path::new("plugin-sdk/rust/refrain-sdk/src/bindings");
    let mut files = rust(&resolve, package, "fold-plugin", false, sdk)?;
    let transform = rust(&resolve, package, "transform-plugin", true, sdk)?;
    files.extend(renamed(
        transform,
        "__export_refrain_plugin_about_",
        "__export_transform_about_",
    ));
    let session = rust(&resolve, package, "session-plugin", true, sdk)?;
    files.extend(renamed(
        session,
        "__export_refrain_plugin_",
        "__export_session_",
    ));
    let process = rust(&resolve, package, "process-plugin", true, sdk)?;
    files.extend(renamed(
        process,
        "__export_refrain_plugin_",
        "__export_process_",
    ));
    files.extend(rust(&resolve, package, "migrate-plugin", true, sdk)?);
    files.extend(rust(&resolve, package, "talking-plugin", false, sdk)?);
    files.extend(c(&resolve, package, Path::new("tests/guests/c/bindings"))?);
    Ok(files)
}

fn rust(
    resolve: &Resolve,
    package: PackageId,
    world: &str,
    share_types: bool,
    folder: &Path,
) -> Outcome<Vec<(PathBuf, Vec<u8>)>> {
    let mut options = wit_bindgen_rust::Opts {
        format: true,
        pub_export_macro: true,
        export_macro_name: Some(format!("export_{}", world.replace('-', "_"))),
        default_bindings_module: Some(format!("$crate::bindings::{}", world.replace('-', "_"))),
        runtime_path: Some("::wit_bindgen::rt".to_string()),
        generate_all: true,
        ..Default::default()
    };
    if share_types {
        let name = resolve.id_of_name(package, "types");
        options
            .with
            .push((name, WithOption::Path(TYPES.to_string())));
    }
    run(&mut options.build(), resolve, package, world, folder)
}

/// The worlds export some of the same interfaces, and a crate has one name space of macros.
fn renamed(
    files: Vec<(PathBuf, Vec<u8>)>,
    from: &str,
    to: &str,
) -> impl Iterator<Item = (PathBuf, Vec<u8>)> {
    files.into_iter().map(move |(path, bytes)| {
        let text = String::from_utf8_lossy(&bytes).replace(from, to);
        (path, text.into_bytes())
    })
}

fn c(resolve: &Resolve, package: PackageId, folder: &Path) -> Outcome<Vec<(PathBuf, Vec<u8>)>> {
    let mut generator = wit_bindgen_c::Opts::default().build();
    run(&mut *generator, resolve, package, "fold-plugin", folder)
}

fn run(
    generator: &mut dyn WorldGenerator,
    resolve: &Resolve,
    package: PackageId,
    world: &str,
    folder: &Path,
) -> Outcome<Vec<(PathBuf, Vec<u8>)>> {
    let world = resolve.select_world(&[package], Some(world))?;
    let mut files = Files::default();
    generator.generate(&mut resolve.clone(), world, &mut files)?;
    Ok(files
        .iter()
        .map(|(name, bytes)| (folder.join(name), bytes.to_vec()))
        .collect())
}

#[expect(clippy::disallowed_methods, reason = "generated sources")]
fn write(files: &[(PathBuf, Vec<u8>)]) -> Outcome<()> {
    for (path, bytes) in files {
        let path = root().join(path);
        std::fs::create_dir_all(path.parent().ok_or("a generated file has a folder")?)?;
        std::fs::write(path, bytes)?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "generated sources")]
fn compare(files: &[(PathBuf, Vec<u8>)]) -> Outcome<()> {
    for (path, bytes) in files {
        if std::fs::read(root().join(path)).ok().as_ref() != Some(bytes) {
            return Err(format!(
                "{} is not what wit/ says: run `cargo run -p refrain-sdk-generate`",
                path.display()
            )
            .into());
        }
    }
    Ok(())
}

#[test]
fn the_committed_bindings_are_those_of_wit() {
    let files = generate().expect("wit/ parses");
    compare(&files).expect("the bindings are up to date");
}
