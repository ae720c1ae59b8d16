//! What the joins are to give, from all rows at once, by loops over them: no plugin, no engine, no state. The topics have one
//! partition each, so the order of the log is that in which the rows were appended.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::Row;

/// Disorder of every topic, and the step of the nodes' timers.
const DISORDER_MS: i64 = 5_000;
const STEP_MS: i64 = 1_000;

/// What is given, each row as the values of its columns, and how many rows are rejected.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) rows: BTreeSet<Vec<Option<i64>>>,
    pub(super) rejected: u64,
}

/// The watermark of a node before each of its rows and after the last, rounded down to a step; none: the least.
fn watermarks(rows: &[&Row], inputs: &[&str]) -> Vec<Option<i64>> {
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    let mut watermarks = vec![None];
    for row in rows {
        let at = newest.entry(row.topic).or_insert(row.at_ms);
        *at = row.at_ms.max(*at);
        let all = newest.len() == inputs.len();
        let least = newest.values().min().filter(|_| all);
        watermarks.push(least.map(|at| (at - DISORDER_MS).div_euclid(STEP_MS) * STEP_MS));
    }
    watermarks
}

fn of<'r>(rows: &'r [Row], topics: &[&str]) -> Vec<&'r Row> {
    let of = rows.iter().filter(|row| topics.contains(&row.topic));
    of.collect()
}

fn is_late(row: &Row, watermark: Option<i64>) -> bool {
    watermark.is_some_and(|watermark| row.at_ms < watermark)
}

/// `purchases_with_views`: user, order, amount, content.
pub(super) fn led(rows: &[Row], before_ms: i64) -> Given {
    let topics = ["purchases", "views"];
    let rows = of(rows, &topics);
    let marks = watermarks(&rows, &topics);
    let (late, good): (Vec<_>, Vec<_>) =
        (0..rows.len()).partition(|i| is_late(rows[*i], marks[*i]));
    let mut given = Given {
        rejected: late.len() as u64,
        ..Given::default()
    };
    let end = marks.last().copied().flatten();
    for order in good
        .iter()
        .map(|i| rows[*i])
        .filter(|row| row.topic == "purchases")
    {
        let led = good.iter().map(|i| rows[*i]).filter(|view| {
            view.topic == "views"
                && view.key == order.key
                && (order.at_ms - before_ms..=order.at_ms).contains(&view.at_ms)
        });
        let row = |content| vec![Some(order.key), order.a, order.b, content];
        let contents: Vec<_> = led.map(|view| row(view.a)).collect();
        let alone = contents.is_empty() && end.is_some_and(|end| order.at_ms < end);
        given.rows.extend(contents);
        given.rows.extend(alone.then(|| row(None)));
    }
    given
}

/// `priced`: product, sale, pieces, cents, total.
pub(super) fn priced(rows: &[Row]) -> Given {
    let topics = ["sales", "prices"];
    let rows = of(rows, &topics);
    let marks = watermarks(&rows, &topics);
    let mut given = Given::default();
    // by product, the versions not forgotten: time, place in the log, price
    let mut tables: BTreeMap<i64, BTreeSet<(i64, usize, Option<i64>)>> = BTreeMap::new();
    let mut waiting: Vec<&Row> = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        let before = marks[place];
        let table = tables.entry(row.key).or_default();
        let in_force = |until: i64| table.range(..(until + 1, 0, None)).next_back();
        match row.topic {
            "sales" if is_late(row, before) => given.rejected += 1,
            "sales" => waiting.push(row),
            _ if before
                .and_then(in_force)
                .is_some_and(|(at, _, _)| *at > row.at_ms) =>
            {
                given.rejected += 1;
            }
            _ => {
                table.insert((row.at_ms, place, row.a));
            }
        }
        forget(table, before);
        let Some(now) = marks[place + 1] else {
            continue;
        };
        for sale in waiting.extract_if(.., |sale| sale.at_ms < now) {
            let table = &tables[&sale.key];
            let price = table.range(..(sale.at_ms + 1, 0, None)).next_back();
            let cents = price.and_then(|(_, _, cents)| *cents);
            let total = cents.zip(sale.b).map(|(cents, pieces)| cents * pieces);
            given
                .rows
                .insert(vec![Some(sale.key), sale.a, sale.b, cents, total]);
        }
        tables
            .values_mut()
            .for_each(|table| forget(table, Some(now)));
    }
    given
}

/// `charged`: product, sale, pieces, cents, total.
pub(super) fn charged(rows: &[Row]) -> Given {
    let mut given = Given::default();
    let mut prices: BTreeMap<i64, Option<i64>> = BTreeMap::new();
    for row in of(rows, &["sales", "prices"]) {
        if row.topic == "prices" {
            prices.insert(row.key, row.a);
            continue;
        }
        let cents = prices.get(&row.key).copied().flatten();
        let total = cents.zip(row.b).map(|(cents, pieces)| cents * pieces);
        given
            .rows
            .insert(vec![Some(row.key), row.a, row.b, cents, total]);
    }
    given
}

/// A product that is not sold any more is forgotten with the watermark.
fn forget(table: &mut BTreeSet<(i64, usize, Option<i64>)>, watermark: Option<i64>) {
    let Some(until) = watermark else { return };
    let newest = table.range(..(until + 1, 0, None)).next_back().copied();
    if let Some(gone @ (_, _, None)) = newest {
        table.retain(|version| *version > gone);
    }
}

/// `first_seen`: event, watch time.
pub(super) fn first_seen(rows: &[Row], horizon_ms: i64) -> Given {
    let rows = of(rows, &["events"]);
    let marks = watermarks(&rows, &["events"]);
    let mut given = Given::default();
    let mut passed: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (place, row) in rows.iter().enumerate() {
        let passed = passed.entry(row.key).or_default();
        if is_late(row, marks[place]) {
            given.rejected += 1;
        } else if passed.iter().all(|at| (at - row.at_ms).abs() >= horizon_ms) {
            passed.push(row.at_ms);
            given.rows.insert(vec![Some(row.key), row.b]);
        }
    }
    given
}

/// `top_content`, for each kind: kind, rank, content, events, watch time. And how many rows are rejected.
pub(super) fn top(rows: &[Row], count: usize, horizon_ms: i64) -> Given {
    let rows = of(rows, &["events"]);
    let marks = watermarks(&rows, &["events"]);
    let mut given = Given::default();
    // by kind and content: time of the last row, events, watch time
    let mut items: BTreeMap<(i64, i64), (i64, i64, i64)> = BTreeMap::new();
    for (place, row) in rows.iter().enumerate() {
        let over = |at: i64, mark: Option<i64>| mark.is_some_and(|mark| at + horizon_ms <= mark);
        if over(row.at_ms, marks[place]) {
            given.rejected += 1;
        } else {
            let item = (row.kind, row.a.unwrap_or(0));
            let (last, events, watched) = items.entry(item).or_insert((row.at_ms, 0, 0));
            *last = row.at_ms.max(*last);
            *events += 1;
            *watched += row.b.unwrap_or(0);
        }
        items.retain(|_, (last, _, _)| !over(*last, marks[place + 1]));
    }
    let kinds: BTreeSet<i64> = items.keys().map(|(kind, _)| *kind).collect();
    for kind in kinds {
        let of_kind = items.iter().filter(|((of, _), _)| *of == kind);
        let mut best: Vec<_> = of_kind
            .map(|((_, content), (_, events, watched))| (-watched, *content, *events))
            .collect();
        best.sort_unstable();
        for (rank, (watched, content, events)) in (1..).zip(best).take(count) {
            let row = [kind, rank, content, events, -watched];
            given.rows.insert(row.map(Some).to_vec());
        }
    }
    given
}
