//! What a replay has before it: rows, bytes of the columns that are read, time and money. Time is that of a sample: the new
//! version takes the first rows of the log, in memory, for a moment.

use std::time::{Duration, Instant};

use refrain_log::ids::Sequence;
use refrain_plugin::Plugin;

use crate::cost::Money;
use crate::error::Result;
use crate::host::{Host, Loaded};
use crate::pipeline::{PlannedNode, Prices};
use crate::run::Terms;
use crate::versions::request::{Bill, Estimate, ReplayOrder};
use crate::versions::roster::Member;
use crate::versions::{Start, VersionName};

/// How long a sample takes, at least.
const SAMPLE: Duration = Duration::from_millis(150);
/// Rows that make a sample.
const SAMPLE_ROWS_MIN: u64 = 100;
const GB: u128 = 1_000_000_000;

/// What one node has before it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Rows that it takes.
    pub(crate) rows: u64,
    /// Bytes of the columns that it reads.
    pub(crate) bytes: u64,
    /// Seconds of one processor; none: there is too little to take a sample of.
    pub(crate) work_seconds: Option<f64>,
    /// Seconds with the processors that it gets.
    pub(crate) seconds: Option<f64>,
}

impl Host {
    /// What a replay has before it.
    pub fn estimate(&self, order: &ReplayOrder) -> Result<Estimate> {
        let planned = self.plan_replay(order)?;
        let mut estimate = Estimate::default();
        let mut work = Some(0.0);
        let mut seconds = Some(0.0);
        for name in &planned.nodes {
            let load = self.load_of(&planned.loaded, name, planned.starts[name])?;
            estimate.rows += load.rows;
            estimate.bytes += load.bytes;
            work = work.zip(load.work_seconds).map(|(a, b)| a + b);
            seconds = seconds.zip(load.seconds).map(|(a, b)| a + b);
            let live = self.versions()?.live(name);
            estimate.keep_bytes += self.what_it_holds(&live).map_or(0, |held| held.bytes);
        }
        let slowest = order
            .rate
            .map(|rate| estimate.rows as f64 / rate.max(1) as f64);
        estimate.seconds = seconds.map(|s| s.max(slowest.unwrap_or(0.0)));
        let prices = &planned.loaded.plan.prices;
        estimate.bill = work.map(|work| bill(work, estimate.bytes, estimate.keep_bytes, prices));
        Ok(estimate)
    }

    /// What a node of a plan has before it when it begins there.
    pub(crate) fn load_of(&self, loaded: &Loaded, name: &str, start: Start) -> Result<Load> {
        let place = loaded.plan.nodes.iter().position(|n| n.name == name);
        let place = place.expect("chosen from the plan");
        let node = &loaded.plan.nodes[place];
        let mut load = Load::default();
        for topic in node.input_topics() {
            if let Some(topic) = self.log().topic(&self.topic_named(&topic)?) {
                let (rows, bytes) = self.rows_after(&topic, node, start.after)?;
                load.rows += rows;
                load.bytes += bytes;
            }
        }
        // A sample that cannot be taken is no reason not to begin: the replay says what is wrong.
        let rate = self.sample(node, &loaded.plugins[place], start);
        if let Some(row_seconds) = rate.unwrap_or_default() {
            let work = load.rows as f64 * row_seconds;
            load.work_seconds = Some(work);
            load.seconds = Some(work / self.processors(node) as f64);
        }
        Ok(load)
    }

    /// Processors that a candidate of a node gets.
    fn processors(&self, node: &PlannedNode) -> usize {
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        let its = match self.is_running() {
            true => all.div_ceil(2),
            false => all,
        };
        its.min(node.tasks.max(1) as usize)
    }

    /// Seconds for a row, of one processor; none: there are too few rows.
    fn sample(&self, node: &PlannedNode, plugin: &Plugin, start: Start) -> Result<Option<f64>> {
        let mut planned = node.clone();
        for input in &mut planned.inputs {
            input.topic = self.topic_named(&input.topic)?;
        }
        let member = Member {
            version: VersionName::new(&node.name, 1),
            planned,
            plugin: plugin.clone(),
            start,
            terms: Terms::default(),
        };
        let mut rerun = self.rerun(&member)?;
        let durable = self.log().durable();
        // Instances are made once, whatever the number of rows.
        rerun.step(start.after, None)?;
        let began = now();
        let mut span = 1;
        while began.elapsed() < SAMPLE && rerun.at() < durable {
            let cut = Sequence(rerun.at().0.saturating_add(span)).min(durable);
            let step = rerun.step(cut, None)?;
            rerun.keep(step)?;
            span *= 2;
        }
        let seconds = began.elapsed().as_secs_f64();
        Ok((rerun.rows >= SAMPLE_ROWS_MIN).then(|| seconds / rerun.rows as f64))
    }
}

/// What it costs: computing and reading once, and keeping both versions a month.
pub(crate) fn bill(work_seconds: f64, bytes: u64, keep_bytes: u64, prices: &Prices) -> Bill {
    let cpu_ns = (work_seconds * 1e9) as u128;
    Bill {
        compute: Money::of_cpu(cpu_ns, prices.core_hour),
        read: Money::of(u128::from(bytes), GB, prices.gb_read),
        keep_month: Money::of(u128::from(keep_bytes), GB, prices.gb_month_hot),
        currency: prices.currency.clone(),
        stated: prices.stated,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures how fast rows are taken; decides nothing that comes out"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_is_made_of_prices() {
        let prices = Prices {
            core_hour: 40_000_000,
            gb_read: 10_000_000,
            gb_month_hot: 80_000_000,
            ..Prices::default()
        };
        let bill = bill(7200.0, 3_000_000_000, 500_000_000, &prices);
        assert_eq!(bill.compute, Money(80_000));
        assert_eq!(bill.read, Money(30_000));
        assert_eq!(bill.keep_month, Money(40_000));
    }
}
