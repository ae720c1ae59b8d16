//! How fresh an answer is: as of when it includes all input, and how long ago that was. Found by looking for the oldest
//! frame of its sources that it does not include.

use refrain_log::frame::FrameKind;
use refrain_log::ids::{Sequence, Timestamp};
use refrain_log::log::Log;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::pipeline::TierNames;

/// How fresh an answer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    /// All input that came until then is included.
    pub as_of: Timestamp,
    /// How long ago that was, in microseconds; 0: everything there is is included.
    pub staleness_us: i64,
    /// The tier of that; none: older than the last one.
    pub tier: Option<String>,
}

impl Freshness {
    /// Of an answer that leaves out what came from `pending` on.
    pub fn of(pending: Option<Timestamp>, now: Timestamp, tiers: &TierNames) -> Freshness {
        let staleness_us = pending.map_or(0, |p| now.0.saturating_sub(p.0).max(0));
        Freshness {
            as_of: Timestamp(now.0.saturating_sub(staleness_us)),
            staleness_us,
            tier: tiers.name(staleness_us).map(str::to_owned),
        }
    }
}

/// When the oldest rows came to these topics that a cut does not include; none: it includes all.
pub fn pending(
    log: &Log,
    topics: impl IntoIterator<Item = impl AsRef<str>>,
    cut: Sequence,
) -> Result<Option<Timestamp>> {
    let mut oldest: Option<Timestamp> = None;
    for name in topics {
        let Some(topic) = log.topic(name.as_ref()) else {
            continue;
        };
        for partition in 0..topic.spec().partitions {
            let mut cursor = topic.cursor_after(partition, cut)?;
            while let Some(frame) = cursor.next(log.durable())? {
                let header = frame.header();
                if matches!(header.kind, FrameKind::Rows) && header.rows > 0 {
                    let time = header.append_time;
                    oldest = Some(oldest.map_or(time, |o| o.min(time)));
                    break;
                }
            }
        }
    }
    Ok(oldest)
}
