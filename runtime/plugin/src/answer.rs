//! What a plugin answered, checked against the contract and turned into Arrow columns.
//!
//! Pure: nothing here knows an instance. Vectors become Arrow buffers without a copy, except booleans (bits) and `ends`
//! (Arrow has one more, and signed).

pub(crate) mod process;

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use refrain_log::schema::{Field, Kind};

use crate::fault::Cause;
use crate::instance::{Entries, Evaluated, Reject, States, Transformed};
use crate::limits::REASON_BYTES_MAX;
use crate::wire::{self, Values};

/// 0001-01-01T00:00:00Z in microseconds since 1970.
const TIME_MIN: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z in microseconds since 1970.
const TIME_MAX: i64 = 253_402_300_799_999_999;
const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

/// Checks the answer of `transform.process` to `input_rows` rows.
pub(crate) fn transformed(
    said: wire::Transformed,
    outputs: &[Field],
    input_rows: usize,
) -> Result<Transformed, Cause> {
    let rejects = rejects(said.rejects, input_rows)?;
    let count = said.rows.count as usize;
    origins(&said.origins, &rejects, count, input_rows)?;
    Ok(Transformed {
        columns: columns(said.rows, outputs, None)?,
        count,
        origins: said.origins,
        rejects,
    })
}

/// Checks the answer of `fold.evaluate` for `slots` slots.
pub(crate) fn evaluated(
    said: wire::Evaluated,
    outputs: &[Field],
    slots: usize,
) -> Result<Evaluated, Cause> {
    if said.rows.count as usize != slots {
        return malformed(format!(
            "gave {} rows for {slots} slots: one row for each slot is wanted, present or not",
            said.rows.count
        ));
    }
    let present = bitmap(said.present, slots, "`present`")?;
    Ok(Evaluated {
        columns: columns(said.rows, outputs, present.as_ref())?,
        present,
    })
}

/// Checks the answer of `fold.save` for `slots` slots.
pub(crate) fn states(said: wire::Spans, slots: usize) -> Result<States, Cause> {
    if said.ends.len() != slots {
        return malformed(format!(
            "gave {} states for {slots} slots: one state for each slot is wanted",
            said.ends.len()
        ));
    }
    check_ends(&said, "its states")?;
    Ok(States {
        ends: said.ends,
        bytes: said.bytes,
    })
}

/// Checks the rejects among `input_rows` rows.
fn rejects(said: Vec<wire::Reject>, input_rows: usize) -> Result<Vec<Reject>, Cause> {
    if !said.is_sorted_by(|a, b| a.row < b.row) {
        return malformed("gave rejects out of order: they rise by row, at most one for a row");
    }
    if said
        .last()
        .is_some_and(|last| last.row as usize >= input_rows)
    {
        return malformed(format!(
            "rejected a row that it was not given: there were {input_rows}"
        ));
    }
    Ok(said
        .into_iter()
        .map(|reject| Reject {
            row: reject.row,
            reason: cut(reject.reason),
        })
        .collect())
}

/// Checks the rejects of `fold.update`, where only rows with an entry may be refused.
pub(crate) fn updated(
    said: Vec<wire::Reject>,
    input_rows: usize,
    entries: &Entries<'_>,
) -> Result<Vec<Reject>, Cause> {
    let rejects = rejects(said, input_rows)?;
    let given = |row: u32| entries.rows.is_empty() || entries.rows.binary_search(&row).is_ok();
    match rejects.iter().all(|reject| given(reject.row)) {
        true => Ok(rejects),
        false => malformed("rejected a row that it was not given: it has no entry"),
    }
}

/// A reason of at most [`REASON_BYTES_MAX`] bytes.
fn cut(mut reason: String) -> String {
    if reason.len() > REASON_BYTES_MAX {
        let end = reason.floor_char_boundary(REASON_BYTES_MAX - '…'.len_utf8());
        reason.truncate(end);
        reason.push('…');
    }
    reason
}

fn origins(
    origins: &[u32],
    rejects: &[Reject],
    count: usize,
    input_rows: usize,
) -> Result<(), Cause> {
    if origins.is_empty() && count > 0 {
        return same_rows(rejects, count, input_rows);
    }
    if origins.len() != count {
        return malformed(format!(
            "gave {} origins for {count} rows: one for each output row, or none when row i comes from row i",
            origins.len()
        ));
    }
    if !origins.is_sorted() {
        return malformed(
            "gave origins that decrease: output rows stand in the order of their input rows",
        );
    }
    if origins
        .last()
        .is_some_and(|&last| last as usize >= input_rows)
    {
        return malformed(format!(
            "gave an origin that is no input row: there were {input_rows}"
        ));
    }
    match rejects
        .iter()
        .any(|reject| origins.binary_search(&reject.row).is_ok())
    {
        true => malformed("rejected a row and gave output for it: it is one or the other"),
        false => Ok(()),
    }
}

/// Empty origins say that row i comes from row i.
fn same_rows(rejects: &[Reject], count: usize, input_rows: usize) -> Result<(), Cause> {
    if count != input_rows {
        return malformed(format!(
            "gave {count} rows for {input_rows} and no origins: say which row each comes from"
        ));
    }
    match rejects {
        [] => Ok(()),
        _ => malformed("rejected a row and gave output for it: it is one or the other"),
    }
}

/// Checks rows of declared fields. A row that is not `present` may be null in any field.
fn columns(
    said: wire::Rows,
    fields: &[Field],
    present: Option<&BooleanBuffer>,
) -> Result<Vec<ArrayRef>, Cause> {
    if said.columns.len() != fields.len() {
        return malformed(format!(
            "gave {} columns where {} output fields are declared",
            said.columns.len(),
            fields.len()
        ));
    }
    let count = said.count as usize;
    said.columns
        .into_iter()
        .zip(fields)
        .map(|(column, field)| checked(column, field, count, present))
        .collect()
}

fn checked(
    column: wire::Column,
    field: &Field,
    count: usize,
    present: Option<&BooleanBuffer>,
) -> Result<ArrayRef, Cause> {
    let name = &field.name;
    let values = len(&column.values);
    if values != count {
        return malformed(format!("gave {values} values of `{name}` for {count} rows"));
    }
    let nulls = bitmap(column.valid, count, &format!("`valid` of `{name}`"))?
        .map(NullBuffer::new)
        .filter(|nulls| nulls.null_count() > 0);
    let nulls = match nulls {
        Some(nulls) if !field.nullable => {
            refuse_nulls(&nulls, present, name)?;
            None
        }
        nulls => nulls,
    };
    array(column.values, field, nulls)
}

fn len(values: &Values) -> usize {
    match values {
        Values::Bools(values) => values.len(),
        Values::Ints(values) => values.len(),
        Values::Floats(values) => values.len(),
        Values::Spans(spans) => spans.ends.len(),
    }
}

/// A bitmap over `count` things; empty: all set.
fn bitmap(bytes: Vec<u8>, count: usize, what: &str) -> Result<Option<BooleanBuffer>, Cause> {
    let (given, wanted) = (bytes.len(), count.div_ceil(8));
    match given {
        0 => Ok(None),
        _ if given == wanted => Ok(Some(BooleanBuffer::new(Buffer::from_vec(bytes), 0, count))),
        _ => malformed(format!(
            "gave a bitmap {what} of {given} bytes for {count} rows: {wanted} are wanted, or none"
        )),
    }
}

fn refuse_nulls(
    nulls: &NullBuffer,
    present: Option<&BooleanBuffer>,
    name: &str,
) -> Result<(), Cause> {
    let missing = !nulls.inner();
    let seen = match present {
        Some(present) => &missing & present,
        None => missing,
    };
    match seen.count_set_bits() {
        0 => Ok(()),
        _ => malformed(format!(
            "gave null in `{name}`: declare the field nullable, or give a value"
        )),
    }
}

fn array(mut values: Values, field: &Field, nulls: Option<NullBuffer>) -> Result<ArrayRef, Cause> {
    if let Some(nulls) = &nulls {
        blank(&mut values, nulls);
    }
    Ok(match (field.kind, values) {
        (Kind::Bool, Values::Bools(values)) => Arc::new(BooleanArray::new(values.into(), nulls)),
        (Kind::I64, Values::Ints(values)) => Arc::new(Int64Array::new(values.into(), nulls)),
        (Kind::F64, Values::Floats(values)) => {
            Arc::new(Float64Array::new(one_nan(values).into(), nulls))
        }
        (Kind::Timestamp, Values::Ints(values)) => times(values, field, nulls)?,
        (Kind::Text, Values::Spans(spans)) => text(spans, field, nulls)?,
        (Kind::Bytes, Values::Spans(spans)) => {
            let (offsets, bytes) = offsets(spans, &field.name)?;
            Arc::new(BinaryArray::new(offsets, bytes, nulls))
        }
        (kind, values) => {
            return malformed(format!(
                "gave `{}` as {}, where {} is declared",
                field.name,
                case(&values),
                kind.name()
            ));
        }
    })
}

/// Puts false, 0 or an empty span where a null is, as the contract has it, so that equal rows have equal bytes.
fn blank(values: &mut Values, nulls: &NullBuffer) {
    let missing = !nulls.inner();
    match values {
        Values::Bools(values) => missing.set_indices().for_each(|i| values[i] = false),
        Values::Ints(values) => missing.set_indices().for_each(|i| values[i] = 0),
        Values::Floats(values) => missing.set_indices().for_each(|i| values[i] = 0.0),
        Values::Spans(spans) => blank_spans(spans, nulls),
    }
}

/// Takes out the bytes of nulls, if any has some. Ends that make no sense are left for [`check_ends`].
fn blank_spans(spans: &mut wire::Spans, nulls: &NullBuffer) {
    let ends = &spans.ends;
    let start = |i: usize| if i == 0 { 0 } else { ends[i - 1] };
    let empty = |i: usize| ends[i] == start(i);
    let missing = !nulls.inner();
    if missing.set_indices().all(empty) || check_ends(spans, "").is_err() {
        return;
    }
    let mut kept = wire::Spans {
        ends: Vec::with_capacity(ends.len()),
        bytes: Vec::with_capacity(spans.bytes.len()),
    };
    for (i, &end) in ends.iter().enumerate() {
        if nulls.is_valid(i) {
            kept.bytes
                .extend_from_slice(&spans.bytes[start(i) as usize..end as usize]);
        }
        // It was at most as long before.
        kept.ends.push(kept.bytes.len() as u32);
    }
    *spans = kept;
}

fn case(values: &Values) -> &'static str {
    match values {
        Values::Bools(_) => "bools",
        Values::Ints(_) => "ints",
        Values::Floats(_) => "floats",
        Values::Spans(_) => "spans",
    }
}

/// The same numbers with one bit pattern for NaN.
fn one_nan(mut values: Vec<f64>) -> Vec<f64> {
    for value in &mut values {
        *value = if value.is_nan() { NAN } else { *value };
    }
    values
}

fn times(values: Vec<i64>, field: &Field, nulls: Option<NullBuffer>) -> Result<ArrayRef, Cause> {
    let fits = |value: &i64| (TIME_MIN..=TIME_MAX).contains(value);
    if !values.iter().fold(true, |all, value| all & fits(value)) {
        return malformed(format!(
            "gave a time outside the years 1 to 9999 in `{}`: times are microseconds since 1970",
            field.name
        ));
    }
    let times = TimestampMicrosecondArray::new(values.into(), nulls);
    Ok(Arc::new(times.with_timezone("UTC")))
}

fn text(spans: wire::Spans, field: &Field, nulls: Option<NullBuffer>) -> Result<ArrayRef, Cause> {
    let name = &field.name;
    let (offsets, bytes) = offsets(spans, name)?;
    match StringArray::try_new(offsets, bytes, nulls) {
        Ok(text) => Ok(Arc::new(text)),
        Err(_) => malformed(format!(
            "gave text in `{name}` that is not UTF-8: declare the field as bytes, or give UTF-8"
        )),
    }
}

/// Arrow offsets of spans whose ends were checked.
fn offsets(spans: wire::Spans, name: &str) -> Result<(OffsetBuffer<i32>, Buffer), Cause> {
    check_ends(&spans, &format!("`{name}`"))?;
    let mut offsets = Vec::with_capacity(spans.ends.len() + 1);
    offsets.push(0);
    offsets.extend(spans.ends.iter().map(|end| end.cast_signed()));
    Ok((
        OffsetBuffer::new(ScalarBuffer::from(offsets)),
        Buffer::from_vec(spans.bytes),
    ))
}

/// `ends` never decreases and ends where the bytes do, below 2 GiB.
fn check_ends(spans: &wire::Spans, what: &str) -> Result<(), Cause> {
    if !spans.ends.is_sorted() {
        return malformed(format!("gave ends of {what} that decrease"));
    }
    let last = spans.ends.last().copied().unwrap_or(0) as usize;
    if last != spans.bytes.len() {
        return malformed(format!(
            "gave ends of {what} up to {last} for {} bytes: the last end is the length of the bytes",
            spans.bytes.len()
        ));
    }
    match i32::try_from(last) {
        Ok(_) => Ok(()),
        Err(_) => malformed(format!("gave more than 2 GiB of {what} in one answer")),
    }
}

fn malformed<T>(what: impl Into<String>) -> Result<T, Cause> {
    Err(Cause::malformed(what))
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use arrow_array::Array;

    use super::*;

    #[test]
    fn what_lies_under_a_null_does_not_show() {
        let column = |values, kind| {
            let said = wire::Column {
                values,
                valid: vec![0b101],
            };
            let field = Field::new("out", kind).nullable();
            checked(said, &field, 3, None)
                .unwrap()
                .to_data()
                .buffers()
                .to_vec()
        };
        let spans = |ends: [u32; 3], bytes: &[u8]| {
            Values::Spans(wire::Spans {
                ends: ends.to_vec(),
                bytes: bytes.to_vec(),
            })
        };
        assert_eq!(
            column(spans([1, 3, 4], b"a\xff\xffb"), Kind::Text),
            column(spans([1, 1, 2], b"ab"), Kind::Text)
        );
        assert_eq!(
            column(Values::Ints(vec![1, i64::MAX, 3]), Kind::Timestamp),
            column(Values::Ints(vec![1, 0, 3]), Kind::Timestamp)
        );
        assert_eq!(
            column(Values::Bools(vec![true; 3]), Kind::Bool),
            column(Values::Bools(vec![true, false, true]), Kind::Bool)
        );
        assert_eq!(
            column(Values::Floats(vec![1.0; 3]), Kind::F64),
            column(Values::Floats(vec![1.0, 0.0, 1.0]), Kind::F64)
        );
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(cut("short".into()), "short");
        let whole = "x".repeat(REASON_BYTES_MAX);
        assert_eq!(cut(whole.clone()), whole);
        for char in ["x", "é", "€", "😀"] {
            let long = cut(char.repeat(REASON_BYTES_MAX + 1));
            assert!(long.len() <= REASON_BYTES_MAX && long.len() > REASON_BYTES_MAX - 8);
            assert!(long.ends_with('…'));
        }
    }
}
