//! The versions of a topic's schema, and how a frame that was written under one of them is read under another.
//!
//! A version adds fields behind those that are there, widens types, and lets fields be null; nothing goes, and no field
//! moves. So every field of an older version is in each later one, and a row of an older version is a row of a later one:
//! a field that it lacks is null, or the default that the version fixed which added the field.

use std::collections::BTreeMap;
use std::iter::repeat_n;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use serde::{Deserialize, Serialize};

use crate::ids::Sequence;
use crate::schema::{Kind, Schema};
use crate::widen::widens;

/// A value that stands for a missing one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Value {
    /// Of a `bool`.
    Bool(bool),
    /// Of an `i64`.
    I64(i64),
    /// Of an `f64`, as its bits.
    F64(u64),
    /// Of a `text`.
    Text(String),
    /// Of `bytes`.
    Bytes(Vec<u8>),
    /// Of a `timestamp`, in microseconds since the Unix epoch.
    Timestamp(i64),
}

/// Values of fields that are not given, by the name of the field.
pub type Defaults = BTreeMap<String, Value>;

impl Value {
    /// The type that it is of.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Bool(_) => Kind::Bool,
            Value::I64(_) => Kind::I64,
            Value::F64(_) => Kind::F64,
            Value::Text(_) => Kind::Text,
            Value::Bytes(_) => Kind::Bytes,
            Value::Timestamp(_) => Kind::Timestamp,
        }
    }

    /// So many rows of it.
    pub fn array(&self, rows: usize) -> ArrayRef {
        match self {
            Value::Bool(value) => Arc::new(BooleanArray::from(vec![*value; rows])),
            Value::I64(value) => Arc::new(Int64Array::from_value(*value, rows)),
            Value::F64(value) => Arc::new(Float64Array::from_value(f64::from_bits(*value), rows)),
            Value::Text(value) => Arc::new(StringArray::from_iter_values(repeat_n(value, rows))),
            Value::Bytes(value) => Arc::new(BinaryArray::from_iter_values(repeat_n(value, rows))),
            Value::Timestamp(value) => {
                let array = TimestampMicrosecondArray::from_value(*value, rows);
                Arc::new(array.with_data_type(Kind::Timestamp.arrow()))
            }
        }
    }

    /// The same value as a field of this type has it, where nothing is lost.
    pub fn widened(&self, kind: Kind) -> Option<Value> {
        Some(match (self, kind) {
            (value, kind) if value.kind() == kind => value.clone(),
            (Value::Bool(value), Kind::I64) => Value::I64(i64::from(*value)),
            (Value::Timestamp(value), Kind::I64) => Value::I64(*value),
            (Value::Text(value), Kind::Bytes) => Value::Bytes(value.clone().into_bytes()),
            _ => return None,
        })
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::I64(value) => write!(f, "{value}"),
            Value::F64(bits) => write!(f, "{:?}", f64::from_bits(*bits)),
            Value::Text(value) => write!(f, "{value:?}"),
            Value::Bytes(value) => write!(f, "{} bytes", value.len()),
            Value::Timestamp(value) => write!(f, "{value} µs"),
        }
    }
}

/// One version of a topic's schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaVersion {
    /// Its number, from 1: frames name it.
    pub version: u32,
    /// Frames up to this one are of earlier versions.
    pub since: Sequence,
    /// Its fields: those of the version before in their order, then those that it adds.
    pub schema: Schema,
    /// What fields are that are not given: in rows appended under this version, and, of the fields that it adds, in all
    /// rows of earlier versions.
    pub defaults: Defaults,
}

/// All versions of a topic's schema, the first one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History(Vec<SchemaVersion>);

impl History {
    /// A schema that was never altered.
    pub fn first(schema: Schema, defaults: Defaults) -> History {
        History(vec![SchemaVersion {
            version: 1,
            since: Sequence(0),
            schema,
            defaults,
        }])
    }

    /// These versions; none when they are not a history.
    pub fn of(versions: Vec<SchemaVersion>) -> Option<History> {
        let numbered = versions.iter().zip(1..).all(|(v, n)| v.version == n);
        let grows = |pair: &[SchemaVersion]| {
            let (old, new) = (pair[0].schema.fields(), pair[1].schema.fields());
            let kept = old.iter().zip(new).all(|(a, b)| a.name == b.name);
            pair[0].since <= pair[1].since && old.len() <= new.len() && kept
        };
        let is_one = numbered && !versions.is_empty() && versions.windows(2).all(grows);
        is_one.then_some(History(versions))
    }

    /// With one more version.
    #[must_use]
    pub fn and(&self, since: Sequence, schema: Schema, defaults: Defaults) -> History {
        let mut versions = self.0.clone();
        versions.push(SchemaVersion {
            version: self.newest().version + 1,
            since,
            schema,
            defaults,
        });
        History::of(versions).expect("fields are added behind those that are there")
    }

    /// The versions.
    pub fn versions(&self) -> &[SchemaVersion] {
        &self.0
    }

    /// The last version.
    pub fn newest(&self) -> &SchemaVersion {
        self.0.last().expect("a history has a version")
    }

    /// The version that was in force at a cut: no frame up to it is of a later one.
    pub fn at(&self, cut: Sequence) -> &SchemaVersion {
        let mut versions = self.0.iter().rev();
        let found = versions.find(|v| v.version == 1 || v.since < cut);
        found.expect("version 1 was there from the beginning")
    }

    /// The default of a field in frames of versions that lack it: the one that the version fixed which added the field.
    fn default_of(&self, name: &str) -> Option<&Value> {
        let added = self.0.iter().find(|v| v.schema.field(name).is_some())?;
        added.defaults.get(name)
    }
}

/// How one field is had from a frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Lift {
    /// As it was written, in this region.
    Region(usize),
    /// From this region, which has it in a narrower type.
    Widened(usize, Kind),
    /// It was not there: null.
    Null,
    /// It was not there: the default.
    Constant(Value),
    /// It was written in a wider type: it cannot be had.
    Narrower(Kind),
}

/// How frames of one version are read as another.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Fields of the frame: region i is field i.
    pub(crate) written: Arc<Schema>,
    /// Fields that a reader sees.
    pub(crate) read: Arc<Schema>,
    /// For each of the fields that a reader sees.
    pub(crate) lifts: Vec<Lift>,
}

impl Reading {
    fn new(history: &History, written: &SchemaVersion, read: &Arc<Schema>) -> Reading {
        let lift = |(region, field): (usize, &crate::schema::Field)| {
            let was = written.schema.fields().get(region).map(|f| f.kind);
            match was {
                Some(kind) if kind == field.kind => Lift::Region(region),
                Some(kind) if widens(kind, field.kind) => Lift::Widened(region, kind),
                Some(kind) => Lift::Narrower(kind),
                None => match history.default_of(&field.name) {
                    Some(value) => Lift::Constant(
                        value
                            .widened(field.kind)
                            .expect("a type is only ever widened"),
                    ),
                    None => Lift::Null,
                },
            }
        };
        Reading {
            lifts: read.fields().iter().enumerate().map(lift).collect(),
            written: Arc::new(written.schema.clone()),
            read: Arc::clone(read),
        }
    }
}

/// Reads frames of all versions as one version.
#[derive(Clone, Debug)]
pub(crate) struct Readings {
    version: u32,
    schema: Arc<Schema>,
    /// By version of the frame, from 1.
    by_version: Arc<Vec<Arc<Reading>>>,
}

impl Readings {
    /// As the version with this number, which is in the history.
    pub(crate) fn new(history: &History, version: u32) -> Readings {
        let read = &history.versions()[version as usize - 1];
        let schema = Arc::new(read.schema.clone());
        let versions = history.versions().iter();
        let readings = versions.map(|v| Arc::new(Reading::new(history, v, &schema)));
        Readings {
            version,
            by_version: Arc::new(readings.collect()),
            schema,
        }
    }

    /// The fields that a reader sees.
    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The version that frames are read as.
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// How a frame of that version is read; none: the version is not known.
    pub(crate) fn of(&self, version: u32) -> Option<&Arc<Reading>> {
        self.by_version.get((version as usize).checked_sub(1)?)
    }

    /// The same with versions that have come since.
    pub(crate) fn renewed(&self, history: &History) -> Readings {
        Readings::new(history, self.version)
    }
}

/// A column that a row does not have.
pub fn missing(kind: Kind, default: Option<&Value>, rows: usize) -> ArrayRef {
    match default {
        Some(value) => value.array(rows),
        None => new_null_array(&kind.arrow(), rows),
    }
}
