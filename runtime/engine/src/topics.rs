//! Source topics as the pipeline file declares them, against those that the log has. The file may have been edited since
//! the host opened it; the log is what rows are read from.

use refrain_log::difference;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::pipeline::{Plan, PlannedNode};

impl Host {
    /// Refuses a node whose source topics are not in the log as they are in the plan: it was planned for rows that are
    /// not there.
    pub(crate) fn refuse_other_topics(&self, plan: &Plan, node: &PlannedNode) -> Result<()> {
        for topic in plan.topics.iter().filter(|t| node.reads(&t.spec.name)) {
            let name = &topic.spec.name;
            let Some(there) = self.log.topic(name) else {
                continue;
            };
            let differences = there.spec().differences(&topic.spec);
            if !differences.is_empty() {
                return Err(Error::Refused(format!(
                    "topic {name}, which node {} reads, has rows under another declaration than the pipeline file's: {}; \
                     put the declaration back, or declare a new topic and replay into it",
                    node.name,
                    difference::sentence(&differences)
                )));
            }
        }
        Ok(())
    }
}
