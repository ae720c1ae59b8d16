//! Retention as the log sees it: which segments there are, end one, remove the first ones.

use std::sync::Arc;

use super::Log;
use crate::ids::{Offset, Timestamp};
use crate::queue::{Act, Reply, Wanted};
use crate::retention::{Kept, SegmentStatus, Trimmed};
use crate::topic::{Origin, Topic};
use crate::{Error, Result};

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
        self.want(Act::Seal, topic, partition)
    }

    /// Says in the log that time has gone on, by a tick in a partition of a source topic.
    pub fn tick(&self, topic: &str, partition: u32) -> Result<()> {
        let topic = self.core.topic(topic)?;
        topic.partition(partition)?;
        if topic.spec().origin == Origin::Derived {
            let what = format!("{} is written by its node", topic.spec().name);
            return Err(Error::Invalid(what));
        }
        self.want(Act::Tick, topic, partition)
    }

    fn want(&self, act: Act, topic: Arc<Topic>, partition: u32) -> Result<()> {
        let reply = Arc::new(Reply::default());
        self.core.queue.want(Wanted {
            act,
            topic,
            partition,
            reply: reply.clone(),
        })?;
        reply.wait().map(drop)
    }
}
