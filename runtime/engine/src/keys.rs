//! Keys: the columns of a key as canonical bytes, in an order that sorts as the values do, and back again.
//!
//! | kind | bytes |
//! | --- | --- |
//! | nullable | 0 for null (and nothing more), else 1 and the value |
//! | bool | 0 or 1 |
//! | i64, timestamp | 8 bytes, big-endian, sign bit flipped |
//! | text, bytes | each 0 as 0 255, then 0 0 |

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use refrain_log::schema::{Field, Kind};

/// Flips a number so that its big-endian bytes sort as it does.
pub fn sortable(value: i64) -> [u8; 8] {
    ((value as u64) ^ (1 << 63)).to_be_bytes()
}

/// The inverse of [`sortable`].
pub fn from_sortable(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)) as i64
}

/// Appends the key of one row to `out`.
pub fn encode(columns: &[ArrayRef], fields: &[Field], row: usize, out: &mut Vec<u8>) {
    for (column, field) in columns.iter().zip(fields) {
        if field.nullable {
            out.push(u8::from(column.is_valid(row)));
            if column.is_null(row) {
                continue;
            }
        }
        match field.kind {
            Kind::Bool => out.push(u8::from(column.as_boolean().value(row))),
            Kind::I64 => {
                out.extend_from_slice(&sortable(column.as_primitive::<Int64Type>().value(row)))
            }
            Kind::Timestamp => {
                out.extend_from_slice(&sortable(
                    column.as_primitive::<TimestampMicrosecondType>().value(row),
                ));
            }
            Kind::Text => encode_span(column.as_string::<i32>().value(row).as_bytes(), out),
            Kind::Bytes => encode_span(column.as_binary::<i32>().value(row), out),
            Kind::F64 => unreachable!("the pipeline check refuses f64 keys"),
        }
    }
}

/// Appends a byte string so that it sorts and ends by itself.
pub fn encode_span(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        out.push(*byte);
        if *byte == 0 {
            out.push(255);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// Takes the next value of a span off `bytes`.
pub fn decode_span(bytes: &mut &[u8], into: &mut Vec<u8>) {
    into.clear();
    loop {
        let (byte, rest) = bytes
            .split_first()
            .expect("a key ends where encode ended it");
        *bytes = rest;
        if *byte != 0 {
            into.push(*byte);
            continue;
        }
        let (mark, rest) = bytes.split_first().expect("a zero in a key has its mark");
        *bytes = rest;
        if *mark == 0 {
            return;
        }
        into.push(0);
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (value, rest) = bytes.split_first_chunk().expect("a key has all its fields");
    *bytes = rest;
    *value
}

enum Builder {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Time(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
}

impl Builder {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Bool => Builder::Bool(BooleanBuilder::new()),
            Kind::I64 => Builder::Int(Int64Builder::new()),
            Kind::Timestamp => {
                Builder::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
            }
            Kind::Text => Builder::Text(StringBuilder::new()),
            Kind::Bytes => Builder::Bytes(BinaryBuilder::new()),
            Kind::F64 => unreachable!("the pipeline check refuses f64 keys"),
        }
    }

    fn null(&mut self) {
        match self {
            Builder::Bool(b) => b.append_null(),
            Builder::Int(b) => b.append_null(),
            Builder::Time(b) => b.append_null(),
            Builder::Text(b) => b.append_null(),
            Builder::Bytes(b) => b.append_null(),
        }
    }

    fn value(&mut self, bytes: &mut &[u8], scratch: &mut Vec<u8>) {
        match self {
            Builder::Bool(b) => b.append_value(take::<1>(bytes)[0] != 0),
            Builder::Int(b) => b.append_value(from_sortable(take(bytes))),
            Builder::Time(b) => b.append_value(from_sortable(take(bytes))),
            Builder::Text(b) => {
                decode_span(bytes, scratch);
                b.append_value(
                    std::str::from_utf8(scratch).expect("text keys are UTF-8 since ingest"),
                );
            }
            Builder::Bytes(b) => {
                decode_span(bytes, scratch);
                b.append_value(&*scratch);
            }
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Builder::Bool(mut b) => Arc::new(b.finish()),
            Builder::Int(mut b) => Arc::new(b.finish()),
            Builder::Time(mut b) => Arc::new(b.finish()),
            Builder::Text(mut b) => Arc::new(b.finish()),
            Builder::Bytes(mut b) => Arc::new(b.finish()),
        }
    }
}

/// Keys back into columns, one row for each.
pub fn decode<'a>(keys: impl Iterator<Item = &'a [u8]>, fields: &[Field]) -> Vec<ArrayRef> {
    let mut builders: Vec<Builder> = fields.iter().map(|f| Builder::new(f.kind)).collect();
    let mut scratch = Vec::new();
    for mut key in keys {
        for (builder, field) in builders.iter_mut().zip(fields) {
            if field.nullable && take::<1>(&mut key)[0] == 0 {
                builder.null();
            } else {
                builder.value(&mut key, &mut scratch);
            }
        }
        assert!(key.is_empty(), "a key has no more than its fields");
    }
    builders.into_iter().map(Builder::finish).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{BinaryArray, BooleanArray, Int64Array, StringArray};

    proptest::proptest! {
        #[test]
        fn keys_come_back_and_sort_as_their_values(
            rows in proptest::collection::vec((proptest::option::of(0i64..5), ".{0,3}", proptest::collection::vec(0u8..3, 0..4), proptest::bool::ANY), 1..20)
        ) {
            let fields = vec![
                Field::new("a", Kind::I64).nullable(), Field::new("b", Kind::Text),
                Field::new("c", Kind::Bytes), Field::new("d", Kind::Bool),
            ];
            let columns: Vec<ArrayRef> = vec![
                Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()),
                Arc::new(rows.iter().map(|r| Some(r.1.as_str())).collect::<StringArray>()),
                Arc::new(rows.iter().map(|r| Some(r.2.as_slice())).collect::<BinaryArray>()),
                Arc::new(rows.iter().map(|r| Some(r.3)).collect::<BooleanArray>()),
            ];
            let keys: Vec<Vec<u8>> = (0..rows.len()).map(|i| { let mut k = Vec::new(); encode(&columns, &fields, i, &mut k); k }).collect();
            let back = decode(keys.iter().map(Vec::as_slice), &fields);
            for (column, again) in columns.iter().zip(&back) {
                proptest::prop_assert_eq!(column.to_data(), again.to_data());
            }
            for i in 0..rows.len() {
                for j in 0..rows.len() {
                    let by_value = (rows[i].0, rows[i].1.as_bytes(), &rows[i].2, rows[i].3).cmp(&(rows[j].0, rows[j].1.as_bytes(), &rows[j].2, rows[j].3));
                    proptest::prop_assert_eq!(keys[i].cmp(&keys[j]), by_value);
                }
            }
        }

        #[test]
        fn numbers_sort(a: i64, b: i64) {
            proptest::prop_assert_eq!(sortable(a).cmp(&sortable(b)), a.cmp(&b));
            proptest::prop_assert_eq!(from_sortable(sortable(a)), a);
        }
    }
}
