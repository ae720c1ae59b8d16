//! Views: keyed tables of typed rows, with an incremental digest. Readers see the last commit, whole.

mod read;
mod run;
mod spill;
mod table;

use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arrow_array::RecordBatch;
use arrow_buffer::BooleanBuffer;
use arrow_schema::SchemaRef;
use refrain_log::columns;
use refrain_log::ids::{Sequence, Timestamp};
use refrain_log::schema::{Field, Kind, Schema};
use refrain_log::scratch::Scratch;
use serde::{Deserialize, Serialize};

pub use read::Pages;
pub(crate) use run::{Run, rows_bytes};
use table::Table;
pub(crate) use table::{Prepared, Walked};

use crate::{Error, Result};

/// The declaration of a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewSpec {
    /// Its name.
    pub name: String,
    /// The node that keeps it.
    pub node: String,
    /// Its fields, the key fields first.
    pub schema: Schema,
    /// How many of the first fields are the key. Key fields are never f64. 0: a view of rows of a transform, keyed by
    /// two added `i64` fields, `partition` and `offset`, of the input row (see the engine). They are the first two of
    /// [`View::schema`] then; a `schema` that begins with them already is taken as it is.
    pub key_fields: usize,
}

/// What changed in a view. A key occurs once among puts and deletes.
#[derive(Clone, Debug)]
pub struct ViewChanges {
    /// Rows put, in the view's schema.
    pub rows: RecordBatch,
    /// For each row of `rows`, whether it is final (its window is closed).
    pub finals: BooleanBuffer,
    /// Keys deleted: the key fields only.
    pub deletes: Option<RecordBatch>,
}

/// A view as of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewState {
    /// The cut of that commit.
    pub cut: Sequence,
    /// Its number.
    pub commit: u64,
    /// When it was made.
    pub time: Timestamp,
    /// The node's watermark.
    pub watermark: Timestamp,
    /// Rows.
    pub rows: u64,
    /// Rows that are final.
    pub finals: u64,
    /// Bytes held.
    pub bytes: u64,
    /// Digest of the rows.
    pub digest: u128,
}

impl ViewState {
    /// A view before its node's first commit.
    pub(crate) const EMPTY: ViewState = ViewState {
        cut: Sequence(0),
        commit: 0,
        time: Timestamp(0),
        watermark: Timestamp::MIN,
        rows: 0,
        finals: 0,
        bytes: 0,
        digest: 0,
    };
}

/// Rows of a view with what they stand for.
#[derive(Clone, Debug)]
pub struct ViewRows {
    /// The commit they belong to.
    pub state: ViewState,
    /// Rows in the view's schema, in key order.
    pub rows: RecordBatch,
    /// Which of them are final.
    pub finals: BooleanBuffer,
}

/// A keyed table of typed rows.
#[derive(Debug)]
pub struct View {
    spec: ViewSpec,
    schema: Arc<Schema>,
    key_schema: Schema,
    arrow: SchemaRef,
    contents: RwLock<Contents>,
    /// Where rows of large runs are kept; none: in memory.
    scratch: Option<Arc<Scratch>>,
}

/// What changes with each commit, all of it together.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) state: ViewState,
    table: Table,
}

impl View {
    /// Its declaration.
    pub fn spec(&self) -> &ViewSpec {
        &self.spec
    }

    /// Its schema.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The key fields alone: the schema of deleted keys.
    pub fn key_schema(&self) -> &Schema {
        &self.key_schema
    }

    /// What it is as of the last commit.
    pub fn state(&self) -> ViewState {
        self.read().state
    }

    /// An empty view. Refuses declarations that cannot be kept.
    pub(crate) fn new(spec: ViewSpec) -> Result<View> {
        let (schema, key_fields) = keyed(&spec);
        check(&spec.name, &schema, key_fields)?;
        let schema = Arc::new(schema);
        Ok(View {
            key_schema: Schema::new(schema.fields()[..key_fields].to_vec()),
            arrow: schema.arrow(),
            contents: RwLock::new(Contents::new(schema.clone(), key_fields)),
            scratch: None,
            schema,
            spec,
        })
    }

    /// The same with rows of large runs on the disk.
    #[must_use]
    pub(crate) fn kept_in(self, scratch: Option<Arc<Scratch>>) -> View {
        View { scratch, ..self }
    }

    /// Checks changes and makes them ready, without a look at the rows there are.
    pub(crate) fn prepare(&self, changes: &ViewChanges) -> Result<Prepared> {
        let rows = columns::canonical(&changes.rows, &self.schema)?;
        let deletes = changes
            .deletes
            .as_ref()
            .map(|keys| columns::canonical(keys, &self.key_schema));
        self.prepare_canonical(rows, changes.finals.clone(), deletes.transpose()?)
    }

    /// Makes changes ready that are canonical.
    pub(crate) fn prepare_canonical(
        &self,
        rows: RecordBatch,
        finals: BooleanBuffer,
        deletes: Option<RecordBatch>,
    ) -> Result<Prepared> {
        let key_fields = self.key_schema.fields().len();
        Prepared::new(&self.schema, key_fields, rows, finals, deletes.as_ref())
    }

    /// Makes the deletion of keys ready.
    pub(crate) fn prepare_keys(&self, keys: RecordBatch) -> Result<Prepared> {
        let none = RecordBatch::new_empty(self.arrow.clone());
        self.prepare_canonical(none, BooleanBuffer::new_unset(0), Some(keys))
    }

    /// One commit: all changes and what they stand for, at once. `state` says nothing of rows yet.
    pub(crate) fn apply(&self, changes: Vec<Prepared>, state: ViewState) {
        let mut contents = self.write();
        contents.apply(changes, state);
        drop(contents);
        self.tidy();
    }

    /// Rewrites runs where that is due. The committer alone calls it, so nothing changes between looking and accepting.
    fn tidy(&self) {
        let rewrite = self.read().table.rewrite();
        if let Some(rewrite) = rewrite {
            let mut contents = self.write();
            contents.table.accept(rewrite);
            contents.state.bytes = contents.table.bytes();
        }
        self.spill();
    }

    /// Moves rows to the disk. Where that does not go, they stay in memory.
    fn spill(&self) {
        let Some(scratch) = &self.scratch else {
            return;
        };
        let due = self.read().table.to_spill();
        for (run, rows) in due {
            let key_fields = self.key_schema.fields().len();
            match rows.on_disk(scratch, &self.schema, key_fields) {
                Ok(rows) => self.write().table.spilled(run, rows),
                Err(error) => {
                    let view = &self.spec.name;
                    tracing::warn!(view, %error, "rows of the view stay in memory: they cannot be put on the disk");
                    return;
                }
            }
        }
    }

    /// Takes the contents of another view of the same declaration, which is left empty.
    pub(crate) fn take(&self, other: &View) {
        let empty = Contents::new(self.schema.clone(), self.key_schema.fields().len());
        let taken = std::mem::replace(&mut *other.write(), empty);
        *self.write() = taken;
    }

    /// Forgets all rows.
    pub(crate) fn clear(&self) {
        *self.write() = Contents::new(self.schema.clone(), self.key_schema.fields().len());
    }

    /// The runs as of the last commit.
    pub(crate) fn snapshot(&self) -> (ViewState, Vec<Run>) {
        let contents = self.read();
        (contents.state, contents.table.runs().cloned().collect())
    }

    /// Begins a walk through all its rows.
    pub(crate) fn begin_walk(&self) {
        self.write().table.begin_walk();
    }

    /// The next rows of the walk, and where it stands then: see [`Table::walk`].
    pub(crate) fn walk(&self, bytes: u64) -> (Vec<(RecordBatch, BooleanBuffer)>, Walked) {
        self.read().table.walk(bytes)
    }

    /// Takes the walk to where [`View::walk`] ended.
    pub(crate) fn walked(&self, walked: Walked) {
        self.write().table.walked(walked);
    }

    /// Bytes of its living rows, about.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.read().table.live_bytes()
    }

    fn read(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents
            .read()
            .expect("a commit was half applied by a thread that panicked")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Contents> {
        self.contents
            .write()
            .expect("a commit was half applied by a thread that panicked")
    }
}

impl Contents {
    fn new(schema: Arc<Schema>, key_fields: usize) -> Contents {
        Contents {
            state: ViewState::EMPTY,
            table: Table::new(schema, key_fields),
        }
    }

    fn apply(&mut self, changes: Vec<Prepared>, state: ViewState) {
        changes
            .into_iter()
            .for_each(|changes| self.table.apply(changes));
        self.table.drop_dead();
        self.state = ViewState {
            rows: self.table.len(),
            finals: self.table.finals,
            bytes: self.table.bytes(),
            digest: self.table.digest,
            ..state
        };
    }
}

/// The schema of a view with the two added key fields where it has none of its own, and the number of key fields.
fn keyed(spec: &ViewSpec) -> (Schema, usize) {
    if spec.key_fields > 0 {
        return (spec.schema.clone(), spec.key_fields);
    }
    let added = [
        Field::new("partition", Kind::I64),
        Field::new("offset", Kind::I64),
    ];
    let fields = spec.schema.fields();
    if fields.starts_with(&added) {
        return (spec.schema.clone(), 2);
    }
    (Schema::new([&added, fields].concat()), 2)
}

fn check(view: &str, schema: &Schema, key_fields: usize) -> Result<()> {
    let fields = schema.fields();
    if fields.len() < key_fields {
        let count = fields.len();
        return Err(Error::Invalid(format!(
            "view `{view}` has {count} fields, but its key needs {key_fields}; name key fields that it has"
        )));
    }
    let twice = |f: &Field| fields.iter().filter(|g| g.name == f.name).count() > 1;
    if let Some(field) = fields.iter().find(|f| twice(f)) {
        let name = &field.name;
        return Err(Error::Invalid(format!(
            "view `{view}` has two fields `{name}`; rename one of them"
        )));
    }
    if let Some(field) = fields[..key_fields].iter().find(|f| f.kind == Kind::F64) {
        let name = &field.name;
        return Err(Error::Invalid(format!(
            "`{name}` of view `{view}` is an f64 and so cannot be a key; use an i64 or text field as the key"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
