//! Columns as bytes: the payload of a frame, in Arrow buffer layout, canonical.

use arrow_array::RecordBatch;

use crate::schema::Schema;
use crate::{Error, Result};

/// One frame's worth of columns, encoded, with their directory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Payload {
    _private: (),
}

/// The canonical form of a batch: fields in the order and types of `schema`, one NaN, null slots zero, offsets from 0,
/// no bits set in padding. Equal rows give equal bytes.
pub fn canonical(_batch: &RecordBatch, _schema: &Schema) -> Result<RecordBatch> {
    todo!()
}

/// Encodes a batch (made canonical on the way) into the payload of a frame.
pub fn encode(_batch: &RecordBatch, _schema: &Schema) -> Result<Payload> {
    todo!()
}

/// A batch as one self-contained run of bytes (a payload, with its length in front): the form in which rows cross the
/// control socket.
pub fn to_bytes(_batch: &RecordBatch, _schema: &Schema) -> Result<Vec<u8>> {
    todo!()
}

/// The inverse of [`to_bytes`], checked.
pub fn from_bytes(_bytes: &[u8], _schema: &Schema) -> Result<RecordBatch, Error> {
    todo!()
}
