//! Acts of retention: by the rules of the pipeline file, now and then, and by hand.

use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError};
use refrain_log::frame::Frame;
use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::retention::SegmentStatus;
use refrain_log::topic::{Origin, Topic};

use super::alike;
use super::decide::{Choice, below, choose, expired, older};
use super::needs::{Need, slowest};
use super::request::{Before, TrimOrder, Trimmed};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::pipeline::Rule;
use crate::pipeline::units::{Age, MONTH_US};

/// How often a run looks at what may go.
pub const KEEP_EVERY: Duration = Duration::from_secs(60);

/// Of what a rule keeps in bytes, a segment is at most one part of so many.
const PARTS_MIN: u64 = 4;
/// Time goes on in a log that is silent for one part of so many of what a rule keeps.
const AGE_PARTS: i64 = 20;

/// What goes from one topic.
struct Act {
    topic: Arc<Topic>,
    choice: Choice,
    held_by: Option<String>,
}

impl Host {
    /// What is kept of a topic.
    pub(super) fn rule_of(&self, topic: &str) -> Rule {
        let rules = &self.declaration().retention;
        rules.get(&alike(topic)).copied().unwrap_or_default()
    }

    /// Removes what the rules of the pipeline file let go; what was removed, and what somebody still needs.
    pub fn retain(&self) -> Result<Vec<Trimmed>> {
        if self.declaration().retention.is_empty() {
            return Ok(Vec::new());
        }
        let _keeping = self.keeping();
        self.tell_time()?;
        self.seal_aged()?;
        let (needs, now) = (self.needs()?, self.log_time());
        let mut acts = Vec::new();
        for topic in self.log().topics() {
            let rule = self.rule_of(&topic.spec().name);
            let segments = segments(&topic)?;
            let counts = expired(&segments, &rule, now);
            acts.push(act(topic, &segments, &counts, &needs));
        }
        self.carry_out(acts)
    }

    /// Removes rows of a topic by hand, or says what would go.
    pub fn trim(&self, order: &TrimOrder) -> Result<Trimmed> {
        let _keeping = self.keeping();
        let name = self.topic_named(&order.topic)?;
        let topic = self
            .log()
            .topic(&name)
            .ok_or_else(|| Error::Refused(format!("there is no topic {}", order.topic)))?;
        let partitions = topic.spec().partitions;
        let chosen = match (order.partition, order.before) {
            (Some(partition), _) if partition >= partitions => {
                return Err(Error::Refused(format!(
                    "topic {name} has {partitions} partition(s), no partition {partition}"
                )));
            }
            (None, Before::Offset(_)) if partitions > 1 => {
                return Err(Error::Refused(format!(
                    "topic {name} has {partitions} partitions, and an offset is one of a partition; name it with \
                     --partition, or give a time"
                )));
            }
            (partition, _) => partition,
        };
        let segments = segments(&topic)?;
        let counts: Vec<usize> = (0..partitions)
            .zip(&segments)
            .map(|(p, segments)| match order.before {
                _ if chosen.is_some_and(|chosen| chosen != p) => 0,
                Before::Offset(offset) => below(segments, offset),
                Before::Time(time) => older(segments, time),
            })
            .collect();
        let act = act(topic, &segments, &counts, &self.needs()?);
        if !order.confirm {
            return Ok(act.told(false));
        }
        let told = act.told(true);
        self.carry_out(vec![act])?;
        Ok(told)
    }

    /// Removes what was chosen, after a base savepoint of the results that were made of it.
    fn carry_out(&self, acts: Vec<Act>) -> Result<Vec<Trimmed>> {
        if acts.iter().any(|act| !act.choice.chosen.is_empty()) {
            self.save_base()?;
        }
        let mut told = Vec::new();
        for act in acts {
            let name = &act.topic.spec().name;
            for chosen in &act.choice.chosen {
                self.log().trim(name, chosen.partition, chosen.to)?;
            }
            if !act.choice.chosen.is_empty() || act.choice.held_bytes > 0 {
                told.push(act.told(true));
            }
        }
        Ok(told)
    }

    /// Ends segments whose first row is too old, or that are a large part of what may be kept, so that a topic of few rows
    /// lets go of them, too.
    fn seal_aged(&self) -> Result<()> {
        let now = self.log_time();
        for topic in self.log().topics() {
            let name = &topic.spec().name;
            let rule = self.rule_of(name);
            for partition in 0..topic.spec().partitions {
                let segments = topic.segments(partition)?;
                let Some(last) = segments.last().filter(|last| last.end > last.base) else {
                    continue;
                };
                let large = rule.bytes.is_some_and(|most| last.bytes > most / PARTS_MIN);
                let first = || time_at(&topic, partition, last.base);
                let before = rule.age.map(|age| age.before(now));
                let aged = before.is_some_and(|before| first().is_some_and(|time| time < before));
                if large || aged {
                    self.log().seal(name, partition)?;
                }
            }
        }
        Ok(())
    }

    /// Where nothing was appended for long: a tick, so that rows of silent topics age as others do. It goes to a topic of
    /// rejected rows, whose time no window of the others goes by.
    fn tell_time(&self) -> Result<()> {
        let silent_us = self.log().now().0.saturating_sub(self.log_time().0);
        let rules = self.declaration().retention.values();
        let part_us = |age: Age| (age.months() * MONTH_US as f64) as i64 / AGE_PARTS;
        let mut ages = rules.filter_map(|rule| rule.age);
        if self.log_time() == Timestamp::MIN || !ages.any(|age| silent_us > part_us(age)) {
            return Ok(());
        }
        let topics = self.log().topics();
        let mut sources = topics.iter().filter(|t| t.spec().origin == Origin::Source);
        match sources.find(|t| t.spec().name.ends_with(".rejected")) {
            Some(topic) => Ok(self.log().tick(&topic.spec().name, 0)?),
            None => Ok(()),
        }
    }

    /// The newest append time in the log: retention goes by it, and not by a clock.
    pub(super) fn log_time(&self) -> Timestamp {
        let topics = self.log().topics();
        let sources = topics.iter().filter(|t| t.spec().origin == Origin::Source);
        let last = sources.filter_map(|topic| topic.last_time()).max();
        last.unwrap_or(Timestamp::MIN)
    }

    /// Looks at what may go now and then, until the other side of the channel is gone.
    pub(crate) fn keep_on(&self, over: &Receiver<()>) {
        loop {
            match self.retain() {
                Ok(told) => told.iter().for_each(log_trimmed),
                Err(error) => {
                    tracing::warn!(%error, "retention could not do its work; it is tried again")
                }
            }
            match over.recv_timeout(KEEP_EVERY) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return,
            }
        }
    }
}

pub(crate) fn log_trimmed(trimmed: &Trimmed) {
    if trimmed.rows > 0 {
        tracing::info!(
            topic = trimmed.topic,
            rows = trimmed.rows,
            bytes = trimmed.bytes,
            "retention removed old rows"
        );
    }
    if let (Some(who), true) = (&trimmed.held_by, trimmed.held_bytes > 0) {
        tracing::info!(
            topic = trimmed.topic,
            bytes = trimmed.held_bytes,
            "rows that may go are kept for {who}"
        );
    }
}

pub(super) fn segments(topic: &Topic) -> Result<Vec<Vec<SegmentStatus>>> {
    let each = (0..topic.spec().partitions).map(|p| topic.segments(p));
    Ok(each.collect::<refrain_log::Result<_>>()?)
}

fn act(
    topic: Arc<Topic>,
    segments: &[Vec<SegmentStatus>],
    counts: &[usize],
    needs: &[Need],
) -> Act {
    let slowest = slowest(needs, &topic.spec().name);
    let choice = choose(segments, counts, slowest.map(|need| need.after));
    Act {
        held_by: slowest
            .filter(|_| choice.held_bytes > 0)
            .map(|need| need.who.clone()),
        topic,
        choice,
    }
}

impl Act {
    fn told(&self, done: bool) -> Trimmed {
        let chosen = self.choice.chosen.iter();
        Trimmed {
            topic: self.topic.spec().name.clone(),
            done,
            rows: chosen.clone().map(|c| c.rows).sum(),
            bytes: chosen.clone().map(|c| c.bytes).sum(),
            firsts: chosen.map(|c| (c.partition, c.to)).collect(),
            held_bytes: self.choice.held_bytes,
            held_by: self.held_by.clone(),
        }
    }
}

/// Append time of the frame at an offset; none when it cannot be read.
pub(super) fn time_at(topic: &Arc<Topic>, partition: u32, offset: Offset) -> Option<Timestamp> {
    let frame = frame_at(topic, partition, offset)?;
    Some(frame.header().append_time)
}

/// The frame at an offset; none when it cannot be read.
pub(super) fn frame_at(topic: &Arc<Topic>, partition: u32, offset: Offset) -> Option<Frame> {
    let mut cursor = topic.cursor(partition, offset).ok()?;
    cursor.next(Sequence(u64::MAX)).ok()?
}
