//! `merge`: states joined pair by pair, at once, and with all that a host may do in between. What the states of two sessions
//! come to must not hang on it.

use super::checks::{Done, KEPT, SORTS};
use super::fold::{self, Batch, Outcome, Way};
use super::rows::{Dice, Sort};
use super::{Problem, Subject, ways};
use crate::instance::Instance;

/// The later sessions that join an earlier one, in this order; an earlier one several times.
const INTO: [u32; 6] = [0, 0, 3, 5, 3, 0];
const OTHER: [u32; 6] = [1, 2, 4, 6, 7, 8];

/// How the pairs are handed over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Apart,
    Together,
    Moved,
    Renewed,
}

const MANNERS: [(Manner, &str); 3] = [
    (Manner::Together, "all pairs in one call"),
    (
        Manner::Moved,
        "states saved, released and restored between pairs",
    ),
    (Manner::Renewed, "a new instance for each pair"),
];

pub(super) fn merge(subject: &Subject<'_>) -> Done {
    if !subject.about().merges {
        return Ok(Some("it does not export it".into()));
    }
    for (name, sort, _) in SORTS {
        if ways::missing(subject, sort).is_some() {
            continue;
        }
        let of_sort = |Problem(what)| Problem(format!("{name}: {what}"));
        of_rows(subject, sort).map_err(of_sort)?;
    }
    KEPT
}

fn of_rows(subject: &Subject<'_>, sort: Sort) -> Result<(), Problem> {
    let mut dice = Dice::of(subject.settings.seed ^ sort as u64);
    let count = ways::count(subject, sort);
    let batch = Batch::new(subject, sort, count, &mut dice);
    let one = way((1, 0), count);
    let before = fold::drive(subject, &batch, &one)?.states;
    let wanted = joined(subject, &batch, &one, Manner::Apart)?;
    for (slot, state) in before.iter().enumerate() {
        let named = INTO.iter().chain(&OTHER).any(|of| *of as usize == slot);
        if !named && wanted.states[slot] != *state {
            return Err(Problem(
                "joining two slots changed the state of a third".into(),
            ));
        }
    }
    let never = fold::saved(&mut subject.start()?, &OTHER)?;
    let released = OTHER.iter().map(|slot| &wanted.states[*slot as usize]);
    if !released.eq(&never) {
        return Err(Problem(
            "a slot that was joined into another and released does not save as the initial state"
                .into(),
        ));
    }
    for (manner, told) in MANNERS {
        for slots in [(1, 0), (97, 1000)] {
            let outcome = joined(subject, &batch, &way(slots, count), manner)?;
            if let Some(what) = ways::differ(subject, &wanted, &outcome) {
                return Err(Problem(format!(
                    "with {told}, against one pair a call: {what}"
                )));
            }
        }
    }
    Ok(())
}

fn way(slots: (u32, u32), count: usize) -> Way {
    Way {
        calls: vec![count],
        slots,
        ..Way::oracle()
    }
}

/// All rows taken, all pairs joined in this manner, the later ones released.
fn joined(
    subject: &Subject<'_>,
    batch: &Batch,
    way: &Way,
    manner: Manner,
) -> Result<Outcome, Problem> {
    let (mut instance, rejects) = fold::taken(subject, batch, way)?;
    let all = way.all(batch);
    let slot = |group: &u32| all[*group as usize];
    let (into, other): (Vec<u32>, Vec<u32>) = (
        INTO.iter().map(slot).collect(),
        OTHER.iter().map(slot).collect(),
    );
    let pairs_a_call = match manner {
        Manner::Together => into.len(),
        _ => 1,
    };
    let calls = into.chunks(pairs_a_call).zip(other.chunks(pairs_a_call));
    for (into, other) in calls {
        instance.merge(into, other)?;
        instance.release(other)?;
        moved(subject, &mut instance, &all, manner)?;
    }
    let states = fold::saved(&mut instance, &all)?;
    Ok(Outcome {
        view: fold::view(&mut instance, batch, &all)?,
        states,
        rejects,
        memory_bytes: instance.memory_bytes(),
    })
}

fn moved(
    subject: &Subject<'_>,
    instance: &mut Instance,
    all: &[u32],
    manner: Manner,
) -> Result<(), Problem> {
    if matches!(manner, Manner::Apart | Manner::Together) {
        return Ok(());
    }
    let states = fold::saved(instance, all)?;
    match manner {
        Manner::Renewed => *instance = subject.start()?,
        _ => instance.release(all)?,
    }
    fold::put(instance, all, &states)
}
