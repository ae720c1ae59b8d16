//! Rows of topics that a node takes or writes, up to its last commit: from the log, so that the node does not notice.

use std::time::Duration;

use refrain_engine::request::{From, Request, Response, TopicRows};
use refrain_log::ids::Offset;

use super::print::Printer;
use crate::cells::Cell;
use crate::commands::topic;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::show::Sheet;

/// How often it is looked whether the node has committed.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Rows looked at for rows that are wanted, at a time.
const LOOK_ROWS: u64 = 4_096;

/// A partition under a tap.
struct Place {
    topic: String,
    partition: u32,
    /// The next row to look at.
    next: u64,
}

/// Shows rows of these topics until there are enough; without a running host, the last that there are.
pub(super) fn tap(
    link: &mut Link,
    node: &str,
    topics: &[String],
    printer: &mut Printer,
) -> Result<(), Failure> {
    let live = matches!(link, Link::Other(_));
    let mut cut = cut(link, node)?;
    let mut places = places(link, topics, cut)?;
    if !live {
        // A share of each partition's last rows.
        let share = printer.left().div_ceil(places.len().max(1) as u64);
        let share = if printer.is_choosy() { u64::MAX } else { share };
        for place in &mut places {
            let start = start(link, place)?;
            place.next = place.next.saturating_sub(share).max(start);
        }
    } else {
        eprintln!("waiting for commits of {node}");
    }
    loop {
        for place in &mut places {
            look(link, place, cut, live, printer)?;
            if printer.left() == 0 {
                return Ok(());
            }
        }
        if !live {
            return Ok(());
        }
        let before = cut;
        while cut == before {
            std::thread::sleep(LOOK_EVERY);
            cut = self::cut(link, node)?;
        }
    }
}

/// The cut of the node's last commit.
fn cut(link: &mut Link, node: &str) -> Result<u64, Failure> {
    match link.ask(Request::Status)? {
        Response::Status(status) => {
            let found = status.nodes.iter().find(|n| n.name == node);
            Ok(found.map_or(0, |node| node.cut.0))
        }
        _ => Err(unexpected()),
    }
}

/// Each partition, at the first row after a cut.
fn places(link: &mut Link, topics: &[String], cut: u64) -> Result<Vec<Place>, Failure> {
    let mut places = Vec::new();
    for name in topics {
        for status in topic::topics(link, Request::Topic(name.clone()))? {
            for (partition, (start, end)) in (0..).zip(&status.partitions) {
                let next = first_after(link, &status.name, partition, (start.0, end.0), cut)?;
                places.push(Place {
                    topic: status.name.clone(),
                    partition,
                    next,
                });
            }
        }
    }
    Ok(places)
}

/// The first offset of a partition whose frame is after a cut; sequences rise with offsets.
fn first_after(
    link: &mut Link,
    topic: &str,
    partition: u32,
    (mut low, mut high): (u64, u64),
    cut: u64,
) -> Result<u64, Failure> {
    while low < high {
        let middle = low + (high - low) / 2;
        let row = read(link, topic, partition, middle, 1)?;
        match row.sequences.first() {
            Some(sequence) if *sequence <= cut => low = row.offsets[0] + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

fn start(link: &mut Link, place: &Place) -> Result<u64, Failure> {
    let topics = topic::topics(link, Request::Topic(place.topic.clone()))?;
    let partition = topics
        .first()
        .map(|t| t.partitions[place.partition as usize]);
    Ok(partition.map_or(0, |(start, _)| start.0))
}

/// Shows rows of a partition up to a cut. Beside a host, what comes faster than it can be shown is passed over.
fn look(
    link: &mut Link,
    place: &mut Place,
    cut: u64,
    live: bool,
    printer: &mut Printer,
) -> Result<(), Failure> {
    loop {
        let room = if printer.is_choosy() {
            LOOK_ROWS
        } else {
            printer.left().min(LOOK_ROWS)
        };
        let rows = read(link, &place.topic, place.partition, place.next, room)?;
        let count = rows.sequences.partition_point(|sequence| *sequence <= cut);
        place.next = rows.offsets[..count]
            .last()
            .map_or(place.next, |last| last + 1);
        printer.push(sheet(&rows, count, place))?;
        if count < rows.sequences.len() || count == 0 || printer.left() == 0 {
            return Ok(());
        }
        if live {
            let topics = topic::topics(link, Request::Topic(place.topic.clone()))?;
            let ends = topics
                .first()
                .map(|t| t.partitions[place.partition as usize]);
            let end = ends.map_or(place.next, |(_, end)| end.0);
            let range = (place.next, end.max(place.next));
            let next = first_after(link, &place.topic, place.partition, range, cut)?;
            printer.passed(next - place.next);
            place.next = next;
            return Ok(());
        }
    }
}

fn read(
    link: &mut Link,
    topic: &str,
    partition: u32,
    offset: u64,
    limit: u64,
) -> Result<TopicRows, Failure> {
    topic::read::read(link, topic, partition, From::Offset(Offset(offset)), limit)
}

/// The first rows, with where they stand.
fn sheet(rows: &TopicRows, count: usize, place: &Place) -> Sheet {
    let mut sheet = Sheet::of(&rows.table.rows.slice(0, count));
    let offsets = rows.offsets[..count].iter();
    sheet.put_first("@offset", offsets.clone().map(|o| Cell::count(*o)));
    let partition = || Cell::count(place.partition.into());
    sheet.put_first("@partition", offsets.clone().map(|_| partition()));
    sheet.put_first("@topic", offsets.map(|_| Cell::text(&place.topic)));
    sheet
}
