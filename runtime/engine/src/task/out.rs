//! Rows on their way into one partition of a derived topic: collected, appended as frames, made durable before the
//! commit that names them, shown to readers after it.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use refrain_log::frame::{OriginRun, Origins};
use refrain_log::ids::{Offset, Timestamp};
use refrain_log::log::DerivedWriter;

use crate::error::Result;
use crate::input::Run;

/// Rows (or runs without rows) after which a frame is appended.
pub(crate) const FRAME_ROWS: usize = 65_536;

/// The writing end of one partition of a derived topic.
#[derive(Debug)]
pub struct Out {
    writer: DerivedWriter,
    schema: SchemaRef,
    parts: Vec<RecordBatch>,
    rows: usize,
    origins: Origins,
    /// Whether runs without rows are written too: a reader that windows this topic needs them.
    every_run: bool,
    end: Offset,
}

impl Out {
    /// For this writer, of a topic with this schema.
    pub fn new(writer: DerivedWriter, schema: SchemaRef, every_run: bool) -> Self {
        let origins = Origins::default();
        Self {
            writer,
            schema,
            parts: Vec::new(),
            rows: 0,
            origins,
            every_run,
            end: Offset(0),
        }
    }

    /// Takes rows of the current run; `origins` gives for each the row in its source frame and the watermark before it.
    pub fn push(&mut self, rows: RecordBatch, origins: impl Iterator<Item = (u32, i64)>) {
        self.rows += rows.num_rows();
        for (row, watermark) in origins {
            self.origins.rows.push(row);
            self.origins.watermarks.push(Timestamp(watermark));
        }
        assert_eq!(
            self.origins.rows.len(),
            self.rows,
            "each derived row has its origin"
        );
        self.parts.push(rows);
    }

    /// Ends the current run; `watermark` is the node's after it. Runs of one source frame are one run here.
    pub fn end_run(&mut self, run: &Run, watermark: i64) -> Result<()> {
        let rows_end = self.rows as u32;
        let again = self
            .origins
            .runs
            .last()
            .is_some_and(|r| r.sequence == run.sequence);
        let empty = self.origins.runs.last().map_or(0, |r| r.rows_end) == rows_end;
        if again {
            let last = self.origins.runs.last_mut().expect("there is a last run");
            last.rows_end = rows_end;
            last.watermark = Timestamp(watermark);
        } else if !empty || self.every_run {
            self.origins.runs.push(OriginRun {
                sequence: run.sequence,
                append_time: run.append_time,
                data: run.data,
                rows_end,
                watermark: Timestamp(watermark),
            });
        }
        if run.last && (self.rows >= FRAME_ROWS || self.origins.runs.len() >= FRAME_ROWS) {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if self.origins.runs.is_empty() {
            assert!(self.parts.is_empty(), "rows without a run");
            return Ok(());
        }
        let rows = arrow_select::concat::concat_batches(&self.schema, &self.parts)
            .expect("parts of one topic have its schema");
        self.writer.append(&rows, &self.origins)?;
        self.parts.clear();
        self.rows = 0;
        self.origins = Origins::default();
        Ok(())
    }

    /// Appends what is left and makes all durable; the end offset for the commit.
    pub fn sync(&mut self) -> Result<Offset> {
        self.flush()?;
        self.end = self.writer.sync()?;
        Ok(self.end)
    }

    /// The commit is durable: readers see the rows.
    pub fn publish(&mut self) {
        self.writer.publish(self.end);
    }

    /// The attempt failed: forgets all since the last commit.
    pub fn rollback(&mut self) -> Result<()> {
        Ok(self.writer.rollback()?)
    }
}
