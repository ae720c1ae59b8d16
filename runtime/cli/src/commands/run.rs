//! `refrain run`

use std::io::IsTerminal;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use refrain_engine::host::Host;
use refrain_engine::request::{Request, Response};
use refrain_engine::run::RunOptions;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::args::Global;
use crate::failure::Failure;
use crate::link::tell_findings;
use crate::project;
use crate::show::grouped;
use crate::socket;

const INTERRUPTED: i32 = 130;
const BAR_EVERY: Duration = Duration::from_millis(200);
/// How long requests under way may take after the run has ended.
const FAREWELL: Duration = Duration::from_secs(2);

/// Run the pipeline, and answer other commands meanwhile
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain run                    until ctrl-C: finishes what is under way, commits, leaves
  refrain run --once             what is there now, then exit

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
}

pub(crate) fn run(global: &Global, args: &RunArgs) -> Result<(), Failure> {
    let project = project::find(global)?;
    let host = Arc::new(Host::open(project.clone())?);
    tell_findings(&host);
    let service = Service::start(&host, args.once)?;
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
    eprintln!(
        "{} rows taken in {} commits",
        grouped(host.board().rows()),
        grouped(host.board().commits())
    );
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

/// The thread that waits: for commands on the socket, for signals, for the time to move the bar.
struct Service {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
    socket: std::path::PathBuf,
}

impl Service {
    fn start(host: &Arc<Host>, once: bool) -> Result<Service, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let socket = host.project().socket();
        let listener = {
            let _inside = runtime.enter();
            socket::bind(&socket)?
        };
        let (end, ended) = oneshot::channel();
        let host = Arc::clone(host);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::spawn(socket::serve(listener, Arc::clone(&host)));
                tokio::spawn(watch_signals(Arc::clone(&host)));
                tokio::spawn(watch_progress(Arc::clone(&host), once));
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
    fn stop(self) {
        // Either may be gone already; the run is over in any case.
        let _ = std::fs::remove_file(&self.socket);
        let _ = self.end.send(());
        let _ = self.thread.join();
    }
}

/// The first signal asks to finish, the second leaves.
async fn watch_signals(host: Arc<Host>) {
    let streams = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut terminate), Ok(mut interrupt)) = streams else {
        tracing::warn!("signals cannot be caught; ctrl-C ends at once");
        return;
    };
    for count in 0.. {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
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

/// A bar over the rows that wait, on a terminal.
async fn watch_progress(host: Arc<Host>, once: bool) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let rows: u64 = match host.handle(Request::Status) {
        Response::Status(status) => status.nodes.iter().map(|n| n.lag_rows).sum(),
        _ => 0,
    };
    let (bar, template) = match once {
        true => (
            ProgressBar::new(rows),
            "{bar:40} {human_pos}/{human_len} rows {per_sec} {eta}",
        ),
        false => (
            ProgressBar::new_spinner(),
            "{spinner} {human_pos} rows {per_sec}",
        ),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    loop {
        tokio::time::sleep(BAR_EVERY).await;
        bar.set_position(host.board().rows());
    }
}
