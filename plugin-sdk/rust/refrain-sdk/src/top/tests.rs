//! Ranks against a model that sorts everything anew.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Top, TopInput, TopN};
use crate::prelude::*;
use crate::tests::lives::{Event, KEYS, Life, Random, check};

#[derive(Row)]
struct Scored<'a> {
    name: &'a str,
    score: i64,
}

#[derive(Row, Debug, PartialEq)]
struct Rank {
    rank: i64,
    name: String,
    score: i64,
}

/// The sum of an item's scores, modulo 7 so that it also falls.
#[derive(Plugin)]
struct Best {
    count: i64,
    horizon: Span,
}

impl TopN for Best {
    type Row<'a> = Scored<'a>;
    type Id = String;
    type Item = i64;
    type Score = i64;
    type Output = Rank;
    const INPUT: &'static str = "scores";

    fn count(&self) -> usize {
        self.count as usize
    }

    fn horizon(&self) -> Option<Span> {
        (self.horizon.0 > 0).then_some(self.horizon)
    }

    fn id(&self, row: &Scored<'_>) -> String {
        row.name.to_string()
    }

    fn update(&self, item: &mut i64, row: Scored<'_>) {
        *item = (*item + row.score) % 7;
    }

    fn score(&self, item: &i64) -> i64 {
        *item
    }

    fn ranked(&self, rank: i64, name: &String, score: &i64) -> Rank {
        let (name, score) = (name.clone(), *score);
        Rank { rank, name, score }
    }
}

export_process!(Top<Best>);

const NAMES: [&str; 6] = ["ant", "bee", "cow", "dog", "eel", "fox"];

fn best(seed: u64) -> Best {
    let mut random = Random::new(seed + 4_000_000);
    Best {
        count: 1 + random.below(7),
        horizon: Span(random.below(3) * random.below(30)),
    }
}

fn name(event: &Event) -> &'static str {
    NAMES[(event.value + event.id * 7 / 3) as usize % NAMES.len()]
}

/// The ranks of one key after so many rows.
fn ranks(life: &Life, best: &Best, key: &str, count: usize) -> Vec<Rank> {
    let mut items: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    let forgets = best.horizon.0 > 0;
    for (place, event) in life.events[..count].iter().enumerate() {
        let over =
            |at: i64, watermark: i64| forgets && at.saturating_add(best.horizon.0) <= watermark;
        if event.key == key && !over(event.at, life.watermark(place)) {
            let (last, score) = items.entry(name(event)).or_insert((event.at, 0));
            *last = event.at.max(*last);
            *score = (*score + event.value) % 7;
        }
        items.retain(|_, (last, _)| !over(*last, life.watermark(place + 1)));
    }
    let mut all: Vec<_> = items
        .into_iter()
        .map(|(name, (_, score))| (-score, name))
        .collect();
    all.sort();
    let first = (1..).zip(all).take(best.count as usize);
    first
        .map(|(rank, (score, name))| Rank {
            rank,
            name: name.to_string(),
            score: -score,
        })
        .collect()
}

#[test]
fn the_view_is_what_sorting_all_items_gives() {
    check(|seed| {
        let life = Life::new(seed, 1);
        for one_by_one in [true, false] {
            let input = |event: &Event| {
                let (name, score) = (name(event), event.value);
                TopInput(Scored { name, score })
            };
            let look = |count: usize, test: &TestProcess<Top<Best>>| {
                for key in KEYS {
                    let expected = ranks(&life, &best(seed), key, count);
                    assert_eq!(
                        test.view(key),
                        expected.iter().collect::<Vec<_>>(),
                        "{life:?}"
                    );
                }
            };
            let test = life.live(Top::new(best(seed)), one_by_one, input, look);
            let test = test.watermark(Timestamp(1_000_000));
            if best(seed).horizon.0 > 0 {
                assert_eq!(test.keys(), [""; 0], "nothing is kept for ever");
                assert!(KEYS.iter().all(|key| test.view(key).is_empty()));
            }
        }
    });
}

/// Three times as many items as are known to follow the ranks, in which the first often fall behind all of them.
#[test]
fn items_that_fall_behind_make_room_for_the_best_of_many() {
    for seed in 0..8 {
        let mut random = Random::new(seed);
        let count = 1 + seed as i64;
        let names: Vec<String> = (0..120).map(|name| format!("{name:03}")).collect();
        let mut scores: BTreeMap<&str, i64> = BTreeMap::new();
        let mut test = TestProcess::new(Top::new(Best {
            count,
            horizon: Span(0),
        }));
        for call in 0..40 {
            let mut rows = Vec::new();
            for _ in 0..=random.below(150) {
                let mut place = random.below(120);
                if random.below(3) > 0 {
                    let ranks = scores.iter().map(|(name, score)| (*score, Reverse(*name)));
                    place = ranks
                        .max()
                        .map_or(place, |(_, first)| first.0.parse().unwrap());
                }
                let (name, score) = (names[place as usize].as_str(), random.below(9) - 2);
                let kept = scores.entry(name).or_default();
                *kept = (*kept + score) % 7;
                rows.push(("a", Timestamp(call), TopInput(Scored { name, score })));
            }
            test = test.rows_in_one_call(rows);
            let mut all: Vec<(i64, &str)> = scores.iter().map(|(name, s)| (-s, *name)).collect();
            all.sort_unstable();
            let shown = test.view("a").into_iter();
            let shown: Vec<(i64, &str)> = shown.map(|r| (-r.score, r.name.as_str())).collect();
            all.truncate(count as usize);
            assert_eq!(shown, all, "seed {seed}, call {call}");
        }
    }
}

#[test]
fn a_row_older_than_the_horizon_is_late() {
    let scored = |score| TopInput(Scored { name: "ant", score });
    let test = TestProcess::new(Top::new(Best {
        count: 2,
        horizon: Span(10),
    }))
    .timer_step_us(1)
    .watermark(Timestamp(100))
    .row("a", Timestamp(90), scored(1))
    .row("a", Timestamp(91), scored(2));
    assert_eq!(test.rejects().len(), 1);
    assert_eq!(test.view("a")[0].score, 2);
    assert_eq!(test.watermark(Timestamp(101)).view("a").len(), 0);
}
