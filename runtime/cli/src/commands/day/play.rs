//! One way through the day: a host on the real disk, by a clock that jumps from one moment to the next.

use std::sync::{Arc, Mutex};

use refrain_engine::Result as EngineResult;
use refrain_engine::cost::{Bill, Question};
use refrain_engine::host::{Host, Project};
use refrain_engine::objective::ObjectiveReport;
use refrain_engine::request::{Request, Response};
use refrain_engine::run::RunOptions;
use refrain_engine::run::time::{Arrivals, Simulated};
use refrain_log::clock::ManualClock;
use refrain_log::ids::Timestamp;
use refrain_log::log::{Append, Log};
use refrain_log::storage::DiskStorage;

use super::events::{Day, Sums};
use crate::failure::Failure;
use crate::link::{accepted, unexpected};

/// A day that has been played.
pub(super) struct Variant {
    pub(super) name: &'static str,
    host: Host,
    /// What was appended.
    pub(super) sums: Sums,
    /// What it cost.
    pub(super) bill: Bill,
    /// The same for a month.
    pub(super) month: Bill,
    /// What consumers got.
    pub(super) freshness: ObjectiveReport,
}

impl Variant {
    /// Plays the day that ends then.
    pub(super) fn play(
        name: &'static str,
        project: &Project,
        rows: u64,
        until: Timestamp,
        span_us: i64,
    ) -> Result<Variant, Failure> {
        let began_us = until.0 - span_us;
        let clock = Arc::new(ManualClock::new(Timestamp(began_us)));
        let host = Host::open_in(project.clone(), Arc::new(DiskStorage), clock.clone())?;
        let day = Arc::new(Mutex::new(Day::new(rows, began_us, span_us)));
        let feed = Feed {
            log: Arc::clone(host.log()),
            day: Arc::clone(&day),
        };
        let time = Simulated::new(clock, until, Box::new(feed));
        let options = RunOptions {
            time: Arc::new(time),
            ..RunOptions::default()
        };
        run(&host, &options)?;
        let sums = day.lock().expect("nobody panics with the day").sums();
        let variant = Variant {
            name,
            bill: bill(&host, Question::default())?,
            month: bill(
                &host,
                Question {
                    month: true,
                    ..Question::default()
                },
            )?,
            freshness: match ask(&host, Request::Freshness)? {
                Response::Freshness(report) => report,
                _ => return Err(unexpected()),
            },
            sums,
            host,
        };
        Ok(variant)
    }

    /// Answers of its host, which still stands at the end of the day.
    pub(super) fn ask(&self, request: Request) -> Result<Response, Failure> {
        ask(&self.host, request)
    }

    pub(super) fn bill(&self, question: Question) -> Result<Bill, Failure> {
        bill(&self.host, question)
    }

    /// Brings all nodes to the end of the log, which is a cut that all ways have in common.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        run(
            &self.host,
            &RunOptions {
                once: true,
                ..RunOptions::default()
            },
        )
    }
}

fn run(host: &Host, options: &RunOptions) -> Result<(), Failure> {
    let report = host.run(options, Some(crate::project::cache()))?;
    match report.stopped.into_iter().next() {
        None => Ok(()),
        Some((node, why)) => Err(Failure::new(1, format!("{node} stopped: {why}"))),
    }
}

fn ask(host: &Host, request: Request) -> Result<Response, Failure> {
    accepted(host.handle(request))
}

fn bill(host: &Host, question: Question) -> Result<Bill, Failure> {
    match ask(host, Request::Cost(question))? {
        Response::Cost(bill) => Ok(*bill),
        _ => Err(unexpected()),
    }
}

/// The day on its way into the log.
struct Feed {
    log: Arc<Log>,
    day: Arc<Mutex<Day>>,
}

impl Arrivals for Feed {
    fn next_at(&mut self) -> Option<Timestamp> {
        let day = self.day.lock().expect("nobody panics with the day");
        day.next_at().map(Timestamp)
    }

    fn bring(&mut self) -> EngineResult<()> {
        let rows = self
            .day
            .lock()
            .expect("nobody panics with the day")
            .next_batch();
        if rows.num_rows() > 0 {
            self.log.append(Append {
                topic: "events".into(),
                rows,
                row_numbers: Vec::new(),
                input: "the day".into(),
                undecoded: Vec::new(),
                producer: None,
            })?;
        }
        Ok(())
    }
}
