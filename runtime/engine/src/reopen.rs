//! What takes no writes since a write or a sync of it failed, and how it takes them again in the process, on request:
//! partitions of topics, the commit log, and with them the nodes that stopped.

use std::time::Duration;

use crossbeam::channel::{RecvTimeoutError, bounded};
use refrain_log::log::Finding;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::host::Host;
use crate::run::Ask;

/// Name of the commit log among places.
const COMMIT_LOG: &str = "the commit log";
/// Between looks whether the run that was asked is still there.
const PATIENCE: Duration = Duration::from_millis(100);

/// One place that takes no writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutPlace {
    /// Topic and partition, or the commit log.
    pub place: String,
    /// What failed.
    pub why: String,
}

/// What was opened again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reopened {
    /// Each place, with what had failed.
    pub places: Vec<ShutPlace>,
    /// Nodes that go on.
    pub nodes: Vec<String>,
    /// What opening found that an operator should know.
    pub findings: Vec<Finding>,
}

impl Host {
    /// All places that take no writes until they are reopened.
    pub(crate) fn shut(&self) -> Vec<ShutPlace> {
        let partitions = self.log().shut().into_iter().map(|shut| ShutPlace {
            place: format!("{}/{}", shut.topic, shut.partition),
            why: shut.why,
        });
        let commits = self.state().why_shut().map(|why| ShutPlace {
            place: COMMIT_LOG.into(),
            why,
        });
        partitions.chain(commits).collect()
    }

    /// Opens all of them again, and lets nodes go on that stopped for them. After an error those before it are open, and
    /// it may be asked again.
    pub(crate) fn reopen(&self) -> Result<Reopened> {
        let mut done = Reopened {
            places: self.shut(),
            ..Reopened::default()
        };
        for shut in self.log().shut() {
            self.log().reopen(&shut.topic, shut.partition)?;
        }
        if self.state().why_shut().is_some() {
            done.findings = self.state().reopen()?;
        }
        done.nodes = self.resume();
        Ok(done)
    }

    fn resume(&self) -> Vec<String> {
        let (reply, answer) = bounded(1);
        if !self.is_running() {
            return Vec::new();
        }
        self.ask_run(Ask::Resume(reply));
        loop {
            match answer.recv_timeout(PATIENCE) {
                Ok(names) => return names,
                Err(RecvTimeoutError::Timeout) if self.is_running() => {}
                Err(_) => return Vec::new(),
            }
        }
    }
}
