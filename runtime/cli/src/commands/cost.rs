//! `refrain cost`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use refrain_engine::accounts::Held;
use refrain_engine::cost::{Bill, Kind, Money, Part, Question};
use refrain_engine::pipeline::{self, Rhythm};
use refrain_engine::request::{Request, Response};
use refrain_engine::tiers::words::span;
use refrain_engine::{Error, host};

use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::file::read_text;
use crate::link::{Link, unexpected};
use crate::project;
use crate::show::{Sheet, seen_enough};

/// Show what work costs by the price sheet, and who pays for it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain cost                             each node, for the time that was metered
  refrain cost --by consumer --per month
  refrain cost --by part                   who pays which part of what, and why
  refrain cost --what-if ops-board=1s      what it would cost if that consumer needed that
  refrain cost --file other.toml           what it would cost with that pipeline file
  refrain cost --commits delays            what each of the last commits of a node took

A node that several consumers depend on is shared: what it would cost for the one who needs the least is paid by all in
equal parts, each step to a stricter need by those who need at least that. Parts sum exactly to the total. Prices are
in [prices] of the pipeline file. What a change would cost is found out by working through some of its rounds.
See docs/cost.md.")]
pub(crate) struct CostArgs {
    /// What lines are about [default: node, or nodes that would change; with --output json the whole bill]
    #[arg(long, value_enum)]
    by: Option<By>,
    /// For a month of 30 days at the metered rates, instead of the metered time
    #[arg(long, value_enum)]
    per: Option<Per>,
    /// CONSUMER=FRESHNESS: price that need before it is one; may be given several times
    #[arg(long, value_name = "C=F")]
    what_if: Vec<String>,
    /// What each of the last commits of this node took, instead of a bill
    #[arg(long, value_name = "NODE", conflicts_with_all = ["by", "per", "what_if", "file"])]
    commits: Option<String>,
    /// Price this pipeline file before it is in the place of the project's
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// Who reads
    Consumer,
    /// What works
    Node,
    /// How fresh those who pay need it
    Tier,
    /// Who pays which part of what, and why
    Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Per {
    /// 30 days
    Month,
}

pub(crate) fn run(global: &Global, args: &CostArgs) -> Result<(), Failure> {
    if let Some(node) = &args.commits {
        return commits(global, node);
    }
    let what_if = needs(&args.what_if)?;
    let file = args.file.as_ref().map(|path| changed(global, path));
    let file = file.transpose()?;
    let month = args.per.is_some();
    let question = Question {
        month,
        what_if,
        file,
    };
    let mut link = Link::open(&project::find(global)?)?;
    let Response::Cost(bill) = link.ask(Request::Cost(question))? else {
        return Err(unexpected());
    };
    if let (Output::Json, None) = (global.output, args.by) {
        use std::io::Write;
        let json = serde_json::to_string_pretty(&bill).map_err(anyhow::Error::from)?;
        return seen_enough(writeln!(std::io::stdout(), "{json}"));
    }
    sheet(&bill, args.by).print(global.output)?;
    for told in &bill.unpriced {
        eprintln!("{told}");
    }
    let told = bill.then.as_ref().map_or(String::new(), |then| {
        format!(", then about {}", then.total.text(&then.currency))
    });
    let time = if month {
        "a month"
    } else {
        &span(bill.span_us)
    };
    eprintln!(
        "{} for {time}{told}; metered over {}",
        bill.total.text(&bill.currency),
        span(bill.metered_us)
    );
    Ok(())
}

/// Consumers with the freshness that they would need, each once.
fn needs(texts: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let mut needs: Vec<(String, String)> = Vec::new();
    for text in texts {
        let pair = text.split_once('=').map(|(c, f)| (c.trim(), f.trim()));
        let Some((consumer, need)) = pair.filter(|(c, f)| !c.is_empty() && !f.is_empty()) else {
            return Err(Failure::refused(format!(
                "--what-if {text}: write CONSUMER=FRESHNESS, such as ops-board=1s"
            )));
        };
        if needs.iter().any(|(other, _)| other == consumer) {
            return Err(Failure::refused(format!(
                "--what-if gives {consumer} two needs; ask for one after the other"
            )));
        }
        needs.push((consumer.to_owned(), need.to_owned()));
    }
    Ok(needs)
}

/// The text of a pipeline file that is in order; what is wrong with it is shown where it is.
fn changed(global: &Global, path: &Path) -> Result<String, Failure> {
    let (text, name) = (read_text(path)?, path.display().to_string());
    let env = |name: &str| std::env::var(name).ok();
    let file = pipeline::parse(&name, &text, &env).map_err(Error::Pipeline)?;
    host::load(&project::find(global)?, &file, Some(project::cache()))?;
    Ok(text)
}

fn commits(global: &Global, node: &str) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let Response::Commits(commits) = link.ask(Request::Commits(node.to_owned()))? else {
        return Err(unexpected());
    };
    if global.output == Output::Json {
        use std::io::Write;
        let json = serde_json::to_string_pretty(&commits).map_err(anyhow::Error::from)?;
        return seen_enough(writeln!(std::io::stdout(), "{json}"));
    }
    let mut sheet = Sheet::new(&[
        "at",
        "cut",
        "frames",
        "rows",
        "rows out",
        "view rows",
        "cpu in plugin",
        "cpu in host",
        "read bytes",
        "written bytes",
        "syncs",
    ]);
    for commit in &commits {
        sheet.push(vec![
            Cell::time(Some(commit.at.0)),
            Cell::count(commit.cut.0),
            Cell::count(commit.frames),
            Cell::count(commit.rows),
            Cell::count(commit.out_rows + commit.letter_rows),
            Cell::count(commit.view_rows),
            millis(commit.guest_ns),
            millis(commit.host_ns),
            Cell::count(commit.read_bytes),
            Cell::count(commit.written_bytes),
            Cell::count(commit.syncs),
        ]);
    }
    sheet.print(global.output)
}

fn millis(ns: u64) -> Cell {
    Cell::text(format!("{}.{:03}ms", ns / 1_000_000, ns / 1_000 % 1000))
}

fn sheet(bill: &Bill, by: Option<By>) -> Sheet {
    match (by, &bill.then) {
        (None, Some(_)) => changes(bill),
        (Some(By::Node), Some(then)) => compared(bill, then, "item", |bill| {
            let items = bill.items.iter();
            items
                .map(|i| (labelled(&i.kind, &i.name), i.total))
                .collect()
        }),
        (Some(By::Consumer), Some(then)) => {
            compared(bill, then, "consumer", |bill| paid(bill, payer))
        }
        (Some(By::Tier), Some(then)) => compared(bill, then, "tier", |bill| paid(bill, tier)),
        (Some(By::Part), Some(then)) => compared(bill, then, "part", |bill| paid(bill, part)),
        (None | Some(By::Node), None) => items(bill),
        (Some(By::Consumer), None) => sums(bill, "consumer", payer),
        (Some(By::Tier), None) => sums(bill, "tier", tier),
        (Some(By::Part), None) => parts(bill),
    }
}

fn seconds(ns: u64) -> Cell {
    Cell::text(format!(
        "{}.{:03}s",
        ns / 1_000_000_000,
        ns / 1_000_000 % 1000
    ))
}

fn items(bill: &Bill) -> Sheet {
    let mut sheet = Sheet::new(&[
        "item",
        "rhythm",
        "rows",
        "rows out",
        "view rows",
        "commits",
        "cpu in plugin",
        "cpu in host",
        "state bytes",
        "view bytes",
        "topic bytes",
        "cpu",
        "read",
        "syncs",
        "storage",
        "total",
    ]);
    for item in &bill.items {
        let work = item.work.clone().unwrap_or_default();
        // What is no node's is of a topic, or of the commit log.
        let held = item.held.unwrap_or(Held {
            topic_bytes: item.held_bytes,
            ..Held::default()
        });
        sheet.push(vec![
            Cell::text(labelled(&item.kind, &item.name)),
            rhythm(item.rhythm.as_ref()),
            Cell::count(work.rows),
            Cell::count(work.out_rows + work.letter_rows),
            Cell::count(work.view_rows),
            Cell::count(work.commits),
            seconds(work.guest_ns),
            seconds(work.host_ns),
            Cell::count(held.state_bytes),
            Cell::count(held.view_bytes),
            Cell::count(held.topic_bytes),
            Cell::text(item.cpu.to_string()),
            Cell::text(item.read.to_string()),
            Cell::text(item.requests.to_string()),
            Cell::text(item.storage.to_string()),
            Cell::text(item.total.to_string()),
        ]);
    }
    sheet
}

fn payer(_: &Bill, part: &Part) -> String {
    part.consumer.clone().unwrap_or("(none)".into())
}

/// The tier of who pays.
fn tier(bill: &Bill, part: &Part) -> String {
    let tier = part.consumer.as_ref().and_then(|c| bill.tiers.get(c));
    tier.cloned().unwrap_or("(none)".into())
}

fn part(bill: &Bill, part: &Part) -> String {
    format!("{}: {}", named(part), payer(bill, part))
}

/// An item with its kind, where that is not its name.
fn labelled(kind: &str, name: &str) -> String {
    match kind == name {
        true => name.to_owned(),
        false => format!("{kind} {name}"),
    }
}

/// The item of a part; a topic's storage and the appends to it have one name.
fn named(part: &Part) -> String {
    match part.kind.as_str() {
        kind @ ("topic" | "ingest") => format!("{kind} {}", part.item),
        _ => part.item.clone(),
    }
}

/// What is paid, by something that a part has.
fn paid(bill: &Bill, key: fn(&Bill, &Part) -> String) -> BTreeMap<String, Money> {
    let mut amounts = BTreeMap::new();
    for part in &bill.parts {
        let sum = amounts.entry(key(bill, part)).or_insert(Money(0));
        *sum = *sum + part.amount;
    }
    amounts
}

fn sums(bill: &Bill, name: &str, key: fn(&Bill, &Part) -> String) -> Sheet {
    let mut sheet = Sheet::new(&[name, "amount", "of"]);
    for (name, amount) in paid(bill, key) {
        let its = bill.parts.iter().filter(|part| key(bill, part) == name);
        let of: Vec<String> = its
            .map(|part| format!("{} {}", named(part), part.amount))
            .collect();
        sheet.push(vec![
            Cell::text(name),
            Cell::text(amount.to_string()),
            Cell::text(of.join(", ")),
        ]);
    }
    sheet
}

fn parts(bill: &Bill) -> Sheet {
    let mut sheet = Sheet::new(&["item", "consumer", "amount", "why"]);
    for part in &bill.parts {
        sheet.push(vec![
            Cell::text(named(part)),
            Cell::text(payer(bill, part)),
            Cell::text(part.amount.to_string()),
            Cell::text(&part.why),
        ]);
    }
    sheet
}

/// Amounts of both bills side by side.
fn compared(
    bill: &Bill,
    then: &Bill,
    name: &str,
    amounts: impl Fn(&Bill) -> BTreeMap<String, Money>,
) -> Sheet {
    let (now, then) = (amounts(bill), amounts(then));
    let mut names: Vec<&String> = now.keys().chain(then.keys()).collect();
    names.sort();
    names.dedup();
    let mut sheet = Sheet::new(&[name, "now", "then", "difference"]);
    for name in names {
        let of = |amounts: &BTreeMap<String, Money>| amounts.get(name).copied().unwrap_or_default();
        let (now, then) = (of(&now), of(&then));
        sheet.push(vec![
            Cell::text(name),
            Cell::text(now.to_string()),
            Cell::text(then.to_string()),
            Cell::text((then - now).to_string()),
        ]);
    }
    sheet
}

fn changes(bill: &Bill) -> Sheet {
    let mut sheet = Sheet::new(&[
        "node",
        "change",
        "rhythm",
        "would be",
        "commits now",
        "commits then",
        "now",
        "then",
        "difference",
        "rounds tried",
    ]);
    for change in &bill.changes {
        sheet.push(vec![
            Cell::text(&change.node),
            Cell::text(kind(change.kind)),
            rhythm(change.rhythm.as_ref()),
            rhythm(change.would_be.as_ref()),
            Cell::count(change.commits_now),
            Cell::count(change.commits_then),
            Cell::text(change.now.to_string()),
            Cell::text(change.then.to_string()),
            Cell::text((change.then - change.now).to_string()),
            Cell::count(change.tried_rounds),
        ]);
    }
    sheet
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Rhythm => "rhythm",
        Kind::New => "new",
        Kind::Changed => "changed",
        Kind::Removed => "removed",
    }
}

fn rhythm(rhythm: Option<&Rhythm>) -> Cell {
    Cell::text(rhythm.map_or(String::new(), ToString::to_string))
}
