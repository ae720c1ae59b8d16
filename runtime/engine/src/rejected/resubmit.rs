//! Rows set aside go back into a source topic, each at most once, whatever interrupts it.

use std::path::PathBuf;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use refrain_log::columns;
use refrain_log::log::{Append, Appended, Producer, producer_hash};
use refrain_log::schema::Schema;
use refrain_log::topic::Origin;

use super::note::{Note, Pending, holds, spans};
use super::summary::find;
use super::{Resubmission, Resubmitted, Span, Spot};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::ingest::base64;

/// Appends the rows that no note names yet. After an error the note says what is under way, and the next call for this
/// topic finishes it first.
pub(crate) fn resubmit(host: &Host, request: Resubmission) -> Result<Resubmitted> {
    find(host, &request.name)?;
    refuse_no_source(host, &request.to)?;
    if request.spots.len() != request.rows.rows.num_rows() {
        let what = "each row that is appended again says what it stands for, and only once";
        return Err(Error::Refused(what.into()));
    }
    let notes = host.notes();
    let _gate = notes.enter();
    let mut done = Resubmitted::default();
    for (path, note) in notes.read(&request.name)? {
        if note.pending.is_some() {
            done.add(finish(host, path, note)?);
        }
    }
    let noted = notes.noted(&request.name)?;
    let fresh: Vec<bool> = request
        .spots
        .iter()
        .map(|spot| !holds(&noted.spans, spot))
        .collect();
    let taken: Vec<&Spot> = chosen(&request.spots, &fresh);
    done.already = (request.spots.len() - taken.len()) as u64;
    if taken.is_empty() {
        return Ok(done);
    }
    let taken_spans = spans(taken.into_iter().map(Span::from).collect());
    let rows = filter_record_batch(&request.rows.rows, &BooleanArray::from(fresh))
        .expect("there is one flag for each row");
    if taken_spans.iter().map(Span::rows).sum::<u64>() != rows.num_rows() as u64 {
        let what = "a row is given twice; keep one of the two";
        return Err(Error::Refused(what.into()));
    }
    let pending = pending(&request.rows.schema, &rows)?;
    let producer = producer(&request, &taken_spans);
    let (path, note) = notes.begin(&request.name, &request.to, producer, taken_spans, pending)?;
    done.add(finish(host, path, note)?);
    Ok(done)
}

impl Resubmitted {
    fn add(&mut self, appended: Appended) {
        self.rows += appended.rows;
        self.rejected += appended.rejected;
        self.sequence = self.sequence.max(appended.sequence);
    }
}

fn chosen<'a>(spots: &'a [Spot], fresh: &[bool]) -> Vec<&'a Spot> {
    let with = spots.iter().zip(fresh);
    with.filter(|(_, fresh)| **fresh).map(|(s, _)| s).collect()
}

fn refuse_no_source(host: &Host, name: &str) -> Result<()> {
    let topic = host.log().topic(name);
    match topic.is_some_and(|t| t.spec().origin == Origin::Source) {
        true => Ok(()),
        false => Err(Error::Refused(format!(
            "{name} is no source topic; only those are appended to"
        ))),
    }
}

/// The rows in the schema that they were decoded by: the topic may have got another version of its own before they are
/// appended.
fn pending(schema: &Schema, rows: &RecordBatch) -> Result<Pending> {
    let bytes = columns::to_bytes(rows, schema)?;
    Ok(Pending {
        schema: schema.clone(),
        columns: base64::encode(&bytes),
    })
}

/// A name that only the same rows for the same topic have.
fn producer(request: &Resubmission, taken: &[Span]) -> String {
    let text = serde_json::to_string(&(&request.name, &request.to, taken))
        .expect("names and numbers are always JSON");
    format!("resubmit:{}:{:016x}", request.name, producer_hash(&text))
}

/// Appends what a note holds, and lets the rows go from it.
fn finish(host: &Host, path: PathBuf, mut note: Note) -> Result<Appended> {
    let Some(pending) = &note.pending else {
        return Ok(note.appended.unwrap_or_default());
    };
    let mut bytes = Vec::new();
    let decoded = base64::decode(pending.columns.as_bytes(), &mut bytes)
        .and_then(|()| columns::from_bytes(&bytes, &pending.schema).ok());
    let rows = decoded.ok_or_else(|| {
        Error::Refused(format!(
            "{}: its rows do not decode; remove the file to give them up",
            path.display()
        ))
    })?;
    let append = Append {
        topic: note.to.clone(),
        row_numbers: (1..=rows.num_rows() as u64).collect(),
        rows,
        input: note.name.clone(),
        undecoded: Vec::new(),
        producer: Some(Producer {
            name: note.producer.clone(),
            first_row: 1,
        }),
    };
    let appended = match host.log().append(append) {
        Ok(appended) => appended,
        Err(error @ refrain_log::Error::Invalid(_)) => {
            // Refused as a whole: nothing of it is under way.
            host.notes().remove(&path)?;
            return Err(error.into());
        }
        Err(error) => return Err(error.into()),
    };
    note.pending = None;
    note.appended = Some(appended);
    host.notes().write(&path, &note)?;
    Ok(appended)
}
