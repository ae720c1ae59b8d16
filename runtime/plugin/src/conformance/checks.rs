//! The promises, one after another.

use super::fold::{self, Batch, Way};
use super::process;
use super::rows::{self, Dice, Sort};
use super::shown::{cut, difference};
use super::transform;
use super::{Check, Problem, Settings, Subject, Verdict, options_of};
use crate::about::PluginKind;
use crate::host::Plugin;
use crate::instance::{Entries, Input, States};

type Done = Result<Option<String>, Problem>;
/// Kept, and nothing more to say.
const KEPT: Done = Ok(None);
/// Memory that an instance may gain while it sees the same rows again and again.
const GAIN_BYTES_MAX: u64 = 16 << 20;

const SORTS: [(&str, Sort, &str); 4] = [
    (
        "ordinary rows",
        Sort::Ordinary,
        "the result is a function of rows and states: call sizes, saved states and new instances change nothing",
    ),
    ("nulls", Sort::Nulls, "the same with nulls"),
    (
        "unicode",
        Sort::Unicode,
        "the same with texts from all of Unicode, empty and long ones",
    ),
    (
        "extreme numbers",
        Sort::Extreme,
        "the same with numbers at the ends of their ranges, NaN and infinities",
    ),
];

/// All of them, for a plugin that loads.
pub(super) fn all(plugin: &Plugin, settings: &Settings) -> Vec<Check> {
    let options = match options_of(plugin.about(), &settings.options) {
        Ok(options) => options,
        Err(why) => return vec![check("options", "", Err(Problem(why)))],
    };
    let subject = Subject {
        plugin,
        options,
        settings,
    };
    let mut checks = vec![
        check(
            "options",
            "takes its own defaults",
            subject.start().map(|_| None),
        ),
        check(
            "unknown option",
            "an option that it does not have does it no harm",
            unknown_option(&subject),
        ),
    ];
    if checks[0].verdict == Verdict::Failed {
        return checks;
    }
    if plugin.about().kind == PluginKind::Process {
        checks.extend(process_checks(&subject));
        return checks;
    }
    let fold = plugin.about().kind == PluginKind::Fold;
    let empty = if fold {
        empty_fold(&subject)
    } else {
        empty_transform(&subject)
    };
    checks.push(check(
        "empty batch",
        "no rows in, no rows out, no harm",
        empty,
    ));
    for (name, sort, promise) in SORTS {
        checks.push(check(name, promise, sorted(&subject, sort)));
    }
    if fold {
        checks.push(check(
            "release",
            "a released slot is as if never seen",
            release(&subject),
        ));
        checks.push(check(
            "state bytes",
            "equal states are equal bytes, before and after a restore",
            round_trip(&subject),
        ));
    }
    checks.push(check(
        "memory",
        "seeing the same rows again takes no more memory",
        memory(&subject),
    ));
    checks
}

fn check(name: &'static str, promise: &str, done: Done) -> Check {
    let (verdict, text) = match done {
        Ok(None) => (Verdict::Passed, promise.to_owned()),
        Ok(Some(why)) => (Verdict::Skipped, why),
        Err(Problem(what)) => (Verdict::Failed, what),
    };
    Check {
        name,
        verdict,
        text,
    }
}

/// What is promised of a process plugin beside its options.
fn process_checks(subject: &Subject<'_>) -> Vec<Check> {
    let empty = || -> Done {
        let batch = process::Batch::new(subject, Sort::Ordinary, 0, &mut Dice::of(0));
        process::drive(subject, &batch, &Way::oracle())?;
        let mut instance = subject.start()?;
        instance.save(&[])?;
        instance.restore(&[], &States::default())?;
        instance.release(&[])?;
        KEPT
    };
    let mut checks = vec![check(
        "empty batch",
        "no rows in, no rows out, no harm",
        empty(),
    )];
    for (name, sort, promise) in SORTS {
        checks.push(check(name, promise, process_ways(subject, sort)));
    }
    checks.push(check(
        "memory",
        "seeing the same rows again takes no more memory",
        process_memory(subject),
    ));
    checks
}

/// Rows of one sort, in all ways.
fn process_ways(subject: &Subject<'_>, sort: Sort) -> Done {
    let mut fields = subject
        .about()
        .declared_inputs()
        .iter()
        .flat_map(|i| &i.fields);
    if sort == Sort::Nulls && fields.all(|field| !field.nullable) {
        return Ok(Some("no field of its inputs may be null".into()));
    }
    let mut dice = Dice::of(subject.settings.seed ^ sort as u64);
    let count = subject.settings.rows.max(2);
    let batch = process::Batch::new(subject, sort, count, &mut dice);
    let oracle = Way::oracle();
    let wanted = process::drive(subject, &batch, &oracle)?;
    let ways = [
        Way {
            name: "calls as large as can be",
            calls: vec![count],
            ..oracle.clone()
        },
        Way {
            name: "calls of random sizes",
            calls: sizes(&mut dice),
            ..oracle.clone()
        },
        Way {
            name: "states saved, released and restored between calls",
            calls: sizes(&mut dice),
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
            calls: sizes(&mut dice),
            slots: (97, 1000),
            ..oracle.clone()
        },
    ];
    for way in ways {
        let outcome = process::drive(subject, &batch, &way)
            .map_err(|Problem(what)| Problem(format!("with {}: {what}", way.name)))?;
        if let Some(what) = process::differs(subject, &wanted, &outcome) {
            return Err(Problem(format!(
                "with {}, against one row a call: {what}",
                way.name
            )));
        }
    }
    KEPT
}

/// Memory after some new instances' worth of the same rows. States are let go of between calls.
fn process_memory(subject: &Subject<'_>) -> Done {
    let count = subject.settings.rows.max(2);
    let batch = process::Batch::new(subject, Sort::Ordinary, count, &mut Dice::of(1));
    let way = |calls: usize| Way {
        calls: vec![calls],
        moves: true,
        ..Way::oracle()
    };
    let few = process::drive(subject, &batch, &way(count))?.memory_bytes;
    let many = process::drive(subject, &batch, &way(1))?.memory_bytes;
    match many.saturating_sub(few) <= GAIN_BYTES_MAX {
        true => KEPT,
        false => Err(Problem(format!(
            "memory grew from {} to {} MiB over many small calls with the same rows: something is never freed",
            few >> 20,
            many >> 20
        ))),
    }
}

/// The host never does this; a careless plugin would trap. Refusing it is as good as ignoring it.
fn unknown_option(subject: &Subject<'_>) -> Done {
    let mut options = subject.options.clone();
    options.push(("no-such-option".into(), "1".into()));
    match subject
        .plugin
        .instantiate(&options, subject.settings.limits)
    {
        Ok(_) => KEPT,
        Err(fault) if fault.kind == crate::FaultKind::Options => KEPT,
        Err(fault) => Err(fault.into()),
    }
}

fn empty_transform(subject: &Subject<'_>) -> Done {
    let columns = rows::columns(&subject.about().inputs, Sort::Ordinary, 0, &mut Dice::of(0));
    let said = subject.start()?.transform(Input {
        columns: &columns,
        start: 0,
        count: 0,
    })?;
    match said.count {
        0 => KEPT,
        count => Err(Problem(format!("gave {count} rows for none"))),
    }
}

fn empty_fold(subject: &Subject<'_>) -> Done {
    let columns = rows::columns(&subject.about().inputs, Sort::Ordinary, 0, &mut Dice::of(0));
    let mut instance = subject.start()?;
    let none = Input {
        columns: &columns,
        start: 0,
        count: 0,
    };
    let entries = Entries {
        rows: &[],
        slots: &[],
    };
    instance.update(none, entries)?;
    fold::view(&mut instance, &[])?;
    instance.save(&[])?;
    instance.restore(&[], &States::default())?;
    instance.release(&[])?;
    KEPT
}

/// Rows of one sort, in all ways.
fn sorted(subject: &Subject<'_>, sort: Sort) -> Done {
    let fields = &subject.about().inputs;
    if sort == Sort::Nulls && fields.iter().all(|field| !field.nullable) {
        return Ok(Some("no field of its input may be null".into()));
    }
    let mut dice = Dice::of(subject.settings.seed ^ sort as u64);
    let count = subject.settings.rows.max(2);
    let columns = rows::columns(fields, sort, count, &mut dice);
    match subject.about().kind {
        PluginKind::Transform => transform_ways(subject, &columns, count, &mut dice),
        _ => fold_ways(subject, &Batch::new(columns, count, &mut dice), &mut dice),
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

fn fold_ways(subject: &Subject<'_>, batch: &Batch, dice: &mut Dice) -> Done {
    let oracle = Way::oracle();
    let ways = [
        Way {
            name: "all rows in one call",
            calls: vec![batch.count],
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
            calls: vec![batch.count / 3 + 1],
            drops: true,
            ..oracle.clone()
        },
        Way {
            name: "the view asked for between calls",
            calls: vec![7],
            looks: true,
            ..oracle.clone()
        },
        Way {
            name: "other slot numbers",
            calls: sizes(dice),
            slots: (97, 1000),
            ..oracle.clone()
        },
    ];
    let wanted = fold::drive(subject, batch, &oracle)?;
    for way in ways {
        let outcome = fold::drive(subject, batch, &way)
            .map_err(|Problem(what)| Problem(format!("with {}: {what}", way.name)))?;
        same_fold(subject, &way, &wanted, &outcome)?;
    }
    KEPT
}

fn same_fold(
    subject: &Subject<'_>,
    way: &Way,
    one: &fold::Outcome,
    other: &fold::Outcome,
) -> Result<(), Problem> {
    let problem = |what: String| {
        Err(Problem(format!(
            "with {}, against one row a call: {what}",
            way.name
        )))
    };
    if one.rejects != other.rejects {
        return problem(rejects_differ(&one.rejects, &other.rejects));
    }
    for (a, b) in one.view.iter().zip(&other.view) {
        match (a, b) {
            (Some(a), Some(b)) if a != b => {
                return problem(difference(&subject.about().outputs, a, b));
            }
            (Some(_), None) | (None, Some(_)) => {
                return problem("a view's row is there in one and missing in the other".into());
            }
            _ => {}
        }
    }
    match one.states == other.states {
        true => Ok(()),
        false => problem(
            "the view is the same, the saved bytes are not (the order of a hash map? padding?)"
                .into(),
        ),
    }
}

fn rejects_differ(one: &[(u32, String)], other: &[(u32, String)]) -> String {
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

fn transform_ways(
    subject: &Subject<'_>,
    columns: &[arrow_array::ArrayRef],
    count: usize,
    dice: &mut Dice,
) -> Done {
    let wanted = transform::drive(subject, columns, count, &[1], false)?;
    for (name, calls, drops) in [
        ("all rows in one call", vec![count], false),
        ("calls of random sizes", sizes(dice), false),
        ("a new instance for each call", vec![count / 3 + 1], true),
    ] {
        let outcome = transform::drive(subject, columns, count, &calls, drops)
            .map_err(|Problem(what)| Problem(format!("with {name}: {what}")))?;
        let problem = |what: String| {
            Err(Problem(format!(
                "with {name}, against one row a call: {what}"
            )))
        };
        if wanted.rejects != outcome.rejects {
            return problem(rejects_differ(&wanted.rejects, &outcome.rejects));
        }
        if wanted.rows.len() != outcome.rows.len() {
            return problem(format!(
                "it gives {} rows and {}",
                wanted.rows.len(),
                outcome.rows.len()
            ));
        }
        if let Some((a, b)) = wanted.rows.iter().zip(&outcome.rows).find(|(a, b)| a != b) {
            let what = match a.0 == b.0 {
                true => difference(&subject.about().outputs, &a.1, &b.1),
                false => format!("a row comes from row {} and from row {}", a.0, b.0),
            };
            return problem(what);
        }
    }
    KEPT
}

/// Rows of ordinary and extreme values in one batch.
fn some_rows(subject: &Subject<'_>) -> Batch {
    let mut dice = Dice::of(subject.settings.seed);
    let count = subject.settings.rows.max(2);
    let columns = rows::columns(&subject.about().inputs, Sort::Ordinary, count, &mut dice);
    Batch::new(columns, count, &mut dice)
}

fn release(subject: &Subject<'_>) -> Done {
    let batch = some_rows(subject);
    let mut instance = subject.start()?;
    let slots: Vec<u32> = (0..batch.count as u32).map(|row| row % 5).collect();
    let input = Input {
        columns: &batch.columns,
        start: 0,
        count: batch.count,
    };
    instance.update(
        input,
        Entries {
            rows: &[],
            slots: &slots,
        },
    )?;
    instance.release(&[0, 1, 2, 3, 4])?;
    let mut fresh = subject.start()?;
    let used = fold::saved(&mut instance, &[0, 1, 2, 3, 4])?;
    let never = fold::saved(&mut fresh, &[0, 1, 2, 3, 4])?;
    match used == never {
        true => KEPT,
        false => Err(Problem(
            "a released slot does not save as the initial state".into(),
        )),
    }
}

fn round_trip(subject: &Subject<'_>) -> Done {
    let outcome = fold::drive(
        subject,
        &some_rows(subject),
        &Way {
            calls: vec![50],
            ..Way::oracle()
        },
    )?;
    let mut states = States::default();
    outcome.states.iter().for_each(|state| states.push(state));
    let slots: Vec<u32> = (0..outcome.states.len() as u32).rev().collect();
    let mut instance = subject.start()?;
    instance.restore(&slots, &states)?;
    for _ in 0..2 {
        if fold::saved(&mut instance, &slots)? != outcome.states {
            return Err(Problem("a restored state saves as other bytes".into()));
        }
    }
    let view = fold::view(&mut instance, &slots)?;
    match view == outcome.view {
        true => KEPT,
        false => Err(Problem("a restored state shows another row".into())),
    }
}

/// Memory after some rounds, and after four times as many.
fn memory(subject: &Subject<'_>) -> Done {
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
