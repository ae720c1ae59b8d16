//! Declarations as they are stored beside the segments, and topics whose declaration is lost while their segments are
//! there. Those are damage: they are told, they count for the next sequence, and they are served again as soon as somebody
//! declares them.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::{Core, Finding};
use crate::ids::{Sequence, Timestamp};
use crate::open::reach;
use crate::retention::Removed;
use crate::schema::Schema;
use crate::schemas::{Defaults, History};
use crate::topic::{Topic, TopicSpec};
use crate::{Error, Result, declared};

/// File name of a topic's declaration.
const SPEC: &str = "topic.spec";

/// What is stored of a declaration.
pub(super) enum Stored {
    /// All of it.
    Whole(Box<(TopicSpec, History)>),
    /// Nothing, and no segment either: no topic was made, or not to its end.
    Nothing,
    /// It is missing, or it does not decode.
    Lost(Lost),
}

/// A topic without a declaration that can be read.
pub(super) struct Lost {
    name: String,
    /// What is wrong with the declaration.
    what: String,
    /// The partitions that there are.
    partitions: Vec<u32>,
    /// Whether a partition has segments, or had some.
    has_rows: bool,
}

impl Core {
    /// Reads the declaration of the topic in this folder.
    pub(super) fn stored(&self, name: &str) -> Result<Stored> {
        let path = self.folder.join(name).join(SPEC);
        let bytes = match self.storage.read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotADirectory => return Ok(Stored::Nothing),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let lost = self.lost(name, format!("{SPEC} is missing"))?;
                return Ok(match lost.has_rows {
                    true => Stored::Lost(lost),
                    false => Stored::Nothing,
                });
            }
            Err(e) => return Err(Core::io("read", &path, e)),
        };
        Ok(match declared::decode(&bytes) {
            Ok(stored) => Stored::Whole(Box::new(stored)),
            Err(e) => Stored::Lost(self.lost(name, format!("{SPEC} is damaged ({e})"))?),
        })
    }

    fn lost(&self, name: &str, what: String) -> Result<Lost> {
        let folder = self.folder.join(name);
        let list = |path: &Path| {
            let names = self.storage.list(path);
            names.map_err(|e| Core::io("list", path, e))
        };
        let mut lost = Lost {
            name: name.to_owned(),
            what,
            partitions: Vec::new(),
            has_rows: false,
        };
        for name in list(&folder)? {
            if let Ok(partition) = name.parse::<u32>() {
                lost.partitions.push(partition);
                lost.has_rows |= !list(&folder.join(&name))?.is_empty();
            }
        }
        lost.partitions.sort_unstable();
        Ok(lost)
    }

    pub(super) fn write_spec(&self, spec: &TopicSpec, history: &History) -> Result<()> {
        let folder = self.folder.join(&spec.name);
        let path = folder.join(SPEC);
        self.storage
            .create_dir_all(&folder)
            .and_then(|()| {
                let bytes = declared::encode(spec, history);
                self.storage.replace(&path, &bytes)
            })
            .map_err(|e| Core::io("write", &path, e))
    }

    /// Opens a topic under a declaration from elsewhere, in the place of the lost one.
    pub(super) fn open_lost(
        &self,
        lost: &Lost,
        spec: TopicSpec,
        findings: &mut Vec<Finding>,
    ) -> Result<Arc<Topic>> {
        spec.check()?;
        let there = lost.partitions.len() as u32;
        if lost.has_rows && there != spec.partitions {
            return Err(Error::Invalid(format!(
                "topic {}: {}, and it has {there} partitions on the disk where {} are declared; declare it as it was, \
                 with `partitions = {there}`",
                lost.name, lost.what, spec.partitions
            )));
        }
        let history = Arc::new(History::first(spec.schema.clone(), spec.defaults.clone()));
        for partition in &lost.partitions {
            let reached = reach(&self.run(&lost.name, &history, *partition))?;
            if reached.is_some_and(|reached| reached.schema_version > 1) {
                return Err(Error::Invalid(format!(
                    "topic {}: {}, and with it the versions of its schema, without which its rows cannot be read; put the \
                     file back from a copy or a savepoint",
                    lost.name, lost.what
                )));
            }
        }
        findings.push(lost.finding(
            "the declaration of the pipeline file has taken its place; see that this section has the same fields in the same order \
             as before",
        ));
        self.write_spec(&spec, &history)?;
        self.open_topic(spec, Arc::unwrap_or_clone(history), false, findings)
    }

    /// How far a topic got that nobody declares, so that its sequences are not given again.
    pub(super) fn past_of_lost(&self, lost: &Lost) -> Result<(Sequence, Timestamp)> {
        let mut past = (Sequence(0), Timestamp::MIN);
        let history = Arc::new(History::first(Schema::new(Vec::new()), Defaults::new()));
        for partition in &lost.partitions {
            let run = self.run(&lost.name, &history, *partition);
            let last = reach(&run)?.map(|last| (last.sequence, last.append_time));
            // What is damaged cannot say anything.
            let removed = Removed::read(&run)?.ok().flatten();
            let removed = removed.map(|removed| (removed.past.sequence, removed.append_time));
            for (sequence, time) in last.into_iter().chain(removed) {
                past = (past.0.max(sequence), past.1.max(time));
            }
        }
        Ok(past)
    }
}

impl Lost {
    /// What an operator should know of a topic that is not open.
    pub(super) fn unopened(&self) -> Finding {
        self.finding(
            "its rows are kept and not served until it is declared as it was: by its section in the pipeline file, or by \
             running the node that writes it; or restore the file from a copy",
        )
    }

    fn finding(&self, then: &str) -> Finding {
        Finding {
            topic: self.name.clone(),
            partition: 0,
            acknowledged: true,
            offsets: None,
            what: format!("{}: {then}", self.what),
        }
    }
}
