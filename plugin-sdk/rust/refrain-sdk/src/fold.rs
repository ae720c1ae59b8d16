//! Keyed state: what an author writes, and the slots that the host sees.

use crate::bindings::{self, Rows, Spans};
use crate::cell::bitmap;
use crate::codec;
use crate::plugin::{Plugin, Reject};
use crate::row::{Row, Writer};
use crate::states::{State, States};

/// A plugin that keeps a state for each key and window.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a fold",
    label = "needs `impl Fold for {Self}`",
    note = "a plugin without state is exported with export_transform!"
)]
pub trait Fold: Plugin {
    /// The input fields wanted. No other column is read from disk.
    type Input<'a>: Row<'a>;
    /// What is kept for each key and window.
    type State: State;
    /// The fields of the view, beside the key and the window.
    type Output: Row<'static>;

    /// Whether the row is taken. Asked for each row, before [`update`](Fold::update); a row that is refused touches
    /// nothing, because nothing can be touched here. Takes all when left out.
    #[inline(always)]
    fn check(&self, _state: &Self::State, _row: &Self::Input<'_>) -> Result<(), Reject> {
        Ok(())
    }

    /// Takes a row into the state of its key and window.
    fn update(&self, state: &mut Self::State, row: Self::Input<'_>);

    /// What the view shows for this state; `None`: nothing, and a row shown before goes away.
    fn evaluate(&self, state: &Self::State) -> Option<Self::Output>;
}

/// A fold whose states can be joined: what a session window needs, where one row can make one session of two. It is
/// exported with `export_fold!(MyPlugin, merge);`.
///
/// ```
/// # use refrain_sdk::prelude::*;
/// # #[derive(Row)] struct Event { watch_ms: i64 }
/// # #[state] #[derive(Default)] struct Visit { events: i64, watch_ms: i64 }
/// # #[derive(Row)] struct Shown { events: i64, watch_ms: i64 }
/// # /// Visits.
/// # #[derive(Plugin)] struct Sessions;
/// # impl Fold for Sessions {
/// #     type Input<'a> = Event; type State = Visit; type Output = Shown;
/// #     fn update(&self, visit: &mut Visit, event: Event) { visit.events += 1; visit.watch_ms += event.watch_ms; }
/// #     fn evaluate(&self, visit: &Visit) -> Option<Shown> {
/// #         Some(Shown { events: visit.events, watch_ms: visit.watch_ms })
/// #     }
/// # }
/// impl Merge for Sessions {
///     fn merge(&self, earlier: &mut Visit, later: Visit) {
///         earlier.events += later.events;
///         earlier.watch_ms += later.watch_ms;
///     }
/// }
///
/// export_fold!(Sessions, merge);
/// # fn main() {}
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot join two states",
    label = "needs `impl Merge for {Self}`",
    note = "a fold without it is exported with export_fold!(Name); it cannot have session windows"
)]
pub trait Merge: Fold {
    /// Joins the state of a later session into that of an earlier one. What comes out should be what the rows of both
    /// would have made of one session.
    fn merge(&self, earlier: &mut Self::State, later: Self::State);
}

/// A fold whose rows say something of their key or window. It is exported with `export_fold!(MyPlugin, keys);`, or with
/// `export_fold!(MyPlugin, merge, keys);`.
///
/// ```
/// # use refrain_sdk::prelude::*;
/// # #[derive(Row)] struct Event {}
/// # #[derive(Row, Debug, PartialEq)] struct Titled { events: i64, title: String }
/// # /// Events with a title.
/// # #[derive(Plugin)] struct Titles;
/// # impl Fold for Titles {
/// #     type Input<'a> = Event; type State = i64; type Output = Titled;
/// #     fn update(&self, events: &mut i64, _: Event) { *events += 1; }
/// #     fn evaluate(&self, events: &i64) -> Option<Titled> { Some(Titled { events: *events, title: String::new() }) }
/// # }
/// #[derive(Row)]
/// struct Key<'a> { name: &'a str, window_start: Timestamp }
///
/// impl Keyed for Titles {
///     type Key<'a> = Key<'a>;
///
///     fn with_key(&self, key: Key<'_>, row: Titled) -> Option<Titled> {
///         Some(Titled { title: format!("{} at {}", key.name, key.window_start.0), ..row })
///     }
/// }
///
/// export_fold!(Titles, keys);
/// # fn main() {
/// # let key = Key { name: "x", window_start: Timestamp(60) };
/// # let shown = TestFold::new(Titles).row(Event {}).output_of(key);
/// # assert_eq!(shown, Some(Titled { events: 1, title: "x at 60".to_string() }));
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what its key is",
    label = "needs `impl Keyed for {Self}`",
    note = "a fold that does not look at its key is exported with export_fold!(Name);"
)]
pub trait Keyed: Fold {
    /// The key fields of the node, then the start of the window (of a count window its number), in this order and of these
    /// types. Their names do not matter. A node whose key is another one stops.
    type Key<'a>: Row<'a>;

    /// What the view shows: what [`evaluate`](Fold::evaluate) gave, with what the key adds; `None`: nothing.
    fn with_key(&self, key: Self::Key<'_>, row: Self::Output) -> Option<Self::Output>;
}

/// A fold that takes over states of older versions of itself: with a higher `state_version` and this, `refrain upgrade`
/// goes on from the states there are. It is exported with `export_fold!(MyPlugin, migrate);`, or
/// `export_fold!(MyPlugin, merge, migrate);`.
///
/// ```
/// # use refrain_sdk::prelude::*;
/// # #[derive(Row)] struct Event { watch_ms: i64 }
/// # #[derive(Row)] struct Shown { events: i64, watch_ms: i64 }
/// /// As version 1 kept it.
/// #[state]
/// #[derive(Default)]
/// struct OldVisit { events: i64 }
///
/// #[state]
/// #[derive(Default)]
/// struct Visit { events: i64, watch_ms: i64 }
/// # /// Visits.
/// # #[derive(Plugin)]
/// # #[plugin(state_version = 2)]
/// # struct Visits;
/// # impl Fold for Visits {
/// #     type Input<'a> = Event; type State = Visit; type Output = Shown;
/// #     fn update(&self, visit: &mut Visit, event: Event) { visit.events += 1; visit.watch_ms += event.watch_ms; }
/// #     fn evaluate(&self, visit: &Visit) -> Option<Shown> {
/// #         Some(Shown { events: visit.events, watch_ms: visit.watch_ms })
/// #     }
/// # }
///
/// impl Migrate for Visits {
///     fn migrate(&self, from: u32, saved: Saved<'_>) -> Result<Visit, String> {
///         let old: OldVisit = match from {
///             1 => saved.read()?,
///             other => return Err(format!("states of version {other} are not known")),
///         };
///         Ok(Visit { events: old.events, watch_ms: 0 })
///     }
/// }
///
/// export_fold!(Visits, migrate);
/// # fn main() {}
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot take over states of an older version",
    label = "needs `impl Migrate for {Self}`",
    note = "a fold without it is exported with export_fold!(Name)"
)]
pub trait Migrate: Fold {
    /// A state that version `from` of this plugin saved, as this version has it. An error refuses the upgrade, and the old
    /// version goes on.
    fn migrate(&self, from: u32, saved: Saved<'_>) -> Result<Self::State, String>;
}

/// A state as an older version saved it.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a>(&'a [u8]);

impl<'a> Saved<'a> {
    /// Reads it as the type that the older version had.
    pub fn read<S: State>(self) -> Result<S, String> {
        codec::decode(self.0)
    }

    /// Its bytes, for a version that was not written with this SDK.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// All states of one call, as this version saves them.
pub(crate) fn migrate<F: Migrate>(fold: &F, from: u32, states: &Spans) -> Result<Spans, String> {
    migrated(states, |saved, bytes| {
        codec::encode(&fold.migrate(from, saved)?, bytes)
    })
}

/// Each of some states through a function that appends what comes of it.
pub(crate) fn migrated(
    states: &Spans,
    take: impl Fn(Saved<'_>, &mut Vec<u8>) -> Result<(), String>,
) -> Result<Spans, String> {
    let mut migrated = Spans {
        ends: Vec::with_capacity(states.ends.len()),
        bytes: Vec::new(),
    };
    let mut start = 0;
    for end in &states.ends {
        let end = *end as usize;
        take(Saved(&states.bytes[start..end]), &mut migrated.bytes)?;
        let length = u32::try_from(migrated.bytes.len()).expect("a Wasm memory has at most 4 GiB");
        migrated.ends.push(length);
        start = end;
    }
    Ok(migrated)
}

/// Rejects of one call, as the contract wants them.
type Rejects = Vec<bindings::Reject>;

/// A fold's states, and what is done with them.
pub(crate) struct Slots<F: Fold> {
    states: States<F::State>,
}

impl<F: Fold> Slots<F> {
    pub(crate) fn new() -> Self {
        Self {
            states: States::new(),
        }
    }

    #[inline(always)]
    fn state(&mut self, slot: u32) -> &mut F::State {
        self.states.state(slot)
    }

    pub(crate) fn update(
        &mut self,
        fold: &F,
        input: &Rows,
        rows: &[u32],
        slots: &[u32],
    ) -> Result<Rejects, String> {
        let columns = F::Input::bind(input)?;
        let mut rejects = Rejects::new();
        if rows.is_empty() {
            self.update_each(fold, &columns, slots, &mut rejects);
        } else {
            self.update_listed(fold, &columns, rows, slots, &mut rejects)?;
        }
        Ok(rejects)
    }

    /// Row i into slot i.
    fn update_each<'a>(
        &mut self,
        fold: &F,
        columns: &<F::Input<'a> as Row<'a>>::Columns,
        slots: &[u32],
        rejects: &mut Rejects,
    ) {
        let mut row = 0;
        while row < slots.len() {
            let states = self.states.held();
            row = update_held(fold, states, columns, slots, row, rejects);
            self.states.hold(&slots[row..]);
        }
    }

    /// Listed rows, each into its slots: all of them or none.
    fn update_listed<'a>(
        &mut self,
        fold: &F,
        columns: &<F::Input<'a> as Row<'a>>::Columns,
        rows: &[u32],
        slots: &[u32],
        rejects: &mut Rejects,
    ) -> Result<(), String> {
        if rows.len() != slots.len() {
            return Err("the host sent entries with another number of slots than rows".to_string());
        }
        self.states.hold(slots);
        let states = self.states.held();
        let mut start = 0;
        for group in rows.chunk_by(|a, b| a == b) {
            let row = group[0];
            let slots = &slots[start..start + group.len()];
            start += group.len();
            let read = || F::Input::read(columns, row as usize);
            let checked = read();
            let refused = slots
                .iter()
                .try_for_each(|slot| fold.check(&states[*slot as usize], &checked));
            match refused {
                Ok(()) => slots
                    .iter()
                    .for_each(|slot| fold.update(&mut states[*slot as usize], read())),
                Err(reject) => push(rejects, row, reject),
            }
        }
        Ok(())
    }

    /// One output row a slot, and the bitmap of those that are there.
    pub(crate) fn evaluate(&mut self, fold: &F, slots: &[u32]) -> (Rows, Vec<u8>) {
        self.show(slots, |_, state| fold.evaluate(state))
    }

    /// The same, where each row is shown with its key.
    pub(crate) fn evaluate_keyed(
        &mut self,
        fold: &F,
        slots: &[u32],
        keys: &Rows,
    ) -> Result<(Rows, Vec<u8>), String>
    where
        F: Keyed,
    {
        let keys = F::Key::bind(keys)
            .map_err(|why| format!("the node's key is not the plugin's `Key`: {why}"))?;
        Ok(self.show(slots, |place, state| {
            fold.with_key(F::Key::read(&keys, place), fold.evaluate(state)?)
        }))
    }

    #[inline(always)]
    fn show(
        &mut self,
        slots: &[u32],
        mut output: impl FnMut(usize, &F::State) -> Option<F::Output>,
    ) -> (Rows, Vec<u8>) {
        let mut writer = Writer::<F::Output>::new();
        let mut present = Vec::with_capacity(slots.len());
        for (place, slot) in slots.iter().enumerate() {
            let output = output(place, self.state(*slot));
            present.push(output.is_some());
            match output {
                Some(row) => writer.push(row),
                None => writer.push_nothing(),
            }
        }
        let present = if present.contains(&false) {
            bitmap(&present)
        } else {
            Vec::new()
        };
        (writer.finish(), present)
    }

    pub(crate) fn save(&mut self, slots: &[u32]) -> Result<Spans, String> {
        self.states.save(slots)
    }

    pub(crate) fn restore(&mut self, slots: &[u32], states: &Spans) -> Result<(), String> {
        self.states.restore(slots, states)
    }

    pub(crate) fn merge(&mut self, fold: &F, into: &[u32], other: &[u32]) -> Result<(), String>
    where
        F: Merge,
    {
        if into.len() != other.len() || into.iter().zip(other).any(|(a, b)| a == b) {
            return Err("the host sent slots to join that are no pairs".to_string());
        }
        for (into, other) in into.iter().zip(other) {
            let later = std::mem::take(self.state(*other));
            fold.merge(self.state(*into), later);
        }
        Ok(())
    }

    /// The state of slot 0.
    pub(crate) fn into_first(self) -> F::State {
        self.states.into_first()
    }

    pub(crate) fn release(&mut self, slots: &[u32]) {
        self.states.release(slots);
    }
}

/// Row i into slot i, from a row on up to the first whose slot is not held; gives that row. The loop that nearly all rows
/// take: for itself, and without a call in its way, so that the host's compiler finds registers for all that it knows.
#[inline(never)]
fn update_held<'a, F: Fold>(
    fold: &F,
    states: &mut [F::State],
    columns: &<F::Input<'a> as Row<'a>>::Columns,
    slots: &[u32],
    from: usize,
    rejects: &mut Rejects,
) -> usize {
    let columns = F::Input::first(columns, slots.len());
    for (row, slot) in slots.iter().enumerate().skip(from) {
        let Some(state) = states.get_mut(*slot as usize) else {
            return row;
        };
        let input = F::Input::read(&columns, row);
        match fold.check(state, &input) {
            Ok(()) => fold.update(state, input),
            Err(reject) => push(rejects, row as u32, reject),
        }
    }
    slots.len()
}

#[cold]
#[inline(never)]
fn push(rejects: &mut Rejects, row: u32, reject: Reject) {
    rejects.push(bindings::Reject {
        row,
        reason: reject.reason,
    });
}
