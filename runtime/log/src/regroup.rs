//! What the frames of a derived topic would take if they ended elsewhere, as at the commits of another rhythm: the same rows,
//! encoded anew in memory, and counted.

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;

use crate::frame::header::frame_bytes;
use crate::frame::{Origins, origins};
use crate::ids::{Offset, Sequence};
use crate::topic::Topic;
use crate::{Error, Result, columns};

/// Which rows of a topic are looked at, and when a frame ends in any case.
#[derive(Clone, Copy, Debug)]
pub struct Looked {
    /// Those that come from source frames behind this one.
    pub after: Sequence,
    /// The newest so many of each partition.
    pub rows_max: u64,
    /// A frame ends with the source frame in which it has come to so many rows, or so many source frames.
    pub frame_rows: usize,
}

/// Bytes of the rows that were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Regrouped {
    /// How many rows they are.
    pub rows: u64,
    /// What their frames take when they end at each list of cuts.
    pub bytes: Vec<u64>,
}

impl Topic {
    /// What frames of a derived topic take when one ends at each of these cuts, for each of several lists of cuts in rising
    /// order. What comes behind the last cut of a list is one frame more.
    pub fn bytes_cut_at(&self, looked: Looked, lists: &[&[Sequence]]) -> Result<Regrouped> {
        let mut found = Regrouped {
            rows: 0,
            bytes: vec![0; lists.len()],
        };
        for partition in 0..self.spec().partitions {
            let mut framings: Vec<Framing<'_>> = lists
                .iter()
                .map(|cuts| Framing::new(self, cuts, looked.frame_rows))
                .collect();
            found.rows += self.regroup(partition, looked, &mut framings)?;
            for (bytes, framing) in found.bytes.iter_mut().zip(framings) {
                *bytes += framing.finish()?;
            }
        }
        Ok(found)
    }

    fn regroup(&self, partition: u32, looked: Looked, framings: &mut [Framing<'_>]) -> Result<u64> {
        let newest = Offset(self.end(partition).0.saturating_sub(looked.rows_max));
        let mut cursor = self.cursor_after(partition, looked.after)?;
        if cursor.offset() < newest {
            cursor = self.cursor(partition, newest)?;
        }
        let fields: Vec<usize> = (0..self.schema().fields().len()).collect();
        let mut rows = 0;
        while let Some(frame) = cursor.next_merged(Sequence(u64::MAX))? {
            let Some(from) = frame.origins()? else {
                return Err(Error::Invalid(format!(
                    "{} is a source topic: its frames end where it was appended to",
                    self.spec().name
                )));
            };
            let batch = frame.batch(&fields)?;
            rows += batch.num_rows() as u64;
            for framing in &mut *framings {
                framing.take(&batch, &from)?;
            }
        }
        Ok(rows)
    }
}

/// Rows on their way into frames.
struct Framing<'a> {
    topic: &'a Topic,
    /// Cuts that are not passed.
    cuts: &'a [Sequence],
    frame_rows: usize,
    parts: Vec<RecordBatch>,
    origins: Origins,
    bytes: u64,
}

impl<'a> Framing<'a> {
    fn new(topic: &'a Topic, cuts: &'a [Sequence], frame_rows: usize) -> Framing<'a> {
        Framing {
            topic,
            cuts,
            frame_rows,
            parts: Vec::new(),
            origins: Origins::default(),
            bytes: 0,
        }
    }

    /// The rows of a frame, and where they come from.
    fn take(&mut self, rows: &RecordBatch, from: &Origins) -> Result<()> {
        let (mut after, mut start) = (Sequence(0), 0);
        while let Some(next) = from.runs.iter().find(|run| run.sequence > after) {
            if self.cuts.first().is_some_and(|cut| next.sequence > *cut) {
                self.end_frame()?;
                let passed = self.cuts.partition_point(|cut| next.sequence > *cut);
                self.cuts = &self.cuts[passed..];
            }
            let (to, end) = self.end_of(from, after, start);
            let part = rows.slice(start as usize, (end - start) as usize);
            self.parts.push(part);
            self.origins.append(from.part(after, to, start..end));
            (after, start) = (to, end);
            if self.is_full() {
                self.end_frame()?;
            }
        }
        Ok(())
    }

    /// The last run, and the row after the last one, that go into the frame that is open.
    fn end_of(&self, from: &Origins, after: Sequence, start: u32) -> (Sequence, u32) {
        let cut = self.cuts.first().copied().unwrap_or(Sequence(u64::MAX));
        let runs = from.runs.iter().filter(|run| run.sequence > after);
        let (rows, count) = (self.origins.rows.len(), self.origins.runs.len());
        let mut found = (after, start);
        for (place, run) in runs.take_while(|run| run.sequence <= cut).enumerate() {
            found = (run.sequence, run.rows_end);
            let rows = rows + (run.rows_end - start) as usize;
            if rows >= self.frame_rows || count + place + 1 >= self.frame_rows {
                break;
            }
        }
        found
    }

    fn is_full(&self) -> bool {
        self.origins.rows.len() >= self.frame_rows || self.origins.runs.len() >= self.frame_rows
    }

    fn end_frame(&mut self) -> Result<()> {
        let Some(first) = self.parts.first() else {
            return Ok(());
        };
        let rows = concat_batches(&first.schema(), &self.parts);
        let rows = rows.map_err(|e| Error::Invalid(e.to_string()))?;
        let mut builder = columns::build(&rows, self.topic.schema())?;
        origins::write(&self.origins, &mut builder)?;
        self.bytes += frame_bytes(&builder.finish(rows.num_rows()));
        self.parts.clear();
        self.origins = Origins::default();
        Ok(())
    }

    fn finish(mut self) -> Result<u64> {
        self.end_frame()?;
        Ok(self.bytes)
    }
}
