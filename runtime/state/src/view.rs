//! Views: keyed tables of typed rows, with an incremental digest. Readers see the last commit, whole.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::BooleanBuffer;
use refrain_log::ids::{Sequence, Timestamp};
use refrain_log::schema::Schema;
use serde::{Deserialize, Serialize};

use crate::Result;

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
    /// two added `i64` fields, `partition` and `offset`, of the input row (see the engine).
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
    _private: (),
}

impl View {
    /// Its declaration.
    pub fn spec(&self) -> &ViewSpec {
        todo!()
    }

    /// Its schema.
    pub fn schema(&self) -> &Arc<Schema> {
        todo!()
    }

    /// What it is as of the last commit.
    pub fn state(&self) -> ViewState {
        todo!()
    }

    /// The rows with this key: `key` has one row and the key fields, or the first of them for all rows that begin so.
    pub fn get(&self, _key: &RecordBatch) -> Result<ViewRows> {
        todo!()
    }

    /// All rows in key order, at most `limit`.
    pub fn scan(&self, _limit: Option<usize>) -> Result<ViewRows> {
        todo!()
    }
}
