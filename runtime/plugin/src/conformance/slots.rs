//! Promises about single slots of a fold: what a release, a restore and a refused row leave, and what memory it takes.

use super::checks::{Done, KEPT, SORTS};
use super::fold::{self, Batch, Way};
use super::rows::{Dice, Sort};
use super::shown::cut;
use super::{Problem, Subject, ways};
use crate::about::PluginKind;
use crate::instance::{Entries, Input};

/// Memory that an instance may gain while it sees the same rows again and again.
pub(super) const GAIN_BYTES_MAX: u64 = 16 << 20;

fn some_rows(subject: &Subject<'_>) -> Batch {
    let mut dice = Dice::of(subject.settings.seed);
    Batch::new(subject, Sort::Ordinary, subject.rows(), &mut dice)
}

/// The states of a refused row's slots, before it and after it.
pub(super) fn rejected(subject: &Subject<'_>) -> Done {
    let mut met = false;
    for (_, sort, _) in SORTS {
        let mut dice = Dice::of(subject.settings.seed ^ sort as u64);
        let count = ways::count(subject, sort);
        let batch = Batch::new(subject, sort, count, &mut dice);
        let mut instance = subject.start()?;
        for row in 0..batch.count {
            let slots = batch.slots_of(row);
            let before = fold::saved(&mut instance, slots)?;
            let rejects = fold::take(&mut instance, &batch, &Way::oracle(), row, 1)?;
            let Some((_, reason)) = rejects.first() else {
                continue;
            };
            met = true;
            if fold::saved(&mut instance, slots)? != before {
                return Err(changed(reason));
            }
        }
    }
    if_met(met)
}

pub(super) fn changed(reason: &str) -> Problem {
    Problem(format!(
        "a row that it refused ({}) changed the state of a slot: decide about a row before anything is changed",
        cut(reason)
    ))
}

pub(super) fn if_met(met: bool) -> Done {
    match met {
        true => KEPT,
        false => Ok(Some("it refused none of the rows".into())),
    }
}

pub(super) fn release(subject: &Subject<'_>) -> Done {
    let batch = some_rows(subject);
    let way = Way {
        calls: vec![batch.count],
        ..Way::oracle()
    };
    let all = way.all(&batch);
    let (mut instance, _) = fold::taken(subject, &batch, &way)?;
    instance.release(&all)?;
    let used = fold::saved(&mut instance, &all)?;
    let never = fold::saved(&mut subject.start()?, &all)?;
    initial(used == never)
}

pub(super) fn initial(so: bool) -> Done {
    match so {
        true => KEPT,
        false => Err(Problem(
            "a released slot does not save as the initial state".into(),
        )),
    }
}

pub(super) fn round_trip(subject: &Subject<'_>) -> Done {
    let batch = some_rows(subject);
    let way = Way {
        calls: vec![50],
        ..Way::oracle()
    };
    let outcome = fold::drive(subject, &batch, &way)?;
    let slots: Vec<u32> = way.all(&batch).into_iter().rev().collect();
    let mut instance = subject.start()?;
    fold::put(&mut instance, &slots, &outcome.states)?;
    for _ in 0..2 {
        if fold::saved(&mut instance, &slots)? != outcome.states {
            return Err(Problem("a restored state saves as other bytes".into()));
        }
    }
    let view = fold::view(&mut instance, &batch, &slots)?;
    match view == outcome.view {
        true => KEPT,
        false => Err(Problem("a restored state shows another row".into())),
    }
}

/// Memory of a fold or a transform after some rounds, and after four times as many.
pub(super) fn memory(subject: &Subject<'_>) -> Done {
    let batch = some_rows(subject);
    let mut instance = subject.start()?;
    let input = Input {
        columns: &batch.columns,
        start: 0,
        count: batch.count,
    };
    let fold = subject.about().kind == PluginKind::Fold;
    let slots: Vec<u32> = (0..batch.count as u32).map(|row| row % 5).collect();
    let mut round = |rounds: usize| -> Result<u64, Problem> {
        for _ in 0..rounds {
            if fold {
                instance.update(
                    input,
                    Entries {
                        rows: &[],
                        slots: &slots,
                    },
                )?;
                instance.save(&[0, 1, 2, 3, 4])?;
                instance.release(&[0, 1, 2, 3, 4])?;
            } else {
                instance.transform(input)?;
            }
        }
        Ok(instance.memory_bytes())
    };
    let (before, after) = (round(50)?, round(200)?);
    match after.saturating_sub(before) <= GAIN_BYTES_MAX {
        true => KEPT,
        false => Err(Problem(format!(
            "memory grew from {} to {} MiB over 200 calls with the same rows: something is never freed",
            before >> 20,
            after >> 20
        ))),
    }
}
