//! Making a receipt: the rows of a view and the node's commit are taken at one moment; the log up to its cut changes no
//! more and is hashed at leisure.

use std::collections::BTreeMap;
use std::sync::Arc;

use refrain_log::ids::{Sequence, Timestamp};
use refrain_log::log::Log;
use refrain_log::topic::Topic;
use refrain_state::commit::NodeState;
use refrain_state::view::{Pages, View};

use super::chain::chain;
use super::trail::{Part, fields_of, range};
use super::{FORMAT, Lineage, Range, Receipt, rows};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::versions::{VersionName, Versions};

/// A commit of a version, held fast.
pub(super) struct Pinned {
    pub(super) last: NodeState,
    pub(super) view: Arc<View>,
    pub(super) pages: Pages,
    pub(super) versions: Arc<Versions>,
}

/// The watermark of a commit, where it has one.
pub(super) fn watermark_of(last: &NodeState) -> Option<Timestamp> {
    (last.watermark != Timestamp::MIN).then_some(last.watermark)
}

impl Host {
    /// The receipt of the last commit of a version of a view; none: of the one that everybody reads.
    pub fn receipt(&self, name: &str, version: Option<u32>) -> Result<Receipt> {
        let of = self.version_meant(name, version)?;
        let pinned = self.pin(&of)?;
        let (last, cut) = (&pinned.last, pinned.last.cut);
        let lineage = chain(&pinned.versions, &of, cut)?;
        let ranges = ranges(&self.log, &lineage, cut)?;
        let output = rows::output(&pinned.view, pinned.pages)?;
        Ok(Receipt {
            format: FORMAT.to_owned(),
            view: VersionName::parse(&pinned.view.spec().name).name,
            version: of.number,
            cut,
            watermark: watermark_of(last),
            output,
            rows_gone: rows_gone(last, &lineage, &ranges),
            log: ranges.log,
            lineage,
            seal: String::new(),
        }
        .sealed())
    }

    /// A version of the node that is named, or whose view or topic is; none: the one that everybody reads.
    pub(super) fn version_meant(&self, name: &str, version: Option<u32>) -> Result<VersionName> {
        let (node, known) = self.node_versions(name)?;
        let of = VersionName::new(&node, version.unwrap_or(known.reading.live));
        match known.versions.contains_key(&of.number) {
            true => Ok(of),
            false => Err(Error::Refused(format!(
                "node {node} has no version {}; see `refrain view versions {node}`",
                of.number
            ))),
        }
    }

    /// The rows and the commit of a version at one moment.
    pub(super) fn pin(&self, of: &VersionName) -> Result<Pinned> {
        let name = of.to_string();
        loop {
            let changed = self.state.registry().changed();
            let versions = self.versions()?;
            let views = self.state.views();
            let view = views.into_iter().find(|v| v.spec().node == name);
            let view = view.ok_or_else(|| {
                Error::Refused(format!(
                    "node {name} keeps no view: a receipt is of the views of the nodes that read its topic"
                ))
            })?;
            let pages = view.pages(None, None)?;
            let last = self.state.node(&name).ok_or_else(|| {
                Error::Refused(format!(
                    "node {name} has made no commit yet: start with `refrain run --once`"
                ))
            })?;
            if last.cut == pages.state().cut && self.state.registry().changed() == changed {
                return Ok(Pinned {
                    last,
                    view,
                    pages,
                    versions,
                });
            }
        }
    }
}

/// All partitions of the source topics that a chain reads, up to a cut.
pub(super) fn ranges(log: &Log, lineage: &[Lineage], cut: Sequence) -> Result<Ranges> {
    let mut ranges = Ranges::default();
    for (name, after) in sources(lineage)? {
        let topic = log
            .topic(&name)
            .ok_or_else(|| Error::Refused(format!("topic {name} is not in the log any more")))?;
        // As the topic was at the cut: a receipt of it is the same whatever is added later.
        let topic = topic.as_of(cut);
        let fields = fields_of(topic.schema());
        for partition in 0..topic.spec().partitions {
            let part = Part {
                partition,
                after,
                cut,
                marked_for: None,
            };
            let (range, gone) = kept_range(&topic, part, &fields)?;
            ranges.gone += gone;
            ranges.log.push(range);
        }
    }
    Ok(ranges)
}

/// The log that a version was computed from, as far as it is there.
#[derive(Default)]
pub(super) struct Ranges {
    pub(super) log: Vec<Range>,
    /// Rows before what is there, at most: where a version has not taken all of them, the log does not say any more how
    /// many it has.
    pub(super) gone: u64,
}

/// The source topics that a chain reads, and the frame after which it begins to.
pub(super) fn sources(lineage: &[Lineage]) -> Result<BTreeMap<String, Sequence>> {
    let mut sources = BTreeMap::new();
    for node in lineage {
        for build in &node.builds {
            for input in build.planned()?.inputs.iter().filter(|i| !i.derived) {
                let after = sources.entry(input.topic.clone()).or_insert(node.after);
                *after = node.after.min(*after);
            }
        }
    }
    Ok(sources)
}

/// Hashes a part of a partition as far as retention has left it; and how many rows it has taken of it, at most.
fn kept_range(topic: &Topic, part: Part, fields: &[(String, String)]) -> Result<(Range, u64)> {
    loop {
        match range(topic, part, fields) {
            // Retention went on meanwhile: what is left begins later now.
            Err(Error::Log(refrain_log::Error::Removed { .. })) => {}
            Err(error) => return Err(error),
            Ok(range) => {
                let is_less = topic.kept(part.partition)?.removed_up_to > part.after;
                let gone = if is_less { range.first.0 } else { 0 };
                return Ok((range, gone));
            }
        }
    }
}

/// Rows that a version has taken and that are not there any more. Where it is one node, it has counted what it took; a chain
/// that began with the first row has taken all that are gone.
fn rows_gone(last: &NodeState, lineage: &[Lineage], ranges: &Ranges) -> u64 {
    if ranges.gone == 0 || lineage.len() > 1 {
        return ranges.gone;
    }
    let taken = last.counts.get("rows").copied().unwrap_or_default();
    let there: u64 = ranges.log.iter().map(|r| r.end.0 - r.first.0).sum();
    taken.saturating_sub(there)
}
