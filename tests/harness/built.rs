//! What is built before a test runs: the program, and the plugins as components, once for all tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use refrain_plugin::build::{build_plugin, default_cache};

/// The folder of the whole project.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ has a parent").to_path_buf()
}

/// Where the build put the program: beside the folder of this test's own binary.
fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its binary");
    let mut folder = test.parent().expect("a binary has a folder");
    if folder.ends_with("deps") {
        folder = folder.parent().expect("deps has a parent");
    }
    folder.to_path_buf()
}

/// The `refrain` program of this build.
pub fn program() -> PathBuf {
    let program = built().join("refrain");
    assert!(
        program.is_file(),
        "{} is not built: run `cargo build --release --workspace --all-targets`",
        program.display()
    );
    program
}

/// The component of a plugin in plugins/, built when its source is newer. Tests in other processes wait.
#[expect(clippy::disallowed_methods, reason = "files of the tests")]
pub fn component(plugin: &str) -> PathBuf {
    let folder = built().join("test-plugins");
    fs::create_dir_all(&folder).expect("the target folder takes files");
    let gate = fs::File::create(folder.join("lock")).expect("the target folder takes files");
    gate.lock().expect("a lock file can be locked");
    let out = folder.join(format!("{plugin}.wasm"));
    let package = repository().join("plugins").join(plugin);
    // A plugin may take its fold from the folder of another.
    let sources = [
        newest(&repository().join("plugins")),
        newest(&repository().join("plugin-sdk/rust")),
    ];
    let fresh = changed(&out).is_some_and(|at| sources.iter().flatten().all(|source| at > *source));
    if !fresh {
        let _ = fs::remove_file(&out);
        build_plugin(&package, &out, &default_cache(), &mut |line| {
            eprintln!("{line}");
        })
        .unwrap_or_else(|error| panic!("plugin {plugin}: {error}"));
    }
    out
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// When the newest source file in a folder changed.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries
        .filter(|entry| entry.file_name() != "target")
        .filter_map(|entry| match entry.path() {
            path if path.is_dir() => newest(&path),
            path => changed(&path),
        })
        .max()
}
