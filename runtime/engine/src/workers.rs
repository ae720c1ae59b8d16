//! Worker threads: take a task and a cut, bring the task back with what it prepared.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender};
use refrain_log::ids::Sequence;

use crate::error::Error;
use crate::task::{Failure, Prepared, Task};

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
}

/// Starts `count` workers. They end when the sender of `work` is dropped.
pub fn start(
    count: usize,
    work: &Receiver<Work>,
    done: &Sender<crate::run::Event>,
) -> Vec<JoinHandle<()>> {
    (0..count)
        .map(|i| {
            let (work, done) = (work.clone(), done.clone());
            let body = move || {
                for item in work {
                    // The other side is gone only when the run is over.
                    let _ = done.send(crate::run::Event::Done(perform(item)));
                }
            };
            std::thread::Builder::new()
                .name(format!("worker-{i}"))
                .spawn(body)
                .expect("threads can be started")
        })
        .collect()
}

/// A panic in a task is a bug of ours; it stops the node, not the process.
fn perform(mut work: Work) -> Done {
    let attempt = AssertUnwindSafe(|| {
        work.body.advance(work.cut)?;
        work.body.prepare()
    });
    let result = catch_unwind(attempt).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(panic.downcast_ref::<&str>().copied());
        let what = what.unwrap_or("no message");
        Err(Failure::Stop(Error::Refused(format!(
            "an invariant of the engine did not hold ({what}); please report it"
        ))))
    });
    Done {
        node: work.node,
        task: work.task,
        body: work.body,
        result,
    }
}
