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

#[cfg(test)]
mod tests {
    use refrain_log::schema::{Field, Kind};

    use super::*;
    use crate::about::{Declared, DeclaredInput, PluginKind};
    use crate::fault::FaultKind;
    use crate::instance::Input;

    fn about(timed: bool) -> About {
        About {
            name: "pairs".into(),
            version: "1".into(),
            doc: String::new(),
            kind: PluginKind::Process,
            inputs: Vec::new(),
            outputs: vec![Field::new("k", Kind::I64), Field::new("n", Kind::I64)],
            wants_keys: false,
            merges: false,
            migrates: false,
            state_version: 1,
            settings: Vec::new(),
            process: Some(Declared {
                inputs: ["left", "right"]
                    .map(|name| DeclaredInput {
                        name: name.into(),
                        doc: String::new(),
                        fields: Vec::new(),
                    })
                    .into(),
                view_key: vec!["k".into()],
                timed,
            }),
        }
    }

    fn ints(values: &[i64]) -> wire::Column {
        wire::Column {
            values: wire::Values::Ints(values.to_vec()),
            valid: Vec::new(),
        }
    }

    /// Two rows, of the first and the third cause.
    fn good() -> wire::Processed {
        wire::Processed {
            rows: wire::Rows {
                count: 2,
                columns: vec![ints(&[1, 2]), ints(&[10, 20])],
            },
            origins: vec![0, 2],
            deleted: Vec::new(),
            rejects: Vec::new(),
            timers: wire::Timers {
                slots: vec![7, 9],
                times: vec![100, 200],
                cleared: Vec::new(),
            },
        }
    }

    /// Asks with rows of slots 7 and 8 from the left, 9 from the right between them.
    fn answer(said: wire::Processed, timed: bool) -> Result<Processed, Cause> {
        let input = |count| Input {
            columns: &[],
            start: 0,
            count,
        };
        let part = |slots, count| Part {
            input: input(count),
            slots,
            times: &[],
        };
        let parts = [part(&[7, 8], 2), part(&[9], 1)];
        let asked = Asked::Rows {
            parts: &parts,
            order: &[0, 1, 0],
        };
        processed(said, &about(timed), &asked)
    }

    fn reject(row: u32) -> wire::Reject {
        wire::Reject {
            row,
            reason: "no".into(),
        }
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut wire::Processed), what: &str) {
        let mut said = good();
        change(&mut said);
        let cause = answer(said, true).expect_err(what);
        assert_eq!(cause.kind, FaultKind::Malformed);
        assert!(cause.what.contains(what), "{}", cause.what);
    }

    #[test]
    fn a_good_answer_is_taken() {
        let taken = answer(good(), true).unwrap();
        assert_eq!((taken.count, taken.origins), (2, vec![0, 2]));
        assert!(taken.deleted.is_none() && taken.timers.cleared.is_none());
        let mut nothing = good();
        nothing.timers.slots.clear();
        nothing.timers.times.clear();
        assert!(answer(nothing, false).is_ok());
    }

    #[test]
    fn each_way_to_be_wrong_has_its_sentence() {
        refused(|said| said.origins = vec![2, 0], "origins that decrease");
        refused(
            |said| said.origins = vec![0, 3],
            "an origin that is no input row",
        );
        refused(|said| said.origins = vec![0], "1 origins for 2 rows");
        refused(|said| said.origins.clear(), "0 origins for 2 rows");
        refused(
            |said| said.deleted = vec![0, 0],
            "a bitmap `deleted` of 2 bytes",
        );
        refused(
            |said| said.rejects = vec![reject(3)],
            "rejected a row that it was not given",
        );
        refused(
            |said| said.rejects = vec![reject(1), reject(0)],
            "rejects out of order",
        );
        refused(
            |said| said.rejects = vec![reject(2)],
            "rejected a row and gave output for it",
        );
        refused(
            |said| said.rows.columns.truncate(1),
            "1 columns where 2 output fields",
        );
        refused(|said| said.rows.count = 3, "2 origins for 3 rows");
        refused(|said| said.timers.times.truncate(1), "1 times for 2 timers");
        refused(
            |said| said.timers.slots[0] = 6,
            "a slot that the call was not about",
        );
        refused(
            |said| said.rejects = vec![reject(1)],
            "of a row that it rejected",
        );
        refused(
            |said| said.timers.cleared = vec![0, 0],
            "a bitmap `cleared` of 2 bytes",
        );
    }

    #[test]
    fn an_untimed_plugin_sets_no_timer_and_a_timer_is_not_rejected() {
        let cause = answer(good(), false).unwrap_err();
        assert!(
            cause.what.contains("declare the plugin as timed"),
            "{cause:?}"
        );
        let mut said = good();
        said.rejects = vec![reject(1)];
        let cause = processed(said, &about(true), &Asked::Timers(&[7, 8, 9])).unwrap_err();
        assert!(
            cause.what.contains("only rows can be rejected"),
            "{cause:?}"
        );
    }

    #[test]
    fn a_row_that_goes_may_be_null_but_in_the_key_of_the_view() {
        let mut said = good();
        said.deleted = vec![0b10];
        said.rows.columns[1].valid = vec![0b01];
        let taken = answer(said.clone(), true).unwrap();
        assert!(taken.deleted.unwrap().value(1));
        said.rows.columns[0].valid = vec![0b01];
        let cause = answer(said, true).unwrap_err();
        assert!(cause.what.contains("gave null in `k`"), "{cause:?}");
    }
}
