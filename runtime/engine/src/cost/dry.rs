//! A dry run: rounds of a node as they would be, worked through in memory on the newest rows of the log, to see what they
//! take. Nothing of it is kept, and nobody else sees it.

use refrain_log::meter::so_far;

use super::arrivals::{Excerpt, Layout, excerpt};
use super::model::{Model, Tried};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::pipeline::{Output, Rhythm};
use crate::versions::Start;
use crate::versions::roster::Member;

/// Rows of one layout that are worked through.
const ROWS_MAX: f64 = 200_000.0;
/// Rounds of one layout.
const ROUNDS_MAX: usize = 100;
/// Processor time for one layout, in nanoseconds; the round in which it is used up is finished.
const CPU_NS_MAX: u64 = 1_000_000_000;
/// So many syncs of a file are measured.
const SYNCS: usize = 16;
const SYNC_BYTES: usize = 4096;
/// The file for that, in the data folder.
const SYNC_FILE: &str = "sync.probe";

/// What a dry run found.
pub(super) struct Dry {
    /// What rounds take.
    pub(super) model: Model,
    /// How many were tried out.
    pub(super) rounds: u64,
    /// Bytes of columns read for a row.
    pub(super) row_bytes: f64,
}

/// Layouts of one node that are to be compared, each with its rhythm and commit interval.
pub(super) type Wanted<'a> = [(&'a Layout, &'a Rhythm, i64)];

impl Host {
    /// Works through rounds of the layouts. Each of its commits syncs so often, which takes so long.
    pub(super) fn dry_run(
        &self,
        member: &Member,
        wanted: &Wanted<'_>,
        syncs_ns: f64,
    ) -> Result<Dry> {
        let mut all: Vec<Vec<Tried>> = Vec::new();
        let (mut bytes, mut rows) = (0, 0.0);
        for (layout, rhythm, interval) in wanted {
            let rounds = excerpt(&layout.input, rhythm, *interval, (ROWS_MAX, ROUNDS_MAX));
            let (tried, read) = self.try_out(member, &rounds)?;
            rows += tried.iter().map(|t| t.round.rows).sum::<f64>();
            bytes += read;
            all.push(tried);
        }
        let rounds = all.iter().map(|tried| tried.len() as u64).sum();
        if rows <= 0.0 {
            return Err(Error::Refused(format!(
                "no rows of its input are kept, so no round of node {} can be tried out",
                member.version.name
            )));
        }
        Ok(Dry {
            model: Model::of_tried(&evened(&all), syncs_ns),
            rounds,
            row_bytes: bytes as f64 / rows,
        })
    }

    /// Rounds with what they took, and the bytes that were read for them.
    fn try_out(&self, member: &Member, rounds: &Excerpt) -> Result<(Vec<Tried>, u64)> {
        let start = Start {
            after: rounds.from,
            ..member.start
        };
        let mut rerun = self.rerun(&Member {
            start,
            ..member.clone()
        })?;
        // Instances are made and warm before anything is measured.
        for cut in [rounds.from, rounds.after] {
            let step = rerun.step(cut, None)?;
            rerun.keep(step)?;
        }
        let began = so_far();
        let mut tried = Vec::new();
        for round in &rounds.rounds {
            let before = so_far();
            let step = rerun.step(round.last.max(rerun.at()), None)?;
            let changed = step.changed();
            rerun.keep(step)?;
            tried.push(Tried {
                round: *round,
                changed: changed as f64,
                cpu_ns: so_far().since(before).cpu_ns as f64,
            });
            if so_far().since(began).cpu_ns > CPU_NS_MAX {
                break;
            }
        }
        Ok((tried, so_far().since(began).read_bytes))
    }

    /// Processor time of a sync, in nanoseconds: of a small file, again and again.
    pub(super) fn sync_ns(&self) -> Result<f64> {
        let path = self.project().data().join(SYNC_FILE);
        let io = |source| Error::Io {
            action: "measure syncs of",
            path: path.display().to_string(),
            source,
        };
        // One that was left behind by a process that ended.
        let _ = self.storage.remove(&path);
        let file = self.storage.create(&path).map_err(io)?;
        let bytes = [7; SYNC_BYTES];
        let measured = (|| {
            file.allocate((SYNCS * SYNC_BYTES) as u64)?;
            file.sync()?;
            let before = so_far();
            for place in 0..SYNCS {
                file.write_at((place * SYNC_BYTES) as u64, &[&bytes])?;
                file.sync()?;
            }
            Ok(so_far().since(before).cpu_ns as f64 / SYNCS as f64)
        })();
        self.storage.remove(&path).map_err(io)?;
        measured.map_err(io)
    }
}

/// How often a commit of a node syncs: the commit log, and before it the topic that the node writes.
pub(super) fn syncs_of(output: &Output) -> u64 {
    match output {
        Output::View(_) => 1,
        Output::Topic(_) => 2,
    }
}

/// All rounds, those of each layout as often as makes them count alike: few large ones are not drowned by many small ones.
fn evened(all: &[Vec<Tried>]) -> Vec<Tried> {
    let most = all.iter().map(Vec::len).max().unwrap_or(0);
    let each = all.iter().flat_map(|tried| {
        let times = most / tried.len().max(1);
        tried
            .iter()
            .flat_map(move |t| std::iter::repeat_n(*t, times))
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use refrain_log::ids::Sequence;

    use super::super::arrivals::Arrival;
    use super::*;

    #[test]
    fn few_large_rounds_count_like_many_small_ones() {
        let tried = |rows: f64| Tried {
            round: Arrival {
                time_us: 0,
                frames: 1.0,
                rows,
                last: Sequence(1),
            },
            changed: 1.0,
            cpu_ns: rows,
        };
        let found = evened(&[vec![tried(1.0); 7], vec![tried(9.0); 2], Vec::new()]);
        let large = found.iter().filter(|t| t.round.rows > 1.0).count();
        assert_eq!((found.len() - large, large), (7, 6));
    }
}
