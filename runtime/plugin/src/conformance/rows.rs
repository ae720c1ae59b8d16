//! Rows made up from a plugin's own description: the same for the same seed, of one sort at a time, so that a finding
//! says what kind of row it takes.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use refrain_log::schema::{Field, Kind};

/// What the values are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// Small numbers, short words.
    Ordinary,
    /// Every second nullable value is null.
    Nulls,
    /// Texts from all of Unicode, empty and long ones, bytes that are no text.
    Unicode,
    /// Numbers at the ends of their ranges, NaN, infinities, −0.0.
    Extreme,
    /// Texts and bytes of [`LARGE_BYTES`].
    Large,
}

/// Bytes of a large value.
const LARGE_BYTES: usize = 256 << 10;

/// Numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn of(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.roll() % end.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

const WORDS: [&str; 12] = [
    "a", "b", "view", "like", "complete", "error", "x1", "north", "south", "on", "off", "zebra",
];
const TEXTS: [&str; 12] = [
    "",
    "é",
    "e\u{301}",
    "日本語",
    "🦀🎶",
    "\u{202e}right to left",
    "a\0b",
    "line\nbreak",
    "\"quoted\", with, commas",
    "\u{10ffff}",
    "ß",
    "\u{feff}bom",
];
const INTS: [i64; 10] = [
    i64::MIN,
    i64::MAX,
    0,
    -1,
    1,
    i64::MIN + 1,
    i64::MAX - 1,
    1 << 53,
    -(1 << 53) - 1,
    u32::MAX as i64 + 1,
];
const FLOATS: [f64; 10] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    -0.0,
    0.0,
    f64::MAX,
    f64::MIN,
    f64::MIN_POSITIVE,
    5e-324,
    0.1,
];
/// First and last microsecond of the years 1 to 9999, and what lies around 1970.
const TIMES: [i64; 5] = [
    -62_135_596_800_000_000,
    253_402_300_799_999_999,
    -1,
    0,
    1_700_000_000_000_000,
];

/// `count` ordinary rows of these fields, the same for the same seed.
pub fn ordinary(fields: &[Field], count: usize, seed: u64) -> Vec<ArrayRef> {
    columns(fields, Sort::Ordinary, count, &mut Dice::of(seed))
}

/// `count` rows of these fields.
pub(super) fn columns(
    fields: &[Field],
    sort: Sort,
    count: usize,
    dice: &mut Dice,
) -> Vec<ArrayRef> {
    fields
        .iter()
        .map(|field| column(field, sort, count, dice))
        .collect()
}

fn column(field: &Field, sort: Sort, count: usize, dice: &mut Dice) -> ArrayRef {
    fn each<T>(
        count: usize,
        dice: &mut Dice,
        nulls: bool,
        make: impl Fn(&mut Dice) -> T,
    ) -> Vec<Option<T>> {
        (0..count)
            .map(|_| {
                let value = make(dice);
                let null = nulls && dice.below(2) == 0;
                (!null).then_some(value)
            })
            .collect()
    }
    let nulls = field.nullable && sort == Sort::Nulls;
    match field.kind {
        Kind::Bool => Arc::new(BooleanArray::from(each(count, dice, nulls, |dice| {
            dice.below(2) == 0
        }))),
        Kind::I64 => Arc::new(Int64Array::from(each(count, dice, nulls, |dice| {
            int(sort, dice)
        }))),
        Kind::F64 => Arc::new(Float64Array::from(each(count, dice, nulls, |dice| {
            float(sort, dice)
        }))),
        Kind::Text => {
            let texts = each(count, dice, nulls, |dice| text(sort, dice));
            Arc::new(StringArray::from(texts))
        }
        Kind::Bytes => {
            let all = each(count, dice, nulls, |dice| bytes(sort, dice));
            Arc::new(BinaryArray::from_iter(all))
        }
        Kind::Timestamp => {
            let times = each(count, dice, nulls, |dice| time(sort, dice));
            Arc::new(TimestampMicrosecondArray::from(times).with_data_type(field.kind.arrow()))
        }
    }
}

fn int(sort: Sort, dice: &mut Dice) -> i64 {
    match sort {
        Sort::Extreme => *dice.pick(&INTS),
        _ => dice.below(40) as i64 - 10,
    }
}

fn float(sort: Sort, dice: &mut Dice) -> f64 {
    match sort {
        Sort::Extreme => *dice.pick(&FLOATS),
        // Of different sizes: their sum shows in which order it was taken.
        _ => (dice.below(2_000_001) as f64 - 1e6) / 7.0 * 10f64.powi(dice.below(20) as i32 - 10),
    }
}

fn text(sort: Sort, dice: &mut Dice) -> String {
    match sort {
        Sort::Unicode if dice.below(20) == 0 => dice.pick(&TEXTS).repeat(1000),
        Sort::Unicode => (*dice.pick(&TEXTS)).to_owned(),
        Sort::Large => {
            let word = dice.pick(&WORDS);
            word.repeat(LARGE_BYTES / word.len())
        }
        _ => (*dice.pick(&WORDS)).to_owned(),
    }
}

fn bytes(sort: Sort, dice: &mut Dice) -> Vec<u8> {
    let length = match sort {
        Sort::Unicode | Sort::Extreme => *dice.pick(&[0, 1, 7, 300]),
        Sort::Large => LARGE_BYTES,
        _ => 4,
    };
    (0..length).map(|_| dice.roll() as u8).collect()
}

fn time(sort: Sort, dice: &mut Dice) -> i64 {
    match sort {
        Sort::Extreme => *dice.pick(&TIMES),
        _ => 1_700_000_000_000_000 + dice.below(86_400_000_000) as i64,
    }
}
