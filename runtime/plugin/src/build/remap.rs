//! Folders of this machine under neutral names: the compiler writes paths of sources into panic messages, and a component
//! that is handed on need not say where it was built.
//!
//! The bytes still depend on the place: cargo hashes the path of a package outside the plugin's own workspace, such as the
//! SDK, into the names of functions, which decides their order.

use std::path::{Path, PathBuf};

use super::command::Command;

/// Flags for the compiler: each local package as `/NAME`, what cargo downloaded as `/cargo`. The last flag that fits a
/// path counts, so deeper folders come later.
pub(super) fn flags(package: &Path) -> Vec<String> {
    let metadata = Command::new("cargo", package)
        .clean()
        .args(["metadata", "--format-version", "1"])
        .ask()
        .unwrap_or_default();
    let mut folders: Vec<(PathBuf, String)> = cargo_home()
        .map(|home| (home, "/cargo".to_string()))
        .into_iter()
        .chain(local_packages(&metadata))
        .collect();
    folders.sort();
    folders
        .iter()
        .map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display()))
        .collect()
}

/// Packages that lie on this machine, by what `cargo metadata` says.
fn local_packages(metadata: &str) -> Vec<(PathBuf, String)> {
    let metadata: serde_json::Value = serde_json::from_str(metadata).unwrap_or_default();
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let local = packages
        .iter()
        .filter(|package| package["source"].is_null());
    local
        .filter_map(|package| {
            let folder = Path::new(package["manifest_path"].as_str()?).parent()?;
            Some((
                folder.to_path_buf(),
                format!("/{}", package["name"].as_str()?),
            ))
        })
        .collect()
}

fn cargo_home() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cargo")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_this_machine_are_named_and_downloaded_ones_are_not() {
        let metadata = r#"{"packages": [
            {"name": "mine", "source": null, "manifest_path": "/p/plugins/mine/Cargo.toml"},
            {"name": "serde", "source": "registry+x", "manifest_path": "/c/registry/serde/Cargo.toml"}
        ]}"#;
        let mine = (PathBuf::from("/p/plugins/mine"), "/mine".to_string());
        assert_eq!(local_packages(metadata), [mine]);
        assert!(local_packages("nothing").is_empty());
    }
}
