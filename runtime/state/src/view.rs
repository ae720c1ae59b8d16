//! Views: keyed tables of typed rows, with an incremental digest. Readers see the last commit, whole.

mod builder;
mod ordered;
mod packed;
mod read;
mod run;
mod table;
mod tree;

use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arrow_array::RecordBatch;
use arrow_buffer::BooleanBuffer;
use arrow_schema::SchemaRef;
use refrain_log::columns;
use refrain_log::ids::{Sequence, Timestamp};
use refrain_log::schema::{Field, Kind, Schema};
use serde::{Deserialize, Serialize};

use packed::Stands;
pub use read::Pages;
pub(crate) use run::{Run, rows_bytes};
pub(crate) use table::Prepared;
use table::Table;
use tree::{Met, TreeTable};

use crate::store::Shelf;
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

    fn with(self, counts: Counts) -> ViewState {
        ViewState {
            rows: counts.rows,
            finals: counts.finals,
            bytes: counts.bytes,
            digest: counts.digest,
            ..self
        }
    }
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

/// What rows of a view come to, kept along while they change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    rows: u64,
    finals: u64,
    bytes: u64,
    digest: u128,
}

/// A keyed table of typed rows.
#[derive(Debug)]
pub struct View {
    spec: ViewSpec,
    schema: Arc<Schema>,
    key_schema: Schema,
    arrow: SchemaRef,
    contents: RwLock<Contents>,
}

/// What changes with each commit, all of it together.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) state: ViewState,
    rows: Keeping,
}

/// Where the rows are.
#[derive(Debug)]
enum Keeping {
    Memory(Table),
    Tree(TreeTable),
    /// They were in a tree that is closed: what they came to.
    Closed(Counts),
}

/// Where a walk through the rows stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Walked {
    /// All was shown.
    End,
    /// A run, and its next row.
    Run(u32, usize),
    /// A key of the tree, the last one shown.
    Key(Vec<u8>),
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
            schema,
            spec,
        })
    }

    /// A view whose rows are kept on a shelf, and come to this there.
    pub(crate) fn on(shelf: &Shelf, spec: ViewSpec, counts: Counts) -> Result<View> {
        let view = View::new(spec)?;
        view.renew(shelf, counts);
        Ok(view)
    }

    /// Has its rows on a shelf from here on, where they come to this.
    pub(crate) fn renew(&self, shelf: &Shelf, counts: Counts) {
        let mut contents = self.empty();
        if let Some(disk) = shelf.disk() {
            let (schema, key_fields) = (self.schema.clone(), self.key_schema.fields().len());
            let mut table = TreeTable::new(disk.clone(), &self.spec.node, schema, key_fields);
            table.counts = counts;
            contents.rows = Keeping::Tree(table);
            contents.state = contents.state.with(counts);
        }
        *self.write() = contents;
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

    /// One commit: all changes and what they stand for, at once. `state` says nothing of rows yet. The committer alone calls
    /// it. Errors are [`Error::Store`].
    pub(crate) fn apply(&self, changes: Vec<Prepared>, state: ViewState) -> Result<()> {
        // Nothing changes between looking and applying.
        let met = match &self.read().rows {
            Keeping::Tree(table) => Some(table.rows().clone()),
            Keeping::Memory(_) | Keeping::Closed(_) => None,
        };
        let met = met.map_or(Ok(Met::default()), |rows| rows.meet(&changes))?;
        self.write().apply(changes, &met, state)?;
        self.tidy();
        Ok(())
    }

    /// Rewrites runs where that is due.
    fn tidy(&self) {
        let rewrite = match &self.read().rows {
            Keeping::Memory(table) => table.rewrite(),
            Keeping::Tree(_) | Keeping::Closed(_) => None,
        };
        let Some(rewrite) = rewrite else {
            return;
        };
        let mut contents = self.write();
        if let Keeping::Memory(table) = &mut contents.rows {
            table.accept(rewrite);
            contents.state.bytes = table.bytes();
        }
    }

    /// Takes the contents of another view of the same declaration, which is left empty.
    pub(crate) fn take(&self, other: &View) {
        let taken = std::mem::replace(&mut *other.write(), self.empty());
        *self.write() = taken;
    }

    /// Forgets all rows.
    pub(crate) fn clear(&self) {
        *self.write() = self.empty();
    }

    /// Lets go of a tree. Rows that are in it cannot be read any more.
    pub(crate) fn close(&self) {
        let mut contents = self.write();
        if let Keeping::Tree(table) = &contents.rows {
            contents.rows = Keeping::Closed(table.counts);
        }
    }

    /// What its rows in a tree come to; none: they are in none.
    pub(crate) fn counts(&self) -> Option<Counts> {
        match &self.read().rows {
            Keeping::Tree(table) => Some(table.counts),
            Keeping::Memory(_) | Keeping::Closed(_) => None,
        }
    }

    /// Begins a walk through all its rows.
    pub(crate) fn begin_walk(&self) {
        match &mut self.write().rows {
            Keeping::Memory(table) => table.begin_walk(),
            Keeping::Tree(table) => table.begin_walk(),
            Keeping::Closed(_) => {}
        }
    }

    /// The next rows of the walk, and where it stands then: see [`Table::walk`].
    pub(crate) fn walk(&self, bytes: u64) -> Result<(Vec<(RecordBatch, BooleanBuffer)>, Walked)> {
        match &self.read().rows {
            Keeping::Memory(table) => Ok(table.walk(bytes)),
            Keeping::Tree(table) => {
                let (rows, walked) = table.walk(bytes)?;
                Ok((rows.into_iter().collect(), walked))
            }
            Keeping::Closed(_) => Err(closed(&self.spec)),
        }
    }

    /// Takes the walk to where [`View::walk`] ended.
    pub(crate) fn walked(&self, walked: Walked) {
        match &mut self.write().rows {
            Keeping::Memory(table) => table.walked(walked),
            Keeping::Tree(table) => table.walked(walked),
            Keeping::Closed(_) => {}
        }
    }

    /// Bytes of its living rows, about: the same whatever commits they came with, unlike what is kept of them in memory
    /// ([`ViewState::bytes`]).
    pub fn live_bytes(&self) -> u64 {
        match &self.read().rows {
            Keeping::Memory(table) => table.live_bytes(),
            Keeping::Tree(table) => table.counts.bytes,
            Keeping::Closed(counts) => counts.bytes,
        }
    }

    fn empty(&self) -> Contents {
        Contents::new(self.schema.clone(), self.key_schema.fields().len())
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
            rows: Keeping::Memory(Table::new(schema, key_fields)),
        }
    }

    fn apply(&mut self, changes: Vec<Prepared>, met: &Met, state: ViewState) -> Result<()> {
        let counts = match &mut self.rows {
            Keeping::Memory(table) => {
                changes.into_iter().for_each(|changes| table.apply(changes));
                table.drop_dead();
                table.counts()
            }
            Keeping::Tree(table) => {
                table.apply(&changes, met);
                table.counts
            }
            Keeping::Closed(counts) => *counts,
        };
        self.state = state.with(counts);
        Ok(())
    }
}

impl Counts {
    fn add(&mut self, row: Stands, bytes: u64) {
        self.rows += 1;
        self.finals += u64::from(row.is_final);
        self.bytes += bytes;
        self.digest = self.digest.wrapping_add(row.hash);
    }

    fn remove(&mut self, row: Stands, bytes: u64) {
        self.rows -= 1;
        self.finals -= u64::from(row.is_final);
        self.bytes -= bytes;
        self.digest = self.digest.wrapping_sub(row.hash);
    }
}

fn closed(spec: &ViewSpec) -> Error {
    Error::Invalid(format!(
        "the rows of view `{}` cannot be read while its store is opened again; ask once more",
        spec.name
    ))
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
