//! What single commits of a node took: the last ones, so that one that stands out can be looked at.

use std::collections::VecDeque;

use refrain_log::ids::{Sequence, Timestamp};
use serde::{Deserialize, Serialize};

use super::books::Work;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::names;

/// Commits of a node that are kept.
const KEPT: usize = 64;

/// One commit, with the rounds before it that had nothing to commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitFigures {
    /// When it was durable.
    pub at: Timestamp,
    /// Its cut.
    pub cut: Sequence,
    /// Frames taken.
    pub frames: u64,
    /// Rows taken.
    pub rows: u64,
    /// Rows that came out: written to its topic, or of windows that closed.
    pub out_rows: u64,
    /// Rows written to its topics of rejected and of late rows.
    pub letter_rows: u64,
    /// Rows of its view that changed.
    pub view_rows: u64,
    /// Processor time inside the plugin, in nanoseconds.
    pub guest_ns: u64,
    /// Processor time of the host on the node's behalf, in nanoseconds.
    pub host_ns: u64,
    /// Bytes of columns read from the log.
    pub read_bytes: u64,
    /// Bytes written to files.
    pub written_bytes: u64,
    /// Syncs of files.
    pub syncs: u64,
}

impl CommitFigures {
    /// The work up to a commit.
    pub fn new(at: Timestamp, cut: Sequence, work: &Work) -> CommitFigures {
        CommitFigures {
            at,
            cut,
            frames: work.frames,
            rows: work.rows,
            out_rows: work.out_rows,
            letter_rows: work.letter_rows,
            view_rows: work.view_rows,
            guest_ns: work.guest_ns,
            host_ns: work.host_ns,
            read_bytes: work.read_bytes,
            written_bytes: work.written_bytes,
            syncs: work.syncs,
        }
    }
}

/// The last commits of a node, the newest last.
pub type Commits = VecDeque<CommitFigures>;

/// Puts one more behind them; the oldest goes when there are many.
pub(super) fn push(commits: &mut Commits, figures: CommitFigures) {
    if commits.len() >= KEPT {
        commits.pop_front();
    }
    commits.push_back(figures);
}

/// The last commits of a node, or of a build of it.
pub(crate) fn asked(host: &Host, node: &str) -> Result<Commits> {
    let builds = host.version_names();
    let is_node = host.declaration().node_names().iter().any(|n| n == node);
    if !is_node && !builds.iter().any(|build| build == node) {
        let none = "the pipeline file declares none; write a [node.NAME] section";
        let all = builds.iter().map(String::as_str);
        return Err(Error::Refused(names::unknown("node", node, all, none)));
    }
    let live = host.versions().unwrap_or_default().live(node).to_string();
    let books = host.board().gauge().map(|gauge| gauge.ledger.books());
    let mut commits = books.unwrap_or_default().commits;
    let build = if node.contains('@') { node } else { &live };
    Ok(commits.remove(build).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_commits_are_kept() {
        let mut commits = Commits::default();
        for cut in 0..200 {
            let figures = CommitFigures::new(Timestamp(0), Sequence(cut), &Work::default());
            push(&mut commits, figures);
        }
        let cuts: Vec<u64> = commits.iter().map(|c| c.cut.0).collect();
        assert_eq!(cuts, (136..200).collect::<Vec<_>>());
    }
}
