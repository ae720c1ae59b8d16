//! `refrain run`

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use refrain_engine::accounts::Gauge;
use refrain_engine::cost::Money;
use refrain_engine::host::Host;
use refrain_engine::request::{Request, Response};
use refrain_engine::run::{RunOptions, RunReport};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::tell_findings;
use crate::progress::{self, Progress};
use crate::show::{self, Sheet, grouped};
use crate::{cpu, metrics, project, socket};

const INTERRUPTED: i32 = 130;
const BAR_EVERY: Duration = Duration::from_millis(200);
/// How long requests under way may take after the run has ended.
const FAREWELL: Duration = Duration::from_secs(2);

/// Run the pipeline, and answer other commands meanwhile
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain run                    until ctrl-C: finishes what is under way, commits, leaves
  refrain run --once             what is there now, then exit
  refrain run --metrics 9464     with figures at http://127.0.0.1:9464/metrics

A second ctrl-C leaves at once; nothing is damaged by it.")]
pub(crate) struct RunArgs {
    /// Process what is there and exit
    #[arg(long)]
    once: bool,
    /// Only this node; may be given several times [default: all]
    #[arg(long = "node", value_name = "NODE")]
    nodes: Vec<String>,
    /// Threads that run plugins [default: one a processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Compute this node, and all that read from it, anew from the log; may be given several times
    #[arg(long = "rebuild", value_name = "NODE")]
    rebuild: Vec<String>,
    /// Serve figures for Prometheus at this address, under /metrics, and /healthz; a port alone is one of 127.0.0.1
    #[arg(long, value_name = "ADDR", value_parser = metrics::parse_address)]
    metrics: Option<std::net::SocketAddr>,
}

pub(crate) fn run(global: &Global, args: &RunArgs) -> Result<(), Failure> {
    let began = now();
    let project = project::find(global)?;
    let metrics = args.metrics.map(metrics::bind).transpose()?;
    let host = Arc::new(Host::open(project.clone())?);
    tell_findings(&host);
    let progress = waiting_rows(&host, args.once);
    let service = Service::start(&host, Some(progress), metrics)?;
    let mut options = RunOptions {
        once: args.once,
        nodes: args.nodes.clone(),
        rebuild: args.rebuild.clone(),
        ..RunOptions::default()
    };
    if let Some(workers) = args.workers {
        options.workers = usize::from(workers);
    }
    let report = host.run(&options, Some(project::cache()));
    service.stop();
    let report = report?;
    if host.declaration().nodes.is_empty() {
        eprintln!("note: the pipeline file declares no node, so there is nothing to run");
    }
    tell_result(
        global,
        &host,
        &report,
        now().saturating_duration_since(began),
    )?;
    let Some((_, first)) = report.stopped.first() else {
        return Ok(());
    };
    let code = refrain_engine::answer::exit_code(first);
    let nodes: Vec<String> = report
        .stopped
        .iter()
        .map(|(node, why)| format!("{node} stopped: {why}"))
        .collect();
    Err(Failure::new(code, nodes.join("\n")))
}

/// What the run has done and what it took: a line for people, and data where data is asked for.
fn tell_result(
    global: &Global,
    host: &Host,
    report: &RunReport,
    took: Duration,
) -> Result<(), Failure> {
    let (rows, commits) = (host.board().rows(), host.board().commits());
    let seconds = took.as_secs_f64();
    let rows_per_second = (rows as f64 / seconds.max(1e-6)) as u64;
    let cpu_seconds = cpu::seconds();
    let prices = &host.declaration().prices;
    let syncs = host.board().gauge().map_or(0, Gauge::syncs);
    let cost = Money::of_cpu((cpu_seconds * 1e9) as u128, prices.core_hour);
    let cost = cost + Money::of(syncs.into(), 1, prices.request);
    eprintln!(
        "{} rows taken in {} commits; {seconds:.2} s, {} rows/s, {cpu_seconds:.2} CPU s, {}",
        grouped(rows),
        grouped(commits),
        grouped(rows_per_second),
        cost.text(&prices.currency),
    );
    match global.output {
        Output::Table => Ok(()),
        Output::Json => {
            let stopped = report
                .stopped
                .iter()
                .map(|(node, why)| serde_json::json!({ "node": node, "why": why.to_string() }));
            show::json(&serde_json::json!({
                "rows": rows,
                "commits": commits,
                "cut": report.cut.0,
                "duration_s": seconds,
                "rows_per_s": rows_per_second,
                "cpu_s": cpu_seconds,
                "cost": cost.to_string(),
                "currency": prices.currency,
                "stopped": stopped.collect::<Vec<_>>(),
            }))
        }
        Output::Csv => {
            let names = [
                "rows",
                "commits",
                "cut",
                "duration_s",
                "rows_per_s",
                "cpu_s",
                "cost",
            ];
            let mut sheet = Sheet::new(&names);
            sheet.push(vec![
                Cell::count(rows),
                Cell::count(commits),
                Cell::count(report.cut.0),
                Cell::Float(seconds),
                Cell::count(rows_per_second),
                Cell::Float(cpu_seconds),
                Cell::text(cost.to_string()),
            ]);
            sheet.print(global.output)
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "tells people how long it took; decides nothing"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// The thread that waits: for commands on the socket, for signals, for the time to move the bar, which goes with it.
pub(crate) struct Service {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
    socket: std::path::PathBuf,
}

impl Service {
    pub(crate) fn start(
        host: &Arc<Host>,
        progress: Option<Progress>,
        metrics: Option<std::net::TcpListener>,
    ) -> Result<Service, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let socket = host.project().socket();
        let (signals, listener) = {
            let _inside = runtime.enter();
            // Caught before anyone can see that the host is there.
            (Signals::catch(), socket::bind(&socket)?)
        };
        let metrics = metrics.map(|listener| {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)
        });
        let metrics = metrics.transpose()?;
        if let Some(listener) = &metrics {
            eprintln!("figures at http://{}/metrics", listener.local_addr()?);
        }
        let (end, ended) = oneshot::channel();
        let host = Arc::clone(host);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::spawn(socket::serve(listener, Arc::clone(&host)));
                if let Some(listener) = metrics {
                    tokio::spawn(metrics::serve(listener, Arc::clone(&host)));
                }
                tokio::spawn(watch_signals(signals, Arc::clone(&host)));
                if let Some(progress) = progress.filter(|p| !p.is_hidden()) {
                    tokio::spawn(watch_progress(Arc::clone(&host), progress));
                }
                // An error means that the run is over as well.
                let _ = ended.await;
            });
            runtime.shutdown_timeout(FAREWELL);
        });
        Ok(Service {
            end,
            thread,
            socket,
        })
    }

    #[expect(clippy::disallowed_methods, reason = "a socket is no stored data")]
    pub(crate) fn stop(self) {
        // Either may be gone already; the run is over in any case.
        let _ = std::fs::remove_file(&self.socket);
        let _ = self.end.send(());
        let _ = self.thread.join();
    }
}

/// What asks a host to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on they are kept for [`watch_signals`]; none where they cannot be.
    fn catch() -> Option<Signals> {
        let terminate = signal(SignalKind::terminate()).ok()?;
        let interrupt = signal(SignalKind::interrupt()).ok()?;
        Some(Signals {
            terminate,
            interrupt,
        })
    }
}

/// The first signal asks to finish, the second leaves.
async fn watch_signals(signals: Option<Signals>, host: Arc<Host>) {
    let Some(mut signals) = signals else {
        tracing::warn!("signals cannot be caught; ctrl-C ends at once");
        return;
    };
    for count in 0.. {
        tokio::select! {
            _ = signals.terminate.recv() => {}
            _ = signals.interrupt.recv() => {}
        }
        if count > 0 {
            std::process::exit(INTERRUPTED);
        }
        eprintln!(
            "stopping: what is under way is finished and committed; once more to leave at once"
        );
        host.stopper().stop();
    }
}

/// A bar over the rows that wait, or a count of those that are taken where there is no end.
fn waiting_rows(host: &Host, once: bool) -> Progress {
    if !once || !progress::is_seen() {
        return Progress::endless_rows();
    }
    let waiting = match host.handle(Request::Status) {
        Response::Status(status) => status.nodes.iter().map(|n| n.lag_rows).sum(),
        _ => 0,
    };
    Progress::rows(waiting)
}

async fn watch_progress(host: Arc<Host>, progress: Progress) {
    loop {
        tokio::time::sleep(BAR_EVERY).await;
        progress.at(host.board().rows());
    }
}
