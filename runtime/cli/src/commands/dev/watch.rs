//! Waiting for files to change. Each folder is followed by itself, so that folders of tools are left out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::is_source;
use crate::failure::Failure;

/// Editors write a file in several steps: no look before it has been quiet for so long ...
const QUIET: Duration = Duration::from_millis(80);
/// ... in so many tries at most.
const TRIES: u32 = 50;

/// Folders under watch.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    followed: BTreeSet<PathBuf>,
    events: Receiver<notify::Result<Event>>,
}

impl Watch {
    pub(super) fn start() -> Result<Watch, Failure> {
        let (sender, events) = channel();
        let watcher = notify::recommended_watcher(move |event| {
            // Nobody listens any more when the command ends.
            let _ = sender.send(event);
        });
        Ok(Watch {
            watcher: watcher.map_err(|error| cannot(&error))?,
            followed: BTreeSet::new(),
            events,
        })
    }

    /// Follows a folder, without those in it. One that is not there is no error: the folder that it would be in is
    /// followed.
    pub(super) fn follow(&mut self, folder: &Path) {
        if self.followed.contains(folder) && folder.is_dir() {
            return;
        }
        match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.followed.insert(folder.to_path_buf());
            }
            Err(error) => {
                self.followed.remove(folder);
                tracing::info!("{}: {error}", folder.display());
            }
        }
    }

    /// Waits until a source may have changed.
    pub(super) fn wait(&mut self) -> Result<(), Failure> {
        loop {
            let event = self.events.recv().map_err(|_| ended())?;
            if self.counts(event)? {
                return Ok(());
            }
        }
    }

    /// Waits until all is quiet.
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        for _ in 0..TRIES {
            match self.events.recv_timeout(QUIET) {
                Ok(event) => self.counts(event)?,
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
            };
        }
        Ok(())
    }

    /// Whether an event is one of a source. That a file was read is none.
    fn counts(&mut self, event: notify::Result<Event>) -> Result<bool, Failure> {
        let event = event.map_err(|error| cannot(&error))?;
        let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
        if matches!(event.kind, EventKind::Access(_)) && event.kind != written {
            return Ok(false);
        }
        if matches!(event.kind, EventKind::Remove(_)) {
            for path in &event.paths {
                // It may come back, as another folder of that name.
                self.followed.remove(path);
            }
        }
        Ok(event.need_rescan() || event.paths.iter().any(|path| is_source(path)))
    }
}

fn cannot(error: &notify::Error) -> Failure {
    Failure::new(
        1,
        format!(
            "files cannot be watched: {error}; the system's limit is fs.inotify.max_user_watches"
        ),
    )
}

fn ended() -> Failure {
    Failure::new(1, "the watch of files ended; run the command again")
}
