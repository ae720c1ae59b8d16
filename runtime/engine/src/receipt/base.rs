//! A base: a savepoint from which a lineage is executed on, where the log has not all that came before it any more. What
//! nodes had come to is taken from the savepoint, and what they come to from there on follows from the log.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use refrain_log::ids::Sequence;
use refrain_log::log::Log;
use refrain_log::storage::{DiskStorage, Storage};
use refrain_state::commit::NodeState;
use refrain_state::store::StoreOptions;

use super::chain::chain;
use super::private::{Private, PrivateNode, Scratch};
use super::{How, Lineage};
use crate::carry::{carry, end_of};
use crate::error::{Error, Result};
use crate::host::DATA_FOLDER;
use crate::keep::{Opened, opened};
use crate::pipeline::Output;
use crate::upgrade::copied;
use crate::versions::{VersionName, Versions};

/// A savepoint of a project, opened to be executed on from. The project is only read.
pub struct Base {
    opened: Opened,
    versions: Versions,
    _scratch: Scratch,
}

impl Base {
    /// Opens the savepoint of this name of the project in this folder. `scratch`: a folder for the folder in which it is
    /// laid out.
    ///
    /// # Errors
    /// There is none of that name, or one of its files is not as it was.
    pub fn open(project: &Path, name: &str, scratch: &Path) -> Result<Base> {
        let storage: Arc<dyn Storage> = Arc::new(DiskStorage);
        let scratch = Scratch::new(scratch)?;
        let path = scratch.path().join("base");
        let data = project.join(DATA_FOLDER);
        let opened = opened::open(&storage, &data, name, path, StoreOptions::Memory)?;
        Ok(Base {
            versions: Versions::read(&opened.state.registry())?,
            opened,
            _scratch: scratch,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.opened.name
    }

    /// How many of its builds each node of a lineage had been there; refused where it had another one.
    pub(super) fn builds(&self, lineage: &[Lineage]) -> Result<Vec<usize>> {
        let last = lineage.last().map_or("", |last| &last.node);
        let of = VersionName::parse(last);
        let own = chain(&self.versions, &of, Sequence(u64::MAX))
            .map_err(|error| self.refused(&error.to_string()))?;
        let same = |(was, is): (&Lineage, &Lineage)| {
            was.node == is.node
                && was.after == is.after
                && was.reads == is.reads
                && is.builds.starts_with(&was.builds)
        };
        if own.len() != lineage.len() || !own.iter().zip(lineage).all(same) {
            return Err(self.refused(&format!(
                "it has another lineage of node {last} than the receipt"
            )));
        }
        Ok(own.iter().map(|node| node.builds.len()).collect())
    }

    /// Lets nodes stand where they stood in the savepoint; the cut up to which all of them had got.
    pub(super) fn lay_out(
        &self,
        private: &Private,
        nodes: &[PrivateNode],
        (source, cut): (&Log, Sequence),
    ) -> Result<Sequence> {
        let mut lasts = Vec::new();
        for node in nodes {
            let last = self.last(node)?;
            self.refuse_gone(node, &last, source)?;
            if last.cut > cut {
                return Err(self.refused(&format!(
                    "node {} stands at cut {} there, behind cut {cut} of the receipt: a base is an earlier one",
                    node.planned.name, last.cut
                )));
            }
            lasts.push(last);
        }
        let topics = nodes.iter().filter_map(written);
        let same: BTreeMap<String, String> = topics.map(|t| (t.clone(), t.clone())).collect();
        for (node, last) in nodes.iter().zip(&lasts) {
            private.declare(&node.planned)?;
            if let Some(topic) = written(node) {
                let readers = nodes.iter().zip(&lasts);
                let readers = readers.filter(|(reader, _)| reader.planned.reads(topic));
                let after = readers
                    .map(|(_, reader)| reader.cut)
                    .min()
                    .unwrap_or(last.cut);
                self.carry(topic, after, last, (source, private))?;
            }
            let name = &node.planned.name;
            let of = node.planned.about.state_version;
            let (commit, _) = copied(
                &self.opened.state,
                (name, &same),
                &node.planned,
                &node.plugin,
                How::Replace,
                of,
            )?;
            private.state.commit(vec![commit])?;
        }
        let cuts = lasts.iter().map(|last| last.cut);
        Ok(cuts.min().unwrap_or_default())
    }

    /// Rows of a derived topic that its readers in the chain had not read.
    fn carry(
        &self,
        topic: &str,
        after: Sequence,
        last: &NodeState,
        (source, private): (&Log, &Private),
    ) -> Result<()> {
        let log = if after < last.cut {
            source
        } else {
            &private.log
        };
        let from = log.topic(topic);
        let from =
            from.ok_or_else(|| self.refused(&format!("topic {topic} is not in this log")))?;
        if after < last.cut {
            for partition in 0..from.spec().partitions {
                let end = end_of(last, topic, partition);
                source.cut_derived(topic, partition, end, last.cut)?;
            }
        }
        carry(&from, after, last, (&private.log, topic))
    }

    fn last(&self, node: &PrivateNode) -> Result<NodeState> {
        let name = &node.planned.name;
        let last = self.opened.state.node(name);
        last.ok_or_else(|| self.refused(&format!("it has no results of node {name}")))
    }

    /// All source frames behind its cut must be there.
    fn refuse_gone(&self, node: &PrivateNode, last: &NodeState, source: &Log) -> Result<()> {
        let inputs = node.planned.inputs.iter().filter(|input| !input.derived);
        for topic in inputs.filter_map(|input| source.topic(&input.topic)) {
            for partition in 0..topic.spec().partitions {
                let up_to = topic.kept(partition)?.removed_up_to;
                if up_to > last.cut {
                    return Err(self.refused(&format!(
                        "node {} stands at cut {} there, and retention has removed rows of topic {} up to sequence {up_to}: \
                         a later savepoint is needed",
                        node.planned.name,
                        last.cut,
                        topic.spec().name
                    )));
                }
            }
        }
        Ok(())
    }

    fn refused(&self, why: &str) -> Error {
        Error::Refused(format!(
            "savepoint {} is no base for this receipt: {why}",
            self.opened.name
        ))
    }
}

/// The topic that a node writes.
fn written(node: &PrivateNode) -> Option<&String> {
    match &node.planned.output {
        Output::Topic(topic) => Some(topic),
        Output::View(_) => None,
    }
}
