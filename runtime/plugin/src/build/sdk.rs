//! The SDKs and wit/ inside the binary, so that a plugin can be made and built anywhere.
//!
//! They are unpacked beside the plugins that use them. The Rust SDK is unpacked when it is missing, since cargo's lock
//! files follow it; the others again whenever they differ from what this program has.

use std::path::{Path, PathBuf};

use super::{BuildError, file};

/// Where the SDKs are unpacked, beside the plugins that use them.
pub const SDK_FOLDER: &str = ".sdk";

/// One SDK, or what several share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sdk {
    Rust,
    C,
    Zig,
    Python,
    JavaScript,
    Go,
    AssemblyScript,
    Wit,
}

macro_rules! files {
    ($name:ident, $root:literal, $($path:literal),* $(,)?) => {
        const $name: &[(&str, &str)] =
            &[$(($path, include_str!(concat!("../../../../", $root, "/", $path)))),*];
    };
}

files!(
    RUST,
    "plugin-sdk/rust",
    "refrain-sdk/Cargo.toml",
    "refrain-sdk/src/bindings/fold_plugin.rs",
    "refrain-sdk/src/bindings/migrate_plugin.rs",
    "refrain-sdk/src/bindings/mod.rs",
    "refrain-sdk/src/bindings/process_plugin.rs",
    "refrain-sdk/src/bindings/session_plugin.rs",
    "refrain-sdk/src/bindings/talking_plugin.rs",
    "refrain-sdk/src/bindings/transform_plugin.rs",
    "refrain-sdk/src/cell.rs",
    "refrain-sdk/src/codec.rs",
    "refrain-sdk/src/dedup.rs",
    "refrain-sdk/src/export.rs",
    "refrain-sdk/src/export_process.rs",
    "refrain-sdk/src/fold.rs",
    "refrain-sdk/src/inputs.rs",
    "refrain-sdk/src/join/as_of.rs",
    "refrain-sdk/src/join/interval.rs",
    "refrain-sdk/src/join/latest.rs",
    "refrain-sdk/src/join/mod.rs",
    "refrain-sdk/src/late.rs",
    "refrain-sdk/src/lib.rs",
    "refrain-sdk/src/plugin.rs",
    "refrain-sdk/src/process.rs",
    "refrain-sdk/src/row.rs",
    "refrain-sdk/src/states.rs",
    "refrain-sdk/src/talk.rs",
    "refrain-sdk/src/test_fold.rs",
    "refrain-sdk/src/test_process.rs",
    "refrain-sdk/src/test_transform.rs",
    "refrain-sdk/src/top.rs",
    "refrain-sdk/src/transform.rs",
    "refrain-sdk/src/wrapped.rs",
    "refrain-sdk-derive/Cargo.toml",
    "refrain-sdk-derive/src/inputs.rs",
    "refrain-sdk-derive/src/lib.rs",
    "refrain-sdk-derive/src/plugin.rs",
    "refrain-sdk-derive/src/row.rs",
    "refrain-sdk-derive/src/state.rs",
);
files!(
    C,
    "plugin-sdk/c",
    "refrain.h",
    "refrain_fold.h",
    "refrain_process.h",
    "refrain_states.h",
    "refrain_transform.h",
);
files!(
    ZIG,
    "plugin-sdk/zig",
    "about.zig",
    "codec.zig",
    "fold.zig",
    "main.zig",
    "memory.zig",
    "process.zig",
    "refrain.zig",
    "rows.zig",
    "states.zig",
    "talk.zig",
    "transform.zig",
    "values.zig",
    "voice_off.zig",
    "voice_on.zig",
    "wire.zig",
);
files!(
    PYTHON,
    "plugin-sdk/python",
    "refrain/__init__.py",
    "refrain/about.py",
    "refrain/fold.py",
    "refrain/process.py",
    "refrain/rows.py",
    "refrain/states.py",
    "refrain/times.py",
    "refrain/transform.py",
    "refrain/voice.py",
);
files!(
    JAVASCRIPT,
    "plugin-sdk/javascript",
    "about.js",
    "fold.js",
    "process.js",
    "refrain.d.ts",
    "refrain.js",
    "rows.js",
    "states.js",
    "text.js",
    "times.js",
    "transform.js",
    "voice.js",
);
files!(
    GO,
    "plugin-sdk/go",
    "go.mod",
    "fold/fold.go",
    "internal/wire/about.go",
    "internal/wire/codec.go",
    "internal/wire/columns.go",
    "internal/wire/listen.go",
    "internal/wire/memory.go",
    "internal/wire/rows.go",
    "internal/wire/states.go",
    "internal/wire/time.go",
    "process/process.go",
    "talk/off.go",
    "talk/on.go",
    "talk/talk.go",
    "transform/transform.go",
);
files!(
    ASSEMBLYSCRIPT,
    "plugin-sdk/assemblyscript",
    "about.ts",
    "exports.mjs",
    "exports.ts",
    "fields.ts",
    "fold.ts",
    "fold_exports.ts",
    "memory.ts",
    "process.ts",
    "process_exports.ts",
    "states.ts",
    "transform.ts",
    "transform_exports.ts",
    "voice.ts",
);
files!(
    WIT,
    "wit",
    "about.wit",
    "fold.wit",
    "logging.wit",
    "merge.wit",
    "migrate.wit",
    "process.wit",
    "transform.wit",
    "types.wit",
    "worlds.wit",
);

impl Sdk {
    /// Every file, by its path in the folder of the SDK.
    pub(super) fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Sdk::Rust => RUST,
            Sdk::C => C,
            Sdk::Zig => ZIG,
            Sdk::Python => PYTHON,
            Sdk::JavaScript => JAVASCRIPT,
            Sdk::Go => GO,
            Sdk::AssemblyScript => ASSEMBLYSCRIPT,
            Sdk::Wit => WIT,
        }
    }

    /// Its folder below [`SDK_FOLDER`].
    fn folder(self) -> &'static str {
        match self {
            Sdk::Rust => "",
            Sdk::C => "c",
            Sdk::Zig => "zig",
            Sdk::Python => "python",
            Sdk::JavaScript => "javascript",
            Sdk::Go => "go",
            Sdk::AssemblyScript => "assemblyscript",
            Sdk::Wit => "wit",
        }
    }
}

/// Writes the Rust SDK into `folder`, over what is there.
pub fn unpack_sdk(folder: &Path) -> Result<(), BuildError> {
    Sdk::Rust
        .files()
        .iter()
        .try_for_each(|(path, text)| write_if_other(&folder.join(path), text))
}

/// Writes an SDK into [`SDK_FOLDER`] of `plugins` where it differs; the folder that it is in.
pub(super) fn unpack(sdk: Sdk, plugins: &Path) -> Result<PathBuf, BuildError> {
    let folder = plugins.join(SDK_FOLDER).join(sdk.folder());
    for (path, text) in sdk.files() {
        write_if_other(&folder.join(path), text)?;
    }
    Ok(folder)
}

#[expect(
    clippy::disallowed_methods,
    reason = "sources for the user's own plugins"
)]
fn write_if_other(path: &Path, text: &str) -> Result<(), BuildError> {
    if std::fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    let folder = path.parent().expect("every file of an SDK is in a folder");
    std::fs::create_dir_all(folder).map_err(|why| file(folder, why))?;
    std::fs::write(path, text).map_err(|why| file(path, why))
}

/// Unpacks the Rust SDK again for a plugin that was made with it, when it is missing.
#[expect(clippy::disallowed_methods, reason = "the user's own file is read")]
pub(super) fn restore(package: &Path, say: &mut dyn FnMut(&str)) -> Result<(), BuildError> {
    let manifest = package.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).map_err(|why| file(&manifest, why))?;
    let folder = package.join("..").join(SDK_FOLDER);
    if text.contains(&format!("../{SDK_FOLDER}/")) && !folder.join("refrain-sdk").is_dir() {
        say(&format!("unpacking the SDK into {}", folder.display()));
        unpack_sdk(&folder)?;
    }
    Ok(())
}
