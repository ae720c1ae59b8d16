//! The versions of a node, as they stand.

use refrain_log::ids::Offset;

use super::request::{VersionList, VersionStatus};
use super::{NodeVersions, Version, VersionName, view_of};
use crate::error::Result;
use crate::host::Host;

impl Host {
    /// The versions of the node that a command means.
    pub fn list_versions(&self, name: &str) -> Result<VersionList> {
        let (node, known) = self.node_versions(name)?;
        let view = view_of(self.declaration(), &node);
        let mut consumers: Vec<(String, u32)> =
            known.reading.consumers.clone().into_iter().collect();
        for consumer in view.iter().flat_map(|view| self.consumers_of(view)) {
            if !consumers.iter().any(|(name, _)| *name == consumer) {
                consumers.push((consumer, known.reading.live));
            }
        }
        consumers.sort();
        let versions = known.versions.iter();
        let versions = versions.map(|(n, v)| self.version_status(&node, *n, v, &known));
        Ok(VersionList {
            versions: versions.collect::<Result<_>>()?,
            live: known.reading.live,
            view,
            consumers,
            node,
        })
    }

    fn version_status(
        &self,
        node: &str,
        number: u32,
        version: &Version,
        known: &NodeVersions,
    ) -> Result<VersionStatus> {
        let name = VersionName::new(node, number).to_string();
        let logical = version.planned()?;
        let planned = logical.of_version(number, &version.inputs);
        let last = self.state.node(&name);
        let views = self.state.views();
        let view = views.iter().find(|v| v.spec().node == name);
        let taken = last.as_ref().and_then(|l| l.counts.get("rows").copied());
        Ok(VersionStatus {
            version: number,
            standing: known.standing(number),
            phase: self.board().get(&name),
            plugin: planned.plugin.clone(),
            component: version.component.clone(),
            options: planned.options.clone(),
            configuration: logical.configuration(),
            inputs: planned.input_topics(),
            start: version.start,
            made: version.made,
            cut: last.as_ref().map_or(version.start.after, |l| l.cut),
            lag_rows: planned
                .input_topics()
                .iter()
                .map(|t| self.lag_rows(&name, t, version))
                .sum(),
            rows_taken: taken.unwrap_or(0),
            committed_at: last.map(|l| l.time),
            view: view.map(|v| v.state()).map(|s| (s.rows, s.digest)),
            validated: version.validated.as_ref().map(|v| (v.against, v.cut)),
            name,
        })
    }

    /// Rows of its input that a version has not taken; none: there is no such version.
    pub(crate) fn version_lag(&self, name: &str) -> Option<u64> {
        let versions = self.versions().ok()?;
        let its = VersionName::parse(name);
        let version = versions.node(&its.name)?.versions.get(&its.number)?;
        let planned = version.planned().ok()?;
        let reads = planned
            .of_version(its.number, &version.inputs)
            .input_topics();
        Some(reads.iter().map(|t| self.lag_rows(name, t, version)).sum())
    }

    /// Rows of a topic that a version has not taken.
    fn lag_rows(&self, node: &str, topic: &str, version: &Version) -> u64 {
        let Some(topic) = self.log.topic(topic) else {
            return 0;
        };
        let last = self.state.node(node);
        let taken = |partition: u32| {
            let ends = last.iter().flat_map(|l| &l.sources);
            let mut its = ends.filter(|s| s.topic == topic.spec().name && s.partition == partition);
            its.next().map_or_else(
                || self.first_after(&topic, partition, version.start.after),
                |s| s.end,
            )
        };
        let partitions = 0..topic.spec().partitions;
        partitions
            .map(|p| topic.end(p).0.saturating_sub(taken(p).0))
            .sum()
    }

    /// The first offset of a partition behind a sequence.
    pub(crate) fn first_after(
        &self,
        topic: &std::sync::Arc<refrain_log::topic::Topic>,
        partition: u32,
        after: refrain_log::ids::Sequence,
    ) -> Offset {
        let start = topic.start(partition);
        if after.0 == 0 {
            return start;
        }
        let cursor = topic.cursor_after(partition, after);
        cursor.map_or(start, |cursor| cursor.offset())
    }
}
