//! Versions at one cut: through a meeting of the run in progress, or by a run of just them when there is none.

use std::time::Duration;

use crossbeam::channel::{RecvTimeoutError, bounded};
use refrain_log::ids::Sequence;

use super::VersionName;
use crate::error::{Error, Result};
use crate::host::{Host, load_with};
use crate::pipeline::{Output, PlannedNode};
use crate::run::{Ask, Meet, RunOptions};

/// How often a waiter looks whether the run still goes on.
const GLANCE: Duration = Duration::from_millis(200);

/// Versions that stand at one cut until this is dropped.
pub(crate) struct AtOneCut<'a> {
    /// The cut.
    pub(crate) cut: Sequence,
    /// Of a run in progress.
    meeting: Option<(&'a Host, u64)>,
}

impl Drop for AtOneCut<'_> {
    fn drop(&mut self) {
        if let Some((host, number)) = self.meeting {
            host.ask_run(Ask::Part(number));
        }
    }
}

impl Host {
    /// Asks something of the run in progress. What is asked of a run that has just ended is never answered.
    pub(crate) fn ask_run(&self, ask: Ask) {
        // The host itself holds the other end.
        let _ = self.events.0.send(ask.into());
    }

    /// Brings nodes, by the names of their versions, to commits at one cut.
    pub(crate) fn meet_or_run(
        &self,
        names: &[String],
        patience: Option<Duration>,
    ) -> Result<AtOneCut<'_>> {
        if self.is_running() {
            return self.meet(names, patience);
        }
        let to_run = self.with_upstreams(names)?;
        let options = RunOptions {
            once: true,
            nodes: to_run,
            ..RunOptions::default()
        };
        let report = self.run_again(&options)?;
        if let Some((_, error)) = report.stopped.into_iter().next() {
            return Err(error);
        }
        Ok(AtOneCut {
            cut: report.cut,
            meeting: None,
        })
    }

    fn meet(&self, names: &[String], patience: Option<Duration>) -> Result<AtOneCut<'_>> {
        let number = self.next_number();
        let (reply, answer) = bounded(1);
        self.ask_run(Ask::Meet(Meet {
            number,
            names: names.to_vec(),
            reply,
        }));
        // From here on the meeting is parted from whatever happens.
        let mut held = AtOneCut {
            cut: Sequence(0),
            meeting: Some((self, number)),
        };
        let mut waited = Duration::ZERO;
        loop {
            match answer.recv_timeout(GLANCE) {
                Ok(cut) => {
                    held.cut = cut?;
                    return Ok(held);
                }
                Err(RecvTimeoutError::Timeout) if self.is_running() => waited += GLANCE,
                Err(_) => {
                    return Err(Error::Refused(
                        "the run ended meanwhile; run the command again".into(),
                    ));
                }
            }
            if patience.is_some_and(|patience| waited >= patience) {
                return Err(Error::Refused(format!(
                    "{} did not come to one cut within {} s: one of them is far behind; see `refrain view versions`, and \
                     try again when it has caught up",
                    names.join(" and "),
                    waited.as_secs()
                )));
            }
        }
    }

    /// These versions and all that they read from, as a run names them.
    pub(crate) fn with_upstreams(&self, names: &[String]) -> Result<Vec<String>> {
        let loaded = load_with(self.project(), self.declaration(), &mut self.loader())?;
        self.enroll(&loaded)?;
        let members = self.roster(&loaded)?.members;
        let mut wanted: Vec<&PlannedNode> = Vec::new();
        let mut exact = Vec::new();
        for member in members.iter().rev() {
            let feeds = |n: &&PlannedNode| {
                n.input_topics()
                    .iter()
                    .any(|t| member.planned.output == Output::Topic(t.clone()))
            };
            if names.contains(&member.planned.name) || wanted.iter().any(feeds) {
                wanted.push(&member.planned);
                exact.push(exactly(&member.version));
            }
        }
        exact.reverse();
        Ok(exact)
    }
}

/// The name by which a run takes this version and no other.
pub(crate) fn exactly(version: &VersionName) -> String {
    format!("{}@{}", version.name, version.number)
}
