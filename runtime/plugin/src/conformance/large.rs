//! Calls as large as a host makes them, over as many slots as a task may well have.

use super::checks::{Done, KEPT};
use super::fold::{self, CALL_ROWS, Way};
use super::process;
use super::rows::{self, Dice, Sort};
use super::{Problem, Subject, transform, ways};

/// Slots of a large task.
const SLOTS: u32 = 10_000;
/// Rows that go to them: all are met.
const ROWS: usize = 3 * CALL_ROWS;
/// Rows of the calls that full ones are compared with.
const FEW: usize = 512;

fn dice(subject: &Subject<'_>) -> Dice {
    Dice::of(subject.settings.seed ^ 0x4096)
}

fn same(what: Option<String>) -> Done {
    match what {
        None => KEPT,
        Some(what) => Err(Problem(format!(
            "with calls of {CALL_ROWS} rows, against calls of {FEW}: {what}"
        ))),
    }
}

fn ways() -> [Way; 2] {
    let few = Way {
        calls: vec![FEW],
        ..Way::oracle()
    };
    let full = Way {
        calls: vec![CALL_ROWS],
        drops: true,
        ..Way::oracle()
    };
    [few, full]
}

pub(super) fn fold(subject: &Subject<'_>) -> Done {
    let batch = fold::Batch::spread(subject, ROWS, SLOTS, &mut dice(subject));
    let [few, full] = ways();
    let few = fold::drive(subject, &batch, &few)?;
    let full = fold::drive(subject, &batch, &full)?;
    same(ways::differ(subject, &few, &full))
}

pub(super) fn process(subject: &Subject<'_>) -> Done {
    let batch = process::Batch::spread(subject, ROWS, SLOTS, &mut dice(subject));
    let [few, full] = ways();
    let few = process::drive(subject, &batch, &few)?;
    let full = process::drive(subject, &batch, &full)?;
    same(process::differs(subject, &few, &full))
}

pub(super) fn transform(subject: &Subject<'_>) -> Done {
    let fields = &subject.about().inputs;
    let columns = rows::columns(fields, Sort::Ordinary, ROWS, &mut dice(subject));
    let few = transform::drive(subject, &columns, ROWS, &[FEW], false)?;
    let full = transform::drive(subject, &columns, ROWS, &[CALL_ROWS], true)?;
    same(transform::differs(subject, &few, &full))
}
