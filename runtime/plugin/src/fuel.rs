//! Fuel: what the engine counts of a guest's instructions, the same on every machine and at every load. Counted by a host
//! of its own ([`crate::HostOptions::fuel`]), whose compiled code is another, so that nobody else pays for it; never part
//! of a result.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What one export has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Burnt {
    /// Calls.
    pub calls: u64,
    /// Fuel, of the guest's own work to take and give values included.
    pub fuel: u64,
}

/// What all instances of a host have used, by export.
#[derive(Clone, Debug, Default)]
pub struct FuelBook(Arc<Mutex<BTreeMap<&'static str, Burnt>>>);

impl FuelBook {
    pub(crate) fn add(&self, export: &'static str, fuel: u64) {
        let mut book = self.0.lock().expect("nobody panics with the book");
        let burnt = book.entry(export).or_default();
        burnt.calls += 1;
        burnt.fuel += fuel;
    }

    /// By export, such as `fold.update`.
    pub fn read(&self) -> BTreeMap<&'static str, Burnt> {
        self.0.lock().expect("nobody panics with the book").clone()
    }
}
