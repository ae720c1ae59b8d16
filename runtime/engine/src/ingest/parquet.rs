//! Parquet: columns by name, and every physical form of a value that fits a field's type without loss.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, Float64Array, Int64Array,
    RecordBatch, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, TimeUnit as ArrowUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use refrain_log::schema::{Field, Kind};
use refrain_log::schemas::missing;

use super::column::Rows;
use super::{DecodeOptions, Decoded, Decoder, IngestError, TimeUnit, time};
use crate::pipeline::diagnostic::nearest;

/// Rows read from the file at a time; a smaller answer is cut from them.
const BATCH_ROWS: usize = 8192;

/// Decodes Parquet.
pub(super) struct Parquet {
    reader: ParquetRecordBatchReader,
    rows: Rows,
    options: DecodeOptions,
    /// What was read and not handed out.
    held: Option<RecordBatch>,
    rows_total: u64,
    rows_read: u64,
    file_bytes: u64,
}

/// A column in the form of its field, and the rows whose value does not fit: row, value as text, reason.
struct Converted {
    array: ArrayRef,
    bad: Vec<Misfit>,
}

type Misfit = (usize, Vec<u8>, String);

impl Parquet {
    #[expect(clippy::disallowed_methods, reason = "a user's own file is read")]
    pub(super) fn open(path: &Path, options: DecodeOptions) -> Result<Self, IngestError> {
        let fail = |what: String| IngestError {
            input: options.input.clone(),
            what,
        };
        let file = File::open(path).map_err(|e| fail(format!("cannot be opened: {e}")))?;
        let file_bytes = file.metadata().map_or(0, |m| m.len());
        let reading = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, reading)
            .map_err(|e| fail(format!("is not Parquet that can be read: {e}")))?;
        let columns: Vec<String> = builder
            .schema()
            .fields()
            .iter()
            .map(|f| f.name().clone())
            .collect();
        let mut rows = Rows::new(&options);
        check_columns(&columns, &options, &mut rows).map_err(fail)?;
        for field in options.schema.fields() {
            let Ok(column) = builder.schema().field_with_name(&field.name) else {
                continue;
            };
            if !convertible(column.data_type(), field.kind) {
                return Err(fail(no_conversion(column.data_type(), field)));
            }
        }
        let wanted: Vec<usize> = (0..columns.len())
            .filter(|i| options.schema.index_of(&columns[*i]).is_some())
            .collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let rows_total = builder.metadata().file_metadata().num_rows();
        let reader = builder
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|e| fail(format!("cannot be read: {e}")))?;
        Ok(Self {
            reader,
            rows,
            options,
            held: None,
            rows_total: u64::try_from(rows_total).unwrap_or(0),
            rows_read: 0,
            file_bytes,
        })
    }

    /// At most so many rows as the file has them.
    fn batch(&mut self, rows_max: usize) -> Result<Option<RecordBatch>, IngestError> {
        let batch = match self.held.take() {
            Some(batch) => batch,
            None => match self.reader.next() {
                None => return Ok(None),
                Some(Ok(batch)) => batch,
                Some(Err(e)) => {
                    return Err(IngestError {
                        input: self.options.input.clone(),
                        what: format!("is damaged after row {}: {e}", self.rows_read),
                    });
                }
            },
        };
        let count = batch.num_rows().min(rows_max.max(1));
        if count < batch.num_rows() {
            self.held = Some(batch.slice(count, batch.num_rows() - count));
        }
        Ok(Some(batch.slice(0, count)))
    }

    fn bytes_read(&self) -> u64 {
        let share = u128::from(self.file_bytes) * u128::from(self.rows_read);
        u64::try_from(share / u128::from(self.rows_total.max(1))).unwrap_or(self.file_bytes)
    }
}

impl Decoder for Parquet {
    fn next(&mut self, rows_max: usize) -> Result<Option<Decoded>, IngestError> {
        let Some(batch) = self.batch(rows_max)? else {
            return Ok(None);
        };
        let count = batch.num_rows();
        let (arrays, mut bad) = self.columns(&batch);
        bad.sort_by_key(|(row, ..)| *row);
        bad.dedup_by_key(|(row, ..)| *row);
        let arrays = kept(arrays, count, &bad).map_err(|e| IngestError {
            input: self.options.input.clone(),
            what: format!("the decoded columns do not fit together: {e}"),
        })?;
        let first_line = self.rows_read + 1;
        self.rows_read += count as u64;
        let bytes_read = self.bytes_read();
        self.rows
            .ready(arrays, count, &bad, first_line, bytes_read)
            .map(Some)
    }
}

impl Parquet {
    fn columns(&self, batch: &RecordBatch) -> (Vec<ArrayRef>, Vec<Misfit>) {
        let mut bad = Vec::new();
        let mut arrays = Vec::new();
        for field in self.options.schema.fields() {
            let converted = match batch.column_by_name(&field.name) {
                Some(column) => {
                    convert(column, field, self.options.units.get(&field.name).copied())
                }
                None => Converted {
                    array: missing(
                        field.kind,
                        self.options.defaults.get(&field.name),
                        batch.num_rows(),
                    ),
                    bad: Vec::new(),
                },
            };
            arrays.push(converted.array);
            bad.extend(converted.bad);
        }
        (arrays, bad)
    }
}

/// The arrays without the bad rows.
fn kept(
    arrays: Vec<ArrayRef>,
    count: usize,
    bad: &[Misfit],
) -> Result<Vec<ArrayRef>, arrow_schema::ArrowError> {
    if bad.is_empty() {
        return Ok(arrays);
    }
    let mut keep = vec![true; count];
    for (row, ..) in bad {
        keep[*row] = false;
    }
    let keep = BooleanArray::from(keep);
    arrays
        .iter()
        .map(|a| arrow_select::filter::filter(a, &keep))
        .collect()
}

/// Every field has a column, or may be null or has a default and no column is left over that may be meant.
fn check_columns(
    columns: &[String],
    options: &DecodeOptions,
    rows: &mut Rows,
) -> Result<(), String> {
    let extra: Vec<&str> = columns
        .iter()
        .map(String::as_str)
        .filter(|c| options.schema.index_of(c).is_none())
        .collect();
    for field in options.schema.fields() {
        let may_lack = field.nullable || options.defaults.contains_key(&field.name);
        if columns.contains(&field.name) || (may_lack && extra.is_empty()) {
            continue;
        }
        let hint = match nearest(&field.name, extra.iter().copied()) {
            Some(name) => format!("; is it the column `{name}`? Then rename it"),
            None => String::new(),
        };
        return Err(format!(
            "there is no column `{}`; columns: {}{hint}",
            field.name,
            columns.join(", ")
        ));
    }
    if !extra.is_empty() {
        rows.note(format!(
            "columns left out, since the topic has no such field: {}",
            extra.join(", ")
        ));
    }
    Ok(())
}

/// Whether values of that type can become values of that kind without loss (single values may still not fit).
fn convertible(from: &DataType, kind: Kind) -> bool {
    use DataType as T;
    let integer = from.is_integer();
    match kind {
        Kind::Bool => *from == T::Boolean,
        Kind::I64 => integer,
        Kind::F64 => {
            matches!(from, T::Float32 | T::Float64) || (integer && from.primitive_width() < Some(8))
        }
        Kind::Text => *from == T::Utf8,
        Kind::Bytes => matches!(from, T::Binary | T::FixedSizeBinary(_) | T::Utf8),
        Kind::Timestamp => integer || matches!(from, T::Timestamp(..) | T::Date32 | T::Date64),
    }
}

fn no_conversion(from: &DataType, field: &Field) -> String {
    format!(
        "column `{}` is {from}, which does not become {} without loss; write the file with a column of that type",
        field.name,
        field.kind.name()
    )
}

fn convert(column: &ArrayRef, field: &Field, unit: Option<TimeUnit>) -> Converted {
    let mut bad = Vec::new();
    let array = match field.kind {
        Kind::Bool | Kind::Text => column.clone(),
        Kind::I64 => Arc::new(Int64Array::new(
            integers(column, field, &mut bad).into(),
            column.nulls().cloned(),
        )),
        Kind::F64 => Arc::new(Float64Array::new(
            floats(column).into(),
            column.nulls().cloned(),
        )),
        Kind::Bytes => bytes(column),
        Kind::Timestamp => timestamps(column, field, unit, &mut bad),
    };
    if !field.nullable && column.null_count() > 0 {
        let why = format!(
            "field `{}` ({}) has no value and may not be null",
            field.name,
            field.kind.name()
        );
        let nulls = (0..column.len()).filter(|i| column.is_null(*i));
        bad.extend(nulls.map(|i| (i, Vec::new(), why.clone())));
    }
    Converted { array, bad }
}

/// The values of a primitive column, each made an `i64`.
fn widened<T: ArrowPrimitiveType>(column: &ArrayRef) -> Vec<i64>
where
    T::Native: Into<i64>,
{
    column
        .as_primitive::<T>()
        .values()
        .iter()
        .map(|v| (*v).into())
        .collect()
}

fn integers(column: &ArrayRef, field: &Field, bad: &mut Vec<Misfit>) -> Vec<i64> {
    match column.data_type() {
        DataType::Int8 => widened::<Int8Type>(column),
        DataType::Int16 => widened::<Int16Type>(column),
        DataType::Int32 => widened::<Int32Type>(column),
        DataType::UInt8 => widened::<UInt8Type>(column),
        DataType::UInt16 => widened::<UInt16Type>(column),
        DataType::UInt32 => widened::<UInt32Type>(column),
        DataType::UInt64 => unsigned(column, field, bad),
        _ => widened::<Int64Type>(column),
    }
}

fn unsigned(column: &ArrayRef, field: &Field, bad: &mut Vec<Misfit>) -> Vec<i64> {
    let values = column
        .as_primitive::<UInt64Type>()
        .values()
        .iter()
        .enumerate();
    let each = values.map(|(i, v)| {
        i64::try_from(*v).unwrap_or_else(|_| {
            if column.is_valid(i) {
                let why = format!("field `{}` (i64): `{v}` is not an i64", field.name);
                bad.push((i, v.to_string().into_bytes(), why));
            }
            0
        })
    });
    each.collect()
}

fn floats(column: &ArrayRef) -> Vec<f64> {
    match column.data_type() {
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>().values();
            values.iter().map(|v| f64::from(*v)).collect()
        }
        DataType::Float64 => column.as_primitive::<Float64Type>().values().to_vec(),
        // At most 32 bits: exact in a double.
        #[expect(clippy::cast_precision_loss, reason = "integers of at most 32 bits")]
        _ => {
            let field = Field::new("", Kind::I64);
            integers(column, &field, &mut Vec::new())
                .into_iter()
                .map(|v| v as f64)
                .collect()
        }
    }
}

fn bytes(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8 => Arc::new(
            column
                .as_string::<i32>()
                .iter()
                .map(|v| v.map(str::as_bytes))
                .collect::<BinaryArray>(),
        ),
        DataType::FixedSizeBinary(_) => Arc::new(
            column
                .as_fixed_size_binary()
                .iter()
                .collect::<BinaryArray>(),
        ),
        _ => column.clone(),
    }
}

fn timestamps(
    column: &ArrayRef,
    field: &Field,
    unit: Option<TimeUnit>,
    bad: &mut Vec<Misfit>,
) -> ArrayRef {
    let (values, unit, cut) = time_values(column, field, unit, bad);
    let mut us = Vec::with_capacity(values.len());
    for (i, value) in values.into_iter().enumerate() {
        let lossy = !cut && unit == Some(TimeUnit::Ns) && value % 1000 != 0;
        let converted = match lossy {
            true => Err("is finer than a microsecond; declare timestamp(ns) to cut it".to_owned()),
            false => time::integer(value, unit),
        };
        us.push(*converted.as_ref().unwrap_or(&0));
        if let (Err(why), true) = (converted, column.is_valid(i)) {
            let why = format!("field `{}` (timestamp): `{value}` {why}", field.name);
            bad.push((i, value.to_string().into_bytes(), why));
        }
    }
    let array = TimestampMicrosecondArray::new(us.into(), column.nulls().cloned());
    Arc::new(array.with_timezone("UTC"))
}

/// The numbers of a time column, their unit, and whether nanoseconds may be cut.
fn time_values(
    column: &ArrayRef,
    field: &Field,
    unit: Option<TimeUnit>,
    bad: &mut Vec<Misfit>,
) -> (Vec<i64>, Option<TimeUnit>, bool) {
    const DAY_SECONDS: i64 = 86_400;
    let cut = unit == Some(TimeUnit::Ns);
    match column.data_type() {
        DataType::Timestamp(ArrowUnit::Second, _) => (
            widened::<TimestampSecondType>(column),
            Some(TimeUnit::S),
            cut,
        ),
        DataType::Timestamp(ArrowUnit::Millisecond, _) => (
            widened::<TimestampMillisecondType>(column),
            Some(TimeUnit::Ms),
            cut,
        ),
        DataType::Timestamp(ArrowUnit::Microsecond, _) => (
            widened::<TimestampMicrosecondType>(column),
            Some(TimeUnit::Us),
            cut,
        ),
        DataType::Timestamp(ArrowUnit::Nanosecond, _) => (
            widened::<TimestampNanosecondType>(column),
            Some(TimeUnit::Ns),
            cut,
        ),
        DataType::Date32 => {
            let days = widened::<Date32Type>(column);
            (
                days.into_iter().map(|d| d * DAY_SECONDS).collect(),
                Some(TimeUnit::S),
                cut,
            )
        }
        DataType::Date64 => (widened::<Date64Type>(column), Some(TimeUnit::Ms), cut),
        _ => (integers(column, field, bad), unit, true),
    }
}
