//! Several appended frames as one: what their headers said, run by run, in a few bytes each. Drawn in docs/formats.md.
//!
//! A run is a frame as it was appended. Its rows stand in the columns of the merged frame behind those of the runs before
//! it, so that offsets, sequences and all that a reader of single frames sees stay as they were.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::frame::FrameKind;
use crate::ids::{Sequence, Timestamp};
use crate::limits::{RUNS_MAX, aligned};

/// What a run takes at least.
const RUN_BYTES_MIN: usize = 5;
const SHAPE_TICK: u64 = 1;
const SHAPE_TIMES: u64 = 2;
const SHAPE_BITS: u32 = 2;

/// One appended frame among those of a merged one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRun {
    /// Rows or tick.
    pub kind: FrameKind,
    /// Its sequence. In a derived topic: of the last source frame that it covers.
    pub sequence: Sequence,
    /// When it was appended.
    pub append_time: Timestamp,
    /// Where its rows end among those of all runs.
    pub rows_end: u32,
    /// Smallest and largest event time.
    pub times: Option<(Timestamp, Timestamp)>,
    /// xxh3-64 of the producer's name, 0 for none.
    pub producer: u64,
    /// Input row number of its last row, counted by the producer.
    pub producer_row: u64,
}

/// Runs, and what they are as bytes.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) runs: Arc<[FrameRun]>,
    pub(crate) bytes: Vec<u8>,
}

impl Encoded {
    /// Bytes that they take in a frame.
    pub(crate) fn padded(&self) -> u64 {
        aligned(self.bytes.len() as u64)
    }
}

/// What the next run is told against.
#[derive(Default)]
struct Before {
    sequence: u64,
    append_time: i64,
    rows_end: u32,
    time: i64,
    /// Last row of each producer, in the order in which they come; the first one is no producer.
    rows: Vec<(u64, u64)>,
}

impl Before {
    fn first() -> Before {
        Before {
            rows: vec![(0, 0)],
            ..Before::default()
        }
    }
}

/// Runs as bytes: each as its difference to the one before.
pub(crate) fn encode(runs: Vec<FrameRun>) -> Encoded {
    let mut bytes = Vec::with_capacity(runs.len() * 16);
    let mut before = Before::first();
    let mut places: BTreeMap<u64, usize> = [(0, 0)].into();
    for run in &runs {
        let rows = u64::from(run.rows_end - before.rows_end);
        let tick = u64::from(run.kind == FrameKind::Tick) * SHAPE_TICK;
        let times = u64::from(run.times.is_some()) * SHAPE_TIMES;
        number(rows << SHAPE_BITS | times | tick, &mut bytes);
        number(run.sequence.0.wrapping_sub(before.sequence), &mut bytes);
        signed(
            run.append_time.0.wrapping_sub(before.append_time),
            &mut bytes,
        );
        let place = *places.entry(run.producer).or_insert(before.rows.len());
        number(place as u64, &mut bytes);
        if place == before.rows.len() {
            bytes.extend_from_slice(&run.producer.to_le_bytes());
            before.rows.push((run.producer, 0));
        }
        let row = &mut before.rows[place].1;
        signed(
            run.producer_row.wrapping_sub(*row).cast_signed(),
            &mut bytes,
        );
        *row = run.producer_row;
        if let Some((min, max)) = run.times {
            signed(min.0.wrapping_sub(before.time), &mut bytes);
            number(max.0.wrapping_sub(min.0).cast_unsigned(), &mut bytes);
            before.time = max.0;
        }
        before.sequence = run.sequence.0;
        before.append_time = run.append_time.0;
        before.rows_end = run.rows_end;
    }
    Encoded {
        runs: runs.into(),
        bytes,
    }
}

/// The inverse of [`encode`]: so many runs of so many rows, and nothing else.
pub(crate) fn decode(bytes: &[u8], count: u32, rows: u32) -> Result<Vec<FrameRun>, &'static str> {
    let count = count as usize;
    if count == 0 || count > RUNS_MAX || count.saturating_mul(RUN_BYTES_MIN) > bytes.len() {
        return Err("a merged frame of an impossible number of runs");
    }
    let mut rest = bytes;
    let mut before = Before::first();
    let mut runs = Vec::with_capacity(count);
    for _ in 0..count {
        let run = next(&mut rest, &mut before).ok_or("the runs of a merged frame are cut off")?;
        let follows =
            |last: &FrameRun| last.sequence < run.sequence && last.append_time <= run.append_time;
        if !runs.last().is_none_or(follows) {
            return Err("the runs of a merged frame do not rise");
        }
        runs.push(run);
    }
    if !rest.is_empty() || before.rows_end != rows {
        return Err("the runs of a merged frame do not end at its last row");
    }
    Ok(runs)
}

fn next(rest: &mut &[u8], before: &mut Before) -> Option<FrameRun> {
    let shape = take_number(rest)?;
    before.sequence = before.sequence.wrapping_add(take_number(rest)?);
    before.append_time = before.append_time.wrapping_add(take_signed(rest)?);
    let rows = u32::try_from(shape >> SHAPE_BITS).ok()?;
    before.rows_end = before.rows_end.checked_add(rows)?;
    let place = usize::try_from(take_number(rest)?).ok()?;
    if place == before.rows.len() {
        let (producer, then) = rest.split_first_chunk()?;
        *rest = then;
        before.rows.push((u64::from_le_bytes(*producer), 0));
    }
    let row = take_signed(rest)?.cast_unsigned();
    let (producer, last) = before.rows.get_mut(place)?;
    *last = last.wrapping_add(row);
    let (producer, producer_row) = (*producer, *last);
    let times = match shape & SHAPE_TIMES {
        0 => None,
        _ => {
            let min = before.time.wrapping_add(take_signed(rest)?);
            before.time = min.wrapping_add(take_number(rest)?.cast_signed());
            Some((Timestamp(min), Timestamp(before.time)))
        }
    };
    Some(FrameRun {
        kind: match shape & SHAPE_TICK {
            0 => FrameKind::Rows,
            _ => FrameKind::Tick,
        },
        sequence: Sequence(before.sequence),
        append_time: Timestamp(before.append_time),
        rows_end: before.rows_end,
        times,
        producer,
        producer_row,
    })
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
fn number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small numbers of either sign are short.
fn signed(value: i64, out: &mut Vec<u8>) {
    number((value << 1 ^ value >> 63).cast_unsigned(), out);
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, then) = rest.split_first()?;
        *rest = then;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take_signed(rest: &mut &[u8]) -> Option<i64> {
    let value = take_number(rest)?;
    Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run() -> impl Strategy<Value = FrameRun> {
        let times = prop::option::of((any::<i64>(), any::<i64>()));
        let producer = prop_oneof![Just(0), 1u64..4, any::<u64>()];
        (
            any::<bool>(),
            1u64..1 << 40,
            0i64..1 << 50,
            0u32..1000,
            times,
            producer,
            any::<u64>(),
        )
            .prop_map(
                |(tick, sequence, time, rows, times, producer, producer_row)| FrameRun {
                    kind: if tick {
                        FrameKind::Tick
                    } else {
                        FrameKind::Rows
                    },
                    sequence: Sequence(sequence),
                    append_time: Timestamp(time),
                    rows_end: rows,
                    times: times.map(|(a, b)| (Timestamp(a), Timestamp(b))),
                    producer,
                    producer_row,
                },
            )
    }

    /// Runs that follow one another.
    fn runs() -> impl Strategy<Value = Vec<FrameRun>> {
        prop::collection::vec(run(), 1..40).prop_map(|mut runs| {
            for i in 1..runs.len() {
                let before = runs[i - 1];
                let run = &mut runs[i];
                run.sequence.0 += before.sequence.0;
                run.append_time.0 += before.append_time.0;
                run.rows_end += before.rows_end;
            }
            runs
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn runs_come_back_and_nothing_else_does(runs in runs(), at: prop::sample::Index, byte: u8) {
            let rows = runs.last().unwrap().rows_end;
            let (count, mut bytes) = (runs.len() as u32, encode(runs.clone()).bytes);
            prop_assert_eq!(decode(&bytes, count, rows), Ok(runs));
            prop_assert!(decode(&bytes, count, rows + 1).is_err());
            prop_assert!(decode(&bytes, count + 1, rows).is_err());
            prop_assert!(decode(&bytes[..bytes.len() - 1], count, rows).is_err());
            // Whatever stands there: an answer, and no panic.
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = decode(&bytes, count, rows);
        }

        #[test]
        fn random_bytes_are_refused_or_runs(bytes: Vec<u8>, count in 0u32..9, rows in 0u32..300) {
            if let Ok(runs) = decode(&bytes, count, rows) {
                prop_assert_eq!(runs.len() as u32, count);
            }
        }
    }

    #[test]
    fn a_run_of_a_small_append_takes_few_bytes() {
        let run = |i: u64| FrameRun {
            kind: FrameKind::Rows,
            sequence: Sequence(1000 + i),
            append_time: Timestamp(1_700_000_000_000_000 + 900 * i.cast_signed()),
            rows_end: 10 * (i as u32 + 1),
            times: Some((
                Timestamp(1_700_000_000_000_000 + 800 * i.cast_signed()),
                Timestamp(1_700_000_000_000_500 + 800 * i.cast_signed()),
            )),
            producer: 7 << 40,
            producer_row: 10 * (i + 1),
        };
        let runs: Vec<FrameRun> = (0..1000).map(run).collect();
        assert!(encode(runs).bytes.len() < 11 * 1000);
    }
}
