//! `refrain topic verify`

use std::time::Duration;

use refrain_engine::keep::request::{Answer, Request, Scrub};
use refrain_engine::request::{Response, TopicStatus};
use refrain_log::ids::Offset;
use refrain_log::log::Finding;

use super::topics;
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::commands::keep::ask;
use crate::commands::version::print_json;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::progress::Progress;
use crate::project;
use crate::show::{self, Sheet, grouped};

/// The log rests so long after each segment, that others have the disk.
const REST: Duration = Duration::from_millis(20);
/// Exit code for damage.
const DAMAGED: u8 = 5;

/// Read every byte of the log and check every checksum
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain topic verify             all topics and the commit log
  refrain topic verify flights

Beside a running host, too, a segment at a time. Exit code 5 when something is damaged.")]
pub(crate) struct VerifyArgs {
    /// Name of the topic [default: all, and the commit log]
    topic: Option<String>,
}

/// What was looked at.
#[derive(Debug, Default, serde::Serialize)]
struct Total {
    segments: u64,
    frames: u64,
    bytes: u64,
    findings: Vec<Finding>,
}

pub(crate) fn run(global: &Global, args: &VerifyArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let all = match &args.topic {
        Some(name) => refrain_engine::request::Request::Topic(name.clone()),
        None => refrain_engine::request::Request::Topics,
    };
    let mut total = Total::default();
    let all = topics(&mut link, all)?;
    if args.topic.is_none() {
        total.findings = unopened(&mut link, &all)?;
    }
    let progress = Progress::bytes(all.iter().map(|topic| topic.bytes).sum());
    for topic in all {
        for partition in 0..topic.partitions.len() as u32 {
            let place = Some((topic.name.clone(), partition));
            scrub(&mut link, place, &mut total, &progress)?;
        }
    }
    if args.topic.is_none() {
        scrub(&mut link, None, &mut total, &progress)?;
    }
    drop(progress);
    match global.output {
        Output::Json => print_json(&total)?,
        Output::Csv => show::print_tables(tables(&total), global.output)?,
        Output::Table => {}
    }
    for finding in &total.findings {
        eprintln!(
            "damage: {}/{}: {}",
            finding.topic, finding.partition, finding.what
        );
    }
    let told = format!(
        "{} segments, {} frames, {} bytes read",
        grouped(total.segments),
        grouped(total.frames),
        grouped(total.bytes)
    );
    match total.findings.len() {
        0 => {
            eprintln!("{told}: all whole");
            Ok(())
        }
        count => Err(Failure::new(
            DAMAGED,
            format!(
                "{told}: {count} places are damaged; open the folder again to have them set aside, and restore the segments \
                 from a copy or a savepoint"
            ),
        )),
    }
}

/// Damage that keeps topics from being opened, so that they are not among those that can be read.
fn unopened(link: &mut Link, opened: &[TopicStatus]) -> Result<Vec<Finding>, Failure> {
    let Response::Status(mut status) = link.ask(refrain_engine::request::Request::Status)? else {
        return Err(unexpected());
    };
    let is_open = |name: &str| opened.iter().any(|topic| topic.name == name);
    let commits = |name: &str| name == "commits";
    status
        .findings
        .retain(|f| f.acknowledged && !is_open(&f.topic) && !commits(&f.topic));
    Ok(status.findings)
}

fn tables(total: &Total) -> Vec<(&'static str, Sheet)> {
    let mut sums = Sheet::new(&["segments", "frames", "bytes"]);
    sums.push(
        [total.segments, total.frames, total.bytes]
            .map(Cell::count)
            .into(),
    );
    let mut findings = Sheet::new(&["topic", "partition", "what"]);
    for finding in &total.findings {
        findings.push(vec![
            Cell::text(&finding.topic),
            Cell::count(finding.partition.into()),
            Cell::text(&finding.what),
        ]);
    }
    vec![("read", sums), ("damage", findings)]
}

/// One partition, or the commit log, segment after segment.
fn scrub(
    link: &mut Link,
    place: Option<(String, u32)>,
    total: &mut Total,
    progress: &Progress,
) -> Result<(), Failure> {
    let mut from = Offset(0);
    loop {
        let request = Request::Scrub(Scrub {
            place: place.clone(),
            from,
        });
        let Answer::Scrubbed(scrubbed) = ask(link, request)? else {
            return Err(unexpected());
        };
        let Some(scrubbed) = scrubbed else {
            return Ok(());
        };
        total.segments += 1;
        total.frames += scrubbed.frames;
        total.bytes += scrubbed.bytes;
        total.findings.extend(scrubbed.findings);
        progress.at(total.bytes);
        let Some(next) = scrubbed.next else {
            return Ok(());
        };
        from = next;
        std::thread::sleep(REST);
    }
}
