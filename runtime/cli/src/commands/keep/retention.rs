//! `refrain retention`

use refrain_engine::keep::report::TopicKept;
use refrain_engine::keep::request::{Answer, Request};

use super::ask;
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::commands::version::print_json;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::project;
use crate::show::Sheet;

/// Show what is kept of each topic, in months, in bytes and in money
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  refrain retention

`months` is how far back a backfill can begin now, `months_kept` how far it will be able to when the topic has grown to what
its rule keeps, at the mean rate since its oldest row (nothing: no rule, it grows for ever). `months_needed` is how far back the
log has to reach so that all that is live can be computed anew, and `needed_by` whose backfill that is: for ever where results
begin with the first row, priced by what is there. Costs are those of a month, by `gb_month_hot` of [prices] in the pipeline
file.")]
pub(crate) struct RetentionArgs {}

pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let project = project::find(global)?;
    let prices = project.declaration()?.prices;
    let mut link = Link::open(&project)?;
    let Answer::Report(topics) = ask(&mut link, Request::Report)? else {
        return Err(unexpected());
    };
    if global.output == Output::Json {
        return print_json(&topics);
    }
    let mut sheet = Sheet::new(&[
        "topic",
        "retention",
        "oldest_row",
        "rows",
        "bytes",
        "months",
        "cost",
        "bytes_a_month",
        "months_kept",
        "bytes_kept",
        "cost_kept",
        "months_needed",
        "needed_by",
        "bytes_needed",
        "cost_needed",
        "slowest_reader",
    ]);
    topics.iter().for_each(|topic| sheet.push(row(topic)));
    sheet.print(global.output)?;
    let total: f64 = topics.iter().map(|topic| topic.cost_per_month).sum();
    let assumed = match prices.stated {
        true => "",
        false => " (the pipeline file has no [prices]: these are assumed)",
    };
    eprintln!(
        "all topics: {} {total:.2} a month{assumed}",
        prices.currency
    );
    for topic in topics.iter().filter(|topic| topic.short) {
        let much = match topic.months_needed {
            Some(months) => format!("{months:.2} months of it"),
            None => "all of it".to_owned(),
        };
        eprintln!(
            "topic {} is kept for {}: {} needs {much} to be computed anew",
            topic.topic,
            topic.rule,
            topic.needed_by.as_deref().unwrap_or("nobody")
        );
    }
    Ok(())
}

fn row(topic: &TopicKept) -> Vec<Cell> {
    let number = |number: Option<f64>| number.map_or(Cell::Null, |n| Cell::Float(round(n)));
    let cost = |cost: Option<f64>| cost.map_or(Cell::Null, |n| Cell::Float(money(n)));
    let count = |number: Option<f64>| number.map_or(Cell::Null, |n| Cell::count(n as u64));
    vec![
        Cell::text(&topic.topic),
        Cell::text(topic.rule.to_string()),
        Cell::time(topic.oldest.map(|t| t.0)),
        Cell::count(topic.rows),
        Cell::count(topic.bytes),
        Cell::Float(round(topic.months)),
        Cell::Float(money(topic.cost_per_month)),
        count(topic.bytes_per_month),
        number(topic.months_kept),
        count(topic.bytes_kept),
        cost(topic.cost_kept_per_month),
        match (topic.months_needed, &topic.needed_by) {
            (None, Some(_)) => Cell::text("for ever"),
            (months, _) => number(months),
        },
        topic.needed_by.as_ref().map_or(Cell::Null, Cell::text),
        count(topic.bytes_needed),
        cost(topic.cost_needed_per_month),
        topic.slowest.as_ref().map_or(Cell::Null, Cell::text),
    ]
}

/// To hundredths; of less than one, two digits that count.
fn money(cost: f64) -> f64 {
    if !(f64::MIN_POSITIVE..1.0).contains(&cost) {
        return round(cost);
    }
    let unit = 10f64.powf(cost.log10().floor() - 1.0);
    let digits = (cost / unit).round();
    // A quotient of whole numbers has no digits of its own making.
    digits / (1.0 / unit).round()
}

/// To hundredths.
fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
