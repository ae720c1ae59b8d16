//! Single values of rows, to be compared and shown.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow_schema::DataType;

use crate::ingest::time;

/// One value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Time(i64),
}

impl Value {
    /// The value of a row of a column.
    pub(crate) fn of(column: &ArrayRef, row: usize) -> Value {
        if column.is_null(row) {
            return Value::Null;
        }
        match column.data_type() {
            DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
            DataType::Int64 => Value::Int(column.as_primitive::<Int64Type>().value(row)),
            DataType::Float64 => Value::Float(column.as_primitive::<Float64Type>().value(row)),
            DataType::Utf8 => Value::Text(column.as_string::<i32>().value(row).to_owned()),
            DataType::Binary => Value::Bytes(column.as_binary::<i32>().value(row).to_vec()),
            _ => Value::Time(column.as_primitive::<TimestampMicrosecondType>().value(row)),
        }
    }

    /// A column of this one value; `kind` says of what type a null is.
    pub(super) fn column(&self, kind: &DataType) -> ArrayRef {
        match self {
            Value::Null => new_null_array(kind, 1),
            Value::Bool(b) => Arc::new(BooleanArray::from(vec![*b])),
            Value::Int(n) => Arc::new(Int64Array::from_value(*n, 1)),
            Value::Float(x) => Arc::new(Float64Array::from_value(*x, 1)),
            Value::Text(text) => Arc::new(StringArray::from_iter_values([text])),
            Value::Bytes(bytes) => Arc::new(BinaryArray::from_iter_values([bytes])),
            Value::Time(us) => {
                Arc::new(TimestampMicrosecondArray::from_value(*us, 1).with_timezone("UTC"))
            }
        }
    }

    /// As a number, where a difference of it means something.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Value::Int(n) => Some(*n as f64),
            Value::Float(x) => Some(*x),
            _ => None,
        }
    }

    /// Whether both are the same value; every NaN is, and 0.0 is not −0.0.
    pub(crate) fn same(&self, other: &Value) -> bool {
        self.order(other) == Ordering::Equal
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        match self {
            Value::Null => "null".into(),
            Value::Bool(b) => b.to_string(),
            Value::Int(n) => n.to_string(),
            Value::Float(x) => x.to_string(),
            Value::Text(text) => text.clone(),
            Value::Bytes(bytes) => bytes.iter().map(|b| format!("{b:02x}")).collect(),
            Value::Time(us) => time::text(*us),
        }
    }

    fn order(&self, other: &Value) -> Ordering {
        let rank = |value: &Value| match value {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Int(_) => 2,
            Value::Float(_) => 3,
            Value::Text(_) => 4,
            Value::Bytes(_) => 5,
            Value::Time(_) => 6,
        };
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int(a), Value::Int(b)) | (Value::Time(a), Value::Time(b)) => a.cmp(b),
            (Value::Float(a), Value::Float(b)) if a.is_nan() && b.is_nan() => Ordering::Equal,
            (Value::Float(a), Value::Float(b)) => a.total_cmp(b),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            (a, b) => rank(a).cmp(&rank(b)),
        }
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order(other)
    }
}
