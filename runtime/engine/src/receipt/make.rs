//! Making a receipt: the rows of a view and the node's commit are taken at one moment; the log up to its cut changes no
//! more and is hashed at leisure.

use std::collections::BTreeMap;
use std::sync::Arc;

use refrain_log::ids::Timestamp;
use refrain_log::log::Log;
use refrain_state::commit::NodeState;
use refrain_state::view::{Pages, View};

use super::chain::chain;
use super::trail::{Part, fields_of, range};
use super::{FORMAT, Lineage, Range, Receipt, rows};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::versions::{VersionName, Versions};

/// A commit of a version, held fast.
struct Pinned {
    last: NodeState,
    view: Arc<View>,
    pages: Pages,
    versions: Arc<Versions>,
}

impl Host {
    /// The receipt of the last commit of a version of a view; none: of the one that everybody reads.
    pub fn receipt(&self, name: &str, version: Option<u32>) -> Result<Receipt> {
        let (node, known) = self.node_versions(name)?;
        let of = VersionName::new(&node, version.unwrap_or(known.reading.live));
        if !known.versions.contains_key(&of.number) {
            return Err(Error::Refused(format!(
                "node {node} has no version {}; see `refrain view versions {node}`",
                of.number
            )));
        }
        let pinned = self.pin(&of)?;
        let (last, cut) = (&pinned.last, pinned.last.cut);
        let lineage = chain(&pinned.versions, &of, cut)?;
        let log = ranges(&self.log, &lineage, cut)?;
        let output = rows::output(&pinned.view, pinned.pages)?;
        Ok(Receipt {
            format: FORMAT.to_owned(),
            view: VersionName::parse(&pinned.view.spec().name).name,
            version: of.number,
            cut,
            watermark: (last.watermark != Timestamp::MIN).then_some(last.watermark),
            output,
            rows_gone: rows_gone(last, &lineage, &log),
            log,
            lineage,
            seal: String::new(),
        }
        .sealed())
    }

    /// The rows and the commit of a version at one moment.
    fn pin(&self, of: &VersionName) -> Result<Pinned> {
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
fn ranges(log: &Log, lineage: &[Lineage], cut: refrain_log::ids::Sequence) -> Result<Vec<Range>> {
    let mut sources = BTreeMap::new();
    for node in lineage {
        for build in &node.builds {
            for input in build.planned()?.inputs.iter().filter(|i| !i.derived) {
                let after = sources.entry(input.topic.clone()).or_insert(node.after);
                *after = node.after.min(*after);
            }
        }
    }
    let mut ranges = Vec::new();
    for (name, after) in sources {
        let topic = log
            .topic(&name)
            .ok_or_else(|| Error::Refused(format!("topic {name} is not in the log any more")))?;
        let fields = fields_of(topic.schema());
        for partition in 0..topic.spec().partitions {
            let part = Part {
                partition,
                after,
                cut,
                marked_for: None,
            };
            ranges.push(range(&topic, part, &fields)?);
        }
    }
    Ok(ranges)
}

/// Rows that a node has taken and that are not there any more, where it reads source topics alone.
fn rows_gone(last: &NodeState, lineage: &[Lineage], log: &[Range]) -> u64 {
    let is_whole = log.iter().all(|range| range.first.0 == 0);
    if is_whole || lineage.len() > 1 {
        return 0;
    }
    let taken = last.counts.get("rows").copied().unwrap_or_default();
    let there = log.iter().map(|range| range.end.0 - range.first.0).sum();
    taken.saturating_sub(there)
}
