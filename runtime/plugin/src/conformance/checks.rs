//! The promises, one after another.

use super::rows::{self, Dice, Sort};
use super::{Check, Problem, Settings, Subject, TOO_LONG, Verdict, options_of};
use super::{fold, joined, large, older, process, slots, ways};
use crate::about::PluginKind;
use crate::host::{Host, Plugin};
use crate::instance::{Entries, Input, States};

/// What came of one promise: nothing more to say, or why it is not asked for.
pub(super) type Done = Result<Option<String>, Problem>;
/// Kept, and nothing more to say.
pub(super) const KEPT: Done = Ok(None);

/// Sorts of rows, each a promise of its own.
pub(super) const SORTS: [(&str, Sort, &str); 5] = [
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
    (
        "large values",
        Sort::Large,
        "the same with texts and bytes of 256 KiB",
    ),
];

/// A promise, and how it is looked into.
type Promise = (&'static str, &'static str, fn(&Subject<'_>) -> Done);

const RELEASE: &str = "a released slot is as if never seen";
const STATE_BYTES: &str = "equal states are equal bytes, before and after a restore";
const REJECTED: &str = "a rejected row leaves its slots as they were";
const FULL: &str = "the same with calls of 4,096 rows";
const FULL_SLOTS: &str = "the same with calls of 4,096 rows, and 10,000 slots";
const MEMORY: &str = "seeing the same rows again takes no more memory";
const MIGRATE: &str = "takes over states of an older version, as many, the same each time, and refuses a version that it \
                       does not know";

/// Of a plugin without state.
const TRANSFORM: &[Promise] = &[
    ("full calls", FULL, large::transform),
    ("memory", MEMORY, slots::memory),
];

/// Of keyed state.
const FOLD: &[Promise] = &[
    ("rejected rows", REJECTED, slots::rejected),
    ("release", RELEASE, slots::release),
    ("state bytes", STATE_BYTES, slots::round_trip),
    ("full calls", FULL_SLOTS, large::fold),
    ("memory", MEMORY, slots::memory),
    (
        "keys",
        "`evaluate` was shown keys of the types that were said",
        keys,
    ),
    (
        "merge",
        "joined pair by pair or at once, with states saved and restored in between: the same states and rows",
        joined::merge,
    ),
    ("migrate", MIGRATE, older::migrate),
];

/// Of several inputs and timers.
const PROCESS: &[Promise] = &[
    ("rejected rows", REJECTED, process::rejected),
    ("release", RELEASE, process::release),
    ("state bytes", STATE_BYTES, process::round_trip),
    ("full calls", FULL_SLOTS, large::process),
    ("memory", MEMORY, process::memory),
    ("migrate", MIGRATE, older::migrate),
];

/// All of them, for a plugin that loads.
pub(super) fn all(host: &Host, plugin: &Plugin, settings: &Settings) -> Vec<Check> {
    let options = match options_of(plugin.about(), &settings.options) {
        Ok(options) => options,
        Err(why) => return vec![check("options", "", Err(Problem(why)))],
    };
    let subject = Subject {
        plugin,
        options,
        settings,
        host,
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
    let (empty, promises): (fn(&Subject<'_>) -> Done, _) = match plugin.about().kind {
        PluginKind::Transform => (empty_transform, TRANSFORM),
        PluginKind::Fold => (empty_fold, FOLD),
        PluginKind::Process => (empty_process, PROCESS),
    };
    checks.push(check(
        "empty batch",
        "no rows in, no rows out, no harm",
        empty(&subject),
    ));
    for (name, sort, promise) in SORTS {
        checks.push(asked(&checks, name, promise, || ways::all(&subject, sort)));
    }
    for (name, promise, look) in promises {
        checks.push(asked(&checks, name, promise, || look(&subject)));
    }
    checks
}

/// Asks for a promise, unless a call took too long before: the next would as well.
fn asked(
    before: &[Check],
    name: &'static str,
    promise: &str,
    look: impl FnOnce() -> Done,
) -> Check {
    let endless = |check: &Check| check.verdict == Verdict::Failed && check.text.contains(TOO_LONG);
    match before.iter().find(|before| endless(before)) {
        None => check(name, promise, look()),
        Some(other) => check(
            name,
            promise,
            Ok(Some(format!("not asked: see `{}`", other.name))),
        ),
    }
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

/// Every other promise about rows asks for them too; this one says when that could not be.
fn keys(subject: &Subject<'_>) -> Done {
    match (subject.about().wants_keys, subject.lacks_keys()) {
        (false, _) => Ok(Some("it wants no keys".into())),
        (true, false) => KEPT,
        (true, true) => Ok(Some(
            "it wants keys, and what it shows was not looked at: say which with --key, the key fields of its node and \
             then the window's, as in --key content_id:i64 --key window_start:timestamp"
                .into(),
        )),
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
    let batch = fold::Batch::new(subject, Sort::Ordinary, 0, &mut Dice::of(0));
    let mut instance = subject.start()?;
    let none = Input {
        columns: &batch.columns,
        start: 0,
        count: 0,
    };
    let entries = Entries {
        rows: &[],
        slots: &[],
    };
    instance.update(none, entries)?;
    if !subject.lacks_keys() {
        let keys = subject.keys(Sort::Ordinary, 0, &mut Dice::of(0));
        let none = Input {
            columns: &keys,
            ..none
        };
        instance.evaluate(&[], none)?;
    }
    instance.save(&[])?;
    instance.restore(&[], &States::default())?;
    instance.release(&[])?;
    KEPT
}

fn empty_process(subject: &Subject<'_>) -> Done {
    let batch = process::Batch::new(subject, Sort::Ordinary, 0, &mut Dice::of(0));
    process::drive(subject, &batch, &fold::Way::oracle())?;
    let mut instance = subject.start()?;
    instance.save(&[])?;
    instance.restore(&[], &States::default())?;
    instance.release(&[])?;
    KEPT
}
