//! Worker threads: take a task and a cut, bring the task back with what it prepared.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender};
use refrain_log::ids::Sequence;
use refrain_log::meter::{Used, so_far};

use crate::error::Error;
use crate::meter::Steps;
use crate::run::{Event, Spent, stopwatch};
use crate::task::{Failure, Prepared, Progress, Task};

/// One task to be brought to a cut.
pub struct Work {
    /// Place of the node in the plan.
    pub node: usize,
    /// Number of the task.
    pub task: usize,
    /// The task itself.
    pub body: Box<dyn Task>,
    /// How far.
    pub cut: Sequence,
    /// What that has taken so far.
    pub spent: Spent,
    /// Where it is noted that it gets on.
    pub steps: Arc<Steps>,
}

/// A task that came back.
pub struct Done {
    /// Place of the node in the plan.
    pub node: usize,
    /// Number of the task.
    pub task: usize,
    /// The task itself.
    pub body: Box<dyn Task>,
    /// What it prepared.
    pub result: Result<Prepared, Failure>,
    /// What that took.
    pub spent: Spent,
}

/// How much a thread that nobody waits for steps back behind all other threads of the machine.
const NICE: i32 = 10;

/// Lets this thread, and those that it starts from now on, step back behind all other threads of the machine.
pub fn step_back() {
    // Of this thread alone, as Linux has it. Where it is refused, work is shared as equals do.
    let _ = rustix::process::setpriority_process(None, NICE);
}

/// Starts `count` workers for nodes that nobody waits for: they get the processors that others leave.
pub fn start_background(
    count: usize,
    work: &Receiver<Work>,
    done: &Sender<Event>,
) -> Vec<JoinHandle<()>> {
    start_as(count, work, done, true)
}

/// Starts `count` workers. They end when the sender of `work` is dropped.
pub fn start(count: usize, work: &Receiver<Work>, done: &Sender<Event>) -> Vec<JoinHandle<()>> {
    start_as(count, work, done, false)
}

fn start_as(
    count: usize,
    work: &Receiver<Work>,
    done: &Sender<Event>,
    background: bool,
) -> Vec<JoinHandle<()>> {
    (0..count)
        .map(|i| {
            let (work, done) = (work.clone(), done.clone());
            let body = move || {
                if background {
                    step_back();
                }
                let mut before = so_far();
                for item in &work {
                    let event = perform(item, &work, &mut before);
                    // The other side is gone only when the run is over.
                    let _ = done.send(event);
                }
            };
            std::thread::Builder::new()
                .name(match background {
                    true => format!("background-{i}"),
                    false => format!("worker-{i}"),
                })
                .spawn(body)
                .expect("threads can be started")
        })
        .collect()
}

/// Goes on with one task until it is done, must wait, or, batch by batch, others wait for a worker: a task with much to
/// do does not keep other nodes from their commits. `before`: what the thread had used when it was done with the last one;
/// waking up for this one is part of what this one takes.
fn perform(mut work: Work, others: &Receiver<Work>, before: &mut Used) -> Event {
    let mut began = so_far();
    work.spent.taking.add(began.since(*before));
    *before = began;
    loop {
        let step = caught(|| work.body.step(work.cut));
        let stepped = so_far();
        work.spent.taking.add(stepped.since(began));
        (began, *before) = (stepped, stepped);
        if matches!(step, Ok(Progress::More | Progress::Done)) {
            work.steps.note(stopwatch());
        }
        let result = match step {
            Ok(Progress::More) if others.is_empty() => continue,
            Ok(Progress::More | Progress::Wait) => {
                return Event::Again(work);
            }
            Ok(Progress::Done) => caught(|| work.body.prepare()),
            Err(failure) => Err(failure),
        };
        if result.is_err() {
            work.body.abandon();
        }
        *before = so_far();
        work.spent.preparing.add(before.since(began));
        return Event::Done(Done {
            node: work.node,
            task: work.task,
            body: work.body,
            result,
            spent: work.spent,
        });
    }
}

/// A panic in a task is a bug of ours; it stops the node, not the process.
fn caught<T>(act: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(panic.downcast_ref::<&str>().copied());
        let what = what.unwrap_or("no message");
        Err(Failure::Stop(Error::Refused(format!(
            "an invariant of the engine did not hold ({what}); please report it"
        ))))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, Ordering};

    use crossbeam::channel::unbounded;
    use refrain_log::ids::Timestamp;
    use refrain_state::commit::TaskChanges;

    use std::time::Duration;

    use super::*;
    use crate::meter::Meter;
    use crate::task::Counts;

    /// Has something to do until the other one is done.
    struct Busy {
        until: Arc<AtomicBool>,
        sets: bool,
    }

    impl Task for Busy {
        fn step(&mut self, _: Sequence) -> Result<Progress, Failure> {
            if self.sets {
                self.until.store(true, Ordering::SeqCst);
            }
            Ok(match self.until.load(Ordering::SeqCst) {
                true => Progress::Done,
                false => Progress::More,
            })
        }

        fn abandon(&mut self) {}

        fn prepare(&mut self) -> Result<Prepared, Failure> {
            Ok(Prepared {
                changes: TaskChanges::default(),
                derived: Vec::new(),
                counts: Counts::default(),
                watermark: Timestamp::MIN,
                ends: BTreeMap::new(),
                handed: 0,
                cache: None,
            })
        }

        fn publish(&mut self) {}

        fn rollback(&mut self) -> Result<(), Error> {
            Ok(())
        }
    }

    /// A node with a long round once kept the only worker until its end.
    #[test]
    fn a_task_with_much_to_do_lets_others_have_their_turn() {
        let ((work, queue), (done, events)) = (unbounded(), unbounded());
        let threads = start(1, &queue, &done);
        let until = Arc::new(AtomicBool::new(false));
        for (node, sets) in [(0, false), (1, true)] {
            let until = Arc::clone(&until);
            let body = Box::new(Busy { until, sets });
            let item = Work {
                node,
                task: 0,
                body,
                cut: Sequence(1),
                spent: Spent::default(),
                steps: Meter::new(stopwatch(), Sequence(0), Duration::ZERO).steps(),
            };
            work.send(item).expect("the worker lives");
        }
        let mut order = Vec::new();
        while order.len() < 2 {
            match events.recv().expect("the worker lives") {
                Event::Done(done) => order.push(done.node),
                Event::Again(item) => work.send(item).expect("the worker lives"),
                _ => unreachable!("workers say nothing else"),
            }
        }
        assert_eq!(order, [1, 0], "the one with little to do is done first");
        drop(work);
        threads
            .into_iter()
            .for_each(|t| t.join().expect("no panic"));
    }
}
