//! Columns as bytes: the payload of a frame, in Arrow buffer layout, canonical.
//!
//! A payload is a run of regions, each aligned to 64 bytes, and a directory with one entry a region. Region *i* is
//! field *i* of the schema; a frame of a derived topic has three more for its origins. Drawn in docs/formats.md.

mod decode;
mod encode;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_buffer::Buffer;
use arrow_schema::DataType;

use crate::checksum::crc32c;
use crate::limits::{
    ALIGN_BYTES, ENTRY_BYTES, FRAME_BYTES_MAX, FRAME_ROWS_MAX, REGIONS_MAX, aligned,
};
use crate::schema::{Field, Kind, Schema};
use crate::{Error, Result};

/// One frame's worth of columns, encoded, with their directory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Payload {
    bytes: Buffer,
    entries: Vec<Entry>,
    rows: u32,
}

/// An entry of the column directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where the region begins, counted from the end of the directory.
    pub(crate) offset: u32,
    /// Its length in bytes, without the padding after it.
    pub(crate) length: u32,
    /// How many values are null.
    pub(crate) nulls: u32,
    /// CRC32C of its bytes.
    pub(crate) check: u32,
}

impl Entry {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for word in [self.offset, self.length, self.nulls, self.check] {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    pub(crate) fn read(bytes: &[u8; ENTRY_BYTES]) -> Entry {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Entry {
            offset: word(0),
            length: word(4),
            nulls: word(8),
            check: word(12),
        }
    }

    /// Whether the region lies inside `bytes` of columns.
    pub(crate) fn fits(&self, bytes: u64) -> bool {
        u64::from(self.offset).is_multiple_of(ALIGN_BYTES)
            && u64::from(self.offset) + u64::from(self.length) <= bytes
    }
}

/// Bytes of a directory of so many regions, with its padding.
pub(crate) const fn directory_bytes(regions: usize) -> u64 {
    aligned((regions * ENTRY_BYTES) as u64)
}

impl Payload {
    /// Rows in it.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Bytes that directory and columns take in a frame.
    pub fn bytes(&self) -> u64 {
        directory_bytes(self.entries.len()) + self.bytes.len() as u64
    }

    /// The columns of a frame that stands in a segment, as they are.
    pub(crate) fn stored(bytes: Buffer, entries: Vec<Entry>, rows: u32) -> Payload {
        Payload {
            bytes,
            entries,
            rows,
        }
    }

    /// A payload without rows and columns.
    pub(crate) fn empty() -> Payload {
        Payload {
            bytes: Buffer::from(Vec::<u8>::new()),
            entries: Vec::new(),
            rows: 0,
        }
    }

    pub(crate) fn regions(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn columns(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends the directory, padded.
    pub(crate) fn write_directory(&self, out: &mut Vec<u8>) {
        let end = out.len() + directory_bytes(self.entries.len()) as usize;
        for entry in &self.entries {
            entry.write(out);
        }
        out.resize(end, 0);
    }
}

/// A payload in the making.
#[derive(Debug, Default)]
pub(crate) struct PayloadBuilder {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl PayloadBuilder {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            entries: Vec::new(),
        }
    }

    /// Adds a region: `fill` appends its bytes and says how many values are null.
    pub(crate) fn region(&mut self, fill: impl FnOnce(&mut Vec<u8>) -> u32) -> Result<()> {
        let offset = self.bytes.len();
        let nulls = fill(&mut self.bytes);
        let length = self.bytes.len() - offset;
        if self.bytes.len() as u64 > FRAME_BYTES_MAX - ALIGN_BYTES {
            return Err(too_large());
        }
        self.entries.push(Entry {
            offset: offset as u32,
            length: length as u32,
            nulls,
            check: crc32c(&self.bytes[offset..]),
        });
        encode::pad(&mut self.bytes);
        Ok(())
    }

    pub(crate) fn finish(self, rows: usize) -> Payload {
        Payload {
            bytes: Buffer::from(self.bytes),
            entries: self.entries,
            rows: rows as u32,
        }
    }
}

fn too_large() -> Error {
    Error::Invalid(format!(
        "a batch takes at most {FRAME_BYTES_MAX} bytes and {FRAME_ROWS_MAX} rows; append it in smaller batches"
    ))
}

/// The canonical form of a batch: fields in the order and types of `schema`, one NaN, null slots zero, offsets from 0,
/// no bits set in padding. Equal rows give equal bytes.
pub fn canonical(batch: &RecordBatch, schema: &Schema) -> Result<RecordBatch> {
    let payload = encode(batch, schema)?;
    decode_all(
        &payload.bytes,
        &payload.entries,
        schema,
        batch.num_rows(),
        false,
    )
}

/// The type whose values an Arrow type has.
pub fn kind_of(data_type: &DataType) -> Option<Kind> {
    Kind::ALL
        .into_iter()
        .find(|kind| encode::holds(*kind, data_type))
}

/// Encodes a batch (made canonical on the way) into the payload of a frame.
pub fn encode(batch: &RecordBatch, schema: &Schema) -> Result<Payload> {
    Ok(build(batch, schema)?.finish(batch.num_rows()))
}

/// The columns of a batch, open for further regions.
pub(crate) fn build(batch: &RecordBatch, schema: &Schema) -> Result<PayloadBuilder> {
    if batch.num_rows() > FRAME_ROWS_MAX || schema.fields().len() > REGIONS_MAX - 3 {
        return Err(too_large());
    }
    let mut builder = PayloadBuilder::with_capacity(encode::estimate(batch));
    for field in schema.fields() {
        let array = encode::column_of(batch, field)?;
        builder.region(|out| encode::column(&array, out))?;
    }
    Ok(builder)
}

/// One column, from its region.
pub(crate) fn decode_column(
    region: Buffer,
    entry: &Entry,
    field: &Field,
    rows: usize,
) -> Result<ArrayRef, String> {
    decode::column(region, entry.nulls as usize, field, rows)
}

const MAGIC: [u8; 4] = *b"RROW";
const HEADER_BYTES: usize = 64;

/// A batch as one self-contained run of bytes (a payload, with its length in front): the form in which rows cross the
/// control socket.
pub fn to_bytes(batch: &RecordBatch, schema: &Schema) -> Result<Vec<u8>> {
    let payload = encode(batch, schema)?;
    let length = HEADER_BYTES as u64 + payload.bytes();
    let mut bytes = Vec::with_capacity(length as usize);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&(payload.regions() as u32).to_le_bytes());
    bytes.extend_from_slice(&payload.rows.to_le_bytes());
    bytes.resize(HEADER_BYTES, 0);
    payload.write_directory(&mut bytes);
    let check = crc32c(&bytes);
    bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&check.to_le_bytes());
    bytes.extend_from_slice(payload.columns());
    Ok(bytes)
}

/// The inverse of [`to_bytes`], checked.
pub fn from_bytes(bytes: &[u8], schema: &Schema) -> Result<RecordBatch, Error> {
    from_buffer(Buffer::from(bytes), schema)
}

/// [`from_bytes`] without a copy, where the buffer is aligned to 64 bytes.
pub fn from_buffer(bytes: Buffer, schema: &Schema) -> Result<RecordBatch, Error> {
    read_rows(bytes, schema, true)
}

fn read_rows(bytes: Buffer, schema: &Schema, verify: bool) -> Result<RecordBatch, Error> {
    let invalid =
        |what: &str| Error::Invalid(format!("these bytes are not rows of the topic: {what}"));
    let bytes = if bytes.as_ptr().align_offset(ALIGN_BYTES as usize) == 0 {
        bytes
    } else {
        Buffer::from(bytes.as_slice())
    };
    let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or_else(|| invalid("too short"))?;
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let length = u64::from(word(0)) | u64::from(word(4)) << 32;
    let (regions, rows, check) = (word(12) as usize, word(16) as usize, word(60));
    if header[8..12] != MAGIC || length != bytes.len() as u64 {
        return Err(invalid("no header, or cut off"));
    }
    if regions != schema.fields().len() || rows > FRAME_ROWS_MAX {
        return Err(invalid("another number of columns, or too many rows"));
    }
    let columns_start = HEADER_BYTES + directory_bytes(regions) as usize;
    if columns_start > bytes.len() {
        return Err(invalid("cut off"));
    }
    if verify {
        let mut checked = bytes[..columns_start].to_vec();
        checked[HEADER_BYTES - 4..HEADER_BYTES].fill(0);
        if crc32c(&checked) != check {
            return Err(invalid("checksum"));
        }
    }
    let entries = read_directory(&bytes[HEADER_BYTES..columns_start], regions);
    let columns = bytes.slice(columns_start);
    decode_all(&columns, &entries, schema, rows, verify)
}

/// The entries of a directory that is known to hold so many.
pub(crate) fn read_directory(bytes: &[u8], regions: usize) -> Vec<Entry> {
    let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
    entries.iter().take(regions).map(Entry::read).collect()
}

fn decode_all(
    columns: &Buffer,
    entries: &[Entry],
    schema: &Schema,
    rows: usize,
    verify: bool,
) -> Result<RecordBatch> {
    let mut arrays = Vec::with_capacity(entries.len());
    for (field, entry) in schema.fields().iter().zip(entries) {
        let invalid = |what: &str| Error::Invalid(format!("field {}: {what}", field.name));
        if !entry.fits(columns.len() as u64) {
            return Err(invalid("its region lies outside"));
        }
        let region = columns.slice_with_length(entry.offset as usize, entry.length as usize);
        if verify && crc32c(&region) != entry.check {
            return Err(invalid("checksum"));
        }
        if entry.nulls > 0 && !field.nullable {
            return Err(invalid("null in a field that is never null"));
        }
        arrays.push(decode_column(region, entry, field, rows).map_err(|what| invalid(&what))?);
    }
    batch_of(schema, arrays, rows)
}

/// A batch of these arrays, which fit the schema.
pub(crate) fn batch_of(schema: &Schema, arrays: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.arrow(), arrays, &options)
        .map_err(|e| Error::Invalid(e.to_string()))
}

#[cfg(test)]
mod tests;
