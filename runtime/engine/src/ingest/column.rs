//! Columns while they grow row by row. A row that turns out not to fit in its last field leaves no trace in the others:
//! columns are cut back to the rows that hold.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions,
    StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use refrain_log::log::Undecoded;
use refrain_log::schema::{Field, Kind};
use refrain_log::schemas::Value;

use super::value::{self, found};
use super::{DecodeOptions, Decoded, IngestError, TimeUnit, base64, time};

/// Bytes of text that one batch may collect before it is handed out.
const BATCH_BYTES_MAX: usize = 32 << 20;

/// The values of one field.
pub(super) struct Column {
    pub(super) field: Field,
    pub(super) unit: Option<TimeUnit>,
    default: Option<Value>,
    values: Values,
    /// One entry a value; empty for a field that is never null.
    valid: Vec<bool>,
}

enum Values {
    Bools(Vec<bool>),
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Spans { ends: Vec<i32>, bytes: Vec<u8> },
}

impl Column {
    fn new(field: Field, unit: Option<TimeUnit>, default: Option<Value>) -> Self {
        let values = match field.kind {
            Kind::Bool => Values::Bools(Vec::new()),
            Kind::I64 | Kind::Timestamp => Values::Ints(Vec::new()),
            Kind::F64 => Values::Floats(Vec::new()),
            Kind::Text | Kind::Bytes => Values::Spans {
                ends: Vec::new(),
                bytes: Vec::new(),
            },
        };
        Self {
            field,
            unit,
            default,
            values,
            valid: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.values {
            Values::Bools(v) => v.len(),
            Values::Ints(v) => v.len(),
            Values::Floats(v) => v.len(),
            Values::Spans { ends, .. } => ends.len(),
        }
    }

    fn bytes(&self) -> usize {
        match &self.values {
            Values::Spans { bytes, .. } => bytes.len(),
            _ => 0,
        }
    }

    /// One value from a cell of text.
    #[inline]
    pub(super) fn push_text(&mut self, cell: &[u8], quoted: bool) -> Result<(), String> {
        let may_be_empty = matches!(self.values, Values::Spans { .. });
        if cell.is_empty() && self.field.nullable && !(quoted && may_be_empty) {
            return self.push_null();
        }
        if cell.is_empty() && !may_be_empty {
            return Err(self.absent());
        }
        match (&mut self.values, self.field.kind) {
            (Values::Ints(values), Kind::I64) => match value::integer(cell) {
                Some(number) => values.push(number),
                None => return Err(self.misfit(cell)),
            },
            (Values::Ints(values), _) => match time::parse(cell, self.unit) {
                Ok(us) => values.push(us),
                Err(why) => return Err(self.misfit_because(cell, &why)),
            },
            (Values::Floats(values), _) => match value::float(cell) {
                Some(number) => values.push(number),
                None => return Err(self.misfit(cell)),
            },
            (Values::Bools(values), _) => match value::boolean(cell) {
                Some(truth) => values.push(truth),
                None => return Err(self.misfit(cell)),
            },
            (Values::Spans { .. }, Kind::Text) => match std::str::from_utf8(cell) {
                Ok(text) => return self.push_span(text.as_bytes()),
                Err(_) => return Err(self.misfit_because(cell, "is not UTF-8")),
            },
            (Values::Spans { .. }, _) => return self.push_base64(cell),
        }
        self.mark(true);
        Ok(())
    }

    /// The value of a field that the row does not name.
    pub(super) fn push_absent(&mut self) -> Result<(), String> {
        match self.default.clone() {
            None => self.push_null(),
            Some(Value::Bool(truth)) => self.push_bool(truth),
            Some(Value::I64(number)) => self.push_integer(number),
            Some(Value::F64(bits)) => self.push_float(f64::from_bits(bits)),
            Some(Value::Text(text)) => self.push_span(text.as_bytes()),
            Some(Value::Bytes(bytes)) => self.push_span(&bytes),
            Some(Value::Timestamp(us)) => self.push_time(us),
        }
    }

    pub(super) fn push_null(&mut self) -> Result<(), String> {
        if !self.field.nullable {
            return Err(self.absent());
        }
        match &mut self.values {
            Values::Bools(v) => v.push(false),
            Values::Ints(v) => v.push(0),
            Values::Floats(v) => v.push(0.0),
            Values::Spans { ends, bytes } => ends.push(end(bytes)),
        }
        self.mark(false);
        Ok(())
    }

    pub(super) fn push_bool(&mut self, truth: bool) -> Result<(), String> {
        match &mut self.values {
            Values::Bools(values) => values.push(truth),
            _ => return Err(self.misfit(truth.to_string().as_bytes())),
        }
        self.mark(true);
        Ok(())
    }

    /// An integer of the input: a number, a time in its unit, or 0 and 1 as truth values.
    pub(super) fn push_integer(&mut self, number: i64) -> Result<(), String> {
        match (&mut self.values, self.field.kind) {
            (Values::Ints(values), Kind::I64) => values.push(number),
            (Values::Ints(values), _) => match time::integer(number, self.unit) {
                Ok(us) => values.push(us),
                Err(why) => return Err(self.misfit_because(number.to_string().as_bytes(), &why)),
            },
            #[expect(
                clippy::cast_precision_loss,
                reason = "a number of JSON is the nearest double"
            )]
            (Values::Floats(values), _) => values.push(number as f64),
            (Values::Bools(values), _) if number == 0 || number == 1 => values.push(number == 1),
            _ => return Err(self.misfit(number.to_string().as_bytes())),
        }
        self.mark(true);
        Ok(())
    }

    pub(super) fn push_float(&mut self, number: f64) -> Result<(), String> {
        match &mut self.values {
            Values::Floats(values) => values.push(number),
            _ => return Err(self.misfit(number.to_string().as_bytes())),
        }
        self.mark(true);
        Ok(())
    }

    /// A text of the input, as JSON has it: numbers in quotes are no numbers, except `NaN`, `inf` and `-inf`.
    pub(super) fn push_string(&mut self, text: &str) -> Result<(), String> {
        match (&self.values, self.field.kind) {
            (Values::Spans { .. }, Kind::Text) => self.push_span(text.as_bytes()),
            (Values::Spans { .. }, _) => self.push_base64(text.as_bytes()),
            (Values::Ints(_), Kind::Timestamp) if value::integer(text.as_bytes()).is_none() => {
                match time::parse(text.as_bytes(), self.unit) {
                    Ok(us) => self.push_time(us),
                    Err(why) => Err(self.misfit_because(text.as_bytes(), &why)),
                }
            }
            (Values::Floats(_), _) => match value::float(text.as_bytes()) {
                Some(number) if !number.is_finite() => self.push_float(number),
                _ => Err(self.misfit(text.as_bytes())),
            },
            _ => Err(self.misfit(text.as_bytes())),
        }
    }

    fn push_time(&mut self, us: i64) -> Result<(), String> {
        if let Values::Ints(values) = &mut self.values {
            values.push(us);
        }
        self.mark(true);
        Ok(())
    }

    fn push_base64(&mut self, text: &[u8]) -> Result<(), String> {
        let Values::Spans { ends, bytes } = &mut self.values else {
            return Err(self.misfit(text));
        };
        if base64::decode(text, bytes).is_none() {
            bytes.truncate(ends.last().map_or(0, |e| usize::try_from(*e).unwrap_or(0)));
            return Err(self.misfit_because(text, "is not base64"));
        }
        ends.push(end(bytes));
        self.mark(true);
        Ok(())
    }

    fn push_span(&mut self, value: &[u8]) -> Result<(), String> {
        let Values::Spans { ends, bytes } = &mut self.values else {
            return Err(self.misfit(value));
        };
        bytes.extend_from_slice(value);
        ends.push(end(bytes));
        self.mark(true);
        Ok(())
    }

    #[inline]
    fn mark(&mut self, valid: bool) {
        if self.field.nullable {
            self.valid.push(valid);
        }
    }

    #[cold]
    fn absent(&self) -> String {
        let Field { name, kind, .. } = &self.field;
        format!(
            "field `{name}` ({}) has no value and may not be null",
            kind.name()
        )
    }

    /// The sentence for a value that is not of the field's type.
    #[cold]
    pub(super) fn misfit(&self, text: &[u8]) -> String {
        let article = match self.field.kind {
            Kind::I64 | Kind::F64 => "an",
            Kind::Text | Kind::Bytes => "",
            _ => "a",
        };
        let kind = self.field.kind.name();
        self.misfit_because(
            text,
            format!("is not {article} {kind}")
                .replace("  ", " ")
                .as_str(),
        )
    }

    #[cold]
    fn misfit_because(&self, text: &[u8], why: &str) -> String {
        let Field { name, kind, .. } = &self.field;
        format!("field `{name}` ({}): `{}` {why}", kind.name(), found(text))
    }

    fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Bools(v) => v.truncate(rows),
            Values::Ints(v) => v.truncate(rows),
            Values::Floats(v) => v.truncate(rows),
            Values::Spans { ends, bytes } => {
                ends.truncate(rows);
                bytes.truncate(ends.last().map_or(0, |e| usize::try_from(*e).unwrap_or(0)));
            }
        }
        self.valid.truncate(rows);
    }

    /// The values as an Arrow array; the column is empty afterwards.
    fn finish(&mut self) -> ArrayRef {
        let rows = self.len();
        let valid = std::mem::take(&mut self.valid);
        let nulls = Some(NullBuffer::from(valid)).filter(|n| n.null_count() > 0);
        let array: ArrayRef = match (&mut self.values, self.field.kind) {
            (Values::Bools(v), _) => Arc::new(BooleanArray::new(
                BooleanBuffer::from(std::mem::take(v)),
                nulls,
            )),
            (Values::Ints(v), Kind::I64) => {
                Arc::new(Int64Array::new(ScalarBuffer::from(taken(v)), nulls))
            }
            (Values::Ints(v), _) => Arc::new(
                TimestampMicrosecondArray::new(ScalarBuffer::from(taken(v)), nulls)
                    .with_timezone("UTC"),
            ),
            (Values::Floats(v), _) => {
                Arc::new(Float64Array::new(ScalarBuffer::from(taken(v)), nulls))
            }
            (Values::Spans { ends, bytes }, kind) => {
                let mut offsets = Vec::with_capacity(rows + 1);
                offsets.push(0);
                offsets.append(ends);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let bytes = Buffer::from_vec(taken(bytes));
                if kind == Kind::Text {
                    Arc::new(StringArray::new(offsets, bytes, nulls))
                } else {
                    Arc::new(BinaryArray::new(offsets, bytes, nulls))
                }
            }
        };
        array
    }
}

fn end(bytes: &[u8]) -> i32 {
    i32::try_from(bytes.len()).expect("a batch holds at most BATCH_BYTES_MAX and one line of text")
}

/// The vector, with one of the same capacity left in its place: the next batch is as large as this one.
fn taken<T>(values: &mut Vec<T>) -> Vec<T> {
    let next = Vec::with_capacity(values.len());
    std::mem::replace(values, next)
}

/// Rows while they are decoded: all columns, and what did not fit.
pub(super) struct Rows {
    pub(super) columns: Vec<Column>,
    pub(super) input: String,
    schema: arrow_schema::SchemaRef,
    row_numbers: Vec<u64>,
    undecoded: Vec<Undecoded>,
    undecoded_bytes: usize,
    next_row: u64,
    notes: Vec<String>,
}

impl Rows {
    pub(super) fn new(options: &DecodeOptions) -> Self {
        let fields = options.schema.fields().iter();
        Self {
            columns: fields
                .map(|field| {
                    let unit = options.units.get(&field.name).copied();
                    let default = options.defaults.get(&field.name).cloned();
                    Column::new(field.clone(), unit, default)
                })
                .collect(),
            input: options.input.clone(),
            schema: options.schema.arrow(),
            row_numbers: Vec::new(),
            undecoded: Vec::new(),
            undecoded_bytes: 0,
            next_row: options.first_row,
            notes: Vec::new(),
        }
    }

    /// Rows that hold, so far.
    pub(super) fn len(&self) -> usize {
        self.row_numbers.len()
    }

    /// Rows of the input taken for this batch, good and bad.
    pub(super) fn taken(&self) -> usize {
        self.row_numbers.len() + self.undecoded.len()
    }

    pub(super) fn full(&self, rows_max: usize) -> bool {
        self.taken() >= rows_max
            || self.undecoded_bytes > BATCH_BYTES_MAX
            || self.columns.iter().any(|c| c.bytes() > BATCH_BYTES_MAX)
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// The row that was pushed into every column holds.
    #[inline]
    pub(super) fn keep(&mut self) {
        self.row_numbers.push(self.next_row);
        self.next_row += 1;
    }

    /// The row does not hold: what was pushed of it goes.
    pub(super) fn reject(&mut self, line: u64, bytes: &[u8], reason: String) {
        let rows = self.len();
        for column in &mut self.columns {
            column.truncate(rows);
        }
        self.undecoded_bytes += bytes.len();
        self.undecoded.push(Undecoded {
            input: self.input.clone(),
            line,
            row: self.next_row,
            bytes: bytes.to_vec(),
            reason,
        });
        self.next_row += 1;
    }

    /// Everything since the last call; `None` when that is nothing.
    pub(super) fn finish(&mut self, bytes_read: u64) -> Result<Option<Decoded>, IngestError> {
        if self.taken() == 0 {
            return Ok(None);
        }
        let arrays = self.columns.iter_mut().map(Column::finish).collect();
        self.batch(arrays, bytes_read).map(Some)
    }

    fn batch(&mut self, arrays: Vec<ArrayRef>, bytes_read: u64) -> Result<Decoded, IngestError> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options);
        self.undecoded_bytes = 0;
        Ok(Decoded {
            rows: rows.map_err(|e| IngestError {
                input: self.input.clone(),
                what: format!("the decoded columns do not fit together: {e}"),
            })?,
            row_numbers: taken(&mut self.row_numbers),
            undecoded: std::mem::take(&mut self.undecoded),
            bytes_read,
            notes: std::mem::take(&mut self.notes),
        })
    }

    /// A batch whose columns were made elsewhere; `bad` are its rows that do not hold, in order.
    pub(super) fn ready(
        &mut self,
        arrays: Vec<ArrayRef>,
        rows: usize,
        bad: &[(usize, Vec<u8>, String)],
        first_line: u64,
        bytes_read: u64,
    ) -> Result<Decoded, IngestError> {
        let mut bad = bad.iter().peekable();
        for row in 0..rows {
            match bad.next_if(|(at, ..)| *at == row) {
                Some((_, bytes, reason)) => {
                    self.reject(first_line + row as u64, bytes, reason.clone())
                }
                None => self.keep(),
            }
        }
        self.batch(arrays, bytes_read)
    }
}
