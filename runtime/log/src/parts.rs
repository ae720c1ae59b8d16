//! The files of a run as another folder can have them: linked where they do not change any more, copied where they do.
//!
//! A segment that has a successor is never written again, and of the last one everything before its published end stays
//! as it is. So a link to each file, with how much of the last one counts, is the run at this moment, for ever, and costs
//! a name a file. Who goes on from there gives the files that it will write a body of their own.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::ids::{Offset, Position};
use crate::retention::REMOVED;
use crate::scan;
use crate::segment::{Run, footer_name};
use crate::storage::{Storage, copy};
use crate::topic::{Origin, Topic};
use crate::{Error, Result};

/// One segment of a run, kept in another folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Name of its file.
    pub file: String,
    /// First offset in it.
    pub base: Offset,
    /// So many of its first bytes are frames that readers saw.
    pub published: u64,
    /// So many of its first bytes may be frames.
    pub bytes: u64,
    /// It has a successor: its file never changes again.
    pub sealed: bool,
}

/// What is wrong with a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Name of its file.
    pub file: String,
    /// A sentence.
    pub what: String,
}

impl Run {
    /// Gives every segment a second name in `folder`, which is there and empty. Nothing removes segments meanwhile.
    /// `whole`: of the last one everything counts, published or not.
    pub(crate) fn link_into(&self, folder: &Path, whole: bool) -> Result<Vec<Part>> {
        let _files = self.files();
        let segments = self.segments().clone();
        let last = segments.len().saturating_sub(1);
        let mut parts = Vec::new();
        for (i, segment) in segments.iter().enumerate() {
            let (from, to) = (self.path(&segment.name), folder.join(&*segment.name));
            let bytes = match i == last && whole {
                true => segment.file.len().map_err(|e| self.io("read", &from, e))?,
                false => segment.end().0,
            };
            link_or_copy(&*self.storage, &from, &to, bytes).map_err(|e| self.io("link", &to, e))?;
            parts.push(Part {
                file: segment.name.to_string(),
                base: segment.base,
                published: segment.end().0,
                bytes,
                sealed: i < last,
            });
            let footer = footer_name(segment.base);
            if i < last {
                // A footer can be rebuilt.
                let _ =
                    link_or_copy_all(&*self.storage, &self.path(&footer), &folder.join(&footer));
            }
        }
        match link_or_copy_all(&*self.storage, &self.path(REMOVED), &folder.join(REMOVED)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(self.io("link", &folder.join(REMOVED), e));
            }
            _ => {}
        }
        let synced = self.storage.sync_dir(folder);
        synced.map_err(|e| self.io("sync", folder, e))?;
        Ok(parts)
    }
}

impl Topic {
    /// Gives every segment of a partition a second name in `folder`, which is there and empty; see [`lay_out`]. Nothing
    /// removes segments meanwhile. A derived topic may so be linked with more than its last commit names.
    pub fn link_into(&self, partition: u32, folder: &Path) -> Result<Vec<Part>> {
        let whole = self.spec().origin == Origin::Derived;
        self.partition(partition)?.run.link_into(folder, whole)
    }
}

/// Lays parts of `from` out in `to`, which is there, so that a run can be opened there and go on. Parts that `keeps`
/// says will not be written share their bytes with `from`; all others, and the last one, are copied. Durable at its end.
pub fn lay_out(
    storage: &dyn Storage,
    parts: &[Part],
    from: &Path,
    to: &Path,
    keeps: impl Fn(&Part) -> bool,
) -> Result<()> {
    for part in parts {
        let (source, target) = (from.join(&part.file), to.join(&part.file));
        let laid = match part.sealed && keeps(part) {
            true => link_or_copy(storage, &source, &target, part.bytes),
            false => copy(storage, &source, &target, part.bytes),
        };
        laid.map_err(|e| io("copy", &source, e))?;
        let footer = footer_name(part.base);
        if part.sealed {
            // A footer can be rebuilt.
            let _ = link_or_copy_all(storage, &from.join(&footer), &to.join(&footer));
        }
    }
    match link_or_copy_all(storage, &from.join(REMOVED), &to.join(REMOVED)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(io("copy", &from.join(REMOVED), e));
        }
        _ => {}
    }
    storage.sync_dir(to).map_err(|e| io("sync", to, e))
}

/// Reads every byte of parts that counts; what is wrong with them.
pub fn verify(storage: &dyn Storage, parts: &[Part], folder: &Path) -> Result<Vec<Flaw>> {
    let mut flaws = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let path = folder.join(&part.file);
        let file = match storage.open(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                flaws.push(Flaw::of(part, "is not there".into()));
                continue;
            }
            file => file.map_err(|e| io("open", &path, e))?,
        };
        let end = Position(part.published);
        let checked = scan::check(&*file, part.base, end).map_err(|e| io("read", &path, e))?;
        flaws.extend(
            checked
                .flaws
                .into_iter()
                .map(|(what, _)| Flaw::of(part, what)),
        );
        let next = parts.get(i + 1).map(|next| next.base);
        if let Some(next) = next.filter(|next| part.sealed && checked.end != *next) {
            flaws.push(Flaw::of(
                part,
                format!("does not end where row {next} begins"),
            ));
        }
    }
    Ok(flaws)
}

impl Flaw {
    fn of(part: &Part, what: String) -> Flaw {
        Flaw {
            file: part.file.clone(),
            what,
        }
    }
}

/// A second name where the storage has such, else a copy of the first bytes.
fn link_or_copy(storage: &dyn Storage, from: &Path, to: &Path, bytes: u64) -> std::io::Result<()> {
    match storage.link(from, to) {
        Err(e) if e.kind() == std::io::ErrorKind::Unsupported => copy(storage, from, to, bytes),
        linked => linked,
    }
}

/// The same with all of a small file that is only ever replaced.
fn link_or_copy_all(storage: &dyn Storage, from: &Path, to: &Path) -> std::io::Result<()> {
    match storage.link(from, to) {
        Err(e) if e.kind() == std::io::ErrorKind::Unsupported => {
            storage.replace(to, &storage.read(from)?)
        }
        linked => linked,
    }
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Io {
        action,
        path: path.display().to_string(),
        source,
    }
}
