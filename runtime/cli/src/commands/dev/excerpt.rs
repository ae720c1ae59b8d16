//! Which rows of the log are played, and how they are had: from the host that runs, or from the data folder itself. Once,
//! at the beginning, so that differences come from changes alone.

use std::fmt;

use refrain_engine::ingest;
use refrain_engine::request::{From, Request, TopicRows, TopicStatus};
use refrain_engine::trial::{Excerpt, Piece};
use refrain_log::ids::{Offset, Sequence, Timestamp};

use crate::commands::topic;
use crate::failure::Failure;
use crate::link::Link;
use crate::show::grouped;

/// Rows asked for at a time.
const READ_ROWS: u64 = 65_536;

/// The rows that are played.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::commands) struct Span {
    /// The last N rows of each source topic
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rows: u64,
    /// Begin at this offset of each partition, or at this event time (ISO 8601), instead of --rows
    #[arg(long, value_name = "OFFSET|TIME", value_parser = parse_end)]
    from: Option<End>,
    /// End before this offset, or before this event time [default: what is there now]
    #[arg(long, value_name = "OFFSET|TIME", value_parser = parse_end)]
    to: Option<End>,
}

/// Where rows begin or end.
#[derive(Clone, Copy, Debug)]
enum End {
    Offset(u64),
    Time(i64),
}

fn parse_end(text: &str) -> Result<End, String> {
    if let Ok(offset) = text.parse() {
        return Ok(End::Offset(offset));
    }
    ingest::parse_timestamp(text).map(End::Time).ok_or_else(|| {
        "write an offset such as 1000, or a time such as 2001-01-06T00:00:00Z".into()
    })
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Offset(offset) => write!(f, "offset {offset}"),
            End::Time(us) => write!(f, "{}", ingest::time::text(*us)),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.from, &self.to) {
            (None, None) => write!(f, "the last {} of each source topic", grouped(self.rows)),
            (Some(from), None) => write!(f, "all from {from} on"),
            (None, Some(to)) => write!(f, "all before {to}"),
            (Some(from), Some(to)) => write!(f, "{from} to {to}"),
        }
    }
}

impl Span {
    /// The last rows of each source topic.
    pub(in crate::commands) fn last(rows: u64) -> Span {
        Span {
            rows,
            from: None,
            to: None,
        }
    }

    /// Without --from and --to.
    fn is_last(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// The offsets of a partition that hold the rows, of those that are there.
    fn offsets(&self, start: u64, end: u64) -> (From, u64) {
        let from = match self.from {
            Some(End::Offset(offset)) => From::Offset(Offset(offset.clamp(start, end))),
            Some(End::Time(us)) => From::Time(Timestamp(us)),
            None if self.is_last() => {
                From::Offset(Offset(end.saturating_sub(self.rows).max(start)))
            }
            None => From::Earliest,
        };
        let to = match self.to {
            Some(End::Offset(offset)) => offset.min(end),
            _ => end,
        };
        (from, to)
    }
}

/// The rows of these topics.
pub(in crate::commands) fn take(
    link: &mut Link,
    topics: &[String],
    span: &Span,
) -> Result<Excerpt, Failure> {
    let mut pieces = Vec::new();
    let mut times = Vec::new();
    for name in topics {
        for status in topic::topics(link, Request::Topic(name.clone()))? {
            for (partition, (start, end)) in (0..).zip(&status.partitions) {
                let (from, to) = span.offsets(start.0, end.0);
                partition_rows(link, &status, partition, from, to, &mut pieces)?;
            }
            times.push((name.clone(), status.time));
        }
    }
    let excerpt = Excerpt::new(pieces);
    if span.is_last() {
        return Ok(excerpt.last(span.rows));
    }
    let field = |topic: &str| {
        let found = times.iter().find(|(name, _)| name == topic);
        found.and_then(|(_, time)| time.clone())
    };
    let time = |end: Option<End>| match end {
        Some(End::Time(us)) => Some(Timestamp(us)),
        _ => None,
    };
    Ok(excerpt.during(&field, time(span.from), time(span.to)))
}

fn partition_rows(
    link: &mut Link,
    topic: &TopicStatus,
    partition: u32,
    mut from: From,
    to: u64,
    pieces: &mut Vec<Piece>,
) -> Result<(), Failure> {
    loop {
        let rows = topic::read::read(link, &topic.name, partition, from, READ_ROWS)?;
        let count = rows.offsets.partition_point(|offset| *offset < to);
        push_frames(&topic.name, partition, &rows, count, pieces);
        if count < rows.offsets.len() || rows.offsets.is_empty() || rows.next.0 >= to {
            return Ok(());
        }
        from = From::Offset(rows.next);
    }
}

/// The first rows of an answer, frame by frame.
fn push_frames(
    topic: &str,
    partition: u32,
    rows: &TopicRows,
    count: usize,
    pieces: &mut Vec<Piece>,
) {
    let mut start = 0;
    while start < count {
        let sequence = rows.sequences[start];
        let same = rows.sequences[start..count].iter();
        let length = same.take_while(|s| **s == sequence).count();
        pieces.push(Piece {
            topic: topic.to_owned(),
            partition,
            sequence: Sequence(sequence),
            appended: Timestamp(rows.appended_us.get(start).copied().unwrap_or_default()),
            rows: rows.table.rows.slice(start, length),
        });
        start += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(rows: u64, from: Option<&str>, to: Option<&str>) -> Span {
        Span {
            rows,
            from: from.map(|text| parse_end(text).unwrap()),
            to: to.map(|text| parse_end(text).unwrap()),
        }
    }

    #[test]
    fn offsets_stay_within_what_is_there() {
        let of = |span: Span| span.offsets(10, 100);
        let at = |offset| From::Offset(Offset(offset));
        assert_eq!(of(span(5, None, None)), (at(95), 100));
        assert_eq!(of(span(500, None, None)), (at(10), 100));
        assert_eq!(of(span(5, Some("3"), Some("1000"))), (at(10), 100));
        assert_eq!(of(span(5, Some("40"), Some("50"))), (at(40), 50));
        assert_eq!(of(span(5, None, Some("50"))), (From::Earliest, 50));
        let day = Timestamp(ingest::parse_timestamp("2001-01-06").unwrap());
        assert_eq!(
            of(span(5, Some("2001-01-06"), None)),
            (From::Time(day), 100)
        );
    }
}
