//! The folder of a savepoint: where its parts are, and the record that says which they are.
//!
//! ```text
//! data/savepoints/NAME/savepoint.json            what it is; written last, so that a folder without it is nothing
//! data/savepoints/NAME/commits/                  parts of the commit log
//! data/savepoints/NAME/topics/TOPIC/topic.spec   declarations, and parts of each partition
//! data/savepoints/NAME/topics/TOPIC/PARTITION/
//! data/savepoints/NAME/components/               components of all versions
//! data/savepoints/NAME/project/                  pipeline file, refrain.lock and plugins as they were
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::parts::Part;
use refrain_log::storage::Storage;
use refrain_log::topic::Origin;
use serde::{Deserialize, Serialize};

use super::savepoint::{BASE, BASE_OTHER};
use crate::error::{Error, Result};

/// Name of the folder with all savepoints, in the data folder.
pub(super) const SAVEPOINTS: &str = "savepoints";
/// Name of the record.
const RECORD: &str = "savepoint.json";
/// Version of the record.
pub(super) const VERSION: u32 = 1;

/// What a savepoint is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Savepoint {
    pub(super) version: u32,
    pub(super) name: String,
    /// Made by retention: it has the results and no topics.
    pub(super) base: bool,
    pub(super) made: Timestamp,
    /// Number of the last commit in it.
    pub(super) commit: u64,
    /// Everything in the log up to this is in it.
    pub(super) durable: Sequence,
    pub(super) nodes: BTreeMap<String, SavedNode>,
    /// Frames of topics after a sequence that going on from here needs.
    pub(super) needs: BTreeMap<String, Sequence>,
    pub(super) commits: Vec<Part>,
    pub(super) topics: Vec<SavedTopic>,
    /// Files of the project, as paths in it.
    pub(super) files: Vec<String>,
}

/// One node at its last commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedNode {
    pub(super) cut: Sequence,
    /// Its view, rows and digest in hex.
    pub(super) view: Option<(String, u64, String)>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedTopic {
    pub(super) name: String,
    pub(super) origin: Origin,
    /// Of a derived topic: the ends that the last commit names.
    pub(super) ends: Vec<Offset>,
    pub(super) partitions: Vec<Vec<Part>>,
}

impl Savepoint {
    /// Bytes that it names, shared or not.
    pub(super) fn bytes(&self) -> u64 {
        let topics = self
            .topics
            .iter()
            .flat_map(|t| t.partitions.iter().flatten());
        topics.chain(&self.commits).map(|part| part.published).sum()
    }
}

/// A data folder with its savepoints.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'p> {
    pub(super) storage: &'p dyn Storage,
    pub(super) data: &'p Path,
}

impl Place<'_> {
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.data.join(SAVEPOINTS).join(name)
    }

    /// Names of all savepoints that are whole.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let folder = self.data.join(SAVEPOINTS);
        let names = self.storage.list(&folder);
        let names = names.map_err(|e| io("list", &folder, e))?;
        let mut found = Vec::new();
        for name in names {
            let inside = self.storage.list(&folder.join(&name));
            if inside.is_ok_and(|inside| inside.iter().any(|n| n == RECORD)) {
                found.push(name);
            }
        }
        Ok(found)
    }

    /// The savepoint of that name.
    pub(super) fn read(&self, name: &str) -> Result<Savepoint> {
        let path = self.folder(name).join(RECORD);
        let bytes = match self.storage.read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let names = self.names()?;
                // Retention gives its own one this name or that; for people it has one.
                let all = names.iter().map(|name| match name.as_str() {
                    BASE_OTHER => BASE,
                    name => name,
                });
                let none = "there are none; make one with `refrain savepoint create NAME`";
                return Err(Error::Refused(crate::names::unknown(
                    "savepoint",
                    name,
                    all,
                    none,
                )));
            }
            bytes => bytes.map_err(|e| io("read", &path, e))?,
        };
        let savepoint: Savepoint = serde_json::from_slice(&bytes)
            .map_err(|e| damaged(name, &format!("{RECORD} cannot be read: {e}")))?;
        if savepoint.version != VERSION {
            return Err(Error::Refused(format!(
                "savepoint {name} is of version {}, and this program knows version {VERSION}: use the release of refrain \
                 that made it",
                savepoint.version
            )));
        }
        Ok(savepoint)
    }

    /// Makes a savepoint whole: all its files are durable by now.
    pub(super) fn write(&self, savepoint: &Savepoint) -> Result<()> {
        let path = self.folder(&savepoint.name).join(RECORD);
        let json = serde_json::to_vec_pretty(savepoint).expect("names and numbers are always JSON");
        let written = self.storage.replace(&path, &json);
        written.map_err(|e| io("write", &path, e))
    }

    /// Removes a savepoint, or what is left of one: first the record, so that it is whole or nothing.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let folder = self.folder(name);
        let record = folder.join(RECORD);
        match self.storage.remove(&record) {
            Ok(()) => self.storage.sync_dir(&folder),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
        .and_then(|()| self.storage.remove_dir_all(&folder))
        .map_err(|e| io("remove", &folder, e))
    }

    pub(super) fn make(&self, folder: &Path) -> Result<()> {
        let made = self.storage.create_dir_all(folder);
        made.map_err(|e| io("make", folder, e))
    }

    /// Gives every file of a folder a second name in another, which is made; what they are called.
    pub(super) fn link_all(&self, from: &Path, to: &Path) -> Result<Vec<String>> {
        self.make(to)?;
        let names = self.storage.list(from).map_err(|e| io("list", from, e))?;
        for name in &names {
            self.link(&from.join(name), &to.join(name))?;
        }
        self.storage.sync_dir(to).map_err(|e| io("sync", to, e))?;
        Ok(names)
    }

    /// A second name for a file that is only ever replaced; a copy where there is no such thing.
    pub(super) fn link(&self, from: &Path, to: &Path) -> Result<()> {
        match self.storage.link(from, to) {
            Err(e) if e.kind() == std::io::ErrorKind::Unsupported => self.copy(from, to),
            linked => linked.map_err(|e| io("link", from, e)),
        }
    }

    /// A copy of a small file.
    pub(super) fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        let bytes = self.storage.read(from).map_err(|e| io("read", from, e))?;
        let written = self.storage.replace(to, &bytes);
        written.map_err(|e| io("write", to, e))
    }
}

pub(super) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Io {
        action,
        path: path.display().to_string(),
        source,
    }
}

/// A savepoint that cannot be used.
pub(super) fn damaged(name: &str, what: &str) -> Error {
    Error::Savepoint {
        name: name.to_owned(),
        what: what.to_owned(),
    }
}
