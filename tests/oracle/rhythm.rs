//! When passes of a rhythm begin.

use refrain_engine::run::RunOptions;

use crate::home::{Home, last_sequence, run_meanwhile, status};
use crate::random::{self, Rows};

/// A node of `every 1h` once worked an hour after its tick.
#[test]
fn a_pass_of_every_begins_with_its_tick() {
    let seed = crate::SEED;
    let random::Case {
        mut graph, rows, ..
    } = random::case(seed);
    for node in &mut graph.nodes {
        node.rhythm = "every 1h".into();
    }
    let mut rows = Rows::new(seed, rows, graph.source.fields.clone());
    let mut home = Home::new(graph, false);
    let host = home.open();
    crate::append_all(&mut home, &host, &mut rows, &[3, 40, 1]);
    let last = last_sequence(&host);
    assert!(last > 0, "rows were appended");
    let report = run_meanwhile(&host, &RunOptions::default(), || {});
    assert!(report.stopped.is_empty(), "{:?}", report.stopped);
    for node in status(&host) {
        assert!(
            node.cut.0 >= last,
            "{} is at {}, the log at {last}",
            node.name,
            node.cut
        );
    }
}
