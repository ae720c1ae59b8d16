//! The base: all that is held, written anew, so that everything before it in the commit log can be dropped.
//!
//! It is written in rounds, a slice with each commit, so that no commit waits for all of it. A slice is what was held when
//! its commit was made. When a round has walked through everything, each key that lives has been written since the round
//! began, by a slice or by a commit that changed it, so that the log from there on says everything: a closing record that
//! marks the base says so, and where it begins. No snapshot is needed, and nothing is kept apart.

use refrain_log::ids::{Offset, Timestamp};
use refrain_log::segments::Draft;

use crate::Result;
use crate::held::Held;
use crate::record::Frames;
use crate::{store, view};

/// The commit log may grow by so many halves of what is held.
const GROWTH_HALVES: u64 = 3;
/// While a round is under way, a commit writes so many quarters of its own bytes for it.
const SLICE_QUARTERS: u64 = 3;
/// What is owed to a round is written when it has come to this.
const SLICE_BYTES_MIN: u64 = 16 << 10;

/// Whether a round is due. The log may always grow by `free_bytes`.
pub(crate) fn is_due(grown_bytes: u64, live_bytes: u64, free_bytes: u64) -> bool {
    grown_bytes > free_bytes.max(live_bytes.saturating_mul(GROWTH_HALVES) / 2)
}

/// What a commit of so many bytes owes to a round under way.
pub(crate) fn owed_bytes(commit_bytes: u64) -> u64 {
    commit_bytes * SLICE_QUARTERS / 4
}

/// A round under way.
#[derive(Debug)]
pub(crate) struct Round {
    /// Everything from here on belongs to it.
    pub(crate) from: Offset,
    /// What is still to be walked through, the next one last.
    parts: Vec<Part>,
    owed: Owed,
    /// A commit was made since it began.
    open: bool,
}

/// What commits owe to a round under way.
#[derive(Clone, Debug)]
pub(crate) struct Owed {
    bytes: u64,
    slice_bytes_min: u64,
}

impl Owed {
    /// Nothing yet. `free_bytes` as for [`is_due`].
    pub(crate) fn new(free_bytes: u64) -> Owed {
        Owed {
            bytes: 0,
            slice_bytes_min: SLICE_BYTES_MIN.min(free_bytes),
        }
    }

    /// A commit of so many bytes was made. How many are to be written for the base, with it or with a later one.
    pub(crate) fn owe(&mut self, commit_bytes: u64) -> u64 {
        self.bytes += owed_bytes(commit_bytes);
        if self.bytes < self.slice_bytes_min {
            return 0;
        }
        self.bytes
    }

    /// It was written.
    pub(crate) fn paid(&mut self) {
        self.bytes = 0;
    }
}

/// What a round walks through.
#[derive(Clone, Debug)]
enum Part {
    States { node: String, task: u32 },
    View { name: String },
}

/// What one write adds to a base. Until [`Round::done`], nothing of it has happened.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) frames: Vec<Draft>,
    steps: Vec<Step>,
    /// Parts that it brings to an end.
    ended: usize,
}

#[derive(Debug)]
enum Step {
    States(String, u32, store::Walked),
    View(String, view::Walked),
}

impl Round {
    /// Begins a round through all that is held; its first record will have the offset `from`. `free_bytes` as for
    /// [`is_due`].
    pub(crate) fn begin(held: &mut Held, from: Offset, free_bytes: u64) -> Round {
        let mut parts = Vec::new();
        for (name, view) in &held.views {
            view.begin_walk();
            parts.push(Part::View { name: name.clone() });
        }
        for (node, stores) in &mut held.stores {
            for (task, store) in stores {
                store.begin_walk();
                let (node, task) = (node.clone(), *task);
                parts.push(Part::States { node, task });
            }
        }
        Round {
            from,
            parts,
            owed: Owed::new(free_bytes),
            open: false,
        }
    }

    /// Whether a commit was made since it began.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// A commit is made.
    pub(crate) fn open(&mut self) {
        self.open = true;
    }

    /// Whether everything was walked through.
    pub(crate) fn is_walked(&self) -> bool {
        self.parts.is_empty()
    }

    /// A commit of so many bytes was made: see [`Owed::owe`].
    pub(crate) fn owe(&mut self, commit_bytes: u64) -> u64 {
        self.owed.owe(commit_bytes)
    }

    /// What is next, of about so many bytes.
    pub(crate) fn slice(
        &self,
        held: &Held,
        commit: u64,
        time: Timestamp,
        bytes: u64,
    ) -> Result<Slice> {
        let mut frames = Frames::again(commit, time);
        let (mut steps, mut ended) = (Vec::new(), 0);
        for part in self.parts.iter().rev() {
            let left = bytes.saturating_sub(frames.all_bytes() as u64);
            if left == 0 {
                break;
            }
            match part.walk(held, &mut frames, left)? {
                Some((step, false)) => {
                    steps.push(step);
                    break;
                }
                Some((step, true)) => steps.push(step),
                None => {}
            }
            ended += 1;
        }
        Ok(Slice {
            frames: frames.take(),
            steps,
            ended,
        })
    }

    /// A slice is durable. Before anything that its commit changes is applied.
    pub(crate) fn done(&mut self, held: &mut Held, slice: Slice) {
        self.owed.paid();
        self.parts.truncate(self.parts.len() - slice.ended);
        for step in slice.steps {
            match step {
                Step::States(node, task, walked) => {
                    let stores = held.stores.get_mut(&node);
                    if let Some(store) = stores.and_then(|stores| stores.get_mut(&task)) {
                        store.walked(walked);
                    }
                }
                Step::View(name, walked) => {
                    if let Some(view) = held.views.get(&name) {
                        view.walked(walked);
                    }
                }
            }
        }
    }
}

impl Part {
    /// Adds the next records; where the walk stands then, and whether it has ended. None: the part was forgotten.
    fn walk(&self, held: &Held, frames: &mut Frames, bytes: u64) -> Result<Option<(Step, bool)>> {
        match self {
            Part::States { node, task } => {
                let Some(store) = held.store(node, *task) else {
                    return Ok(None);
                };
                let (states, walked) = store.walk(bytes as usize)?;
                frames.add_states(node, *task, &states);
                let ended = walked.is_end();
                Ok(Some((Step::States(node.clone(), *task, walked), ended)))
            }
            Part::View { name } => {
                let Some(view) = held.views.get(name) else {
                    return Ok(None);
                };
                let (parts, walked) = view.walk(bytes)?;
                for (rows, finals) in parts {
                    frames.add_rows(&view.spec().node, 0, &rows, &finals, view.schema())?;
                }
                let ended = walked == view::Walked::End;
                Ok(Some((Step::View(name.clone(), walked), ended)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_due_by_growth_beyond_both_limits() {
        let mib = 1 << 20;
        for (grown, live, due) in [
            (0, 0, false),
            (64 * mib, 0, false),
            (64 * mib + 1, 0, true),
            (64 * mib + 1, 60 * mib, false),
            (90 * mib + 1, 60 * mib, true),
            (u64::MAX / 2, u64::MAX, false),
        ] {
            assert_eq!(
                is_due(grown, live, 64 * mib),
                due,
                "{grown} grown, {live} live"
            );
        }
    }

    #[test]
    fn small_commits_owe_until_it_is_worth_a_record() {
        let mut round = Round::begin(&mut Held::default(), Offset(0), 64 << 20);
        assert_eq!(round.owe(1000), 0);
        assert_eq!(round.owe(20 << 10), 0);
        assert_eq!(round.owe(2 << 10), 750 + (15 << 10) + (3 << 9));
        assert!(round.is_walked());
    }
}
