//! Values of one type as values of a wider one: the same values, nothing lost, nothing made equal that was not.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, BinaryArray, Int64Array};

use crate::schema::Kind;

/// Whether every value of a type is one of the other, told apart from all others.
pub fn widens(was: Kind, is: Kind) -> bool {
    matches!(
        (was, is),
        (Kind::Bool | Kind::Timestamp, Kind::I64) | (Kind::Text, Kind::Bytes)
    )
}

/// A column in a wider type. The caller has asked [`widens`].
pub(crate) fn widen(array: &ArrayRef, was: Kind) -> ArrayRef {
    match was {
        Kind::Bool => {
            let bits = array.as_boolean();
            let values: Vec<i64> = bits.values().iter().map(i64::from).collect();
            Arc::new(Int64Array::new(values.into(), bits.nulls().cloned()))
        }
        Kind::Timestamp => {
            let times = array.as_primitive::<TimestampMicrosecondType>();
            Arc::new(times.reinterpret_cast::<arrow_array::types::Int64Type>())
        }
        _ => {
            let (offsets, bytes, nulls) = array.as_string::<i32>().clone().into_parts();
            Arc::new(BinaryArray::new(offsets, bytes, nulls))
        }
    }
}
