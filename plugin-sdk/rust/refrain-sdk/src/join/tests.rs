//! The joins against models that know all rows at once.

use std::collections::BTreeSet;

use crate::join::*;
use crate::prelude::*;
use crate::tests::lives::{Event, KEYS, Life, Random, check};

#[state]
#[derive(Row, Default, Clone, Copy, PartialEq, Debug)]
struct One {
    id: i64,
    value: i64,
}

#[derive(Row, Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Two {
    left: Option<i64>,
    right: Option<i64>,
}

fn two(left: Option<i64>, right: Option<i64>) -> Two {
    Two { left, right }
}

fn one(event: &Event) -> One {
    One {
        id: event.id,
        value: event.value,
    }
}

/// Pairs unless the values say otherwise.
fn fits(left: i64, right: i64) -> bool {
    (left + right) % 4 != 0
}

#[derive(Plugin)]
struct Near {
    lower: Span,
    upper: Span,
    lateness: Span,
}

impl IntervalJoin for Near {
    type Left = One;
    type Right = One;
    type Output = Two;
    const LEFT: &'static str = "lefts";
    const RIGHT: &'static str = "rights";

    fn within(&self) -> (Span, Span) {
        (self.lower, self.upper)
    }

    fn lateness(&self) -> Span {
        self.lateness
    }

    fn pair(&self, left: &One, right: &One) -> Option<Two> {
        fits(left.value, right.value).then(|| two(Some(left.id), Some(right.id)))
    }

    fn left_alone(&self, left: &One) -> Option<Two> {
        Some(two(Some(left.id), None))
    }

    fn right_alone(&self, right: &One) -> Option<Two> {
        Some(two(None, Some(right.id)))
    }
}

export_process!(Interval<Near>);

fn near(seed: u64) -> Near {
    let mut random = Random::new(seed + 1_000_000);
    let lower = random.below(40) - 20;
    Near {
        lower: Span(lower),
        upper: Span(lower + random.below(25)),
        lateness: Span(random.below(2) * random.below(10)),
    }
}

/// All pairs of rows in time, and the rows that found none although nothing can come any more.
fn all_near(life: &Life, join: &Near) -> Vec<Two> {
    let rows = life.in_time(join.lateness);
    let is_pair = |left: &Event, right: &Event| {
        let apart = right.at - left.at;
        left.key == right.key
            && (join.lower.0..=join.upper.0).contains(&apart)
            && fits(left.value, right.value)
    };
    let of = |input| {
        let of = move |(_, event): &&(usize, Event)| event.input == input;
        rows.iter().filter(of).map(|(_, event)| event)
    };
    let end = life.horizon(life.events.len(), join.lateness);
    let mut all = Vec::new();
    for left in of(0) {
        let before = all.len();
        all.extend(
            of(1)
                .filter(|right| is_pair(left, right))
                .map(|right| two(Some(left.id), Some(right.id))),
        );
        if all.len() == before && left.at + join.upper.0 < end {
            all.push(two(Some(left.id), None));
        }
    }
    for right in of(1) {
        if !of(0).any(|left| is_pair(left, right)) && right.at - join.lower.0 < end {
            all.push(two(None, Some(right.id)));
        }
    }
    all.sort();
    all
}

fn near_input(event: &Event) -> IntervalInput<'static, Near> {
    match event.input {
        0 => IntervalInput::Left(one(event)),
        _ => IntervalInput::Right(one(event)),
    }
}

#[test]
fn an_interval_join_gives_every_pair_in_time_once() {
    check(|seed| {
        let life = Life::new(seed, 2);
        let test = life.live(Interval::new(near(seed)), true, near_input, |_, _| {});
        let mut given: Vec<Two> = test
            .rows()
            .into_iter()
            .map(|(_, row)| row.clone())
            .collect();
        given.sort();
        assert_eq!(given, all_near(&life, &near(seed)), "{life:?}");
        let late = life.events.len() - life.in_time(near(seed).lateness).len();
        assert_eq!(test.rejects().len(), late);
        let test = test.watermark(Timestamp(1_000_000));
        assert_eq!(test.keys(), [""; 0], "nothing is kept for ever");
    });
}

#[test]
fn an_interval_join_is_the_same_in_calls_of_any_size() {
    check(|seed| {
        let life = Life::new(seed, 2);
        let live =
            |one_by_one| life.live(Interval::new(near(seed)), one_by_one, near_input, |_, _| {});
        let (ones, many) = (live(true), live(false));
        assert_eq!(ones.rows(), many.rows());
        for key in KEYS {
            assert_eq!(ones.timers(key), many.timers(key));
        }
    });
}

#[test]
fn a_key_of_an_interval_join_has_at_most_one_timer() {
    check(|seed| {
        let life = Life::new(seed, 2);
        life.live(Interval::new(near(seed)), true, near_input, |_, test| {
            for key in KEYS {
                let held = test.keys().contains(&key);
                assert_eq!(test.timers(key).len(), usize::from(held));
            }
        });
    });
}

#[test]
fn both_ends_of_the_interval_belong_to_it() {
    let join = || {
        let (lower, upper) = (Span(-2), Span(3));
        let lateness = Span(0);
        let left = One { id: 1, value: 1 };
        TestProcess::new(Interval::new(Near {
            lower,
            upper,
            lateness,
        }))
        .row("a", Timestamp(10), IntervalInput::Left(left))
    };
    let pairs = |at| {
        let right = One { id: 2, value: 0 };
        let test = join().row("a", Timestamp(at), IntervalInput::Right(right));
        test.rows().len()
    };
    assert_eq!([7, 8, 13, 14].map(pairs), [0, 1, 1, 0]);
}

#[test]
fn an_interval_without_times_is_refused() {
    let options = |lower: &str, lateness: &str| {
        let given = [("lower", lower), ("upper", "1s"), ("lateness", lateness)];
        let given = given.map(|(name, value)| (name.to_string(), value.to_string()));
        let refused = Interval::<Near>::configure(&crate::Options::new(given.to_vec())).err();
        refused.unwrap_or_default()
    };
    assert_eq!(options("-1s", "0s"), "");
    assert_eq!(
        options("2s", "0s"),
        "refrain-sdk: no time is both after 2s and before 1s"
    );
    assert_eq!(
        options("1s", "-5ms"),
        "refrain-sdk: lateness is -5ms, less than nothing"
    );
    assert_eq!(
        options("1 hour", "0s"),
        "option `lower`: `1 hour` is not a length of time, as in \"90s\""
    );
}

#[derive(Plugin)]
struct Priced {
    lateness: Span,
}

/// A value of zero deletes.
impl AsOfJoin for Priced {
    type Row = One;
    type Table<'a> = One;
    type Version = i64;
    type Output = Two;
    const ROWS: &'static str = "sales";
    const TABLE: &'static str = "prices";

    fn lateness(&self) -> Span {
        self.lateness
    }

    fn version(&self, row: One) -> Option<i64> {
        (row.value != 0).then_some(row.id)
    }

    fn join(&self, row: &One, version: Option<&i64>) -> Option<Two> {
        Some(two(Some(row.id), version.copied()))
    }
}

export_process!(AsOf<Priced>);

fn priced(seed: u64) -> Priced {
    let mut random = Random::new(seed + 2_000_000);
    Priced {
        lateness: Span(random.below(2) * random.below(10)),
    }
}

fn priced_input(event: &Event) -> AsOfInput<'static, Priced> {
    match event.input {
        0 => AsOfInput::Row(one(event)),
        _ => AsOfInput::Table(one(event)),
    }
}

/// What the table of one key is known to say: versions by time and place in the log.
#[derive(Default)]
struct Table(Vec<(i64, usize, Event)>);

impl Table {
    fn newest(&self, until: i64) -> Option<&(i64, usize, Event)> {
        let in_force = self.0.iter().filter(|(at, _, _)| *at <= until);
        in_force.max_by_key(|(at, place, _)| (*at, *place))
    }

    /// A deletion that the watermark has passed is forgotten, and all that it deleted.
    fn forget(&mut self, horizon: i64) {
        if let Some((at, place, event)) = self.newest(horizon).copied()
            && event.value == 0
        {
            self.0
                .retain(|(other, row, _)| (*other, *row) > (at, place));
        }
    }
}

/// The answers by row, and how many rows are rejected.
fn all_priced(life: &Life, join: &Priced) -> (BTreeSet<Two>, usize) {
    let mut answers = BTreeSet::new();
    let mut rejected = 0;
    for key in KEYS {
        let mut table = Table::default();
        let mut open: Vec<Event> = Vec::new();
        for (place, event) in life.events.iter().enumerate() {
            let before = life.horizon(place, join.lateness);
            if event.key == key {
                let newer = |(at, _, _): &(i64, usize, Event)| *at > event.at;
                match event.input {
                    0 if event.at < before => rejected += 1,
                    0 => open.push(*event),
                    _ if table.newest(before).is_some_and(newer) => rejected += 1,
                    _ => table.0.push((event.at, place, *event)),
                }
                table.forget(before);
            }
            let horizon = life.horizon(place + 1, join.lateness);
            for row in open.extract_if(.., |row| row.at < horizon) {
                let version = table.newest(row.at).map(|(_, _, version)| version);
                let version = version.filter(|version| version.value != 0);
                answers.insert(two(Some(row.id), version.map(|version| version.id)));
            }
            table.forget(horizon);
        }
    }
    (answers, rejected)
}

#[test]
fn an_as_of_join_gives_each_row_the_version_of_its_time() {
    check(|seed| {
        let life = Life::new(seed, 2);
        let test = life.live(AsOf::new(priced(seed)), true, priced_input, |_, _| {});
        let given: Vec<Two> = test
            .rows()
            .into_iter()
            .map(|(_, row)| row.clone())
            .collect();
        let (answers, rejected) = all_priced(&life, &priced(seed));
        assert_eq!(given.len(), answers.len(), "each row once");
        assert_eq!(BTreeSet::from_iter(given), answers, "{life:?}");
        assert_eq!(test.rejects().len(), rejected);
    });
}

#[test]
fn an_as_of_join_is_the_same_in_calls_of_any_size() {
    check(|seed| {
        let life = Life::new(seed, 2);
        let live =
            |one_by_one| life.live(AsOf::new(priced(seed)), one_by_one, priced_input, |_, _| {});
        assert_eq!(live(true).rows(), live(false).rows());
    });
}

#[test]
fn an_as_of_join_keeps_one_version_and_a_deleted_one_not_at_all() {
    let version = |at, value| ("a", Timestamp(at), AsOfInput::Table(One { id: at, value }));
    let test = TestProcess::new(AsOf::new(Priced { lateness: Span(0) }))
        .timer_step_us(1)
        .rows_in_one_call((0..100).map(|at| version(at, 1)))
        .watermark(Timestamp(200));
    assert_eq!(test.timers("a"), []);
    let test = test.row(
        "a",
        Timestamp(150),
        AsOfInput::Table(One { id: 5, value: 1 }),
    );
    assert_eq!(test.keys(), ["a"]);
    let test = test.row(
        "a",
        Timestamp(99),
        AsOfInput::Table(One { id: 6, value: 1 }),
    );
    assert_eq!(
        test.rejects(),
        [("a", "too late: a version that is 51us newer is in force")]
    );
    let (_, at, gone) = version(201, 0);
    let test = test.row("a", at, gone).watermark(Timestamp(201));
    assert_eq!(test.keys(), [""; 0]);
}

#[derive(Plugin)]
struct Named;

impl LatestJoin for Named {
    type Row<'a> = One;
    type Table<'a> = One;
    type Entry = i64;
    type Output = Two;
    const ROWS: &'static str = "rows";
    const TABLE: &'static str = "names";

    fn entry(&self, row: One) -> Option<i64> {
        (row.value != 0).then_some(row.id)
    }

    fn check(&self, row: &One, _: Option<&i64>) -> Result<(), Reject> {
        match row.value {
            5 => Err("five".into()),
            _ => Ok(()),
        }
    }

    fn join(&self, row: One, entry: Option<&i64>) -> Option<Two> {
        Some(two(Some(row.id), entry.copied()))
    }
}

export_process!(Latest<Named>);

#[test]
fn a_latest_join_follows_the_log_alone() {
    check(|seed| {
        let life = Life::new(seed, 2);
        let input = |event: &Event| match event.input {
            0 => LatestInput::Row(one(event)),
            _ => LatestInput::Table(one(event)),
        };
        let many = life.live(Latest::new(Named), false, input, |_, _| {});
        let rows = life.events.iter().enumerate();
        let rows = rows.filter(|(_, event)| event.input == 0 && event.value != 5);
        let expected: Vec<Two> = rows
            .map(|(place, row)| {
                let mut before = life.events[..place].iter().rev();
                let entry = before.find(|event| event.input == 1 && event.key == row.key);
                let entry = entry.filter(|entry| entry.value != 0);
                two(Some(row.id), entry.map(|entry| entry.id))
            })
            .collect();
        let given: Vec<Two> = many
            .rows()
            .into_iter()
            .map(|(_, row)| row.clone())
            .collect();
        assert_eq!(given, expected);
    });
}
