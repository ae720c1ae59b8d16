//! The log of a project, opened to be read and nothing else: beside the host that owns it or without one, with no lock,
//! no recovery on the disk, no state.

use std::path::Path;
use std::sync::Arc;

use refrain_log::clock::SystemClock;
use refrain_log::log::{Finding, Log};
use refrain_log::storage::{DiskStorage, Overlay};

use crate::error::{Error, Result};
use crate::host::DATA_FOLDER;

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
        let storage = Arc::new(Overlay::new(Arc::new(DiskStorage)));
        let (log, findings) = Log::open(storage, Arc::new(SystemClock), topics)?;
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
