//! Where in the log two versions part: asked for by `refrain validate --first-divergence`, and shown.

use refrain_engine::ingest::time::text as timestamp_text;
use refrain_engine::validate::divergence::{
    DivergeOrder, Divergence, Outcome, Point, Treatment, ViewRow,
};
use refrain_engine::validate::report::ValidateOrder;
use refrain_engine::versions::Standing;
use refrain_engine::versions::request::{self as versions, Answer};

use super::{ask, list_of};
use crate::args::Output;
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::progress::Progress;
use crate::show::{Sheet, grouped};

/// Says what it costs, and searches.
pub(super) fn find(
    link: &mut Link,
    order: ValidateOrder,
    limit: Option<u64>,
) -> Result<Divergence, Failure> {
    tell_cost(link, &order, limit)?;
    let _progress = Progress::spinner("computing again");
    let order = DivergeOrder {
        validate: order,
        limit,
    };
    match ask(link, versions::Request::Diverge(Box::new(order)))? {
        Answer::Diverged(found) => Ok(*found),
        _ => Err(unexpected()),
    }
}

fn tell_cost(link: &mut Link, order: &ValidateOrder, limit: Option<u64>) -> Result<(), Failure> {
    let list = list_of(link, &order.name)?;
    let compared = match order.against {
        Some(_) => vec![order.candidate.unwrap_or(list.live)],
        None => {
            let waits = list.versions.iter();
            let waits = waits.filter(|v| v.standing == Standing::Candidate);
            let newest = waits.map(|v| v.version).max();
            vec![list.live, order.candidate.or(newest).unwrap_or(list.live)]
        }
    };
    let its = list.versions.iter();
    let its = its.filter(|v| compared.contains(&v.version));
    let most: u64 = its.map(|v| v.rows_taken).sum();
    let most = limit.map_or(most, |limit| most.min(limit * compared.len() as u64));
    eprintln!(
        "computing again beside the live version, in memory, with one processor: up to {} rows before they part",
        grouped(most)
    );
    Ok(())
}

/// Shows it.
pub(super) fn show(found: &Divergence) -> Result<(), Failure> {
    eprintln!(
        "{} rows taken again, compared {} times",
        grouped(found.rows),
        grouped(found.looks)
    );
    match &found.outcome {
        Outcome::Equal => eprintln!("nothing differs any more at cut {}", found.cut),
        Outcome::NotAgain => eprintln!(
            "computed again from the log they do not differ up to cut {}: one of the two is not what its component and the \
             log say. Build it anew (`refrain replay`, `refrain run --rebuild`) and report it",
            found.cut
        ),
        Outcome::GaveUp(equal) => eprintln!(
            "gave up at the limit: they are equal up to sequence {equal} of {}; go on with a larger --limit",
            found.cut
        ),
        Outcome::NoLateRow(rows) => eprintln!(
            "none of the {} rows of the log behind the rows that differ came late: {} computes something else, or read \
             something else",
            grouped(*rows),
            found.right
        ),
        Outcome::Found(point) => return show_point(found, point),
    }
    Ok(())
}

fn show_point(found: &Divergence, point: &Point) -> Result<(), Failure> {
    let place = format!("topic {}, partition {}", point.topic, point.partition);
    let at = timestamp_text(point.append_time.0);
    match (&point.row, &point.outside) {
        (None, _) => eprintln!(
            "they part where time passed, before any row of it: {place}, the frame with sequence {}, appended {at}",
            point.sequence
        ),
        (Some(row), None) => eprintln!(
            "they part at this row: {place}, offset {}, sequence {}, appended {at}; equal up to sequence {}",
            row.offset, point.sequence, point.equal_up_to
        ),
        (Some(row), Some(_)) => eprintln!(
            "the first row that came late: {place}, offset {}, sequence {}, appended {at}",
            row.offset, point.sequence
        ),
    }
    if let Some(row) = &point.row {
        let fields = row
            .fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}"));
        eprintln!("  {}", fields.collect::<Vec<_>>().join(", "));
    }
    tell_outside(found, point);
    tell_treatment(&found.left, &point.left);
    if let Some(right) = &point.right {
        tell_treatment(&found.right, right);
    }
    eprintln!("rows of the view that differ after it:");
    sheet(found, &point.views).print(Output::Table)
}

/// The same as data: the row of the log, and the rows of the view that differ after it. No rows: they do not part, or
/// where was not found.
pub(super) fn tables(found: &Divergence) -> Vec<(&'static str, Sheet)> {
    let Outcome::Found(point) = &found.outcome else {
        return Vec::new();
    };
    let names = [
        "topic",
        "partition",
        "offset",
        "sequence",
        "appended",
        "equal_up_to",
    ];
    let mut place = Sheet::new(&names);
    let row = point.row.as_ref();
    place.push(vec![
        Cell::text(&point.topic),
        Cell::count(point.partition.into()),
        row.map_or(Cell::Null, |row| Cell::count(row.offset.0)),
        Cell::count(point.sequence.0),
        Cell::time(Some(point.append_time.0)),
        Cell::count(point.equal_up_to.0),
    ]);
    vec![("point", place), ("view", sheet(found, &point.views))]
}

fn tell_outside(found: &Divergence, point: &Point) {
    let Some(outside) = &point.outside else {
        return;
    };
    eprintln!(
        "  when it came, the newest event time was {} s past the end of its window{}",
        outside.behind_us / 1_000_000,
        match outside.says_what_was_before {
            true => format!(
                "; {} says what the view said just before this row",
                found.right
            ),
            false => String::new(),
        }
    );
    eprintln!(
        "  {} of {} rows that differ have rows that came late: {} in all",
        grouped(outside.with_late_rows),
        grouped(outside.differing),
        grouped(outside.late_rows)
    );
}

fn tell_treatment(who: &str, treatment: &Treatment) {
    let reason = treatment.reason.iter().map(|r| format!(" ({r})"));
    eprintln!("  {who}: {}{}", treatment.what, reason.collect::<String>());
    for change in &treatment.states {
        let text = |state: &Option<String>| state.clone().unwrap_or_else(|| "none".into());
        eprintln!(
            "    state: {} -> {}",
            text(&change.before),
            text(&change.after)
        );
    }
}

fn sheet(found: &Divergence, rows: &[ViewRow]) -> Sheet {
    let head = |side: &str, when: &str| format!("{side} {when}");
    let heads = [
        head(&found.left, "before"),
        head(&found.left, "after"),
        head(&found.right, "before"),
        head(&found.right, "after"),
    ];
    let mut sheet = Sheet::new(&["key", "field", &heads[0], &heads[1], &heads[2], &heads[3]]);
    for row in rows {
        let sides = [
            &row.left_before,
            &row.left_after,
            &row.right_before,
            &row.right_after,
        ];
        for field in fields(row) {
            let mut cells = vec![Cell::text(row.key.join(" ")), Cell::text(&field)];
            for side in sides {
                let found = side.iter().flatten().find(|(name, _)| *name == field);
                cells.push(found.map_or(Cell::Null, |(_, value)| Cell::text(value)));
            }
            sheet.push(cells);
        }
    }
    sheet
}

/// The fields that differ; all of them of a row that only one side has.
fn fields(row: &ViewRow) -> Vec<String> {
    if !row.fields.is_empty() {
        return row.fields.clone();
    }
    let sides = [&row.left_after, &row.right_after];
    let all = sides.into_iter().flatten().next();
    let names = all.into_iter().flatten().map(|(name, _)| name.clone());
    names.collect()
}
