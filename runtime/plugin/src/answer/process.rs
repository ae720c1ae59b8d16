//! The answers of a process plugin, checked.

use super::{bitmap, checked, malformed, origins, rejects};
use crate::about::About;
use crate::fault::Cause;
use crate::instance::{Part, Processed, Reject, Timers};
use crate::wire;

/// What the plugin was asked.
pub(crate) enum Asked<'a> {
    /// To take rows.
    Rows {
        parts: &'a [Part<'a>],
        order: &'a [u32],
    },
    /// What to do about timers of these slots.
    Timers(&'a [u32]),
}

impl Asked<'_> {
    fn count(&self) -> usize {
        match self {
            Asked::Rows { parts, .. } => parts.iter().map(|part| part.input.count).sum(),
            Asked::Timers(slots) => slots.len(),
        }
    }

    /// Slots of the rows that were not rejected, or of the timers; sorted.
    fn slots(&self, rejects: &[Reject]) -> Vec<u32> {
        let refused = |place: usize| {
            rejects
                .binary_search_by_key(&(place as u32), |r| r.row)
                .is_ok()
        };
        let kept = |(place, slot): (usize, u32)| (!refused(place)).then_some(slot);
        let mut slots: Vec<u32> = match self {
            Asked::Timers(slots) => slots.to_vec(),
            Asked::Rows { parts: [one], .. } => {
                let all = one.slots.iter().copied();
                all.enumerate().filter_map(kept).collect()
            }
            Asked::Rows { parts, order } => {
                let mut next = vec![0; parts.len()];
                let in_order = order.iter().map(|part| {
                    let part = *part as usize;
                    next[part] += 1;
                    parts[part].slots[next[part] - 1]
                });
                in_order.enumerate().filter_map(kept).collect()
            }
        };
        slots.sort_unstable();
        slots.dedup();
        slots
    }
}

/// Checks the answer of `process.process` or `process.fire`.
pub(crate) fn processed(
    said: wire::Processed,
    about: &About,
    asked: &Asked<'_>,
) -> Result<Processed, Cause> {
    let (causes, count) = (asked.count(), said.rows.count as usize);
    if matches!(asked, Asked::Timers(_)) && !said.rejects.is_empty() {
        return malformed("rejected a timer: only rows can be rejected");
    }
    let rejects = rejects(said.rejects, causes)?;
    if said.origins.len() != count {
        return malformed(format!(
            "gave {} origins for {count} rows: say of each row what caused it",
            said.origins.len()
        ));
    }
    origins(&said.origins, &rejects, count, causes)?;
    let deleted = bitmap(said.deleted, count, "`deleted`")?.filter(|d| d.count_set_bits() > 0);
    let timers = timers(said.timers, about, asked, &rejects)?;
    Ok(Processed {
        columns: columns(said.rows, about, deleted.as_ref())?,
        count,
        origins: said.origins,
        deleted,
        rejects,
        timers,
    })
}

/// Rows of the declared outputs. One that is `deleted` may be null where it is not the key of the view's row.
fn columns(
    said: wire::Rows,
    about: &About,
    deleted: Option<&arrow_buffer::BooleanBuffer>,
) -> Result<Vec<arrow_array::ArrayRef>, Cause> {
    let fields = &about.outputs;
    if said.columns.len() != fields.len() {
        return malformed(format!(
            "gave {} columns where {} output fields are declared",
            said.columns.len(),
            fields.len()
        ));
    }
    let view_key = about.process.as_ref().map_or(&[][..], |d| &d.view_key);
    let present = deleted.map(|deleted| !deleted);
    let count = said.count as usize;
    let columns = said.columns.into_iter().zip(fields);
    let column = |(column, field): (wire::Column, &refrain_log::schema::Field)| {
        let present = match view_key.contains(&field.name) {
            true => None,
            false => present.as_ref(),
        };
        checked(column, field, count, present)
    };
    columns.map(column).collect()
}

fn timers(
    said: wire::Timers,
    about: &About,
    asked: &Asked<'_>,
    rejects: &[Reject],
) -> Result<Timers, Cause> {
    let (slots, times) = (said.slots.len(), said.times.len());
    if slots != times {
        return malformed(format!("gave {times} times for {slots} timers"));
    }
    if slots == 0 {
        bitmap(said.cleared, 0, "`cleared`")?;
        return Ok(Timers::default());
    }
    if !about.timed() {
        return malformed("set a timer: declare the plugin as timed, or set none");
    }
    let cleared = bitmap(said.cleared, slots, "`cleared`")?.filter(|c| c.count_set_bits() > 0);
    let known = asked.slots(rejects);
    if !said.slots.iter().all(|s| known.binary_search(s).is_ok()) {
        return malformed(
            "set a timer of a slot that the call was not about, or of a row that it rejected: a timer is of the slot of a row \
             taken, or of a timer fired",
        );
    }
    Ok(Timers {
        slots: said.slots,
        times: said.times,
        cleared,
    })
}
