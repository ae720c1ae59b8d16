//! An estimate against what then happened, figure by figure. Pure.

use serde::Serialize;

use super::bill::{Bill, Item};
use super::money::Money;
use crate::accounts::Work;

/// Estimates are to keep to this part of what then happens.
pub const OFF_MAX: f64 = 0.25;
/// What lies at the edge of a count may be in it or not.
const EDGE: f64 = 2.0;

/// What is foretold of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Figure {
    /// Commits.
    Commits,
    /// Passes of its rhythm; of a continuous node its commits.
    Passes,
    /// Syncs.
    Syncs,
    /// Rows taken.
    Rows,
    /// Bytes of columns read.
    BytesRead,
    /// Bytes written to files.
    BytesWritten,
    /// Bytes of its topics.
    BytesOfTopics,
    /// Processor time, in seconds.
    CpuSeconds,
    /// What it costs, in the currency of the bill.
    Money,
}

impl Figure {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Figure::Commits => "commits",
            Figure::Passes => "passes",
            Figure::Syncs => "syncs",
            Figure::Rows => "rows",
            Figure::BytesRead => "bytes read",
            Figure::BytesWritten => "bytes written",
            Figure::BytesOfTopics => "bytes of topics",
            Figure::CpuSeconds => "CPU seconds",
            Figure::Money => "money",
        }
    }

    /// Whether a clock has a say in it, so that it is another one each time.
    pub fn is_clocked(self) -> bool {
        matches!(self, Figure::CpuSeconds | Figure::Money)
    }

    fn of_work(self, work: &Work) -> f64 {
        match self {
            Figure::Commits => work.commits as f64,
            Figure::Passes => work.passes.values().sum::<u64>() as f64,
            Figure::Syncs => work.syncs as f64,
            Figure::Rows => work.rows as f64,
            Figure::BytesRead => work.read_bytes as f64,
            Figure::BytesWritten => work.written_bytes as f64,
            Figure::CpuSeconds => work.cpu_ns() as f64 / 1e9,
            Figure::BytesOfTopics | Figure::Money => 0.0,
        }
    }

    fn of(self, item: &Item) -> f64 {
        match self {
            Figure::Money => money(item.total),
            Figure::BytesOfTopics => item.held.map_or(0, |held| held.topic_bytes) as f64,
            _ => item.work.as_ref().map_or(0.0, |work| self.of_work(work)),
        }
    }
}

const FIGURES: [Figure; 9] = [
    Figure::Commits,
    Figure::Passes,
    Figure::Syncs,
    Figure::Rows,
    Figure::BytesRead,
    Figure::BytesWritten,
    Figure::BytesOfTopics,
    Figure::CpuSeconds,
    Figure::Money,
];

/// One figure, foretold and as it then was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Of which node; none: of everything.
    pub node: Option<String>,
    /// What.
    pub figure: Figure,
    /// As the estimate had it.
    pub foretold: f64,
    /// As it was.
    pub happened: f64,
}

impl Outcome {
    /// By what part of what happened the estimate was too high; below zero: too low.
    pub fn off(&self) -> f64 {
        match self.happened == self.foretold {
            true => 0.0,
            false => self.foretold / self.happened.max(f64::MIN_POSITIVE) - 1.0,
        }
    }

    /// Whether the estimate was good enough, the edge of a count left aside.
    pub fn is_good(&self) -> bool {
        let edge = if self.figure.is_clocked() { 0.0 } else { EDGE };
        (self.foretold - self.happened).abs() <= (OFF_MAX * self.happened).max(edge)
    }
}

/// What the bill of one pipeline foretold of another one, against the bill of that: each node of it, and what all costs.
pub fn outcomes(asked: &Bill, happened: &Bill) -> Vec<Outcome> {
    let foretold = asked.then.as_deref();
    let mut found = Vec::new();
    for item in happened.items.iter().filter(|item| item.kind == "node") {
        let then = foretold.and_then(|bill| {
            let mut items = bill.items.iter();
            items.find(|i| (&i.kind, &i.name) == (&item.kind, &item.name))
        });
        let outcome = |figure: Figure| Outcome {
            node: Some(item.name.clone()),
            figure,
            foretold: then.map_or(0.0, |then| figure.of(then)),
            happened: figure.of(item),
        };
        let told = FIGURES.into_iter().map(outcome);
        found.extend(told.filter(|o| (o.foretold, o.happened) != (0.0, 0.0)));
    }
    found.push(Outcome {
        node: None,
        figure: Figure::Money,
        foretold: foretold.map_or(0.0, |bill| money(bill.total)),
        happened: money(happened.total),
    });
    found
}

fn money(amount: Money) -> f64 {
    amount.0 as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_good_within_a_quarter() {
        let outcome = |figure, foretold, happened| Outcome {
            node: None,
            figure,
            foretold,
            happened,
        };
        let table = [
            (Figure::Rows, 125.0, 100.0, true),
            (Figure::Rows, 74.0, 100.0, false),
            (Figure::Commits, 1.0, 3.0, true),
            (Figure::Commits, 1.0, 4.0, false),
            (Figure::CpuSeconds, 0.2, 0.1, false),
            (Figure::CpuSeconds, 0.12, 0.1, true),
            (Figure::Syncs, 0.0, 0.0, true),
        ];
        for (figure, foretold, happened, good) in table {
            let found = outcome(figure, foretold, happened);
            assert_eq!(found.is_good(), good, "{found:?}");
        }
        assert_eq!(outcome(Figure::Rows, 50.0, 100.0).off(), -0.5);
        assert_eq!(outcome(Figure::Rows, 0.0, 0.0).off(), 0.0);
    }
}
