//! Rows set aside, page by page, each with what it is about: the bytes of the input, or the row of the log.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use refrain_engine::rejected::{Aside, RejectedStatus, RowsAt, Spot};
use refrain_engine::request::{From, Request, Response, TopicRows};
use refrain_log::ids::Offset;

use crate::cells::Cell;
use crate::commands::topic::read::read;
use crate::failure::Failure;
use crate::link::{Link, unexpected};

/// Rows asked for at a time.
const PAGE_ROWS: u64 = 2_000;

/// Which of them are wanted.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Selection {
    /// Only this partition of NAME [default: all, one after another]
    #[arg(long)]
    pub(crate) partition: Option<u32>,
    /// Begin at this offset of NAME [default: the first row]
    #[arg(long, value_name = "OFFSET")]
    pub(crate) from: Option<u64>,
    /// Only rows whose reason contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// One row set aside.
#[derive(Clone, Debug)]
pub(crate) struct Aparted {
    /// Where it stands in its topic of rows set aside.
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) reason: String,
    pub(crate) about: About,
}

/// What a row set aside is about.
#[derive(Clone, Debug)]
pub(crate) enum About {
    /// Bytes that did not decode.
    Input {
        producer: String,
        input: String,
        line: i64,
        bytes: Vec<u8>,
    },
    /// A row of a node's input, as it stands in the log, or why it cannot be had.
    Row {
        spot: Spot,
        row: Result<Vec<(String, Cell)>, String>,
    },
}

impl Aparted {
    /// What is appended again at most once.
    pub(crate) fn spot(&self, name: &str) -> Spot {
        match &self.about {
            About::Input { .. } => Spot {
                topic: name.to_owned(),
                partition: self.partition,
                offset: Offset(self.offset),
            },
            About::Row { spot, .. } => spot.clone(),
        }
    }
}

/// Takes a page of rows; whether it wants more.
type Take<'a> = dyn FnMut(&mut Link, Vec<Aparted>) -> Result<bool, Failure> + 'a;

/// Hands over the wanted rows, a page at a time, until there are none or `take` wants no more.
pub(crate) fn each_page(
    link: &mut Link,
    status: &RejectedStatus,
    partitions: u32,
    selection: &Selection,
    take: &mut Take<'_>,
) -> Result<(), Failure> {
    let chosen = selection.partition.map_or(0..partitions, |p| p..p + 1);
    for partition in chosen {
        let mut from = selection
            .from
            .map_or(From::Earliest, |offset| From::Offset(Offset(offset)));
        loop {
            let rows = read(link, &status.name, partition, from, PAGE_ROWS)?;
            if rows.offsets.is_empty() {
                break;
            }
            let next = rows.next;
            let page = page(link, status.kind, partition, rows, selection)?;
            if !page.is_empty() && !take(link, page)? {
                return Ok(());
            }
            from = From::Offset(next);
        }
    }
    Ok(())
}

/// The rows set aside at these places, in their order.
pub(crate) fn at(
    link: &mut Link,
    status: &RejectedStatus,
    partition: u32,
    offsets: &[u64],
) -> Result<Vec<Aparted>, Failure> {
    let mut found = Vec::new();
    let all = rows_at(link, &status.name, partition, offsets, &mut |rows| {
        let rows = TopicRows {
            offsets: rows.offsets,
            sequences: Vec::new(),
            appended_us: Vec::new(),
            next: Offset(0),
            table: rows.table,
        };
        found.push(rows);
        Ok(())
    })?;
    if let Some((offset, why)) = all.into_iter().next() {
        return Err(Failure::refused(format!(
            "{} has no row {partition}/{offset}: {why}",
            status.name
        )));
    }
    let any = Selection {
        partition: None,
        from: None,
        reason: None,
    };
    let mut pages = Vec::new();
    for rows in found {
        pages.extend(page(link, status.kind, partition, rows, &any)?);
    }
    Ok(pages)
}

fn page(
    link: &mut Link,
    kind: Aside,
    partition: u32,
    rows: TopicRows,
    selection: &Selection,
) -> Result<Vec<Aparted>, Failure> {
    let batch = &rows.table.rows;
    let reasons = column(batch, "reason")?.as_string::<i32>();
    let wanted = |row: &usize| {
        let text = selection.reason.as_deref();
        text.is_none_or(|text| reasons.value(*row).contains(text))
    };
    let chosen: Vec<usize> = (0..batch.num_rows()).filter(wanted).collect();
    let abouts = match kind {
        Aside::Input => inputs(batch, &chosen)?,
        Aside::Node | Aside::Late => origins(link, batch, &chosen)?,
    };
    let row = |(row, about): (usize, About)| Aparted {
        partition,
        offset: rows.offsets[row],
        reason: reasons.value(row).to_owned(),
        about,
    };
    Ok(chosen.into_iter().zip(abouts).map(row).collect())
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a arrow_array::ArrayRef, Failure> {
    batch.column_by_name(name).ok_or_else(unexpected)
}

fn inputs(batch: &RecordBatch, chosen: &[usize]) -> Result<Vec<About>, Failure> {
    let producers = column(batch, "producer")?.as_string::<i32>();
    let inputs = column(batch, "input")?.as_string::<i32>();
    let lines = column(batch, "line")?.as_primitive::<Int64Type>();
    let bytes = column(batch, "bytes")?.as_binary::<i32>();
    let about = |row: &usize| About::Input {
        producer: producers.value(*row).to_owned(),
        input: inputs.value(*row).to_owned(),
        line: lines.value(*row),
        bytes: bytes.value(*row).to_owned(),
    };
    Ok(chosen.iter().map(about).collect())
}

type Row = Result<Vec<(String, Cell)>, String>;

/// The rows of the log that these letters are about.
fn origins(link: &mut Link, batch: &RecordBatch, chosen: &[usize]) -> Result<Vec<About>, Failure> {
    let topics = column(batch, "topic")?.as_string::<i32>();
    let partitions = column(batch, "partition")?.as_primitive::<Int64Type>();
    let offsets = column(batch, "offset")?.as_primitive::<Int64Type>();
    let spot = |row: &usize| Spot {
        topic: topics.value(*row).to_owned(),
        partition: partitions.value(*row) as u32,
        offset: Offset(offsets.value(*row) as u64),
    };
    let spots: Vec<Spot> = chosen.iter().map(spot).collect();
    let mut by_partition: BTreeMap<(&str, u32), Vec<u64>> = BTreeMap::new();
    for spot in &spots {
        let offsets = by_partition
            .entry((&spot.topic, spot.partition))
            .or_default();
        offsets.push(spot.offset.0);
    }
    let mut rows: BTreeMap<Spot, Row> = BTreeMap::new();
    for ((topic, partition), mut offsets) in by_partition {
        offsets.sort_unstable();
        offsets.dedup();
        let found = rows_of(link, topic, partition, &offsets)?;
        rows.extend(found.into_iter().map(|(offset, row)| {
            let (topic, offset) = (topic.to_owned(), Offset(offset));
            (
                Spot {
                    topic,
                    partition,
                    offset,
                },
                row,
            )
        }));
    }
    let none = || Err("its topic does not answer for it".to_owned());
    let about = |spot: Spot| {
        let row = rows.get(&spot).cloned().unwrap_or_else(none);
        About::Row { row, spot }
    };
    Ok(spots.into_iter().map(about).collect())
}

fn rows_of(
    link: &mut Link,
    topic: &str,
    partition: u32,
    offsets: &[u64],
) -> Result<Vec<(u64, Row)>, Failure> {
    let mut found: Vec<(u64, Row)> = Vec::new();
    let missing = rows_at(link, topic, partition, offsets, &mut |rows| {
        for (row, offset) in rows.offsets.iter().enumerate() {
            found.push((*offset, Ok(fields(&rows.table.rows, row))));
        }
        Ok(())
    });
    match missing {
        Ok(missing) => found.extend(missing.into_iter().map(|(o, why)| (o, Err(why)))),
        // The topic is gone: a node was taken out, or renamed.
        Err(failure) if failure.code == crate::failure::REFUSED => {
            let why = |offset: &u64| (*offset, Err(failure.message.clone()));
            found = offsets.iter().map(why).collect();
        }
        Err(failure) => return Err(failure),
    }
    Ok(found)
}

/// A row as named values.
fn fields(batch: &RecordBatch, row: usize) -> Vec<(String, Cell)> {
    let schema = batch.schema();
    let names = schema.fields().iter().map(|f| f.name().clone());
    let cells = batch.columns().iter().map(|column| Cell::of(column, row));
    names.zip(cells).collect()
}

/// Asks for rows until all are there or said to be missing; the missing ones.
fn rows_at(
    link: &mut Link,
    topic: &str,
    partition: u32,
    offsets: &[u64],
    take: &mut dyn FnMut(RowsAt) -> Result<(), Failure>,
) -> Result<Vec<(u64, String)>, Failure> {
    let mut missing = Vec::new();
    let mut left = offsets;
    while !left.is_empty() {
        let request = Request::RowsAt {
            topic: topic.to_owned(),
            partition,
            offsets: left.to_vec(),
        };
        let Response::RowsAt(rows) = link.ask(request)? else {
            return Err(unexpected());
        };
        let answered = rows.offsets.len() + rows.missing.len();
        if answered == 0 {
            return Err(unexpected());
        }
        left = &left[answered.min(left.len())..];
        missing.extend(rows.missing.iter().map(|m| (m.offset, m.why.clone())));
        take(rows)?;
    }
    Ok(missing)
}
