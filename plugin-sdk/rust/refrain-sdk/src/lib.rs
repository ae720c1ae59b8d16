//! Write a Refrain plugin in Rust: plain structs for rows and state, two functions, no Wasm in sight.
//!
//! ```
//! use refrain_sdk::prelude::*;
//!
//! #[derive(Row)]
//! struct Flight { delay: i64 }
//!
//! #[state]
//! #[derive(Default)]
//! struct Totals { flights: i64, delay_sum: i64 }
//!
//! #[derive(Row, Debug, PartialEq)]
//! struct Delays { flights: i64, delay_mean: f64 }
//!
//! /// Delays of flights.
//! #[derive(Plugin)]
//! struct DelaysPlugin;
//!
//! impl Fold for DelaysPlugin {
//!     type Input<'a> = Flight;
//!     type State = Totals;
//!     type Output = Delays;
//!
//!     fn update(&self, totals: &mut Totals, flight: Flight) {
//!         totals.flights += 1;
//!         totals.delay_sum += flight.delay;
//!     }
//!
//!     fn evaluate(&self, totals: &Totals) -> Option<Delays> {
//!         let delay_mean = totals.delay_sum as f64 / totals.flights as f64;
//!         Some(Delays { flights: totals.flights, delay_mean })
//!     }
//! }
//!
//! export_fold!(DelaysPlugin);
//!
//! # fn main() {
//! let delays = TestFold::new(DelaysPlugin).row(Flight { delay: 3 }).row(Flight { delay: 6 }).output();
//! assert_eq!(delays, Some(Delays { flights: 2, delay_mean: 4.5 }));
//! # }
//! ```
//!
//! The host groups rows by key and window and gives each group a slot; a plugin sees a state and a row, and knows
//! neither key nor window. What it keeps outside its states is lost.
//!
//! | a plugin that | is a |
//! | --- | --- |
//! | makes rows of rows, without state | [`Transform`] |
//! | keeps a state for each key and window, shown as a view | [`Fold`] |
//! | reads several inputs, sets timers, writes rows when it likes | [`Process`] |
//! | joins two inputs, drops duplicates, ranks | a process already written: [`join`], [`dedup`], [`top`] |

#![deny(unsafe_code)]
#![warn(missing_docs)]

extern crate self as refrain_sdk;

#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod codec;
#[doc(hidden)]
pub mod export;
#[doc(hidden)]
pub mod export_process;

pub mod dedup;
pub mod join;
pub mod top;

mod cell;
mod fold;
mod inputs;
mod late;

mod plugin;
mod process;
mod row;
mod states;
mod talk;
mod test_fold;
mod test_process;
mod test_transform;
mod transform;
mod wrapped;

pub use cell::{Cell, Kind, Span, Timestamp};
pub use fold::{Fold, Keyed, Merge, Migrate, Saved};
pub use inputs::{Input, Inputs};
pub use plugin::{Options, Plugin, Reject, Setting, SettingValue};
pub use process::{Context, MigrateProcess, Moment, Process};
pub use refrain_sdk_derive::{Inputs, Plugin, Row, state};
pub use row::{Field, Row};
pub use states::State;
pub use talk::Level;
#[doc(hidden)]
pub use talk::{TALKS, say};
pub use test_fold::TestFold;
pub use test_process::TestProcess;
pub use test_transform::TestTransform;
pub use transform::{Out, Transform};

#[doc(hidden)]
pub use serde;

/// All that a plugin needs.
pub mod prelude {
    pub use crate::{
        Context, Fold, Inputs, Keyed, Level, Merge, Migrate, MigrateProcess, Moment, Out, Plugin,
        Process, Reject, Row, Saved, Span, TestFold, TestProcess, TestTransform, Timestamp,
        Transform,
    };
    pub use crate::{export_fold, export_process, export_transform, log, state};
}

#[cfg(test)]
mod tests;
