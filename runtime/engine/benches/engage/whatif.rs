//! What `refrain cost --file` foretells against what then happens: the same hour of events in each rhythm, by a clock that
//! passes quickly, with rests, and in each the question what every other would take.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use refrain_engine::Result;
use refrain_engine::cost::outcome::{Outcome, outcomes};
use refrain_engine::cost::{Bill, Money, Question};
use refrain_engine::host::{Host, Project};
use refrain_engine::request::{Request, Response};
use refrain_engine::run::RunOptions;
use refrain_engine::run::time::{Arrivals, Simulated};
use refrain_log::clock::ManualClock;
use refrain_log::ids::Timestamp;
use refrain_log::log::{Append, Log};
use refrain_log::storage::DiskStorage;

use super::events::Events;

const RHYTHMS: [&str; 5] = [
    "continuous",
    "every 1s",
    "every 10s",
    "every 1m",
    "0 * * * *",
];
/// Rows come in batches, so many in the hour.
const BATCHES: u64 = 7_200;
const HOUR_US: i64 = 3_600_000_000;
const BATCH_US: i64 = HOUR_US / BATCHES as i64;
/// An hour without work takes a quarter of a minute.
const PACE: NonZeroU32 = NonZeroU32::new(250).expect("not zero");
/// Some full hour.
const START_US: i64 = 1_700_006_400_000_000;

/// A rhythm, played.
struct Played {
    bill: Bill,
    /// As each of [`RHYTHMS`].
    foretold: Vec<Bill>,
}

pub(crate) fn measure(plugins: &Path, rows: u64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let project = crate::project(folder.path(), plugins, 1, "100ms");
    let text = std::fs::read_to_string(project.pipeline_file()).expect("it was written");
    let with = |rhythm: &str| {
        let view = format!("rhythm = \"{rhythm}\"\nview =");
        text.replace("view =", &view)
    };
    let played: Vec<Played> = RHYTHMS
        .iter()
        .map(|rhythm| play(&project, rows, rhythm, &with, true))
        .collect();
    // How far the same differs from itself, on this machine at this time.
    let again: Vec<Played> = RHYTHMS
        .iter()
        .map(|rhythm| play(&project, rows, rhythm, &with, false))
        .collect();
    println!("{rows} rows in an hour, {BATCHES} batches");
    for (rhythm, was) in RHYTHMS.iter().zip(&played) {
        show(rhythm, &was.bill);
    }
    let mut sheet = Sheet::default();
    println!("the same again");
    for ((rhythm, was), is) in RHYTHMS.iter().zip(&played).zip(&again) {
        let first = Bill {
            then: Some(Box::new(was.bill.clone())),
            ..was.bill.clone()
        };
        for outcome in outcomes(&first, &is.bill) {
            sheet.add(rhythm, rhythm, &outcome);
        }
    }
    sheet.sum_up();
    println!("foretold and made");
    let mut sheet = Sheet::default();
    for (now, was) in played.iter().enumerate() {
        for (then, is) in played.iter().enumerate().filter(|(then, _)| *then != now) {
            for outcome in outcomes(&was.foretold[then], &is.bill) {
                sheet.add(RHYTHMS[now], RHYTHMS[then], &outcome);
            }
        }
    }
    sheet.sum_up();
}

/// What each item of a bill costs, and of what it is.
fn show(rhythm: &str, bill: &Bill) {
    let cents = |money: Money| money.0 as f64 / 1e4;
    for item in &bill.items {
        let held = item.held.unwrap_or_default();
        println!(
            "{rhythm:11} {:6} {:17} {:9.4} cents: processor {:9.4} storage {:9.4}; state {} view {} topics {} of {} bytes",
            item.kind,
            item.name,
            cents(item.total),
            cents(item.cpu),
            cents(item.storage),
            held.state_bytes,
            held.view_bytes,
            held.topic_bytes,
            item.held_bytes
        );
    }
}

/// The table, and how many of its lines of each figure are within a quarter.
#[derive(Default)]
struct Sheet {
    lines: usize,
    /// By figure: lines, good ones, the worst.
    sums: BTreeMap<&'static str, (usize, usize, f64)>,
}

impl Sheet {
    fn add(&mut self, now: &str, then: &str, outcome: &Outcome) {
        if self.lines == 0 {
            println!(
                "{:17} {:11} {:11} {:15} {:>12} {:>12} {:>7}  within 25 %",
                "node", "now", "then", "figure", "foretold", "happened", "off %"
            );
        }
        self.lines += 1;
        let (figure, off) = (outcome.figure, outcome.off() * 100.0);
        let places = if figure.is_clocked() { 4 } else { 0 };
        println!(
            "{:17} {now:11} {then:11} {:15} {:12.places$} {:12.places$} {off:+7.0}  {}",
            outcome.node.as_deref().unwrap_or("all"),
            figure.name(),
            outcome.foretold,
            outcome.happened,
            if outcome.is_good() { "yes" } else { "NO" }
        );
        let sum = self.sums.entry(figure.name()).or_default();
        sum.0 += 1;
        sum.1 += usize::from(outcome.is_good());
        sum.2 = if off.abs() > sum.2.abs() { off } else { sum.2 };
    }

    fn sum_up(&self) {
        for (figure, (all, good, worst)) in &self.sums {
            println!("{figure}: {good} of {all} within 25 %, at worst {worst:+.0} %");
        }
    }
}

fn play(
    project: &Project,
    rows: u64,
    rhythm: &str,
    with: &dyn Fn(&str) -> String,
    asks: bool,
) -> Played {
    #[expect(clippy::disallowed_methods, reason = "files of the benchmark")]
    {
        let _ = std::fs::remove_dir_all(project.data());
        std::fs::write(project.pipeline_file(), with(rhythm))
            .expect("the pipeline file is written");
    }
    let clock = Arc::new(ManualClock::passing(Timestamp(START_US), PACE));
    let host = Host::open_in(project.clone(), Arc::new(DiskStorage), clock.clone());
    let host = host.expect("the host opens");
    let feed = Feed {
        log: Arc::clone(host.log()),
        events: Events::new(rows, START_US / 1000),
        next_us: START_US + BATCH_US,
        batch_rows: rows.div_ceil(BATCHES),
    };
    let until = Timestamp(START_US + HOUR_US + 5_000_000);
    let time = Simulated::new(clock, until, Box::new(feed));
    let options = RunOptions {
        time: Arc::new(time),
        ..RunOptions::default()
    };
    let report = host.run(&options, None).expect("the run ends well");
    assert!(report.stopped.is_empty(), "{:?}", report.stopped);
    let ask = |question| match host.handle(Request::Cost(question)) {
        Response::Cost(bill) => *bill,
        other => panic!("{other:?}"),
    };
    let asked = RHYTHMS.iter().filter(|_| asks);
    let foretold = asked.map(|then| {
        let file = Some(with(then));
        ask(Question {
            month: true,
            file,
            ..Question::default()
        })
    });
    Played {
        foretold: foretold.collect(),
        bill: ask(Question {
            month: true,
            ..Question::default()
        }),
    }
}

/// The hour on its way into the log.
struct Feed {
    log: Arc<Log>,
    events: Events,
    next_us: i64,
    batch_rows: u64,
}

impl Arrivals for Feed {
    fn next_at(&mut self) -> Option<Timestamp> {
        (self.next_us <= START_US + HOUR_US).then_some(Timestamp(self.next_us))
    }

    fn bring(&mut self) -> Result<()> {
        self.next_us += BATCH_US;
        if let Some(rows) = self.events.next_batch(self.batch_rows) {
            self.log.append(Append {
                topic: "events".into(),
                rows,
                row_numbers: Vec::new(),
                input: "the hour".into(),
                undecoded: Vec::new(),
                producer: None,
            })?;
        }
        Ok(())
    }
}
