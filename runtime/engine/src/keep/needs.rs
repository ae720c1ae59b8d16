//! Who has still to read what: the versions of nodes, and savepoints that may be gone back to.

use refrain_log::ids::Sequence;

use crate::error::Result;
use crate::host::Host;
use crate::versions::VersionName;

/// Frames of a topic after a sequence that somebody needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// Who: `node delays`, `savepoint monday`.
    pub(super) who: String,
    /// The topic.
    pub(super) topic: String,
    /// Frames with a greater sequence.
    pub(super) after: Sequence,
}

impl Host {
    /// What versions of nodes and savepoints have still to read. The base savepoint needs nothing: before anything goes, it
    /// is made anew.
    pub(super) fn needs(&self) -> Result<Vec<Need>> {
        let mut needs = self.node_needs()?;
        for savepoint in self.savepoints()?.into_iter().filter(|s| !s.base) {
            let who = format!("savepoint {}", savepoint.name);
            needs.extend(savepoint.needs.into_iter().map(|(topic, after)| Need {
                who: who.clone(),
                topic,
                after,
            }));
        }
        Ok(needs)
    }

    /// What versions of nodes have still to read: of those of the pipeline file, and of those that were taken out of it, whose
    /// versions rest until they are put back or retired.
    pub(super) fn node_needs(&self) -> Result<Vec<Need>> {
        let versions = self.versions()?;
        let mut needs = Vec::new();
        let declared = self.declaration().node_names().into_iter();
        for node in declared.filter(|node| versions.node(node).is_none()) {
            // It has never run, or as something else: it needs all there is.
            let after = self.state().node(&node).map_or(Sequence(0), |n| n.cut);
            let topics = self.declaration().node_inputs(&node).into_iter();
            needs.extend(topics.map(|topic| need(&node, topic, after)));
        }
        for (node, known) in versions.nodes() {
            for (number, version) in &known.versions {
                let name = VersionName::new(node, *number).to_string();
                let planned = version.planned()?.of_version(*number, &version.inputs);
                let cut = self.state().node(&name).map_or(Sequence(0), |n| n.cut);
                let after = cut.max(version.start.after);
                let topics = planned.input_topics().into_iter();
                needs.extend(topics.map(|topic| need(&name, topic, after)));
            }
        }
        Ok(needs)
    }
}

fn need(node: &str, topic: String, after: Sequence) -> Need {
    Need {
        who: format!("node {node}"),
        topic,
        after,
    }
}

/// The one who has got least far in a topic.
pub(super) fn slowest<'n>(needs: &'n [Need], topic: &str) -> Option<&'n Need> {
    let of_topic = needs.iter().filter(|need| need.topic == topic);
    of_topic.min_by_key(|need| need.after)
}
