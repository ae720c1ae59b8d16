//! A dry run: rounds of a node as they would be, worked through on the newest rows of the log, to see what they take. What they
//! write goes to a folder of its own, with every sync, and is removed at the end; nobody else sees it.
//! Between rounds the process rests, as it would (`rests`).

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use refrain_log::meter::{Used, so_far};

use super::handing;
use super::model::{Model, Tried};
use super::rests::{Rests, cold_ns};
use super::rounds::{Excerpt, Layout, Round, excerpt};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::run::time::{rest, stopwatch};
use crate::validate::rerun::Rerun;
use crate::versions::Start;
use crate::versions::roster::Member;

/// Rows of one layout that are worked through.
const ROWS_MAX: f64 = 400_000.0;
/// Rounds of one layout: enough for what happens once in many of them, such as the end of a window.
const ROUNDS_MAX: usize = 1_024;
/// Processor time for one layout, in nanoseconds; the round in which it is used up is finished.
const CPU_NS_MAX: u64 = 1_000_000_000;
/// Time for one layout, most of it for syncs.
const TIME_MAX: Duration = Duration::from_secs(4);
/// Of many rounds so many are worked through before anything is measured: files are begun in them, and caches filled.
const WARM_ROUNDS: usize = 4;
/// The folder, in the data folder.
const FOLDER: &str = "dry";

/// One at a time, since there is one folder, and since they would be in each other's way.
static TURN: Mutex<()> = Mutex::new(());

/// What a dry run found.
pub(super) struct Dry {
    /// What rounds take, by layout.
    pub(super) models: Vec<Model>,
    /// How many were tried out.
    pub(super) rounds: u64,
    /// Bytes of columns read for a row.
    pub(super) row_bytes: f64,
}

impl Host {
    /// Works through rounds of these layouts of one node.
    pub(super) fn dry_run(&self, member: &Member, layouts: &[&Layout]) -> Result<Dry> {
        // Who panicked in it left a folder, which is removed.
        let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
        let folder = self.project().data().join(FOLDER);
        let result = self.try_out_in(member, layouts, &folder);
        let removed = self.remove_all(&folder);
        result.and_then(|dry| removed.map(|()| dry))
    }

    fn remove_all(&self, folder: &Path) -> Result<()> {
        let removed = self.storage.remove_dir_all(folder);
        removed.map_err(|source| Error::Io {
            action: "remove",
            path: folder.display().to_string(),
            source,
        })
    }

    fn try_out_in(&self, member: &Member, layouts: &[&Layout], folder: &Path) -> Result<Dry> {
        // What a process left that ended in the middle.
        self.remove_all(folder)?;
        let mut tries = Vec::new();
        for (place, layout) in layouts.iter().enumerate() {
            let rounds = excerpt(layout, ROWS_MAX, ROUNDS_MAX);
            let start = Start {
                after: rounds.from,
                ..member.start
            };
            let member = Member {
                start,
                ..member.clone()
            };
            let folder = folder.join(place.to_string());
            let rerun = self.rerun_in(&member, Arc::clone(&self.storage), &folder)?;
            let rests = Rests::of(&rounds.rounds, self.log.clock());
            tries.push(Trying::begin(rerun, rounds, rests)?);
        }
        let handing_ns = handing::round_ns();
        // In turns, so that a machine which is faster at one moment than at another is so for all layouts.
        let goes_on = |trying: &&mut Trying| trying.goes_on();
        while let Some(next) = tries
            .iter_mut()
            .filter(goes_on)
            .min_by_key(|trying| trying.used.cpu_ns)
        {
            next.try_round()?;
        }
        let mut used = Used::default();
        tries.iter().for_each(|trying| used.add(trying.used));
        let rows: f64 = tries
            .iter()
            .flat_map(|t| &t.tried)
            .map(|t| t.round.rows)
            .sum();
        let all: Vec<Vec<Tried>> = tries.into_iter().map(|t| t.told(handing_ns)).collect();
        let rounds = all.iter().map(|tried| tried.len() as u64).sum::<u64>();
        if rows <= 0.0 {
            return Err(Error::Refused(format!(
                "no rows of its input are kept, so no round of node {} can be tried out",
                member.version.name
            )));
        }
        Ok(Dry {
            models: Model::of_tried(&all),
            rounds,
            row_bytes: used.read_bytes as f64 / rows,
        })
    }
}

/// A layout on its way.
struct Trying {
    rerun: Rerun,
    rounds: std::vec::IntoIter<Round>,
    tried: Vec<Tried>,
    /// Which of them came after a rest.
    rested: Vec<bool>,
    rests: Rests,
    used: Used,
    took: Duration,
}

impl Trying {
    /// Instances are made and warm before anything is measured.
    fn begin(mut rerun: Rerun, rounds: Excerpt, rests: Rests) -> Result<Trying> {
        for cut in [rounds.from, rounds.after] {
            let step = rerun.step(cut.max(rerun.at()), None)?;
            rerun.keep(step)?;
        }
        Ok(Trying {
            rerun,
            rounds: rounds.rounds.into_iter(),
            tried: Vec::new(),
            rested: Vec::new(),
            rests,
            used: Used::default(),
            took: Duration::ZERO,
        })
    }

    fn goes_on(&self) -> bool {
        self.rounds.len() > 0 && self.used.cpu_ns < CPU_NS_MAX && self.took < TIME_MAX
    }

    /// Works through the next round.
    fn try_round(&mut self) -> Result<()> {
        let Some(round) = self.rounds.next() else {
            return Ok(());
        };
        let rested = self.rests.before(self.tried.len());
        rested.into_iter().for_each(rest);
        self.rested.push(rested.is_some());
        let (began, before) = (stopwatch(), so_far());
        let (commit_bytes, topic_bytes) = self.rerun.bytes();
        let step = self.rerun.step(round.cut.max(self.rerun.at()), None)?;
        let changed = step.changed();
        self.rerun.keep(step)?;
        let used = so_far().since(before);
        let bytes = self.rerun.bytes();
        self.took += stopwatch().saturating_duration_since(began);
        self.used.add(used);
        self.tried.push(Tried {
            round,
            changed: changed as f64,
            cpu_ns: used.cpu_ns as f64,
            commit_bytes: bytes.0.saturating_sub(commit_bytes) as f64,
            topic_bytes: bytes.1.saturating_sub(topic_bytes) as f64,
            syncs: used.syncs as f64,
        });
        Ok(())
    }

    /// Its rounds with what they took; handing over each is part of it.
    fn told(mut self, handing_ns: f64) -> Vec<Tried> {
        if self.tried.len() > 4 * WARM_ROUNDS {
            self.tried.drain(..WARM_ROUNDS);
            self.rested.drain(..WARM_ROUNDS);
        }
        let cold_ns = cold_ns(&self.tried, &self.rested);
        for (tried, rested) in self.tried.iter_mut().zip(&self.rested) {
            tried.cpu_ns += handing_ns;
            if !rested {
                tried.cpu_ns += cold_ns;
            }
        }
        self.tried
    }
}
