//! `migrate`: states of an older version taken over. The older version makes them, where the author says which component it
//! is; without it, only what holds of any states can be asked for.

use super::checks::{Done, KEPT};
use super::fold::{self, Way};
use super::rows::{Dice, Sort};
use super::{Older, Problem, Subject, options_of, process};
use crate::about::PluginKind;
use crate::fault::FaultKind;
use crate::grant::Grants;
use crate::instance::{Instance, States};

/// A version that no plugin has had.
const UNKNOWN: u32 = u32::MAX;

pub(super) fn migrate(subject: &Subject<'_>) -> Done {
    if !subject.about().migrates {
        return Ok(Some("it does not export it".into()));
    }
    let own = states(subject)?;
    unknown(subject, &own)?;
    let Some(older) = &subject.settings.older else {
        return Ok(Some(
            "a version that it does not know is refused; say --older FILE.wasm to have states of an older version taken \
             over"
                .into(),
        ));
    };
    from(subject, older)
}

/// The states of some rows, by slot.
fn states(subject: &Subject<'_>) -> Result<Vec<Vec<u8>>, Problem> {
    if subject.about().kind == PluginKind::Process {
        return process::states(subject);
    }
    let mut dice = Dice::of(subject.settings.seed);
    let count = subject.rows();
    let batch = fold::Batch::new(subject, Sort::Ordinary, count, &mut dice);
    let way = Way {
        calls: vec![count],
        ..Way::oracle()
    };
    let (mut instance, _) = fold::taken(subject, &batch, &way)?;
    fold::saved(&mut instance, &way.all(&batch))
}

fn put(subject: &Subject<'_>, slots: &[u32], states: &[Vec<u8>]) -> Result<Instance, Problem> {
    let mut instance = subject.start()?;
    match subject.about().kind {
        PluginKind::Process => process::restore(&mut instance, slots, states)?,
        _ => fold::put(&mut instance, slots, states)?,
    }
    Ok(instance)
}

/// Of a process that keeps nothing the host asks for nothing.
fn unknown(subject: &Subject<'_>, states: &[Vec<u8>]) -> Result<(), Problem> {
    if states.iter().all(Vec::is_empty) {
        return Ok(());
    }
    match subject.start()?.migrate(UNKNOWN, &States::of(states)) {
        Err(fault) if fault.kind == FaultKind::Fatal => Ok(()),
        Err(fault) => Err(Problem(format!(
            "states of version {UNKNOWN}, which it cannot know, make it fail otherwise than by `fatal`: {}",
            fault.what
        ))),
        Ok(_) => Err(Problem(format!(
            "takes states of version {UNKNOWN}, which it cannot know: refuse it with `fatal`"
        ))),
    }
}

/// States of that component: all at once, one by one, and in any instance the same.
fn from(subject: &Subject<'_>, older: &Older) -> Done {
    let told = |why: String| Problem(format!("{}: {why}", older.name));
    let plugin = subject
        .host
        .load_granting(&older.name, &older.bytes, &Grants::all())
        .map_err(|error| Problem(error.to_string()))?;
    let (was, is) = (plugin.about().kind, subject.about().kind);
    if was != is {
        return Err(told(format!("is a {}, not a {}", was.name(), is.name())));
    }
    let version = plugin.about().state_version;
    if version >= subject.about().state_version {
        return Err(told(format!(
            "its states are of version {version}, not older than {}",
            subject.about().state_version
        )));
    }
    let before = Subject {
        plugin: &plugin,
        options: options_of(plugin.about(), &[]).map_err(told)?,
        ..*subject
    };
    let old = states(&before)?;
    let taken = |states: &[Vec<u8>]| -> Result<Vec<Vec<u8>>, Problem> {
        let said = subject.start()?.migrate(version, &States::of(states))?;
        Ok((0..states.len()).map(|i| said.get(i).to_vec()).collect())
    };
    let new = taken(&old)?;
    let alone = old.iter().map(|state| taken(std::slice::from_ref(state)));
    let alone: Vec<Vec<Vec<u8>>> = alone.collect::<Result<_, _>>()?;
    if alone.concat() != new || taken(&old)? != new {
        return Err(Problem(
            "states taken over one by one, or once more, are other bytes than all at once".into(),
        ));
    }
    taken(&[])?;
    let slots: Vec<u32> = (0..new.len() as u32).collect();
    let mut instance = put(subject, &slots, &new)?;
    match fold::saved(&mut instance, &slots)? == new {
        true => KEPT,
        false => Err(Problem(
            "a state taken over, restored and saved again is other bytes: `migrate` is to write what `save` writes".into(),
        )),
    }
}
