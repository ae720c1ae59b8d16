//! Care: after a trap a task is opened again and tries each call out before it makes it, until a commit passes without one.

use refrain_plugin::Instance;

use super::{Care, Failure, NodeSetup, Suspicion};

/// What a careful task keeps.
pub(super) struct Careful {
    /// The trap that brought the care, until a culprit is found.
    pub(super) suspicion: Option<Suspicion>,
    /// Rows found to trap since the last commit.
    pub(super) culprits: u64,
    /// Where calls are tried out.
    pub(super) scratch: Option<Instance>,
}

/// Rows with the reason that each is refused for.
pub(super) type Refused = Vec<(usize, String)>;

impl Careful {
    /// As a task is opened.
    pub(super) fn new(care: Care) -> Option<Careful> {
        let suspicion = match care {
            Care::None => return None,
            Care::Careful => None,
            Care::Suspects(suspicion) => Some(suspicion),
        };
        Some(Careful {
            suspicion,
            culprits: 0,
            scratch: None,
        })
    }
}

/// Before a commit: the trap that brought the care must have come again by now.
pub(super) fn settle(careful: &mut Option<Careful>, setup: &NodeSetup) -> Result<(), Failure> {
    match careful.as_mut().and_then(|c| c.suspicion.take()) {
        Some(Suspicion { fault, place }) => Err(Failure::Stop(setup.not_again(fault, place))),
        None => Ok(()),
    }
}

/// After a commit: care ends when there was no trap since the last one.
pub(super) fn relax(careful: &mut Option<Careful>) {
    *careful = careful.take().filter(|c| c.culprits > 0);
    if let Some(careful) = careful {
        careful.culprits = 0;
    }
}
