//! Partitions that take no appends since a write or a sync of theirs failed, and how they take them again: on request,
//! from fresh handles, at what was published. Readers and other partitions do not notice.

use serde::{Deserialize, Serialize};

use super::Log;
use crate::Result;
use crate::topic::Origin;

/// A partition that takes no appends until it is reopened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shut {
    /// Its topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// What failed, and the operating system's answer.
    pub why: String,
}

impl Log {
    /// All partitions that take no appends.
    pub fn shut(&self) -> Vec<Shut> {
        let mut shut = Vec::new();
        for topic in self.core.topics() {
            for (partition, place) in (0..).zip(topic.partitions.iter()) {
                let why = place.tail().as_ref().and_then(|tail| tail.why_shut());
                shut.extend(why.map(|why| Shut {
                    topic: topic.spec().name.clone(),
                    partition,
                    why,
                }));
            }
        }
        shut
    }

    /// Opens a partition again after [`crate::Error::Failed`]: what was not published is taken back, as it was refused.
    /// No change when it is open. After an error it stays shut, and may be reopened again.
    pub fn reopen(&self, topic: &str, partition: u32) -> Result<()> {
        let topic = self.core.topic(topic)?;
        if let Some(tail) = topic.partition(partition)?.tail().as_mut() {
            tail.reopen()?;
        }
        let unknown = |topic: &crate::topic::Topic| {
            let mut places = topic.partitions.iter();
            places.any(|place| place.tail().as_ref().is_some_and(|tail| tail.void_unknown))
        };
        let topics = self.core.topics();
        let mut sources = topics.iter().filter(|t| t.spec().origin == Origin::Source);
        if !sources.any(|topic| unknown(topic)) {
            self.core.go_on();
        }
        Ok(())
    }
}
