//! What builds of nodes hold: state, view, topics.

use std::collections::BTreeMap;

use super::books::Held;
use crate::host::Host;
use crate::pipeline::declaration::OutputDeclaration;
use crate::versions::VersionName;

impl Host {
    /// Bytes of the state, the view and the topics of a build.
    pub(crate) fn held(&self, build: &str) -> Held {
        let views = self.state().views();
        let views = views.iter().filter(|view| view.spec().node == build);
        let topics = self.topics_written(build).into_iter();
        let topics = topics.filter_map(|topic| self.log().topic(&topic));
        Held {
            state_bytes: self.state().node_bytes(build),
            view_bytes: views.map(|view| view.live_bytes()).sum(),
            topic_bytes: topics.map(|topic| topic.bytes()).sum(),
        }
    }

    /// What each build holds.
    pub(crate) fn all_held(&self) -> BTreeMap<String, Held> {
        let builds = self.version_names().into_iter();
        builds
            .map(|build| {
                let held = self.held(&build);
                (build, held)
            })
            .collect()
    }

    /// Topics that a build writes: its output where that is one, what it rejected, what came too late.
    pub(crate) fn topics_written(&self, build: &str) -> Vec<String> {
        let name = VersionName::parse(build);
        let mut nodes = self.declaration().nodes.iter();
        let node = nodes.find(|n| *n.name.get_ref() == name.name);
        let output = node.and_then(|n| match &n.output {
            OutputDeclaration::Topic(topic) => {
                Some(VersionName::new(topic.get_ref(), name.number).to_string())
            }
            OutputDeclaration::View(_) => None,
        });
        let letters = ["rejected", "late"].map(|suffix| format!("{build}.{suffix}"));
        output.into_iter().chain(letters).collect()
    }
}
