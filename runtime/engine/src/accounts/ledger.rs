//! The books of a running host: kept in memory, written to the data folder once a minute and at the end, whole or not at
//! all. What a crash loses is at most a minute of figures; results know nothing of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use refrain_log::ids::Timestamp;
use refrain_log::storage::Storage;

use super::LEDGER_FILE;
use super::books::Books;

/// Between two writes of the file, in microseconds.
const WRITE_US: i64 = 60_000_000;

/// The books and where they are kept.
#[derive(Debug)]
pub struct Ledger {
    storage: Arc<dyn Storage>,
    file: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    books: Books,
    written: Timestamp,
    alive: Option<Timestamp>,
}

impl Ledger {
    /// Reads the books of a data folder; what cannot be read begins anew, and is told.
    pub fn open(storage: Arc<dyn Storage>, data: &Path, now: Timestamp) -> Ledger {
        let file = data.join(LEDGER_FILE);
        let books = match storage.read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(%error, "the ledger does not read; figures of use and freshness begin anew");
                Books::default()
            }),
            Err(_) => Books::default(),
        };
        Ledger {
            storage,
            file,
            inner: Mutex::new(Inner {
                books,
                written: now,
                alive: None,
            }),
        }
    }

    /// Changes the books, and writes them when that is due.
    pub fn change<T>(&self, now: Timestamp, change: impl FnOnce(&mut Books) -> T) -> T {
        let mut inner = self.lock();
        let answer = change(&mut inner.books);
        if let Some(from) = inner.alive.filter(|_| now.0 - inner.written.0 >= WRITE_US) {
            inner.books.alive(from, now);
            inner.alive = Some(now);
            self.write(&mut inner, now);
        }
        answer
    }

    /// A run begins.
    pub fn begin(&self, now: Timestamp) {
        let mut inner = self.lock();
        inner.books.begin(now);
        inner.alive = Some(now);
    }

    /// A run ends: all is written.
    pub fn end(&self, now: Timestamp) {
        let mut inner = self.lock();
        if let Some(from) = inner.alive.take() {
            inner.books.alive(from, now);
        }
        self.write(&mut inner, now);
    }

    /// The books as they stand.
    pub fn books(&self) -> Books {
        self.lock().books.clone()
    }

    fn write(&self, inner: &mut Inner, now: Timestamp) {
        inner.written = now;
        inner.books.version = 1;
        inner.books.bound(now);
        let bytes = serde_json::to_vec(&inner.books).expect("books are numbers and names");
        if let Err(error) = self.storage.replace(&self.file, &bytes) {
            tracing::warn!(%error, file = %self.file.display(), "the ledger was not written; it is tried again in a minute");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics with the books")
    }
}
