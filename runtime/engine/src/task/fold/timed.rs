//! Rows of one frame on their way into windows: each row finds its slots, then moves the watermark, which closes what it
//! passes.

use super::FoldTask;
use super::core::Here;
use crate::input::Batch;
use crate::task::Failure;
use crate::task::slots::BatchKeys;
use crate::window::{Index, Sliding, Tumbling};

/// Most entries of one call where a row has several.
const ENTRIES_MAX: usize = 1 << 18;

/// A row that looks for its slots.
pub(super) struct At<'a> {
    pub(super) batch: &'a Batch,
    pub(super) keys: &'a BatchKeys<'a>,
    /// Its run.
    pub(super) index: usize,
    pub(super) row: usize,
    pub(super) time: i64,
    /// Of the task, before the row moves it.
    pub(super) watermark: i64,
}

/// How rows find their slots: one a kind of window.
pub(super) trait Assign {
    /// Puts the row into the call, or sets it aside as late.
    fn row(&mut self, task: &mut FoldTask, at: &At<'_>) -> Result<(), Failure>;

    /// Windows were closed: places of tables have changed.
    fn closed(&mut self) {}
}

/// Each row in one window.
pub(super) struct Single {
    pub(super) windows: Tumbling,
    pub(super) here: Here,
}

impl Assign for Single {
    #[inline(always)]
    fn row(&mut self, task: &mut FoldTask, at: &At<'_>) -> Result<(), Failure> {
        self.here.go(&self.windows, at.time);
        if self.here.window < task.core.first_open {
            task.late(at);
            return Ok(());
        }
        let place = match self.here.place {
            Some(place) => place,
            None => *self.here.place.insert(task.core.table(self.here.window)),
        };
        let slot = task.core.touch(place, at.keys, at.row);
        task.core.call.take(slot);
        Ok(())
    }

    fn closed(&mut self) {
        self.here = Here::NOWHERE;
    }
}

/// Each row in several windows.
pub(super) struct Several {
    windows: Sliding,
    /// The open windows that the last row was in, and the places of their tables.
    span: Option<(Index, Index)>,
    places: Vec<usize>,
}

impl Several {
    pub(super) fn new(windows: Sliding) -> Several {
        Several {
            windows,
            span: None,
            places: Vec::new(),
        }
    }
}

impl Assign for Several {
    fn row(&mut self, task: &mut FoldTask, at: &At<'_>) -> Result<(), Failure> {
        let (first, last) = self.windows.of(at.time);
        if last < task.core.first_open {
            task.late(at);
            return Ok(());
        }
        let open = first.max(task.core.first_open);
        task.counts.missed += (open - first).unsigned_abs();
        if self.span != Some((open, last)) {
            self.span = Some((open, last));
            self.places.clear();
            self.places
                .extend((open..=last).map(|window| task.core.table(window)));
        }
        for place in &self.places {
            let slot = task.core.touch(*place, at.keys, at.row);
            task.core.call.add(slot);
        }
        task.core.call.end_row();
        if task.core.call.slots.len() >= ENTRIES_MAX {
            task.flush(at.batch)?;
        }
        Ok(())
    }

    fn closed(&mut self) {
        self.span = None;
    }
}

impl FoldTask {
    pub(super) fn take_timed<A: Assign>(
        &mut self,
        batch: &Batch,
        index: usize,
        keys: &BatchKeys<'_>,
        mut assign: A,
    ) -> Result<(), Failure> {
        let run = batch.runs[index];
        let carries = batch.carries(&run);
        let disorder_us = batch.lane(&run).disorder_us;
        let before = self.core.mark.current().0;
        let mut running = batch.begin(index, &mut self.core.mark);
        self.close_passed(batch, &running, 0, before)?;
        for row in run.start..run.end {
            if carries {
                let before = running.current;
                running.advance(batch.watermarks[row]);
                if running.current >= self.core.next_close {
                    self.close_passed(batch, &running, batch.origin_rows[row], before)?;
                    assign.closed();
                }
            }
            let time = batch.time(&run, row);
            let at = At {
                batch,
                keys,
                index,
                row,
                time,
                watermark: running.current,
            };
            assign.row(self, &at)?;
            if self.core.call.count >= self.setup.plan.call_rows {
                self.flush(batch)?;
            }
            if !carries {
                let before = running.current;
                running.advance(time.saturating_sub(disorder_us));
                if running.current >= self.core.next_close {
                    self.close_passed(batch, &running, batch.origin_row(&run, row), before)?;
                    assign.closed();
                }
            }
        }
        if let Some(carried) = batch.carried_after(&run) {
            let before = running.current;
            running.advance(carried);
            self.close_passed(batch, &running, u32::MAX, before)?;
        }
        batch.finish(&run, running, &mut self.core.mark);
        if let Some(out) = &mut self.outs.topic {
            out.end_run(&run, running.current)?;
        }
        Ok(())
    }

    #[cold]
    pub(super) fn late(&mut self, at: &At<'_>) {
        self.core.call.skip();
        self.late_row(at.batch, at.row, at.time, at.watermark);
    }

    #[cold]
    pub(super) fn late_row(&mut self, batch: &Batch, row: usize, time: i64, watermark: i64) {
        self.counts.late += 1;
        let reason = format!(
            "late: event time {time} µs is in a window that was closed at watermark {watermark} µs"
        );
        let late = self
            .outs
            .late
            .as_mut()
            .expect("a windowed node has a topic for late rows");
        late.push(batch, row, reason);
    }
}
