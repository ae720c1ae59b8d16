//! Which rows of a version that begins later in the log can be compared: those that lack nothing of what came before it.
//!
//! Of windows those that begin after every row that was not taken; of a transform the rows from its first offset on. Where
//! several partitions are merged and may be idle, watermarks hang for a while on when a partition had its last row, which a
//! version that begins later does not know: what comes in that while counts as not taken. What a node makes of such rows
//! is followed down the chain, as far as it can be told. Of totals, counts and states of a plugin's own nothing can.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use refrain_log::cursor::Cursor;
use refrain_log::frame::FrameKind;
use refrain_log::ids::{Sequence, Timestamp};
use refrain_log::topic::Topic;
use refrain_plugin::PluginKind;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::pipeline::{PlannedNode, Window};
use crate::receipt::chain::writer;
use crate::replay::start::lacks_before;
use crate::request::Table;
use crate::versions::{Version, VersionName, Versions, sources};

/// Rows of a view that lack nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    /// All.
    All,
    /// Those of windows that begin after an event time: the field, and the time in microseconds.
    After(String, i64),
    /// Those of a transform from these offsets on, by input and partition.
    From(BTreeMap<(String, u32), u64>),
    /// None: why.
    Nothing(String),
}

/// Event times up to which rows may lack something.
enum Bound {
    /// No row does.
    None,
    /// Those up to it.
    UpTo(i64),
    /// It cannot be told: why.
    Unknown(String),
}

impl Bound {
    fn and(self, other: Bound) -> Bound {
        match (self, other) {
            (Bound::None, other) | (other, Bound::None) => other,
            (Bound::UpTo(a), Bound::UpTo(b)) => Bound::UpTo(a.max(b)),
            (unknown @ Bound::Unknown(_), _) | (_, unknown) => unknown,
        }
    }

    fn of(time: Option<Timestamp>) -> Bound {
        time.map_or(Bound::None, |time| Bound::UpTo(time.0))
    }
}

impl Whole {
    /// Those that lack nothing in either of two versions.
    fn and(self, other: Whole) -> Whole {
        match (self, other) {
            (Whole::All, other) | (other, Whole::All) => other,
            (nothing @ Whole::Nothing(_), _) | (_, nothing @ Whole::Nothing(_)) => nothing,
            (Whole::After(a, x), Whole::After(b, y)) if a == b => Whole::After(a, x.max(y)),
            (Whole::From(mut a), Whole::From(b)) => {
                for (place, offset) in b {
                    let known = a.entry(place).or_insert(offset);
                    *known = offset.max(*known);
                }
                Whole::From(a)
            }
            _ => Whole::Nothing("the rows of the other one are of another kind".into()),
        }
    }

    /// Whether a row of a view counts.
    pub(crate) fn has(&self, table: &Table, row: usize) -> bool {
        match self {
            Whole::All => true,
            Whole::Nothing(_) => false,
            Whole::After(field, after) => {
                let column = table.rows.column_by_name(field);
                let times = column.map(|c| c.as_primitive::<TimestampMicrosecondType>());
                times.is_some_and(|t| !t.is_null(row) && t.value(row) > *after)
            }
            Whole::From(firsts) => {
                let number = |name: &str| {
                    let column = table.rows.column_by_name(name);
                    column.map_or(0, |c| c.as_primitive::<Int64Type>().value(row))
                };
                let input = table.rows.column_by_name("input");
                let input = input.map_or("", |column| column.as_string::<i32>().value(row));
                let partition = number("partition") as u32;
                let first = firsts.get(&(input.to_owned(), partition));
                first.is_none_or(|first| number("offset") as u64 >= *first)
            }
        }
    }
}

impl Host {
    /// Which rows of two versions can be compared; refused where none can.
    pub(super) fn comparable(&self, left: &VersionName, right: &VersionName) -> Result<Whole> {
        let versions = self.versions()?;
        let starts = (
            version(&versions, left)?.start,
            version(&versions, right)?.start,
        );
        if starts.0.after == starts.1.after {
            // What the one lacks the other one lacks, too.
            return Ok(Whole::All);
        }
        let later = match starts.0.after > starts.1.after {
            true => left,
            false => right,
        };
        let whole = self
            .whole(&versions, left)?
            .and(self.whole(&versions, right)?);
        let Whole::Nothing(why) = whole else {
            return Ok(whole);
        };
        let node = &left.name;
        Err(Error::Refused(format!(
            "no row of version {} of node {node} can be compared with version {}: version {} begins after sequence {}, and \
             {why}. Compare it with a table of the same rows (`refrain validate {node} --against FILE --candidate {}`), or \
             replay {node} from the beginning or from a savepoint",
            right.number,
            left.number,
            later.number,
            starts.0.after.max(starts.1.after),
            later.number
        )))
    }

    /// Which rows of a version can be compared with a table from outside: where none is whole, the table is taken to be
    /// of what the version has.
    pub(super) fn comparable_outside(&self, of: &VersionName) -> Result<Whole> {
        let whole = self.whole(&*self.versions()?, of)?;
        Ok(match whole {
            Whole::Nothing(_) => Whole::All,
            whole => whole,
        })
    }

    /// Which rows of a version's view lack nothing.
    fn whole(&self, versions: &Versions, of: &VersionName) -> Result<Whole> {
        let version = version(versions, of)?;
        if version.start.after == Sequence(0) {
            return Ok(Whole::All);
        }
        let planned = version.planned()?;
        if let Some(why) = lacks_before(&planned) {
            return Ok(Whole::Nothing(format!("node {} {why}", of.name)));
        }
        let Some(window) = &planned.window else {
            return self.whole_offsets(versions, version, &planned);
        };
        Ok(match self.bound(versions, of)? {
            Bound::None => Whole::All,
            Bound::UpTo(time) => {
                // A session within the silence after a row that is not there would have begun with that row.
                let margin_us = match window {
                    Window::Session { gap_us, .. } => *gap_us,
                    _ => 0,
                };
                Whole::After(window.key_field().name, time.saturating_add(margin_us))
            }
            Bound::Unknown(why) => Whole::Nothing(why),
        })
    }

    /// Of a transform: rows are told apart by their offsets.
    fn whole_offsets(
        &self,
        versions: &Versions,
        version: &Version,
        planned: &PlannedNode,
    ) -> Result<Whole> {
        let several = planned.inputs.len() > 1;
        let mut firsts = BTreeMap::new();
        for input in &planned.inputs {
            let number = version.inputs.get(&input.topic).copied().unwrap_or(1);
            if input.derived {
                let writer = writer(versions, &input.topic, number)?;
                if self::version(versions, &writer)?.start.after > Sequence(0) {
                    return Ok(Whole::Nothing(format!(
                        "its rows are told apart by their offsets in topic {}, whose version {number} begins later, too, and \
                         has offsets of its own",
                        input.topic
                    )));
                }
            }
            let name = VersionName::new(&input.topic, number).to_string();
            let Some(topic) = self.log().topic(&name) else {
                continue;
            };
            let input = if several {
                input.topic.clone()
            } else {
                String::new()
            };
            for partition in 0..topic.spec().partitions {
                let first = self.first_after(&topic, partition, version.start.after);
                firsts.insert((input.clone(), partition), first.0);
            }
        }
        Ok(Whole::From(firsts))
    }

    /// Event times up to which what a node has of its windows may lack something.
    fn bound(&self, versions: &Versions, of: &VersionName) -> Result<Bound> {
        let version = version(versions, of)?;
        let planned = version.planned()?;
        let sources = sources(versions, of)?;
        let settled = self.settled(sources.iter(), version.start.after)?;
        let mut bound = Bound::of(version.start.time_max);
        if settled > version.start.after {
            let mut topics: Vec<String> = sources.into_iter().collect();
            topics.extend(planned.input_topics());
            bound = bound.and(Bound::of(self.time_max_of(&topics, settled)?));
        }
        for input in planned.inputs.iter().filter(|input| input.derived) {
            let number = version.inputs.get(&input.topic).copied().unwrap_or(1);
            let writer = writer(versions, &input.topic, number)?;
            bound = bound.and(self.partial(versions, &writer)?);
        }
        Ok(bound)
    }

    /// Event times up to which rows of the topic that a version writes may lack something.
    fn partial(&self, versions: &Versions, of: &VersionName) -> Result<Bound> {
        let version = version(versions, of)?;
        if version.start.after == Sequence(0) {
            return Ok(Bound::None);
        }
        let planned = version.planned()?;
        let name = &of.name;
        if planned.about.kind == PluginKind::Transform {
            let mut bound = Bound::None;
            for input in planned.inputs.iter().filter(|input| input.derived) {
                let number = version.inputs.get(&input.topic).copied().unwrap_or(1);
                let writer = writer(versions, &input.topic, number)?;
                bound = bound.and(self.partial(versions, &writer)?);
            }
            return Ok(match bound {
                Bound::UpTo(_) => Bound::Unknown(format!(
                    "node {name}, before it, makes rows of windows that are not whole, at times of its own"
                )),
                bound => bound,
            });
        }
        Ok(match (lacks_before(&planned), &planned.window) {
            (Some(why), _) => Bound::Unknown(format!("node {name}, before it, {why}")),
            (None, Some(Window::Session { .. })) => Bound::Unknown(format!(
                "a session of node {name}, before it, that began before the start may end at any time"
            )),
            (None, _) => self.bound(versions, of)?,
        })
    }

    /// The cut from which on watermarks of nodes that read these source topics do not hang on what came before `after`:
    /// each partition has had rows since, or has been silent for as long as makes it idle.
    fn settled<'t>(
        &self,
        topics: impl Iterator<Item = &'t String>,
        after: Sequence,
    ) -> Result<Sequence> {
        let mut lanes = Vec::new();
        let mut idle_us = None;
        for topic in topics.filter_map(|name| self.log().topic(name)) {
            idle_us = idle_us.max(topic.spec().idle_us);
            lanes.extend((0..topic.spec().partitions).map(|p| (topic.clone(), p)));
        }
        let (Some(idle_us), true) = (idle_us, lanes.len() > 1) else {
            return Ok(after);
        };
        let mut begin = after;
        for (topic, partition) in &lanes {
            begin = begin.max(topic.kept(*partition)?.removed_up_to);
        }
        let behind = |(topic, partition): &(Arc<Topic>, u32)| topic.cursor_after(*partition, begin);
        let mut first: Option<(Sequence, Timestamp)> = None;
        for lane in &lanes {
            if let Some(frame) = behind(lane)?.next(Sequence(u64::MAX))? {
                let at = (frame.header().sequence, frame.header().append_time);
                first = Some(first.map_or(at, |first| first.min(at)));
            }
        }
        let Some((_, first_time)) = first else {
            return Ok(begin);
        };
        let until = Timestamp(first_time.0.saturating_add(idle_us));
        let mut settled = begin;
        for lane in &lanes {
            let Some(heard) = first_rows(behind(lane)?, until)? else {
                return last_of(&lanes, begin, until);
            };
            settled = settled.max(heard);
        }
        Ok(settled)
    }
}

/// Sequence of the last frame behind a cut that was appended until then.
fn last_of(lanes: &[(Arc<Topic>, u32)], begin: Sequence, until: Timestamp) -> Result<Sequence> {
    let mut last = begin;
    for (topic, partition) in lanes {
        let mut cursor = topic.cursor_after(*partition, begin)?;
        while let Some(frame) = cursor.next(Sequence(u64::MAX))?
            && frame.header().append_time <= until
        {
            last = last.max(frame.header().sequence);
        }
    }
    Ok(last)
}

/// Sequence of the first frame with rows that was appended until then.
fn first_rows(mut cursor: Cursor, until: Timestamp) -> Result<Option<Sequence>> {
    while let Some(frame) = cursor.next(Sequence(u64::MAX))?
        && frame.header().append_time <= until
    {
        if frame.header().kind == FrameKind::Rows {
            return Ok(Some(frame.header().sequence));
        }
    }
    Ok(None)
}

fn version<'v>(versions: &'v Versions, of: &VersionName) -> Result<&'v Version> {
    let known = versions.node(&of.name);
    let version = known.and_then(|known| known.versions.get(&of.number));
    version.ok_or_else(|| super::no_version(&of.name, of.number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(time: i64) -> Whole {
        Whole::After("day".into(), time)
    }

    #[test]
    fn what_is_whole_in_both_is_compared() {
        let from = |offset| Whole::From(BTreeMap::from([((String::new(), 0), offset)]));
        let nothing = || Whole::Nothing("why".into());
        for (a, b, both) in [
            (Whole::All, after(3), after(3)),
            (after(5), after(3), after(5)),
            (from(7), from(9), from(9)),
            (after(5), nothing(), nothing()),
            (Whole::All, nothing(), nothing()),
        ] {
            assert_eq!(a.clone().and(b.clone()), both);
            assert_eq!(b.and(a), both);
        }
        assert!(matches!(after(5).and(from(7)), Whole::Nothing(_)));
    }
}
