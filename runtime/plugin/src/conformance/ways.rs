//! Rows of one sort in all the ways in which a host may drive a plugin, each compared with one row a call.

use refrain_log::schema::Kind;

use super::checks::{Done, KEPT};
use super::fold::{self, Way};
use super::rows::{self, Dice, Sort};
use super::shown::{cut, difference};
use super::{Problem, Subject, process, transform};
use crate::about::PluginKind;

/// Rows of large values: they are heavy.
const LARGE_ROWS: usize = 12;

/// Rows of one sort, in all ways.
pub(super) fn all(subject: &Subject<'_>, sort: Sort) -> Done {
    if let Some(why) = missing(subject, sort) {
        return Ok(Some(why.into()));
    }
    let mut dice = Dice::of(subject.settings.seed ^ sort as u64);
    let count = count(subject, sort);
    match subject.about().kind {
        PluginKind::Transform => transforms(subject, sort, count, &mut dice),
        PluginKind::Fold => folds(subject, sort, count, &mut dice),
        PluginKind::Process => processes(subject, sort, count, &mut dice),
    }
}

/// How many rows of a sort are made.
pub(super) fn count(subject: &Subject<'_>, sort: Sort) -> usize {
    match sort {
        Sort::Large => LARGE_ROWS,
        _ => subject.rows(),
    }
}

/// Why no rows of this sort can be made.
pub(super) fn missing(subject: &Subject<'_>, sort: Sort) -> Option<&'static str> {
    let about = subject.about();
    let declared = about.declared_inputs().iter().flat_map(|i| &i.fields);
    let mut fields = about.inputs.iter().chain(declared);
    match sort {
        Sort::Nulls if fields.all(|field| !field.nullable) => {
            Some("no field of its input may be null")
        }
        Sort::Large if fields.all(|f| !matches!(f.kind, Kind::Text | Kind::Bytes)) => {
            Some("no field of its input is text or bytes")
        }
        _ => None,
    }
}

/// Sizes of calls, some of one row, some of many.
fn sizes(dice: &mut Dice) -> Vec<usize> {
    let one = |_| {
        let most = 1 << dice.below(7);
        1 + dice.below(most)
    };
    (0..16).map(one).collect()
}

/// Ways for every kind that has states.
fn with_states(count: usize, dice: &mut Dice) -> Vec<Way> {
    let oracle = Way::oracle();
    vec![
        Way {
            name: "calls as large as can be",
            calls: vec![count],
            ..oracle.clone()
        },
        Way {
            name: "calls of random sizes",
            calls: sizes(dice),
            ..oracle.clone()
        },
        Way {
            name: "states saved, released and restored between calls",
            calls: sizes(dice),
            moves: true,
            ..oracle.clone()
        },
        Way {
            name: "a new instance for each call, with the saved states",
            calls: vec![count / 3 + 1],
            drops: true,
            ..oracle.clone()
        },
        Way {
            name: "other slot numbers",
            calls: sizes(dice),
            slots: (97, 1000),
            ..oracle
        },
    ]
}

/// What one way came to, against one row a call.
fn against(name: &str, what: Option<String>) -> Result<(), Problem> {
    match what {
        None => Ok(()),
        Some(what) => Err(Problem(format!(
            "with {name}, against one row a call: {what}"
        ))),
    }
}

fn within<T>(name: &str, result: Result<T, Problem>) -> Result<T, Problem> {
    result.map_err(|Problem(what)| Problem(format!("with {name}: {what}")))
}

fn folds(subject: &Subject<'_>, sort: Sort, count: usize, dice: &mut Dice) -> Done {
    let batch = fold::Batch::new(subject, sort, count, dice);
    let mut ways = with_states(count, dice);
    ways.push(Way {
        name: "the view asked for between calls",
        calls: vec![7],
        looks: true,
        ..Way::oracle()
    });
    let wanted = fold::drive(subject, &batch, &Way::oracle())?;
    for way in ways {
        let outcome = within(way.name, fold::drive(subject, &batch, &way))?;
        against(way.name, differ(subject, &wanted, &outcome))?;
    }
    KEPT
}

/// What differs between two outcomes of one fold.
pub(super) fn differ(
    subject: &Subject<'_>,
    one: &fold::Outcome,
    other: &fold::Outcome,
) -> Option<String> {
    if one.rejects != other.rejects {
        return Some(rejects_differ(&one.rejects, &other.rejects));
    }
    for (a, b) in one.view.iter().zip(&other.view) {
        match (a, b) {
            (Some(a), Some(b)) if a != b => {
                return Some(difference(&subject.about().outputs, a, b));
            }
            (Some(_), None) | (None, Some(_)) => {
                return Some("a view's row is there in one and missing in the other".into());
            }
            _ => {}
        }
    }
    (one.states != other.states).then(|| {
        "the view is the same, the saved bytes are not (the order of a hash map? padding?)".into()
    })
}

pub(super) fn rejects_differ(one: &[(u32, String)], other: &[(u32, String)]) -> String {
    let pairs = one.iter().zip(other).find(|(a, b)| a != b);
    match pairs {
        Some((a, b)) => format!(
            "it refuses row {} ({}) and row {} ({})",
            a.0,
            cut(&a.1),
            b.0,
            cut(&b.1)
        ),
        None => format!("it refuses {} rows and {}", one.len(), other.len()),
    }
}

fn processes(subject: &Subject<'_>, sort: Sort, count: usize, dice: &mut Dice) -> Done {
    let batch = process::Batch::new(subject, sort, count, dice);
    let wanted = process::drive(subject, &batch, &Way::oracle())?;
    for way in with_states(count, dice) {
        let outcome = within(way.name, process::drive(subject, &batch, &way))?;
        against(way.name, process::differs(subject, &wanted, &outcome))?;
    }
    KEPT
}

fn transforms(subject: &Subject<'_>, sort: Sort, count: usize, dice: &mut Dice) -> Done {
    let columns = rows::columns(&subject.about().inputs, sort, count, dice);
    let wanted = transform::drive(subject, &columns, count, &[1], false)?;
    for (name, calls, drops) in [
        ("calls as large as can be", vec![count], false),
        ("calls of random sizes", sizes(dice), false),
        ("a new instance for each call", vec![count / 3 + 1], true),
    ] {
        let outcome = transform::drive(subject, &columns, count, &calls, drops);
        let outcome = within(name, outcome)?;
        against(name, transform::differs(subject, &wanted, &outcome))?;
    }
    KEPT
}
