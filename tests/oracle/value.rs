//! Values, rows and their digest, written from docs and design, without the runtime's own code for them.

use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use refrain_log::schema::{Kind, Schema};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// One value. Its order is that of keys: null first, text and bytes bytewise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// By bits: every NaN is one, and −0.0 is not 0.0.
    Float(u64),
    Text(String),
    Bytes(Vec<u8>),
    Time(i64),
}

pub type Row = Vec<Value>;

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => write!(f, "-"),
            Value::Bool(v) => write!(f, "{v}"),
            Value::Int(v) => write!(f, "{v}"),
            Value::Float(v) => write!(f, "{:?}", f64::from_bits(*v)),
            Value::Text(v) => write!(f, "{v:?}"),
            Value::Bytes(v) => write!(f, "{v:02x?}"),
            Value::Time(v) => write!(f, "@{v}"),
        }
    }
}

impl Value {
    pub fn float(value: f64) -> Value {
        Value::Float(match value.is_nan() {
            true => 0x7ff8_0000_0000_0000,
            false => value.to_bits(),
        })
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(v) => Some(*v),
            _ => None,
        }
    }

    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(v) | Value::Time(v) => Some(*v),
            _ => None,
        }
    }

    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(v) => Some(f64::from_bits(*v)),
            _ => None,
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(v) => Some(v),
            _ => None,
        }
    }

    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(v) => Some(v),
            _ => None,
        }
    }
}

/// A row as the log must keep it.
pub fn canonical(row: &Row) -> Row {
    let kept = |value: &Value| match value {
        Value::Float(bits) => Value::float(f64::from_bits(*bits)),
        other => other.clone(),
    };
    row.iter().map(kept).collect()
}

/// Value or null.
pub fn optional<T>(value: Option<T>, make: impl FnOnce(T) -> Value) -> Value {
    value.map_or(Value::Null, make)
}

/// The digest of a view: sum of the rows' hashes.
pub fn digest(names: &[String], rows: &[Row]) -> u128 {
    rows.iter()
        .map(|row| row_hash(names, row))
        .fold(0, u128::wrapping_add)
}

fn row_hash(names: &[String], row: &Row) -> u128 {
    let mut fields: Vec<(&String, &Value)> = names.iter().zip(row).collect();
    fields.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    let mut bytes = Vec::new();
    for (name, value) in fields {
        let (kind, value): (u8, Vec<u8>) = match value {
            Value::Null => continue,
            Value::Bool(v) => (1, vec![u8::from(*v)]),
            Value::Int(v) => (2, v.to_le_bytes().to_vec()),
            Value::Float(v) => (3, v.to_le_bytes().to_vec()),
            Value::Text(v) => (4, counted(v.as_bytes())),
            Value::Bytes(v) => (5, counted(v)),
            Value::Time(v) => (6, v.to_le_bytes().to_vec()),
        };
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.push(kind);
        bytes.extend(name.as_bytes());
        bytes.extend(value);
    }
    xxh3_128(&bytes)
}

/// Bytes after their length in 4 bytes.
pub fn counted(bytes: &[u8]) -> Vec<u8> {
    let mut out = (bytes.len() as u32).to_le_bytes().to_vec();
    out.extend(bytes);
    out
}

/// Rows as columns. Every field may hold nulls here: the log is to refuse them where they are not allowed.
pub fn to_batch(schema: &Schema, rows: &[Row]) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef, bool)> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(i, field)| {
            (
                field.name.as_str(),
                column(field.kind, rows.iter().map(|r| &r[i])),
                true,
            )
        })
        .collect();
    RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
}

fn column<'a>(kind: Kind, values: impl Iterator<Item = &'a Value>) -> ArrayRef {
    match kind {
        Kind::Bool => Arc::new(values.map(Value::as_bool).collect::<BooleanArray>()),
        Kind::I64 => Arc::new(values.map(Value::as_int).collect::<Int64Array>()),
        Kind::F64 => Arc::new(values.map(Value::as_float).collect::<Float64Array>()),
        Kind::Text => Arc::new(values.map(Value::as_text).collect::<StringArray>()),
        Kind::Bytes => Arc::new(values.map(Value::as_bytes).collect::<BinaryArray>()),
        Kind::Timestamp => Arc::new(
            values
                .map(Value::as_int)
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
    }
}

/// Columns as rows. Floats by their own bits, so that a NaN that is not canonical shows.
pub fn to_rows(batch: &RecordBatch, schema: &Schema) -> Vec<Row> {
    let value = |column: &ArrayRef, kind: Kind, row: usize| {
        if column.is_null(row) {
            return Value::Null;
        }
        match kind {
            Kind::Bool => Value::Bool(column.as_boolean().value(row)),
            Kind::I64 => Value::Int(column.as_primitive::<Int64Type>().value(row)),
            Kind::F64 => Value::Float(column.as_primitive::<Float64Type>().value(row).to_bits()),
            Kind::Text => Value::Text(column.as_string::<i32>().value(row).to_owned()),
            Kind::Bytes => Value::Bytes(column.as_binary::<i32>().value(row).to_vec()),
            Kind::Timestamp => {
                Value::Time(column.as_primitive::<TimestampMicrosecondType>().value(row))
            }
        }
    };
    (0..batch.num_rows())
        .map(|row| {
            let fields = schema.fields().iter().zip(batch.columns());
            fields.map(|(f, c)| value(c, f.kind, row)).collect()
        })
        .collect()
}
