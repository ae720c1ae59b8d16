//! What consumers got against what they need, now and over the window of their objective; runs that were due and did not
//! happen; nodes that lag. Each is told on its own, since each has another remedy.

use refrain_log::ids::{Sequence, Timestamp};
use serde::{Deserialize, Serialize};

use crate::accounts::freshness::{Freshness, pending};
use crate::accounts::{Books, Kept, runs};
use crate::error::Result;
use crate::host::Host;
use crate::ingest::time;
use crate::pipeline::declaration::ConsumerDeclaration;
use crate::pipeline::{Rhythm, TierNames};
use crate::tiers::words::span;
use crate::tiers::{Graph, NodeTier, planner};

/// Missed runs are told over this time, in microseconds.
const RUNS_US: i64 = 30 * 86_400_000_000;
/// A node may be this much older than planned, beside as much again as is planned, before it lags, in microseconds.
const LAG_LEAVE_US: i64 = 60_000_000;
const HOUR_US: i64 = 3_600_000_000;

/// A consumer's freshness, measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerReport {
    /// Its name.
    pub consumer: String,
    /// The view it reads.
    pub view: String,
    /// How fresh it needs it, in microseconds.
    pub need_us: Option<i64>,
    /// How fresh it is now.
    pub now: Freshness,
    /// Part of the time in which the need is to be met, in millionths.
    pub objective_ppm: u32,
    /// Over which time that is looked at, in microseconds.
    pub window_us: i64,
    /// Part of the time in which it was met, in millionths; none: not looked at yet.
    pub achieved_ppm: Option<u32>,
    /// Time looked at in the window, in microseconds.
    pub observed_us: i64,
    /// Of it, time in which it was not met.
    pub missed_us: i64,
    /// The oldest that the view was while it was not all that was there, in microseconds.
    pub worst_us: i64,
    /// What may be missed of the window, in microseconds, whether or not all of it was looked at.
    pub budget_us: i64,
    /// What is left of that; below 0: more was missed.
    pub budget_left_us: i64,
    /// How fast it is being spent: the part of the last hour that was missed, by the part that may be, in thousandths. At
    /// 1000 a window spends all of it, at 2000 half a window; none: not looked at, or no need.
    pub burn_milli: Option<u64>,
    /// What is wrong: `late` (older than needed now), `budget-spent` (the objective is missed).
    pub alerts: Vec<String>,
}

/// A node of cron, or of once with `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsReport {
    /// Its name.
    pub node: String,
    /// When it runs.
    pub rhythm: Rhythm,
    /// When its last pass began.
    pub last: Option<Timestamp>,
    /// When the next one is due, where that is known.
    pub due: Option<Timestamp>,
    /// Runs of the last 30 days that did not happen when they were due.
    pub missed: u64,
    /// What is wrong: `missed-run` (one is due and has not begun).
    pub alerts: Vec<String>,
}

/// When a node runs, and the tier of what it gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The build of it that everybody reads.
    pub node: String,
    /// When it runs.
    pub rhythm: Rhythm,
    /// The tier of the age that its results have at most by the plan; none: older than the last one, or unknown.
    pub tier: Option<String>,
}

/// A node that is behind what is planned for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LagReport {
    /// Its name.
    pub node: String,
    /// When it runs.
    pub rhythm: Rhythm,
    /// How old its results are, in microseconds.
    pub staleness_us: i64,
    /// How old they are to be at most by the plan, in microseconds.
    pub planned_us: i64,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectiveReport {
    /// Consumers, in the order of the file.
    pub consumers: Vec<ConsumerReport>,
    /// Nodes of cron, and of once with `due`, in the order of the graph.
    pub runs: Vec<RunsReport>,
    /// Nodes that lag, in the order of the graph.
    pub lagging: Vec<LagReport>,
    /// All nodes, in the order of the graph.
    pub nodes: Vec<NodeReport>,
}

/// Something that is wrong now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// `late`, `budget-spent`, `missed-run`, `lagging`, `audit-failed`.
    pub kind: String,
    /// The consumer or node.
    pub at: String,
    /// A sentence.
    pub what: String,
}

impl ObjectiveReport {
    /// All that is wrong.
    pub fn alerts(&self) -> Vec<Alert> {
        let consumers = self.consumers.iter().flat_map(ConsumerReport::told);
        let runs = self.runs.iter().filter_map(RunsReport::told);
        let lagging = self.lagging.iter().map(LagReport::told);
        consumers.chain(runs).chain(lagging).collect()
    }
}

impl ConsumerReport {
    fn told(&self) -> Vec<Alert> {
        let need = self.need_us.map_or("-".into(), span);
        let what = |kind: &str| match kind {
            "late" => format!(
                "view {} is {} old, and needed within {need}",
                self.view,
                span(self.now.staleness_us)
            ),
            _ => format!(
                "view {} was older than {need} for {} of the last {}, and {} at most are left by its objective",
                self.view,
                span(self.missed_us),
                span(self.window_us),
                span(self.budget_us)
            ),
        };
        let alerts = self.alerts.iter();
        let alerts = alerts.map(|kind| alert(kind, "consumer", &self.consumer, what(kind)));
        alerts.collect()
    }

    fn of(
        declared: &ConsumerDeclaration,
        now: Freshness,
        kept: Kept,
        last_hour: Kept,
    ) -> ConsumerReport {
        let (objective_ppm, need_us) = (
            declared.objective_ppm,
            declared.freshness_us.as_ref().map(|us| *us.get_ref()),
        );
        let achieved_ppm = ppm(kept.observed_us - kept.missed_us, kept.observed_us);
        let late = need_us.is_some_and(|need| now.staleness_us > need);
        let budget_us = budget_us(declared.window_us, objective_ppm);
        let spent = kept.missed_us > budget_us;
        let alerts = [(late, "late"), (spent, "budget-spent")];
        ConsumerReport {
            consumer: declared.name.get_ref().clone(),
            view: declared.view.get_ref().clone(),
            need_us,
            now,
            objective_ppm,
            window_us: declared.window_us,
            achieved_ppm,
            observed_us: kept.observed_us,
            missed_us: kept.missed_us,
            worst_us: kept.worst_us,
            budget_us,
            budget_left_us: budget_us - kept.missed_us,
            burn_milli: need_us.and_then(|_| burn_milli(last_hour, objective_ppm)),
            alerts: alerts
                .into_iter()
                .filter(|(is, _)| *is)
                .map(|(_, kind)| kind.to_owned())
                .collect(),
        }
    }
}

impl RunsReport {
    fn told(&self) -> Option<Alert> {
        let kind = self.alerts.first()?;
        let last = self.last.map_or("never".into(), |t| time::text(t.0));
        let due = self.due.map_or("-".into(), |t| time::text(t.0));
        let what = format!(
            "a run ({}) did not happen when it was due; the last one began {last}, one was due {due}",
            self.rhythm
        );
        Some(alert(kind, "node", &self.node, what))
    }
}

impl LagReport {
    fn told(&self) -> Alert {
        let what = format!(
            "its results are {} old, and {} at most are planned ({})",
            span(self.staleness_us),
            span(self.planned_us),
            self.rhythm
        );
        alert("lagging", "node", &self.node, what)
    }
}

fn alert(kind: &str, of: &str, at: &str, what: String) -> Alert {
    Alert {
        kind: kind.to_owned(),
        at: at.to_owned(),
        what: format!("{of} {at}: {what}"),
    }
}

/// Looks at every consumer now, and reports.
pub(crate) fn report(host: &Host) -> Result<ObjectiveReport> {
    host.look();
    let gauge = host.board().gauge();
    let books = gauge.map(|g| g.ledger.books()).unwrap_or_default();
    let now = host.log().now();
    let mut report = ObjectiveReport::default();
    for declared in &host.declaration().consumers {
        let Some(build) = host.build_read_by(declared) else {
            continue;
        };
        let kept = books.kept(
            declared.name.get_ref(),
            Timestamp(now.0 - declared.window_us),
        );
        let last_hour = books.kept(declared.name.get_ref(), Timestamp(now.0 - HOUR_US));
        let fresh = Freshness::of(oldest(host, &build)?, now, tiers(host));
        report
            .consumers
            .push(ConsumerReport::of(declared, fresh, kept, last_hour));
    }
    let plan = planner::plan(&Graph::of_file(host.declaration(), &host.measures()));
    for tier in &plan.nodes {
        let rhythm = host.board().rhythm_of(&tier.name);
        let rhythm = rhythm.map_or_else(|| tier.rhythm.clone(), |(rhythm, _)| rhythm);
        let build = host
            .versions()
            .unwrap_or_default()
            .live(&tier.name)
            .to_string();
        report.nodes.push(NodeReport {
            node: build.clone(),
            rhythm: rhythm.clone(),
            tier: tier.tier.clone(),
        });
        let oldest = oldest(host, &build)?;
        let due_us = due_us(host, &tier.name);
        report
            .runs
            .extend(runs_of(&books, &build, &rhythm, due_us, oldest, now));
        report.lagging.extend(lag_of(tier, rhythm, oldest, now));
    }
    Ok(report)
}

fn tiers(host: &Host) -> &TierNames {
    &host.declaration().tiers
}

fn due_us(host: &Host, node: &str) -> Option<i64> {
    let mut nodes = host.declaration().nodes.iter();
    nodes.find(|n| n.name.get_ref() == node)?.due_us
}

/// When the oldest rows came that the last commit of a build does not include.
fn oldest(host: &Host, build: &str) -> Result<Option<Timestamp>> {
    let cut = host.state().node(build).map_or(Sequence(0), |n| n.cut);
    pending(host.log(), &host.chain(build).sources, cut)
}

/// What may be missed of a window.
fn budget_us(window_us: i64, objective_ppm: u32) -> i64 {
    let may = i128::from(window_us) * i128::from(1_000_000 - objective_ppm) / 1_000_000;
    i64::try_from(may).unwrap_or(i64::MAX)
}

/// The part that was missed by the part that may be, in thousandths.
fn burn_milli(kept: Kept, objective_ppm: u32) -> Option<u64> {
    let missed = ppm(kept.missed_us, kept.observed_us)?;
    let may = u64::from(1_000_000 - objective_ppm.min(999_999));
    Some(u64::from(missed) * 1000 / may)
}

fn ppm(part: i64, whole: i64) -> Option<u32> {
    let ppm = i128::from(part) * 1_000_000 / i128::from(Some(whole).filter(|w| *w > 0)?);
    u32::try_from(ppm).ok()
}

/// A node of cron, or of once with `due`. One that never ran is due since rows wait for it.
fn runs_of(
    books: &Books,
    node: &str,
    rhythm: &Rhythm,
    due_us: Option<i64>,
    oldest: Option<Timestamp>,
    now: Timestamp,
) -> Option<RunsReport> {
    runs::due(rhythm, due_us, now)?;
    let book = books.runs.get(node).cloned().unwrap_or_default();
    let last = Some(Timestamp(book.last)).filter(|l| l.0 > 0);
    let since = last.or(oldest).unwrap_or(now);
    let due = runs::due(rhythm, due_us, since);
    let overdue = due.is_some_and(|due| runs::is_overdue(rhythm, due_us, due, now));
    let waiting = if overdue {
        runs::missed(rhythm, due_us, since, now)
    } else {
        0
    };
    Some(RunsReport {
        node: node.to_owned(),
        rhythm: rhythm.clone(),
        last,
        due,
        missed: waiting
            + book
                .missed
                .range(now.0 - RUNS_US..)
                .map(|(_, n)| n)
                .sum::<u64>(),
        alerts: overdue.then(|| "missed-run".into()).into_iter().collect(),
    })
}

/// A node that runs all the time, or every so often: what it does not include waits for longer than twice what is
/// planned, and a minute.
fn lag_of(
    tier: &NodeTier,
    rhythm: Rhythm,
    oldest: Option<Timestamp>,
    now: Timestamp,
) -> Option<LagReport> {
    if !matches!(rhythm, Rhythm::Continuous | Rhythm::Every(_)) {
        return None;
    }
    let (staleness_us, planned_us) = (now.0 - oldest?.0, tier.achieved_us?);
    let lags = staleness_us > planned_us.saturating_mul(2).saturating_add(LAG_LEAVE_US);
    lags.then(|| LagReport {
        node: tier.name.clone(),
        rhythm,
        staleness_us,
        planned_us,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp(1_000 * 24 * HOUR_US + hours * HOUR_US)
    }

    #[test]
    fn a_run_that_does_not_come_is_told_until_one_has_come() {
        let mut books = Books::default();
        let daily = Rhythm::parse("0 2 * * *").expect("a rhythm");
        let told = |books: &Books, oldest, now| {
            let report = runs_of(books, "n", &daily, None, oldest, now).expect("of cron");
            (report.alerts.len(), report.missed)
        };
        assert_eq!(told(&books, None, at(9)), (0, 0), "nothing waits for it");
        assert_eq!(told(&books, Some(at(1)), at(3)), (1, 1), "it never ran");
        books.ran("n", at(2), 0);
        assert_eq!(told(&books, None, at(25)), (0, 0));
        assert_eq!(told(&books, None, at(27)), (1, 1));
        books.ran("n", at(28), 1);
        assert_eq!(
            told(&books, None, at(30)),
            (0, 1),
            "it came too late: counted"
        );
        books.ran("n", at(50), 0);
        assert_eq!(told(&books, None, at(51)), (0, 1), "and told as past");
        assert!(runs_of(&books, "n", &Rhythm::Continuous, None, None, at(9)).is_none());
        assert!(runs_of(&books, "n", &Rhythm::Once, None, None, at(9)).is_none());
    }

    #[test]
    fn a_node_lags_when_rows_wait_for_longer_than_planned() {
        let tier = NodeTier {
            name: "n".into(),
            rhythm: Rhythm::Continuous,
            auto: true,
            wait_us: Some(1_000_000),
            took_us: 0,
            measured: false,
            required_us: None,
            achieved_us: Some(1_000_000),
            tier: None,
        };
        let lag = |rhythm, oldest: Option<i64>| {
            let oldest = oldest.map(|us| Timestamp(at(5).0 - us));
            lag_of(&tier, rhythm, oldest, at(5)).is_some()
        };
        assert!(!lag(Rhythm::Continuous, None));
        assert!(!lag(Rhythm::Continuous, Some(62_000_000)));
        assert!(lag(Rhythm::Continuous, Some(62_000_001)));
        assert!(!lag(Rhythm::Once, Some(HOUR_US)), "that is a missed run");
    }

    #[test]
    fn budgets() {
        assert_eq!(budget_us(100 * HOUR_US, 990_000), HOUR_US);
        let hour = |missed_us| Kept {
            observed_us: HOUR_US,
            missed_us,
            worst_us: 0,
        };
        assert_eq!(burn_milli(Kept::default(), 990_000), None);
        assert_eq!(burn_milli(hour(0), 990_000), Some(0));
        assert_eq!(burn_milli(hour(HOUR_US / 100), 990_000), Some(1000));
        assert_eq!(burn_milli(hour(HOUR_US), 990_000), Some(100_000));
        assert_eq!(ppm(1, 0), None);
        assert_eq!(ppm(99, 100), Some(990_000));
    }
}
