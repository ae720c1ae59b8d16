//! What a trial changed, as people read it and as programs do: one JSON document a line, one for each look.

use refrain_engine::pipeline::Output as Target;
use refrain_engine::trial::{Difference, Made, Outcome};
use refrain_engine::validate::report::{Drift, RowDrift};
use serde_json::{Value, json};

use crate::args::{Global, Output};
use crate::cells::{self, Cell};
use crate::commands::view::hex;
use crate::failure::Failure;
use crate::show::{Sheet, grouped, line};

/// What came out, and how it differs from before; without a before, what there is.
pub(super) fn outcome(
    global: &Global,
    before: Option<&Outcome>,
    after: &Outcome,
) -> Result<(), Failure> {
    let Some(before) = before else {
        return first(global, after);
    };
    let pairs = after.made.iter().map(|made| {
        let old = before.made.iter().find(|old| old.node == made.node);
        (old, made)
    });
    let mut documents = Vec::new();
    for (old, made) in pairs {
        let difference = old.map(|old| old.difference(made));
        if global.output == Output::Json {
            documents.push(document(old, made, difference.as_ref()));
        } else {
            told(old, made, difference.as_ref())?;
        }
    }
    for gone in before
        .made
        .iter()
        .filter(|old| !after.made.iter().any(|m| m.node == old.node))
    {
        match global.output {
            Output::Json => documents.push(json!({"node": gone.node, "gone": true})),
            _ => line(format!("{}: the node is gone", gone.node))?,
        }
    }
    match global.output {
        Output::Json => line(json!({"result": "tried", "outputs": documents})),
        _ => Ok(()),
    }
}

/// Nothing that could make a difference has changed.
pub(super) fn same(global: &Global) -> Result<(), Failure> {
    match global.output {
        Output::Json => line(json!({"result": "same"})),
        _ => Ok(()),
    }
}

/// It did not come to a trial, or a node stopped in it; what is wrong has been told.
pub(super) fn failed(global: &Global, failure: &Failure) -> Result<(), Failure> {
    match global.output {
        Output::Json => line(json!({"result": "failed", "why": failure.message})),
        _ => Ok(()),
    }
}

fn first(global: &Global, outcome: &Outcome) -> Result<(), Failure> {
    if global.output == Output::Json {
        let all: Vec<Value> = outcome
            .made
            .iter()
            .map(|m| document(None, m, None))
            .collect();
        return line(json!({"result": "tried", "outputs": all}));
    }
    let mut sheet = Sheet::new(&["node", "output", "rows", "taken", "rejected", "late"]);
    for made in &outcome.made {
        let mut row = vec![
            Cell::text(&made.node),
            Cell::text(target(made)),
            Cell::count(made.table.rows.num_rows() as u64),
        ];
        row.extend(COUNTS.map(|name| Cell::count(count(made, name))));
        sheet.push(row);
    }
    sheet.print(Output::Table)
}

/// Counts of a node that are shown.
const COUNTS: [&str; 3] = ["rows", "rejected", "late"];

fn count(made: &Made, name: &str) -> u64 {
    made.counts.get(name).copied().unwrap_or_default()
}

fn target(made: &Made) -> String {
    match &made.output {
        Target::View(name) => format!("view {name}"),
        Target::Topic(name) => format!("topic {name}"),
    }
}

fn told(old: Option<&Made>, made: &Made, difference: Option<&Difference>) -> Result<(), Failure> {
    let what = target(made);
    let rows = grouped(made.table.rows.num_rows() as u64);
    match difference {
        None => line(format!("{what}: new, {rows} rows"))?,
        Some(Difference::None) => line(format!("{what}: no difference in {rows} rows"))?,
        Some(Difference::Keys(before, after)) => line(format!(
            "{what}: {rows} rows, not compared: their key was {} and is {}",
            before.join(", "),
            after.join(", ")
        ))?,
        Some(Difference::Rows(drift)) => drifted(&what, &rows, drift)?,
    }
    let Some(old) = old else { return Ok(()) };
    for name in &COUNTS[1..] {
        let (was, is) = (count(old, name), count(made, name));
        if was != is {
            line(format!("  {name}: {} -> {}", grouped(was), grouped(is)))?;
        }
    }
    Ok(())
}

fn drifted(what: &str, rows: &str, drift: &Drift) -> Result<(), Failure> {
    line(format!(
        "{what}: {} added, {} removed, {} changed, now {rows} rows",
        grouped(drift.added),
        grouped(drift.removed),
        grouped(drift.changed)
    ))?;
    for (fields, how) in [
        (&drift.fields_only.0, "gone"),
        (&drift.fields_only.1, "new"),
    ] {
        if !fields.is_empty() {
            line(format!("  fields {how}: {}", fields.join(", ")))?;
        }
    }
    for field in drift.fields.iter().filter(|f| f.changed > 0) {
        let largest = match field.largest {
            Some(size) if size.is_finite() => format!(", by {size} at most"),
            _ => String::new(),
        };
        let count = grouped(field.changed);
        line(format!(
            "  {} differs in {count} rows{largest}",
            field.field
        ))?;
    }
    for row in &drift.shown {
        line(format!("  {}", shown(row)))?;
    }
    let more = drift.added + drift.removed + drift.changed - drift.shown.len() as u64;
    match more {
        0 => Ok(()),
        more => line(format!("  and {} rows more", grouped(more))),
    }
}

/// `~ KEY  field: before -> after`, `+ KEY`, `- KEY`
fn shown(row: &RowDrift) -> String {
    let sign = match row.what.as_str() {
        "added" => '+',
        "removed" => '-',
        _ => '~',
    };
    let fields = row.fields.iter();
    let fields: Vec<String> = fields
        .map(|(name, a, b)| format!("{name}: {a} -> {b}"))
        .collect();
    let text = format!("{sign} {}  {}", row.key.join(" "), fields.join(", "));
    cells::message(text.trim_end())
}

fn document(old: Option<&Made>, made: &Made, difference: Option<&Difference>) -> Value {
    let mut document = json!({
        "node": made.node,
        "output": target(made),
        "rows": made.table.rows.num_rows(),
        "digest": made.digest.map(hex),
        "counts": made.counts,
    });
    let drift = match difference {
        None => return document,
        Some(Difference::None) => Value::Null,
        Some(Difference::Keys(before, after)) => json!({"key_before": before, "key": after}),
        Some(Difference::Rows(drift)) => json!(drift),
    };
    document["counts_before"] = json!(old.map(|old| &old.counts));
    document["difference"] = drift;
    document
}
