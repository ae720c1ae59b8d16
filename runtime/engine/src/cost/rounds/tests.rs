//! Rounds against rules that are told in words.

use proptest::prelude::*;

use super::*;
use crate::pipeline::TierNames;
use crate::tiers::graph::{Source, Vertex};

const S: i64 = 1_000_000;

fn frames(times: impl IntoIterator<Item = i64>) -> Vec<Arrival> {
    let frame = |(time_us, sequence)| Arrival {
        time_us,
        sequence: Sequence(sequence),
        rows: 10.0,
    };
    times.into_iter().zip(1..).map(frame).collect()
}

/// Nodes one below the other, each in its rhythm.
pub(super) fn chain(
    rhythms: &[Rhythm],
    arrivals: Vec<Arrival>,
    until_us: Option<i64>,
    commit_interval_us: i64,
) -> Vec<Layout> {
    let node = |(place, _)| Vertex {
        name: format!("n{place}"),
        inputs: match place {
            0 => vec![From::Topic(0)],
            place => vec![From::Node(place - 1)],
        },
        rhythm: None,
        due_us: None,
        measure: None,
        view: None,
    };
    let graph = Graph {
        sources: vec![Source {
            name: "t".into(),
            every_us: 0,
        }],
        nodes: rhythms.iter().enumerate().map(node).collect(),
        readers: Vec::new(),
        commit_interval_us,
        tiers: TierNames::default(),
    };
    let arriving = Arriving {
        sources: &[("t".to_owned(), arrivals)].into(),
        until_us,
    };
    let known = vec![Known::default(); rhythms.len()];
    simulate(&graph, rhythms, &known, arriving)
}

fn rhythm(text: &str) -> Rhythm {
    Rhythm::parse(text).expect("a rhythm")
}

fn laid(rhythms: &[&str], arrivals: Vec<Arrival>, until_us: Option<i64>) -> Vec<Layout> {
    let rhythms: Vec<Rhythm> = rhythms.iter().map(|text| rhythm(text)).collect();
    chain(&rhythms, arrivals, until_us, 5 * S)
}

fn each_second(count: i64) -> Vec<Arrival> {
    frames((0..count).map(|i| i * S + 1))
}

#[test]
fn rhythms_make_rounds() {
    let count = |rhythm: &str| {
        let day = laid(&[rhythm], each_second(86_400), Some(86_400 * S));
        day[0].rounds.len()
    };
    assert_eq!(count("continuous"), 17_280, "the first at once");
    assert_eq!(count("every 1m"), 1_440);
    // An hour is longer than the first rounds may be: 64, 256, 1,024, then as long as is wanted.
    assert_eq!(count("0 * * * *"), 24 + 3);
    assert_eq!(count("once"), 6);
}

/// A pass goes to where the node above has got when it begins, or is on its way to, and is one round then.
#[test]
fn a_node_waits_for_the_one_above_it() {
    let hour = each_second(3_600);
    let rounds = |rhythms: &[&str]| {
        let layouts = laid(rhythms, hour.clone(), Some(3_600 * S));
        layouts
            .into_iter()
            .map(|l| l.rounds.len())
            .collect::<Vec<_>>()
    };
    assert_eq!(rounds(&["every 20s", "every 20s"]), [180, 180]);
    assert_eq!(rounds(&["every 20s", "every 30s"]), [180, 120]);
    assert_eq!(
        rounds(&["every 20s", "every 20s", "every 30s"]),
        [180, 180, 120]
    );
    // At every other pass the node above has nothing new.
    assert_eq!(rounds(&["every 20s", "every 10s"]), [180, 180]);
    assert_eq!(rounds(&["0 * * * *", "every 10s"]), [4, 4]);
    // A continuous one above is at most the commit interval behind, and waited for, by the last pass still.
    assert_eq!(rounds(&["continuous", "every 1m"])[1], 59);
    let cuts = |rhythms: &[&str]| {
        let last = laid(rhythms, hour.clone(), Some(3_600 * S)).pop();
        let rounds = last.map(|layout| layout.rounds).unwrap_or_default();
        rounds
            .iter()
            .map(|r| (r.time_us / S, r.cut.0))
            .take(3)
            .collect::<Vec<_>>()
    };
    let at_30s = cuts(&["every 20s", "every 30s"]);
    assert_eq!(at_30s, [(30, 20), (60, 60), (90, 80)]);
}

/// Sequences of another topic move the goal of a pass, which then commits though there was nothing to take; a continuous
/// node only gets on.
#[test]
fn what_comes_to_others_is_a_commit_for_passes_alone() {
    let graph = |text: &str| {
        let node = Vertex {
            name: "n".into(),
            inputs: vec![From::Topic(0)],
            rhythm: None,
            due_us: None,
            measure: None,
            view: None,
        };
        let source = |name: &str| Source {
            name: name.into(),
            every_us: 0,
        };
        let graph = Graph {
            sources: vec![source("t"), source("other")],
            nodes: vec![node],
            readers: Vec::new(),
            commit_interval_us: S,
            tiers: TierNames::default(),
        };
        let mut all = each_second(60);
        let own = all.split_off(59);
        let sources = [("t".to_owned(), own), ("other".to_owned(), all)].into();
        let arriving = Arriving {
            sources: &sources,
            until_us: Some(60 * S),
        };
        let found = simulate(&graph, &[rhythm(text)], &[Known::default()], arriving);
        (found[0].rounds.len(), found[0].idle_rounds, found[0].rows())
    };
    assert_eq!(graph("every 10s"), (6, 0, 10.0));
    assert_eq!(graph("continuous"), (1, 59, 10.0));
}

#[test]
fn a_node_of_no_time_makes_one_pass_at_the_end() {
    let found = laid(&["once", "continuous"], each_second(30), Some(60 * S));
    for layout in &found {
        let [round] = layout.rounds[..] else {
            panic!("{layout:?}")
        };
        assert_eq!(
            (round.time_us, round.rows, round.cut.0),
            (60 * S, 300.0, 30)
        );
    }
}

#[test]
fn rounds_are_as_long_as_their_work_lets_them_be() {
    let node = |row_ns: f64| {
        let arrivals = frames((0..20_000).map(|_| 1));
        let graph = Graph {
            sources: vec![Source {
                name: "t".into(),
                every_us: 0,
            }],
            nodes: vec![Vertex {
                name: "n".into(),
                inputs: vec![From::Topic(0)],
                rhythm: None,
                due_us: None,
                measure: None,
                view: None,
            }],
            readers: Vec::new(),
            commit_interval_us: S,
            tiers: TierNames::default(),
        };
        let arriving = Arriving {
            sources: &[("t".to_owned(), arrivals)].into(),
            until_us: None,
        };
        let known = Known { out: 1.0, row_ns };
        let found = simulate(&graph, &[rhythm("every 1h")], &[known], arriving);
        let longest = found[0].rounds.iter().map(|r| r.rows as u64).max();
        (found[0].passes(), longest.expect("a round"))
    };
    assert_eq!(node(0.0), (1, 145_600));
    // 4 seconds of work at 100 microseconds a row.
    let (passes, longest) = node(100_000.0);
    assert!(
        passes == 1 && (20_000..80_000).contains(&longest),
        "{longest}"
    );
}

#[test]
fn an_excerpt_is_the_newest_rounds_that_fit() {
    let of = |rhythm: &str, rows: f64, rounds: usize| {
        let day = laid(&[rhythm], each_second(86_400), Some(86_400 * S));
        excerpt(&day[0], rows, rounds)
    };
    let found = of("continuous", 10_000.0, 30);
    assert_eq!((found.rounds.len(), found.after), (30, Sequence(86_246)));
    assert_eq!(found.from, Sequence(86_146));
    let found = of("every 1m", 1_200.0, 30);
    assert_eq!((found.rounds.len(), found.after), (2, Sequence(86_280)));
    // A round of more rows than may be tried is tried in part.
    let found = of("0 0 * * *", 1_200.0, 30);
    let [round] = found.rounds[..] else {
        panic!("{found:?}")
    };
    assert_eq!((round.rows as i64, round.cut), (1_200, Sequence(86_400)));
    assert_eq!(
        (round.after, found.after),
        (Sequence(86_280), Sequence(86_280))
    );
    assert_eq!(excerpt(&Layout::default(), 10.0, 10), Excerpt::default());
}

proptest! {
    /// Nothing is lost in rounds or taken twice, and none begins before what it takes has come.
    #[test]
    fn rounds_take_everything(
        mut times in prop::collection::vec(0..1_000_000_000_i64, 1..200),
        rhythms in prop::collection::vec(prop_oneof![
            Just("continuous".to_owned()),
            Just("once".to_owned()),
            Just("*/7 * * * *".to_owned()),
            (1..100_000_u32).prop_map(|ms| format!("every {ms}ms")),
        ], 1..4),
    ) {
        times.sort_unstable();
        let arrivals = frames(times.iter().copied());
        let rhythms: Vec<&str> = rhythms.iter().map(String::as_str).collect();
        for layout in laid(&rhythms, arrivals, None) {
            prop_assert_eq!(layout.rows() as usize, 10 * times.len());
            let mut after = Sequence(0);
            let mut last_us = 0;
            for round in &layout.rounds {
                prop_assert!(round.after >= after && round.cut > round.after);
                let newest = times[round.cut.0 as usize - 1];
                prop_assert!(round.time_us >= newest && round.time_us >= last_us);
                (after, last_us) = (round.cut, round.time_us);
            }
        }
    }
}
