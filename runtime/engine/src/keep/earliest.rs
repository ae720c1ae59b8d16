//! Where a node can begin: retention may have taken what came before.

use refrain_log::ids::{Sequence, Timestamp};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::versions::Start;

impl Host {
    /// The earliest cut from which on all rows of these topics are there. Topics that are not there yet have all.
    pub(crate) fn earliest(&self, topics: &[String]) -> Result<Start> {
        let mut start = Start::default();
        for name in topics {
            let Some(topic) = self.log().topic(name) else {
                continue;
            };
            for partition in 0..topic.spec().partitions {
                let kept = topic.kept(partition)?;
                let times = match topic.spec().time {
                    Some(_) => kept.removed_time_max,
                    None => kept.removed_time,
                };
                start.after = start.after.max(kept.removed_up_to);
                start.time_max = start.time_max.max(times);
            }
        }
        Ok(start)
    }

    /// What is gone of these topics, for people; none: nothing.
    pub(crate) fn gone(&self, topics: &[String]) -> Option<String> {
        let gone = topics.iter().filter_map(|name| {
            let topic = self.log().topic(name)?;
            let partitions = 0..topic.spec().partitions;
            let kept = partitions
                .map(|p| topic.kept(p))
                .collect::<Result<Vec<_>, _>>();
            let kept = kept.ok()?;
            let up_to = kept.iter().map(|k| k.removed_up_to).max()?;
            let time = kept.iter().filter_map(|k| k.removed_time).max();
            let until = time.map_or(String::new(), |Timestamp(us)| {
                format!(", appended until {}", crate::ingest::time::text(us))
            });
            let rows: u64 = kept.iter().map(|k| k.start.0).sum();
            (up_to > Sequence(0)).then(|| format!("the first {rows} rows of topic {name}{until}"))
        });
        let gone: Vec<String> = gone.collect();
        (!gone.is_empty()).then(|| format!("retention has removed {}", gone.join(", and ")))
    }

    /// Refuses to begin all nodes anew where the results of what retention took are in the base savepoint alone.
    pub(crate) fn check_base(&self) -> Result<()> {
        if self.state().nodes().is_empty() && self.has_base()? {
            return Err(Error::Refused(
                "no node has a commit, and retention has removed rows that results were made of: `refrain savepoint \
                 restore base --confirm` brings the results back; to begin anew with the rows that are there, `refrain \
                 savepoint delete base --confirm`"
                    .into(),
            ));
        }
        Ok(())
    }
}
