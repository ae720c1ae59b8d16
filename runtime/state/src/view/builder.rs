//! Columns that are built row by row.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use refrain_log::schema::Kind;

/// A column of one kind under construction.
#[derive(Debug)]
pub(super) enum Builder {
    Bool(BooleanBuilder),
    I64(Int64Builder),
    F64(Float64Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
}

impl Builder {
    pub(super) fn new(kind: Kind) -> Builder {
        match kind {
            Kind::Bool => Builder::Bool(BooleanBuilder::new()),
            Kind::I64 => Builder::I64(Int64Builder::new()),
            Kind::F64 => Builder::F64(Float64Builder::new()),
            Kind::Timestamp => {
                Builder::Timestamp(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
            }
            Kind::Text => Builder::Text(StringBuilder::new()),
            Kind::Bytes => Builder::Bytes(BinaryBuilder::new()),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Builder::Bool(_) => Kind::Bool,
            Builder::I64(_) => Kind::I64,
            Builder::F64(_) => Kind::F64,
            Builder::Timestamp(_) => Kind::Timestamp,
            Builder::Text(_) => Kind::Text,
            Builder::Bytes(_) => Kind::Bytes,
        }
    }

    pub(super) fn push_null(&mut self) {
        match self {
            Builder::Bool(builder) => builder.append_null(),
            Builder::I64(builder) => builder.append_null(),
            Builder::F64(builder) => builder.append_null(),
            Builder::Timestamp(builder) => builder.append_null(),
            Builder::Text(builder) => builder.append_null(),
            Builder::Bytes(builder) => builder.append_null(),
        }
    }

    pub(super) fn push_bool(&mut self, value: bool) {
        match self {
            Builder::Bool(builder) => builder.append_value(value),
            _ => unreachable!("asked for its kind before"),
        }
    }

    pub(super) fn push_int(&mut self, value: i64) {
        match self {
            Builder::I64(builder) => builder.append_value(value),
            Builder::Timestamp(builder) => builder.append_value(value),
            _ => unreachable!("asked for its kind before"),
        }
    }

    pub(super) fn push_float(&mut self, value: f64) {
        match self {
            Builder::F64(builder) => builder.append_value(value),
            _ => unreachable!("asked for its kind before"),
        }
    }

    /// None: a text that is no UTF-8.
    pub(super) fn push_span(&mut self, value: &[u8]) -> Option<()> {
        match self {
            Builder::Text(builder) => builder.append_value(std::str::from_utf8(value).ok()?),
            Builder::Bytes(builder) => builder.append_value(value),
            _ => unreachable!("asked for its kind before"),
        }
        Some(())
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Builder::Bool(builder) => Arc::new(builder.finish()),
            Builder::I64(builder) => Arc::new(builder.finish()),
            Builder::F64(builder) => Arc::new(builder.finish()),
            Builder::Timestamp(builder) => Arc::new(builder.finish()),
            Builder::Text(builder) => Arc::new(builder.finish()),
            Builder::Bytes(builder) => Arc::new(builder.finish()),
        }
    }
}
