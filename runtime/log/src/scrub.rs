//! A look at every byte that readers may come to: checksums of frames and of columns, segment by segment, with `pread`.
//!
//! Reading through a map checks what it touches, when it does; a scrub finds what rots before somebody needs it. It holds
//! no lock while it reads, and says what it finds as recovery does.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::ids::Offset;
use crate::limits::SEGMENT_HEADER_BYTES;
use crate::log::Finding;
use crate::scan;
use crate::segment::Run;
use crate::segments::Segments;
use crate::topic::Topic;

/// One segment, looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrubbed {
    /// Name of its file.
    pub file: String,
    /// Bytes that were read.
    pub bytes: u64,
    /// Frames that are whole.
    pub frames: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Where the next segment begins; none: this was the last.
    pub next: Option<Offset>,
}

impl Run {
    /// Reads the first segment that begins at or after `from`, up to its published end; none: there is none.
    pub(crate) fn scrub(&self, from: Offset) -> Result<Option<Scrubbed>> {
        let (segment, next) = {
            let segments = self.segments();
            let mut rest = segments.iter().skip_while(|s| s.base < from);
            let Some(segment) = rest.next().cloned() else {
                return Ok(None);
            };
            (segment, rest.next().map(|s| s.base))
        };
        let end = segment.end();
        let path = self.path(&segment.name);
        let checked = scan::check(&*segment.file, segment.base, end);
        let checked = checked.map_err(|e| self.io("read", &path, e))?;
        let findings = checked.flaws.into_iter().map(|(what, rows)| Finding {
            topic: self.name.topic.clone(),
            partition: self.name.partition,
            acknowledged: true,
            offsets: rows.map(|(first, next)| (first, Offset(next.0.saturating_sub(1)))),
            what: format!("{}: {what}", segment.name),
        });
        Ok(Some(Scrubbed {
            file: segment.name.to_string(),
            bytes: end.0.max(SEGMENT_HEADER_BYTES),
            frames: checked.frames,
            findings: findings.collect(),
            next,
        }))
    }
}

impl Topic {
    /// Reads one segment of a partition, the first that begins at or after `from`.
    pub fn scrub(&self, partition: u32, from: Offset) -> Result<Option<Scrubbed>> {
        self.partition(partition)?.run.scrub(from)
    }
}

/// A run of segments, to be read beside its writer.
#[derive(Clone, Debug)]
pub struct Scrubber(Arc<Run>);

impl Scrubber {
    /// Reads one segment, the first that begins at or after `from`.
    pub fn scrub(&self, from: Offset) -> Result<Option<Scrubbed>> {
        self.0.scrub(from)
    }
}

impl Segments {
    /// Reads it beside its writer.
    pub fn scrubber(&self) -> Scrubber {
        Scrubber(self.run().clone())
    }
}
