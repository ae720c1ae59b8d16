//! Figures for Prometheus over HTTP: `/metrics` in the text format of OpenMetrics, `/healthz` judged by whether nodes get on.

mod accounts;
mod audits;

use std::convert::Infallible;
use std::fmt::Error;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request as HttpRequest, Response as HttpResponse, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use refrain_engine::histogram::Latency;
use refrain_engine::host::Host;
use refrain_engine::request::{HostStatus, Request, Response, TopicStatus};
use refrain_engine::status::{CacheStatus, NodeStatus, Phase};
use refrain_log::ids::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use self::accounts::Accounts;
use crate::failure::Failure;

/// Connections served at once.
const CONNECTIONS_MAX: usize = 32;
/// How long a client may take to say what it wants.
const HEADER_PATIENCE: Duration = Duration::from_secs(10);
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `HOST:PORT`, or a port of this machine alone.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse();
    match port {
        Ok(port) => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        Err(_) => text
            .parse()
            .map_err(|_| "write an address such as 127.0.0.1:9464, or a port".into()),
    }
}

/// Takes the address, before anything else is begun.
pub(crate) fn bind(address: SocketAddr) -> Result<StdListener, Failure> {
    let listener = StdListener::bind(address).map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => Failure::refused(format!(
            "metrics: {address} is taken by another process; choose another address with --metrics, or 0 for any free port"
        )),
        _ => Failure::refused(format!("metrics: {address}: {e}")),
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, host: Arc<Host>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("a connection for metrics was not accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let host = Arc::clone(&host);
        tokio::spawn(async move {
            let answer = service_fn(|request| answer(Arc::clone(&host), request));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_PATIENCE)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), answer);
            if let Err(error) = served.await {
                tracing::debug!("a connection for metrics ended: {error}");
            }
            drop(place);
        });
    }
}

async fn answer(
    host: Arc<Host>,
    request: HttpRequest<Incoming>,
) -> Result<HttpResponse<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n"));
    }
    let answered = tokio::task::spawn_blocking(move || match path.as_str() {
        "/metrics" => metrics(&host),
        "/healthz" => health(&host),
        _ => plain(
            StatusCode::NOT_FOUND,
            "there are /metrics and /healthz here\n",
        ),
    });
    let failed = |_| plain(StatusCode::INTERNAL_SERVER_ERROR, "the request failed\n");
    Ok(answered.await.unwrap_or_else(failed))
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> HttpResponse<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", text)
}

fn typed(status: StatusCode, kind: &str, text: impl Into<Bytes>) -> HttpResponse<Full<Bytes>> {
    HttpResponse::builder()
        .status(status)
        .header("content-type", kind)
        .body(Full::new(text.into()))
        .expect("the parts are constants")
}

fn status(host: &Host) -> Option<HostStatus> {
    match host.handle(Request::Status) {
        Response::Status(status) => Some(status),
        _ => None,
    }
}

fn health(host: &Host) -> HttpResponse<Full<Bytes>> {
    let Some(status) = status(host) else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "no status\n");
    };
    let ill = illnesses(&status);
    match ill.is_empty() {
        true => plain(StatusCode::OK, "ok\n"),
        false => plain(StatusCode::SERVICE_UNAVAILABLE, ill.join("\n") + "\n"),
    }
}

/// What keeps the host from being healthy, a line each.
fn illnesses(status: &HostStatus) -> Vec<String> {
    let ill = |n: &&NodeStatus| {
        matches!(
            n.phase,
            Phase::Stalled(_) | Phase::Stopped(_) | Phase::Waiting(_)
        )
    };
    let nodes = status.nodes.iter().filter(ill);
    let mut told: Vec<String> = nodes
        .map(|n| format!("node {} {}", n.name, n.phase))
        .collect();
    let failed = status.audits.iter().filter(|audit| audit.is_failed());
    told.extend(failed.map(|audit| format!("audit of view {}: {}", audit.view, audit.what)));
    if !status.running {
        told.push("the run is starting or ending".into());
    }
    told
}

fn metrics(host: &Host) -> HttpResponse<Full<Bytes>> {
    let (Some(status), Response::Topics(topics)) = (status(host), host.handle(Request::Topics))
    else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "no status\n");
    };
    let snapshot = Snapshot {
        status,
        topics,
        accounts: Accounts::of(host),
        cpu_seconds: crate::cpu::seconds(),
        now: host.log().now(),
    };
    let mut registry = Registry::with_prefix("refrain");
    registry.register_collector(Box::new(snapshot));
    let mut out = String::new();
    match text::encode(&mut out, &registry) {
        Ok(()) => typed(StatusCode::OK, OPEN_METRICS, out),
        Err(_) => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the figures cannot be written\n",
        ),
    }
}

/// All figures of one moment.
#[derive(Debug)]
struct Snapshot {
    status: HostStatus,
    topics: Vec<TopicStatus>,
    accounts: Accounts,
    cpu_seconds: f64,
    now: Timestamp,
}

/// Name, help, and what is counted of a cache.
type CacheCount = (&'static str, &'static str, fn(&CacheStatus) -> u64);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        self.host(&mut encoder)?;
        self.positions(&mut encoder)?;
        self.work(&mut encoder)?;
        self.phases(&mut encoder)?;
        self.log(&mut encoder)?;
        audits::encode(&self.status.audits, self.now, &mut encoder)?;
        self.accounts.encode(&mut encoder)
    }
}

impl Snapshot {
    fn host(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let mut one = |name: &str, help: &str, unit: Option<&Unit>, value: f64| {
            encoder
                .encode_descriptor(name, help, unit, MetricType::Gauge)?
                .encode_gauge(&value)
        };
        one(
            "running",
            "1 while a run is in progress",
            None,
            f64::from(u8::from(self.status.running)),
        )?;
        one(
            "log_durable_sequence",
            "Newest durable sequence of the log",
            None,
            self.status.durable.0 as f64,
        )?;
        let damage = self
            .status
            .findings
            .iter()
            .filter(|f| f.acknowledged)
            .count();
        one(
            "findings_damage",
            "Findings of damage to acknowledged data at the last opening",
            None,
            damage as f64,
        )?;
        one(
            "shut_places",
            "Partitions, and the commit log, that take no writes until they are reopened",
            None,
            self.status.shut.len() as f64,
        )?;
        one(
            "state",
            "Bytes of state and views held",
            Some(&Unit::Bytes),
            self.status.state_bytes as f64,
        )?;
        encoder
            .encode_descriptor(
                "process_cpu",
                "CPU time of the process",
                Some(&Unit::Seconds),
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, f64, f64>(&self.cpu_seconds, None)
    }

    fn positions(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let mut each =
            |name, help, unit: Option<Unit>, value: &dyn Fn(&NodeStatus) -> Option<f64>| {
                let nodes = self.status.nodes.iter();
                let values = nodes.filter_map(|n| Some((n.name.as_str(), value(n)?)));
                gauges(encoder, (name, help, unit), "node", values)
            };
        let seconds = |us: i64| us as f64 / 1e6;
        each(
            "node_lag",
            "Rows of the input that the last commit does not cover",
            rows(),
            &|n| Some(n.lag_rows as f64),
        )?;
        each(
            "node_lag_event",
            "How far the newest event time of the input is ahead of what is committed",
            Some(Unit::Seconds),
            &|n| n.lag_event_us.map(|us| us as f64 / 1e6),
        )?;
        each(
            "node_throughput_rows_per_second",
            "Rows taken a second over the last 10 seconds",
            None,
            &|n| Some(n.rows_per_second as f64),
        )?;
        each("node_cut_sequence", "Cut of the last commit", None, &|n| {
            Some(n.cut.0 as f64)
        })?;
        each(
            "node_frontier_sequence",
            "How far the node has got",
            None,
            &|n| Some(n.frontier.0 as f64),
        )?;
        each(
            "node_watermark_timestamp",
            "The node's watermark",
            Some(Unit::Seconds),
            &|n| n.watermark.map(|t| seconds(t.0)),
        )?;
        each(
            "node_last_commit_timestamp",
            "When the last commit was made",
            Some(Unit::Seconds),
            &|n| n.committed_at.map(|t| seconds(t.0)),
        )?;
        each(
            "node_state",
            "Bytes of the node's state",
            Some(Unit::Bytes),
            &|n| Some(n.state_bytes as f64),
        )?;
        each(
            "node_view",
            "Bytes of the node's view",
            Some(Unit::Bytes),
            &|n| Some(n.view_bytes as f64),
        )
    }

    fn work(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        for (name, count, help) in [
            ("node_taken", "rows", "Rows taken since the node began"),
            ("node_late", "late", "Rows that came too late"),
            ("node_rejected", "rejected", "Rows that the plugin refused"),
            ("node_out", "out", "Rows written, or windows closed"),
        ] {
            let unit = rows();
            let mut family =
                encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
            for node in &self.status.nodes {
                let value = node.counts.get(count).copied().unwrap_or(0);
                family
                    .encode_family(&[("node", node.name.as_str())])?
                    .encode_counter::<NoLabelSet, u64, u64>(&value, None)?;
            }
        }
        self.caches(encoder)?;
        let help = "From the beginning of a commit to its end, in this run";
        self.histogram(encoder, "node_commit", help, |node| &node.commit)?;
        let help =
            "From the moment when rows were durable to the commit that shows them, in this run";
        self.histogram(encoder, "node_visible", help, |node| &node.visible)
    }

    /// Of nodes whose states are on the disk.
    fn caches(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let counts: [CacheCount; 3] = [
            (
                "node_cache_hits",
                "Times that a row's state was in memory, in this run",
                |c| c.hits,
            ),
            (
                "node_cache_fetched",
                "States read from the store, in this run",
                |c| c.fetched,
            ),
            (
                "node_cache_evicted",
                "States that left memory, in this run",
                |c| c.evicted,
            ),
        ];
        for (name, help, of) in counts {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for node in &self.status.nodes {
                if let Some(cache) = &node.cache {
                    family
                        .encode_family(&[("node", node.name.as_str())])?
                        .encode_counter::<NoLabelSet, u64, u64>(&of(cache), None)?;
                }
            }
        }
        Ok(())
    }

    fn histogram(
        &self,
        encoder: &mut DescriptorEncoder,
        name: &str,
        help: &str,
        of: fn(&NodeStatus) -> &Latency,
    ) -> Result<(), Error> {
        let unit = Unit::Seconds;
        let mut family =
            encoder.encode_descriptor(name, help, Some(&unit), MetricType::Histogram)?;
        for node in &self.status.nodes {
            let latency = of(node);
            let told: u64 = latency.octaves.iter().map(|(_, count)| count).sum();
            let ends = latency
                .octaves
                .iter()
                .map(|(us, count)| (*us as f64 / 1e6, *count));
            let rest = (f64::MAX, latency.count - told);
            let buckets: Vec<(f64, u64)> = ends.chain(std::iter::once(rest)).collect();
            family
                .encode_family(&[("node", node.name.as_str())])?
                .encode_histogram::<NoLabelSet>(
                    latency.sum_us as f64 / 1e6,
                    latency.count,
                    &buckets,
                    None,
                )?;
        }
        Ok(())
    }

    /// 1 for the phase that a node is in, 0 for the others.
    fn phases(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let help = "1 for what the node is at, 0 for the rest";
        let mut family = encoder.encode_descriptor("node_phase", help, None, MetricType::Gauge)?;
        for node in &self.status.nodes {
            for phase in PHASES {
                let is = i64::from(name(&node.phase) == phase);
                family
                    .encode_family(&[("node", node.name.as_str()), ("phase", phase)])?
                    .encode_gauge(&is)?;
            }
        }
        Ok(())
    }

    fn log(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let rows_of = |t: &TopicStatus| t.partitions.iter().map(|(a, b)| b.0 - a.0).sum::<u64>();
        let topics = || self.topics.iter();
        let values = topics().map(|t| (t.name.as_str(), rows_of(t) as f64));
        gauges(
            encoder,
            ("topic", "Rows that a topic holds", rows()),
            "topic",
            values,
        )?;
        let values = topics().map(|t| (t.name.as_str(), t.bytes as f64));
        gauges(
            encoder,
            ("topic", "Bytes of a topic's frames", Some(Unit::Bytes)),
            "topic",
            values,
        )
    }
}

const PHASES: [&str; 6] = [
    "resting", "running", "stalled", "done", "waiting", "stopped",
];

fn name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Resting => PHASES[0],
        Phase::Running => PHASES[1],
        Phase::Stalled(_) => PHASES[2],
        Phase::Done => PHASES[3],
        Phase::Waiting(_) => PHASES[4],
        Phase::Stopped(_) => PHASES[5],
    }
}

fn rows() -> Option<Unit> {
    Some(Unit::Other("rows".into()))
}

/// One gauge for many of a kind.
fn gauges<'a, V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder,
    (name, help, unit): (&str, &str, Option<Unit>),
    label: &str,
    values: impl Iterator<Item = (&'a str, V)>,
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
    for (of, value) in values {
        family.encode_family(&[(label, of)])?.encode_gauge(&value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_a_port() {
        assert_eq!(parse_address("9464").unwrap().to_string(), "127.0.0.1:9464");
        assert_eq!(parse_address(":0").unwrap().port(), 0);
        assert_eq!(
            parse_address("0.0.0.0:80").unwrap().to_string(),
            "0.0.0.0:80"
        );
        assert!(parse_address("[::1]:80").unwrap().is_ipv6());
        assert!(parse_address("nowhere").is_err() && parse_address("99999").is_err());
    }

    #[test]
    fn a_taken_address_is_told() {
        let listener = bind(parse_address("0").unwrap()).unwrap();
        let failure = bind(listener.local_addr().unwrap()).unwrap_err();
        assert!(
            failure.message.contains("taken by another process"),
            "{}",
            failure.message
        );
    }
}
