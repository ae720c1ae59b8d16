//! From the generated bindings to the author's traits. The macros [`export_fold!`](crate::export_fold) and
//! [`export_transform!`](crate::export_transform) put it into a component; nothing here is called by hand.

#[doc(hidden)]
pub use crate::inputs::part;
#[doc(hidden)]
pub use crate::row::{CellBuilder, bind_cell};
#[doc(hidden)]
pub use crate::test_fold::batch_of_one;

use crate::bindings::{Failure, Reject, Rows, Spans};
use crate::fold::{self, Fold, Keyed, Merge, Migrate, Slots};
use crate::plugin::{Options, Plugin};
use crate::row::Row;
use crate::transform::{self, Transform};

type Answer<T> = Result<T, Failure>;

/// A fold in its instance: the configured plugin and its states.
pub struct FoldInstance<F: Fold> {
    plugin: Option<F>,
    slots: Slots<F>,
}

impl<F: Fold> FoldInstance<F> {
    #[expect(
        clippy::new_without_default,
        reason = "only the export macro makes one"
    )]
    pub fn new() -> Self {
        Self {
            plugin: None,
            slots: Slots::new(),
        }
    }

    pub fn configure(&mut self, options: Vec<(String, String)>) -> Result<(), String> {
        crate::talk::listen();
        self.plugin = Some(F::configure(&Options::new(options))?);
        Ok(())
    }

    pub fn update(&mut self, input: &Rows, rows: &[u32], slots: &[u32]) -> Answer<Vec<Reject>> {
        let plugin = configured(&self.plugin)?;
        self.slots
            .update(plugin, input, rows, slots)
            .map_err(Failure::Fatal)
    }

    pub fn evaluate(&mut self, slots: &[u32], _: &Rows) -> Answer<(Rows, Vec<u8>)> {
        Ok(self.slots.evaluate(configured(&self.plugin)?, slots))
    }

    pub fn save(&mut self, slots: &[u32]) -> Answer<Spans> {
        self.slots.save(slots).map_err(Failure::Fatal)
    }

    pub fn restore(&mut self, slots: &[u32], states: &Spans) -> Answer<()> {
        self.slots.restore(slots, states).map_err(Failure::Fatal)
    }

    pub fn release(&mut self, slots: &[u32]) {
        self.slots.release(slots);
    }
}

impl<F: Keyed> FoldInstance<F> {
    pub fn evaluate_keyed(&mut self, slots: &[u32], keys: &Rows) -> Answer<(Rows, Vec<u8>)> {
        self.slots
            .evaluate_keyed(configured(&self.plugin)?, slots, keys)
            .map_err(Failure::Fatal)
    }
}

impl<F: Merge> FoldInstance<F> {
    pub fn merge(&mut self, into: &[u32], other: &[u32]) -> Answer<()> {
        self.slots
            .merge(configured(&self.plugin)?, into, other)
            .map_err(Failure::Fatal)
    }
}

impl<F: Migrate> FoldInstance<F> {
    pub fn migrate(&mut self, from: u32, states: &Spans) -> Answer<Spans> {
        fold::migrate(configured(&self.plugin)?, from, states).map_err(Failure::Fatal)
    }
}

/// A transform in its instance.
pub struct TransformInstance<T> {
    plugin: Option<T>,
}

impl<T: Transform> TransformInstance<T> {
    #[expect(
        clippy::new_without_default,
        reason = "only the export macro makes one"
    )]
    pub fn new() -> Self {
        Self { plugin: None }
    }

    pub fn configure(&mut self, options: Vec<(String, String)>) -> Result<(), String> {
        crate::talk::listen();
        self.plugin = Some(T::configure(&Options::new(options))?);
        Ok(())
    }

    pub fn process(&mut self, input: &Rows) -> Answer<(Rows, Vec<u32>, Vec<Reject>)> {
        let answer =
            transform::process(configured(&self.plugin)?, input).map_err(Failure::Fatal)?;
        Ok((answer.rows, answer.origins, answer.rejects))
    }
}

fn configured<P>(plugin: &Option<P>) -> Answer<&P> {
    plugin
        .as_ref()
        .ok_or_else(|| Failure::Fatal("the host called before `configure`".to_string()))
}

macro_rules! describe {
    ($function:ident, $world:ident) => {
        pub fn $function<'i, 'o, P: Plugin, I: Row<'i>, O: Row<'o>>()
        -> crate::bindings::$world::exports::refrain::plugin::about::Description {
            use crate::bindings::$world::exports::refrain::plugin::about::{
                Description, Field, Setting,
            };
            let fields = |fields: &[crate::row::Field]| {
                let field = |field: &crate::row::Field| Field {
                    name: field.name.to_string(),
                    kind: field.kind.name().to_string(),
                    nullable: field.nullable,
                };
                fields.iter().map(field).collect()
            };
            let setting = |setting: crate::plugin::Setting| Setting {
                name: setting.name.to_string(),
                kind: setting.kind.name().to_string(),
                default: setting.default,
                doc: setting.doc.to_string(),
            };
            Description {
                name: P::NAME.to_string(),
                version: P::VERSION.to_string(),
                doc: P::DOC.to_string(),
                inputs: fields(I::FIELDS),
                outputs: fields(O::FIELDS),
                wants_keys: false,
                state_version: P::STATE_VERSION,
                settings: P::settings().into_iter().map(setting).collect(),
            }
        }
    };
}

describe!(describe_fold, fold_plugin);
describe!(describe_process, process_plugin);
describe!(describe_session, session_plugin);
describe!(describe_transform, transform_plugin);

/// What an optional interface needs, asked for by its own name: so that its absence is told in the words of the trait.
#[doc(hidden)]
pub const fn wants_merge<P: crate::Merge>() {}

#[doc(hidden)]
pub const fn wants_keys<P: crate::Keyed>() {}

#[doc(hidden)]
pub const fn wants_migrate<P: crate::Migrate>() {}

/// Makes the package a fold component: `export_fold!(MyPlugin);`, once, at the end of `src/lib.rs`. A fold that is
/// [`Merge`](crate::Merge) too, and so fit for session windows: `export_fold!(MyPlugin, merge);`. One that is
/// [`Keyed`](crate::Keyed): `export_fold!(MyPlugin, keys);`. Both: `export_fold!(MyPlugin, merge, keys);`.
/// One that is [`Migrate`](crate::Migrate): `export_fold!(MyPlugin, migrate);`, or `export_fold!(MyPlugin, merge, migrate);`.
#[macro_export]
macro_rules! export_fold {
    ($plugin:ty) => {
        $crate::__export_fold!($plugin, evaluate, false);
    };
    ($plugin:ty, keys) => {
        const _: () = $crate::export::wants_keys::<$plugin>();
        $crate::__export_fold!($plugin, evaluate_keyed, true);
    };
    ($plugin:ty, migrate) => {
        const _: () = $crate::export::wants_migrate::<$plugin>();
        $crate::__export_fold!($plugin, evaluate, false, __export_migrate);
    };
    ($plugin:ty, merge, migrate) => {
        const _: () = $crate::export::wants_merge::<$plugin>();
        const _: () = $crate::export::wants_migrate::<$plugin>();
        $crate::__export_session!($plugin, evaluate, false, __export_migrate);
    };
    ($plugin:ty, merge) => {
        const _: () = $crate::export::wants_merge::<$plugin>();
        $crate::__export_session!($plugin, evaluate, false);
    };
    ($plugin:ty, merge, keys) => {
        const _: () = $crate::export::wants_merge::<$plugin>();
        const _: () = $crate::export::wants_keys::<$plugin>();
        $crate::__export_session!($plugin, evaluate_keyed, true);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_fold {
    ($plugin:ty, $evaluate:ident, $wants_keys:literal $(, $more:ident)?) => {
        $crate::__export_slots!($plugin, $evaluate, $wants_keys, fold_plugin, describe_fold, {
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::fold_plugin::export_fold_plugin!(Component with_types_in $crate::bindings::fold_plugin);
            $($crate::$more!();)?
        });
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_session {
    ($plugin:ty, $evaluate:ident, $wants_keys:literal $(, $more:ident)?) => {
        $crate::__export_slots!($plugin, $evaluate, $wants_keys, session_plugin, describe_session, {
            impl $crate::bindings::session_plugin::exports::refrain::plugin::merge::Guest for Component {
                fn merge(
                    into: ::std::vec::Vec<u32>,
                    other: ::std::vec::Vec<u32>,
                ) -> ::std::result::Result<(), $crate::bindings::Failure> {
                    INSTANCE.with_borrow_mut(|instance| instance.merge(&into, &other))
                }
            }

            #[cfg(target_arch = "wasm32")]
            $crate::bindings::session_plugin::export_session_plugin!(Component with_types_in $crate::bindings::session_plugin);
            $($crate::$more!();)?
        });
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_migrate {
    () => {
        impl $crate::bindings::migrate_plugin::exports::refrain::plugin::migrate::Guest for Component {
            fn migrate(
                from_version: u32,
                states: Spans,
            ) -> ::std::result::Result<Spans, Failure> {
                INSTANCE.with_borrow_mut(|instance| instance.migrate(from_version, &states))
            }
        }

        #[cfg(target_arch = "wasm32")]
        $crate::bindings::migrate_plugin::export_migrate_plugin!(Component with_types_in $crate::bindings::migrate_plugin);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_slots {
    ($plugin:ty, $evaluate:ident, $wants_keys:literal, $world:ident, $describe:ident, { $($more:tt)* }) => {
        const _: () = {
            use $crate::bindings::$world::exports::refrain::plugin::{about, fold};
            use $crate::bindings::{Failure, Reject, Rows, Spans};
            use $crate::export::FoldInstance;

            type Input<'a> = <$plugin as $crate::Fold>::Input<'a>;
            type Output = <$plugin as $crate::Fold>::Output;

            struct Component;

            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<FoldInstance<$plugin>> =
                    ::std::cell::RefCell::new(FoldInstance::new());
            }

            impl about::Guest for Component {
                fn describe() -> about::Description {
                    about::Description {
                        wants_keys: $wants_keys,
                        ..$crate::export::$describe::<$plugin, Input<'_>, Output>()
                    }
                }
                fn configure(
                    options: ::std::vec::Vec<(::std::string::String, ::std::string::String)>,
                ) -> ::std::result::Result<(), ::std::string::String> {
                    INSTANCE.with_borrow_mut(|instance| instance.configure(options))
                }
            }

            impl fold::Guest for Component {
                fn update(
                    input: Rows,
                    entries: fold::Entries,
                ) -> ::std::result::Result<::std::vec::Vec<Reject>, Failure> {
                    INSTANCE.with_borrow_mut(|instance| {
                        instance.update(&input, &entries.rows, &entries.slots)
                    })
                }
                fn evaluate(
                    slots: ::std::vec::Vec<u32>,
                    keys: Rows,
                ) -> ::std::result::Result<fold::Evaluated, Failure> {
                    let (rows, present) =
                        INSTANCE.with_borrow_mut(|instance| instance.$evaluate(&slots, &keys))?;
                    ::std::result::Result::Ok(fold::Evaluated { rows, present })
                }
                fn save(
                    slots: ::std::vec::Vec<u32>,
                ) -> ::std::result::Result<Spans, Failure> {
                    INSTANCE.with_borrow_mut(|instance| instance.save(&slots))
                }
                fn restore(
                    slots: ::std::vec::Vec<u32>,
                    states: Spans,
                ) -> ::std::result::Result<(), Failure> {
                    INSTANCE.with_borrow_mut(|instance| instance.restore(&slots, &states))
                }
                fn release(slots: ::std::vec::Vec<u32>) {
                    INSTANCE.with_borrow_mut(|instance| instance.release(&slots))
                }
            }

            // without a component nothing calls these, and the compiler would call the author's structs dead
            #[cfg(not(target_arch = "wasm32"))]
            #[used]
            static CALLED_BY_THE_HOST: (fn() -> about::Description, fn(Rows, fold::Entries) -> ::std::result::Result<::std::vec::Vec<Reject>, Failure>) =
                (<Component as about::Guest>::describe, <Component as fold::Guest>::update);

            $($more)*
        };
    };
}

/// Makes the package a transform component: `export_transform!(MyPlugin);`, once, at the end of `src/lib.rs`.
#[macro_export]
macro_rules! export_transform {
    ($plugin:ty) => {
        const _: () = {
            use $crate::bindings::transform_plugin::exports::refrain::plugin::{about, transform};
            use $crate::bindings::{Failure, Rows};
            use $crate::export::TransformInstance;

            type Input<'a> = <$plugin as $crate::Transform>::Input<'a>;
            type Output<'a> = <$plugin as $crate::Transform>::Output<'a>;

            struct Component;

            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<TransformInstance<$plugin>> =
                    ::std::cell::RefCell::new(TransformInstance::new());
            }

            impl about::Guest for Component {
                fn describe() -> about::Description {
                    $crate::export::describe_transform::<$plugin, Input<'_>, Output<'_>>()
                }
                fn configure(
                    options: ::std::vec::Vec<(::std::string::String, ::std::string::String)>,
                ) -> ::std::result::Result<(), ::std::string::String> {
                    INSTANCE.with_borrow_mut(|instance| instance.configure(options))
                }
            }

            impl transform::Guest for Component {
                fn process(
                    input: Rows,
                ) -> ::std::result::Result<transform::Transformed, Failure> {
                    let (rows, origins, rejects) =
                        INSTANCE.with_borrow_mut(|instance| instance.process(&input))?;
                    ::std::result::Result::Ok(transform::Transformed { rows, origins, rejects })
                }
            }

            // without a component nothing calls these, and the compiler would call the author's structs dead
            #[cfg(not(target_arch = "wasm32"))]
            #[used]
            static CALLED_BY_THE_HOST: (fn() -> about::Description, fn(Rows) -> ::std::result::Result<transform::Transformed, Failure>) =
                (<Component as about::Guest>::describe, <Component as transform::Guest>::process);

            #[cfg(target_arch = "wasm32")]
            $crate::bindings::transform_plugin::export_transform_plugin!(Component with_types_in $crate::bindings::transform_plugin);
        };
    };
}
