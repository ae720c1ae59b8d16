//! From the generated bindings to [`Process`](crate::Process). The macro [`export_process!`](crate::export_process) puts it
//! into a component; nothing here is called by hand.

use crate::bindings::process_plugin::exports::refrain::plugin::{about, process};
use crate::bindings::{Failure, Spans};
use crate::export::describe_process;
use crate::inputs::{Input, Inputs};
use crate::plugin::{Options, Plugin};
use crate::process::{Keys, MigrateProcess, Process};
use crate::row::{Field, Row};

type Answer<T> = Result<T, Failure>;

/// A process in its instance: the configured plugin and its states.
pub struct ProcessInstance<P: Process> {
    running: Option<(P, Keys<P>)>,
}

impl<P: Process> ProcessInstance<P> {
    #[expect(
        clippy::new_without_default,
        reason = "only the export macro makes one"
    )]
    pub const fn new() -> Self {
        Self { running: None }
    }

    pub fn configure(&mut self, options: Vec<(String, String)>) -> Result<(), String> {
        crate::talk::listen();
        self.running = Some((P::configure(&Options::new(options))?, Keys::new()?));
        Ok(())
    }

    pub fn process(
        &mut self,
        parts: &[process::Part],
        order: &[u32],
        watermark: i64,
    ) -> Answer<process::Processed> {
        self.call(|plugin, keys| keys.process(plugin, parts, order, watermark))
    }

    pub fn fire(
        &mut self,
        slots: &[u32],
        times: &[i64],
        watermark: i64,
    ) -> Answer<process::Processed> {
        self.call(|plugin, keys| keys.fire(plugin, slots, times, watermark))
    }

    pub fn save(&mut self, slots: &[u32]) -> Answer<Spans> {
        self.call(|_, keys| keys.save(slots))
    }

    pub fn restore(&mut self, slots: &[u32], states: &Spans) -> Answer<()> {
        self.call(|_, keys| keys.restore(slots, states))
    }

    pub fn release(&mut self, slots: &[u32]) {
        if let Some((_, keys)) = &mut self.running {
            keys.release(slots);
        }
    }

    fn call<T>(&mut self, call: impl FnOnce(&P, &mut Keys<P>) -> Result<T, String>) -> Answer<T> {
        match &mut self.running {
            Some((plugin, keys)) => call(plugin, keys).map_err(Failure::Fatal),
            None => Err(Failure::Fatal(
                "the host called before `configure`".to_string(),
            )),
        }
    }
}

impl<P: MigrateProcess> ProcessInstance<P> {
    pub fn migrate(&mut self, from: u32, states: &Spans) -> Answer<Spans> {
        self.call(|plugin, _| crate::process::migrate(plugin, from, states))
    }
}

/// Says what is missing where a process is exported with `migrate`.
pub const fn wants_migrate<P: MigrateProcess>() {}

/// A process' description: what it reads is in its declaration.
pub fn describe<'o, P: Plugin, O: Row<'o>>() -> about::Description {
    #[derive(crate::Row)]
    struct Nothing;
    describe_process::<P, Nothing, O>()
}

/// Its inputs, the key of its view rows, and whether it needs times.
pub fn declare<P: Process>() -> process::Declaration {
    let field = |field: &Field| about::Field {
        name: field.name.to_string(),
        kind: field.kind.name().to_string(),
        nullable: field.nullable,
    };
    let input = |input: &Input| process::Input {
        name: input.name.to_string(),
        doc: input.doc.to_string(),
        fields: input.fields.iter().map(field).collect(),
    };
    process::Declaration {
        inputs: P::Input::INPUTS.iter().map(input).collect(),
        view_key: P::VIEW_KEY.iter().map(ToString::to_string).collect(),
        timed: P::TIMED,
    }
}

/// Makes the package a process component: `export_process!(MyPlugin);`, once, at the end of `src/lib.rs`. One that is
/// [`MigrateProcess`](crate::MigrateProcess): `export_process!(MyPlugin, migrate);`.
#[macro_export]
macro_rules! export_process {
    ($plugin:ty) => {
        $crate::__export_process!($plugin);
    };
    ($plugin:ty, migrate) => {
        const _: () = $crate::export_process::wants_migrate::<$plugin>();
        $crate::__export_process!($plugin, __export_migrate);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_process {
    ($plugin:ty $(, $more:ident)?) => {
        const _: () = {
            use $crate::bindings::process_plugin::exports::refrain::plugin::{about, process};
            use $crate::bindings::{Failure, Spans};
            use $crate::export_process::ProcessInstance;
            use ::std::result::Result;
            use ::std::string::String;
            use ::std::vec::Vec;

            struct Component;

            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<ProcessInstance<$plugin>> =
                    const { ::std::cell::RefCell::new(ProcessInstance::new()) };
            }

            impl about::Guest for Component {
                fn describe() -> about::Description {
                    $crate::export_process::describe::<$plugin, <$plugin as $crate::Process>::Output>()
                }
                fn configure(options: Vec<(String, String)>) -> Result<(), String> {
                    INSTANCE.with_borrow_mut(|instance| instance.configure(options))
                }
            }

            impl process::Guest for Component {
                fn declare() -> process::Declaration {
                    $crate::export_process::declare::<$plugin>()
                }
                fn process(
                    parts: Vec<process::Part>,
                    order: Vec<u32>,
                    watermark: i64,
                ) -> Result<process::Processed, Failure> {
                    INSTANCE.with_borrow_mut(|instance| instance.process(&parts, &order, watermark))
                }
                fn fire(
                    slots: Vec<u32>,
                    times: Vec<i64>,
                    watermark: i64,
                ) -> Result<process::Processed, Failure> {
                    INSTANCE.with_borrow_mut(|instance| instance.fire(&slots, &times, watermark))
                }
                fn save(slots: Vec<u32>) -> Result<Spans, Failure> {
                    INSTANCE.with_borrow_mut(|instance| instance.save(&slots))
                }
                fn restore(slots: Vec<u32>, states: Spans) -> Result<(), Failure> {
                    INSTANCE.with_borrow_mut(|instance| instance.restore(&slots, &states))
                }
                fn release(slots: Vec<u32>) {
                    INSTANCE.with_borrow_mut(|instance| instance.release(&slots))
                }
            }

            // without a component nothing calls these, and the compiler would call the author's structs dead
            #[cfg(not(target_arch = "wasm32"))]
            #[used]
            static CALLED_BY_THE_HOST: (
                fn() -> about::Description,
                fn(Vec<process::Part>, Vec<u32>, i64) -> Result<process::Processed, Failure>,
            ) = (
                <Component as about::Guest>::describe,
                <Component as process::Guest>::process,
            );

            #[cfg(target_arch = "wasm32")]
            $crate::bindings::process_plugin::export_process_plugin!(Component with_types_in $crate::bindings::process_plugin);
            $($crate::$more!();)?
        };
    };
}
