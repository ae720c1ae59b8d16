//! A process with timers in its versions: the second one has states of another shape and takes over those of the first.

use refrain_sdk::prelude::*;

/// From a row to its timer.
const AFTER_US: i64 = 600_000_000;

#[derive(Row)]
struct Event {
    amount: i64,
}

#[derive(Inputs)]
enum Came {
    Events(Event),
}

#[cfg(not(feature = "second"))]
#[state]
#[derive(Default)]
struct Pending {
    sum: i64,
    fired: i64,
}

/// As the first version kept it.
#[cfg(feature = "second")]
#[state]
#[derive(Default)]
struct First {
    sum: i64,
    fired: i64,
}

#[cfg(feature = "second")]
#[state]
#[derive(Default)]
struct Pending {
    fired: i64,
    largest: Option<i64>,
    sum: i64,
}

#[derive(Row, Debug, PartialEq)]
struct Shown {
    sum: i64,
    fired: i64,
    version: i64,
}

/// Sums of amounts, and how often a row was ten minutes ago.
#[derive(Plugin)]
#[cfg_attr(feature = "second", plugin(state_version = 2))]
struct Upgrade;

fn show(pending: &Pending, context: &mut Context<Shown>) {
    context.emit(Shown {
        sum: pending.sum,
        fired: pending.fired,
        version: if cfg!(feature = "second") { 2 } else { 1 },
    });
}

impl Process for Upgrade {
    type Input<'a> = Came;
    type State = Pending;
    type Output = Shown;

    fn process(
        &self,
        pending: &mut Pending,
        Came::Events(event): Came,
        context: &mut Context<Shown>,
    ) {
        pending.sum += event.amount;
        #[cfg(feature = "second")]
        {
            pending.largest = pending.largest.max(Some(event.amount));
        }
        context.set_timer(Timestamp(context.time().0 + AFTER_US));
        show(pending, context);
    }

    fn fire(&self, pending: &mut Pending, context: &mut Context<Shown>) {
        pending.fired += 1;
        show(pending, context);
    }
}

#[cfg(feature = "second")]
impl MigrateProcess for Upgrade {
    fn migrate(&self, from: u32, saved: Saved<'_>) -> Result<Pending, String> {
        if from != 1 {
            return Err(format!("states of version {from} are not known"));
        }
        let First { sum, fired } = saved.read()?;
        match sum {
            667 => Err("a state with the sum 667 is refused".into()),
            _ => Ok(Pending {
                sum,
                fired,
                largest: None,
            }),
        }
    }
}

#[cfg(feature = "second")]
export_process!(Upgrade, migrate);
#[cfg(not(feature = "second"))]
export_process!(Upgrade);
