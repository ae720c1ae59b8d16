//! The table behind a view whose rows are in the tree on the disk. Nothing of a row stays in memory but what the system
//! caches: a commit looks up what its rows replace, all of them in order of their keys, and keeps number and digest along.
//!
//! Keys in the tree: those of the node (`store/disk`), then the key of the row (`ordered`); when that would be too long for
//! the tree, its first bytes and its xxh3-128, with the length of the key (u32 LE) and the key in front of the value
//! (`packed`). Since no key begins another one, only such long keys can be out of order, and only among those whose first
//! bytes are equal: readers sort these.

mod pages;

use std::ops::{Bound, Range};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::BooleanBuffer;
use refrain_log::schema::Schema;
use xxhash_rust::xxh3::xxh3_128;

pub(super) use pages::TreePages;

use super::packed::{self, BATCH_BYTES_MAX, Batch, Stands};
use super::table::Prepared;
use super::{Counts, Walked, ordered};
use crate::Result;
use crate::cells::Column;
use crate::store::KEYS_AT_ONCE;
use crate::store::disk::{Batch as Changed, Disk, Entry, KEY_BYTES_MAX, Looker, after_prefix};

/// Keyed rows with their number and digest.
#[derive(Debug)]
pub(super) struct TreeTable {
    rows: TreeRows,
    pub(super) counts: Counts,
    /// The key of the tree after which a walk goes on; none: no walk is under way.
    walk_from: Option<Vec<u8>>,
}

/// Where rows of a view are, and how they are read. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct TreeRows {
    disk: Arc<Disk>,
    prefix: Vec<u8>,
    schema: Arc<Schema>,
    key_fields: usize,
}

/// Changes in order of their keys, each with what it replaces.
#[derive(Debug, Default)]
pub(super) struct Met {
    /// Keys of the tree, end to end.
    keys: Vec<u8>,
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Change {
    key: Range<usize>,
    /// The changes that it is of, and its row there; none: deleted.
    row: Option<(usize, usize)>,
    old: Option<Old>,
}

/// A row that is there.
#[derive(Clone, Copy, Debug)]
struct Old {
    stands: Stands,
    bytes: u64,
}

impl TreeTable {
    pub(super) fn new(disk: Arc<Disk>, node: &str, schema: Arc<Schema>, key_fields: usize) -> Self {
        TreeTable {
            rows: TreeRows {
                prefix: Disk::rows_prefix(node),
                disk,
                schema,
                key_fields,
            },
            counts: Counts::default(),
            walk_from: None,
        }
    }

    pub(super) fn rows(&self) -> &TreeRows {
        &self.rows
    }

    /// Applies changes that were met in this very table.
    pub(super) fn apply(&mut self, changes: &[Prepared], met: &Met) {
        let fields: Vec<Vec<Column>> = changes.iter().map(|c| self.rows.fields(c)).collect();
        let mut changed = Changed::new(met.changes.len());
        let mut value = Vec::new();
        for change in &met.changes {
            let key = &met.keys[change.key.clone()];
            if let Some(old) = change.old {
                self.counts.remove(old.stands, old.bytes);
            }
            match change.row {
                Some((of, row)) => {
                    let rows = changes[of].rows_with_hashes();
                    let stands = Stands::of(rows, row);
                    value.clear();
                    self.rows.begin_value(key, &rows.keys, row, &mut value);
                    packed::encode(stands, &fields[of], row, &mut value);
                    self.counts.add(stands, (key.len() + value.len()) as u64);
                    changed.put(key, &[&value]);
                }
                None if change.old.is_some() => changed.remove(key),
                None => {}
            }
        }
        self.rows.disk.add(changed);
    }

    /// Begins a walk through all rows there are.
    pub(super) fn begin_walk(&mut self) {
        self.walk_from = Some(self.rows.prefix.clone());
    }

    /// The next rows of the walk, of about so many bytes together, and where it stands then. Of the rows that were there
    /// when it began, all that live are shown; more may be.
    pub(super) fn walk(
        &self,
        bytes: u64,
    ) -> Result<(Option<(RecordBatch, BooleanBuffer)>, Walked)> {
        let Some(from) = &self.walk_from else {
            return Ok((None, Walked::End));
        };
        let mut batch = self.rows.batch();
        let mut walked = Walked::End;
        let end = after_prefix(&self.rows.prefix);
        let from = Bound::Excluded(from.clone());
        for entry in self.rows.disk.entries(from, end) {
            let entry = entry?;
            self.rows.push(&mut batch, &entry)?;
            if batch.bytes() as u64 >= bytes {
                walked = Walked::Key(entry.key.to_vec());
                break;
            }
        }
        let rows = (batch.rows() > 0).then(|| batch.finish());
        Ok((rows, walked))
    }

    /// Takes the walk to where [`TreeTable::walk`] ended.
    pub(super) fn walked(&mut self, walked: Walked) {
        self.walk_from = match walked {
            Walked::Key(key) => Some(key),
            Walked::End | Walked::Run(..) => None,
        };
    }
}

impl TreeRows {
    /// Looks up what changes replace. Where several have a key, the last one has it.
    pub(super) fn meet(&self, changes: &[Prepared]) -> Result<Met> {
        let mut met = Met::default();
        for (of, prepared) in changes.iter().enumerate() {
            let rows = prepared.rows_with_hashes();
            for row in 0..prepared.deleted() {
                self.add(&mut met, prepared.deletes(), row, None);
            }
            for row in 0..rows.batch.num_rows() {
                self.add(&mut met, &rows.keys, row, Some((of, row)));
            }
        }
        let Met { keys, changes } = &mut met;
        // Stable: of equal keys the last one is last.
        changes.sort_by(|a, b| keys[a.key.clone()].cmp(&keys[b.key.clone()]));
        changes.dedup_by(|later, earlier| {
            let same = keys[later.key.clone()] == keys[earlier.key.clone()];
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        let mut looker = self.disk.looker();
        for changes in changes.chunks_mut(KEYS_AT_ONCE) {
            looker.read_ahead(changes.iter().map(|change| &keys[change.key.clone()]));
            for change in changes {
                change.old = self.old(&mut looker, &keys[change.key.clone()])?;
            }
        }
        Ok(met)
    }

    fn add(&self, met: &mut Met, keys: &[Column], row: usize, put: Option<(usize, usize)>) {
        let from = met.keys.len();
        self.write_key(keys, row, &mut met.keys);
        met.changes.push(Change {
            key: from..met.keys.len(),
            row: put,
            old: None,
        });
    }

    fn old(&self, looker: &mut Looker<'_>, key: &[u8]) -> Result<Option<Old>> {
        let read = |value: &[u8]| {
            let (_, packed) = self.parts(key, value)?;
            Some(Old {
                stands: Stands::read(packed)?,
                bytes: (key.len() + value.len()) as u64,
            })
        };
        let old = looker.look(key, read)?;
        old.map(|old| old.ok_or_else(|| self.no_row())).transpose()
    }

    /// The row with this key, which is the one row of `key`, as a batch of one; or an empty one.
    pub(super) fn get(&self, key: &[Column]) -> Result<(RecordBatch, BooleanBuffer)> {
        let mut full = Vec::new();
        self.write_key(key, 0, &mut full);
        let read = |value: &[u8]| {
            let mut batch = self.batch();
            let (row_key, packed) = self.parts(&full, value)?;
            batch.push(row_key, packed)?;
            Some(batch)
        };
        match self.disk.look(&full, read)? {
            None => Ok(self.batch().finish()),
            Some(None) => Err(self.no_row()),
            Some(Some(batch)) => Ok(batch.finish()),
        }
    }

    /// The rows there are now, in order of their keys: all, or those whose key begins with these fields.
    pub(super) fn pages(&self, key: Option<&[Column]>, limit: Option<usize>) -> Result<TreePages> {
        let mut begin = Vec::new();
        if let Some(key) = key {
            ordered::encode(key, 0, &mut begin);
        }
        TreePages::new(self.clone(), begin, limit)
    }

    /// Appends the tree's key of a row.
    fn write_key(&self, keys: &[Column], row: usize, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.prefix);
        let from = bytes.len();
        ordered::encode(keys, row, bytes);
        if bytes.len() - from > KEY_BYTES_MAX {
            let hash = xxh3_128(&bytes[from..]);
            bytes.truncate(from + KEY_BYTES_MAX);
            bytes.extend_from_slice(&hash.to_be_bytes());
        }
    }

    /// Whether a key of the tree stands for a longer one.
    fn is_long(&self, key: &[u8]) -> bool {
        key.len() > self.prefix.len() + KEY_BYTES_MAX
    }

    /// Appends what comes before the packed row.
    fn begin_value(&self, tree_key: &[u8], keys: &[Column], row: usize, value: &mut Vec<u8>) {
        if !self.is_long(tree_key) {
            return;
        }
        let mut key = Vec::new();
        ordered::encode(keys, row, &mut key);
        let length = u32::try_from(key.len()).expect("a key stays below 4 GiB");
        value.extend_from_slice(&length.to_le_bytes());
        value.extend_from_slice(&key);
    }

    /// The key of a row and the row itself, packed. None: this is none.
    fn parts<'a>(&self, key: &'a [u8], value: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        if !self.is_long(key) {
            return Some((&key[self.prefix.len()..], value));
        }
        let (length, rest) = value.split_first_chunk::<4>()?;
        rest.split_at_checked(u32::from_le_bytes(*length) as usize)
    }

    fn batch(&self) -> Batch {
        Batch::new(&self.schema, self.key_fields)
    }

    fn push(&self, batch: &mut Batch, entry: &Entry) -> Result<()> {
        let parts = self.parts(&entry.key, entry.value());
        let pushed = parts.and_then(|(key, packed)| batch.push(key, packed));
        pushed.ok_or_else(|| self.no_row())
    }

    /// The columns of rows put that are no key.
    fn fields(&self, changes: &Prepared) -> Vec<Column> {
        let fields = self.schema.fields();
        let columns = Column::of_batch(changes.rows(), &self.schema, fields.len());
        let mut columns = columns.expect("rows of a view are in its schema");
        columns.split_off(self.key_fields)
    }

    fn no_row(&self) -> crate::Error {
        self.disk.damaged(&"a row of a view is none")
    }
}

const _: () = assert!(KEY_BYTES_MAX + 128 + (1 << 10) < u16::MAX as usize);
const _: () = assert!(BATCH_BYTES_MAX > KEY_BYTES_MAX);

#[cfg(test)]
mod tests;
