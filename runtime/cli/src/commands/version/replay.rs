//! `refrain replay`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use refrain_engine::host::Host;
use refrain_engine::ingest;
use refrain_engine::request::From;
use refrain_engine::run::RunOptions;
use refrain_engine::status::Phase;
use refrain_engine::versions::VersionName;
use refrain_engine::versions::request::{
    self as versions, Answer, Beginning, Estimate, ReplayOrder, Replaying, VersionList,
    VersionStatus,
};
use refrain_log::ids::{Offset, Timestamp};

use super::{ask, list_of, print_json};
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::progress::Progress;
use crate::project;
use crate::show::{Sheet, grouped};

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Build a new version of a view from the log, beside the live one
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain replay delays                                  as the pipeline file has the node now
  refrain replay delays --set delayed_above=30           with another option
  refrain replay delays --plugin new.wasm --rate 200000  with another component, gently
  refrain replay clean --downstream                      and everything that reads from it
  refrain replay total --from base                       with the results of a savepoint, and what came after it
  refrain replay delays --from 2001-06-01                of the log from there on

The live version goes on being served and run. Beside a running host the replay goes on in it, also when this command is
interrupted; else this command does the work. Interrupted or killed, the same command goes on where it stood. Then:
`refrain validate`, `refrain cutover`.")]
pub(crate) struct ReplayArgs {
    /// Name of the node, or of its view or topic
    node: String,
    /// Begin there: earliest, an offset (in each partition of what the node reads), an event time (ISO
    /// 8601; of a topic without one, the time of appending), or with what a savepoint has. What
    /// depends on the node begins at the same cut of the log
    #[arg(long, default_value = "earliest", value_name = "earliest|OFFSET|TIME|SAVEPOINT", value_parser = parse_from, allow_negative_numbers = true)]
    from: Beginning,
    /// Another component: a .wasm file, or a plugin of the project [default: the one of the pipeline file]
    #[arg(long, value_name = "FILE|NAME")]
    plugin: Option<String>,
    /// An option of the plugin, other than the pipeline file has it; may be given several times
    #[arg(long, value_name = "OPTION=VALUE", value_parser = parse_set)]
    set: Vec<(String, String)>,
    /// New versions of everything that depends on the node as well
    #[arg(long)]
    downstream: bool,
    /// At most so many rows a second
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Return when the replay has begun; needs a running host
    #[arg(long)]
    detach: bool,
}

/// What is neither a number nor a time and begins with a letter is the name of a savepoint; after `savepoint:` anything is.
fn parse_from(text: &str) -> Result<Beginning, String> {
    if let Some(name) = text.strip_prefix("savepoint:") {
        return Ok(Beginning::Savepoint(name.to_owned()));
    }
    if text == "earliest" {
        return Ok(Beginning::Log(From::Earliest));
    }
    if let Ok(offset) = text.parse() {
        return Ok(Beginning::Log(From::Offset(Offset(offset))));
    }
    if let Some(us) = ingest::parse_timestamp(text) {
        return Ok(Beginning::Log(From::Time(Timestamp(us))));
    }
    // What begins like a number or a time is meant as one.
    match text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        true => Ok(Beginning::Savepoint(text.to_owned())),
        false => Err(
            "write earliest, an offset (1000), a time (2001-01-31, 2001-01-31T12:00:00Z), the name of a savepoint, or \
             savepoint:NAME"
                .into(),
        ),
    }
}

fn parse_set(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write OPTION=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

pub(crate) fn run(global: &Global, args: &ReplayArgs) -> Result<(), Failure> {
    let project = project::find(global)?;
    let order = order(args, &project)?;
    let mut link = Link::open(&project)?;
    match ask(&mut link, versions::Request::Estimate(order.clone()))? {
        Answer::Estimate(estimate) => tell_estimate(&estimate),
        _ => return Err(unexpected()),
    }
    let Answer::Replaying(replaying) = ask(&mut link, versions::Request::Replay(order))? else {
        return Err(unexpected());
    };
    tell_begun(&replaying);
    match link {
        Link::Own(host) if !replaying.to_run.is_empty() => own(Arc::new(*host), args, &replaying)?,
        Link::Own(_) => {}
        Link::Other(_) if args.detach => return print(global, &replaying),
        Link::Other(_) => follow(&mut link, &replaying)?,
    }
    print(global, &replaying)
}

fn order(
    args: &ReplayArgs,
    project: &refrain_engine::host::Project,
) -> Result<ReplayOrder, Failure> {
    let component = args.plugin.as_ref().map(|plugin| -> Result<_, Failure> {
        let bytes = match Path::new(plugin).extension() {
            Some(_) => read(&PathBuf::from(plugin))?,
            None => project.read_component(plugin)?,
        };
        Ok((plugin.clone(), bytes))
    });
    Ok(ReplayOrder {
        name: args.node.clone(),
        from: args.from.clone(),
        component: component.transpose()?,
        set: args.set.clone(),
        downstream: args.downstream,
        rate: args.rate,
    })
}

#[expect(clippy::disallowed_methods, reason = "the user's own file")]
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| Failure::refused(format!("{}: {e}", path.display())))
}

fn tell_estimate(estimate: &Estimate) {
    let time = match estimate.seconds {
        Some(seconds) => format!(", about {}", span(seconds)),
        None => String::new(),
    };
    eprintln!(
        "to take: {} rows, {} bytes of the columns that are read{time}",
        grouped(estimate.rows),
        grouped(estimate.bytes)
    );
    let Some(bill) = &estimate.bill else {
        return;
    };
    let sheet = match bill.stated {
        true => "",
        false => " (by default prices; state yours in [prices])",
    };
    eprintln!(
        "cost: {} to compute and {} to read; {} a month while {} bytes are kept twice{sheet}",
        bill.compute.text(&bill.currency),
        bill.read.text(&bill.currency),
        bill.keep_month.text(&bill.currency),
        grouped(estimate.keep_bytes)
    );
}

/// A time as people say it.
pub(super) fn span(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.1} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

fn tell_begun(replaying: &Replaying) {
    let nodes = replaying.nodes.join(", ");
    match replaying.resumed {
        true => eprintln!("{nodes}: goes on where it stood"),
        false => eprintln!("{nodes}: begun"),
    }
    if replaying.same {
        eprintln!("note: nothing differs from the live version; the results will be the same");
    }
    for note in &replaying.notes {
        eprintln!("note: {note}");
    }
}

/// Does the work in this process.
fn own(host: Arc<Host>, args: &ReplayArgs, replaying: &Replaying) -> Result<(), Failure> {
    if args.detach {
        eprintln!("no host is running, so the replay is done here");
    }
    let service = crate::commands::run::Service::start(&host, None, None)?;
    let options = RunOptions {
        once: true,
        nodes: replaying.to_run.clone(),
        ..RunOptions::default()
    };
    let report = std::thread::scope(|scope| {
        let work = scope.spawn(|| host.run(&options, Some(project::cache())));
        watch(&host, replaying, &|| work.is_finished());
        work.join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    service.stop();
    let report = report?;
    if let Some((node, error)) = report.stopped.first() {
        let code = refrain_engine::answer::exit_code(error);
        return Err(Failure::new(code, format!("{node} stopped: {error}")));
    }
    Ok(())
}

/// Shows how far the work in this process has got, on a terminal, until it is over.
fn watch(host: &Host, replaying: &Replaying, is_over: &dyn Fn() -> bool) {
    let progress = Progress::rows(0);
    let mut status = |name: &str| {
        let version = VersionName::parse(name);
        find(host.list_versions(&version.name)?, &version)
    };
    while !progress.is_hidden() && !is_over() {
        // What stops a node is said when the work is over.
        let _ = look(replaying, &progress, &mut status);
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Looks at the running host until the candidates have got to the goal.
fn follow(link: &mut Link, replaying: &Replaying) -> Result<(), Failure> {
    let progress = Progress::rows(0);
    let mut status = |name: &str| {
        let version = VersionName::parse(name);
        find(list_of(link, &version.name)?, &version)
    };
    loop {
        if look(replaying, &progress, &mut status)? {
            return Ok(());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Shows how far the candidates have got; whether all are at the goal.
fn look(
    replaying: &Replaying,
    progress: &Progress,
    status: &mut dyn FnMut(&str) -> Result<VersionStatus, Failure>,
) -> Result<bool, Failure> {
    let (mut left, mut taken, mut behind) = (0, 0, false);
    for name in &replaying.nodes {
        let version = status(name)?;
        if let Phase::Stopped(why) = &version.phase {
            return Err(Failure::new(4, format!("{name} stopped: {why}")));
        }
        left += version.lag_rows;
        taken += version.rows_taken;
        behind |= version.lag_rows > 0 && version.cut < replaying.goal;
    }
    progress.at_of(taken, taken + left);
    Ok(!behind)
}

fn find(list: VersionList, version: &VersionName) -> Result<VersionStatus, Failure> {
    let name = version.to_string();
    let mut found = list
        .versions
        .into_iter()
        .filter(|v| v.version == version.number);
    found
        .next()
        .ok_or_else(|| Failure::refused(format!("{name} was retired meanwhile")))
}

fn print(global: &Global, replaying: &Replaying) -> Result<(), Failure> {
    if global.output == Output::Json {
        return print_json(replaying);
    }
    let mut deed = Sheet::new(&["version", "cut", "resumed", "same"]);
    for version in &replaying.nodes {
        deed.push(vec![
            Cell::text(version),
            Cell::count(replaying.goal.0),
            Cell::Bool(replaying.resumed),
            Cell::Bool(replaying.same),
        ]);
    }
    deed.print_deed(global.output)?;
    eprintln!(
        "{}: built up to cut {}",
        replaying.nodes.join(", "),
        replaying.goal
    );
    // By its number: one that was begun before, and goes on, need not be the newest.
    if let Some(first) = replaying.nodes.first().map(|node| VersionName::parse(node)) {
        let of = format!("{} --candidate {}", first.name, first.number);
        eprintln!("next: `refrain validate {of}`, then `refrain cutover {of}`");
    }
    Ok(())
}
