//! Process nodes: joins of topics and of their own results, timers, rows that trap, quiet partitions.

use refrain_engine::run::RunOptions;

use crate::compare::{Seen, compare};
use crate::graph::{Graph, Node, Work};
use crate::guests::TRAP;
use crate::home::{Home, run_meanwhile, run_once};
use crate::process::ProcessOptions;
use crate::scenes::{SECOND, digests, fold, node, once, rows, source, well};
use crate::value::Value;

fn process(name: &str, inputs: [&str; 2], key: &[&str], to_topic: bool) -> Node {
    let work = Work::Process {
        key: key.iter().map(|k| k.to_string()).collect(),
        options: ProcessOptions {
            gap_us: 5 * SECOND,
            step_us: SECOND,
        },
    };
    let mut node = node(name, "", work, to_topic);
    node.inputs = inputs.iter().map(|i| i.to_string()).collect();
    node
}

/// Joins of a topic with itself, with what a transform made of it, and with another join; by the partitions' key and by others.
fn joins() -> Vec<Node> {
    vec![
        node("copies", "events", Work::Transform { shift: SECOND }, true),
        process("self", ["events", "events"], &["kb"], true),
        process("pairs", ["events", "t_copies"], &["kb"], false),
        process("spread", ["t_copies", "events"], &["ka"], true),
        process("far", ["t_spread", "t_self"], &[], true),
        process("last", ["t_far", "t_spread"], &[], false),
        node("windows", "t_self", fold(&["kb"], Some(20 * SECOND)), false),
    ]
}

#[test]
fn joins_of_topics_and_joins_say_what_the_model_says_in_every_rhythm() {
    let mut told: Vec<Vec<(String, u128)>> = Vec::new();
    for (rhythm, partitions, workers, call_rows) in [
        ("once", 1, 1, 1),
        ("once", 1, 2, 7),
        ("continuous", 1, 4, 4096),
        ("once", 3, 2, 4096),
        ("mixed", 3, 4, 7),
    ] {
        let mut nodes = joins();
        for (place, node) in nodes.iter_mut().enumerate() {
            node.call_rows = call_rows;
            if rhythm == "mixed" {
                node.rhythm = ["continuous", "every 3ms", "every 20ms"][place % 3].into();
            }
        }
        let source = source(&["kb"], partitions, Some(30 * SECOND));
        let mut home = Home::new(Graph::new(source, nodes), false);
        let host = home.open();
        let options = RunOptions {
            once: rhythm == "once",
            workers,
            drop_instances: Some(9),
            ..RunOptions::default()
        };
        let rows = rows(240);
        match rhythm {
            "once" => {
                for batch in rows.chunks(100) {
                    home.append(&host, batch);
                    well(&run_once(&host, &options));
                }
            }
            _ => well(&run_meanwhile(&host, &options, || {
                for batch in rows.chunks(20) {
                    home.append(&host, batch);
                }
            })),
        }
        let mut seen = Seen::default();
        compare(&home, &host, &mut seen);
        assert!(seen.fired > 100 && seen.rejected > 10, "{seen:?}");
        if partitions == 1 {
            told.push(digests(&host));
        }
    }
    let windows = |digests: &[(String, u128)]| digests.iter().find(|d| d.0 == "v_pairs").cloned();
    assert_eq!(windows(&told[0]), windows(&told[1]));
}

#[test]
fn a_row_that_traps_in_a_join_is_a_dead_letter_and_its_neighbours_survive() {
    for (call_rows, partitions) in [(1, 1), (7, 3), (4096, 1), (4096, 3)] {
        let mut nodes = vec![
            process("pairs", ["events", "events"], &["kb"], false),
            process("written", ["events", "events"], &["ka"], true),
        ];
        nodes.iter_mut().for_each(|n| n.call_rows = call_rows);
        let source = source(&["kb"], partitions, None);
        let mut home = Home::new(Graph::new(source, nodes), false);
        let mut rows = rows(80);
        for (place, trapping) in [0, 20, 21, 40, 79].into_iter().enumerate() {
            rows[trapping][7] = Value::Int(TRAP + (place % 2) as i64);
        }
        let host = home.open();
        for batch in rows.chunks(30) {
            home.append(&host, batch);
            well(&run_once(&host, &once()));
        }
        let mut seen = Seen::default();
        compare(&home, &host, &mut seen);
        assert!(seen.rejected >= 12, "rows trap in both inputs: {seen:?}");
    }
}

/// The number of tasks is not to be seen in a view.
#[test]
fn a_join_spread_over_tasks_shows_the_same_view() {
    let mut told = Vec::new();
    for (tasks, workers) in [(1, 1), (2, 1), (5, 3)] {
        let mut node = process("pairs", ["events", "events"], &["ka"], false);
        node.partitions = Some(tasks);
        let source = source(&["kb"], 3, Some(30 * SECOND));
        let nodes = vec![node];
        let mut home = Home::new(Graph::new(source, nodes), false);
        let host = home.open();
        for batch in rows(300).chunks(70) {
            home.append(&host, batch);
            let options = RunOptions { workers, ..once() };
            well(&run_once(&host, &options));
        }
        let mut seen = Seen::default();
        compare(&home, &host, &mut seen);
        assert!(seen.fired > 50, "{seen:?}");
        told.push(digests(&host));
    }
    assert!(told.iter().all(|t| *t == told[0]), "{told:?}");
}
