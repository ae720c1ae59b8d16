//! Fields, their types, and the Arrow form of both.

use std::sync::Arc;

use arrow_schema::{DataType, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};

/// Logical type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `bool`
    Bool,
    /// `i64`
    I64,
    /// `f64`; every NaN is one bit pattern, −0.0 is not 0.0
    F64,
    /// `text`, UTF-8
    Text,
    /// `bytes`
    Bytes,
    /// `timestamp`, microseconds since the Unix epoch
    Timestamp,
}

impl Kind {
    /// All kinds, in the order of the documentation.
    pub const ALL: [Kind; 6] = [
        Kind::Bool,
        Kind::I64,
        Kind::F64,
        Kind::Text,
        Kind::Bytes,
        Kind::Timestamp,
    ];

    /// The name that pipeline files, plugins and messages use.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bool => "bool",
            Kind::I64 => "i64",
            Kind::F64 => "f64",
            Kind::Text => "text",
            Kind::Bytes => "bytes",
            Kind::Timestamp => "timestamp",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.name() == name)
    }

    /// The Arrow type that holds it: `Boolean`, `Int64`, `Float64`, `Utf8`, `Binary`, `Timestamp(µs, "UTC")`.
    pub fn arrow(self) -> DataType {
        match self {
            Kind::Bool => DataType::Boolean,
            Kind::I64 => DataType::Int64,
            Kind::F64 => DataType::Float64,
            Kind::Text => DataType::Utf8,
            Kind::Bytes => DataType::Binary,
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

/// One typed column of a topic or a view.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Field {
    /// Its name, unique in the schema.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// Whether a value may be missing.
    pub nullable: bool,
}

impl Field {
    /// A field that is never null.
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            nullable: false,
        }
    }

    /// The same field, nullable.
    pub fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {}{}",
            self.name,
            self.kind.name(),
            if self.nullable { "?" } else { "" }
        )
    }
}

/// The typed columns of a topic or a view, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Schema {
    fields: Vec<Field>,
}

impl Schema {
    /// A schema of these fields. The caller has seen to it that names are unique.
    pub fn new(fields: Vec<Field>) -> Self {
        Self { fields }
    }

    /// The fields, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The place of the field of that name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name)
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// The same as an Arrow schema.
    pub fn arrow(&self) -> SchemaRef {
        Arc::new(arrow_schema::Schema::new(
            self.fields
                .iter()
                .map(|f| arrow_schema::Field::new(&f.name, f.kind.arrow(), f.nullable))
                .collect::<Vec<_>>(),
        ))
    }
}
