//! Notes of what was appended again, one small JSON file an act, in `data/resubmitted/<topic>/`.
//!
//! A note is written before its rows are appended and holds them until they are, so that an interrupted act is finished
//! from the note alone, with the same producer's name, and adds nothing twice. Rows that any note names are never
//! appended again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use refrain_log::clock::Clock;
use refrain_log::log::Appended;
use refrain_log::schema::Schema;
use refrain_log::storage::Storage;
use serde::{Deserialize, Serialize};

use super::{Span, Spot};
use crate::error::{Error, Result};
use crate::ingest::time;

/// Version of the files.
const VERSION: u32 = 1;

/// One act of appending again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    version: u32,
    /// Where the rows were set aside.
    pub(super) name: String,
    /// The source topic that they go to.
    pub(super) to: String,
    /// When it was written; ISO 8601.
    pub(super) time: String,
    /// Name of the producer under which they are appended.
    pub(super) producer: String,
    /// What they stand for.
    pub(super) spans: Vec<Span>,
    /// The rows, until they are appended.
    pub(super) pending: Option<Pending>,
    /// What became of them.
    pub(super) appended: Option<Appended>,
}

/// Rows in a note.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Their schema.
    pub(super) schema: Schema,
    /// Their columns, in base64.
    pub(super) columns: String,
}

/// What the notes of one topic say together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Noted {
    /// Rows that were, or are being, appended again; sorted, apart from each other.
    pub(crate) spans: Vec<Span>,
    /// Whether an act was interrupted.
    pub(crate) unfinished: bool,
}

/// The notes of a host.
#[derive(Debug)]
pub struct Notes {
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    folder: PathBuf,
    gate: Mutex<()>,
}

impl Span {
    /// Rows in it.
    pub fn rows(&self) -> u64 {
        self.last - self.first + 1
    }

    /// Whether the row is in it.
    pub fn holds(&self, topic: &str, partition: u32, offset: u64) -> bool {
        self.topic == topic
            && self.partition == partition
            && (self.first..=self.last).contains(&offset)
    }
}

/// Rows as few spans, sorted; overlapping and neighbouring ones become one.
pub(super) fn spans(mut spots: Vec<Span>) -> Vec<Span> {
    spots.sort();
    let mut spans: Vec<Span> = Vec::new();
    for spot in spots {
        match spans.last_mut() {
            Some(last)
                if last.topic == spot.topic
                    && last.partition == spot.partition
                    && spot.first <= last.last + 1 =>
            {
                last.last = last.last.max(spot.last);
            }
            _ => spans.push(spot),
        }
    }
    spans
}

/// Whether one of these (sorted, apart from each other) holds the row.
pub(super) fn holds(spans: &[Span], spot: &Spot) -> bool {
    let at = (spot.topic.as_str(), spot.partition, spot.offset.0);
    let after = spans.partition_point(|s| (s.topic.as_str(), s.partition, s.first) <= at);
    after > 0 && spans[after - 1].holds(at.0, at.1, at.2)
}

impl From<&Spot> for Span {
    fn from(spot: &Spot) -> Span {
        Span {
            topic: spot.topic.clone(),
            partition: spot.partition,
            first: spot.offset.0,
            last: spot.offset.0,
        }
    }
}

impl Notes {
    /// The notes in this folder.
    pub(crate) fn new(storage: Arc<dyn Storage>, clock: Arc<dyn Clock>, folder: PathBuf) -> Notes {
        Notes {
            storage,
            clock,
            folder,
            gate: Mutex::new(()),
        }
    }

    /// One act at a time.
    pub(super) fn enter(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().expect("nobody panics with the notes")
    }

    /// What the notes of a topic say.
    pub(crate) fn noted(&self, name: &str) -> Result<Noted> {
        let notes = self.read(name)?;
        Ok(Noted {
            unfinished: notes.iter().any(|(_, note)| note.pending.is_some()),
            spans: spans(notes.into_iter().flat_map(|(_, note)| note.spans).collect()),
        })
    }

    /// All notes of a topic, in the order in which they were written.
    pub(super) fn read(&self, name: &str) -> Result<Vec<(PathBuf, Note)>> {
        let folder = self.folder.join(name);
        let names = self
            .storage
            .list(&folder)
            .map_err(|e| io("list", &folder, e))?;
        let files = names.into_iter().filter(|file| file.ends_with(".json"));
        files
            .map(|file| {
                let path = folder.join(file);
                let bytes = self.storage.read(&path).map_err(|e| io("read", &path, e))?;
                let note: Note = serde_json::from_slice(&bytes).map_err(|e| {
                    Error::Refused(format!(
                        "{}: is no note of rows appended again ({e}); restore it from a copy, or remove it to forget \
                         that those rows were",
                        path.display()
                    ))
                })?;
                if note.version == VERSION {
                    return Ok((path, note));
                }
                Err(Error::Refused(format!(
                    "{}: was written by another version of refrain ({}); use that one",
                    path.display(),
                    note.version
                )))
            })
            .collect()
    }

    /// A new note, durable.
    pub(super) fn begin(
        &self,
        name: &str,
        to: &str,
        producer: String,
        taken: Vec<Span>,
        pending: Pending,
    ) -> Result<(PathBuf, Note)> {
        let folder = self.folder.join(name);
        let number = self
            .storage
            .list(&folder)
            .map_err(|e| io("list", &folder, e))?
            .iter()
            .filter_map(|file| file.strip_suffix(".json")?.parse::<u64>().ok())
            .max()
            .unwrap_or(0);
        let path = folder.join(format!("{:08}.json", number + 1));
        let note = Note {
            version: VERSION,
            name: name.to_owned(),
            to: to.to_owned(),
            time: time::text(self.clock.now().0),
            producer,
            spans: taken,
            pending: Some(pending),
            appended: None,
        };
        self.storage
            .create_dir_all(&folder)
            .map_err(|e| io("make", &folder, e))?;
        self.write(&path, &note)?;
        Ok((path, note))
    }

    /// Replaces a note, durably.
    pub(super) fn write(&self, path: &Path, note: &Note) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(note).expect("names and numbers are always JSON");
        self.storage
            .replace(path, &bytes)
            .map_err(|e| io("write", path, e))
    }

    /// Takes a note back whose rows were refused as a whole.
    pub(super) fn remove(&self, path: &Path) -> Result<()> {
        self.storage.remove(path).map_err(|e| io("remove", path, e))
    }

    /// Rows of this derived topic are computed anew: what notes say of its offsets holds no longer.
    pub(crate) fn forget_topic(&self, topic: &str) -> Result<()> {
        let _gate = self.enter();
        let names = self
            .storage
            .list(&self.folder)
            .map_err(|e| io("list", &self.folder, e))?;
        for name in names {
            for (path, mut note) in self.read(&name)? {
                let before = note.spans.len();
                note.spans.retain(|span| span.topic != topic);
                if note.spans.len() < before {
                    self.write(&path, &note)?;
                }
            }
        }
        Ok(())
    }
}

fn io(action: &'static str, path: &std::path::Path, source: std::io::Error) -> Error {
    let path = path.display().to_string();
    Error::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use refrain_log::ids::Offset;

    use super::*;

    fn spot(topic: &str, partition: u32, offset: u64) -> Spot {
        Spot {
            topic: topic.into(),
            partition,
            offset: Offset(offset),
        }
    }

    #[test]
    fn spans_hold_what_they_were_made_of_and_nothing_else() {
        proptest::proptest!(|(rows in proptest::collection::vec((0..2_u32, 0..40_u64), 0..60))| {
            let spots: Vec<Spot> = rows.iter().map(|(p, o)| spot("t", *p, *o)).collect();
            let spans = spans(spots.iter().map(Span::from).collect());
            for partition in 0..3 {
                for offset in 0..45 {
                    let wanted = rows.contains(&(partition, offset));
                    proptest::prop_assert_eq!(holds(&spans, &spot("t", partition, offset)), wanted);
                    proptest::prop_assert!(!holds(&spans, &spot("u", partition, offset)));
                }
            }
            let rows: std::collections::BTreeSet<_> = rows.into_iter().collect();
            proptest::prop_assert_eq!(spans.iter().map(Span::rows).sum::<u64>(), rows.len() as u64);
        });
    }
}
