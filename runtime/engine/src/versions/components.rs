//! The bytes of components by digest, in the data folder: a version goes on as it was built when the file that it came
//! from has changed or gone.

use std::path::PathBuf;
use std::sync::Arc;

use refrain_log::storage::Storage;
use refrain_plugin::Digest;

use crate::error::{Error, Result};

/// The folder with the components of all versions.
#[derive(Debug)]
pub struct Components {
    storage: Arc<dyn Storage>,
    folder: PathBuf,
}

impl Components {
    /// In this folder, which is made with the first component.
    pub fn new(storage: Arc<dyn Storage>, folder: PathBuf) -> Self {
        Self { storage, folder }
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}.wasm"))
    }

    /// Keeps a component, durably; its digest. No change when it is there already.
    pub fn keep(&self, bytes: &[u8]) -> Result<String> {
        let digest = Digest::of(bytes).to_string();
        if self.get(&digest).is_ok() {
            return Ok(digest);
        }
        let path = self.path(&digest);
        self.storage
            .create_dir_all(&self.folder)
            .and_then(|()| self.storage.replace(&path, bytes))
            .map_err(|source| Error::Io {
                action: "write",
                path: path.display().to_string(),
                source,
            })?;
        Ok(digest)
    }

    /// The bytes of this digest.
    pub fn get(&self, digest: &str) -> Result<Vec<u8>> {
        let path = self.path(digest);
        let bytes = self.storage.read(&path).map_err(|source| Error::Io {
            action: "read",
            path: path.display().to_string(),
            source,
        })?;
        if Digest::of(&bytes).to_string() != digest {
            return Err(Error::Refused(format!(
                "{} does not have the digest in its name any more; restore it from a copy, or compute the node anew with \
                 `refrain run --rebuild NODE`",
                path.display()
            )));
        }
        Ok(bytes)
    }

    /// Removes components that none of these digests names.
    pub fn retain(&self, digests: &[String]) -> Result<()> {
        let names = self.storage.list(&self.folder).unwrap_or_default();
        for name in names {
            let Some(digest) = name.strip_suffix(".wasm") else {
                continue;
            };
            if !digests.iter().any(|d| d == digest) {
                let path = self.folder.join(&name);
                self.storage.remove(&path).map_err(|source| Error::Io {
                    action: "remove",
                    path: path.display().to_string(),
                    source,
                })?;
            }
        }
        Ok(())
    }
}
