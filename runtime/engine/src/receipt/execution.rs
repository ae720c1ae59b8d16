//! A lineage in execution: each node of the chain from its first build on, with the takeovers on the way, in private. It
//! can go on to a later cut, and to a lineage that has grown meanwhile.

use std::time::{Duration, Instant};

use refrain_log::ids::Sequence;
use refrain_log::log::Log;
use refrain_plugin::Plugin;

use super::Lineage;
use super::base::Base;
use super::private::{Pace, Private, PrivateNode};
use super::prove::Means;
use super::sample::Sample;
use crate::error::{Error, Result};
use crate::loader::Loader;
use crate::pipeline::PlannedNode;
use crate::versions::VersionName;

/// Nodes of a chain, executed up to a cut.
pub(crate) struct Execution {
    pub(crate) private: Private,
    nodes: Vec<PrivateNode>,
    lineage: Vec<Lineage>,
    /// Of each node, the build that it is now.
    builds: Vec<usize>,
    done: Sequence,
    sample: Option<Sample>,
    loader: Loader,
    /// Sequences of the next step.
    step: u64,
}

/// Sequences of the first step.
const STEP_FIRST: u64 = 4096;
/// Steps are to take about so long: opening nodes for each of them then costs little.
const STEP: Duration = Duration::from_secs(20);

/// The length of the next step, after one that took so long.
fn step_after(step: u64, took: Duration) -> u64 {
    match took {
        took if took < STEP / 2 => step.saturating_mul(2),
        took if took > STEP * 2 => (step / 2).max(1),
        _ => step,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "says how long a step is; decides no result"
)]
fn now() -> Instant {
    Instant::now()
}

impl Execution {
    /// The first builds of a lineage, with nothing taken. A sample is one of the last node's keys.
    pub(crate) fn begin(
        lineage: &[Lineage],
        means: &Means<'_>,
        sample: Option<Sample>,
    ) -> Result<Execution> {
        Execution::of_builds(lineage, vec![0; lineage.len()], means, sample)
    }

    /// The builds of a lineage that were at work in a savepoint, with what it has of them. It can go on to this cut.
    pub(crate) fn begin_at(
        lineage: &[Lineage],
        means: &Means<'_>,
        base: &Base,
        cut: Sequence,
    ) -> Result<Execution> {
        let builds = base.builds(lineage)?.into_iter().map(|count| count - 1);
        let mut execution = Execution::of_builds(lineage, builds.collect(), means, None)?;
        let source = (&*means.ground.log, cut);
        execution.done = base.lay_out(&execution.private, &execution.nodes, source)?;
        Ok(execution)
    }

    fn of_builds(
        lineage: &[Lineage],
        builds: Vec<usize>,
        means: &Means<'_>,
        sample: Option<Sample>,
    ) -> Result<Execution> {
        let mut execution = Execution {
            private: Private::new(means.scratch)?,
            nodes: Vec::new(),
            lineage: lineage.to_vec(),
            done: Sequence(0),
            sample,
            loader: Loader::new(means.cache.clone()),
            step: STEP_FIRST,
            builds,
        };
        for place in 0..lineage.len() {
            let node = execution.node(place, execution.builds[place], means)?;
            execution.nodes.push(node);
        }
        Ok(execution)
    }

    /// The last node of the chain, as it is now.
    pub(crate) fn planned(&self) -> &PlannedNode {
        let last = self.nodes.last();
        &last.expect("a lineage has a node").planned
    }

    /// Rows that the last node has taken so far.
    pub(crate) fn rows_taken(&self) -> u64 {
        let last = self.private.state.node(&self.planned().name);
        let rows = last.and_then(|last| last.counts.get("rows").copied());
        rows.unwrap_or_default()
    }

    /// Whether a lineage at a cut is this one, or what it has become since.
    pub(crate) fn leads_to(&self, lineage: &[Lineage], cut: Sequence) -> bool {
        let grown = |(was, is): (&Lineage, &Lineage)| {
            let later = is.builds.get(was.builds.len()..);
            was.node == is.node
                && was.after == is.after
                && was.reads == is.reads
                && is.builds.starts_with(&was.builds)
                && later.is_some_and(|later| later.iter().all(|b| b.from >= self.done))
        };
        self.lineage.len() == lineage.len()
            && cut >= self.done
            && self.lineage.iter().zip(lineage).all(grown)
    }

    /// Executes on to a cut. Whether it has got there: it may have been stopped.
    pub(crate) fn go(
        &mut self,
        lineage: &[Lineage],
        cut: Sequence,
        means: &Means<'_>,
        pace: &Pace,
    ) -> Result<bool> {
        lineage.clone_into(&mut self.lineage);
        for (from, place, build) in self.takeovers() {
            if !self.run(&means.ground.log, from, pace)? {
                return Ok(false);
            }
            let heir = self.node(place, build, means)?;
            let builds = &self.lineage[place].builds;
            let (how, was) = (builds[build].how, builds[build - 1].state_version);
            self.private.take_over(&heir, how, was)?;
            self.nodes[place] = heir;
            self.builds[place] = build;
        }
        self.run(&means.ground.log, cut, pace)
    }

    /// Builds that have still to take over: at which cut, whose, which; in order.
    fn takeovers(&self) -> Vec<(Sequence, usize, usize)> {
        let mut takeovers = Vec::new();
        for (place, lineage) in self.lineage.iter().enumerate() {
            let builds = lineage.builds.iter().enumerate();
            let later = builds.skip(self.builds[place] + 1);
            takeovers.extend(later.map(|(build, b)| (b.from, place, build)));
        }
        takeovers.sort_unstable();
        takeovers
    }

    /// Executes on in steps, after each of which derived rows that all have read go: so a chain takes no more space than
    /// its states and the rows of one step.
    fn run(&mut self, source: &Log, cut: Sequence, pace: &Pace) -> Result<bool> {
        let is_chain = self.nodes.len() > 1;
        while self.done < cut {
            let next = match is_chain {
                true => cut.min(Sequence(self.done.0.saturating_add(self.step))),
                false => cut,
            };
            let began = now();
            if !self.private.run(source, &self.nodes, next, pace)? {
                return Ok(false);
            }
            self.done = next;
            if is_chain {
                self.private.let_go()?;
                self.step = step_after(self.step, began.elapsed());
            }
        }
        Ok(true)
    }

    /// A node of the chain as one of its builds.
    fn node(&mut self, place: usize, build: usize, means: &Means<'_>) -> Result<PrivateNode> {
        let lineage = &self.lineage[place];
        let build = lineage.builds.get(build).ok_or_else(|| {
            Error::Refused(format!(
                "the receipt does not say what node {} was built from",
                lineage.node
            ))
        })?;
        let planned = build.planned()?;
        let bytes = means.components.get(&build.component)?;
        let plugin: Plugin = self.loader.load_for(&planned, bytes)?;
        let number = VersionName::parse(&lineage.node).number;
        let is_last = place + 1 == self.lineage.len();
        Ok(PrivateNode {
            planned: planned.of_version(number, &lineage.reads),
            plugin,
            after: lineage.after,
            sample: self.sample.filter(|_| is_last),
        })
    }
}
