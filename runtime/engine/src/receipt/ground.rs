//! The log of a project, opened to be read and nothing else: beside the host that owns it or without one, with no lock,
//! no recovery on the disk, no state.

use std::path::Path;
use std::sync::Arc;

use refrain_log::clock::SystemClock;
use refrain_log::log::{Finding, Log};
use refrain_log::storage::{DiskStorage, Overlay};

use crate::error::{Error, Result};
use crate::host::DATA_FOLDER;

/// How often a log is opened at most, each time with other files.
const TRIES: usize = 16;

/// Opens anew as long as a file is gone that was there a moment before: the host has removed it, by its rules or because
/// it was encoded anew, and the next look shows what is there now.
fn while_files_go<T>(mut open: impl FnMut() -> refrain_log::Result<T>) -> refrain_log::Result<T> {
    let is_gone = |error: &refrain_log::Error| {
        let refrain_log::Error::Io { source, .. } = error else {
            return false;
        };
        source.kind() == std::io::ErrorKind::NotFound
    };
    for _ in 1..TRIES {
        match open() {
            Err(error) if is_gone(&error) => {}
            opened => return opened,
        }
    }
    open()
}

/// A log that is only read.
pub struct Ground {
    /// It takes writes, and forgets them.
    pub(crate) log: Arc<Log>,
    findings: Vec<Finding>,
}

impl Ground {
    /// Opens the log of the project in this folder, as it is now.
    pub fn open(project: &Path) -> Result<Ground> {
        let topics = project.join(DATA_FOLDER).join("topics");
        if !topics.is_dir() {
            return Err(Error::Refused(format!(
                "there is no log in {}; name the project with --project DIR",
                topics.display()
            )));
        }
        let (log, findings) = while_files_go(|| {
            let storage = Arc::new(Overlay::new(Arc::new(DiskStorage)));
            Log::open(storage, Arc::new(SystemClock), topics.clone())
        })?;
        Ok(Ground {
            log: Arc::new(log),
            findings,
        })
    }

    /// What opening found of a topic.
    pub(crate) fn findings(&self, topic: &str) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |f| f.topic == topic)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    fn opened(answers: &[Option<ErrorKind>]) -> (usize, std::result::Result<(), ErrorKind>) {
        let mut tries = 0;
        let done = while_files_go(|| {
            let answer = answers.get(tries).copied().flatten();
            tries += 1;
            match answer {
                None => Ok(()),
                Some(kind) => Err(refrain_log::Error::Io {
                    action: "open",
                    path: "0.segment".into(),
                    source: kind.into(),
                }),
            }
        });
        let kind = |error| match error {
            refrain_log::Error::Io { source, .. } => source.kind(),
            other => panic!("{other}"),
        };
        (tries, done.map_err(kind))
    }

    #[test]
    fn a_log_whose_files_go_meanwhile_is_opened_anew_and_no_other() {
        let gone = Some(ErrorKind::NotFound);
        let refused = Some(ErrorKind::PermissionDenied);
        assert_eq!(opened(&[]), (1, Ok(())));
        assert_eq!(opened(&[gone, gone]), (3, Ok(())));
        assert_eq!(
            opened(&[gone, refused]),
            (2, Err(ErrorKind::PermissionDenied))
        );
        assert_eq!(opened(&[gone; 99]), (TRIES, Err(ErrorKind::NotFound)));
    }
}
