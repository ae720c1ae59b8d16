//! Rows of a view in the tree, page by page, as they were when the first page was asked for.

use std::collections::VecDeque;
use std::ops::Bound;

use arrow_array::RecordBatch;
use arrow_buffer::BooleanBuffer;

use super::{BATCH_BYTES_MAX, KEY_BYTES_MAX, TreeRows};
use crate::store::disk::{Entries, Entry, after_prefix};
use crate::{Error, Result};

/// The rows that are left.
#[derive(Debug)]
pub(in crate::view) struct TreePages {
    rows: TreeRows,
    entries: Entries,
    /// What every key begins with, when that is longer than keys of the tree are.
    begin: Option<Vec<u8>>,
    /// Rows that were read already, in order.
    ahead: VecDeque<Entry>,
    /// An entry read behind these.
    behind: Option<Entry>,
    left: usize,
}

impl TreePages {
    /// Keys begin with `begin`.
    pub(super) fn new(rows: TreeRows, begin: Vec<u8>, limit: Option<usize>) -> Result<TreePages> {
        let in_tree = &begin[..begin.len().min(KEY_BYTES_MAX)];
        let from = [rows.prefix.as_slice(), in_tree].concat();
        let to = after_prefix(&from);
        let entries = (rows.disk).entries(Bound::Included(from), to);
        let mut pages = TreePages {
            rows,
            entries,
            begin: (begin.len() > KEY_BYTES_MAX).then_some(begin),
            ahead: VecDeque::new(),
            behind: None,
            left: limit.unwrap_or(usize::MAX),
        };
        pages.fill()?;
        Ok(pages)
    }

    /// Whether all rows have been shown.
    pub(in crate::view) fn is_done(&self) -> bool {
        self.left == 0 || self.ahead.is_empty()
    }

    /// The next rows: at most `rows_max`, and of about `bytes_max` at most unless one row alone has more.
    pub(in crate::view) fn next(
        &mut self,
        rows_max: usize,
        bytes_max: u64,
    ) -> Result<(RecordBatch, BooleanBuffer)> {
        let bytes_max = bytes_max.min(BATCH_BYTES_MAX as u64);
        let mut batch = self.rows.batch();
        while batch.rows() < rows_max.max(1) && !self.is_done() {
            let entry = &self.ahead[0];
            let bytes = (batch.bytes() + entry.key.len() + entry.value().len()) as u64;
            if batch.rows() > 0 && bytes > bytes_max {
                break;
            }
            self.rows.push(&mut batch, entry)?;
            self.left -= 1;
            self.ahead.pop_front();
            self.fill()?;
        }
        Ok(batch.finish())
    }

    /// All rows that are left.
    pub(in crate::view) fn all(mut self) -> Result<(RecordBatch, BooleanBuffer)> {
        let rows = self.next(usize::MAX, u64::MAX)?;
        if self.is_done() {
            return Ok(rows);
        }
        Err(Error::Invalid(
            "the answer does not fit into one batch (more than 2 GiB); ask for fewer rows".into(),
        ))
    }

    /// Reads the next row; of long keys with the same beginning, all of them.
    fn fill(&mut self) -> Result<()> {
        while self.ahead.is_empty() {
            let Some(entry) = self.read()? else {
                return Ok(());
            };
            if !self.rows.is_long(&entry.key) {
                self.ahead.push_back(entry);
                return Ok(());
            }
            let border = self.rows.prefix.len() + KEY_BYTES_MAX;
            let mut group = vec![entry];
            while let Some(next) = self.read()? {
                let same =
                    self.rows.is_long(&next.key) && next.key[..border] == group[0].key[..border];
                if !same {
                    self.behind = Some(next);
                    break;
                }
                group.push(next);
            }
            let rows = &self.rows;
            let key = |entry: &Entry| {
                rows.parts(&entry.key, entry.value())
                    .map(|(key, _)| key.to_vec())
            };
            group.retain(|entry| {
                self.begin
                    .as_ref()
                    .is_none_or(|begin| key(entry).is_none_or(|key| key.starts_with(begin)))
            });
            group.sort_by_cached_key(key);
            self.ahead.extend(group);
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Option<Entry>> {
        match self.behind.take() {
            Some(entry) => Ok(Some(entry)),
            None => self.entries.next().transpose(),
        }
    }
}
