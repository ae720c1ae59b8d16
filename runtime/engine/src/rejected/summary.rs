//! What is in the topics of rows set aside: counts, times, the most frequent reasons. Reads the reasons of all rows, and
//! holds a bounded number of different ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use refrain_log::frame::{Frame, FrameKind};
use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::topic::Topic;

use super::note::Notes;
use super::shape::shape;
use super::{Aside, ReasonCount, RejectedStatus, Span};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::names;

/// Different reasons that are counted one by one; rows with further ones are counted together.
const SHAPES_MAX: usize = 1000;
/// Reasons that are told.
const TOLD_MAX: usize = 5;

/// All topics of rows set aside, by name.
pub(crate) fn all(host: &Host) -> Result<Vec<RejectedStatus>> {
    let topics = host.log().topics();
    let asides = topics
        .iter()
        .filter_map(|t| Some((t, Aside::of(t.spec())?)));
    asides
        .map(|(topic, kind)| {
            let mut status = summary(topic, kind, host.notes())?;
            status.resubmitted.clear();
            Ok(status)
        })
        .collect()
}

/// One of them.
pub(crate) fn one(host: &Host, name: &str) -> Result<RejectedStatus> {
    let (topic, kind) = find(host, name)?;
    summary(&topic, kind, host.notes())
}

/// The topic of rows set aside of that name.
pub(crate) fn find(host: &Host, name: &str) -> Result<(Arc<Topic>, Aside)> {
    let topics = host.log().topics();
    let mut asides = topics
        .iter()
        .filter_map(|t| Some((t.clone(), Aside::of(t.spec())?)));
    asides.find(|(t, _)| t.spec().name == name).ok_or_else(|| {
        let names: Vec<String> = topics
            .iter()
            .filter(|t| Aside::of(t.spec()).is_some())
            .map(|t| t.spec().name.clone())
            .collect();
        let all = names.iter().map(String::as_str);
        let none = "nothing was ever set aside; declare a topic and append to it first";
        Error::Refused(names::unknown("topic of rejected rows", name, all, none))
    })
}

/// What is counted while frames go by.
#[derive(Debug, Default)]
struct Tally {
    rows: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    shapes: BTreeMap<String, u64>,
    others: u64,
}

impl Tally {
    fn add(&mut self, frame: &Frame, reason_field: usize) -> refrain_log::Result<()> {
        let reasons = frame.column(reason_field)?;
        for reason in reasons.as_string::<i32>().iter() {
            self.count(reason.unwrap_or_default());
        }
        let runs = frame.origins()?.map(|origins| origins.runs);
        let times = match runs.as_deref() {
            Some([first, .., last]) => [first.append_time, last.append_time],
            Some([only]) => [only.append_time; 2],
            _ => [frame.header().append_time; 2],
        };
        self.first = Some(self.first.map_or(times[0], |t| t.min(times[0])));
        self.last = self.last.max(Some(times[1]));
        Ok(())
    }

    fn count(&mut self, reason: &str) {
        self.rows += 1;
        let shape = shape(reason);
        if let Some(count) = self.shapes.get_mut(&shape) {
            *count += 1;
        } else if self.shapes.len() < SHAPES_MAX {
            self.shapes.insert(shape, 1);
        } else {
            self.others += 1;
        }
    }

    /// The most frequent reasons, and how many rows have another one.
    fn told(self) -> (Vec<ReasonCount>, u64) {
        let mut all: Vec<ReasonCount> = self
            .shapes
            .into_iter()
            .map(|(reason, rows)| ReasonCount { reason, rows })
            .collect();
        all.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.reason.cmp(&b.reason)));
        let rest = all.split_off(all.len().min(TOLD_MAX));
        let others = self.others + rest.iter().map(|r| r.rows).sum::<u64>();
        (all, others)
    }
}

fn summary(topic: &Arc<Topic>, kind: Aside, notes: &Notes) -> Result<RejectedStatus> {
    let spec = topic.spec();
    let reason_field = spec
        .schema
        .index_of("reason")
        .expect("rows set aside have a reason");
    let mut tally = Tally::default();
    let mut damage = None;
    for partition in 0..spec.partitions {
        match scan(topic, partition, reason_field, &mut tally) {
            Err(error @ refrain_log::Error::Damaged { .. }) => damage = Some(error.to_string()),
            scanned => scanned?,
        }
    }
    let noted = notes.noted(&spec.name)?;
    let (first, last) = (tally.first, tally.last);
    let rows = (0..spec.partitions)
        .map(|p| topic.end(p).0 - topic.start(p).0)
        .sum();
    let (reasons, other_rows) = tally.told();
    Ok(RejectedStatus {
        name: spec.name.clone(),
        kind,
        rows,
        first,
        last,
        reasons,
        other_rows,
        resubmitted_rows: noted.spans.iter().map(Span::rows).sum(),
        unfinished: noted.unfinished,
        resubmitted: noted.spans,
        damage,
    })
}

fn scan(
    topic: &Arc<Topic>,
    partition: u32,
    reason_field: usize,
    tally: &mut Tally,
) -> refrain_log::Result<()> {
    let mut cursor = topic.cursor(partition, Offset(0).max(topic.start(partition)))?;
    while let Some(frame) = cursor.next(Sequence(u64::MAX))? {
        if frame.header().kind == FrameKind::Rows && frame.header().rows > 0 {
            tally.add(&frame, reason_field)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_by_shape_in_bounded_memory() {
        let mut tally = Tally::default();
        for i in 0..10 {
            tally.count(&format!("late by {i} s"));
        }
        for i in 0..3 * SHAPES_MAX {
            tally.count(&"x".repeat(i % 150).to_string());
            tally.count(&format!("odd {}", "y".repeat(i % 100)));
        }
        assert!(tally.shapes.len() <= SHAPES_MAX);
        let rows = tally.rows;
        let (told, others) = tally.told();
        assert_eq!(told.len(), TOLD_MAX);
        assert_eq!(told.iter().map(|r| r.rows).sum::<u64>() + others, rows);
        assert!(told.windows(2).all(|w| w[0].rows >= w[1].rows));
    }
}
