//! From an append to frames: which rows are refused, which partition each of the others goes to, and their bytes.
//! Done on the thread that appends; the writer only puts frames in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BinaryArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    UInt32Array,
};
use arrow_select::take::take_record_batch;
use xxhash_rust::xxh3::xxh3_64;

use crate::columns::{self, Payload};
use crate::ids::Timestamp;
use crate::limits::{EVENT_TIME_US_MAX, EVENT_TIME_US_MIN, KEYLESS_BLOCK_ROWS};
use crate::log::{Append, Undecoded};
use crate::schema::{Field, Kind, Schema};
use crate::schemas::missing;
use crate::topic::{Topic, TopicSpec};
use crate::widen::{widen, widens};
use crate::{Error, Result};

/// The rows of one append that go to one partition.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) topic: Arc<Topic>,
    pub(crate) partition: u32,
    /// Kept to leave out rows that were appended before.
    pub(crate) rows: RecordBatch,
    /// Input row number of each.
    pub(crate) numbers: Vec<u64>,
    pub(crate) payload: Payload,
    pub(crate) times: Option<(Timestamp, Timestamp)>,
    /// Whether they are rejects.
    pub(crate) rejected: bool,
}

/// An append, ready for the writer.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) topic: String,
    pub(crate) parts: Vec<Part>,
    /// Hash of the producer's name, 0 for none.
    pub(crate) producer: u64,
    /// First input row number.
    pub(crate) first_row: u64,
    pub(crate) bytes: u64,
}

/// Schema of `<topic>.rejected`.
pub fn rejected_schema() -> Schema {
    Schema::new(vec![
        Field::new("producer", Kind::Text),
        Field::new("input", Kind::Text),
        Field::new("line", Kind::I64),
        Field::new("row", Kind::I64),
        Field::new("bytes", Kind::Bytes),
        Field::new("reason", Kind::Text),
    ])
}

/// Hash of a producer's name, by which it is remembered (xxh3-64); 0 is kept for none.
pub fn producer_hash(name: &str) -> u64 {
    xxh3_64(name.as_bytes()).max(1)
}

/// Prepares an append. `now` bounds its event times.
pub(crate) fn prepare(
    append: Append,
    topic: &Arc<Topic>,
    rejected: &Arc<Topic>,
    now: Timestamp,
) -> Result<Prepared> {
    refuse_unknown(&append.rows, topic.spec())?;
    let append = Append {
        rows: fitted(append.rows, topic.spec())?,
        ..append
    };
    let count = append.rows.num_rows();
    let first_row = append.producer.as_ref().map_or(1, |p| p.first_row.max(1));
    let numbers = if append.row_numbers.is_empty() {
        (first_row..first_row + count as u64).collect()
    } else {
        append.row_numbers
    };
    if numbers.len() != count || !numbers.is_sorted() {
        return Err(Error::Invalid(
            "row numbers rise, and there is one for each row".into(),
        ));
    }
    let undecoded = append.undecoded.iter().map(|u| u.row);
    let lowest = numbers.iter().copied().chain(undecoded).min();
    let reasons = refuse(&append.rows, topic.spec(), now);
    let mut refused = append.undecoded;
    refused.extend(reasons.iter().enumerate().filter_map(|(row, reason)| {
        Some(Undecoded {
            input: append.input.clone(),
            line: numbers[row],
            row: numbers[row],
            bytes: json(&append.rows, row),
            reason: reason.clone()?,
        })
    }));
    let taken = |row: &usize| reasons.get(*row).is_none_or(Option::is_none);
    let rows: Vec<usize> = (0..count).filter(taken).collect();
    let produced = append.producer.is_some();
    let mut parts = route(topic, &append.rows, &numbers, rows, produced)?;
    let producer = append.producer.as_ref().map_or("", |p| p.name.as_str());
    if !refused.is_empty() {
        parts.push(rejects(rejected, producer, refused)?);
    }
    Ok(Prepared {
        topic: topic.spec().name.clone(),
        bytes: parts.iter().map(|part| part.payload.bytes()).sum(),
        parts,
        producer: append
            .producer
            .as_ref()
            .map_or(0, |p| producer_hash(&p.name)),
        first_row: lowest.unwrap_or(first_row),
    })
}

/// Nothing of a row is left out unseen.
fn refuse_unknown(rows: &RecordBatch, spec: &TopicSpec) -> Result<()> {
    let given = rows.schema();
    let names = given.fields().iter().map(|field| field.name());
    let unknown: Vec<&str> = names
        .filter(|name| spec.schema.field(name).is_none())
        .map(String::as_str)
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let fields: Vec<&str> = spec
        .schema
        .fields()
        .iter()
        .map(|f| f.name.as_str())
        .collect();
    Err(Error::Invalid(format!(
        "topic {} has no field {}: nothing of the append was kept, since a part of each row would be lost; its fields are \
         {}",
        spec.name,
        unknown.join(", "),
        fields.join(", ")
    )))
}

/// The rows with all fields of the topic: who appends may know an earlier version of its schema.
fn fitted(rows: RecordBatch, spec: &TopicSpec) -> Result<RecordBatch> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for field in spec.schema.fields() {
        let default = spec.defaults.get(&field.name);
        let column = match rows.column_by_name(&field.name) {
            Some(column) => match columns::kind_of(column.data_type()) {
                Some(was) if widens(was, field.kind) => widen(column, was),
                _ => column.clone(),
            },
            None if field.nullable || default.is_some() => {
                missing(field.kind, default, rows.num_rows())
            }
            None => {
                let what = format!("field {} is missing in the batch", field.name);
                return Err(Error::Invalid(what));
            }
        };
        // Rows that are null where they must not be are refused one by one.
        fields.push(arrow_schema::Field::new(
            &field.name,
            column.data_type().clone(),
            true,
        ));
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let schema = Arc::new(arrow_schema::Schema::new(fields));
    RecordBatch::try_new_with_options(schema, columns, &options)
        .map_err(|e| Error::Invalid(e.to_string()))
}

/// Why rows are refused, for each row; empty when none is.
fn refuse(rows: &RecordBatch, spec: &TopicSpec, now: Timestamp) -> Vec<Option<String>> {
    let mut reasons: Vec<Option<String>> = Vec::new();
    let mut refuse = |row: usize, reason: String| {
        reasons.resize(rows.num_rows(), None);
        reasons[row].get_or_insert(reason);
    };
    for field in spec.schema.fields() {
        let Some(column) = rows.column_by_name(&field.name) else {
            continue;
        };
        let is_time = spec.time.as_ref() == Some(&field.name);
        if column.null_count() > 0 && (!field.nullable || is_time) {
            for row in (0..rows.num_rows()).filter(|&row| column.is_null(row)) {
                refuse(row, format!("{} is null", field.name));
            }
        }
        if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() {
            let max = match is_time {
                true => EVENT_TIME_US_MAX.min(now.0.saturating_add(spec.ahead_us)),
                false => EVENT_TIME_US_MAX,
            };
            let fits = |t: &i64| (EVENT_TIME_US_MIN..=max).contains(t);
            if times.values().iter().all(fits) {
                continue;
            }
            for (row, time) in times.values().iter().enumerate() {
                if times.is_valid(row) && !fits(time) {
                    refuse(row, time_reason(&field.name, *time, spec.ahead_us));
                }
            }
        }
    }
    reasons
}

fn time_reason(field: &str, time: i64, ahead_us: i64) -> String {
    if (EVENT_TIME_US_MIN..=EVENT_TIME_US_MAX).contains(&time) {
        format!(
            "{field} is more than {} s ahead of the time of the append",
            ahead_us / 1_000_000
        )
    } else {
        format!("{field} lies outside the years 1 to 9999")
    }
}

/// Sends rows to their partitions.
fn route(
    topic: &Arc<Topic>,
    rows: &RecordBatch,
    numbers: &[u64],
    taken: Vec<usize>,
    produced: bool,
) -> Result<Vec<Part>> {
    let partitions = topic.spec().partitions;
    let mut chosen: Vec<Vec<u32>> = vec![Vec::new(); partitions as usize];
    let keys = key_columns(topic.spec(), rows)?;
    let first = if keys.is_empty() && !produced {
        topic
            .keyless_rows
            .fetch_add(taken.len() as u64, Ordering::Relaxed)
    } else {
        0
    };
    let mut key = Vec::new();
    for (i, row) in taken.into_iter().enumerate() {
        let partition = match (partitions, keys.is_empty()) {
            (1, _) => 0,
            (_, true) => {
                let number = if produced {
                    numbers[row] - 1
                } else {
                    first + i as u64
                };
                number / KEYLESS_BLOCK_ROWS % u64::from(partitions)
            }
            (_, false) => key_hash(&keys, row, &mut key) % u64::from(partitions),
        };
        chosen[partition as usize].push(row as u32);
    }
    let used = (0..partitions)
        .zip(chosen)
        .filter(|(_, rows)| !rows.is_empty());
    used.map(|(partition, chosen)| {
        let part_numbers = chosen.iter().map(|&row| numbers[row as usize]).collect();
        let part_rows = if chosen.len() == rows.num_rows() {
            rows.clone()
        } else {
            take_record_batch(rows, &UInt32Array::from(chosen))
                .map_err(|e| Error::Invalid(e.to_string()))?
        };
        part(topic, partition, part_rows, part_numbers, false)
    })
    .collect()
}

/// Encodes rows for a partition.
pub(crate) fn part(
    topic: &Arc<Topic>,
    partition: u32,
    rows: RecordBatch,
    numbers: Vec<u64>,
    rejected: bool,
) -> Result<Part> {
    Ok(Part {
        payload: columns::encode(&rows, topic.schema())?,
        times: times(topic.spec(), &rows),
        topic: topic.clone(),
        partition,
        rows,
        numbers,
        rejected,
    })
}

/// Smallest and largest event time.
pub(crate) fn times(spec: &TopicSpec, rows: &RecordBatch) -> Option<(Timestamp, Timestamp)> {
    let column = rows.column_by_name(spec.time.as_ref()?)?;
    let times = column.as_primitive_opt::<TimestampMicrosecondType>()?;
    if times.null_count() > 0 {
        let (min, max) = times
            .iter()
            .flatten()
            .fold((i64::MAX, i64::MIN), |(a, b), t| (a.min(t), b.max(t)));
        return (min <= max).then_some((Timestamp(min), Timestamp(max)));
    }
    let (min, max) = times
        .values()
        .iter()
        .fold((i64::MAX, i64::MIN), |(a, b), &t| (a.min(t), b.max(t)));
    (min <= max).then_some((Timestamp(min), Timestamp(max)))
}

fn key_columns(spec: &TopicSpec, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let column = |name: &String| {
        rows.column_by_name(name)
            .cloned()
            .ok_or_else(|| Error::Invalid(format!("field {name} is missing in the batch")))
    };
    spec.key.iter().map(column).collect()
}

/// Appends the canonical bytes of one key value: 0 for null, else 1 and the value (bool 1 byte, numbers 8 bytes little
/// endian, text and bytes their length in 4 bytes and themselves).
/// Hash of the canonical key of a row, by which it is given to a partition (`hash % partitions`). `scratch` is of use
/// for the next row.
pub fn key_hash(keys: &[ArrayRef], row: usize, scratch: &mut Vec<u8>) -> u64 {
    scratch.clear();
    keys.iter()
        .for_each(|column| write_key(column, row, scratch));
    xxh3_64(scratch)
}

fn write_key(column: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    if column.is_null(row) {
        out.push(0);
        return;
    }
    out.push(1);
    let span = |out: &mut Vec<u8>, bytes: &[u8]| {
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    if let Some(a) = column.as_primitive_opt::<Int64Type>() {
        out.extend_from_slice(&a.value(row).to_le_bytes());
    } else if let Some(a) = column.as_string_opt::<i32>() {
        span(out, a.value(row).as_bytes());
    } else if let Some(a) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        out.extend_from_slice(&a.value(row).to_le_bytes());
    } else if let Some(a) = column.as_binary_opt::<i32>() {
        span(out, a.value(row));
    } else if let Some(a) = column.as_boolean_opt() {
        out.push(u8::from(a.value(row)));
    }
}

/// The rows of `<topic>.rejected`.
fn rejects(topic: &Arc<Topic>, producer: &str, mut refused: Vec<Undecoded>) -> Result<Part> {
    refused.sort_by_key(|u| u.row);
    let text = |get: fn(&Undecoded) -> &str| StringArray::from_iter_values(refused.iter().map(get));
    let number = |get: fn(&Undecoded) -> u64| {
        Int64Array::from_iter_values(refused.iter().map(|u| get(u).cast_signed()))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(
            refused.iter().map(|_| producer),
        )),
        Arc::new(text(|u| &u.input)),
        Arc::new(number(|u| u.line)),
        Arc::new(number(|u| u.row)),
        Arc::new(BinaryArray::from_iter_values(
            refused.iter().map(|u| &u.bytes),
        )),
        Arc::new(text(|u| &u.reason)),
    ];
    let numbers = refused.iter().map(|u| u.row).collect();
    let rows = columns::batch_of(topic.schema(), columns, refused.len())?;
    part(topic, 0, rows, numbers, true)
}

/// One row as a JSON object.
fn json(rows: &RecordBatch, row: usize) -> Vec<u8> {
    let schema = rows.schema();
    let object: serde_json::Map<_, _> = schema
        .fields()
        .iter()
        .zip(rows.columns())
        .map(|(field, column)| (field.name().clone(), json_value(column, row)))
        .collect();
    serde_json::Value::Object(object).to_string().into_bytes()
}

fn json_value(column: &ArrayRef, row: usize) -> serde_json::Value {
    if column.is_null(row) {
        return serde_json::Value::Null;
    }
    if let Some(a) = column.as_primitive_opt::<Int64Type>() {
        a.value(row).into()
    } else if let Some(a) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        a.value(row).into()
    } else if let Some(a) = column.as_primitive_opt::<Float64Type>() {
        a.value(row).into()
    } else if let Some(a) = column.as_boolean_opt() {
        a.value(row).into()
    } else if let Some(a) = column.as_string_opt::<i32>() {
        a.value(row).into()
    } else if let Some(a) = column.as_binary_opt::<i32>() {
        String::from_utf8_lossy(a.value(row)).into()
    } else {
        serde_json::Value::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::Origin;
    use arrow_array::TimestampMicrosecondArray;

    /// Such a row was taken once, and stopped every node whose plugin passed the value on.
    #[test]
    fn a_timestamp_outside_the_years_is_refused_in_any_field() {
        let field = |name: &str| Field::new(name, Kind::Timestamp).nullable();
        let schema = Schema::new(vec![Field::new("at", Kind::Timestamp), field("seen")]);
        let spec = TopicSpec {
            name: "events".into(),
            origin: Origin::Source,
            schema: schema.clone(),
            key: Vec::new(),
            time: Some("at".into()),
            partitions: 1,
            ahead_us: 0,
            idle_us: None,
            segment_bytes: 1 << 20,
            defaults: Default::default(),
        };
        let times = |values: Vec<Option<i64>>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
        };
        let at = times(vec![Some(0); 4]);
        let seen = times(vec![
            Some(EVENT_TIME_US_MAX),
            None,
            Some(i64::MAX),
            Some(i64::MIN),
        ]);
        let rows = RecordBatch::try_new(schema.arrow(), vec![at, seen]).unwrap();
        let reasons = refuse(&rows, &spec, Timestamp(0));
        let outside = Some("seen lies outside the years 1 to 9999".to_string());
        assert_eq!(reasons, [None, None, outside.clone(), outside]);
    }
}
