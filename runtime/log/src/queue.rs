//! What waits for the writer: appends, bounded in bytes, and the answers that are waited for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::limits::{GROUP_BYTES_MAX, QUEUE_BYTES_MAX};
use crate::log::Appended;
use crate::prepare::Prepared;
use crate::topic::{Partition, Topic, TopicSpec};
use crate::{Error, Result};

/// Where the answer to an append is left.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    answer: Mutex<Option<Result<Appended>>>,
    answered: AtomicBool,
    ready: Condvar,
}

impl Reply {
    pub(crate) fn set(&self, answer: Result<Appended>) {
        *self.answer.lock().expect("no holder of this lock panics") = Some(answer);
        self.answered.store(true, Ordering::Release);
        self.ready.notify_all();
    }

    /// Leaves no one waiting for a writer that is gone.
    fn abandon(&self) {
        if !self.answered.load(Ordering::Acquire) {
            self.set(Err(Error::Invalid(
                "the log's writer is gone; open the log again to see what was kept".into(),
            )));
        }
    }

    pub(crate) fn wait(&self) -> Result<Appended> {
        let mut answer = self.answer.lock().expect("no holder of this lock panics");
        loop {
            if let Some(answer) = answer.take() {
                return answer;
            }
            answer = self
                .ready
                .wait(answer)
                .expect("no holder of this lock panics");
        }
    }
}

/// An append in the queue.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) prepared: Prepared,
    pub(crate) reply: Arc<Reply>,
}

impl Drop for Job {
    fn drop(&mut self) {
        self.reply.abandon();
    }
}

/// What may be wanted of a partition between groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Its segment is to end.
    Seal,
    /// It is to have a tick.
    Tick,
}

/// What is wanted of a partition.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) act: Act,
    pub(crate) topic: Arc<Topic>,
    pub(crate) partition: u32,
    pub(crate) reply: Arc<Reply>,
}

impl Wanted {
    pub(crate) fn partition(&self) -> Result<&Partition> {
        self.topic.partition(self.partition)
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.reply.abandon();
    }
}

/// A schema that a topic is to have.
#[derive(Debug)]
pub(crate) struct Alter {
    pub(crate) declared: TopicSpec,
    pub(crate) reply: Arc<Reply>,
}

impl Drop for Alter {
    fn drop(&mut self) {
        self.reply.abandon();
    }
}

/// The appends that wait for the writer.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<QueueState>,
    /// Something came, or it closed, or a look at the clock is wanted.
    filled: Condvar,
    /// Something went.
    drained: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    jobs: VecDeque<Job>,
    bytes: u64,
    /// What is wanted of partitions before the next group.
    wanted: Vec<Wanted>,
    /// Schemas that topics are to have before the next group.
    alters: Vec<Alter>,
    closed: bool,
    nudged: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Blocks while the queue is full.
    pub(crate) fn push(&self, job: Job) -> Result<()> {
        let mut state = self.state();
        while state.bytes >= QUEUE_BYTES_MAX && !state.closed {
            state = self
                .drained
                .wait(state)
                .expect("no holder of this lock panics");
        }
        if state.closed {
            return Err(Error::Invalid("the log is closed".into()));
        }
        state.bytes += job.prepared.bytes;
        state.jobs.push_back(job);
        self.filled.notify_one();
        Ok(())
    }

    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.filled.notify_all();
        self.drained.notify_all();
    }

    /// Has something done to a partition before the next group.
    pub(crate) fn want(&self, wanted: Wanted) -> Result<()> {
        let mut state = self.state();
        if state.closed {
            return Err(Error::Invalid("the log is closed".into()));
        }
        state.wanted.push(wanted);
        state.nudged = true;
        self.filled.notify_all();
        Ok(())
    }

    /// Has a topic altered before the next group.
    pub(crate) fn alter(&self, alter: Alter) -> Result<()> {
        let mut state = self.state();
        if state.closed {
            return Err(Error::Invalid("the log is closed".into()));
        }
        state.alters.push(alter);
        state.nudged = true;
        self.filled.notify_all();
        Ok(())
    }

    /// What is to be altered now.
    pub(crate) fn alters(&self) -> Vec<Alter> {
        std::mem::take(&mut self.state().alters)
    }

    /// What is wanted of partitions now.
    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        std::mem::take(&mut self.state().wanted)
    }

    /// Drops what still waits.
    pub(crate) fn abandon(&self) {
        let waiting = {
            let mut state = self.state();
            (
                std::mem::take(&mut state.jobs),
                std::mem::take(&mut state.wanted),
                std::mem::take(&mut state.alters),
            )
        };
        drop(waiting);
    }

    /// Makes the writer look at the clock.
    pub(crate) fn nudge(&self) {
        self.state().nudged = true;
        self.filled.notify_all();
    }

    /// The next group. Empty: time passed. `None`: closed and empty.
    pub(crate) fn next(&self, patience: Duration) -> Option<Vec<Job>> {
        let waits = |s: &mut QueueState| s.jobs.is_empty() && !s.closed && !s.nudged;
        let (mut state, _) = self
            .filled
            .wait_timeout_while(self.state(), patience, waits)
            .expect("no holder of this lock panics");
        state.nudged = false;
        if state.jobs.is_empty() && state.closed {
            return None;
        }
        let mut group = Vec::new();
        let mut bytes = 0;
        while bytes < GROUP_BYTES_MAX
            && let Some(job) = state.jobs.pop_front()
        {
            bytes += job.prepared.bytes;
            group.push(job);
        }
        state.bytes -= bytes;
        self.drained.notify_all();
        Some(group)
    }
}
