//! A dry run: rounds of a node as they would be, worked through on the newest rows of the log, to see what they take. What they
//! write goes to a folder of its own, with every sync, and is removed at the end; nobody else sees it.

use std::path::Path;
use std::sync::{Arc, Mutex};

use refrain_log::meter::{Used, so_far};

use super::model::{Model, Tried};
use super::rounds::{Excerpt, Layout, Round, excerpt};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::validate::rerun::Rerun;
use crate::versions::Start;
use crate::versions::roster::Member;

/// Rows of one layout that are worked through.
const ROWS_MAX: f64 = 400_000.0;
/// Rounds of one layout.
const ROUNDS_MAX: usize = 64;
/// Processor time for one layout, in nanoseconds; the round in which it is used up is finished.
const CPU_NS_MAX: u64 = 1_000_000_000;
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
        let mut all: Vec<Vec<Tried>> = Vec::new();
        let mut used = Used::default();
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
            let mut rerun = self.rerun_in(&member, Arc::clone(&self.storage), &folder)?;
            all.push(try_out(&mut rerun, &rounds, &mut used)?);
        }
        let rounds = all.iter().map(|tried| tried.len() as u64).sum::<u64>();
        let rows: f64 = all.iter().flatten().map(|tried| tried.round.rows).sum();
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

/// Rounds with what they took.
fn try_out(rerun: &mut Rerun, rounds: &Excerpt, used: &mut Used) -> Result<Vec<Tried>> {
    // Instances are made and warm before anything is measured.
    for cut in [rounds.from, rounds.after] {
        let step = rerun.step(cut.max(rerun.at()), None)?;
        rerun.keep(step)?;
    }
    let began = so_far();
    let mut tried = Vec::new();
    for round in &rounds.rounds {
        tried.push(try_round(rerun, round)?);
        if so_far().since(began).cpu_ns > CPU_NS_MAX {
            break;
        }
    }
    used.add(so_far().since(began));
    Ok(tried)
}

fn try_round(rerun: &mut Rerun, round: &Round) -> Result<Tried> {
    let (before, (commit_bytes, topic_bytes)) = (so_far(), rerun.bytes());
    let step = rerun.step(round.cut.max(rerun.at()), None)?;
    let changed = step.changed();
    rerun.keep(step)?;
    let used = so_far().since(before);
    let bytes = rerun.bytes();
    Ok(Tried {
        round: *round,
        changed: changed as f64,
        cpu_ns: used.cpu_ns as f64,
        commit_bytes: bytes.0.saturating_sub(commit_bytes) as f64,
        topic_bytes: bytes.1.saturating_sub(topic_bytes) as f64,
        syncs: used.syncs as f64,
    })
}
