//! Going back to a savepoint: in a new project folder, or in the one it was made in.
//!
//! In place, the results go back and the topics stay: what came after is read again. A note says so before anything is
//! touched, so that an act that is interrupted is taken up again when the data folder is opened.

use std::path::{Path, PathBuf};

use refrain_log::parts::{self, Part};
use refrain_log::storage::{DiskStorage, Storage, copy};
use refrain_log::topic::Origin;
use serde::{Deserialize, Serialize};

use super::folder::{Place, SavedTopic, Savepoint, damaged, io};
use super::savepoint::{NodeSaved, named};
use crate::error::{Error, Result};
use crate::host::{self, DATA_FOLDER, PIPELINE_FILE, Project};

/// Name of the note about an act under way, in the data folder.
const RESTORING: &str = "restoring";

/// What was restored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restored {
    /// The savepoint.
    pub name: String,
    /// The project it is in now.
    pub into: PathBuf,
    /// Nodes with their cuts, and their views with rows and digest.
    pub nodes: Vec<NodeSaved>,
    /// Bytes that it names.
    pub bytes: u64,
    /// Whether it was done; otherwise it was looked at alone.
    pub done: bool,
}

/// Makes a new project of a savepoint. Beside a running host, too. `into` is absent or empty; after an error it is not a
/// project.
pub fn restore_into(project: &Project, name: &str, into: &Path) -> Result<Restored> {
    let data = project.data();
    let place = Place {
        storage: &DiskStorage,
        data: &data,
    };
    let savepoint = whole(&place, name)?;
    if savepoint.base {
        return Err(Error::Refused(format!(
            "savepoint {name} has results and no topics, so a new project could not go on from it: restore it in its own \
             project, without --into"
        )));
    }
    let there = place.storage.list(into).map_err(|e| io("list", into, e))?;
    if !there.is_empty() {
        return Err(Error::Refused(format!(
            "{} is not empty; name a folder that is not there yet",
            into.display()
        )));
    }
    let folder = place.folder(&savepoint.name);
    let new = into.join(DATA_FOLDER);
    lay_commits(&place, &savepoint, &folder, &new.join("commits"))?;
    for topic in &savepoint.topics {
        lay_topic(&place, topic, &folder, &new)?;
    }
    place.link_all(&folder.join("components"), &new.join("components"))?;
    // The pipeline file comes last: without it the folder is no project.
    let files = savepoint.files.iter().filter(|file| *file != PIPELINE_FILE);
    for file in files.map(String::as_str).chain([PIPELINE_FILE]) {
        let to = into.join(file);
        place.make(to.parent().expect("it is in a folder"))?;
        place.copy(&folder.join("project").join(file), &to)?;
    }
    Ok(restored(savepoint, into))
}

/// Sets the results of a project back to a savepoint. No host runs meanwhile. Without `confirm`, every byte of the savepoint
/// is read and nothing is changed; a host may run.
pub fn restore(project: &Project, name: &str, confirm: bool) -> Result<Restored> {
    let data = project.data();
    let storage: std::sync::Arc<dyn Storage> = std::sync::Arc::new(DiskStorage);
    let place = Place {
        storage: &*storage,
        data: &data,
    };
    if !confirm {
        let savepoint = whole(&place, name)?;
        return Ok(Restored {
            done: false,
            ..restored(savepoint, project.root())
        });
    }
    let _lock = host::lock(&storage, &data)?;
    let savepoint = whole(&place, name)?;
    let note = data.join(RESTORING);
    let noted = storage.replace(&note, savepoint.name.as_bytes());
    noted.map_err(|e| io("write", &note, e))?;
    finish(&*storage, &data)?;
    Ok(restored(savepoint, project.root()))
}

/// Takes up a restore that was interrupted, if there is one. The caller has the data folder's lock.
pub(crate) fn finish(storage: &dyn Storage, data: &Path) -> Result<()> {
    let note = data.join(RESTORING);
    let name = match storage.read(&note) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        name => name.map_err(|e| io("read", &note, e))?,
    };
    let name = String::from_utf8_lossy(&name).into_owned();
    let place = Place { storage, data };
    let savepoint = place.read(&name)?;
    let folder = place.folder(&name);
    let commits = data.join("commits");
    let gone = storage.remove_dir_all(&commits);
    gone.map_err(|e| io("remove", &commits, e))?;
    lay_commits(&place, &savepoint, &folder, &commits)?;
    for topic in savepoint
        .topics
        .iter()
        .filter(|t| t.origin == Origin::Derived)
    {
        let own = data.join("topics").join(&topic.name);
        let gone = storage.remove_dir_all(&own);
        gone.map_err(|e| io("remove", &own, e))?;
        lay_topic(&place, topic, &folder, data)?;
    }
    if savepoint.base {
        part_from_savepoints(&place)?;
    }
    for name in storage.list(&folder.join("components")).unwrap_or_default() {
        let (from, to) = (
            folder.join("components").join(&name),
            data.join("components"),
        );
        place.make(&to)?;
        match place.link(&from, &to.join(&name)) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {
            }
            linked => linked?,
        }
    }
    let done = storage.remove(&note).and_then(|()| storage.sync_dir(data));
    done.map_err(|e| io("remove", &note, e))
}

/// A savepoint, after a look at every byte of it.
fn whole(place: &Place<'_>, name: &str) -> Result<Savepoint> {
    let name = named(place, name)?;
    let savepoint = place.read(&name)?;
    let folder = place.folder(&name);
    check(place, &name, &savepoint.commits, &folder.join("commits"))?;
    for topic in &savepoint.topics {
        for (i, parts) in topic.partitions.iter().enumerate() {
            let inside = folder.join("topics").join(&topic.name).join(i.to_string());
            check(place, &name, parts, &inside)?;
        }
    }
    for file in &savepoint.files {
        let path = folder.join("project").join(file);
        if place.storage.read(&path).is_err() {
            return Err(damaged(&name, &format!("{} is not there", path.display())));
        }
    }
    Ok(savepoint)
}

pub(super) fn check(place: &Place<'_>, name: &str, parts: &[Part], folder: &Path) -> Result<()> {
    let flaws = parts::verify(place.storage, parts, folder)?;
    match flaws.first() {
        None => Ok(()),
        Some(flaw) => {
            let path = folder.join(&flaw.file);
            Err(damaged(name, &format!("{}: {}", path.display(), flaw.what)))
        }
    }
}

pub(super) fn lay_commits(
    place: &Place<'_>,
    savepoint: &Savepoint,
    folder: &Path,
    to: &Path,
) -> Result<()> {
    place.make(to)?;
    let from = folder.join("commits");
    Ok(parts::lay_out(
        place.storage,
        &savepoint.commits,
        &from,
        to,
        |_| true,
    )?)
}

/// A topic with its partitions. Of a derived topic, segments with rows after the commit will be cut: they are copied.
fn lay_topic(place: &Place<'_>, topic: &SavedTopic, folder: &Path, data: &Path) -> Result<()> {
    let from = folder.join("topics").join(&topic.name);
    let to = data.join("topics").join(&topic.name);
    place.make(&to)?;
    for (i, parts) in topic.partitions.iter().enumerate() {
        let (from, to) = (from.join(i.to_string()), to.join(i.to_string()));
        place.make(&to)?;
        let end = topic.ends.get(i).copied();
        let keeps = |part: &Part| {
            let next = parts.iter().find(|next| next.base > part.base);
            end.is_none_or(|end| next.is_some_and(|next| next.base < end))
        };
        parts::lay_out(place.storage, parts, &from, &to, keeps)?;
    }
    // A topic is one by its declaration.
    place.copy(&from.join("topic.spec"), &to.join("topic.spec"))
}

/// Derived topics will be cut back in place: the segments where that may happen get a body of their own, so that no
/// savepoint is cut with them.
fn part_from_savepoints(place: &Place<'_>) -> Result<()> {
    let topics = place.data.join("topics");
    for name in place.names()? {
        for topic in place.read(&name)?.topics {
            if topic.origin != Origin::Derived {
                continue;
            }
            for partition in 0..topic.partitions.len() {
                let folder = topics.join(&topic.name).join(partition.to_string());
                let files = place.storage.list(&folder).unwrap_or_default();
                for file in files.iter().filter(|file| file.ends_with(".segment")) {
                    own_body(place.storage, &folder.join(file))?;
                }
            }
        }
    }
    Ok(())
}

fn own_body(storage: &dyn Storage, path: &Path) -> Result<()> {
    let new = path.with_extension("own");
    let _ = storage.remove(&new);
    let copied = storage
        .open(path)
        .and_then(|file| file.len())
        .and_then(|len| copy(storage, path, &new, len))
        .and_then(|()| storage.rename(&new, path));
    copied.map_err(|e| io("copy", path, e))
}

fn restored(savepoint: Savepoint, into: &Path) -> Restored {
    Restored {
        bytes: savepoint.bytes(),
        name: savepoint.name,
        into: into.to_path_buf(),
        nodes: NodeSaved::all(savepoint.nodes),
        done: true,
    }
}
