//! Arrays into canonical bytes.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    BinaryType, ByteArrayType, Float64Type, Int64Type, TimestampMicrosecondType, Utf8Type,
};
use arrow_array::{Array, ArrayRef, GenericByteArray, RecordBatch};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow_schema::{DataType, TimeUnit};

use crate::limits::ALIGN_BYTES;
use crate::schema::{Field, Kind};
use crate::{Error, Result};

/// The one NaN.
const NAN: f64 = f64::from_bits(0x7FF8_0000_0000_0000);

/// Pads to the alignment with zeros.
pub(super) fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(ALIGN_BYTES as usize), 0);
}

/// About how many bytes the columns of a batch take.
pub(super) fn estimate(batch: &RecordBatch) -> usize {
    let column = |array: &ArrayRef| array.get_array_memory_size().min(64 << 20) + 192;
    batch.columns().iter().map(column).sum()
}

/// The column of that field, checked.
pub(super) fn column_of(batch: &RecordBatch, field: &Field) -> Result<ArrayRef> {
    let array = batch
        .column_by_name(&field.name)
        .ok_or_else(|| Error::Invalid(format!("field {} is missing in the batch", field.name)))?;
    if !holds(field.kind, array.data_type()) {
        return Err(Error::Invalid(format!(
            "field {} is {} in the topic, {} in the batch",
            field.name,
            field.kind.name(),
            array.data_type()
        )));
    }
    if !field.nullable && array.null_count() > 0 {
        return Err(Error::Invalid(format!(
            "field {} is never null in the topic; the batch has nulls in it",
            field.name
        )));
    }
    Ok(array.clone())
}

pub(super) fn holds(kind: Kind, data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, _) => kind == Kind::Timestamp,
        other => kind.arrow() == *other,
    }
}

/// Appends a column's region; how many values are null.
pub(super) fn column(array: &ArrayRef, out: &mut Vec<u8>) -> u32 {
    let nulls = array.logical_nulls().filter(|n| n.null_count() > 0);
    if let Some(nulls) = &nulls {
        bits(nulls.inner(), out);
        pad(out);
    }
    let nulls = nulls.as_ref();
    match array.data_type() {
        DataType::Boolean => match nulls {
            None => bits(array.as_boolean().values(), out),
            Some(nulls) => bits(&(array.as_boolean().values() & nulls.inner()), out),
        },
        DataType::Int64 => words(array.as_primitive::<Int64Type>().values(), nulls, out),
        DataType::Float64 => floats(array.as_primitive::<Float64Type>().values(), nulls, out),
        DataType::Utf8 => spans(array.as_bytes::<Utf8Type>(), nulls, out),
        DataType::Binary => spans(array.as_bytes::<BinaryType>(), nulls, out),
        _ => words(
            array.as_primitive::<TimestampMicrosecondType>().values(),
            nulls,
            out,
        ),
    }
    nulls.map_or(0, |n| n.null_count() as u32)
}

fn bits(bits: &BooleanBuffer, out: &mut Vec<u8>) {
    let aligned = bits.sliced();
    out.extend_from_slice(&aligned[..bits.len().div_ceil(8)]);
    if let (used @ 1.., Some(last)) = (bits.len() % 8, out.last_mut()) {
        *last &= (1 << used) - 1;
    }
}

/// The bytes of plain values, as they are in memory.
fn raw<T: ArrowNativeType>(values: &ScalarBuffer<T>) -> &[u8] {
    const { assert!(cfg!(target_endian = "little")) };
    values.inner().as_slice()
}

fn words(values: &ScalarBuffer<i64>, nulls: Option<&NullBuffer>, out: &mut Vec<u8>) {
    let Some(nulls) = nulls else {
        return out.extend_from_slice(raw(values));
    };
    for (value, valid) in values.iter().zip(nulls) {
        out.extend_from_slice(&if valid { *value } else { 0 }.to_le_bytes());
    }
}

fn floats(values: &ScalarBuffer<f64>, nulls: Option<&NullBuffer>, out: &mut Vec<u8>) {
    let canonical = |v: f64| if v.is_nan() { NAN } else { v };
    match nulls {
        None if !values.iter().fold(false, |nan, v| nan | v.is_nan()) => {
            out.extend_from_slice(raw(values));
        }
        None => {
            for value in values {
                out.extend_from_slice(&canonical(*value).to_le_bytes());
            }
        }
        Some(nulls) => {
            for (value, valid) in values.iter().zip(nulls) {
                out.extend_from_slice(&if valid { canonical(*value) } else { 0.0 }.to_le_bytes());
            }
        }
    }
}

fn spans<T: ByteArrayType<Offset = i32>>(
    array: &GenericByteArray<T>,
    nulls: Option<&NullBuffer>,
    out: &mut Vec<u8>,
) {
    let offsets = array.value_offsets();
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let null_slots_empty = |nulls: &NullBuffer| {
        (0..array.len()).all(|i| nulls.is_valid(i) || offsets[i] == offsets[i + 1])
    };
    if nulls.is_none_or(null_slots_empty) {
        if first == 0 {
            out.extend_from_slice(raw(array.offsets().inner()));
        } else {
            out.reserve(size_of_val(offsets));
            for offset in offsets {
                out.extend_from_slice(&(offset - first).to_le_bytes());
            }
        }
        pad(out);
        out.extend_from_slice(&array.value_data()[first as usize..last as usize]);
        return;
    }
    let mut end = 0;
    out.extend_from_slice(&0i32.to_le_bytes());
    for i in 0..array.len() {
        end += if array.is_valid(i) {
            offsets[i + 1] - offsets[i]
        } else {
            0
        };
        out.extend_from_slice(&end.to_le_bytes());
    }
    pad(out);
    for i in (0..array.len()).filter(|&i| array.is_valid(i)) {
        out.extend_from_slice(&array.value_data()[offsets[i] as usize..offsets[i + 1] as usize]);
    }
}
