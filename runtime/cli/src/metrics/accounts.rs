//! Figures of the books: what nodes used, how fresh consumers are served, what is wrong.

use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use refrain_engine::accounts::Work;
use refrain_engine::host::Host;
use refrain_engine::objective::{ConsumerReport, ObjectiveReport};
use refrain_engine::request::{Request, Response};
use refrain_log::ids::Timestamp;

use super::gauges;

/// All alerts by kind, so that one that is gone is told as 0.
const KINDS: [&str; 4] = ["late", "budget-spent", "missed-run", "lagging"];

/// The books of one moment.
#[derive(Debug)]
pub(super) struct Accounts {
    freshness: ObjectiveReport,
    work: Vec<(String, Work)>,
    appends: Vec<(String, Work)>,
    rest: Work,
}

impl Accounts {
    pub(super) fn of(host: &Host) -> Accounts {
        let freshness = match host.handle(Request::Freshness) {
            Response::Freshness(report) => report,
            _ => ObjectiveReport::default(),
        };
        let books = host.board().gauge().map(|gauge| gauge.ledger.books());
        let work = books.iter().flat_map(|books| books.work.iter());
        let work = work.map(|(node, hours)| {
            let mut all = Work::default();
            hours.values().for_each(|work| all.add(work));
            (node.clone(), all)
        });
        let ever = Timestamp(0);
        let appends = books.iter().flat_map(|books| books.appended_since(ever));
        Accounts {
            freshness,
            work: work.collect(),
            appends: appends.collect(),
            rest: books
                .as_ref()
                .map(|books| books.rest_since(ever))
                .unwrap_or_default(),
        }
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        self.work(encoder)?;
        self.outside(encoder)?;
        self.nodes(encoder)?;
        self.consumers(encoder)?;
        self.runs(encoder)?;
        self.alerts(encoder)
    }

    fn work(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let seconds = |ns: u64| ns as f64 / 1e9;
        let mut each = |name: &str, help: &str, unit: Option<Unit>, of: &dyn Fn(&Work) -> f64| {
            let mut family =
                encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
            for (node, work) in &self.work {
                family
                    .encode_family(&[("node", node.as_str())])?
                    .encode_counter::<NoLabelSet, f64, f64>(&of(work), None)?;
            }
            Ok::<(), Error>(())
        };
        each(
            "node_guest_cpu",
            "Processor time inside the plugin, kept over restarts",
            Some(Unit::Seconds),
            &|w| seconds(w.guest_ns),
        )?;
        each(
            "node_host_cpu",
            "Processor time of the host on the node's behalf, kept over restarts",
            Some(Unit::Seconds),
            &|w| seconds(w.host_ns),
        )?;
        each(
            "node_read",
            "Bytes of columns read from the log, kept over restarts",
            Some(Unit::Bytes),
            &|w| w.read_bytes as f64,
        )?;
        each(
            "node_written",
            "Bytes written to files, kept over restarts",
            Some(Unit::Bytes),
            &|w| w.written_bytes as f64,
        )?;
        each(
            "node_syncs",
            "Durable writes, kept over restarts",
            None,
            &|w| w.syncs as f64,
        )
    }

    /// Work that is no node's.
    fn outside(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let seconds = |work: &Work| work.cpu_ns() as f64 / 1e9;
        let (unit, kind) = (Some(&Unit::Seconds), MetricType::Counter);
        let help = "Processor time of appends to the topic, decoding included, kept over restarts";
        let mut family = encoder.encode_descriptor("ingest_cpu", help, unit, kind)?;
        for (topic, work) in &self.appends {
            family
                .encode_family(&[("topic", topic.as_str())])?
                .encode_counter::<NoLabelSet, f64, f64>(&seconds(work), None)?;
        }
        let help =
            "Processor time of the process that is no node's and no append's, kept over restarts";
        encoder
            .encode_descriptor("rest_cpu", help, unit, kind)?
            .encode_counter::<NoLabelSet, f64, f64>(&seconds(&self.rest), None)
    }

    /// Labels to join other figures of nodes with.
    fn nodes(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let help = "1; when the node runs, and the tier of the age that its results have at most by the plan";
        let mut family = encoder.encode_descriptor("node_info", help, None, MetricType::Gauge)?;
        for node in &self.freshness.nodes {
            let rhythm = node.rhythm.to_string();
            let labels = [
                ("node", node.node.as_str()),
                ("rhythm", rhythm.as_str()),
                ("tier", node.tier.as_deref().unwrap_or("")),
            ];
            family.encode_family(&labels)?.encode_gauge(&1_i64)?;
        }
        Ok(())
    }

    fn consumers(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let mut each = |name, help, unit, of: &dyn Fn(&ConsumerReport) -> Option<f64>| {
            let consumers = self.freshness.consumers.iter();
            let values = consumers.filter_map(|c| Some((c.consumer.as_str(), of(c)?)));
            gauges(encoder, (name, help, unit), "consumer", values)
        };
        let seconds = |us: i64| us as f64 / 1e6;
        each(
            "consumer_staleness",
            "How old the view is that the consumer is served",
            Some(Unit::Seconds),
            &|c| Some(seconds(c.now.staleness_us)),
        )?;
        each(
            "consumer_need",
            "How fresh the consumer needs it",
            Some(Unit::Seconds),
            &|c| c.need_us.map(seconds),
        )?;
        each(
            "consumer_objective",
            "Part of the time in which the need is to be met",
            Some(Unit::Ratios),
            &|c| Some(f64::from(c.objective_ppm) / 1e6),
        )?;
        each(
            "consumer_achieved",
            "Part of the observed time in which it was met",
            Some(Unit::Ratios),
            &|c| c.achieved_ppm.map(|ppm| f64::from(ppm) / 1e6),
        )?;
        each(
            "consumer_budget_left",
            "Time of the window that may still be missed; below 0: more was missed",
            Some(Unit::Seconds),
            &|c| c.need_us.map(|_| seconds(c.budget_left_us)),
        )?;
        each(
            "consumer_budget_burn",
            "The part of the last hour that was missed by the part that may be: at 1 a window spends all of it",
            Some(Unit::Ratios),
            &|c| c.burn_milli.map(|milli| milli as f64 / 1e3),
        )
    }

    fn runs(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let runs = || self.freshness.runs.iter();
        let help = "Runs of the last 30 days that did not happen when they were due";
        let missed = runs().map(|r| (r.node.as_str(), r.missed as f64));
        gauges(encoder, ("node_missed_runs", help, None), "node", missed)?;
        let help = "When the next run is due";
        let due = runs().filter_map(|r| Some((r.node.as_str(), r.due?.0 as f64 / 1e6)));
        let name = ("node_due_timestamp", help, Some(Unit::Seconds));
        gauges(encoder, name, "node", due)
    }

    /// 1 for each alert there is, 0 for kinds of which there is none.
    fn alerts(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let help = "1 for what is wrong with a consumer or node; 0 with an empty name: nothing of that kind";
        let mut family = encoder.encode_descriptor("alert", help, None, MetricType::Gauge)?;
        let alerts = self.freshness.alerts();
        for kind in KINDS {
            let of_kind: Vec<&str> = alerts
                .iter()
                .filter(|alert| alert.kind == kind)
                .map(|alert| alert.at.as_str())
                .collect();
            let named = if of_kind.is_empty() {
                vec![""]
            } else {
                of_kind
            };
            for at in named {
                let is = i64::from(!at.is_empty());
                family
                    .encode_family(&[("kind", kind), ("at", at)])?
                    .encode_gauge(&is)?;
            }
        }
        Ok(())
    }
}
