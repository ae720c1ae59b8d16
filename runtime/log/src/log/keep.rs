//! Retention as the log sees it: which segments there are, end one, remove the first ones.

use std::sync::Arc;

use super::Log;
use crate::Result;
use crate::ids::{Offset, Timestamp};
use crate::queue::{Reply, Seal};
use crate::retention::{Kept, SegmentStatus, Trimmed};
use crate::topic::{Origin, Topic};

impl Topic {
    /// What is kept of a partition.
    pub fn kept(&self, partition: u32) -> Result<Kept> {
        Ok(self.partition(partition)?.run.kept())
    }

    /// The segments of a partition, in order; the last one takes appends.
    pub fn segments(&self, partition: u32) -> Result<Vec<SegmentStatus>> {
        Ok(self.partition(partition)?.run.status())
    }

    /// Append time of the last published frame, ticks included; none: there is none.
    pub fn last_time(&self) -> Option<Timestamp> {
        let last = |p: &crate::topic::Partition| p.tail().as_ref().and_then(|t| t.past.append_time);
        self.partitions.iter().filter_map(last).max()
    }
}

impl Log {
    /// Removes the leading sealed segments of a partition that end at or before `to`, oldest first. Who reads them has
    /// been asked. The last segment stays. Readers that stand in what goes read on to the end of the segment they have
    /// open; who comes later is told [`crate::Error::Removed`].
    ///
    /// After an error the partition begins where it said, and the next opening removes what is left of the files.
    pub fn trim(&self, topic: &str, partition: u32, to: Offset) -> Result<Trimmed> {
        let topic = self.core.topic(topic)?;
        let place = topic.partition(partition)?;
        let past = match place.tail().as_ref() {
            Some(tail) => tail.past.clone(),
            // A derived topic that no commit was found for yet.
            None => return Ok(Trimmed::default()),
        };
        place.run.trim(to, &past)
    }

    /// Ends the segment that takes appends, if it has rows and nothing is under way in it, so that it can be removed or
    /// linked later; the next append begins another one.
    pub fn seal(&self, topic: &str, partition: u32) -> Result<()> {
        let topic = self.core.topic(topic)?;
        topic.partition(partition)?;
        if topic.spec().origin == Origin::Derived {
            let place = topic.partition(partition)?;
            return match place.tail().as_mut() {
                Some(tail) if tail.is_calm() => tail.seal().map(drop),
                _ => Ok(()),
            };
        }
        let reply = Arc::new(Reply::default());
        self.core.queue.seal(Seal {
            topic,
            partition,
            reply: reply.clone(),
        })?;
        reply.wait().map(drop)
    }
}
