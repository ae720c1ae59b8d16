//! One running copy of a plugin, and the calls it takes. Columns in, columns out.

mod process;

use arrow_array::{Array, ArrayRef};
use refrain_log::schema::Field;
use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower, TypedFunc,
};
use wasmtime::{FrameInfo, Store, WasmBacktrace};

use crate::about::PluginKind;
use crate::answer;
use crate::contract::{
    Callable, Configure, Declare, Describe, Evaluate, Exports, Fire, Merge, Migrate, Process,
    Release, Restore, Save, Signature, SlotWork, Take, Update, Work,
};
use crate::fault::{Cause, Fault, FaultKind, last_words};
use crate::given::{self, Stage};
use crate::host::{Plugin, Said};
use crate::limits::Guard;
pub use crate::limits::Limits;
use crate::voice::Voice;
use crate::wire::{Declaration, Description, EntriesIn, Failure, SpansIn};

use self::process::ProcessCalls;
pub use self::process::{Part, Processed, Timers};

/// Rows for one call: `count` rows of each column, from row `start` on. Other columns than the plugin declares are a
/// fault of the caller, and calls panic on them.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// In the order of [`crate::About::inputs`], with the Arrow types of their kinds. Empty when none is declared.
    pub columns: &'a [ArrayRef],
    /// First row.
    pub start: usize,
    /// How many rows.
    pub count: usize,
}

/// Row `rows[i]` (counted from the input's start) goes to slot `slots[i]`; `rows` empty: row i. `rows` never decreases.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a> {
    /// Rows.
    pub rows: &'a [u32],
    /// Slots.
    pub slots: &'a [u32],
}

/// A row that the plugin refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Row, counted from the input's start.
    pub row: u32,
    /// Why, in the plugin's words.
    pub reason: String,
}

/// The answer of a transform, checked: columns of the declared outputs with equal lengths, valid UTF-8, nulls only where
/// declared, one NaN, origins in order and in range, no output of a rejected row.
#[derive(Clone, Debug)]
pub struct Transformed {
    /// In the order of [`crate::About::outputs`].
    pub columns: Vec<ArrayRef>,
    /// How many rows.
    pub count: usize,
    /// Input row of each; empty: row i comes from row i.
    pub origins: Vec<u32>,
    /// Rows refused, rising.
    pub rejects: Vec<Reject>,
}

/// The answer of `evaluate`, checked like [`Transformed`].
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// One row for each slot asked for.
    pub columns: Vec<ArrayRef>,
    /// Bitmap; none: all are present.
    pub present: Option<arrow_buffer::BooleanBuffer>,
}

/// States as the plugin's bytes: state i is `bytes[ends[i-1]..ends[i]]`.
#[derive(Clone, Debug, Default)]
pub struct States {
    /// Where each ends.
    pub ends: Vec<u32>,
    /// All of them.
    pub bytes: Vec<u8>,
}

impl Input<'_> {
    fn assert_fits(&self, fields: &[Field]) {
        let fits = |(column, field): (&ArrayRef, &Field)| *column.data_type() == field.kind.arrow();
        assert!(
            self.columns.len() == fields.len() && self.columns.iter().zip(fields).all(fits),
            "the host gives a plugin the columns that it declares: {fields:?}"
        );
    }
}

impl Entries<'_> {
    fn assert_fit(&self, rows: usize) {
        let wanted = if self.rows.is_empty() {
            rows
        } else {
            self.rows.len()
        };
        assert!(
            self.slots.len() == wanted,
            "the host gives each entry a slot: {} for {wanted}",
            self.slots.len()
        );
    }
}

impl States {
    /// These, one after another.
    pub fn of(states: &[impl AsRef<[u8]>]) -> Self {
        let mut all = Self::default();
        states.iter().for_each(|state| all.push(state.as_ref()));
        all
    }

    /// State i.
    pub fn get(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.bytes[start..self.ends[i] as usize]
    }

    /// Adds one.
    pub fn push(&mut self, state: &[u8]) {
        self.bytes.extend_from_slice(state);
        self.ends
            .push(u32::try_from(self.bytes.len()).expect("states of one call stay below 4 GiB"));
    }
}

/// One running copy of a plugin. After any [`Fault`] it is of no use and is to be dropped; further calls fault too.
///
/// It may move between threads; the thread that calls it needs a stack of at least twice
/// [`crate::limits::STACK_BYTES_MAX`].
pub struct Instance {
    plugin: Plugin,
    store: Store<Guard>,
    calls: Calls,
    limits: Limits,
    stage: Stage,
    /// Of the parts of a process call.
    stages: Vec<Stage>,
    /// What happened in the call that faulted.
    broken: Option<FaultKind>,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("plugin", &self.plugin.name())
            .field("memory_bytes", &self.memory_bytes())
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

/// The functions of its kind, looked up.
#[derive(Clone, Copy)]
enum Calls {
    Transform(Callable<Process<'static>>),
    Fold(FoldCalls),
    Process(ProcessCalls),
}

/// The functions about states, of every kind that has some.
#[derive(Clone, Copy)]
struct SlotCalls {
    save: Callable<Save<'static>>,
    restore: Callable<Restore<'static>>,
    release: Callable<Release<'static>>,
    migrate: Option<Callable<Migrate<'static>>>,
}

#[derive(Clone, Copy)]
struct FoldCalls {
    update: Callable<Update<'static>>,
    evaluate: Callable<Evaluate<'static>>,
    slots: SlotCalls,
    merge: Option<Callable<Merge<'static>>>,
}

impl Instance {
    /// `transform.process`.
    ///
    /// # Errors
    /// A fault of the guest; [`FaultKind::Malformed`] too when the plugin is no transform.
    pub fn transform(&mut self, input: Input<'_>) -> Result<Transformed, Fault> {
        const F: &str = "transform.process";
        let Calls::Transform(process) = self.calls else {
            return Err(self.not_a(F, PluginKind::Transform));
        };
        input.assert_fits(&self.plugin.about().inputs);
        self.stage.fill(&input);
        let columns = self.stage.columns(&input);
        let rows = given::rows(input.count, &columns);
        let said = call(&mut self.store, &self.limits, process, (rows,));
        drop(columns);
        self.stage.clear();
        let outputs = &self.plugin.about().outputs;
        let checked = said
            .and_then(willing)
            .and_then(|said| answer::transformed(said, outputs, input.count));
        self.settle(F, checked)
    }

    /// `fold.update`. Rejects are rising, one a row at most.
    ///
    /// # Errors
    /// A fault of the guest.
    pub fn update(&mut self, input: Input<'_>, entries: Entries<'_>) -> Result<Vec<Reject>, Fault> {
        const F: &str = "fold.update";
        let update = self.fold(F)?.update;
        input.assert_fits(&self.plugin.about().inputs);
        entries.assert_fit(input.count);
        self.stage.fill(&input);
        let columns = self.stage.columns(&input);
        let rows = given::rows(input.count, &columns);
        let pairs = EntriesIn {
            rows: entries.rows,
            slots: entries.slots,
        };
        let said = call(&mut self.store, &self.limits, update, (rows, pairs));
        drop(columns);
        self.stage.clear();
        let checked = said
            .and_then(willing)
            .and_then(|said| answer::updated(said, input.count, &entries));
        self.settle(F, checked)
    }

    /// `fold.evaluate`. `keys` only matter when the plugin wants them.
    ///
    /// # Errors
    /// A fault of the guest.
    pub fn evaluate(&mut self, slots: &[u32], keys: Input<'_>) -> Result<Evaluated, Fault> {
        const F: &str = "fold.evaluate";
        let evaluate = self.fold(F)?.evaluate;
        let keys = match self.plugin.about().wants_keys {
            true => keys,
            false => Input {
                columns: &[],
                start: 0,
                count: slots.len(),
            },
        };
        self.stage.fill(&keys);
        let columns = self.stage.columns(&keys);
        let rows = given::rows(keys.count, &columns);
        let said = call(&mut self.store, &self.limits, evaluate, (slots, rows));
        drop(columns);
        self.stage.clear();
        let outputs = &self.plugin.about().outputs;
        let checked = said
            .and_then(willing)
            .and_then(|said| answer::evaluated(said, outputs, slots.len()));
        self.settle(F, checked)
    }

    /// `fold.save`, `process.save`.
    ///
    /// # Errors
    /// A fault of the guest.
    pub fn save(&mut self, slots: &[u32]) -> Result<States, Fault> {
        let (calls, [f, ..]) = self.slots()?;
        let save = calls.save;
        let said = call(&mut self.store, &self.limits, save, (slots,));
        let checked = said
            .and_then(willing)
            .and_then(|said| answer::states(said, slots.len()));
        self.settle(f, checked)
    }

    /// `fold.restore`, `process.restore`.
    ///
    /// # Errors
    /// A fault of the guest.
    pub fn restore(&mut self, slots: &[u32], states: &States) -> Result<(), Fault> {
        let (calls, [_, f, _]) = self.slots()?;
        let restore = calls.restore;
        let spans = SpansIn {
            ends: &states.ends,
            bytes: &states.bytes,
        };
        let said = call(&mut self.store, &self.limits, restore, (slots, spans));
        self.settle(f, said.and_then(willing))
    }

    /// `fold.release`, `process.release`.
    ///
    /// # Errors
    /// A fault of the guest.
    pub fn release(&mut self, slots: &[u32]) -> Result<(), Fault> {
        let (calls, [.., f]) = self.slots()?;
        let said = call_plain(&mut self.store, &self.limits, calls.release, (slots,));
        self.settle(f, said)
    }

    /// `merge.merge`: the state of `other[i]` joins that of `into[i]`, pair by pair.
    ///
    /// # Errors
    /// A fault of the guest; [`FaultKind::Malformed`] too when the plugin has no such function.
    pub fn merge(&mut self, into: &[u32], other: &[u32]) -> Result<(), Fault> {
        const F: &str = "merge.merge";
        let Some(merge) = self.fold(F)?.merge else {
            let what = "the plugin exports no `merge`: it cannot join two states";
            return Err(self.plugin.fault(F, Cause::malformed(what)));
        };
        let said = call(&mut self.store, &self.limits, merge, (into, other));
        self.settle(F, said.and_then(willing))
    }

    /// `migrate.migrate`: states that version `from` of the plugin saved, as this one saves them, as many and in order.
    ///
    /// # Errors
    /// A fault of the guest; [`FaultKind::Malformed`] too when the plugin has no such function.
    pub fn migrate(&mut self, from: u32, states: &States) -> Result<States, Fault> {
        const F: &str = "migrate.migrate";
        let Some(migrate) = self.slots()?.0.migrate else {
            let what =
                "the plugin exports no `migrate`: it cannot take over states of another version";
            return Err(self.plugin.fault(F, Cause::malformed(what)));
        };
        let spans = SpansIn {
            ends: &states.ends,
            bytes: &states.bytes,
        };
        let said = call(&mut self.store, &self.limits, migrate, (from, spans));
        let checked = said
            .and_then(willing)
            .and_then(|said| answer::states(said, states.ends.len()));
        self.settle(F, checked)
    }

    /// Linear memory that it holds, in bytes. It never shrinks.
    pub fn memory_bytes(&self) -> u64 {
        self.store.data().memory_bytes
    }

    /// Starts one: instantiated, described, configured.
    pub(crate) fn start(
        plugin: &Plugin,
        options: &[(String, String)],
        limits: Limits,
    ) -> Result<Self, Fault> {
        let at = |function| move |cause| plugin.fault(function, cause);
        let (pre, exports, fuel) = (plugin.pre(), plugin.exports(), plugin.burnt().is_some());
        let mut starting = Starting::new(pre, exports, limits, plugin.voice().clone(), fuel)
            .map_err(at("start"))?;
        starting
            .describe_again(plugin.said())
            .map_err(at("about.describe"))?;
        starting.configure(options).map_err(at("about.configure"))?;
        // What starting took is the same for every instance and no part of its calls.
        if let Some(burnt) = &mut starting.store.data_mut().burnt {
            *burnt = 0;
        }
        Ok(Self {
            calls: starting.calls().map_err(at("start"))?,
            plugin: plugin.clone(),
            store: starting.store,
            limits,
            stage: Stage::default(),
            stages: Vec::new(),
            broken: None,
        })
    }

    fn fold(&self, function: &'static str) -> Result<FoldCalls, Fault> {
        match self.calls {
            Calls::Fold(calls) => Ok(calls),
            _ => Err(self.not_a(function, PluginKind::Fold)),
        }
    }

    /// The functions about states, and their names: save, restore, release.
    fn slots(&self) -> Result<(SlotCalls, [&'static str; 3]), Fault> {
        match self.calls {
            Calls::Fold(calls) => Ok((calls.slots, ["fold.save", "fold.restore", "fold.release"])),
            Calls::Process(calls) => Ok((
                calls.slots,
                ["process.save", "process.restore", "process.release"],
            )),
            Calls::Transform(_) => Err(self.not_a("fold.save", PluginKind::Fold)),
        }
    }

    fn not_a(&self, function: &'static str, kind: PluginKind) -> Fault {
        let what = match kind {
            PluginKind::Fold => "the plugin is no fold",
            PluginKind::Transform => "the plugin is no transform",
            PluginKind::Process => "the plugin is no process plugin",
        };
        self.plugin.fault(function, Cause::malformed(what))
    }

    /// Puts a name to what went wrong, and remembers it.
    fn settle<T>(&mut self, function: &'static str, result: Result<T, Cause>) -> Result<T, Fault> {
        if let (Some(book), Some(burnt)) = (self.plugin.burnt(), &mut self.store.data_mut().burnt) {
            book.add(function, std::mem::take(burnt));
        }
        result.map_err(|cause| {
            let kind = *self.broken.get_or_insert(cause.kind);
            Fault {
                said: self.store.data_mut().voice.last_words(),
                ..self.plugin.fault(function, Cause { kind, ..cause })
            }
        })
    }
}

/// Calls a function under the instance's limits.
fn call<P, R>(
    store: &mut Store<Guard>,
    limits: &Limits,
    function: TypedFunc<P, (R,)>,
    params: P,
) -> Result<R, Cause>
where
    P: ComponentNamedList + Lower,
    R: 'static,
    (R,): ComponentNamedList + Lift,
{
    call_plain(store, limits, function, params).map(|(said,)| said)
}

fn call_plain<P, R>(
    store: &mut Store<Guard>,
    limits: &Limits,
    function: TypedFunc<P, R>,
    params: P,
) -> Result<R, Cause>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    store.set_epoch_deadline(limits.call_ticks());
    store.data_mut().voice.call();
    let before = fuel_left(store);
    let said =
        refrain_log::meter::in_guest(|| function.call(&mut *store, params)).map_err(|error| {
            store.data_mut().voice.fell(&trace(&error));
            Cause::of(&error, limits)
        });
    let after = fuel_left(store);
    if let Some(burnt) = &mut store.data_mut().burnt {
        *burnt += before - after;
    }
    said
}

/// Where in the component's bytes it was, the innermost call first; nothing where that is not known.
fn trace(error: &wasmtime::Error) -> Vec<usize> {
    let calls = error.downcast_ref::<WasmBacktrace>();
    let calls = calls.map_or(&[][..], WasmBacktrace::frames);
    calls.iter().filter_map(FrameInfo::module_offset).collect()
}

/// How much fuel is left, where it is counted.
fn fuel_left(store: &Store<Guard>) -> u64 {
    match store.data().burnt {
        Some(_) => store.get_fuel().expect("an engine that counts has fuel"),
        None => 0,
    }
}

/// A plugin may answer that it cannot go on.
fn willing<T>(said: Result<T, Failure>) -> Result<T, Cause> {
    said.map_err(|Failure::Fatal(what)| Cause {
        kind: FaultKind::Fatal,
        what: format!("gave up: {what}"),
    })
}

/// An instance that has not been configured yet.
pub(crate) struct Starting<'a> {
    exports: &'a Exports,
    store: Store<Guard>,
    instance: wasmtime::component::Instance,
    limits: Limits,
}

impl<'a> Starting<'a> {
    /// Runs the component's own start.
    pub(crate) fn new(
        pre: &InstancePre<Guard>,
        exports: &'a Exports,
        limits: Limits,
        voice: Voice,
        fuel: bool,
    ) -> Result<Self, Cause> {
        let mut store = Store::new(pre.engine(), Guard::new(&limits, voice));
        store.limiter(|guard| guard);
        if fuel {
            store
                .set_fuel(u64::MAX)
                .expect("the engine of a host that counts has fuel");
            store.data_mut().burnt = Some(0);
        }
        store.set_hostcall_fuel(limits.answer_bytes());
        store.set_epoch_deadline(limits.call_ticks());
        let instance = pre.instantiate(&mut store).map_err(|error| {
            let voice = &mut store.data_mut().voice;
            voice.fell(&trace(&error));
            let cause = Cause::of_start(&error, &limits);
            let what = cause.what + &last_words(&voice.last_words());
            Cause { what, ..cause }
        })?;
        Ok(Self {
            exports,
            store,
            instance,
            limits,
        })
    }

    /// `about.describe`.
    pub(crate) fn describe(&mut self) -> Result<Description, Cause> {
        let describe = self.function::<Describe>(&self.exports.describe)?;
        call(&mut self.store, &self.limits, describe, ())
    }

    /// `process.declare`, of a process plugin.
    pub(crate) fn declare(&mut self) -> Result<Option<Declaration>, Cause> {
        let Work::Process(process) = &self.exports.work else {
            return Ok(None);
        };
        let declare = self.function::<Declare>(&process.declare)?;
        call(&mut self.store, &self.limits, declare, ()).map(Some)
    }

    /// What it says of itself, which is known.
    fn describe_again(&mut self, before: &Said) -> Result<(), Cause> {
        match self.describe()? == before.description && self.declare()? == before.declaration {
            true => Ok(()),
            false => Err(Cause::malformed(
                "describes itself otherwise than before: the answer is always the same",
            )),
        }
    }

    /// `about.configure`.
    fn configure(&mut self, options: &[(String, String)]) -> Result<(), Cause> {
        let configure = self.function::<Configure<'static>>(&self.exports.configure)?;
        call(&mut self.store, &self.limits, configure, (options,))?.map_err(|what| Cause {
            kind: FaultKind::Options,
            what,
        })
    }

    fn calls(&mut self) -> Result<Calls, Cause> {
        Ok(match &self.exports.work {
            Work::Transform { process } => Calls::Transform(self.function::<Process>(process)?),
            Work::Fold(fold) => Calls::Fold(FoldCalls {
                update: self.function::<Update>(&fold.update)?,
                evaluate: self.function::<Evaluate>(&fold.evaluate)?,
                slots: self.slots(&fold.slots)?,
                merge: match &fold.merge {
                    Some(merge) => Some(self.function::<Merge>(merge)?),
                    None => None,
                },
            }),
            Work::Process(process) => Calls::Process(ProcessCalls {
                process: self.function::<Take>(&process.process)?,
                fire: self.function::<Fire>(&process.fire)?,
                slots: self.slots(&process.slots)?,
            }),
        })
    }

    fn slots(&mut self, slots: &SlotWork) -> Result<SlotCalls, Cause> {
        Ok(SlotCalls {
            save: self.function::<Save>(&slots.save)?,
            restore: self.function::<Restore>(&slots.restore)?,
            release: self.function::<Release>(&slots.release)?,
            migrate: match &slots.migrate {
                Some(migrate) => Some(self.function::<Migrate>(migrate)?),
                None => None,
            },
        })
    }

    fn function<S: Signature>(
        &mut self,
        index: &ComponentExportIndex,
    ) -> Result<Callable<S>, Cause> {
        self.instance
            .get_typed_func(&mut self.store, index)
            .map_err(|error| Cause::of(&error, &self.limits))
    }
}
