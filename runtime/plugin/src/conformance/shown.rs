//! Answers as text, so that two can be compared to the last bit and their difference told.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use refrain_log::schema::Field;

/// One row, a value a field.
pub(super) type Row = Vec<String>;

/// Row `row` of these columns.
pub(super) fn row(columns: &[ArrayRef], row: usize) -> Row {
    columns.iter().map(|column| cell(column, row)).collect()
}

fn cell(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "null".into();
    }
    match column.data_type() {
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => format!("{:?}", column.as_string::<i32>().value(row)),
        DataType::Binary => format!("{:02x?}", column.as_binary::<i32>().value(row)),
        _ => column
            .as_primitive::<TimestampMicrosecondType>()
            .value(row)
            .to_string(),
    }
}

/// Two floats that differ in one bit differ here.
fn float(value: f64) -> String {
    format!("{value:?} ({:016x})", value.to_bits())
}

/// The first difference of two rows, in words.
pub(super) fn difference(fields: &[Field], one: &Row, other: &Row) -> String {
    let pairs = one.iter().zip(other).zip(fields);
    let mut differing = pairs.filter(|((a, b), _)| a != b);
    match differing.next() {
        Some(((a, b), field)) => format!("`{}` is {} and {}", field.name, cut(a), cut(b)),
        None => "they are equal".into(),
    }
}

/// Enough of a value to know it by.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(80)]
}
