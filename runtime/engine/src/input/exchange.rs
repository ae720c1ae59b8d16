//! The exchange: how the tasks of a node whose key does not follow the partitions of its input get their rows.
//!
//! All partitions are read once, in log order, and split by key. No thread of its own does that: whichever task has run
//! out of rows splits the next batch for all. A task has a queue of at most [`QUEUE_BATCHES`]; when one is full, nobody
//! splits, so that at most so many splits are held whatever the size of the round and the pace of the slowest task. A task
//! that must wait gives its worker back, so that one worker is enough for any number of tasks.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use refrain_log::ids::Sequence;

use super::batch::Batch;
use super::reader::Reader;
use super::split::Splitter;
use crate::error::Result;
use crate::watermark::Watermark;

/// Batches that wait for one task.
pub const QUEUE_BATCHES: usize = 4;
/// Rows asked of a reader at once: enough to fill the largest call many times over.
const BATCH_ROWS: usize = 16_384;
/// How long a worker stays with a task that waits for another one at work.
const PATIENCE: Duration = Duration::from_millis(1);

/// What there is for a task.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and moved once")]
pub enum Next {
    /// Its next rows.
    Batch(Batch),
    /// Nothing before other tasks have gone on.
    Wait,
    /// No more up to the cut.
    End,
}

/// Where a task's batches come from.
#[derive(Debug)]
pub enum Feed {
    /// Partitions of its own.
    Own(Reader),
    /// The exchange, as this task.
    Shared(Arc<Exchange>, usize),
}

impl Feed {
    /// The next rows up to the cut.
    pub fn next(&mut self, cut: Sequence) -> Result<Next> {
        match self {
            Feed::Own(reader) => {
                let next = reader.next(cut, BATCH_ROWS)?;
                Ok(next.map_or(Next::End, Next::Batch))
            }
            Feed::Shared(exchange, task) => exchange.next(*task, cut),
        }
    }

    /// The task leaves its worker, at least for now.
    pub fn rest(&self) {
        if let Feed::Shared(exchange, task) = self {
            exchange.rest(*task);
        }
    }

    /// The task goes no further in this attempt; the others do.
    pub fn abandon(&self) {
        if let Feed::Shared(exchange, task) = self {
            exchange.abandon(*task);
        }
    }

    /// What task 0 remembers for all.
    pub fn shared_mark(&self) -> Option<Watermark> {
        match self {
            Feed::Shared(exchange, 0) => exchange.mark(),
            _ => None,
        }
    }
}

/// The exchange of one node.
#[derive(Debug)]
pub struct Exchange {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    /// Away while a task splits.
    splitter: Option<Splitter>,
    /// The task that splits.
    splitting: Option<usize>,
    /// Up to here all is split.
    reached: Sequence,
    queues: Vec<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<Batch>,
    /// Whether a worker is with the task.
    at_work: bool,
    /// Its task failed: what comes for it is dropped.
    abandoned: bool,
}

/// What a task does next.
enum Turn {
    Give(Batch),
    End,
    Split(Splitter),
    /// Another task splits, or has a full queue: with whether a worker is with it.
    Wait(bool),
}

impl Exchange {
    /// For so many tasks.
    pub fn new(splitter: Splitter, tasks: usize) -> Exchange {
        let inner = Inner {
            splitter: Some(splitter),
            splitting: None,
            reached: Sequence(0),
            queues: (0..tasks).map(|_| Queue::default()).collect(),
        };
        Exchange {
            inner: Mutex::new(inner),
            changed: Condvar::new(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // What a panic leaves is good enough to end the attempt with.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, task: usize, cut: Sequence) -> Result<Next> {
        let mut patient = true;
        let mut inner = self.inner();
        inner.queues[task].at_work = true;
        loop {
            match inner.turn(task, cut) {
                Turn::Give(batch) => {
                    self.changed.notify_all();
                    return Ok(Next::Batch(batch));
                }
                Turn::End => {
                    inner.queues[task].at_work = false;
                    return Ok(Next::End);
                }
                Turn::Wait(at_work) if at_work && patient => {
                    patient = false;
                    let waited = self.changed.wait_timeout(inner, PATIENCE);
                    inner = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Turn::Wait(_) => {
                    inner.queues[task].at_work = false;
                    return Ok(Next::Wait);
                }
                Turn::Split(mut splitter) => {
                    drop(inner);
                    let split = splitter.next(cut);
                    inner = self.inner();
                    inner.splitter = Some(splitter);
                    inner.splitting = None;
                    match split? {
                        Some(parts) => inner.hand_out(parts),
                        None => inner.reached = cut,
                    }
                    self.changed.notify_all();
                }
            }
        }
    }

    fn rest(&self, task: usize) {
        self.inner().queues[task].at_work = false;
        self.changed.notify_all();
    }

    fn abandon(&self, task: usize) {
        let mut inner = self.inner();
        inner.queues[task] = Queue {
            abandoned: true,
            ..Queue::default()
        };
        if inner.splitting == Some(task) {
            // It took the splitter with it: the attempt ends for all.
            inner.reached = Sequence(u64::MAX);
        }
        drop(inner);
        self.changed.notify_all();
    }

    fn mark(&self) -> Option<Watermark> {
        self.inner().splitter.as_ref().map(|s| s.mark().clone())
    }
}

impl Inner {
    fn turn(&mut self, task: usize, cut: Sequence) -> Turn {
        if let Some(batch) = self.queues[task].batches.pop_front() {
            return Turn::Give(batch);
        }
        if self.reached >= cut {
            return Turn::End;
        }
        if let Some(other) = self.splitting {
            return Turn::Wait(self.queues[other].at_work);
        }
        let full = |q: &&Queue| q.batches.len() >= QUEUE_BATCHES;
        if let Some(full) = self.queues.iter().find(full) {
            return Turn::Wait(full.at_work);
        }
        self.splitting = Some(task);
        Turn::Split(self.splitter.take().expect("at home while nobody splits"))
    }

    fn hand_out(&mut self, parts: Vec<Batch>) {
        for (queue, part) in self.queues.iter_mut().zip(parts) {
            if queue.abandoned {
                continue;
            }
            assert!(
                queue.batches.len() < QUEUE_BATCHES,
                "nobody splits while a queue is full"
            );
            queue.batches.push_back(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inner(tasks: usize) -> Inner {
        let reader = Reader::open(Arc::from([]), Vec::new(), Sequence(0));
        let reader = reader.expect("nothing to open");
        let splitter = Splitter::new(reader, Watermark::new(1), false, tasks as u32);
        Inner {
            splitter: Some(splitter),
            splitting: None,
            reached: Sequence(0),
            queues: (0..tasks).map(|_| Queue::default()).collect(),
        }
    }

    /// What a split does to the exchange.
    fn split(inner: &mut Inner, task: usize) {
        let Turn::Split(splitter) = inner.turn(task, Sequence(9)) else {
            panic!("task {task} should split");
        };
        inner.splitter = Some(splitter);
        inner.splitting = None;
        let parts = inner.queues.iter().map(|_| Batch::default()).collect();
        inner.hand_out(parts);
    }

    fn gives(inner: &mut Inner, task: usize) -> bool {
        matches!(inner.turn(task, Sequence(9)), Turn::Give(_))
    }

    #[test]
    fn a_task_that_is_left_behind_stops_the_splitting_and_goes_on_by_itself() {
        let mut inner = inner(2);
        for _ in 0..QUEUE_BATCHES {
            split(&mut inner, 0);
            assert!(gives(&mut inner, 0));
        }
        assert!(matches!(inner.turn(0, Sequence(9)), Turn::Wait(false)));
        assert_eq!(inner.queues[1].batches.len(), QUEUE_BATCHES);
        assert!(gives(&mut inner, 1), "it has rows without anybody's help");
        split(&mut inner, 0);
        assert_eq!(inner.queues[1].batches.len(), QUEUE_BATCHES);
    }

    #[test]
    fn nobody_waits_for_a_task_that_failed() {
        let exchange = Exchange {
            inner: Mutex::new(inner(2)),
            changed: Condvar::new(),
        };
        for _ in 0..QUEUE_BATCHES {
            split(&mut exchange.inner(), 0);
            assert!(gives(&mut exchange.inner(), 0));
        }
        exchange.abandon(1);
        for _ in 0..3 * QUEUE_BATCHES {
            split(&mut exchange.inner(), 0);
            assert!(gives(&mut exchange.inner(), 0));
        }
        let end = exchange.next(0, Sequence(9)).expect("nothing to read");
        assert!(matches!(end, Next::End));
    }

    #[test]
    fn a_task_lost_while_it_splits_ends_the_attempt_for_all() {
        let exchange = Exchange {
            inner: Mutex::new(inner(2)),
            changed: Condvar::new(),
        };
        assert!(matches!(
            exchange.inner().turn(1, Sequence(9)),
            Turn::Split(_)
        ));
        assert!(matches!(
            exchange.inner().turn(0, Sequence(9)),
            Turn::Wait(_)
        ));
        exchange.abandon(1);
        assert!(matches!(exchange.inner().turn(0, Sequence(9)), Turn::End));
    }
}
