//! The plan against rows that are laid out in the rounds that its rhythms make: none is shown later than planned.

use std::collections::BTreeMap;

use proptest::prelude::*;
use refrain_log::ids::Sequence;

use super::{S, chosen, graphs};
use crate::cost::arrivals::Arrival;
use crate::cost::rounds::{Arriving, Known, simulate};
use crate::pipeline::Rhythm;
use crate::tiers::graph::{Graph, Measure};
use crate::tiers::{plan, planner};

/// The graph with work that takes no time and nodes that run by themselves, as a layout of rounds has it.
fn idle(mut graph: Graph) -> Graph {
    graph.sources.iter_mut().for_each(|s| s.every_us = 0);
    for node in &mut graph.nodes {
        node.measure = Some(Measure {
            base_us: 0,
            load_ppm: 0,
        });
        if node.rhythm == Some(Rhythm::Once) {
            node.rhythm = Some(Rhythm::Every(40 * S));
        }
    }
    graph
}

/// When the last of many rows, that came at `end`, is in the results of each node, less the time at which it came.
fn waited(graph: &Graph, rhythms: &[Rhythm], end: i64) -> Vec<i64> {
    let rows = (0..40).map(|i| Arrival {
        time_us: end - (39 - i) * S / 2,
        sequence: Sequence(i.unsigned_abs() + 1),
        rows: 1.0,
    });
    let rows: Vec<Arrival> = rows.collect();
    let names = graph.sources.iter().map(|s| (s.name.clone(), rows.clone()));
    let sources: BTreeMap<String, Vec<Arrival>> = names.collect();
    let known = vec![Known::default(); graph.nodes.len()];
    let arriving = Arriving {
        sources: &sources,
        until_us: None,
    };
    let layouts = simulate(graph, rhythms, &known, arriving);
    let last = layouts.iter().map(|l| l.rounds.last());
    let last = last.map(|round| round.map_or(end, |r| r.time_us));
    last.map(|at| at - end).collect()
}

proptest! {
    #[test]
    fn no_row_is_shown_later_than_planned(graph in graphs(), ends in prop::collection::vec(1_i64 << 40..1 << 41, 1..5)) {
        let graph = idle(graph);
        let rhythms = chosen(&plan(&graph));
        let planned = planner::ages(&graph, &rhythms);
        for end in ends {
            for (place, waited) in waited(&graph, &rhythms, end).into_iter().enumerate() {
                prop_assert!(waited <= planned[place], "{}: {} of {}", graph.nodes[place].name, waited, planned[place]);
            }
        }
    }

    /// Of a node by itself the worst that is planned does happen.
    #[test]
    fn the_worst_that_is_planned_happens(period in 2_i64..100_000, graph in graphs()) {
        let mut graph = idle(graph);
        graph.nodes.truncate(1);
        graph.readers.clear();
        graph.nodes[0].rhythm = Some(Rhythm::Every(period * S));
        let rhythms = chosen(&plan(&graph));
        let planned = planner::ages(&graph, &rhythms)[0];
        // Just too late for a pass.
        let tick = (1_i64 << 40) / (period * S) * period * S;
        prop_assert_eq!(waited(&graph, &rhythms, tick + 1)[0], planned - 1);
    }
}
