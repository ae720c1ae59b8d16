//! `refrain audit`

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use refrain_engine::host::Project;
use refrain_engine::pipeline::units::duration_us;
use refrain_engine::receipt::audit::{Audit, Round, Tools};
use refrain_engine::receipt::audits::{Answer, Request, Verdict};
use refrain_engine::receipt::claim::{Claim, ClaimOrder};
use refrain_engine::receipt::private::Pace;
use refrain_engine::receipt::sample::Sample;
use refrain_engine::request::{Request as Ask, Response};
use refrain_engine::workers::step_back;
use tokio::signal::unix::{SignalKind, signal};

use super::means::MeansArgs;
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::project;
use crate::show::{Sheet, grouped, line};
use crate::socket::Client;

/// A second signal leaves at once.
const INTERRUPTED: i32 = 130;
/// The data folder is somebody else's at the moment.
const LOCKED: u8 = 6;
/// The host went away while it was asked.
const GONE: u8 = 1;

/// Compute a live view again from the log, on and on, and compare it with what it says
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain audit delays                   until ctrl-C, or until something is wrong
  refrain audit delays --once            what is there now, then exit
  refrain audit delays --sample 5%       a twentieth of the keys: of a fold alone
  refrain audit delays --rate 50000 --every 10m

Reads the log and the components and executes them beside the running host, with the least priority: what came since the last
round, at a commit of the view, and compares rows, digest and watermark. What was found is told to the host, which keeps it:
`refrain status`, refrain_audit_ok and /healthz show a failure until an audit finds all equal again. Exit code 0 at ctrl-C, 3
when log or view differ, 5 when rows of the log are damaged, 2 when it cannot be decided (rows or a component are not there).")]
pub(crate) struct AuditArgs {
    /// Name of the view, or of its node
    view: String,
    /// This version [default: the one that is live, also when that is another one later]
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    /// Only so many of the keys, chosen by their hash
    #[arg(long, value_name = "N%", value_parser = parse_sample)]
    sample: Option<Sample>,
    /// One round, then exit
    #[arg(long)]
    once: bool,
    /// Time between the end of a round and the next one
    #[arg(long, value_name = "D", default_value = "1m", value_parser = parse_duration)]
    every: Duration,
    /// Begin anew with the first row after so long, so that rows of the log that changed behind an audit are found
    #[arg(long, value_name = "D", default_value = "1d", value_parser = parse_duration)]
    afresh: Duration,
    /// Rows a second that a node takes at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    #[command(flatten)]
    means: MeansArgs,
}

fn parse_sample(text: &str) -> Result<Sample, String> {
    let help = "write a share of the keys above 0% and at most 100%, such as 5% or 0.1%";
    let number = text
        .strip_suffix('%')
        .and_then(|n| n.trim().parse::<f64>().ok());
    let ppm = number.map(|percent| (percent * 10_000.0).round());
    let ppm = ppm.filter(|ppm| (1.0..=1_000_000.0).contains(ppm));
    ppm.and_then(|ppm| Sample::of_ppm(ppm as u32))
        .ok_or_else(|| help.into())
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let us = duration_us(text).and_then(|us| u64::try_from(us).ok());
    us.map(Duration::from_micros)
        .ok_or_else(|| "write a time such as 10s, 1m, 2h or 1d".into())
}

pub(crate) fn run(global: &Global, args: &AuditArgs) -> Result<(), Failure> {
    // Before there are threads: they all step back with this one.
    step_back();
    let project = project::find(global)?;
    let pace = Arc::new(Pace::new(args.means.workers.unwrap_or(1).max(1), args.rate));
    let signals = watch_signals(Arc::clone(&pace))?;
    let mut audit = Audit::new(Tools {
        root: project.root().to_owned(),
        components: args.means.given()?,
        cache: Some(project::cache()),
        scratch: args.means.scratch(),
        pace: Arc::clone(&pace),
        afresh: args.afresh,
    });
    let mut looked = false;
    loop {
        // What nobody runs does not change: the data folder is left to others.
        if !looked || Client::connect(&project.socket()).is_ok() {
            let way: Way = if looked { Link::running } else { Link::open };
            match round(global, args, (&project, way), &mut audit) {
                Ok(over) if over || args.once => return Ok(()),
                Err(failure) if !args.once && looked && passes(&failure) => {
                    eprintln!("note: {}", failure.message);
                }
                Ok(_) => {}
                Err(failure) => return Err(failure),
            }
            looked = true;
        }
        match signals.recv_timeout(args.every) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return Ok(()),
        }
    }
}

/// To the owner of the data folder: at first this process may become it for a moment, later only a running host is asked, so
/// that one that is started again finds the folder free.
type Way = fn(&Project) -> Result<Link, Failure>;

/// Whether a host that ends or begins is the reason.
fn passes(failure: &Failure) -> bool {
    matches!(failure.code, GONE | LOCKED)
}

/// One round; whether it was told to stop.
fn round(
    global: &Global,
    args: &AuditArgs,
    (project, way): (&Project, Way),
    audit: &mut Audit,
) -> Result<bool, Failure> {
    let claim = claim(args, way(project)?)?;
    if args.sample.is_some() && claim.said.sample().is_none() {
        eprintln!(
            "note: --sample is of folds alone; all keys of {} are audited",
            claim.view
        );
    }
    let Some(round) = audit.round(&claim) else {
        return Ok(true);
    };
    let request = Request::Report(Box::new(round.report.clone()));
    // What is wrong is noted in any case, also when the host has ended meanwhile.
    let way = if round.code == 0 { way } else { Link::open };
    let noted = way(project).and_then(|link| ask(link, request));
    tell(global, &round)?;
    if let Err(failure) = noted {
        eprintln!("note: the host was not told: {}", failure.message);
        if round.code == 0 {
            return Err(failure);
        }
    }
    match round.report.verdict {
        Verdict::Equal => Ok(false),
        _ => Err(Failure::new(round.code, verdict(&round))),
    }
}

fn verdict(round: &Round) -> String {
    match round.report.verdict {
        Verdict::Undecided => format!("the audit cannot be decided: {}", round.report.what),
        _ => format!("the audit failed: {}", round.report.what),
    }
}

fn claim(args: &AuditArgs, link: Link) -> Result<Claim, Failure> {
    let order = ClaimOrder {
        name: args.view.clone(),
        version: args.version,
        sample: args.sample,
    };
    match ask(link, Request::Claim(order))? {
        Answer::Claim(claim) => Ok(*claim),
        Answer::Noted(_) => Err(unexpected()),
    }
}

/// Asks the owner of the data folder, and lets go of it.
fn ask(mut link: Link, request: Request) -> Result<Answer, Failure> {
    match link.ask(Ask::Audits(request))? {
        Response::Audits(answer) => Ok(*answer),
        _ => Err(unexpected()),
    }
}

/// A line a round.
fn tell(global: &Global, round: &Round) -> Result<(), Failure> {
    let report = &round.report;
    let verdict = serde_json::to_value(report.verdict).unwrap_or_default();
    if global.output == Output::Json {
        return line(serde_json::json!({
            "view": report.view,
            "version": report.version,
            "cut": report.cut.0,
            "verdict": verdict,
            "what": report.what,
            "sample_ppm": report.sample.map(|sample| sample.ppm),
            "rows_taken": round.rows_taken,
            "anew": round.anew,
        }));
    }
    let mut sheet = Sheet::new(&["view", "version", "cut", "verdict", "rows_taken"]);
    sheet.push(vec![
        Cell::text(&report.view),
        Cell::count(report.version.into()),
        Cell::count(report.cut.0),
        Cell::text(verdict.as_str().unwrap_or_default()),
        Cell::count(round.rows_taken),
    ]);
    if global.output == Output::Csv {
        return sheet.print(global.output);
    }
    if report.verdict == Verdict::Equal {
        let taken = grouped(round.rows_taken);
        eprintln!("equal: {}; {taken} rows executed", report.what);
    }
    if let Some(rows) = &round.rows {
        eprintln!("rows that came out from there on:");
        eprint!("{}", Sheet::of(&rows.rows).text());
    }
    Ok(())
}

/// Ends the audit at the first signal, the process at the second. The receiver is told, too.
fn watch_signals(pace: Arc<Pace>) -> Result<Receiver<()>, Failure> {
    let (told, signals) = channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let streams = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        )
    };
    std::thread::spawn(move || {
        let (mut terminate, mut interrupt) = streams;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if pace.is_stopped() {
                    std::process::exit(INTERRUPTED);
                }
                pace.stop();
                // The audit may be over.
                let _ = told.send(());
            }
        });
    });
    Ok(signals)
}
