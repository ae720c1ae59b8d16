//! The chain of a version: all that its results depend on, each node after those that it reads.

use super::{Build, How, Lineage};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::pipeline::{Output, PlannedNode, Rhythm};
use crate::versions::{Version, VersionName, Versions};
use refrain_log::ids::Sequence;
use refrain_plugin::Limits;

/// What a version and all that it reads were built from, up to a cut.
pub(crate) fn chain(versions: &Versions, of: &VersionName, cut: Sequence) -> Result<Vec<Lineage>> {
    let mut chain = Vec::new();
    add(versions, of, cut, &mut chain)?;
    Ok(chain)
}

fn add(
    versions: &Versions,
    of: &VersionName,
    cut: Sequence,
    chain: &mut Vec<Lineage>,
) -> Result<()> {
    if chain.iter().any(|node| node.node == of.to_string()) {
        return Ok(());
    }
    let known = versions.node(&of.name);
    let version = known
        .and_then(|known| known.versions.get(&of.number))
        .ok_or_else(|| Error::Refused(format!("node {} has no version {}", of.name, of.number)))?;
    let planned = version.planned()?;
    for input in planned.inputs.iter().filter(|input| input.derived) {
        let number = version.inputs.get(&input.topic).copied().unwrap_or(1);
        let writer = writer(versions, &input.topic, number)?;
        add(versions, &writer, cut, chain)?;
    }
    chain.push(Lineage {
        node: of.to_string(),
        after: version.start.after,
        reads: version.inputs.clone(),
        builds: builds(version, cut)?,
    });
    Ok(())
}

/// The version of a node that writes a derived topic.
pub(crate) fn writer(versions: &Versions, topic: &str, number: u32) -> Result<VersionName> {
    for (name, known) in versions.nodes() {
        if let Some(version) = known.versions.get(&number)
            && version.planned()?.output == Output::Topic(topic.to_owned())
        {
            return Ok(VersionName::new(name, number));
        }
    }
    Err(Error::Refused(format!(
        "nothing is known of the node that writes version {number} of topic {topic}"
    )))
}

/// What a version was built from, as far as it matters up to a cut.
fn builds(version: &Version, cut: Sequence) -> Result<Vec<Build>> {
    let build = |from: Sequence, how: How, component: &str, planned: PlannedNode| Build {
        from,
        how,
        component: component.to_owned(),
        state_version: planned.about.state_version,
        configuration: planned.configuration(),
        plan: serde_json::to_value(without_operation(planned)).expect("a plan is always JSON"),
    };
    let mut builds = Vec::new();
    for past in &version.takeovers.past {
        let planned = PlannedNode::deserialize(&past.plan)
            .map_err(|e| Error::Refused(format!("what a node was before cannot be read: {e}")))?;
        builds.push(build(past.since, past.how, &past.component, planned));
    }
    let takeovers = &version.takeovers;
    let planned = version.planned()?;
    builds.push(build(
        takeovers.since,
        takeovers.how,
        &version.component,
        planned,
    ));
    // What took over at the cut or later has made nothing of what is there.
    builds.retain(|build| build.how == How::Begin || build.from < cut);
    Ok(builds)
}

/// A node without what changes no result.
fn without_operation(planned: PlannedNode) -> PlannedNode {
    PlannedNode {
        rhythm: Rhythm::Once,
        rhythm_auto: false,
        due_us: None,
        limits: Limits::default(),
        call_rows: CALL_ROWS,
        grants: Vec::new(),
        cache_bytes: 0,
        ..planned
    }
}

/// Rows of a call when a receipt is proven.
const CALL_ROWS: usize = 4096;
