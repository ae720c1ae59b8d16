//! Keyed state over several inputs: what an author writes, and the call that the host makes.

use crate::bindings::process_plugin::exports::refrain::plugin::process::{Part, Processed, Timers};
use crate::bindings::{self, Rows, Spans};
use crate::cell::{Timestamp, bitmap};
use crate::codec;
use crate::fold::{Saved, migrated};
use crate::inputs::Inputs;
use crate::plugin::{Plugin, Reject};
use crate::row::{Field, Row, Writer};
use crate::states::{State, States};

/// A plugin that keeps a state for each key, over the rows of any number of inputs, with timers in event time.
///
/// ```
/// use refrain_sdk::prelude::*;
///
/// #[derive(Row)]
/// struct Order { order_id: i64 }
///
/// #[derive(Row)]
/// struct Payment { amount: i64 }
///
/// #[derive(Inputs)]
/// enum Shop { Orders(Order), Payments(Payment) }
///
/// #[state]
/// #[derive(Default)]
/// struct Open { order_id: Option<i64> }
///
/// #[derive(Row, Debug, PartialEq)]
/// struct Unpaid { order_id: i64 }
///
/// /// Orders that were not paid within a minute.
/// #[derive(Plugin)]
/// struct UnpaidOrders;
///
/// impl Process for UnpaidOrders {
///     type Input<'a> = Shop;
///     type State = Open;
///     type Output = Unpaid;
///
///     fn process(&self, open: &mut Open, row: Shop, context: &mut Context<Unpaid>) {
///         match row {
///             Shop::Orders(order) => {
///                 open.order_id = Some(order.order_id);
///                 context.set_timer(Timestamp(context.time().0 + 60_000_000));
///             }
///             Shop::Payments(_) => open.order_id = None,
///         }
///     }
///
///     fn fire(&self, open: &mut Open, context: &mut Context<Unpaid>) {
///         if let Some(order_id) = open.order_id.take() {
///             context.emit(Unpaid { order_id });
///         }
///     }
/// }
///
/// export_process!(UnpaidOrders);
///
/// # fn main() {
/// let orders = TestProcess::new(UnpaidOrders)
///     .row("anna", Timestamp(0), Shop::Orders(Order { order_id: 7 }))
///     .row("ben", Timestamp(0), Shop::Orders(Order { order_id: 8 }))
///     .row("anna", Timestamp(1), Shop::Payments(Payment { amount: 5 }))
///     .watermark(Timestamp(60_000_000));
/// assert_eq!(orders.rows(), [("ben", &Unpaid { order_id: 8 })]);
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a process",
    label = "needs `impl Process for {Self}`",
    note = "a plugin with one input and neither timers nor rows out is a fold: export_fold!; one without state is a transform: export_transform!; a join is exported inside its type: export_process!(Interval<{Self}>)"
)]
pub trait Process: Plugin {
    /// The inputs and the fields wanted of each. No other column is read from disk.
    type Input<'a>: Inputs<'a>;
    /// What is kept for each key. A state that equals its default, without timers, is forgotten by the host.
    type State: State;
    /// The fields of the rows that it gives, beside the key.
    type Output: Row<'static>;
    /// Fields of [`Output`](Process::Output) that make, behind the key, the key of a row of a view. With none, a key has one
    /// row in the view.
    const VIEW_KEY: &'static [&'static str] = &[];
    /// Whether times, the watermark and timers matter. Without them calls are as large as can be.
    const TIMED: bool = true;

    /// Whether the row is taken. Asked for each row, before [`process`](Process::process); a row that is refused touches
    /// nothing, because nothing can be touched here. Takes all when left out.
    #[inline(always)]
    fn check(
        &self,
        _state: &Self::State,
        _row: &Self::Input<'_>,
        _now: Moment,
    ) -> Result<(), Reject> {
        Ok(())
    }

    /// Takes a row into the state of its key, and gives what comes of it. Rows of all inputs come in log order.
    fn process(
        &self,
        state: &mut Self::State,
        row: Self::Input<'_>,
        context: &mut Context<Self::Output>,
    );

    /// A timer of this key: the watermark has reached its time, [`Context::time`], and may be beyond it. Timers come in
    /// order of time. Does nothing when left out.
    fn fire(&self, _state: &mut Self::State, _context: &mut Context<Self::Output>) {}
}

/// A process that takes over the states that an older version of it saved: with a higher `state_version`, and exported
/// with `export_process!(Name, migrate)`. Timers are the host's, and stay.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot take over states of an older version",
    label = "needs `impl MigrateProcess for {Self}`",
    note = "a process without it is exported with export_process!(Name)"
)]
pub trait MigrateProcess: Process {
    /// A state that version `from` of this plugin saved, as this version has it. One that was as it began is begun anew and
    /// does not come here. An error refuses the upgrade, and the old version goes on.
    fn migrate(&self, from: u32, saved: Saved<'_>) -> Result<Self::State, String>;
}

/// All states of one call, as this version saves them.
pub(crate) fn migrate<P: MigrateProcess>(
    process: &P,
    from: u32,
    states: &Spans,
) -> Result<Spans, String> {
    let mut initial = Vec::new();
    codec::encode(&P::State::default(), &mut initial)?;
    migrated(states, |saved, bytes| {
        if saved.bytes().is_empty() {
            return Ok(());
        }
        let start = bytes.len();
        codec::encode(&process.migrate(from, saved)?, bytes)?;
        if bytes[start..] == initial {
            bytes.truncate(start);
        }
        Ok(())
    })
}

/// When a row or timer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Event time of the row; the time that the timer was set for.
    pub time: Timestamp,
    /// The node's watermark before it, rounded down to a step of the node's timers: no row that is older is expected. The
    /// least timestamp before there is one.
    pub watermark: Timestamp,
}

/// What a process gives for a row or timer of one key: rows, rows of a view taken back, timers.
pub struct Context<O: Row<'static>> {
    now: Moment,
    timed: bool,
    origin: u32,
    slot: u32,
    writer: Writer<'static, O>,
    origins: Vec<u32>,
    deleted: Vec<bool>,
    timers: Timers,
    cleared: Vec<bool>,
}

impl<O: Row<'static>> Context<O> {
    fn new(timed: bool, watermark: i64) -> Self {
        let watermark = Timestamp(watermark);
        Self {
            now: Moment {
                time: Timestamp(i64::MIN),
                watermark,
            },
            timed,
            origin: 0,
            slot: 0,
            writer: Writer::new(),
            origins: Vec::new(),
            deleted: Vec::new(),
            timers: Timers {
                slots: Vec::new(),
                times: Vec::new(),
                cleared: Vec::new(),
            },
            cleared: Vec::new(),
        }
    }

    /// Event time of the row; the time that the timer was set for. The least timestamp unless
    /// [`TIMED`](Process::TIMED).
    pub fn time(&self) -> Timestamp {
        self.now.time
    }

    /// The node's watermark: see [`Moment`]. The least timestamp unless [`TIMED`](Process::TIMED).
    pub fn watermark(&self) -> Timestamp {
        self.now.watermark
    }

    /// Both.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Gives a row: the next one of a topic, or the view's row of its key.
    #[inline]
    pub fn emit(&mut self, row: O) {
        self.push(row, false);
    }

    /// Takes the view's row of this key away. Only the fields of [`VIEW_KEY`](Process::VIEW_KEY) matter. A node that writes
    /// to a topic cannot take rows back: the host refuses the call.
    pub fn delete(&mut self, row: O) {
        self.push(row, true);
    }

    /// Asks for [`fire`](Process::fire) when the watermark reaches this time; when it is beyond already, with its next step.
    /// A key has at most one timer for each time: setting it again changes nothing.
    ///
    /// # Panics
    /// Unless [`TIMED`](Process::TIMED).
    pub fn set_timer(&mut self, at: Timestamp) {
        self.timer(at, false);
    }

    /// Forgets the timer of this time. Nothing changes when there is none.
    ///
    /// # Panics
    /// Unless [`TIMED`](Process::TIMED).
    pub fn clear_timer(&mut self, at: Timestamp) {
        self.timer(at, true);
    }

    #[inline]
    fn push(&mut self, row: O, deleted: bool) {
        self.writer.push(row);
        self.origins.push(self.origin);
        if deleted || !self.deleted.is_empty() {
            self.deleted.resize(self.origins.len() - 1, false);
            self.deleted.push(deleted);
        }
    }

    fn timer(&mut self, at: Timestamp, cleared: bool) {
        assert!(self.timed, "a process that is not TIMED has no timers");
        self.timers.slots.push(self.slot);
        self.timers.times.push(at.0);
        if cleared || !self.cleared.is_empty() {
            self.cleared.resize(self.timers.slots.len() - 1, false);
            self.cleared.push(cleared);
        }
    }

    fn begin(&mut self, origin: usize, slot: u32, time: i64) {
        self.origin = origin as u32;
        self.slot = slot;
        self.now.time = Timestamp(time);
    }

    fn finish(mut self, rejects: Vec<bindings::Reject>) -> Processed {
        self.timers.cleared = bitmap(&self.cleared);
        Processed {
            rows: self.writer.finish(),
            origins: self.origins,
            deleted: bitmap(&self.deleted),
            rejects,
            timers: self.timers,
        }
    }
}

/// A process' states, and what is done with them.
pub(crate) struct Keys<P: Process> {
    states: States<P::State>,
}

impl<P: Process> Keys<P> {
    pub(crate) fn new() -> Result<Self, String> {
        const { assert_view_key(P::VIEW_KEY, <P::Output as Row<'static>>::FIELDS) };
        Ok(Self {
            states: States::forgetful()?,
        })
    }

    pub(crate) fn process(
        &mut self,
        process: &P,
        parts: &[Part],
        order: &[u32],
        watermark: i64,
    ) -> Result<Processed, String> {
        let count = check_parts(parts, order, P::Input::INPUTS.len(), P::TIMED)?;
        let rows: Vec<&Rows> = parts.iter().map(|part| &part.rows).collect();
        let columns = P::Input::bind(&rows)?;
        let mut call = Call {
            states: &mut self.states,
            process,
            context: Context::new(P::TIMED, watermark),
            rejects: Vec::new(),
        };
        match parts {
            [part] => (0..count).for_each(|row| call.row(&columns, part, (row, 0, row))),
            _ => {
                let mut next = vec![0; parts.len()];
                for (place, input) in order.iter().enumerate() {
                    let input = *input as usize;
                    call.row(&columns, &parts[input], (place, input, next[input]));
                    next[input] += 1;
                }
            }
        }
        Ok(call.context.finish(call.rejects))
    }

    pub(crate) fn fire(
        &mut self,
        process: &P,
        slots: &[u32],
        times: &[i64],
        watermark: i64,
    ) -> Result<Processed, String> {
        if slots.len() != times.len() {
            return Err("the host sent timers with another number of times than slots".to_string());
        }
        let mut context = Context::new(P::TIMED, watermark);
        for (place, (slot, time)) in slots.iter().zip(times).enumerate() {
            context.begin(place, *slot, *time);
            process.fire(self.states.state(*slot), &mut context);
        }
        Ok(context.finish(Vec::new()))
    }

    pub(crate) fn save(&mut self, slots: &[u32]) -> Result<Spans, String> {
        self.states.save(slots)
    }

    pub(crate) fn restore(&mut self, slots: &[u32], states: &Spans) -> Result<(), String> {
        self.states.restore(slots, states)
    }

    pub(crate) fn release(&mut self, slots: &[u32]) {
        self.states.release(slots);
    }

    /// The state of slot 0.
    pub(crate) fn into_first(self) -> P::State {
        self.states.into_first()
    }
}

/// One call under way.
struct Call<'c, P: Process> {
    states: &'c mut States<P::State>,
    process: &'c P,
    context: Context<P::Output>,
    rejects: Vec<bindings::Reject>,
}

impl<P: Process> Call<'_, P> {
    /// One row: its place in the order, its input, and its place among the rows of that.
    #[inline(always)]
    fn row<'a>(
        &mut self,
        columns: &<P::Input<'a> as Inputs<'a>>::Columns,
        part: &Part,
        (place, input, row): (usize, usize, usize),
    ) {
        let slot = part.slots[row];
        let time = part.times.get(row).copied().unwrap_or(i64::MIN);
        self.context.begin(place, slot, time);
        let state = self.states.state(slot);
        let read = P::Input::read(columns, input, row);
        match self.process.check(state, &read, self.context.now) {
            Ok(()) => self.process.process(state, read, &mut self.context),
            Err(reject) => self.rejects.push(bindings::Reject {
                row: place as u32,
                reason: reject.reason,
            }),
        }
    }
}

/// Whether the parts of a call belong together; the number of rows.
fn check_parts(parts: &[Part], order: &[u32], inputs: usize, timed: bool) -> Result<usize, String> {
    let told = |what: &str| Err(format!("the host sent {what}"));
    if parts.len() != inputs {
        return told("another number of parts than there are inputs");
    }
    let mut count = 0;
    for part in parts {
        let rows = part.rows.count as usize;
        if part.slots.len() != rows || (timed && part.times.len() != rows) {
            return told("another number of slots or times than rows");
        }
        count += rows;
    }
    let mut left: Vec<u32> = parts.iter().map(|part| part.rows.count).collect();
    for input in order {
        match left.get_mut(*input as usize) {
            Some(rows) if *rows > 0 => *rows -= 1,
            _ => return told("an order that names other rows than there are"),
        }
    }
    match order.len() == count || (parts.len() == 1 && order.is_empty()) {
        true => Ok(count),
        false => told("an order of another length than the rows"),
    }
}

const fn assert_view_key(key: &[&str], fields: &[Field]) {
    let mut place = 0;
    while place < key.len() {
        assert!(
            has_field(fields, key[place]),
            "a name in VIEW_KEY (of a TopN: rank) is not a field of the Output"
        );
        place += 1;
    }
}

const fn has_field(fields: &[Field], name: &str) -> bool {
    let mut place = 0;
    while place < fields.len() {
        if same(fields[place].name.as_bytes(), name.as_bytes()) {
            return true;
        }
        place += 1;
    }
    false
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut place = 0;
    while place < a.len() {
        if a[place] != b[place] {
            return false;
        }
        place += 1;
    }
    true
}

#[cfg(test)]
mod tests;
