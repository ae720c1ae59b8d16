//! Answers of many pages that were begun and not ended: one asks for page after page, and gets them all as of one commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use refrain_state::view::{Pages, View};

/// Answers that are kept; the oldest gives way to a new one.
const KEPT_MAX: usize = 32;

/// Answers under way, by number.
#[derive(Debug, Default)]
pub struct Scans(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    pages: BTreeMap<u64, (Arc<View>, Pages)>,
}

impl Scans {
    /// Keeps the pages that are left; the number under which they are found, once.
    pub(crate) fn keep(&self, view: Arc<View>, pages: Pages) -> u64 {
        let mut kept = self.lock();
        kept.last += 1;
        let number = kept.last;
        kept.pages.insert(number, (view, pages));
        while kept.pages.len() > KEPT_MAX {
            kept.pages.pop_first();
        }
        number
    }

    /// The pages of that number; nobody else finds them.
    pub(crate) fn take(&self, number: u64) -> Option<(Arc<View>, Pages)> {
        self.lock().pages.remove(&number)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("nobody panics with the pages")
    }
}
