//! The types of wit/ as they cross the boundary, by hand: borrowed on the way in, owned on the way out.
//!
//! Lists of numbers are copied whole by wasmtime in both directions, so a column costs a copy and no more. Nothing here
//! is checked beyond what the canonical ABI checks; that is the work of [`crate::about`] and [`crate::answer`].

use wasmtime::component::{ComponentType, Lift, Lower};

/// `spans`, in.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct SpansIn<'a> {
    pub(crate) ends: &'a [u32],
    pub(crate) bytes: &'a [u8],
}

/// `values`, in.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(variant)]
pub(crate) enum ValuesIn<'a> {
    #[component(name = "bools")]
    Bools(&'a [bool]),
    #[component(name = "ints")]
    Ints(&'a [i64]),
    #[component(name = "floats")]
    Floats(&'a [f64]),
    #[component(name = "spans")]
    Spans(SpansIn<'a>),
}

/// `column`, in.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct ColumnIn<'a> {
    pub(crate) values: ValuesIn<'a>,
    pub(crate) valid: &'a [u8],
}

/// `rows`, in.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct RowsIn<'a> {
    pub(crate) count: u32,
    pub(crate) columns: &'a [ColumnIn<'a>],
}

/// `entries`, in.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct EntriesIn<'a> {
    pub(crate) rows: &'a [u32],
    pub(crate) slots: &'a [u32],
}

/// `process.part`, in.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct PartIn<'a> {
    pub(crate) rows: RowsIn<'a>,
    pub(crate) slots: &'a [u32],
    pub(crate) times: &'a [i64],
}

/// `spans`, out.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Spans {
    pub(crate) ends: Vec<u32>,
    pub(crate) bytes: Vec<u8>,
}

/// `values`, out.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum Values {
    #[component(name = "bools")]
    Bools(Vec<bool>),
    #[component(name = "ints")]
    Ints(Vec<i64>),
    #[component(name = "floats")]
    Floats(Vec<f64>),
    #[component(name = "spans")]
    Spans(Spans),
}

/// `column`, out.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Column {
    pub(crate) values: Values,
    pub(crate) valid: Vec<u8>,
}

/// `rows`, out.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Rows {
    pub(crate) count: u32,
    pub(crate) columns: Vec<Column>,
}

/// `reject`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Reject {
    pub(crate) row: u32,
    pub(crate) reason: String,
}

/// `transformed`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Transformed {
    pub(crate) rows: Rows,
    pub(crate) origins: Vec<u32>,
    pub(crate) rejects: Vec<Reject>,
}

/// `evaluated`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Evaluated {
    pub(crate) rows: Rows,
    pub(crate) present: Vec<u8>,
}

/// `process.timers`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Timers {
    pub(crate) slots: Vec<u32>,
    pub(crate) times: Vec<i64>,
    pub(crate) cleared: Vec<u8>,
}

/// `process.processed`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Processed {
    pub(crate) rows: Rows,
    pub(crate) origins: Vec<u32>,
    pub(crate) deleted: Vec<u8>,
    pub(crate) rejects: Vec<Reject>,
    pub(crate) timers: Timers,
}

/// `failure`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum Failure {
    #[component(name = "fatal")]
    Fatal(String),
}

/// `about.field`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) nullable: bool,
}

/// `about.setting`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) default: Option<String>,
    pub(crate) doc: String,
}

/// `about.description`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) doc: String,
    pub(crate) inputs: Vec<Field>,
    pub(crate) outputs: Vec<Field>,
    #[component(name = "wants-keys")]
    pub(crate) wants_keys: bool,
    #[component(name = "state-version")]
    pub(crate) state_version: u32,
    pub(crate) settings: Vec<Setting>,
}

/// `process.input`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct DeclaredInput {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) fields: Vec<Field>,
}

/// `process.declaration`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Declaration {
    pub(crate) inputs: Vec<DeclaredInput>,
    #[component(name = "view-key")]
    pub(crate) view_key: Vec<String>,
    pub(crate) timed: bool,
}
