//! What the planner wants to know of the books: how long work takes.

use refrain_log::clock::{Clock, SystemClock};
use refrain_log::ids::Timestamp;
use refrain_log::storage::{DiskStorage, Storage};

use super::LEDGER_FILE;
use super::books::{Books, Work};
use crate::host::{Host, Project};
use crate::tiers::{Measure, Measures};

/// Measured over this time, in microseconds.
const MEASURED_US: i64 = 7 * 86_400_000_000;
/// A host that ran less than this tells nothing of its load, in microseconds.
const LOAD_US_MIN: i64 = 600_000_000;

/// A guess of what taking rows costs, in nanoseconds: a round, a frame, a row.
pub const TAKING_GUESSED: [f64; 3] = [40_000.0, 4_000.0, 100.0];
/// A guess of what committing costs, in nanoseconds: a commit, a changed state or row.
pub const COMMITTING_GUESSED: [f64; 2] = [200_000.0, 1_500.0];

/// What was measured of a project's nodes, as its host last wrote it; nothing where nothing has run.
pub fn measures(project: &Project) -> Measures {
    of_books(&read(project), SystemClock.now())
}

impl Host {
    /// What was measured of the nodes, for the planner.
    pub fn measures(&self) -> Measures {
        let books = self.board().gauge().map(|g| g.ledger.books());
        of_books(&books.unwrap_or_default(), self.log().now())
    }
}

/// The books of a project; empty where there are none. The host writes them whole.
pub(crate) fn read(project: &Project) -> Books {
    let file = project.data().join(LEDGER_FILE);
    let bytes = DiskStorage.read(&file).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Nodes by the names of the pipeline file, each with the build that stands for it.
pub(crate) fn builds(books: &Books) -> Vec<(String, String)> {
    let nodes = books.work.keys().filter(|name| !name.contains('@'));
    let build = |node: &String| books.live.get(node).unwrap_or(node).clone();
    nodes.map(|node| (node.clone(), build(node))).collect()
}

fn from(now: Timestamp) -> Timestamp {
    Timestamp(now.0 - MEASURED_US)
}

fn of_books(books: &Books, now: Timestamp) -> Measures {
    let lived_us = books.lived_us(from(now));
    let measure = |(node, build): (String, String)| {
        let work = books.worked(&build, from(now));
        Some((node, measure(&work, lived_us)?))
    };
    builds(books).into_iter().filter_map(measure).collect()
}

fn measure(work: &Work, lived_us: i64) -> Option<Measure> {
    let busy = i128::from(work.cpu_ns()) * 1000 / i128::from(lived_us.max(1));
    let load_ppm = match lived_us >= LOAD_US_MIN {
        true => i64::try_from(busy).unwrap_or(i64::MAX).min(1_000_000),
        false => 0,
    };
    Some(Measure {
        base_us: work.pass_us()?,
        load_ppm,
    })
}
