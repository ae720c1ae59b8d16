//! The moment at which a segment's new file takes the name of its old one.

use std::io;
use std::sync::Arc;

use super::UNFINISHED;
use crate::Result;
use crate::codec;
use crate::ids::Offset;
use crate::index::Footer;
use crate::segment::{Run, Segment, footer_name, segment_name};

impl Run {
    /// Name of the new file of a segment, until it is finished.
    pub(super) fn unfinished_name(base: Offset) -> String {
        format!("{:020}{UNFINISHED}", base.0)
    }

    /// Removes what is left of a new file, if there is one.
    pub(super) fn remove_unfinished(&self, base: Offset) {
        // What cannot be removed now is removed when the log is opened next.
        let _ = self.storage.remove(&self.path(&Run::unfinished_name(base)));
    }

    /// Puts a finished segment into the place of the old one, which has no appends and may have readers; whether it did:
    /// not where the old one is gone meanwhile.
    pub(super) fn replace(&self, old: &Arc<Segment>, new: Segment) -> Result<bool> {
        let files = self.files();
        let is_there = {
            let segments = self.segments();
            let sealed = &segments[..segments.len().saturating_sub(1)];
            !files.is_gone && sealed.iter().any(|s| Arc::ptr_eq(s, old))
        };
        if !is_there {
            self.remove_unfinished(old.base);
            return Ok(false);
        }
        let footer = self.storage.read(&self.path(&footer_name(old.base)));
        let past = footer.ok().and_then(|bytes| {
            let footer = codec::decode::<Footer>(&bytes).ok();
            footer.filter(|footer| footer.epoch == old.epoch)
        });
        if let Err(e) = self.take_name(old.base) {
            self.remove_unfinished(old.base);
            return Err(e);
        }
        // Until the name is durable, a crash finds the old file or this one, and either will do.
        let synced = self.sync_names();
        let new = Arc::new(new);
        if let Some(place) = self.segments_mut().iter_mut().find(|s| Arc::ptr_eq(s, old)) {
            *place = Arc::clone(&new);
        }
        if let Some(past) = past {
            let footer = Footer {
                epoch: new.epoch,
                end: new.end(),
                end_offset: new.end_offset(),
                past: past.past,
                index: new.index().clone(),
            };
            // It can be rebuilt.
            let path = self.path(&footer_name(new.base));
            let _ = self.storage.replace(&path, &codec::encode(&footer));
        }
        synced.map(|()| true)
    }

    /// Gives a finished file the name of its segment. The footer, which is of the old file, goes first.
    pub(super) fn take_name(&self, base: Offset) -> Result<()> {
        let footer = self.path(&footer_name(base));
        match self.storage.remove(&footer) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(self.io("remove", &footer, e));
            }
            _ => {}
        }
        self.sync_names()?;
        let (from, to) = (
            self.path(&Run::unfinished_name(base)),
            self.path(&segment_name(base)),
        );
        let renamed = self.storage.rename(&from, &to);
        renamed.map_err(|e| self.io("rename", &from, e))
    }

    pub(super) fn sync_names(&self) -> Result<()> {
        let synced = self.storage.sync_dir(&self.folder);
        synced.map_err(|e| self.io("sync", &self.folder, e))
    }
}
