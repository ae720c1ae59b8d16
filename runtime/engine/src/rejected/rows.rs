//! Rows at chosen offsets, in one pass over the frames that hold them.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use refrain_log::frame::FrameKind;
use refrain_log::ids::{Offset, Sequence};
use refrain_log::topic::Topic;

use super::{Missing, RowsAt};
use crate::error::{Error, Result};
use crate::request::Table;

/// Rows of one answer.
const ROWS_MAX: usize = 65_536;
/// Bytes of rows after which an answer ends; the asker asks on for the rest.
const BYTES_MAX: usize = 32 << 20;
/// Rows between two offsets that are passed rather than sought.
const PASSED_MAX: u64 = 100_000;

/// The rows at these offsets (rising), and why there is none where there is none. An answer may end early: what it says
/// nothing of is to be asked for again.
pub(crate) fn rows_at(topic: &Arc<Topic>, partition: u32, offsets: &[u64]) -> Result<RowsAt> {
    if partition >= topic.spec().partitions || !offsets.is_sorted_by(|a, b| a < b) {
        let name = &topic.spec().name;
        return Err(Error::Refused(format!(
            "rows of {name} are asked for by a partition that it has, and by rising offsets"
        )));
    }
    let mut picked = Picked::default();
    let mut wanted = offsets[..offsets.len().min(ROWS_MAX)]
        .iter()
        .copied()
        .peekable();
    while let Some(offset) = wanted.peek().copied() {
        if picked.bytes > BYTES_MAX {
            break;
        }
        if let Err(error) = picked.read_from(topic, partition, offset, &mut wanted) {
            match error {
                refrain_log::Error::Damaged { .. } => picked.miss(&mut wanted, &error.to_string()),
                error => return Err(error.into()),
            }
        }
    }
    let rows = arrow_select::concat::concat_batches(&topic.schema().arrow(), &picked.parts)
        .expect("frames of one topic have its schema");
    Ok(RowsAt {
        table: Table {
            schema: (**topic.schema()).clone(),
            rows,
        },
        offsets: picked.offsets,
        missing: picked.missing,
    })
}

type Wanted<'a> = std::iter::Peekable<std::iter::Copied<std::slice::Iter<'a, u64>>>;

#[derive(Debug, Default)]
struct Picked {
    parts: Vec<RecordBatch>,
    offsets: Vec<u64>,
    missing: Vec<Missing>,
    bytes: usize,
}

impl Picked {
    fn miss(&mut self, wanted: &mut Wanted, why: &str) {
        if let Some(offset) = wanted.next() {
            let why = why.to_owned();
            self.missing.push(Missing { offset, why });
        }
    }

    /// Reads frames from the one with this offset on, as long as wanted rows are near.
    fn read_from(
        &mut self,
        topic: &Arc<Topic>,
        partition: u32,
        from: u64,
        wanted: &mut Wanted,
    ) -> refrain_log::Result<()> {
        if from < topic.start(partition).0 {
            self.miss(wanted, "it is older than what is kept of its topic");
            return Ok(());
        }
        if from >= topic.end(partition).0 {
            self.miss(wanted, "its topic ends before it");
            return Ok(());
        }
        let fields: Vec<usize> = (0..topic.schema().fields().len()).collect();
        let mut cursor = topic.cursor(partition, Offset(from))?;
        while let Some(next) = wanted.peek().copied() {
            if self.bytes > BYTES_MAX || next > cursor.offset().0 + PASSED_MAX {
                return Ok(());
            }
            let Some(frame) = cursor.next(Sequence(u64::MAX))? else {
                self.miss(wanted, "its topic ends before it");
                return Ok(());
            };
            let header = frame.header();
            let end = header.base_offset.0 + u64::from(header.rows);
            if header.kind != FrameKind::Rows || end <= next {
                continue;
            }
            let mut chosen = Vec::new();
            // Decoded before anything is taken from the wanted ones, so that damage names them.
            let batch = frame.batch(&fields)?;
            while let Some(offset) = wanted.next_if(|offset| *offset < end) {
                chosen.push((offset - header.base_offset.0) as u32);
                self.offsets.push(offset);
            }
            let part = take_record_batch(&batch, &UInt32Array::from(chosen))
                .expect("offsets are inside of the frame");
            self.bytes += part.get_array_memory_size();
            self.parts.push(part);
        }
        Ok(())
    }
}
