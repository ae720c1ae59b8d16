//! Holds what the host says against what the model says.

use std::collections::BTreeMap;

use refrain_engine::host::Host;
use refrain_engine::request::{From, Request, Response, TopicRows, ViewAnswer};
use refrain_log::ids::Sequence;

use crate::graph::{Kinds, Node, Window, Work};
use crate::home::{Home, status};
use crate::model::{self, Letter, NEVER, Outcome};
use crate::value::{Row, Value, digest, to_rows};

/// What was compared, so that a test can see that it compared something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub rows: u64,
    pub finals: u64,
    pub late: u64,
    pub rejected: u64,
    pub derived: u64,
    pub sliding: u64,
    pub missed: u64,
    pub sessions: u64,
    pub merged: u64,
    pub counted: u64,
    pub gone: u64,
    pub fired: u64,
    /// States that came from the disk into memory again.
    pub fetched: u64,
    /// The same of process nodes.
    pub keys_fetched: u64,
    /// Rhythms that changed while nodes ran.
    pub graduated: u64,
    /// Power cuts while something was under way.
    pub cuts: u64,
    /// Operations of the disk that failed.
    pub faults: u64,
    /// Appended frames that were merged.
    pub optimized: u64,
}

/// Compares every node at its own last cut.
pub fn compare(home: &Home, host: &Host, seen: &mut Seen) {
    let mut models: BTreeMap<u64, Vec<Outcome>> = BTreeMap::new();
    for (place, (node, told)) in home.graph.nodes.iter().zip(status(host)).enumerate() {
        assert_eq!(told.name, node.name);
        let fetched = told.cache.map_or(0, |cache| cache.fetched);
        match node.work {
            Work::Process { .. } => seen.keys_fetched += fetched,
            _ => seen.fetched += fetched,
        }
        if told.cut.0 == 0 {
            continue;
        }
        let outcomes = models
            .entry(told.cut.0)
            .or_insert_with(|| model::run(&home.graph, home.frames(host, told.cut)));
        let outcome = &outcomes[place];
        let late: usize = outcome.late.iter().map(Vec::len).sum();
        let rejected: usize = outcome.rejected.iter().map(Vec::len).sum();
        let expected = [
            ("late", late as u64),
            ("out", outcome.out),
            ("rejected", rejected as u64),
            ("rows", outcome.rows),
        ];
        let mut expected: BTreeMap<String, u64> = expected
            .map(|(name, count)| (name.to_owned(), count))
            .into();
        if outcome.missed > 0 {
            expected.insert("missed".into(), outcome.missed);
        }
        assert_eq!(told.counts, expected, "counts of {}", node.name);
        let process = matches!(node.work, Work::Process { .. });
        if node.to_topic || node.window().is_some() || process {
            let watermark = Some(outcome.watermark).filter(|w| *w != NEVER);
            assert_eq!(
                told.watermark.map(|w| w.0),
                watermark,
                "watermark of {}",
                node.name
            );
        }
        letters(host, node, outcome);
        results(host, node, outcome, told.cut);
        seen.late += late as u64;
        seen.rejected += rejected as u64;
        match node.window().map(|w| w.kind) {
            Some(Kinds::Sliding { .. }) => seen.sliding += outcome.out,
            Some(Kinds::Session { .. }) => seen.sessions += outcome.out,
            Some(Kinds::Count { .. }) => seen.counted += outcome.out,
            _ => {}
        }
        seen.missed += outcome.missed;
        seen.merged += outcome.merged;
        seen.gone += outcome.gone;
        seen.fired += outcome.fired;
        seen.rows += outcome.view.len() as u64;
        seen.finals += outcome.view.values().filter(|v| v.1).count() as u64;
        seen.derived += outcome
            .feed
            .frames
            .iter()
            .map(|f| f.rows.len() as u64)
            .sum::<u64>();
    }
    refused(home, host);
}

/// All rows of a partition.
fn read(host: &Host, topic: &str, partition: u32) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut from = From::Earliest;
    loop {
        let topic = topic.to_owned();
        let limit = u64::MAX;
        let request = Request::Read {
            topic,
            partition,
            from,
            limit,
        };
        let TopicRows { table, next, .. } = match host.handle(request) {
            Response::Read(rows) => rows,
            other => panic!("not rows: {other:?}"),
        };
        if table.rows.num_rows() == 0 {
            return rows;
        }
        rows.extend(to_rows(&table.rows, &table.schema));
        from = From::Offset(next);
    }
}

fn letters(host: &Host, node: &Node, outcome: &Outcome) {
    let windowed = node.window().is_some_and(Window::timed);
    for task in 0..outcome.tasks {
        let of = |kind: &str, expected: &[Vec<Letter>]| {
            let topic = format!("{}.{kind}", node.name);
            let found = read(host, &topic, task);
            let expected = &expected[task as usize];
            let same = |(found, expected): (&Row, &Letter)| is_letter(found, expected);
            let equal = found.len() == expected.len() && found.iter().zip(expected).all(same);
            assert!(
                equal,
                "{topic}/{task}: found {found:#?}, expected {expected:#?}"
            );
        };
        of("rejected", &outcome.rejected);
        if windowed {
            of("late", &outcome.late);
        }
    }
}

fn is_letter(found: &Row, expected: &Letter) -> bool {
    let place = [
        Value::Text(expected.topic.clone()),
        Value::Int(i64::from(expected.partition)),
        Value::Int(expected.offset as i64),
    ];
    let reason = found[3].as_text().expect("a reason is text");
    found[..3] == place && reason == expected.reason
}

fn results(host: &Host, node: &Node, outcome: &Outcome, cut: Sequence) {
    if node.to_topic {
        for task in 0..outcome.tasks {
            let found = read(host, &node.output(), task);
            let frames = outcome.feed.frames.iter();
            let frames = frames.filter(|f| f.partition == task);
            let expected: Vec<Row> = frames
                .flat_map(|f| f.rows.iter().map(|r| r.values.clone()))
                .collect();
            same_rows(&format!("{}/{task}", node.output()), &found, &expected);
        }
        return;
    }
    let request = Request::ViewScan {
        view: node.output(),
        limit: None,
    };
    let ViewAnswer {
        status,
        table,
        finals,
        next,
    } = match host.handle(request) {
        Response::View(answer) => answer,
        other => panic!("not a view: {other:?}"),
    };
    assert_eq!(next, None, "views of the oracle are a page long");
    let rows: Vec<Row> = outcome.view.values().map(|v| v.0.clone()).collect();
    let expected: Vec<bool> = outcome.view.values().map(|v| v.1).collect();
    same_rows(&node.output(), &to_rows(&table.rows, &table.schema), &rows);
    assert_eq!(finals, expected, "final marks of {}", node.output());
    assert_eq!(status.key_fields, outcome.key_fields);
    assert_eq!(status.state.cut, cut);
    assert_eq!(status.state.rows, rows.len() as u64);
    assert_eq!(
        status.state.finals,
        finals.iter().filter(|f| **f).count() as u64
    );
    let expected = digest(&outcome.names(), &rows);
    assert_eq!(
        status.state.digest,
        expected,
        "digest of {} (kept {:032x}, by its rows {expected:032x})",
        node.output(),
        status.state.digest
    );
}

fn same_rows(what: &str, found: &[Row], expected: &[Row]) {
    if found == expected {
        return;
    }
    let at = found.iter().zip(expected).position(|(a, b)| a != b);
    let at = at.unwrap_or(found.len().min(expected.len()));
    panic!(
        "{what}: {} rows found, {} expected; first difference at row {at}:\n  found    {:?}\n  expected {:?}",
        found.len(),
        expected.len(),
        found.get(at),
        expected.get(at)
    );
}

/// Rows that the log itself refused.
fn refused(home: &Home, host: &Host) {
    let found = read(host, "events.rejected", 0);
    let reasons: Vec<&str> = found.iter().filter_map(|row| row[5].as_text()).collect();
    assert_eq!(
        reasons.len(),
        home.refused.len(),
        "refused rows: {reasons:?}"
    );
    for (found, expected) in reasons.iter().zip(&home.refused) {
        assert!(
            found.starts_with(expected.as_str()),
            "{found} and not {expected}"
        );
    }
}
