//! What work costs: a price sheet turns what was metered into money, a rule shares it out to consumers, and rounds that are
//! tried out say what other needs would cost.

pub mod arrivals;
pub mod bill;
pub mod change;
pub mod commits;
mod dry;
mod foretell;
mod handing;
pub mod model;
pub mod money;
pub mod outcome;
pub mod price;
mod rests;
pub mod rounds;
pub mod share;

use refrain_log::clock::{Clock, SystemClock};
use refrain_log::ids::Timestamp;
use refrain_log::topic::Origin;
use serde::{Deserialize, Serialize};

pub use bill::{Bill, Item, Part};
pub use change::{Change, Kind};
pub use money::Money;

use crate::accounts::{Books, measures};
use crate::error::{Error, Result};
use crate::host::{Host, Project};
use crate::pipeline::Declaration;
use crate::receipt::ground::Ground;
use crate::tiers::Graph;

/// What is asked about cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Whether for a month at the same rates; else for the metered time.
    pub month: bool,
    /// Consumers and the freshness that they would need, as a pipeline file writes it.
    pub what_if: Vec<(String, String)>,
    /// The text of a pipeline file that would be in the place of this one.
    pub file: Option<String>,
}

/// The bill of a host; with other needs, when some are asked about.
pub(crate) fn asked(host: &Host, question: &Question) -> Result<Bill> {
    let file = host.declaration();
    let measures = host.measures();
    let graph = Graph::of_file(file, &measures);
    let metered = metered(host, &graph);
    let mut bill = bill::bill(&graph, &metered, &file.prices, question.month);
    if !question.what_if.is_empty() || question.file.is_some() {
        host.foretell(question, &mut bill, &graph, &metered)?;
    }
    Ok(bill)
}

fn metered(host: &Host, graph: &Graph) -> bill::Metered {
    if let Some(gauge) = host.board().gauge() {
        gauge.look_outside(host.log());
        gauge.log_stands(host.state().log_bytes(), host.log().now());
    }
    let now = host.log().now();
    let gauge = host.board().gauge();
    let books: Books = gauge.map(|g| g.ledger.books()).unwrap_or_default();
    let from = Timestamp(now.0 - money::MONTH_US);
    let since = match books.since {
        0 => now.0,
        since => since.max(from.0),
    };
    let log = books.log_stood(from);
    let topic_bytes = |name: &str| host.log().topic(name).map_or(0, |t| t.bytes());
    let builds = host.version_names();
    let work = builds.iter();
    let work = work.map(|build| (build.clone(), books.worked(build, from)));
    let held = builds.iter();
    let held = held.map(|build| (build.clone(), host.held(build)));
    let sources = || graph.sources.iter().map(|s| s.name.clone());
    let nodes = graph.nodes.iter().map(|n| n.name.clone());
    bill::Metered {
        work: work.collect(),
        held: held.collect(),
        appends: books.appended_since(from),
        rest: books.rest_since(from),
        topic_bytes: sources().map(|s| (s.clone(), topic_bytes(&s))).collect(),
        commit_bytes: log.mean_bytes().unwrap_or(host.state().log_bytes()),
        log,
        chains: host.chains(),
        span_us: (now.0 - since).max(1),
        until_us: Some(now.0),
        rhythms: nodes
            .filter_map(|n| Some((n.clone(), host.board().rhythm_of(&n)?.0)))
            .collect(),
        arrivals: sources()
            .map(|s| (s.clone(), arrivals::arrivals(host.log(), &s)))
            .collect(),
        out: builds
            .iter()
            .map(|build| (build.clone(), rows_out(host, build)))
            .collect(),
        live: host.live(),
    }
}

/// What was metered of a project, read beside its host or without one; nothing where nothing has run. Work is by the names
/// of the pipeline file: of each node that of the build which everybody reads.
pub fn of_project(project: &Project) -> bill::Metered {
    let (books, now) = (measures::read(project), SystemClock.now());
    let mut metered = bill::Metered::default();
    if books.since == 0 {
        return metered;
    }
    let from = now.0 - money::MONTH_US;
    metered.span_us = (now.0 - books.since.max(from)).max(1);
    metered.until_us = Some(now.0);
    for (node, build) in measures::builds(&books) {
        let work = books.worked(&build, Timestamp(from));
        let held = books.held.get(&build).copied().unwrap_or_default();
        metered.held.insert(node.clone(), held);
        if work.rows > 0 {
            let out = work.out_rows as f64 / work.rows as f64;
            metered.out.insert(node.clone(), out);
        }
        metered.work.insert(node, work);
    }
    // A log that does not open tells nothing here; who reads it for a result says what is wrong.
    if let Ok(ground) = Ground::open(project.root()) {
        let topics = ground.log.topics().into_iter();
        for topic in topics.filter(|topic| topic.spec().origin == Origin::Source) {
            let name = topic.spec().name.clone();
            let found = arrivals::arrivals(&ground.log, &name);
            metered.arrivals.insert(name, found);
        }
    }
    metered
}

/// Rows that a build writes for one that it takes.
fn rows_out(host: &Host, build: &str) -> f64 {
    let counts = host.state().node(build).map(|last| last.counts);
    let counts = counts.unwrap_or_default();
    let count = |name: &str| counts.get(name).copied().unwrap_or(0) as f64;
    match count("rows") {
        0.0 => 1.0,
        rows => count("out") / rows,
    }
}

/// The file asked about.
fn other(file: &Declaration, question: &Question) -> Result<Declaration> {
    let Some(text) = &question.file else {
        return Ok(file.clone());
    };
    let env = |name: &str| std::env::var(name).ok();
    crate::pipeline::parse("the changed file", text, &env).map_err(Error::Pipeline)
}

/// The file with other needs.
fn with_needs(mut file: Declaration, needs: &[(String, String)]) -> Result<Declaration> {
    for (consumer, need) in needs {
        let us = file.tiers.need_us(need).ok_or_else(|| {
            Error::Refused(format!(
                "{need} is neither a duration nor a tier; write such as {consumer}=10s"
            ))
        })?;
        let names: Vec<String> = file
            .consumers
            .iter()
            .map(|c| c.name.get_ref().clone())
            .collect();
        let mut consumers = file.consumers.iter_mut();
        let found = consumers.find(|c| c.name.get_ref() == consumer);
        let found = found.ok_or_else(|| {
            let all = names.join(", ");
            Error::Refused(format!("there is no consumer {consumer}; there are: {all}"))
        })?;
        found.freshness_us = Some(serde_spanned::Spanned::new(0..0, us));
    }
    Ok(file)
}
