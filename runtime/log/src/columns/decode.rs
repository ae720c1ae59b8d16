//! Bytes into arrays, without a copy. Takes hostile bytes: every length, offset and text is checked before Arrow sees
//! it.

use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, BinaryType, ByteArrayType, Utf8Type};
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, BooleanArray, GenericByteArray, PrimitiveArray};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use crate::limits::aligned;
use crate::schema::{Field, Kind};

/// One column of `rows` values, `nulls` of them null.
pub(super) fn column(
    region: Buffer,
    nulls: usize,
    field: &Field,
    rows: usize,
) -> Result<ArrayRef, String> {
    let (validity, region) = validity(region, nulls, rows)?;
    Ok(match field.kind {
        Kind::Bool => {
            sized(&region, rows.div_ceil(8))?;
            let bits = BooleanBuffer::new(region, 0, rows);
            Arc::new(BooleanArray::new(bits, validity))
        }
        Kind::I64 => Arc::new(words::<Int64Type>(region, validity, rows)?),
        Kind::F64 => Arc::new(words::<Float64Type>(region, validity, rows)?),
        Kind::Timestamp => {
            let array = words::<TimestampMicrosecondType>(region, validity, rows)?;
            Arc::new(array.with_data_type(Kind::Timestamp.arrow()))
        }
        Kind::Text => Arc::new(spans::<Utf8Type>(region, validity, rows)?),
        Kind::Bytes => Arc::new(spans::<BinaryType>(region, validity, rows)?),
    })
}

fn sized(region: &Buffer, bytes: usize) -> Result<(), String> {
    if region.len() == bytes {
        Ok(())
    } else {
        Err(format!("{} bytes where {bytes} belong", region.len()))
    }
}

/// Takes the validity bitmap off the front of the region.
fn validity(
    region: Buffer,
    nulls: usize,
    rows: usize,
) -> Result<(Option<NullBuffer>, Buffer), String> {
    if nulls == 0 {
        return Ok((None, region));
    }
    let bytes = aligned(rows.div_ceil(8) as u64) as usize;
    if region.len() < bytes {
        return Err("its validity bitmap is cut off".into());
    }
    let bitmap = NullBuffer::new(BooleanBuffer::new(
        region.slice_with_length(0, bytes),
        0,
        rows,
    ));
    if bitmap.null_count() != nulls {
        return Err(format!(
            "{} nulls where {nulls} belong",
            bitmap.null_count()
        ));
    }
    Ok((Some(bitmap), region.slice(bytes)))
}

fn words<T: ArrowPrimitiveType>(
    region: Buffer,
    validity: Option<NullBuffer>,
    rows: usize,
) -> Result<PrimitiveArray<T>, String> {
    sized(&region, rows * size_of::<T::Native>())?;
    let values = ScalarBuffer::new(region, 0, rows);
    Ok(PrimitiveArray::new(values, validity))
}

fn spans<T: ByteArrayType<Offset = i32>>(
    region: Buffer,
    validity: Option<NullBuffer>,
    rows: usize,
) -> Result<GenericByteArray<T>, String> {
    let offset_bytes = (rows + 1) * size_of::<i32>();
    let data_start = aligned(offset_bytes as u64) as usize;
    if region.len() < data_start {
        return Err("its offsets are cut off".into());
    }
    let offsets = ScalarBuffer::<i32>::new(region.slice_with_length(0, offset_bytes), 0, rows + 1);
    let data = region.slice(data_start);
    let rising = offsets
        .windows(2)
        .fold(true, |rising, w| rising & (w[0] <= w[1]));
    if offsets[0] != 0 || offsets[rows] as usize != data.len() || !rising {
        return Err("its offsets do not rise from 0 to its length".into());
    }
    GenericByteArray::<T>::try_new(OffsetBuffer::new(offsets), data, validity)
        .map_err(|e| e.to_string())
}
