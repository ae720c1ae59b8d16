//! `refrain plan`

use refrain_engine::changes::{Changes, Need, NodeChange};
use refrain_engine::topics::{TopicChange, TopicNeed};
use refrain_engine::versions::request::{self as versions, Answer};

use super::replay::span;
use super::{ask, print_json};
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::project;
use crate::show::{self, Sheet, grouped};

/// What differs between the file and what is read.
const DIFFERS: u8 = 3;
/// Longest text of a reason in a table.
const TEXT_MAX: usize = 60;

/// Compare the pipeline file and the components with what is running
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  refrain plan

Says for each source topic: same, new, alter (`refrain topic alter` gives it the schema of the file), new topic (its rows
cannot be read as the file says). Says for each node: same, new (begins with the next run), restart (rhythm, limits or the
like: results stay the same, and the running host takes it up when it is started again), replay (its results would change:
build them with `refrain replay`), state migration (`refrain upgrade` takes over the states; or a replay), cutover (a version
like this is there already), removed (it is not in the file any more: its versions rest, and what they have not read stays in
the log). Exit code 0 when nothing is to be done, 3 when something is.")]
pub(crate) struct PlanArgs {}

pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let Answer::Changes(changes) = ask(&mut link, versions::Request::Changes)? else {
        return Err(unexpected());
    };
    match global.output {
        Output::Json => print_json(&changes)?,
        output => {
            let mut tables = Vec::new();
            if changes.topics.iter().any(|t| t.need != TopicNeed::Same) {
                tables.push(("topic", topic_sheet(&changes.topics)));
            }
            tables.push(("node", sheet(&changes.nodes, output)));
            show::print_tables(tables, output)?;
        }
    }
    let Changes { topics, nodes } = changes;
    refuse(&topics, &nodes)
}

/// What is to be done, as a failure.
fn refuse(topics: &[TopicChange], changes: &[NodeChange]) -> Result<(), Failure> {
    let other = |t: &&TopicChange| matches!(t.need, TopicNeed::Alter | TopicNeed::NewTopic);
    let others: Vec<&str> = topics
        .iter()
        .filter(other)
        .map(|t| t.topic.as_str())
        .collect();
    let open = changes.iter().filter(|c| c.need != Need::Same).count();
    if open == 0 && others.is_empty() {
        eprintln!("nothing differs from what is running");
        return Ok(());
    }
    if !others.is_empty() {
        let others = others.join(", ");
        eprintln!(
            "the log has another schema than the pipeline file: {others}; until they agree nothing is appended and no run begins"
        );
    }
    let (rows, bytes) = changes
        .iter()
        .fold((0, 0), |t, c| (t.0 + c.rows, t.1 + c.bytes));
    let seconds = changes.iter().filter_map(|c| c.seconds).sum::<f64>();
    let time = match seconds > 0.0 {
        true => format!(", about {}", span(seconds)),
        false => String::new(),
    };
    Err(Failure::new(
        DIFFERS,
        format!(
            "{open} of {} nodes differ from what is running; replays would take {} rows, {} bytes{time}",
            changes.len(),
            grouped(rows),
            grouped(bytes)
        ),
    ))
}

fn topic_sheet(changes: &[TopicChange]) -> Sheet {
    let mut sheet = Sheet::new(&["topic", "need", "reason"]);
    for change in changes {
        let need = match change.need {
            TopicNeed::New => "new",
            TopicNeed::Same => "same",
            TopicNeed::Alter => "alter",
            TopicNeed::NewTopic => "new topic",
        };
        let reason = change.reasons.join("; ");
        sheet.push(vec![
            Cell::text(&change.topic),
            Cell::text(need),
            Cell::text(reason),
        ]);
    }
    sheet
}

/// A line for each reason. Figures stand on the first line of a node, so that they sum up; names do, too, for people.
fn sheet(changes: &[NodeChange], output: Output) -> Sheet {
    let mut sheet = Sheet::new(&[
        "node", "need", "live", "reason", "was", "is", "rows", "bytes", "seconds", "cost",
    ]);
    for change in changes {
        let need = match (change.need, change.version) {
            (Need::New, _) => "new".to_owned(),
            (Need::Same, _) => "same".to_owned(),
            (Need::Restart, _) => "restart".to_owned(),
            (Need::Removed, _) => "removed".to_owned(),
            (Need::StateMigration, _) => "state migration".to_owned(),
            (Need::Replay, _) => "replay".to_owned(),
            (Need::Cutover, version) => format!("cutover to {}", version.unwrap_or(change.live)),
        };
        let mut first = true;
        let none = [None];
        let reasons = change.reasons.iter().map(Some);
        let reasons: Vec<_> = match change.reasons.is_empty() {
            true => none.to_vec(),
            false => reasons.collect(),
        };
        for reason in reasons {
            let text = |text: &str| Cell::text(text.chars().take(TEXT_MAX).collect::<String>());
            let once = |cell: Cell| if first { cell } else { Cell::Null };
            let named = |cell: Cell| match output {
                Output::Table => once(cell),
                Output::Csv | Output::Json => cell,
            };
            sheet.push(vec![
                named(Cell::text(&change.node)),
                named(Cell::text(&need)),
                named(Cell::count(change.live.into())),
                reason.map_or(Cell::Null, |r| text(&r.what)),
                reason.map_or(Cell::Null, |r| text(&r.was)),
                reason.map_or(Cell::Null, |r| text(&r.is)),
                once(Cell::count(change.rows)),
                once(Cell::count(change.bytes)),
                once(change.seconds.map_or(Cell::Null, Cell::Float)),
                once(change.bill.as_ref().map_or(Cell::Null, |bill| {
                    Cell::text((bill.compute + bill.read).text(&bill.currency))
                })),
            ]);
            first = false;
        }
    }
    sheet
}
