//! The laws of the contract that the SDK keeps for the author.

use crate::bindings::{Column, Rows, Values};
use crate::fold::Slots;
use crate::prelude::*;
use crate::row::Writer;
use crate::{codec, transform};

pub(crate) mod lives;

#[derive(Row, Debug, PartialEq, Clone)]
struct All<'a> {
    flag: bool,
    count: i64,
    rate: f64,
    at: Timestamp,
    name: &'a str,
    #[field(name = "type")]
    payload: &'a [u8],
    owned: String,
    maybe: Option<i64>,
    maybe_name: Option<&'a str>,
}

fn all(count: i64, maybe: Option<i64>, maybe_name: Option<&'static str>) -> All<'static> {
    All {
        flag: count % 2 == 0,
        count,
        rate: count as f64 / 3.0,
        at: Timestamp(-count),
        name: ["", "ä", "kind"][count as usize % 3],
        payload: &[255, 0],
        owned: format!("n{count}"),
        maybe,
        maybe_name,
    }
}

fn written<'a, R: Row<'a>>(rows: impl IntoIterator<Item = R>) -> Rows {
    let mut writer = Writer::new();
    rows.into_iter().for_each(|row| writer.push(row));
    writer.finish()
}

#[test]
fn rows_come_back_from_columns_as_they_went_in() {
    let rows = [
        all(1, None, Some("x")),
        all(2, Some(7), None),
        all(3, None, Some("")),
    ];
    let columns = written(rows.clone());
    let bound = All::bind(&columns).unwrap();
    let back: Vec<All> = (0..3).map(|row| All::read(&bound, row)).collect();
    assert_eq!(back, rows);
}

#[test]
fn fields_are_named_as_the_struct_says() {
    let names: Vec<_> = All::FIELDS.iter().map(|field| field.name).collect();
    let expected = [
        "flag",
        "count",
        "rate",
        "at",
        "name",
        "type",
        "owned",
        "maybe",
        "maybe_name",
    ];
    assert_eq!(names, expected);
    assert!(All::FIELDS[7].nullable && !All::FIELDS[1].nullable);
}

#[test]
fn a_column_of_another_type_length_or_with_a_null_is_refused() {
    #[derive(Row)]
    struct One {
        x: i64,
    }
    let bind = |values, valid: Vec<u8>| {
        let rows = Rows {
            count: 2,
            columns: vec![Column { values, valid }],
        };
        One::bind(&rows).map(|_| ())
    };
    assert!(bind(Values::Ints(vec![1, 2]), vec![]).is_ok());
    assert!(bind(Values::Ints(vec![1, 2]), vec![0b11]).is_ok());
    assert!(
        bind(Values::Ints(vec![1, 2]), vec![0b01])
            .unwrap_err()
            .contains("`x`: the host sent a null")
    );
    assert!(
        bind(Values::Ints(vec![1]), vec![])
            .unwrap_err()
            .contains("another length")
    );
    assert!(
        bind(Values::Floats(vec![1.0, 2.0]), vec![])
            .unwrap_err()
            .contains("not i64")
    );
}

#[derive(Row, Clone)]
struct Amount {
    amount: i64,
}

#[state]
#[derive(Default, Debug, PartialEq)]
struct Balance {
    sum: i64,
}

/// A balance never goes below zero.
#[derive(Plugin)]
struct Account {
    /// Where it starts to hurt.
    #[setting(default = 0)]
    floor: i64,
}

impl Fold for Account {
    type Input<'a> = Amount;
    type State = Balance;
    type Output = Amount;

    fn check(&self, balance: &Balance, row: &Amount) -> Result<(), Reject> {
        match balance.sum + row.amount < self.floor {
            true => Err(format!("{} is more than there is", -row.amount).into()),
            false => Ok(()),
        }
    }

    fn update(&self, balance: &mut Balance, row: Amount) {
        balance.sum += row.amount;
    }

    fn evaluate(&self, balance: &Balance) -> Option<Amount> {
        (balance.sum != 0).then_some(Amount {
            amount: balance.sum,
        })
    }
}

export_fold!(Account);

fn sums(slots: &mut Slots<Account>, count: u32) -> Vec<i64> {
    let account = Account { floor: 0 };
    let asked: Vec<u32> = (0..count).collect();
    let (rows, present) = slots.evaluate(&account, &asked);
    let bound = Amount::bind(&rows).unwrap();
    let there = |row: &usize| crate::cell::bit(&present, *row);
    (0..count as usize)
        .filter(there)
        .map(|row| Amount::read(&bound, row).amount)
        .collect()
}

fn amounts(amounts: &[i64]) -> Rows {
    written(amounts.iter().map(|amount| Amount { amount: *amount }))
}

#[test]
fn a_row_refused_for_one_of_its_slots_touches_none() {
    let account = Account { floor: 0 };
    let mut slots = Slots::new();
    slots
        .update(&account, &amounts(&[5, 1]), &[], &[0, 1])
        .unwrap();
    // takes 3 from both: the second slot has only 1
    let rejects = slots
        .update(&account, &amounts(&[-3, -1]), &[0, 0, 1, 1], &[0, 1, 0, 1])
        .unwrap();
    assert_eq!(rejects.len(), 1);
    assert_eq!(
        (rejects[0].row, rejects[0].reason.as_str()),
        (0, "3 is more than there is")
    );
    assert_eq!(sums(&mut slots, 2), [4]);
}

#[test]
fn a_check_sees_what_earlier_rows_of_the_call_did() {
    let account = Account { floor: 0 };
    let mut slots = Slots::new();
    let rejects = slots
        .update(&account, &amounts(&[2, -2, -1, 1]), &[], &[3, 3, 3, 3])
        .unwrap();
    assert_eq!(
        rejects.iter().map(|reject| reject.row).collect::<Vec<_>>(),
        [2]
    );
    assert_eq!(sums(&mut slots, 4), [1]);
}

#[test]
fn slots_that_are_new_in_the_middle_of_a_call_take_their_rows_once() {
    let account = Account { floor: 0 };
    let mut slots = Slots::new();
    slots.update(&account, &amounts(&[1]), &[], &[0]).unwrap();
    let rejects = slots
        .update(
            &account,
            &amounts(&[2, 3, -9, 4, 5, -7]),
            &[],
            &[0, 2, 0, 4, 2, 4],
        )
        .unwrap();
    assert_eq!(
        rejects.iter().map(|reject| reject.row).collect::<Vec<_>>(),
        [2, 5]
    );
    assert_eq!(sums(&mut slots, 5), [3, 8, 4]);
}

#[test]
fn states_move_and_released_slots_start_anew() {
    let account = Account { floor: 0 };
    let mut slots = Slots::new();
    slots
        .update(&account, &amounts(&[7, 8]), &[], &[0, 1])
        .unwrap();
    let saved = slots.save(&[1, 0, 9]).unwrap();
    slots.release(&[0, 1, 77]);
    assert_eq!(sums(&mut slots, 2), [0i64; 0]);
    slots.restore(&[0, 1, 2], &saved).unwrap();
    assert_eq!(sums(&mut slots, 3), [8, 7]);
}

#[test]
fn bytes_that_are_no_state_are_told_from_bytes_that_are() {
    let mut bytes = Vec::new();
    codec::encode(&Balance { sum: 5 }, &mut bytes).unwrap();
    assert_eq!(codec::decode::<Balance>(&bytes), Ok(Balance { sum: 5 }));
    assert!(codec::decode::<Balance>(&[]).is_err());
    assert!(codec::decode::<Balance>(&[9, 1]).is_err());
    bytes.push(0);
    assert!(
        codec::decode::<Balance>(&bytes)
            .unwrap_err()
            .contains("raise state_version")
    );
}

#[test]
fn options_have_defaults_and_types() {
    let settings = Account::settings();
    assert_eq!(settings[0].default.as_deref(), Some("0"));
    assert_eq!(settings[0].doc, "Where it starts to hurt.");
    let options = |value: &str| crate::Options::new(vec![("floor".to_string(), value.to_string())]);
    assert_eq!(
        Account::configure(&options("-4")).map(|account| account.floor),
        Ok(-4)
    );
    let refused = Account::configure(&options("low")).err();
    assert_eq!(refused.as_deref(), Some("option `floor`: `low` is not i64"));
}

#[test]
fn test_fold_keeps_rejects_and_leaves_the_state() {
    let account = TestFold::new(Account { floor: 0 })
        .row(Amount { amount: 3 })
        .row(Amount { amount: -4 });
    assert_eq!(account.rejects(), ["4 is more than there is"]);
    assert_eq!(account.state(), &Balance { sum: 3 });
}

/// One row for each unit; refuses 13 after giving some of them.
#[derive(Plugin)]
struct Units;

impl Transform for Units {
    type Input<'a> = Amount;
    type Output<'a> = Amount;

    fn process<'a>(&self, row: Amount, out: &mut Out<'a, Amount>) -> Result<(), Reject> {
        for unit in 0..row.amount {
            if unit == 12 {
                return Err("thirteen".into());
            }
            out.push(Amount { amount: unit });
        }
        Ok(())
    }
}

export_transform!(Units);

#[test]
fn what_was_given_for_a_refused_row_is_taken_back() {
    let answer = transform::process(&Units, &amounts(&[2, 13, 0, 1])).unwrap();
    assert_eq!(answer.rows.count, 3);
    assert_eq!(answer.origins, [0, 0, 3]);
    assert_eq!(answer.rejects[0].row, 1);
}

#[test]
fn one_row_each_needs_no_origins() {
    let answer = transform::process(&Units, &amounts(&[1, 1, 1])).unwrap();
    assert_eq!((answer.rows.count, answer.origins.len()), (3, 0));
}

#[derive(Row)]
struct Holder {
    id: i64,
}

/// Shows a balance less what the holder's number is; nothing to number 2.
impl Keyed for Account {
    type Key<'a> = Holder;

    fn with_key(&self, key: Holder, row: Amount) -> Option<Amount> {
        let amount = row.amount - key.id;
        (key.id != 2).then_some(Amount { amount })
    }
}

#[test]
fn a_row_is_shown_with_the_key_of_its_slot() {
    let account = Account { floor: 0 };
    let mut slots = Slots::new();
    slots
        .update(&account, &amounts(&[50, 60, 70]), &[], &[0, 1, 2])
        .unwrap();
    // in the order that the host asks in, and slot 3 was never seen
    let asked = [2, 3, 0, 1];
    let keys = written([7, 9, 2, 1].map(|id| Holder { id }));
    let (rows, present) = slots.evaluate_keyed(&account, &asked, &keys).unwrap();
    let bound = Amount::bind(&rows).unwrap();
    let shown: Vec<_> = (0..4)
        .map(|row| crate::cell::bit(&present, row).then(|| Amount::read(&bound, row).amount))
        .collect();
    assert_eq!(shown, [Some(63), None, None, Some(59)]);
}

#[test]
fn a_key_of_other_fields_is_refused() {
    let account = Account { floor: 0 };
    let texts = written(["x"].map(|text| Named { text }));
    let refused = Slots::new().evaluate_keyed(&account, &[0], &texts);
    let why = "the node's key is not the plugin's `Key`: input field `id`: the host sent a column that is not i64";
    assert_eq!(refused.err().as_deref(), Some(why));
    let none = Rows {
        count: 1,
        columns: Vec::new(),
    };
    assert!(Slots::new().evaluate_keyed(&account, &[0], &none).is_err());
}

#[derive(Row)]
struct Named<'a> {
    text: &'a str,
}
