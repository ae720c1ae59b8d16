//! What a build of a node comes from: builds of other nodes on the way, and source topics. And so who depends on what.

use std::collections::{BTreeMap, BTreeSet};

use refrain_log::ids::Sequence;

use super::gauge::Watched;
use crate::host::Host;
use crate::pipeline::declaration::{ConsumerDeclaration, OutputDeclaration};
use crate::versions::{VersionName, Versions};

/// A node, all that it reads from, and where that begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Nodes, by the names of their builds.
    pub nodes: BTreeSet<String>,
    /// Source topics.
    pub sources: BTreeSet<String>,
}

impl Host {
    /// What a build of a node comes from, itself included.
    pub(crate) fn chain(&self, node: &str) -> Chain {
        let versions = self.versions().unwrap_or_default();
        let mut chain = Chain::default();
        let mut open = vec![node.to_owned()];
        while let Some(node) = open.pop() {
            if !chain.nodes.insert(node.clone()) {
                continue;
            }
            for topic in self.topics_into(&versions, &node) {
                match self.build_that_writes(&topic) {
                    Some(writer) => open.push(writer),
                    None => {
                        chain.sources.insert(topic);
                    }
                }
            }
        }
        chain
    }

    fn topics_into(&self, versions: &Versions, node: &str) -> Vec<String> {
        let name = VersionName::parse(node);
        let known = versions.node(&name.name);
        let version = known.and_then(|n| n.versions.get(&name.number));
        let planned = version.and_then(|v| {
            let planned = v.planned().ok()?;
            Some(planned.of_version(name.number, &v.inputs))
        });
        planned.map_or_else(
            || self.declaration().node_inputs(&name.name),
            |planned| planned.input_topics(),
        )
    }

    /// None: nobody does, it is a source.
    fn build_that_writes(&self, topic: &str) -> Option<String> {
        let letters = [".rejected", ".late"];
        let stem = letters.iter().find_map(|s| topic.strip_suffix(s));
        let nodes = &self.declaration().nodes;
        if let Some(node) = stem.map(VersionName::parse) {
            let own = nodes.iter().any(|n| *n.name.get_ref() == node.name);
            return own.then(|| node.to_string());
        }
        let name = VersionName::parse(topic);
        let mut writers = nodes.iter().filter(
            |n| matches!(&n.output, OutputDeclaration::Topic(t) if *t.get_ref() == name.name),
        );
        let writer = writers.next()?.name.get_ref();
        Some(VersionName::new(writer, name.number).to_string())
    }

    /// The build whose view a consumer reads.
    pub(crate) fn build_read_by(&self, consumer: &ConsumerDeclaration) -> Option<String> {
        let view = consumer.view.get_ref();
        let mut nodes = self.declaration().nodes.iter();
        let node = nodes
            .find(|n| matches!(&n.output, OutputDeclaration::View(own) if own.get_ref() == view))?;
        let node = node.name.get_ref();
        let versions = self.versions().unwrap_or_default();
        let number = versions
            .node(node)
            .map_or(1, |n| n.reading.of(Some(consumer.name.get_ref())));
        Some(VersionName::new(node, number).to_string())
    }

    /// What each consumer's view comes from.
    pub(crate) fn chains(&self) -> BTreeMap<String, Chain> {
        let consumers = self.declaration().consumers.iter();
        let chain = |c: &ConsumerDeclaration| {
            let build = self.build_read_by(c)?;
            Some((c.name.get_ref().clone(), self.chain(&build)))
        };
        consumers.filter_map(chain).collect()
    }

    fn watched(&self) -> Vec<Watched> {
        let watched = |c: &ConsumerDeclaration| {
            let node = self.build_read_by(c)?;
            Some(Watched {
                consumer: c.name.get_ref().clone(),
                sources: self.chain(&node).sources.into_iter().collect(),
                node,
                need_us: *c.freshness_us.as_ref()?.get_ref(),
            })
        };
        let consumers = self.declaration().consumers.iter();
        consumers.filter_map(watched).collect()
    }

    /// The build that everybody reads of each node, by its name.
    pub(crate) fn live(&self) -> BTreeMap<String, String> {
        let versions = self.versions().unwrap_or_default();
        let nodes = self.declaration().node_names().into_iter();
        nodes
            .map(|node| (node.clone(), versions.live(&node).to_string()))
            .collect()
    }

    /// Looks at every consumer as it is served now, and from now on at what it reads now.
    pub fn look(&self) {
        let Some(gauge) = self.board().gauge() else {
            return;
        };
        let cut = |node: &str| self.state().node(node).map_or(Sequence(0), |n| n.cut);
        gauge.look_outside(self.log());
        gauge.look_at_all(self.log(), cut);
        gauge.watch(self.watched());
        let (live, held) = (self.live(), self.all_held());
        gauge.log_stands(self.state().log_bytes(), self.log().now());
        gauge.ledger.change(self.log().now(), |books| {
            books.live = live;
            books.held = held;
        });
        gauge.look_at_all(self.log(), cut);
    }

    pub(crate) fn begin_counting(&self) {
        self.look();
        if let Some(gauge) = self.board().gauge() {
            gauge.begin(self.log());
        }
    }

    pub(crate) fn end_counting(&self) {
        self.look();
        if let Some(gauge) = self.board().gauge() {
            gauge.end(self.log());
        }
    }
}
