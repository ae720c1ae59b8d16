//! Arrow columns as the plugin is given them: borrowed where the layout is the same, staged where it is not.
//!
//! Numbers and bytes are lent as they lie. Staged are `ends` of a slice that does not start at 0, bitmaps (to start at
//! bit 0), and booleans (bits in Arrow, bytes on the wire). The stage is kept from call to call, so that a call
//! allocates one small list.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, TimeUnit};

use crate::instance::Input;
use crate::wire::{ColumnIn, RowsIn, SpansIn, ValuesIn};

/// What could not be lent, one for each column.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    columns: Vec<Staged>,
}

#[derive(Debug, Default)]
struct Staged {
    ends: Ends,
    bools: Vec<bool>,
    valid: Vec<u8>,
}

/// Ends of spans: lent when the first span starts at 0.
#[derive(Debug)]
enum Ends {
    Lent(ScalarBuffer<u32>),
    Rebased(Vec<u32>),
}

impl Default for Ends {
    fn default() -> Self {
        Self::Rebased(Vec::new())
    }
}

impl Stage {
    /// Stages what of `input` cannot be lent.
    pub(crate) fn fill(&mut self, input: &Input<'_>) {
        self.columns
            .resize_with(input.columns.len(), Staged::default);
        for (staged, column) in self.columns.iter_mut().zip(input.columns) {
            staged.fill(column, input.start, input.count);
        }
    }

    /// The columns of the same input as the plugin is given them.
    pub(crate) fn columns<'a>(&'a self, input: &Input<'a>) -> Vec<ColumnIn<'a>> {
        self.columns
            .iter()
            .zip(input.columns)
            .map(|(staged, column)| staged.column(column, input.start, input.count))
            .collect()
    }

    /// Lets go of what was lent.
    pub(crate) fn clear(&mut self) {
        for staged in &mut self.columns {
            if let Ends::Lent(_) = staged.ends {
                staged.ends = Ends::default();
            }
        }
    }
}

/// `count` rows of these columns.
pub(crate) fn rows<'a>(count: usize, columns: &'a [ColumnIn<'a>]) -> RowsIn<'a> {
    RowsIn {
        count: u32::try_from(count).expect("rows of one call are counted in 32 bits"),
        columns,
    }
}

impl Staged {
    fn fill(&mut self, column: &ArrayRef, start: usize, count: usize) {
        self.valid.clear();
        if let Some(nulls) = column.nulls() {
            fill_valid(&mut self.valid, nulls, start, count);
        }
        match column.data_type() {
            DataType::Boolean => {
                fill_bools(&mut self.bools, column.as_boolean().values(), start, count)
            }
            DataType::Utf8 => self
                .ends
                .fill(column.as_string::<i32>().offsets(), start, count),
            DataType::Binary => self
                .ends
                .fill(column.as_binary::<i32>().offsets(), start, count),
            _ => {}
        }
    }

    fn column<'a>(&'a self, column: &'a ArrayRef, start: usize, count: usize) -> ColumnIn<'a> {
        ColumnIn {
            values: self.values(column, start, count),
            valid: &self.valid,
        }
    }

    fn values<'a>(&'a self, column: &'a ArrayRef, start: usize, count: usize) -> ValuesIn<'a> {
        let range = start..start + count;
        match column.data_type() {
            DataType::Boolean => ValuesIn::Bools(&self.bools),
            DataType::Int64 => ValuesIn::Ints(&column.as_primitive::<Int64Type>().values()[range]),
            DataType::Float64 => {
                ValuesIn::Floats(&column.as_primitive::<Float64Type>().values()[range])
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                ValuesIn::Ints(&column.as_primitive::<TimestampMicrosecondType>().values()[range])
            }
            DataType::Utf8 => {
                let column = column.as_string::<i32>();
                self.spans(column.offsets(), column.values(), start, count)
            }
            DataType::Binary => {
                let column = column.as_binary::<i32>();
                self.spans(column.offsets(), column.values(), start, count)
            }
            other => {
                unreachable!("the host gives plugins columns of the six kinds only, not {other}")
            }
        }
    }

    fn spans<'a>(
        &'a self,
        offsets: &OffsetBuffer<i32>,
        bytes: &'a [u8],
        start: usize,
        count: usize,
    ) -> ValuesIn<'a> {
        let at = |i: usize| usize::try_from(offsets[i]).expect("Arrow offsets are never negative");
        ValuesIn::Spans(SpansIn {
            ends: self.ends.as_slice(),
            bytes: &bytes[at(start)..at(start + count)],
        })
    }
}

impl Ends {
    fn fill(&mut self, offsets: &OffsetBuffer<i32>, start: usize, count: usize) {
        let base = offsets[start];
        if base == 0 {
            let all = offsets.inner().inner().clone();
            *self = Self::Lent(ScalarBuffer::new(all, start + 1, count));
            return;
        }
        let mut ends = match std::mem::take(self) {
            Self::Rebased(ends) => ends,
            Self::Lent(_) => Vec::new(),
        };
        ends.clear();
        ends.extend(
            offsets[start + 1..=start + count]
                .iter()
                .map(|end| (end - base).cast_unsigned()),
        );
        *self = Self::Rebased(ends);
    }

    fn as_slice(&self) -> &[u32] {
        match self {
            Self::Lent(ends) => ends,
            Self::Rebased(ends) => ends,
        }
    }
}

fn fill_bools(bools: &mut Vec<bool>, values: &BooleanBuffer, start: usize, count: usize) {
    bools.clear();
    bools.extend(values.slice(start, count).iter());
}

/// The bitmap of a slice, from bit 0, zero beyond its end; nothing when no value is missing.
fn fill_valid(valid: &mut Vec<u8>, nulls: &NullBuffer, start: usize, count: usize) {
    let slice = nulls.slice(start, count);
    if slice.null_count() == 0 {
        return;
    }
    let bits = slice.inner().sliced();
    valid.extend_from_slice(&bits[..count.div_ceil(8)]);
    if let (Some(last), odd @ 1..) = (valid.last_mut(), count % 8) {
        *last &= (1 << odd) - 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{BinaryArray, BooleanArray, Int64Array, StringArray};

    use super::*;

    /// Gives a slice of one column and tells what arrived.
    fn given(column: ArrayRef, start: usize, count: usize, check: impl Fn(ColumnIn<'_>)) {
        let columns = [column];
        let input = Input {
            columns: &columns,
            start,
            count,
        };
        let mut stage = Stage::default();
        stage.fill(&input);
        check(stage.columns(&input)[0]);
    }

    fn spans(column: ColumnIn<'_>) -> (Vec<u32>, Vec<u8>) {
        match column.values {
            ValuesIn::Spans(spans) => (spans.ends.to_vec(), spans.bytes.to_vec()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn numbers_are_lent_as_they_lie() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
        given(column, 1, 2, |column| {
            assert!(matches!(column.values, ValuesIn::Ints(&[2, 3])));
            assert!(column.valid.is_empty());
        });
    }

    #[test]
    fn spans_start_at_zero_wherever_the_slice_starts() {
        let text: ArrayRef = Arc::new(StringArray::from(vec!["ab", "", "cde", "f"]));
        given(Arc::clone(&text), 0, 3, |column| {
            assert_eq!(spans(column), (vec![2, 2, 5], b"abcde".to_vec()));
        });
        given(Arc::clone(&text), 2, 2, |column| {
            assert_eq!(spans(column), (vec![3, 4], b"cdef".to_vec()));
        });
        given(text.slice(1, 3), 1, 1, |column| {
            assert_eq!(spans(column), (vec![3], b"cde".to_vec()));
        });
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&b"x"[..], b"yz"]));
        given(bytes, 1, 1, |column| {
            assert_eq!(spans(column), (vec![2], b"yz".to_vec()));
        });
    }

    #[test]
    fn an_empty_slice_is_empty() {
        let text: ArrayRef = Arc::new(StringArray::from(vec!["ab"]));
        given(text, 1, 0, |column| {
            assert_eq!(spans(column), (vec![], vec![]));
        });
    }

    #[test]
    fn booleans_are_bytes() {
        let column: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, true, true]));
        given(column, 1, 3, |column| {
            assert!(matches!(
                column.values,
                ValuesIn::Bools(&[false, true, true])
            ));
        });
    }

    #[test]
    fn bitmaps_start_at_bit_zero_and_end_clean() {
        let values: Vec<Option<i64>> = (0..20).map(|i| (i % 3 != 0).then_some(i)).collect();
        let column: ArrayRef = Arc::new(Int64Array::from(values.clone()));
        for start in 0..20 {
            for count in 0..=20 - start {
                given(Arc::clone(&column), start, count, |column| {
                    let some: Vec<bool> = values[start..start + count]
                        .iter()
                        .map(Option::is_some)
                        .collect();
                    if some.iter().all(|&s| s) {
                        assert!(column.valid.is_empty());
                        return;
                    }
                    let mut want = vec![0u8; count.div_ceil(8)];
                    for i in (0..count).filter(|&i| some[i]) {
                        want[i / 8] |= 1 << (i % 8);
                    }
                    assert_eq!(column.valid, want, "start {start} count {count}");
                });
            }
        }
    }
}
