//! Rows of closed windows that go from the view again: once the watermark is `keep` past the window's end.
//!
//! What is due is decided at a commit, by the watermark at its cut, so that a view at a cut is the same however often
//! was committed on the way. The store has an entry for each such row, so that a task knows after a restart.

use std::collections::BTreeMap;

use super::index;
use crate::watermark::NEVER;

/// Closed windows whose rows the view has, or is about to get, by their end.
pub(super) struct Kept {
    keep_us: i64,
    /// The store has an index of them: only those are known here that it cannot have in order.
    indexed: bool,
    known: BTreeMap<i64, Vec<Box<[u8]>>>,
    /// Closed since the last commit: end, store key, whether the store has a state under it.
    fresh: Vec<(i64, Box<[u8]>, bool)>,
}

/// What a commit does about kept rows. All by store key.
#[derive(Default)]
pub(super) struct Due {
    /// Entries for the store, with the window's end.
    pub(super) put: Vec<(Box<[u8]>, i64)>,
    /// Entries and states that leave the store.
    pub(super) deleted: Vec<Box<[u8]>>,
    /// Entries among them, by the window's end.
    pub(super) ended: Vec<(i64, Box<[u8]>)>,
    /// Rows that leave the view.
    pub(super) gone: Vec<Box<[u8]>>,
}

impl Kept {
    /// `indexed`: the store has an index of them.
    pub(super) fn new(keep_us: i64, indexed: bool) -> Kept {
        Kept {
            keep_us,
            indexed,
            known: BTreeMap::new(),
            fresh: Vec::new(),
        }
    }

    /// A window closed before the task was opened.
    pub(super) fn known(&mut self, end: i64, key: &[u8]) {
        self.known.entry(end).or_default().push(key.into());
    }

    /// What is known from before is put into the store again, with its index.
    pub(super) fn put_again(&mut self) {
        let known = std::mem::take(&mut self.known).into_iter();
        for (end, keys) in known {
            self.fresh
                .extend(keys.into_iter().map(|key| (end, key, true)));
        }
    }

    /// The end of windows up to which rows are due at a watermark.
    pub(super) fn bound(&self, watermark: i64) -> i64 {
        watermark.saturating_sub(self.keep_us)
    }

    /// A window closes now.
    pub(super) fn close(&mut self, end: i64, key: &[u8], stored: bool) {
        self.fresh.push((end, key.into(), stored));
    }

    /// Whether the row of a window that ended then is due at this watermark.
    pub(super) fn is_due(&self, end: i64, watermark: i64) -> bool {
        watermark != NEVER && end.saturating_add(self.keep_us) <= watermark
    }

    /// What is due at a commit.
    pub(super) fn due(&mut self, watermark: i64) -> Due {
        let mut due = Due::default();
        while let Some(first) = self.known.first_entry() {
            if watermark == NEVER || first.key().saturating_add(self.keep_us) > watermark {
                break;
            }
            let end = *first.key();
            for key in first.remove() {
                due.deleted.push(key.clone());
                due.ended.push((end, key.clone()));
                due.gone.push(key);
            }
        }
        for (end, key, stored) in std::mem::take(&mut self.fresh) {
            if self.is_due(end, watermark) {
                if stored {
                    due.deleted.push(key.clone());
                }
                due.gone.push(key);
            } else {
                if !self.indexed || !index::is_ordered(&key) {
                    self.known.entry(end).or_default().push(key.clone());
                }
                due.put.push((key, end));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_leaves_once_and_what_never_came_needs_no_delete() {
        let mut kept = Kept::new(10, false);
        kept.known(0, b"old");
        kept.close(5, b"stored", true);
        kept.close(6, b"passing", false);
        kept.close(20, b"young", false);
        assert!(kept.due(NEVER).gone.is_empty());
        let mut kept = Kept::new(10, false);
        kept.known(0, b"old");
        kept.close(5, b"stored", true);
        kept.close(6, b"passing", false);
        kept.close(20, b"young", false);
        let due = kept.due(16);
        let names = |keys: &[Box<[u8]>]| -> Vec<String> {
            let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
            keys.iter().map(|key| text(key)).collect()
        };
        assert_eq!(names(&due.gone), ["old", "stored", "passing"]);
        assert_eq!(names(&due.deleted), ["old", "stored"]);
        assert_eq!(due.put, [(Box::from(&b"young"[..]), 20)]);
        assert!(kept.due(29).gone.is_empty());
        assert_eq!(names(&kept.due(30).deleted), ["young"]);
    }
}
