//! Rows of a derived topic carried over into another one, as they are: at the same offsets, with the source rows that they
//! come from and the watermarks before them.

use arrow_array::RecordBatch;
use refrain_log::frame::Frame;
use refrain_log::ids::{Offset, Sequence};
use refrain_log::log::Log;
use refrain_log::retention::Kept;
use refrain_log::topic::Topic;
use refrain_state::commit::NodeState;

use crate::error::{Error, Result};

/// Lets a topic that was just declared begin as another one was at a commit of its writer, with the rows that come from
/// source frames behind `after`, as far as retention has left them: what is not carried counts as removed. Rows are durable
/// when it returns, and are seen when the topic is cut to a commit that names them.
pub(crate) fn carry(
    from: &Topic,
    after: Sequence,
    last: &NodeState,
    (log, to): (&Log, &str),
) -> Result<()> {
    for partition in 0..from.spec().partitions {
        let end = end_of(last, &from.spec().name, partition);
        let kept = from.kept(partition)?;
        if after >= last.cut || kept.removed_up_to >= last.cut {
            let begin = Kept {
                start: end,
                removed_up_to: last.cut,
                ..kept
            };
            log.begin_derived(to, partition, &begin)?;
            continue;
        }
        let mut cursor = match after > kept.removed_up_to {
            true => from.cursor_after(partition, after)?,
            false => from.cursor(partition, kept.start)?,
        };
        let begin = Kept {
            start: cursor.offset(),
            removed_up_to: after.max(kept.removed_up_to),
            ..kept
        };
        log.begin_derived(to, partition, &begin)?;
        let mut writer = log.derived(to, partition)?;
        while let Some(frame) = cursor.next(last.cut)? {
            let origins = frame.origins()?.unwrap_or_default();
            writer.append(&rows(from, &frame)?, &origins)?;
        }
        let found = writer.sync()?;
        if found != end {
            return Err(Error::Refused(format!(
                "{}/{partition} ends at row {found} at cut {}, where the commit of its node says {end}: it cannot be gone on \
                 from",
                from.spec().name,
                last.cut
            )));
        }
    }
    Ok(())
}

/// Where a partition of a topic ends by a commit of its writer.
pub(crate) fn end_of(last: &NodeState, topic: &str, partition: u32) -> Offset {
    let mut ends = last.derived.iter();
    let end = ends.find(|end| end.topic == topic && end.partition == partition);
    end.map_or(Offset(0), |end| end.end)
}

fn rows(topic: &Topic, frame: &Frame) -> Result<RecordBatch> {
    let fields: Vec<usize> = (0..topic.schema().fields().len()).collect();
    Ok(match frame.header().rows {
        0 => RecordBatch::new_empty(topic.schema().arrow()),
        _ => frame.batch(&fields)?,
    })
}
