//! Segments whose frames are small are encoded anew: by a thread of their own while a run goes on, and by hand.
//!
//! Nobody waits for it: it has the least priority, makes small pieces durable one after another, and rests after each for
//! as long as the piece took, so that commits find the disk free.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, never};
use refrain_log::Error as LogError;
use refrain_log::ids::Offset;
use refrain_log::optimize::Optimized;
use refrain_log::topic::Topic;

use super::alike;
use super::request::OptimizeOrder;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::run::time::stopwatch;
use crate::workers::step_back;

/// A run has gone on for so long before it looks for segments with small frames, and looks again as often. A batch is
/// over by then and has the machine for itself.
pub const OPTIMIZE_AFTER: Duration = Duration::from_secs(60);
/// It rests at least so long after a piece.
const REST_MIN: Duration = Duration::from_millis(10);
/// And at most.
const REST_MAX: Duration = Duration::from_secs(1);

/// The rest after each piece of work.
struct Pace<'a> {
    over: &'a Receiver<()>,
    since: Instant,
}

impl Pace<'_> {
    /// Rests; whether to go on.
    fn rest(&mut self) -> bool {
        let took = stopwatch().saturating_duration_since(self.since);
        let goes_on = goes_on(self.over, took.clamp(REST_MIN, REST_MAX));
        self.since = stopwatch();
        goes_on
    }
}

/// Whether the run goes on for so long.
fn goes_on(over: &Receiver<()>, wait: Duration) -> bool {
    matches!(over.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
}

impl Host {
    /// Merges the small frames of one segment, or says what would become of it.
    pub fn optimize(&self, order: &OptimizeOrder) -> Result<Option<Optimized>> {
        let name = self.topic_named(&order.topic)?;
        if self.log().topic(&name).is_none() {
            let what = format!("there is no topic {}", order.topic);
            return Err(Error::Refused(what));
        }
        let mut pace = Pace {
            over: &never(),
            since: stopwatch(),
        };
        let (partition, from) = (order.partition, order.from);
        let mut step = || !self.is_running() || pace.rest();
        let told = self
            .log()
            .optimize(&name, partition, from, order.dry_run, &mut step);
        Ok(told?)
    }

    /// Looks for segments with small frames now and then, until the other side of the channel is gone.
    pub(crate) fn optimize_on(&self, after: Duration, over: &Receiver<()>) {
        step_back();
        while goes_on(over, after) {
            for topic in self.log().topics() {
                let name = alike(&topic.spec().name);
                if !self.declaration().left_as_appended.contains(&name) {
                    self.optimize_topic(&topic, over);
                }
            }
        }
    }

    fn optimize_topic(&self, topic: &Arc<Topic>, over: &Receiver<()>) {
        let name = &topic.spec().name;
        for partition in 0..topic.spec().partitions {
            for from in topic.unsettled(partition).unwrap_or_default() {
                match self.optimize_segment(name, partition, from, over) {
                    Ok(Some(told)) if told.done => tracing::info!(
                        topic = name,
                        partition,
                        segment = told.file,
                        frames = told.frames,
                        frames_after = told.frames_after,
                        "small frames were merged"
                    ),
                    Ok(_) => {}
                    // It was told when it was found.
                    Err(LogError::Damaged { .. }) => {}
                    Err(error) => tracing::warn!(
                        topic = name,
                        partition,
                        %error,
                        "a segment was not encoded anew, and is as it was; it is tried again"
                    ),
                }
                if !goes_on(over, Duration::ZERO) {
                    return;
                }
            }
        }
    }

    fn optimize_segment(
        &self,
        topic: &str,
        partition: u32,
        from: Offset,
        over: &Receiver<()>,
    ) -> refrain_log::Result<Option<Optimized>> {
        let since = stopwatch();
        let mut pace = Pace { over, since };
        self.log()
            .optimize(topic, partition, from, false, &mut || pace.rest())
    }
}
