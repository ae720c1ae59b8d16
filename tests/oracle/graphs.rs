//! Graphs: branches that meet, keys that are not those of the partitions, nodes that hold each other back.

use refrain_engine::run::RunOptions;

use crate::compare::{Seen, compare};
use crate::graph::{Graph, Node, Work};
use crate::home::{Home, run_meanwhile, run_once, status};
use crate::scenes::{SECOND, digests, fold, node, once, rows, source, well};

fn over(mut node: Node, inputs: &[&str]) -> Node {
    node.inputs = inputs.iter().map(|i| i.to_string()).collect();
    node
}

fn spread(mut node: Node, partitions: u32) -> Node {
    node.partitions = Some(partitions);
    node
}

/// A source, two branches made of it, and nodes in which all three meet.
fn diamond() -> Vec<Node> {
    let copies = Work::Transform { shift: SECOND };
    vec![
        node("left", "events", copies.clone(), true),
        node("right", "t_left", copies.clone(), true),
        over(
            node("meet", "", fold(&["kb"], None), false),
            &["t_right", "events", "t_left"],
        ),
        over(node("union", "", copies, true), &["t_left", "t_right"]),
        node("windows", "t_union", fold(&["ka"], Some(5 * SECOND)), true),
        over(
            node("closed", "", fold(&["ka"], Some(60 * SECOND)), false),
            &["t_windows", "t_union"],
        ),
    ]
}

#[test]
fn branches_of_a_diamond_meet_in_the_order_of_the_rows_that_they_come_from() {
    for (rhythm, partitions) in [("once", 1), ("once", 3), ("mixed", 3)] {
        let mut nodes = diamond();
        if rhythm == "mixed" {
            for (place, node) in nodes.iter_mut().enumerate() {
                node.rhythm = ["continuous", "every 3ms", "every 20ms"][place % 3].into();
            }
        }
        let source = source(&["kb"], partitions, None);
        let mut home = Home::new(Graph::new(source, nodes), false);
        let host = home.open();
        home.append(&host, &rows(50));
        match rhythm {
            "once" => well(&run_once(&host, &once())),
            _ => well(&run_meanwhile(&host, &RunOptions::default(), || {
                for batch in rows(60).chunks(7) {
                    home.append(&host, batch);
                }
            })),
        }
        let mut seen = Seen::default();
        compare(&home, &host, &mut seen);
        assert!(seen.derived > 100 && seen.rows > 5, "{seen:?}");
    }
}

/// Views do not depend on the number of tasks, nor on that of workers.
#[test]
fn a_key_that_is_not_that_of_the_partitions_is_spread_over_tasks() {
    let mut told = Vec::new();
    for (tasks, workers) in [(1, 1), (2, 1), (5, 1), (5, 3), (16, 2)] {
        let nodes = vec![
            spread(node("total", "events", fold(&["ka"], None), false), tasks),
            spread(
                node(
                    "windows",
                    "events",
                    fold(&["kc", "ke"], Some(5 * SECOND)),
                    false,
                ),
                tasks,
            ),
        ];
        let source = source(&["kb"], 3, Some(30 * SECOND));
        let mut home = Home::new(Graph::new(source, nodes), false);
        let host = home.open();
        for batch in rows(400).chunks(90) {
            home.append(&host, batch);
            let options = RunOptions { workers, ..once() };
            well(&run_once(&host, &options));
        }
        let mut seen = Seen::default();
        compare(&home, &host, &mut seen);
        assert!(seen.finals > 10, "{seen:?}");
        told.push(digests(&host));
    }
    assert!(told.iter().all(|t| *t == told[0]), "{told:?}");
}

/// A reader with the key of the node that writes its topic has a task for each of its partitions.
#[test]
fn what_is_spread_by_a_key_needs_no_exchange_for_that_key() {
    let nodes = vec![
        spread(
            node("windows", "events", fold(&["ka"], Some(5 * SECOND)), true),
            4,
        ),
        node("same", "t_windows", fold(&["ka"], Some(20 * SECOND)), true),
        node(
            "other",
            "t_windows",
            fold(&["ka", "window_start"], None),
            false,
        ),
        over(
            node("both", "", fold(&["ka"], None), false),
            &["t_same", "t_windows"],
        ),
    ];
    let source = source(&["kb"], 3, None);
    let mut home = Home::new(Graph::new(source, nodes), false);
    let host = home.open();
    home.append(&host, &rows(300));
    well(&run_once(&host, &once()));
    let mut seen = Seen::default();
    compare(&home, &host, &mut seen);
    assert!(seen.derived > 10, "{seen:?}");
    assert_eq!(status(&host).len(), 4);
}
