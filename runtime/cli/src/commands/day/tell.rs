//! The day for people: tables.

use refrain_engine::cost::outcome::Figure;
use refrain_engine::tiers::words::span;

use super::compare::{Day, Foretold, Line, Way};
use crate::args::Output;
use crate::cells::Cell;
use crate::failure::Failure;
use crate::show::{Sheet, grouped};

pub(super) fn tell(day: &Day, output: Output) -> Result<(), Failure> {
    eprintln!("\n== the day, by way ({})", day.currency);
    ways(day).print(output)?;
    eprintln!("\n== nodes");
    nodes(day).print(output)?;
    eprintln!("\n== consumers, a month at this rate");
    consumers(day).print(output)?;
    eprintln!("\n== foretold by `refrain cost --file`, before it was made");
    foretold(day).print(output)?;
    let sums = day.generated;
    eprintln!(
        "\nThe views are equal in both ways, and have all of {} rows ({} rejected): a rhythm changes cost, not values.",
        grouped(sums.rows.unsigned_abs()),
        sums.senseless
    );
    Ok(())
}

fn ways(day: &Day) -> Sheet {
    let names: Vec<&str> = day.ways.iter().map(|w| w.name.as_str()).collect();
    let mut sheet = Sheet::new(&[&[""], names.as_slice()].concat());
    let mut row = |name: &str, of: &dyn Fn(&Way) -> Cell| {
        let cells = day.ways.iter().map(of);
        sheet.push(std::iter::once(Cell::text(name)).chain(cells).collect());
    };
    row("commits", &|way| Cell::count(way.commits));
    row("CPU s in plugins", &|way| two(way.plugin_cpu_s));
    row("CPU s in the host", &|way| two(way.host_cpu_s));
    row("syncs", &|way| Cell::count(way.syncs));
    row("bytes written", &|way| Cell::count(way.written_bytes));
    row("bytes held", &|way| Cell::count(way.held_bytes));
    row("cost of the day", &|way| Cell::text(way.cost.to_string()));
    row("cost a month", &|way| {
        Cell::text(way.cost_month.to_string())
    });
    sheet
}

fn nodes(day: &Day) -> Sheet {
    let mut sheet = Sheet::new(&["way", "node", "rhythm", "commits", "CPU s", "cost"]);
    for way in &day.ways {
        for node in &way.nodes {
            sheet.push(vec![
                Cell::text(&way.name),
                Cell::text(&node.name),
                Cell::text(&node.rhythm),
                Cell::count(node.commits),
                two(node.cpu_s),
                Cell::text(node.cost.to_string()),
            ]);
        }
    }
    sheet
}

fn consumers(day: &Day) -> Sheet {
    let mut sheet = Sheet::new(&[
        "way",
        "consumer",
        "need",
        "oldest",
        "slack",
        "met",
        "cost a month",
    ]);
    for way in &day.ways {
        for consumer in &way.consumers {
            let met = consumer.achieved_ppm.map_or("-".into(), |ppm| {
                format!("{}.{:02} %", ppm / 10_000, ppm / 100 % 100)
            });
            sheet.push(vec![
                Cell::text(&way.name),
                Cell::text(&consumer.name),
                Cell::text(span(consumer.need_us)),
                Cell::text(span(consumer.worst_us)),
                Cell::text(span(consumer.slack_us)),
                Cell::text(met),
                Cell::text(consumer.cost_month.to_string()),
            ]);
        }
    }
    sheet
}

fn foretold(day: &Day) -> Sheet {
    let mut sheet = Sheet::new(&[
        "of",
        "node",
        "figure",
        "foretold",
        "happened",
        "off by %",
        "within 25 %",
    ]);
    for Foretold { of, lines } in &day.foretold {
        for Line {
            outcome,
            off_percent,
            good,
        } in lines
        {
            let figure = outcome.figure;
            let value = |value: f64| match figure {
                Figure::CpuSeconds => two(value),
                Figure::Money => Cell::text(format!("{value:.5}")),
                _ => Cell::count(value as u64),
            };
            sheet.push(vec![
                Cell::text(of),
                Cell::text(outcome.node.as_deref().unwrap_or("all")),
                Cell::text(match figure {
                    Figure::Money => "cost a month",
                    figure => figure.name(),
                }),
                value(outcome.foretold),
                value(outcome.happened),
                Cell::text(format!("{off_percent:+.0}")),
                Cell::text(if *good { "yes" } else { "no" }),
            ]);
        }
    }
    sheet
}

fn two(value: f64) -> Cell {
    Cell::Float((value * 100.0).round() / 100.0)
}
