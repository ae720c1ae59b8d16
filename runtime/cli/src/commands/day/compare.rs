//! Both ways side by side: costs, freshness, results, and what either bill foretold of the other.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use refrain_engine::cost::outcome::{Outcome, outcomes};
use refrain_engine::cost::{Bill, Item, Money};
use refrain_engine::objective::ConsumerReport;
use refrain_engine::request::{Request, Response, ViewStatus};
use serde::Serialize;

use super::events::Sums;
use super::play::Variant;
use crate::commands::view::hex;
use crate::failure::Failure;
use crate::link::unexpected;

/// Rows of a page of a view.
const VIEWS: [&str; 3] = ["by_minute", "features", "exec"];

/// Both ways.
#[derive(Debug, Serialize)]
pub(super) struct Day {
    pub(super) generated: Sums,
    pub(super) currency: String,
    pub(super) ways: Vec<Way>,
    /// What the first foretold for the second, and the other way round.
    pub(super) foretold: [Foretold; 2],
    /// Digest of each view at the end of the log, by way.
    pub(super) digests: BTreeMap<String, Vec<String>>,
}

/// One way.
#[derive(Debug, Serialize)]
pub(super) struct Way {
    pub(super) name: String,
    pub(super) nodes: Vec<Node>,
    pub(super) commits: u64,
    pub(super) plugin_cpu_s: f64,
    pub(super) host_cpu_s: f64,
    pub(super) syncs: u64,
    pub(super) written_bytes: u64,
    pub(super) held_bytes: u64,
    pub(super) cost: Money,
    pub(super) cost_month: Money,
    pub(super) consumers: Vec<Consumer>,
    /// What is in the view `features`, which has all rows that make sense.
    pub(super) found: Sums,
}

/// A node in one way.
#[derive(Debug, Serialize)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) rhythm: String,
    pub(super) commits: u64,
    pub(super) cpu_s: f64,
    pub(super) cost: Money,
}

/// A consumer in one way.
#[derive(Debug, Serialize)]
pub(super) struct Consumer {
    pub(super) name: String,
    pub(super) need_us: i64,
    /// The oldest that its view was.
    pub(super) worst_us: i64,
    /// What was left of the need then.
    pub(super) slack_us: i64,
    pub(super) achieved_ppm: Option<u32>,
    pub(super) cost_month: Money,
}

/// An estimate of one way, made before it was played, and what then happened.
#[derive(Debug, Serialize)]
pub(super) struct Foretold {
    /// The way.
    pub(super) of: String,
    /// Figure by figure; amounts are those of a month.
    pub(super) lines: Vec<Line>,
}

/// One figure.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    #[serde(flatten)]
    pub(super) outcome: Outcome,
    pub(super) off_percent: f64,
    /// Whether it is within a quarter of what happened.
    pub(super) good: bool,
}

impl Day {
    pub(super) fn of(variants: Vec<Variant>, foretold: [Foretold; 2]) -> Result<Day, Failure> {
        let mut digests: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut ways = Vec::new();
        for variant in &variants {
            variant.finish()?;
            for (view, digest) in views(variant)? {
                digests.entry(view).or_default().push(digest);
            }
            ways.push(Way::of(variant)?);
        }
        let first = &variants[0];
        Ok(Day {
            generated: first.sums,
            currency: first.bill.currency.clone(),
            ways,
            foretold,
            digests,
        })
    }

    /// A rhythm changes what results cost, never what they are.
    pub(super) fn refuse_differences(&self) -> Result<(), Failure> {
        for (view, digests) in &self.digests {
            if digests.windows(2).any(|two| two[0] != two[1]) {
                let what = format!("digests of view {view} differ: {}", digests.join(", "));
                return Err(Failure::new(1, what));
            }
        }
        for way in &self.ways {
            if way.found != self.generated {
                let what = format!(
                    "{}: {:?} is in the view features, {:?} came",
                    way.name, way.found, self.generated
                );
                return Err(Failure::new(1, what));
            }
        }
        Ok(())
    }
}

fn views(variant: &Variant) -> Result<Vec<(String, String)>, Failure> {
    let Response::Views(views) = variant.ask(Request::Views)? else {
        return Err(unexpected());
    };
    let own = |view: &&ViewStatus| VIEWS.contains(&view.name.as_str());
    let digest = |view: &ViewStatus| (view.name.clone(), hex(view.state.digest));
    Ok(views.iter().filter(own).map(digest).collect())
}

impl Way {
    fn of(variant: &Variant) -> Result<Way, Failure> {
        let bill = &variant.bill;
        let work = |of: fn(&Item) -> u64| bill.items.iter().map(of).sum::<u64>();
        let of_work = |item: &Item| item.work.clone().unwrap_or_default();
        let sum = |of: fn(&refrain_engine::accounts::Work) -> u64| -> u64 {
            bill.items.iter().map(|item| of(&of_work(item))).sum()
        };
        let nodes = bill.items.iter().filter(|i| i.kind == "node");
        let consumers = variant.freshness.consumers.iter();
        Ok(Way {
            name: variant.name.to_owned(),
            nodes: nodes.map(Node::of).collect(),
            commits: sum(|work| work.commits),
            plugin_cpu_s: seconds(sum(|work| work.guest_ns)),
            host_cpu_s: seconds(sum(|work| work.host_ns)),
            syncs: sum(|work| work.syncs),
            written_bytes: sum(|work| work.written_bytes),
            held_bytes: work(|item| item.held_bytes),
            cost: bill.total,
            cost_month: variant.month.total,
            consumers: consumers.map(|c| Consumer::of(c, &variant.month)).collect(),
            found: found(variant)?,
        })
    }
}

impl Node {
    fn of(item: &Item) -> Node {
        let work = item.work.clone().unwrap_or_default();
        Node {
            name: item.name.clone(),
            rhythm: item
                .rhythm
                .as_ref()
                .map_or(String::new(), ToString::to_string),
            commits: work.commits,
            cpu_s: seconds(work.cpu_ns()),
            cost: item.total,
        }
    }
}

impl Consumer {
    fn of(report: &ConsumerReport, month: &Bill) -> Consumer {
        let own = month.parts.iter();
        let own = own.filter(|part| part.consumer.as_ref() == Some(&report.consumer));
        let need_us = report.need_us.unwrap_or_default();
        Consumer {
            name: report.consumer.clone(),
            need_us,
            worst_us: report.worst_us,
            slack_us: need_us - report.worst_us,
            achieved_ppm: report.achieved_ppm,
            cost_month: own.map(|part| part.amount).sum(),
        }
    }
}

impl Foretold {
    /// What a bill foretold, against the bill of what then happened.
    pub(super) fn of(way: &str, asked: &Bill, happened: &Bill) -> Foretold {
        let line = |outcome: Outcome| Line {
            off_percent: outcome.off() * 100.0,
            good: outcome.is_good(),
            outcome,
        };
        let lines = outcomes(asked, happened).into_iter().map(line);
        Foretold {
            of: way.to_owned(),
            lines: lines.collect(),
        }
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Sums over the view `features`, and what node `clean` rejected.
fn found(variant: &Variant) -> Result<Sums, Failure> {
    let mut sums = Sums::default();
    let mut request = Request::ViewScan {
        view: "features".into(),
        limit: None,
    };
    loop {
        let Response::View(answer) = variant.ask(request)? else {
            return Err(unexpected());
        };
        let rows = &answer.table.rows;
        let sum = |name: &str| {
            let column = rows.column_by_name(name).expect("the view has this field");
            let values = column.as_primitive::<Int64Type>();
            values.values().iter().sum::<i64>()
        };
        sums.views += sum("views");
        sums.likes += sum("likes");
        sums.completes += sum("completes");
        sums.watch_ms += sum("watch_ms");
        match answer.next {
            Some(next) => request = Request::ViewNext(next),
            None => break,
        }
    }
    let Response::Status(status) = variant.ask(Request::Status)? else {
        return Err(unexpected());
    };
    let count = |node: &str, what: &str| {
        let node = status.nodes.iter().find(|n| n.name == node);
        let count = node.and_then(|n| n.counts.get(what).copied());
        i64::try_from(count.unwrap_or(0)).unwrap_or(i64::MAX)
    };
    sums.rows = count("clean", "rows");
    sums.senseless = count("clean", "rejected");
    Ok(sums)
}
