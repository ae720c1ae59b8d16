//! The Rust SDK inside the binary, so that a plugin can be made and built anywhere.

use std::path::Path;

use super::{BuildError, file};

/// Where the SDK is unpacked, beside the plugins that use it.
pub const SDK_FOLDER: &str = ".sdk";

macro_rules! sdk {
    ($($path:literal),* $(,)?) => {
        /// Every file of the SDK that a plugin needs, by its path in plugin-sdk/rust.
        pub(super) const FILES: &[(&str, &str)] =
            &[$(($path, include_str!(concat!("../../../../plugin-sdk/rust/", $path)))),*];
    };
}

sdk!(
    "refrain-sdk/Cargo.toml",
    "refrain-sdk/src/bindings/fold_plugin.rs",
    "refrain-sdk/src/bindings/mod.rs",
    "refrain-sdk/src/bindings/transform_plugin.rs",
    "refrain-sdk/src/cell.rs",
    "refrain-sdk/src/codec.rs",
    "refrain-sdk/src/export.rs",
    "refrain-sdk/src/fold.rs",
    "refrain-sdk/src/lib.rs",
    "refrain-sdk/src/plugin.rs",
    "refrain-sdk/src/row.rs",
    "refrain-sdk/src/test_fold.rs",
    "refrain-sdk/src/test_transform.rs",
    "refrain-sdk/src/transform.rs",
    "refrain-sdk-derive/Cargo.toml",
    "refrain-sdk-derive/src/lib.rs",
    "refrain-sdk-derive/src/plugin.rs",
    "refrain-sdk-derive/src/row.rs",
    "refrain-sdk-derive/src/state.rs",
);

/// Writes the SDK into `folder`, over what is there.
#[expect(
    clippy::disallowed_methods,
    reason = "sources for the user's own plugins"
)]
pub fn unpack_sdk(folder: &Path) -> Result<(), BuildError> {
    for (path, text) in FILES {
        let path = folder.join(path);
        let parent = path.parent().expect("every file of the SDK is in a folder");
        std::fs::create_dir_all(parent).map_err(|why| file(parent, why))?;
        std::fs::write(&path, text).map_err(|why| file(&path, why))?;
    }
    Ok(())
}

/// Unpacks the SDK again for a plugin that was made with it, when it is missing.
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
