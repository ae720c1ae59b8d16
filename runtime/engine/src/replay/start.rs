//! Where a replay begins: one cut of the log for all its nodes, whatever they read. A cut is an offset in each partition of
//! each source topic, and what nodes of the group write follows from it: their new topics have what came behind it.
//!
//! A version that begins later is what it would be if the log began there. It says so in the registry and in every receipt,
//! and which of its rows can be compared with those of another version is decided when that is asked
//! ([`crate::validate`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use refrain_log::frame::{Frame, OriginRun};
use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::topic::{Origin, Topic};
use refrain_plugin::PluginKind;

use super::Planned;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::pipeline::{Output, Plan, PlannedNode, Window};
use crate::request::From;
use crate::versions::Start;
use crate::versions::request::Beginning;

impl Host {
    /// The topic of that name, in the version that is read.
    pub(super) fn live_topic(&self, name: &str) -> Result<Arc<Topic>> {
        let topic = self.log().topic(&self.topic_named(name)?);
        topic.ok_or_else(|| {
            Error::Refused(format!(
                "topic {name} is new in the pipeline file: run it first with `refrain run`"
            ))
        })
    }

    /// Where each node of a replay begins.
    pub(super) fn starts(
        &self,
        plan: &Plan,
        nodes: &[String],
        from: &Beginning,
    ) -> Result<BTreeMap<String, Start>> {
        let nodes: Vec<&PlannedNode> = nodes.iter().filter_map(|name| plan.node(name)).collect();
        let from = match from {
            Beginning::Log(from) => *from,
            Beginning::Savepoint(savepoint) => return self.saved_starts(savepoint, &nodes),
        };
        let topics = self.read_from_outside(&nodes)?;
        let earliest = self.earliest(&topics)?;
        let after = match from {
            From::Earliest => {
                if let Some(gone) = self.gone(&topics).filter(|_| earliest.after.0 > 0) {
                    let lacks = nodes
                        .iter()
                        .find_map(|node| Some((node, lacks_before(node)?)));
                    if let Some((node, why)) = lacks {
                        return Err(Error::Refused(format!(
                            "{gone}; node {} {why}; {}",
                            node.name,
                            ways(&node.name)
                        )));
                    }
                }
                earliest.after
            }
            From::Offset(_) | From::Time(_) => self.cut_before(nodes[0], from)?,
        };
        if after < earliest.after {
            let gone = self.gone(&topics).unwrap_or_default();
            return Err(Error::Refused(format!(
                "the rows behind that point are not all there: {gone}; begin later, or at what is left (`--from earliest`)"
            )));
        }
        let mut starts = BTreeMap::new();
        for node in nodes {
            let time_max = self.time_max_of(&node.input_topics(), after)?;
            starts.insert(node.name.clone(), Start { after, time_max });
        }
        Ok(starts)
    }

    /// Where the live versions of nodes stood in a savepoint.
    fn saved_starts(
        &self,
        savepoint: &str,
        nodes: &[&PlannedNode],
    ) -> Result<BTreeMap<String, Start>> {
        let mut starts = BTreeMap::new();
        for node in nodes {
            let after = self.saved_cut(savepoint, &node.name)?.unwrap_or_default();
            let start = Start {
                after,
                time_max: None,
            };
            starts.insert(node.name.clone(), start);
        }
        Ok(starts)
    }

    /// Topics that nodes read and none of them writes, in the versions that are read.
    fn read_from_outside(&self, nodes: &[&PlannedNode]) -> Result<Vec<String>> {
        let mut topics: Vec<String> = nodes.iter().flat_map(|node| node.input_topics()).collect();
        topics.sort_unstable();
        topics.dedup();
        let written = |topic: &String| {
            let output = Output::Topic(topic.clone());
            nodes.iter().any(|node| node.output == output)
        };
        topics.retain(|topic| !written(topic));
        topics.iter().map(|topic| self.topic_named(topic)).collect()
    }

    /// The cut before the first frame that has an offset, or an event time, of any partition of any input of a node.
    fn cut_before(&self, node: &PlannedNode, from: From) -> Result<Sequence> {
        let mut first: Option<Sequence> = None;
        for name in node.input_topics() {
            let topic = self.live_topic(&name)?;
            for partition in 0..topic.spec().partitions {
                let at = match from {
                    From::Earliest => topic.start(partition),
                    From::Offset(offset) => offset,
                    From::Time(time) => topic.row_at_time(partition, time)?,
                };
                let sequence = sequence_at(&topic, partition, at)?;
                first = [first, sequence].into_iter().flatten().min();
            }
        }
        let first = first.ok_or_else(|| {
            let point = match from {
                From::Time(_) => "time",
                From::Earliest | From::Offset(_) => "offset",
            };
            Error::Refused(format!(
                "{} has no rows from that {point} on; begin earlier",
                node.input_names()
            ))
        })?;
        Ok(Sequence(first.0.saturating_sub(1)))
    }

    /// Largest event time of the rows of topics, in the versions that are read, that come from source frames up to a cut.
    pub(crate) fn time_max_of(
        &self,
        topics: &[String],
        up_to: Sequence,
    ) -> Result<Option<Timestamp>> {
        let mut max = None;
        for name in topics {
            if let Some(topic) = self.log().topic(&self.topic_named(name)?) {
                max = max.max(self.time_max_up_to(&topic, up_to)?);
            }
        }
        Ok(max)
    }

    /// The same of one topic, or a later time where that is not known any more.
    pub(crate) fn time_max_up_to(
        &self,
        topic: &Arc<Topic>,
        up_to: Sequence,
    ) -> Result<Option<Timestamp>> {
        let mut max = None;
        for partition in 0..topic.spec().partitions {
            let kept = topic.kept(partition)?;
            max = max.max(kept.removed_time_max);
            let mut cursor = topic.cursor_after(partition, up_to.max(kept.removed_up_to))?;
            max = max.max(topic.time_max_before(partition, cursor.offset())?);
            // A derived frame may have rows of source frames on both sides.
            if topic.spec().origin == Origin::Derived
                && let Some(frame) = cursor.next(Sequence(u64::MAX))?
            {
                max = max.max(time_max_in(topic, &frame, up_to)?);
            }
        }
        Ok(max)
    }
}

/// Largest event time of those rows of a derived frame that come from source frames up to a cut.
fn time_max_in(topic: &Topic, frame: &Frame, up_to: Sequence) -> Result<Option<Timestamp>> {
    let field = topic.spec().time.as_ref();
    let place = field.and_then(|name| topic.schema().index_of(name));
    let origins = frame.origins()?.unwrap_or_default();
    let before = origins.runs.partition_point(|run| run.sequence <= up_to);
    let (Some(place), Some(before)) = (place, before.checked_sub(1)) else {
        return Ok(None);
    };
    let rows = origins.runs[before].rows_end as usize;
    if rows == 0 {
        return Ok(None);
    }
    let times = frame.column(place)?.slice(0, rows);
    let times = times.as_primitive::<TimestampMicrosecondType>();
    Ok(times.iter().flatten().max().map(Timestamp))
}

/// Sequence of the source frame that the row at an offset comes from, or the first one behind it; none: there is none.
fn sequence_at(topic: &Arc<Topic>, partition: u32, at: Offset) -> Result<Option<Sequence>> {
    let Some(frame) = topic.cursor(partition, at)?.next(Sequence(u64::MAX))? else {
        return Ok(None);
    };
    let header = frame.header();
    let Some(origins) = frame.origins()? else {
        return Ok(Some(header.sequence));
    };
    let row = at.0.saturating_sub(header.base_offset.0);
    let has = |run: &&OriginRun| u64::from(run.rows_end) > row;
    let run = origins.runs.iter().find(has).or(origins.runs.first());
    Ok(run.map(|run| run.sequence))
}

/// What a node would lack that begins later than the log, in all its rows; none: only windows on the way.
pub(crate) fn lacks_before(node: &PlannedNode) -> Option<&'static str> {
    match (node.about.kind, &node.window) {
        (PluginKind::Process, _) => {
            Some("keeps states of its own making, which lack what came before")
        }
        (PluginKind::Fold, None) => Some("keeps a running total, which lacks what came before"),
        (PluginKind::Fold, Some(Window::Count { .. })) => {
            Some("counts rows from where it begins, so that its windows are others")
        }
        _ => None,
    }
}

/// Where what lacks something can begin.
fn ways(node: &str) -> String {
    format!(
        "replay it from a savepoint, with the results that it has (`refrain savepoint list`; `refrain replay {node} --from \
         base` for the one that retention made), or name the point from which on it is to count (`--from TIME`)"
    )
}

impl Planned {
    /// What is to be known of versions that begin later than the log.
    pub(super) fn notes(&self) -> Vec<String> {
        let later = |name: &&String| self.starts[*name].after.0 > 0;
        let note = |name: &String| {
            let after = self.starts[name].after;
            let node = self.loaded.plan.node(name)?;
            Some(match lacks_before(node) {
                None => {
                    format!("{name} begins after sequence {after}: windows before are not whole")
                }
                Some(why) => format!(
                    "{name} begins after sequence {after}, and {why}: its rows cannot be compared with those of a version \
                     that begins elsewhere"
                ),
            })
        };
        self.nodes.iter().filter(later).filter_map(note).collect()
    }
}
