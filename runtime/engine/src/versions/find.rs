//! From the names that people use to nodes, versions, views and topics.

use std::collections::BTreeSet;
use std::sync::Arc;

use refrain_log::ids::Sequence;
use refrain_state::view::View;

use super::{NodeVersions, VersionName, Versions, ViewName};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::names;
use crate::pipeline::Output;
use crate::pipeline::declaration::{Declaration, OutputDeclaration};
use crate::receipt::chain::writer;

/// The node of that name, or the one that writes the view or topic of that name.
pub fn node_named(declaration: &Declaration, name: &str) -> Option<String> {
    let nodes = || declaration.nodes.iter();
    let by_name = nodes().find(|n| n.name.get_ref() == name);
    let by_output = || nodes().find(|n| n.output.name().get_ref() == name);
    let found = by_name.or_else(by_output);
    found.map(|n| n.name.get_ref().clone())
}

/// The view that a node keeps.
pub fn view_of(declaration: &Declaration, node: &str) -> Option<String> {
    let node = declaration
        .nodes
        .iter()
        .find(|n| n.name.get_ref() == node)?;
    match &node.output {
        OutputDeclaration::View(view) => Some(view.get_ref().clone()),
        OutputDeclaration::Topic(_) => None,
    }
}

/// The source topics that the results of a version come from, through whatever nodes.
pub(crate) fn sources(versions: &Versions, of: &VersionName) -> Result<BTreeSet<String>> {
    let mut sources = BTreeSet::new();
    let mut next = vec![of.clone()];
    let mut seen = BTreeSet::new();
    while let Some(name) = next.pop() {
        let known = versions.node(&name.name);
        let Some(version) = known.and_then(|known| known.versions.get(&name.number)) else {
            continue;
        };
        if !seen.insert(name) {
            continue;
        }
        for input in version.planned()?.inputs {
            if input.derived {
                let number = version.inputs.get(&input.topic).copied().unwrap_or(1);
                next.push(writer(versions, &input.topic, number)?);
            } else {
                sources.insert(input.topic);
            }
        }
    }
    Ok(sources)
}

impl Host {
    /// The node that a command means, with its versions.
    pub fn node_versions(&self, name: &str) -> Result<(String, NodeVersions)> {
        // A node that was taken out of the file has its versions still.
        let rests = |versions: &Versions| versions.node(name).map(|_| name.to_owned());
        let node = match node_named(self.declaration(), name) {
            Some(node) => Some(node),
            None => rests(&*self.versions()?),
        };
        let Some(node) = node else {
            let all = self.declaration().node_names().join(", ");
            return Err(Error::Refused(format!(
                "there is no node, view or topic of a node named {name}; nodes are: {all}"
            )));
        };
        let known = self.versions()?.node(&node).cloned();
        let known = known.ok_or_else(|| {
            Error::Refused(format!(
                "node {node} has no versions yet: it has never run; start with `refrain run --once`"
            ))
        })?;
        Ok((node, known))
    }

    /// The view that a reader means, by the name that the reader gives it; none: there is no such view.
    pub fn view_named(&self, text: &str) -> Result<Option<Arc<View>>> {
        let name = ViewName::parse(text);
        let view = name.view();
        let keeps = |node: &String| view_of(self.declaration(), node).as_deref() == Some(view);
        let node = self.declaration().node_names().into_iter().find(keeps);
        let versions = self.versions()?;
        let known = node.as_ref().and_then(|node| versions.node(node));
        let number = match (&name, known) {
            (ViewName::Version(version), _) => version.number,
            (ViewName::Live(_), Some(known)) => known.reading.live,
            (ViewName::Consumer(_, consumer), Some(known)) => {
                self.check_consumer(view, consumer, known)?;
                known.reading.of(Some(consumer))
            }
            (_, None) => 1,
        };
        Ok(self.state.view(&VersionName::new(view, number).to_string()))
    }

    fn check_consumer(&self, view: &str, consumer: &str, known: &NodeVersions) -> Result<()> {
        let names: Vec<String> = self.consumers_of(view);
        if names.iter().any(|n| n == consumer) || known.reading.consumers.contains_key(consumer) {
            return Ok(());
        }
        let declare = format!("declare it: [consumer.{consumer}] with view = \"{view}\"");
        Err(Error::Refused(if names.is_empty() {
            format!("view {view} has no consumer {consumer}; {declare}")
        } else {
            let nearest = match names::nearest(consumer, names.iter().map(String::as_str)) {
                Some(other) => format!("; did you mean {other}? It has"),
                None => "; it has".to_owned(),
            };
            let all = names.join(", ");
            format!("view {view} has no consumer {consumer}{nearest}: {all}. Or {declare}")
        }))
    }

    /// Refuses a consumer that the view of a node does not have.
    pub(super) fn check_consumer_of(
        &self,
        node: &str,
        consumer: &str,
        known: &NodeVersions,
    ) -> Result<()> {
        match view_of(self.declaration(), node) {
            Some(view) => self.check_consumer(&view, consumer, known),
            None => Err(Error::Refused(format!(
                "node {node} keeps no view, so it has no consumers: leave out --consumer"
            ))),
        }
    }

    /// Consumers of a view in the pipeline file.
    pub fn consumers_of(&self, view: &str) -> Vec<String> {
        let all = self.declaration().consumers.iter();
        let its = all.filter(|c| c.view.get_ref() == view);
        its.map(|c| c.name.get_ref().clone()).collect()
    }

    /// The topic that readers of this name get: of the version that everybody reads.
    pub fn topic_named(&self, name: &str) -> Result<String> {
        let versions = self.versions()?;
        let suffix = [".rejected", ".late"]
            .into_iter()
            .find(|s| name.ends_with(s));
        let stem = suffix.map_or(name, |s| name.strip_suffix(s).unwrap_or(name));
        for node in &self.declaration().nodes {
            let own = node.name.get_ref();
            let written = match (&node.output, suffix) {
                (OutputDeclaration::Topic(topic), None) => topic.get_ref() == name,
                (_, Some(_)) => own == stem,
                _ => false,
            };
            if written {
                let number = versions.live(own).number;
                return Ok(VersionName::new(stem, number).to_string() + suffix.unwrap_or_default());
            }
        }
        Ok(name.to_owned())
    }

    /// Names of the nodes of the pipeline file with all their versions, in its order.
    pub fn version_names(&self) -> Vec<String> {
        let versions = self.versions().unwrap_or_default();
        let mut names = Vec::new();
        for node in self.declaration().node_names() {
            match versions.node(&node) {
                Some(known) => {
                    let numbers = known.versions.keys();
                    names.extend(numbers.map(|n| VersionName::new(&node, *n).to_string()));
                }
                None => names.push(node),
            }
        }
        names
    }

    /// The cut of the last commit of a version.
    pub(crate) fn cut_of(&self, version: &VersionName) -> Sequence {
        let last = self.state.node(&version.to_string());
        last.map_or(Sequence(0), |last| last.cut)
    }

    /// Versions of other nodes that read what this one writes.
    pub(crate) fn readers_of(
        &self,
        versions: &Versions,
        of: &VersionName,
    ) -> Result<Vec<VersionName>> {
        let known = versions.node(&of.name);
        let Some(version) = known.and_then(|known| known.versions.get(&of.number)) else {
            return Ok(Vec::new());
        };
        let Output::Topic(topic) = version.planned()?.output else {
            return Ok(Vec::new());
        };
        let mut readers = Vec::new();
        for (name, known) in versions.nodes() {
            for (number, version) in &known.versions {
                let reads = version.planned()?.input_topics().contains(&topic);
                let which = version.inputs.get(&topic).copied().unwrap_or(1);
                if reads && which == of.number {
                    readers.push(VersionName::new(name, *number));
                }
            }
        }
        Ok(readers)
    }
}
