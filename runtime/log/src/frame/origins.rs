//! Origins as three regions after the columns: runs, rows, watermarks.

use std::ops::Range;

use crate::columns::PayloadBuilder;
use crate::frame::{OriginRun, Origins};
use crate::ids::{Sequence, Timestamp};
use crate::{Error, Result};

/// How many regions they take.
pub(crate) const REGIONS: usize = 3;
const RUN_BYTES: usize = 32;
const SPAN_BYTES: usize = 12;

/// Checks that the origins fit `rows` rows.
pub(crate) fn check(origins: &Origins, rows: usize) -> Result<()> {
    let invalid = |what: &str| {
        Err(Error::Invalid(format!(
            "origins of a derived frame: {what}"
        )))
    };
    let rising = origins
        .runs
        .windows(2)
        .all(|w| w[0].sequence < w[1].sequence && w[0].rows_end <= w[1].rows_end);
    match origins.runs.last() {
        None => invalid("no run; a frame covers at least one source frame"),
        Some(last) if last.rows_end as usize != rows => {
            invalid("the runs do not end at the last row")
        }
        Some(_) if !rising => invalid("the runs do not rise"),
        Some(_) if origins.rows.len() != rows || origins.watermarks.len() != rows => {
            invalid("not one entry for each row")
        }
        Some(_) => Ok(()),
    }
}

impl Origins {
    /// Those of the rows in `rows`, which were made from the source frames behind `after` up to `to`.
    pub(crate) fn part(&self, after: Sequence, to: Sequence, rows: Range<u32>) -> Origins {
        let from = self.runs.partition_point(|run| run.sequence <= after);
        let end = self.runs.partition_point(|run| run.sequence <= to);
        let runs = self.runs[from..end].iter().map(|run| OriginRun {
            rows_end: run.rows_end.saturating_sub(rows.start),
            ..*run
        });
        let places = rows.start as usize..rows.end as usize;
        Origins {
            runs: runs.collect(),
            rows: self.rows[places.clone()].to_vec(),
            watermarks: self.watermarks[places].to_vec(),
        }
    }

    /// Puts those of the frame that follows behind these.
    pub(crate) fn append(&mut self, next: Origins) {
        let rows = self.rows.len() as u32;
        let runs = next.runs.into_iter().map(|run| OriginRun {
            rows_end: rows + run.rows_end,
            ..run
        });
        self.runs.extend(runs);
        self.rows.extend(next.rows);
        self.watermarks.extend(next.watermarks);
    }
}

/// Adds the three regions.
pub(crate) fn write(origins: &Origins, builder: &mut PayloadBuilder) -> Result<()> {
    builder.region(|out| {
        for run in &origins.runs {
            out.extend_from_slice(&run.sequence.0.to_le_bytes());
            out.extend_from_slice(&run.append_time.0.to_le_bytes());
            out.extend_from_slice(&run.watermark.0.to_le_bytes());
            out.extend_from_slice(&run.rows_end.to_le_bytes());
            out.extend_from_slice(&u32::from(run.data).to_le_bytes());
        }
        0
    })?;
    builder.region(|out| {
        out.extend(origins.rows.iter().flat_map(|r| r.to_le_bytes()));
        0
    })?;
    builder.region(|out| {
        write_spans(&origins.watermarks, out);
        0
    })
}

fn write_spans(watermarks: &[Timestamp], out: &mut Vec<u8>) {
    for (i, value) in watermarks.iter().enumerate() {
        if watermarks.get(i + 1) != Some(value) {
            out.extend_from_slice(&value.0.to_le_bytes());
            out.extend_from_slice(&(i as u32 + 1).to_le_bytes());
        }
    }
}

/// The inverse of [`write`].
pub(crate) fn read(regions: [&[u8]; REGIONS], rows: usize) -> Result<Origins, &'static str> {
    let [runs, row_numbers, spans] = regions;
    let (runs, rest) = runs.as_chunks::<RUN_BYTES>();
    let (row_numbers, rest_rows) = row_numbers.as_chunks::<4>();
    let (spans, rest_spans) = spans.as_chunks::<SPAN_BYTES>();
    if !rest.is_empty() || !rest_rows.is_empty() || !rest_spans.is_empty() {
        return Err("origins cut off");
    }
    let mut watermarks = Vec::with_capacity(rows);
    for span in spans {
        let end = word(span, 8) as usize;
        if end > rows || end <= watermarks.len() {
            return Err("watermarks of origins do not rise");
        }
        watermarks.resize(end, Timestamp(long(span, 0).cast_signed()));
    }
    let origins = Origins {
        runs: runs.iter().map(read_run).collect(),
        rows: row_numbers.iter().map(|r| u32::from_le_bytes(*r)).collect(),
        watermarks,
    };
    check(&origins, rows).map_err(|_| "origins do not fit their rows")?;
    Ok(origins)
}

fn read_run(run: &[u8; RUN_BYTES]) -> OriginRun {
    OriginRun {
        sequence: Sequence(long(run, 0)),
        append_time: Timestamp(long(run, 8).cast_signed()),
        watermark: Timestamp(long(run, 16).cast_signed()),
        rows_end: word(run, 24),
        data: word(run, 28) != 0,
    }
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
