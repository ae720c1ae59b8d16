//! The planner's laws over random graphs, and each finding once.

use proptest::prelude::*;

use super::graph::{From, Graph, Measure, NEVER_US, Reader, Source, Vertex};
use super::planner::{ages, plan, required};
use super::*;
use crate::pipeline::{Rhythm, TierNames};

mod pictures;
mod simulated;

const S: i64 = 1_000_000;

fn rhythm() -> impl Strategy<Value = Option<Rhythm>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(Rhythm::Continuous)),
        1 => Just(Some(Rhythm::Once)),
        1 => (1_i64..100_000).prop_map(|s| Some(Rhythm::Every(s * S))),
    ]
}

fn measure() -> impl Strategy<Value = Option<Measure>> {
    prop::option::of(
        (0_i64..20 * S, 0_i64..300_000)
            .prop_map(|(base_us, load_ppm)| Measure { base_us, load_ppm }),
    )
}

prop_compose! {
    fn graphs()(
        sources in prop::collection::vec(prop_oneof![Just(0_i64), 1_i64..7200], 1..4),
        nodes in prop::collection::vec(
            (rhythm(), measure(), prop::collection::vec(any::<prop::sample::Index>(), 1..4), any::<bool>()), 1..9),
        readers in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::option::weighted(0.8, 1_i64..200_000)), 0..6),
    ) -> Graph {
        let count = nodes.len();
        let inputs = |place: usize, picks: &[prop::sample::Index]| {
            let pick = |i: &prop::sample::Index| match i.index(sources.len() + place) {
                i if i < sources.len() => From::Topic(i),
                i => From::Node(i - sources.len()),
            };
            picks.iter().map(pick).collect::<Vec<_>>()
        };
        let vertices = nodes.iter().enumerate().map(|(place, (rhythm, measure, picks, due))| Vertex {
            name: format!("n{place}"),
            inputs: inputs(place, picks),
            rhythm: rhythm.clone(),
            due_us: due.then_some(3600 * S),
            measure: *measure,
            view: Some(format!("v{place}")),
        });
        Graph {
            nodes: vertices.collect(),
            sources: sources.iter().enumerate().map(|(i, s)| Source { name: format!("t{i}"), every_us: s * S }).collect(),
            readers: readers.iter().enumerate().map(|(i, (node, need))| Reader {
                name: format!("c{i}"),
                node: node.index(count),
                need_us: need.map(|s| s * S),
            }).collect(),
            commit_interval_us: S,
            tiers: TierNames::default(),
        }
    }
}

fn with(graph: &Graph, rhythms: &[Rhythm]) -> Vec<i64> {
    let ages = ages(graph, rhythms);
    graph.readers.iter().map(|r| ages[r.node]).collect()
}

/// The tightest that could be had: every `auto` node continuous.
fn tightest(graph: &Graph) -> Vec<Rhythm> {
    let rhythms = graph.nodes.iter().map(|n| n.rhythm.clone());
    rhythms.map(|r| r.unwrap_or(Rhythm::Continuous)).collect()
}

fn chosen(tiers: &Tiers) -> Vec<Rhythm> {
    tiers.nodes.iter().map(|n| n.rhythm.clone()).collect()
}

fn looser(rhythm: &Rhythm) -> Option<Rhythm> {
    let periods = [
        2, 5, 10, 15, 20, 30, 45, 60, 120, 300, 600, 900, 1200, 1800, 2700, 3600, 7200, 10_800,
        14_400, 21_600, 28_800, 43_200, 86_400, 172_800, 604_800,
    ];
    let now = match rhythm {
        Rhythm::Every(us) => *us,
        _ => S,
    };
    periods
        .map(|s| s * S)
        .into_iter()
        .find(|us| *us > now)
        .map(Rhythm::Every)
}

proptest! {
    /// No reader gets less than it needs, or, where that cannot be had, less than the best that can.
    #[test]
    fn needs_are_met_where_they_can_be(graph in graphs()) {
        let got = with(&graph, &chosen(&plan(&graph)));
        let best = with(&graph, &tightest(&graph));
        for ((reader, got), best) in graph.readers.iter().zip(got).zip(best) {
            if let Some(need) = reader.need_us {
                prop_assert!(got <= need.max(best), "{}: got {got}, need {need}, best {best}", reader.name);
            }
        }
    }

    /// No `auto` node that is needed can be loosened further.
    #[test]
    fn rhythms_are_the_loosest(graph in graphs()) {
        let tiers = plan(&graph);
        let best = with(&graph, &tightest(&graph));
        for (place, node) in tiers.nodes.iter().enumerate().filter(|(_, n)| n.auto && n.required_us.is_some()) {
            let mut rhythms = chosen(&tiers);
            let Some(next) = looser(&node.rhythm) else { continue };
            rhythms[place] = next;
            let got = with(&graph, &rhythms);
            let keeps = graph.readers.iter().zip(&got).zip(&best).all(|((reader, got), best)| {
                reader.need_us.is_none_or(|need| *got <= need.max(*best))
            });
            prop_assert!(!keeps, "{} could be {}", node.name, rhythms[place]);
        }
    }

    /// A stated rhythm is never changed, and a node that no need depends on is continuous.
    #[test]
    fn what_is_stated_stays(graph in graphs()) {
        for (vertex, node) in graph.nodes.iter().zip(plan(&graph).nodes) {
            match &vertex.rhythm {
                Some(rhythm) => prop_assert_eq!(rhythm, &node.rhythm),
                None if node.required_us.is_none() => prop_assert_eq!(node.rhythm, Rhythm::Continuous),
                None => {}
            }
        }
    }

    /// The age of a result is that of its stalest input and the node's own; its path sums to it; and what is required of
    /// an input and met there is met here.
    #[test]
    fn ages_are_sums_of_the_worst_path(graph in graphs()) {
        let tiers = plan(&graph);
        let rhythms = chosen(&tiers);
        let (ages, required) = (ages(&graph, &rhythms), required(&graph, &rhythms));
        for consumer in &tiers.consumers {
            let steps = consumer.path.iter().map(|s| s.wait_us.map(|w| w + s.took_us));
            let sum: Option<i64> = steps.sum();
            prop_assert_eq!(sum.filter(|us| *us < NEVER_US), consumer.achieved_us);
        }
        for edge in tiers.edges.iter().filter(|e| !e.consumer) {
            let node = tiers.nodes.iter().find(|n| n.name == edge.to).expect("an edge ends at a node");
            if let (Some(input), Some(result)) = (edge.achieved_us, node.achieved_us) {
                prop_assert!(input <= result);
            }
        }
        let late = |place: usize| required[place] < NEVER_US && ages[place] > required[place];
        for (place, vertex) in graph.nodes.iter().enumerate() {
            for from in &vertex.inputs {
                if let From::Node(input) = from {
                    prop_assert!(!late(*input) || ages[*input] > required[*input]);
                    prop_assert!(ages[place] >= ages[*input]);
                }
            }
        }
    }

    /// The same graph gives the same answer.
    #[test]
    fn it_is_a_function(graph in graphs()) {
        prop_assert_eq!(plan(&graph), plan(&graph));
    }
}

#[test]
fn a_chain_shares_what_may_be_waited() {
    let node = |name: &str, inputs: Vec<From>| Vertex {
        name: name.into(),
        inputs,
        rhythm: None,
        due_us: None,
        measure: None,
        view: Some(name.into()),
    };
    let graph = Graph {
        sources: vec![Source {
            name: "t".into(),
            every_us: 0,
        }],
        nodes: vec![
            node("clean", vec![From::Topic(0)]),
            node("sums", vec![From::Node(0)]),
        ],
        readers: vec![Reader {
            name: "board".into(),
            node: 1,
            need_us: Some(3600 * S),
        }],
        commit_interval_us: S,
        tiers: TierNames::default(),
    };
    let tiers = plan(&graph);
    let rhythms: Vec<String> = tiers.nodes.iter().map(|n| n.rhythm.to_string()).collect();
    assert_eq!(rhythms, ["every 20m", "every 30m"]);
    assert_eq!(tiers.consumers[0].achieved_us, Some(3002 * S));
    assert_eq!(tiers.consumers[0].slack_us, Some(598 * S));
}
