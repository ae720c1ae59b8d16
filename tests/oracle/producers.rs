//! Producers in the oracle: appends that are repeated, overlap and go on after the host was opened anew. Only rows that
//! are new may come into the log, and the views are those of the model over exactly these.

use refrain_engine::host::Host;
use refrain_engine::run::RunOptions;
use refrain_log::log::{Append, Producer};
use refrain_tests::Luck;

use crate::compare::{Seen, compare};
use crate::graph::Graph;
use crate::home::{Home, partition, refusal, run_meanwhile, run_once};
use crate::scenes::{fold, node, rows, source};
use crate::value::{Row, canonical, to_batch};

/// One input that is sent in pieces.
struct Sender {
    name: String,
    rows: Vec<Row>,
    /// Rows that the log has.
    kept: usize,
}

/// Sends rows from one that may be there already; the log takes what is new.
fn send(home: &mut Home, host: &Host, sender: &mut Sender, luck: &mut Luck) {
    let from = sender.kept - luck.below(1 + sender.kept.min(40) as u64) as usize;
    let to = (sender.kept + luck.below(60) as usize).min(sender.rows.len());
    let source = home.graph.source.clone();
    let append = Append {
        topic: "events".into(),
        rows: to_batch(&source.schema(), &sender.rows[from..to]),
        row_numbers: Vec::new(),
        input: sender.name.clone(),
        undecoded: Vec::new(),
        producer: Some(Producer {
            name: sender.name.clone(),
            first_row: from as u64 + 1,
        }),
    };
    let appended = host.log().append(append).expect("the log takes rows");
    let (again, new) = (sender.kept - from, &sender.rows[sender.kept..to]);
    let mut refused = 0;
    for row in new {
        match refusal(&source, row, home.now) {
            Some(reason) => {
                home.refused.push(reason);
                refused += 1;
            }
            None => home.taken[partition(&source, row, 0)].push(canonical(row)),
        }
    }
    let counts = (appended.duplicates, appended.rows, appended.rejected);
    let wanted = (again as u64, new.len() as u64 - refused, refused);
    assert_eq!(counts, wanted, "{from} to {to}");
    sender.kept = to;
}

#[test]
fn repeated_and_overlapping_appends_are_taken_once() {
    let mut luck = Luck::printed("producers");
    for partitions in [1, 3] {
        let nodes = vec![
            node("sums", "events", fold(&["kb"], None), false),
            node("windows", "events", fold(&["kb"], Some(10_000_000)), true),
        ];
        let graph = Graph::new(source(&["kb"], partitions, None), nodes);
        let mut home = Home::new(graph, true);
        home.wait(3_600_000_000);
        let sender = |i: usize| Sender {
            name: format!("input {i}"),
            rows: rows(300 + 40 * i),
            kept: 0,
        };
        let mut senders: Vec<Sender> = (0..3).map(sender).collect();
        let mut host = home.open();
        let mut seen = Seen::default();
        while senders.iter().any(|sender| sender.kept < sender.rows.len()) {
            let options = RunOptions {
                once: luck.below(2) == 0,
                workers: 2,
                ..RunOptions::default()
            };
            let mut sends: Vec<usize> = (0..8).map(|_| luck.below(3) as usize).collect();
            if options.once {
                for i in sends.drain(..) {
                    send(&mut home, &host, &mut senders[i], &mut luck);
                }
                let report = run_once(&host, &options);
                assert!(report.stopped.is_empty(), "{:?}", report.stopped);
            } else {
                let report = run_meanwhile(&host, &options, || {
                    for i in sends.drain(..) {
                        send(&mut home, &host, &mut senders[i], &mut luck);
                    }
                });
                assert!(report.stopped.is_empty(), "{:?}", report.stopped);
            }
            compare(&home, &host, &mut seen);
            if luck.below(3) == 0 {
                drop(host);
                host = home.open();
            }
        }
        assert!(seen.rows > 0, "{seen:?}");
    }
}
